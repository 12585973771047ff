//! Every lesson, recorded: each line of its trace keeps to the schema, and the state rebuilt from the lines is the loop's
//! own after every single event.
//!
//! What a lesson prints from a thread comes a moment earlier or later, so the traces that must repeat are without output.
//! The lessons on sockets and processes are recorded like all others. Only their traces do not repeat byte for byte, not
//! even in virtual time: while a descriptor is registered, time passes as fast as on the wall. The system chooses the ports.

use crate::schema::schema;
use looplab::xray::Replay;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{examples, with_default_signals};

/// The lessons' programs.
fn lessons() -> Vec<PathBuf> {
    let mut names: Vec<String> = fs::read_dir(support::root().join("examples"))
        .expect("examples")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned()))
        .filter(|name| !["tour", "lab", "explore_service"].contains(&name.as_str()))
        .collect();
    names.sort();
    names.iter().map(|name| examples().join(name)).collect()
}

/// Whether a lesson opens sockets or pipes, by itself or through the applications' support code.
fn has_descriptors(lesson: &Path) -> bool {
    let name = lesson.file_name().and_then(|name| name.to_str()).expect("a lesson's name");
    let source = support::root().join("examples").join(name).with_extension("rs");
    let source = fs::read_to_string(source).expect("the lesson's source");
    ["net::", "process::", "use app::"].iter().any(|word| source.contains(word))
}

/// Runs a lesson with a trace; its lines. A lesson that makes no loop has none.
fn record(lesson: &Path, clock: &str, folder: &Path) -> String {
    record_to(lesson, clock, folder, Stdio::null())
}

/// Runs a lesson with a trace and a file as its standard output; the trace's lines, and what was printed.
fn record_with_output(lesson: &Path, folder: &Path) -> (String, String) {
    let printed = folder.join("printed");
    let stdout = fs::File::create(&printed).expect("a file");
    let trace = record_to(lesson, "virtual", folder, stdout.into());
    (trace, fs::read_to_string(printed).expect("a text"))
}

fn record_to(lesson: &Path, clock: &str, folder: &Path, stdout: Stdio) -> String {
    let trace = folder.join("trace.jsonl");
    let _ = fs::remove_file(&trace);
    let program = Command::new(lesson);
    // Started with SIGINT ignored, a lesson that waits for Ctrl-C would wait for ever.
    let status = with_default_signals(&program)
        .unwrap_or(program)
        .env("LOOPLAB_TRACE", &trace)
        .env("LOOPLAB_TRACE_SNAPSHOTS", "1")
        .env("LOOPLAB_CLOCK", clock)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{}: {error}", lesson.display()));
    assert!(status.success(), "{}: {status}", lesson.display());
    fs::read_to_string(trace).unwrap_or_default()
}

fn replay(lesson: &Path, text: &str) -> usize {
    let mut replay = Replay::new();
    let mut snapshots = 0;
    for line in text.lines() {
        replay.line(line).unwrap_or_else(|error| panic!("{}: {error}\n{line}", lesson.display()));
        snapshots += usize::from(line.contains(r#""e":"snap""#));
    }
    snapshots
}

#[test]
fn the_state_rebuilt_from_the_trace_is_the_loops_own_at_every_event_of_every_lesson() {
    let folder = tempfile::tempdir().expect("a folder");
    let lessons = lessons();
    assert!(lessons.len() >= 25, "{} lessons found", lessons.len());
    for lesson in &lessons {
        for clock in ["monotonic", "virtual"] {
            let text = record(lesson, clock, folder.path());
            // A lesson that needs no loop (a coroutine driven by hand) has no trace.
            assert!(text.is_empty() || replay(lesson, &text) > 10, "{} has no snapshots", lesson.display());
        }
    }
}

#[test]
fn each_line_of_each_lessons_trace_keeps_to_the_schema() {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = schema();
    for lesson in lessons() {
        for line in record_with_output(&lesson, folder.path()).0.lines() {
            let value = serde_json::from_str(line).expect("a line is JSON");
            let verdict = schema.validate(&value);
            assert!(verdict.is_ok(), "{}: {line}\n{:?}", lesson.display(), verdict.err());
        }
    }
}

#[test]
fn a_trace_in_virtual_time_repeats_byte_for_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let (outside, alone): (Vec<_>, Vec<_>) =
        lessons().into_iter().partition(|lesson| has_descriptors(lesson));
    assert!(outside.len() < alone.len(), "most lessons need neither");
    for lesson in alone {
        let first = record(&lesson, "virtual", folder.path());
        let second = record(&lesson, "virtual", folder.path());
        assert!(first == second, "{} differs from run to run", lesson.display());
    }
}

#[test]
fn the_texts_in_each_lessons_trace_are_what_it_prints() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut by_entries = 0;
    for lesson in lessons() {
        let (trace, printed) = record_with_output(&lesson, folder.path());
        let lines = trace.lines().filter(|line| line.contains(r#""e":"out""#));
        let outs: Vec<serde_json::Value> =
            lines.map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
        let texts: String = outs.iter().map(|out| out["text"].as_str().expect("a text")).collect();
        by_entries += outs.iter().filter(|out| out["by"].is_u64()).count();
        // A lesson that makes no loop has no trace.
        assert!(trace.is_empty() || texts == printed, "{}: {texts:?}\n{printed:?}", lesson.display());
    }
    assert!(by_entries > 100, "{by_entries} texts have an entry that printed them");
}

#[test]
fn no_place_in_a_lessons_trace_is_a_line_of_looplab() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut places = 0;
    for lesson in lessons() {
        for line in
            record(&lesson, "virtual", folder.path()).lines().filter(|line| line.contains(r#""k":"src""#))
        {
            assert!(!line.contains(r#""v":"src/"#), "{}: {line}", lesson.display());
            places += 1;
        }
    }
    assert!(places > 100, "{places} places found");
}
