//! Two traces side by side: one row for each callback, aligned by what it is, which task, and what it printed.
//!
//! Time and turns align nothing, because two runtimes may need other turns for the same. The page's `align.js` follows
//! the same rules, so a change here is a change there. A test compares the two on every lesson.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// A callback that ran or was skipped.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// `task`, `own` (the runtime's) or `code` (the program's).
    pub what: &'static str,
    /// The name that must be equal; `*` is like any other.
    pub name: String,
    /// The name to show.
    pub shown: String,
    /// What it printed.
    pub text: String,
    /// Whether it was cancelled, and so did not run.
    pub skipped: bool,
    /// The turn in which it ran.
    pub turn: u64,
}

impl Row {
    fn is_like(&self, other: &Row) -> bool {
        let named = self.name == other.name || self.name == "*" || other.name == "*";
        named && self.what == other.what && self.text == other.text && self.skipped == other.skipped
    }
}

/// A row of each side; one of them may be missing.
pub type Pair = (Option<Row>, Option<Row>);

/// One loop's entries while its lines are read.
#[derive(Default)]
struct LoopNames {
    turn: u64,
    entries: HashMap<u64, Value>,
    handles: HashMap<u64, Value>,
    tasks: HashMap<u64, String>,
}

/// Returns the callbacks of a trace, in the order in which they ran.
pub fn rows(trace: &str) -> Vec<Row> {
    let events: Vec<Value> = trace.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut loops: HashMap<u64, LoopNames> = HashMap::new();
    let mut rows: Vec<(Row, (u64, u64))> = Vec::new();
    let mut places: HashMap<(u64, u64), usize> = HashMap::new();
    let mut readers = HashSet::new();
    // A task's last name counts, as in the page.
    for event in events.iter().filter(|event| event["e"] == "task") {
        let tasks = &mut loops.entry(event["l"].as_u64().unwrap_or(1)).or_default().tasks;
        tasks.insert(number(event, "task"), text(event, "name").replace('`', "'"));
    }
    for event in &events {
        let l = event["l"].as_u64().unwrap_or(1);
        let of = loops.entry(l).or_default();
        match text(event, "e") {
            "turn" => of.turn = number(event, "n"),
            "timer" => drop(of.handles.insert(number(event, "h"), event.clone())),
            "due" => {
                let timer = of.handles.get(&number(event, "h")).cloned().unwrap_or_default();
                of.entries.insert(number(event, "q"), timer);
            }
            "push" => {
                if event["via"] == "signal" {
                    readers.insert((l, number(event, "by")));
                }
                of.entries.insert(number(event, "q"), event.clone());
            }
            kind @ ("run" | "skip") => {
                let q = number(event, "q");
                let entry = of.entries.get(&q).cloned().unwrap_or_default();
                places.insert((l, q), rows.len());
                rows.push((row(of, &entry, kind == "skip"), (l, q)));
            }
            "out" => {
                let place = event["by"].as_u64().and_then(|by| places.get(&(l, by)));
                if let Some(&place) = place {
                    rows[place].0.text.push_str(text(event, "text"));
                }
            }
            _ => {}
        }
    }
    // CPython reads its self-pipe when a thread wakes it, too. looplab does not.
    rows.retain(|(row, q)| row.name != "read_signals" || readers.contains(q));
    rows.into_iter().map(|(row, _)| row).collect()
}

fn row(of: &LoopNames, entry: &Value, skipped: bool) -> Row {
    let label = text(entry, "cb");
    let task = entry["task"].as_u64().filter(|_| ["step", "wakeup"].contains(&text(entry, "kind")));
    let last = label.rsplit("::").next().unwrap_or(label).rsplit('.').next().unwrap_or(label);
    let (what, name, shown) = if let Some(task) = task {
        let name = of.tasks.get(&task).cloned().unwrap_or_else(|| format!("task {task}"));
        let automatic = name.strip_prefix("Task-").is_some_and(|rest| rest.parse::<u64>().is_ok());
        ("task", if automatic { "*".to_string() } else { name.clone() }, name)
    } else if entry["own"] == true || label == "read_signals" {
        ("own", last.to_string(), last.to_string())
    } else if is_closure(label) {
        ("code", "*".to_string(), label.to_string())
    } else {
        ("code", last.to_string(), last.to_string())
    };
    Row { what, name, shown, text: String::new(), skipped, turn: of.turn }
}

/// A closure has no name, and a plain builtin of one side is a closure on the other.
fn is_closure(label: &str) -> bool {
    let closure = label.contains("{closure") && label.ends_with('}') || label.ends_with("<lambda>");
    closure || !(label.contains("::") || label.contains('.') || label.contains('_'))
}

fn number(event: &Value, key: &str) -> u64 {
    event[key].as_u64().unwrap_or_default()
}

fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event[key].as_str().unwrap_or_default()
}

/// Aligns two lists by their longest common subsequence.
pub fn align(left: &[Row], right: &[Row]) -> Vec<Pair> {
    let width = right.len() + 1;
    let mut longest = vec![0_u32; (left.len() + 1) * width];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            longest[i * width + j] = if left[i].is_like(&right[j]) {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < left.len() || j < right.len() {
        let (one, other) = (left.get(i), right.get(j));
        let down = longest.get((i + 1) * width + j).copied().unwrap_or_default();
        if let (Some(one), Some(other)) = (one, other)
            && one.is_like(other)
        {
            pairs.push((Some(one.clone()), Some(other.clone())));
            (i, j) = (i + 1, j + 1);
        } else if other.is_none() || (one.is_some() && down >= longest[i * width + j + 1]) {
            pairs.push((one.cloned(), None));
            i += 1;
        } else {
            pairs.push((None, other.cloned()));
            j += 1;
        }
    }
    pairs
}
