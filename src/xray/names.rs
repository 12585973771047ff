//! Names of entries, tasks and places as people know them. `page/names.js` finds the same ones.
//!
//! A closure is named by its own code, which the trace's source text holds. The crate's own entries
//! have names in the table of words.

use super::words::{Facts, WORDS};
use serde_json::Value;
use std::collections::HashMap;

const LONGEST_CODE: usize = 34;
const LONGEST_TEXT: usize = 60;

/// What a trace says about the numbers of one loop. It is read before the first sentence, so that a
/// thing has the same name from its first event to its last.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: HashMap<u64, Named>,
    handles: HashMap<u64, Named>,
    /// The last name of each task, and the line that made it.
    tasks: HashMap<u64, (String, u64)>,
    /// The kind of each future.
    pub(super) futures: HashMap<u64, String>,
    jobs: HashMap<u64, Named>,
}

/// What an entry of the queue, a timer, a reader or a job is known by.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    label: String,
    pub(super) kind: String,
    pub(super) task: Option<u64>,
    src: Option<u64>,
    own: Option<bool>,
}

/// The definitions that all loops of a trace share.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    places: HashMap<u64, String>,
    files: HashMap<String, String>,
    /// Whether the recorder says which entries are the crate's own.
    marks_own: bool,
}

impl Definitions {
    pub(super) fn read(&mut self, line: &Value) {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        match line["k"].as_str() {
            Some("src") => drop(self.places.insert(line["id"].as_u64().unwrap_or_default(), text("v"))),
            Some("file") => drop(self.files.insert(text("v"), text("text"))),
            _ => {}
        }
        self.marks_own |= line["own"] == true;
    }

    /// Returns the name of an entry, a timer or a reader.
    pub(super) fn name(&self, index: &Index, named: Option<&Named>) -> String {
        let Some(named) = named else { return "a callback".to_owned() };
        let task = named.task.map(|task| index.task(task));
        if let (Some(task), "step" | "wakeup") = (&task, named.kind.as_str()) {
            return task.clone();
        }
        if !self.is_own(named) {
            return self.code(&named.label, named.src);
        }
        let mut facts = Facts::from([("label", named.label.clone())]);
        facts.extend(task.map(|task| ("task", task)));
        WORDS.part("own", &facts).unwrap_or_else(|| last_segment(without_closures(&named.label)))
    }

    /// Returns whether the crate made an entry for itself. Where a trace does not say so, its label
    /// does.
    pub(super) fn is_own(&self, named: &Named) -> bool {
        if named.kind == "step" || named.kind == "wakeup" {
            return false;
        }
        if let Some(own) = named.own {
            return own;
        }
        if self.marks_own && named.kind != "io" {
            return false;
        }
        let label = ("label", named.label.clone());
        let known = |facts| WORDS.part("own", &facts).is_some();
        known(Facts::from([label.clone()])) || known(Facts::from([label, ("task", "-".to_owned())]))
    }

    pub(super) fn job(&self, index: &Index, id: u64) -> String {
        index.jobs.get(&id).map_or_else(|| "a job".to_owned(), |job| self.code(&job.label, job.src))
    }

    /// Returns a function's last segment, or a closure's code.
    fn code(&self, label: &str, src: Option<u64>) -> String {
        if !is_closure_label(label) {
            return last_segment(label);
        }
        let place = src.and_then(|src| self.places.get(&src)).and_then(|text| split_place(text));
        let mut facts = Facts::from([("in", last_segment(without_closures(label)))]);
        if let Some((file, line, column)) = place {
            facts.insert("line", line.to_string());
            let text = self.files.get(file);
            facts.extend(text.and_then(|text| closure_code(text, line, column)).map(|code| ("code", code)));
        }
        WORDS.part("closure", &facts).unwrap_or_default()
    }

    /// Returns the file's name and the line of a place.
    pub(super) fn place(&self, src: u64) -> Option<String> {
        let (file, line, _) = split_place(self.places.get(&src)?)?;
        Some(format!("{}:{line}", file.rsplit('/').next().unwrap_or(file)))
    }
}

