//! Every lesson's run: the page's state and sentences at each event, beside the loop's own state and Rust's sentences.

use crate::browser::Browser;
use looplab::xray::{History, page, sentences};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use support::{examples, root, watchdog, with_default_signals};

/// The names of all lessons.
pub(crate) fn lessons() -> Vec<String> {
    let files = fs::read_dir(root().join("examples")).expect("examples");
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned()))
        .filter(|name| !["tour", "lab"].contains(&name.as_str()))
        .collect();
    names.sort();
    names
}

/// What was recorded for one test serves the others, too.
#[derive(Debug)]
pub(crate) struct Kept<T: 'static>(Mutex<BTreeMap<String, &'static OnceLock<T>>>);

impl<T> Kept<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Returns what is kept under a name, which `make` makes once.
    pub(crate) fn get(&self, name: &str, make: impl FnOnce() -> T) -> &'static T {
        let mut kept = self.0.lock().expect("no panic while a name is looked up");
        let cell = *kept.entry(name.to_owned()).or_insert_with(|| Box::leak(Box::default()));
        drop(kept);
        cell.get_or_init(make)
    }
}

/// Returns a lesson's trace in virtual time, with snapshots and its source text; nothing for a lesson
/// that makes no loop.
pub(crate) fn record(lesson: &str, folder: &Path) -> Option<&'static str> {
    static TRACES: Kept<Option<String>> = Kept::new();
    TRACES.get(lesson, || run(lesson, folder)).as_deref()
}

fn run(lesson: &str, folder: &Path) -> Option<String> {
    let file = folder.join(format!("{lesson}.jsonl"));
    let mut program = Command::new(examples().join(lesson));
    // From the root the sources of the lessons and of what they use are found.
    program.current_dir(root()).env("CARGO_MANIFEST_DIR", root());
    // A trace holds what is printed to a file.
    let printed = fs::File::create(folder.join(format!("{lesson}.printed"))).expect("a file for the output");
    let status = with_default_signals(&program)
        .unwrap_or(program)
        .env("LOOPLAB_TRACE", &file)
        .env("LOOPLAB_TRACE_SNAPSHOTS", "1")
        .env("LOOPLAB_CLOCK", "virtual")
        .stdin(Stdio::null())
        .stdout(printed)
        .stderr(Stdio::null())
        .status()
        .expect("the lesson's program");
    assert!(status.success(), "{lesson}: {status}");
    let trace = fs::read_to_string(file).ok().filter(|trace| !trace.is_empty())?;
    Some(with_source(trace, lesson))
}

/// Adds the lesson's source, unless the trace has it.
fn with_source(trace: String, lesson: &str) -> String {
    if trace.contains(r#""k":"file""#) {
        return trace;
    }
    let path = format!("examples/{lesson}.rs");
    let text = fs::read_to_string(root().join(&path)).expect("the lesson's source");
    let last: Value = serde_json::from_str(trace.lines().last().expect("a line")).expect("JSON");
    let s = last["s"].as_u64().expect("s") + 1;
    let line = json!({ "s": s, "t": last["t"], "e": "def", "k": "file", "id": 1, "v": path, "text": text });
    format!("{trace}{line}\n")
}

/// Writes the page of a lesson.
pub(crate) fn page_of(lesson: &str, folder: &Path) -> std::path::PathBuf {
    let trace = record(lesson, folder).expect("the lesson has a loop");
    let file = folder.join(format!("{lesson}.html"));
    fs::write(&file, page(&[("Rust", trace)])).expect("the page");
    file
}

