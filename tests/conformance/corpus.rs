//! The corpus: programs with what CPython 3.15 printed, replayed without a Python.
//!
//! `corpus/*.json` is written by hand, or is the smallest form of a difference that was found: a program, why it is there,
//! and its lines. `corpus/generated.jsonl` are random programs, one a line. Where looplab differs on purpose, a line is
//! `{"cpython": …, "looplab": …}` (null for no line), and `row` names the row of `docs/differences.md` that allows it;
//! such programs are recorded without the masks of `loops.py`. All others are recorded with Python's own tasks, which keep the
//! message of a cancellation for every reader: not a letter of theirs may differ.

use crate::generate::{self, Dialect};
use crate::live;
use crate::oracle::Oracle;
use crate::world::{self, Output, list, text};
use serde_json::{Value, json};
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::fmt::Write;
use std::path::PathBuf;

/// How many random programs are in the corpus.
const GENERATED: u64 = 3000;
/// Longer programs, and longer answers, would make the corpus large, and show no more.
const LONGEST: usize = 1500;
const LONGEST_LINE: usize = 5000;

/// A program, and what was recorded.
pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) value: Value,
}

impl Recorded {
    pub(crate) fn program(&self) -> &Value {
        &self.value["program"]
    }

    fn row(&self) -> Option<&str> {
        self.value["row"].as_str()
    }

    /// What is expected of `side`: `cpython` or `looplab`.
    pub(crate) fn expected(&self, side: &str) -> Output {
        let lines = |key: &str| {
            let lines = list(&self.value[key]).iter();
            lines
                .filter_map(|line| line.as_str().or_else(|| line[side].as_str()))
                .map(str::to_owned)
                .collect()
        };
        Output { log: lines("log"), late: lines("late") }
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conformance/corpus")
}

/// The programs that were written or found, by name.
pub(crate) fn written() -> Vec<Recorded> {
    let files = std::fs::read_dir(folder()).expect("the corpus").map(|entry| entry.expect("a file").path());
    let mut programs: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("a readable file");
            let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            Recorded { name, value }
        })
        .collect();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    programs
}

/// The random ones.
pub(crate) fn generated() -> Vec<Recorded> {
    let text = std::fs::read_to_string(folder().join("generated.jsonl")).expect("the corpus");
    let read = |(n, line): (usize, &str)| {
        let value: Value = serde_json::from_str(line).expect("JSON");
        Recorded { name: format!("generated {n}"), value }
    };
    text.lines().enumerate().map(read).collect()
}

/// Runs what is recorded on looplab; what it printed otherwise is the answer.
pub(crate) fn replay(recorded: &[Recorded]) -> Vec<String> {
    let mut failed = Vec::new();
    for one in recorded {
        let (expected, ours) = (one.expected("looplab"), world::run(one.program()));
        let (name, why) = (&one.name, text(&one.value["why"]));
        if expected != ours {
            failed.push(format!("{name}: {why}\n{}", live::side_by_side(&expected, &ours)));
        }
        if one.row().is_some() && one.expected("cpython") == expected {
            failed.push(format!("{name}: no line of it is marked, so it needs no row"));
        }
        if one.row().is_none() && one.expected("cpython") != expected {
            failed.push(format!("{name}: a line of it is marked, and no row allows it"));
        }
    }
    failed
}

/// The rows of `docs/differences.md` that are named and do not exist.
pub(crate) fn unknown_rows(recorded: &[Recorded]) -> Vec<String> {
    let table = include_str!("../../docs/differences.md");
    let rows: Vec<&str> =
        table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
    let unknown = recorded.iter().filter(|one| one.row().is_some_and(|row| !rows.contains(&row)));
    unknown.map(|one| format!("{}: no row \"{}\"", one.name, one.row().unwrap_or_default())).collect()
}

/// What a live CPython prints otherwise than was recorded.
pub(crate) fn ask_again(recorded: &[Recorded]) -> Vec<String> {
    let (mut masked, mut plain) = (oracle(" --pure"), oracle(" --plain"));
    let mut failed = Vec::new();
    for one in recorded {
        let oracle = if one.row().is_some() { &mut plain } else { &mut masked };
        let (expected, theirs) = (one.expected("cpython"), oracle.ask(one.program()));
        if theirs.as_ref() != Ok(&expected) {
            let theirs = theirs.unwrap_or_else(|why| Output { log: vec![why], late: vec![] });
            failed.push(format!("{}\n{}", one.name, live::side_by_side(&theirs, &expected)));
        }
    }
    failed
}