impl Index {
    /// Notes what an event says about numbers.
    pub(super) fn read(&mut self, event: &Value) {
        let number = |key: &str| event[key].as_u64();
        let named = |label: &str, kind: &str| Named {
            label: event[label].as_str().unwrap_or_default().to_owned(),
            kind: kind.to_owned(),
            task: number("task"),
            src: number("src"),
            own: event["own"].as_bool(),
        };
        let (q, h) = (number("q").unwrap_or_default(), number("h").unwrap_or_default());
        match event["e"].as_str().unwrap_or_default() {
            "push" => {
                let entry = named("cb", event["kind"].as_str().unwrap_or_default());
                self.note_handle(h, &entry);
                self.entries.insert(q, entry);
            }
            "timer" => {
                let mut timer = named("cb", "timer");
                timer.task = timer.task.or_else(|| self.sleeper(&timer.label, number("by")));
                self.handles.insert(h, timer);
            }
            "due" => drop(self.entries.insert(q, self.handles.get(&h).cloned().unwrap_or_default())),
            "reg" => drop(self.handles.insert(h, named("cb", "io"))),
            "sigreg" => drop(self.handles.insert(h, Named { own: Some(false), ..named("cb", "cb") })),
            "task" => {
                let name = event["name"].as_str().unwrap_or_default().to_owned();
                let made = number("s").unwrap_or_default();
                self.tasks.entry(number("task").unwrap_or_default()).or_insert((String::new(), made)).0 =
                    name;
            }
            "fut" => {
                let kind = event["kind"].as_str().unwrap_or_default().to_owned();
                self.futures.insert(number("fut").unwrap_or_default(), kind);
            }
            "job" => drop(self.jobs.insert(number("job").unwrap_or_default(), named("fn", "job"))),
            _ => {}
        }
    }

    /// A handle is known by its first entry. What was registered learns from its entries whether it is
    /// the crate's own, and its place.
    fn note_handle(&mut self, h: u64, entry: &Named) {
        let known = self.handles.entry(h).or_insert_with(|| entry.clone());
        known.own = known.own.or(entry.own);
        known.src = known.src.or(entry.src);
    }

    /// Returns the task of a sleep's timer, in a trace whose timers do not name it: the task whose
    /// step sets it.
    fn sleeper(&self, label: &str, by: Option<u64>) -> Option<u64> {
        if label == "sleep" || label == "timeout" { self.entries.get(&by?)?.task } else { None }
    }

    pub(super) fn entry(&self, q: u64) -> Option<&Named> {
        self.entries.get(&q)
    }

    pub(super) fn handle(&self, h: u64) -> Option<&Named> {
        self.handles.get(&h)
    }

    pub(super) fn task(&self, id: u64) -> String {
        self.tasks.get(&id).map_or_else(|| format!("task {id}"), |(name, _)| plain(name))
    }

    /// Names what was done and so queued an entry.
    pub(super) fn cause(&self, event: &Value) -> Option<String> {
        let cause = &event["cause"];
        if let Some(task) = cause["task"].as_u64() {
            return Some(format!("The task `{}`", self.task(task)));
        }
        let kind = self.futures.get(&cause["fut"].as_u64()?)?;
        let what = WORDS.part("waits", &Facts::from([("kind", kind.clone())]));
        Some(format!("The future of {}", what.unwrap_or_default()))
    }

    /// Returns whether the line `s` made a task, and did not rename it.
    pub(super) fn made_task(&self, id: u64, s: u64) -> bool {
        self.tasks.get(&id).is_some_and(|(_, made)| *made == s)
    }
}

fn is_closure_label(label: &str) -> bool {
    let closure = || {
        let tail = &label[label.rfind("{closure")? + "{closure".len()..];
        Some(tail.ends_with('}') && !tail.trim_end_matches('}').contains('}'))
    };
    label.ends_with("<lambda>") || closure().unwrap_or(false)
}

/// Returns the path of the function that a closure is in.
fn without_closures(label: &str) -> &str {
    if let Some((path, last)) = label.rsplit_once("::")
        && last.contains("{closure")
    {
        return without_closures(path);
    }
    label.trim_end_matches(".<lambda>").trim_end_matches("<lambda>").trim_end_matches(".<locals>")
}

fn last_segment(label: &str) -> String {
    let last = label.rsplit("::").next().and_then(|part| part.rsplit('.').next()).unwrap_or_default();
    plain(if last.is_empty() { label } else { last })
}

/// Splits `path:line:column`.
fn split_place(text: &str) -> Option<(&str, usize, usize)> {
    let (rest, column) = text.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    Some((file, line.parse().ok()?, column.parse().ok()?))
}