/// Walks through the trace forward and back. Returns the sentences, and the first differences.
pub(crate) const WALK: &str = "(() => {
    const { traces: [trace], Replay, sentenceAt } = window.xray;
    const replay = new Replay(trace);
    const differences = [], sentences = [];
    const n = trace.events.length;
    for (let k = 0; k < 2 * n; k++) {
        const i = k < n ? k : 2 * n - 1 - k;
        const event = trace.events[i];
        const loops = replay.at(i);
        const snap = trace.snaps.get(i);
        const state = JSON.stringify(loops.get(event.l ?? 1).snap(trace));
        if (snap && state !== JSON.stringify(snap)) differences.push(`${event.s}: ${state} is not ${JSON.stringify(snap)}`);
        const { who, say } = sentenceAt(trace, loops, i);
        if (k < n) sentences.push([event.s, who, say]);
        else if (sentences[i][2] !== say) differences.push(`${event.s}: going back: ${say}`);
    }
    return { differences: differences.slice(0, 3), sentences, snaps: trace.snaps.size };
})()";

/// Returns the page's causes of each entry, at the line that runs it or queues it: text, line and turn.
const CAUSES: &str = "(() => {
    const [trace] = xray.traces;
    const asked = [];
    trace.events.forEach((event, at) => {
        const s = trace.replay.at(at).get(event.l ?? 1);
        if (event.q === undefined || (s.current ?? event.q) !== event.q) return;
        asked.push([event.s, causesOf(trace, s.l, event.q).map((link) => [link.text, trace.events[link.at].s, turnWords(trace, link.at)])]);
    });
    return asked;
})()";

/// Compares the causes that the page gives with those of Rust. Returns of how many entries.
fn causes_are_the_same(lesson: &str, asked: &Value, history: &History) -> usize {
    let asked = asked.as_array().expect("a list");
    for entry in asked {
        let causes = history.causes(entry[0].as_u64().expect("a line"));
        let causes: Vec<Value> = causes
            .iter()
            .map(|cause| {
                let turn = cause.turn.map_or_else(|| "before".to_owned(), |turn| format!("turn {turn}"));
                json!([cause.text, cause.s, turn])
            })
            .collect();
        assert!(!causes.is_empty(), "{lesson}: {entry}");
        assert_eq!(Value::Array(causes), entry[1], "{lesson}, line {}: Rust says the left one", entry[0]);
    }
    asked.len()
}

#[test]
fn the_pages_state_is_the_loops_own_and_its_sentences_are_rusts() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (mut events, mut entries) = (0, 0);
    for lesson in lessons() {
        let _watchdog = watchdog();
        let Some(trace) = record(&lesson, folder.path()) else { continue };
        let file = folder.path().join(format!("{lesson}.html"));
        fs::write(&file, page(&[("Rust", trace)])).expect("the page");
        browser.open(&file, "");
        let walked = browser.eval(WALK);
        assert_eq!(walked["differences"], json!([]), "{lesson}");
        assert!(walked["snaps"].as_u64() > Some(10), "{lesson} has no snapshots");
        let told = sentences(trace).unwrap_or_else(|error| panic!("{lesson}: {error}"));
        let shown = walked["sentences"].as_array().expect("a list");
        assert_eq!(told.len(), shown.len(), "{lesson}: each event has one sentence");
        for (told, shown) in told.iter().zip(shown) {
            assert_eq!(&json!([told.s, told.who, told.text]), shown, "{lesson}: Rust says the left one");
            let sides = ["loop", "code", "program", "outside", "thread"];
            let broken = ["undefined", "NaN", "[object", "{", "``"].iter().any(|bad| {
                // A closure's code may hold a brace.
                told.text.contains(bad) && !(*bad == "{" && told.text.contains('`'))
            });
            assert!(!told.text.is_empty() && !broken && sides.contains(&&*told.who), "{lesson}: {told:?}");
        }
        let history = History::read(trace).expect("a trace");
        entries += causes_are_the_same(&lesson, &browser.eval(CAUSES), &history);
        events += shown.len();
    }
    assert!(entries > 1000, "the causes of {entries} entries were compared");
    assert!(events > 5000, "{events} events of all lessons were compared");
    browser.is_content();
}