fn oracle(options: &str) -> Oracle {
    let oracle =
        Oracle::start(&format!("{}{options}", live::python())).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(oracle.minor, 15, "the corpus is recorded on CPython 3.15");
    oracle
}

/// Asks CPython for every program's lines, and writes them down.
pub(crate) fn record() {
    let (mut masked, mut plain) = (oracle(" --pure"), oracle(" --plain"));
    // A few names, or all and the random ones too.
    let only = std::env::var("LOOPLAB_RECORD").ok();
    let asked = |one: &Recorded| only.as_ref().is_none_or(|prefix| one.name.starts_with(prefix));
    for mut one in written().into_iter().filter(asked) {
        let oracle = if one.row().is_some() { &mut plain } else { &mut masked };
        let theirs = oracle.ask(one.program()).unwrap_or_else(|why| panic!("{}: {why}", one.name));
        let ours = if one.row().is_some() { world::run(one.program()) } else { theirs.clone() };
        one.value["log"] = marked(&theirs.log, &ours.log);
        one.value["late"] = marked(&theirs.late, &ours.late);
        std::fs::write(folder().join(format!("{}.json", one.name)), layout(&one.value)).expect("a file");
    }
    if only.is_some() {
        return;
    }
    let (mut lines, mut count) = (String::new(), 0);
    for seed in 1.. {
        let program = generate::program(seed, Dialect::LATEST);
        if program.to_string().len() > LONGEST {
            continue;
        }
        let Ok(theirs) = masked.ask(&program) else { continue };
        let topic = generate::theme(seed).name();
        let one =
            json!({ "topic": topic, "program": program, "log": theirs.log, "late": theirs.late }).to_string();
        if one.len() > LONGEST_LINE {
            continue;
        }
        writeln!(lines, "{one}").expect("a string");
        count += 1;
        if count == GENERATED {
            break;
        }
    }
    std::fs::write(folder().join("generated.jsonl"), lines).expect("a file");
}

/// The lines of both sides, those that differ as marks.
fn marked(theirs: &[String], ours: &[String]) -> Value {
    let mut lines = Vec::new();
    for change in capture_diff_slices(Algorithm::Myers, theirs, ours) {
        let (theirs, ours) = (&theirs[change.old_range()], &ours[change.new_range()]);
        match change {
            DiffOp::Equal { .. } => lines.extend(theirs.iter().map(|line| json!(line))),
            _ => {
                let pairs = (0..theirs.len().max(ours.len())).map(|n| (theirs.get(n), ours.get(n)));
                lines.extend(pairs.map(|(theirs, ours)| json!({ "cpython": theirs, "looplab": ours })));
            }
        }
    }
    Value::Array(lines)
}

/// As people like to read it: an operation list, or a line that was printed, to a line.
fn layout(value: &Value) -> String {
    let mut text = String::from("{\n");
    for key in ["why", "row"] {
        if let Some(told) = value[key].as_str() {
            let _ = writeln!(text, "  \"{key}\": {},", json!(told));
        }
    }
    text += "  \"program\": {\n";
    let program = value["program"].as_object().expect("a program");
    let parts = ["runner", "handler", "callbacks", "bodies", "script"]
        .into_iter()
        .filter(|key| program.contains_key(*key));
    let parts = parts.map(|key| format!("    \"{key}\": {}", spaced(&program[key])));
    text += &parts.collect::<Vec<_>>().join(",\n");
    text += "\n  },\n";
    let lines = |key: &str| match list(&value[key]) {
        [] => format!("  \"{key}\": []"),
        lines => {
            let lines: Vec<_> = lines.iter().map(|line| format!("    {}", spaced(line))).collect();
            format!("  \"{key}\": [\n{}\n  ]", lines.join(",\n"))
        }
    };
    let _ = writeln!(text, "{},\n{}\n}}", lines("log"), lines("late"));
    text
}

/// JSON on one line, with spaces.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("[{}]", list.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("\"{key}\": {}", spaced(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