/// Cuts a closure out of the source: the argument that is one, in the call at its place.
fn closure_code(text: &str, line: usize, column: usize) -> Option<String> {
    let mut lines = text.split('\n').skip(line.checked_sub(1)?).take(12);
    let first: String = lines.next()?.chars().skip(column.saturating_sub(1)).collect();
    let text = lines.fold(first, |text, line| text + "\n" + line);
    let (_, arguments) = text.split_once('(')?;
    split_arguments(arguments).iter().find_map(|argument| closure_body(argument)).map(short_code)
}

/// Splits a call's arguments, up to the parenthesis that closes it.
fn split_arguments(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let (mut depth, mut quoted, mut bars, mut before) = (0, false, 0, ' ');
    for c in text.chars() {
        if c == '"' && before != '\\' {
            quoted = !quoted;
        }
        before = c;
        if !quoted {
            bars += i32::from(c == '|');
            depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
            if depth < 0 {
                break;
            }
            // A comma between a closure's bars stands between its parameters.
            if c == ',' && depth == 0 && bars % 2 == 0 {
                all.push(String::new());
                continue;
            }
        }
        all.last_mut().expect("it begins with one").push(c);
    }
    all
}

/// Returns what a closure does, without its parameters; `None` for another argument.
fn closure_body(argument: &str) -> Option<&str> {
    let argument = argument.trim();
    if let Some(after) = argument.strip_prefix("lambda") {
        return Some(after.split_once(':')?.1);
    }
    let after = argument.strip_prefix("move ").unwrap_or(argument).strip_prefix('|')?;
    Some(after.split_once('|')?.1)
}

fn short_code(body: &str) -> String {
    let body = body.trim();
    let inner = body.strip_prefix('{').and_then(|body| body.strip_suffix('}')).unwrap_or(body);
    cut(&plain(inner), LONGEST_CODE)
}

/// Puts a text on one line, and cuts a long one.
pub(super) fn short(text: &str) -> String {
    cut(text, LONGEST_TEXT)
}

fn cut(text: &str, longest: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= longest {
        return line;
    }
    line.chars().take(longest - 1).chain(['…']).collect()
}

/// A name must not end the backticks that stand around it in a sentence.
fn plain(name: &str) -> String {
    name.replace('`', "'")
}

/// Writes nanoseconds as people read them, rounded.
pub(super) fn duration(ns: u64) -> String {
    const MS: u64 = 1_000_000;
    let tenths_of = |unit: u64| {
        let tenths = (ns + unit / 20) / (unit / 10);
        if tenths.is_multiple_of(10) || tenths >= 1000 {
            (tenths / 10).to_string()
        } else {
            format!("{}.{}", tenths / 10, tenths % 10)
        }
    };
    let of = |unit: u64| (ns + unit / 2) / unit;
    match ns {
        0..1000 => "0 ms".to_owned(),
        1000..MS => format!("{} µs", ns / 1000),
        MS..1_000_000_000 => format!("{} ms", tenths_of(MS)),
        1_000_000_000..120_000_000_000 => format!("{} s", tenths_of(1000 * MS)),
        120_000_000_000..7_200_000_000_000 => format!("{} min", of(60_000 * MS)),
        7_200_000_000_000..172_800_000_000_000 => format!("{} h", of(3_600_000 * MS)),
        _ => format!("{} days", of(86_400_000 * MS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_is_named_by_its_code() {
        let source = "\
fn main() {
    lp.call_soon(|| println!(\"a, ) b\"))?;
    lp.call_later(SECOND, move |a, b| {
        one();
        two(a, b)
    });
    lp.add_signal_handler(SIGINT as i32, stop);
    lp.call_soon(|| a_function_with_a_long_name(and, arguments));
    loop.call_soon(lambda: print(1), x)
}
";
        let named = |line, column| closure_code(source, line, column);
        assert_eq!(named(2, 8).as_deref(), Some("println!(\"a, ) b\")"));
        assert_eq!(named(3, 8).as_deref(), Some("one(); two(a, b)"));
        assert_eq!(named(7, 8), None);
        assert_eq!(named(8, 8).as_deref(), Some("a_function_with_a_long_name(and, …"));
        assert_eq!(named(9, 10).as_deref(), Some("print(1)"));
    }

    #[test]
    fn a_duration_has_the_unit_that_people_would_take() {
        for (ns, text) in [
            (999, "0 ms"),
            (400_000, "400 µs"),
            (20_000_000, "20 ms"),
            (1_460_000, "1.5 ms"),
            (1_500_000_000, "1.5 s"),
            (3_599_990_000_000, "60 min"),
            (90_000_000_000_000, "25 h"),
            (864_000_000_000_000, "10 days"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }
}
