//! What a program prints is in its trace, tied to the callback that printed it, without any change of the program.

use super::replayed;
use looplab::trace::{Event, Record};
use looplab::{Clock, Error, EventLoop, Result, sleep};
use serde_json::Value;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{again, role};

const MS: Duration = Duration::from_millis(1);

fn virtual_loop() -> Result<EventLoop> {
    EventLoop::builder().clock(Clock::virtual_time()).build()
}

/// Runs `command` with a trace and its standard output in a file; the trace, and what was printed.
fn traced(command: &mut Command, trace: &Path, stdout: File) -> String {
    let status = command.env("LOOPLAB_TRACE", trace).env_remove("COLUMNS").stdout(stdout).status();
    assert!(status.expect("it starts").success());
    fs::read_to_string(trace).expect("a trace")
}

/// Each text of a trace, with the label of the entry that printed it, or nothing.
fn prints(lines: &[Value]) -> Vec<(String, String)> {
    let label = |out: &Value| {
        let push = |line: &&Value| line["e"] == "push" && line["l"] == out["l"] && line["q"] == out["by"];
        lines.iter().find(push).map_or("", |push| push["cb"].as_str().unwrap()).to_owned()
    };
    let outs = lines.iter().filter(|line| line["e"] == "out");
    outs.map(|out| (out["text"].as_str().unwrap().to_owned(), label(out))).collect()
}

fn prints_a_part() {
    print!("no line end");
}

fn makes_another_loop() -> Result<()> {
    println!("before");
    let other = virtual_loop()?;
    println!("inside");
    other.close()?;
    println!("after");
    Ok(())
}

fn stops() -> Result<()> {
    println!(" and stop ✓");
    looplab::stop()
}

fn program() -> Result<()> {
    println!("before any loop");
    let lp = virtual_loop()?;
    lp.call_soon(prints_a_part)?;
    lp.call_soon(makes_another_loop)?;
    lp.call_soon(stops)?;
    lp.run_forever()?;
    println!("between runs");
    lp.run_until_complete(async {
        println!("a step");
        sleep(MS).await?;
        println!("another step");
        Ok(())
    })?;
    drop(lp);
    println!("after the loop");
    Ok(())
}

#[test]
fn each_text_is_tied_to_the_callback_that_printed_it_and_all_of_them_are_the_output() -> Result<()> {
    if role().is_some() {
        program()?;
        std::process::exit(0);
    }
    let folder = tempfile::tempdir()?;
    let (trace, out) = (folder.path().join("x.jsonl"), folder.path().join("out"));
    let lines = replayed(&traced(&mut again!("child"), &trace, File::create(&out)?));
    let printed = prints(&lines);
    let whole: String = printed.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(whole, fs::read_to_string(out)?);
    let by_an_entry: Vec<_> = printed.iter().filter(|(_, by)| !by.is_empty()).collect();
    let expected = [
        ("no line end", "prints_a_part"),
        ("before\n", "makes_another_loop"),
        ("inside\n", "makes_another_loop"),
        ("after\n", "makes_another_loop"),
        (" and stop ✓\n", "stops"),
        ("a step\n", "Task-1.step"),
        ("another step\n", "Task-1.wakeup"),
    ];
    let by_an_entry: Vec<_> = by_an_entry.iter().map(|(text, by)| (text.as_str(), by.as_str())).collect();
    assert_eq!(by_an_entry, expected);
    let last = printed.last().expect("a text");
    assert_eq!(last, &("after the loop\n".to_owned(), String::new()));
    // The text comes before the line of the return of the entry that printed it.
    let at = lines.iter().position(|line| line["text"] == "no line end").expect("a text");
    assert_eq!((&lines[at + 1]["e"], &lines[at + 1]["q"]), (&"ret".into(), &lines[at]["by"]));
    Ok(())
}

#[test]
fn a_file_that_is_appended_to_keeps_its_text_out_of_the_trace() -> Result<()> {
    if role().is_some() {
        return program();
    }
    let folder = tempfile::tempdir()?;
    let (trace, out) = (folder.path().join("x.jsonl"), folder.path().join("out"));
    fs::write(&out, "of another day\n")?;
    let appended = OpenOptions::new().append(true).open(&out)?;
    let printed = prints(&replayed(&traced(&mut again!("child"), &trace, appended)));
    assert!(printed.iter().all(|(text, _)| !text.contains("of another day")), "{printed:?}");
    assert!(printed.iter().any(|(text, _)| text.contains("before")), "{printed:?}");
    Ok(())
}

/// An observer that prints between an entry and the next one.
fn prints_after_each_entry(record: &Record<'_>) {
    if let Event::Returned { q, .. } = record.event {
        println!("after {q}");
    }
}

/// Runs a program with its standard output in a file. Returns the lines of its trace.
fn lines_with_output(program: &mut Command) -> Result<Vec<Value>> {
    let folder = tempfile::tempdir()?;
    let (trace, out) = (folder.path().join("x.jsonl"), folder.path().join("out"));
    Ok(replayed(&traced(program, &trace, File::create(out)?)))
}

#[test]
fn what_an_observer_prints_between_two_entries_belongs_to_neither() -> Result<()> {
    if role().is_some() {
        let lp = EventLoop::builder().observer(prints_after_each_entry).build()?;
        lp.call_soon(|| println!("one"))?;
        lp.call_soon(looplab::stop)?;
        lp.run_forever()?;
        std::process::exit(0);
    }
    let lines = lines_with_output(&mut again!("child"))?;
    let printed = prints(&lines);
    let of = |text: &str| {
        let found = printed.iter().find(|(printed, _)| printed.contains(text));
        found.map(|(_, by)| by.is_empty())
    };
    assert_eq!(
        [of("one"), of("after 1"), of("after 2")],
        [Some(false), Some(true), Some(true)],
        "{printed:?}"
    );
    let at = |kind: &str, q: u64| lines.iter().position(|line| line["e"] == kind && line["q"] == q);
    let is_text =
        |line: &Value| line["e"] == "out" && line["text"].as_str().is_some_and(|it| it.contains("after 1"));
    let text = lines.iter().position(is_text);
    assert!(at("ret", 1) < text && text < at("run", 2));
    Ok(())
}

/// An error that says when it is dropped.
#[derive(Debug)]
struct Loud;

impl Drop for Loud {
    fn drop(&mut self) {
        println!("dropped");
    }
}

impl fmt::Display for Loud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("loud")
    }
}

impl std::error::Error for Loud {}

#[test]
fn what_an_error_prints_when_it_is_dropped_after_its_entry_belongs_to_no_entry() -> Result<()> {
    if role().is_some() {
        let lp = virtual_loop()?;
        lp.call_soon(|| Err::<(), _>(Error::other(Loud)))?;
        lp.call_soon(looplab::stop)?;
        lp.run_forever()?;
        std::process::exit(0);
    }
    let lines = lines_with_output(&mut again!("child"))?;
    let text = lines.iter().position(|line| line["text"] == "dropped\n").expect("a text");
    assert_eq!(lines[text].get("by"), None);
    assert_eq!((&lines[text - 1]["e"], &lines[text + 1]["e"]), (&"ret".into(), &"run".into()));
    Ok(())
}

#[test]
fn output_that_goes_to_a_pipe_is_not_in_the_trace() -> Result<()> {
    if role().is_some() {
        return program();
    }
    let folder = tempfile::tempdir()?;
    let trace = folder.path().join("x.jsonl");
    let ended = again!("child").env("LOOPLAB_TRACE", &trace).stdout(Stdio::piped()).output()?;
    assert!(String::from_utf8_lossy(&ended.stdout).contains("inside"));
    assert_eq!(prints(&replayed(&fs::read_to_string(trace)?)), []);
    Ok(())
}

#[test]
fn the_table_shows_a_text_behind_the_callback_that_printed_it() -> Result<()> {
    if role().is_some() {
        program()?;
        std::process::exit(0);
    }
    let folder = tempfile::tempdir()?;
    let (trace, out) = (folder.path().join("x.txt"), folder.path().join("out"));
    let table = traced(&mut again!("child"), &trace, File::create(out)?);
    // The list of what ran begins in the 57th column.
    let ran: Vec<String> = table.lines().map(|line| line.chars().skip(56).collect()).collect();
    let at = |text: &str| ran.iter().position(|line| line.contains(text)).expect(text);
    assert_eq!(ran[at("prints_a_part") + 1], "> no line end", "{table}");
    assert_eq!(ran[at("> after") + 1].split('@').next(), Some("stops"), "{table}");
    assert!(at("> inside") < at("> after") && at("> after") < at("> between runs"), "{table}");
    assert_eq!(ran.last().map(String::as_str), Some("> after the loop"), "{table}");
    Ok(())
}

#[test]
fn a_trace_holds_the_source_of_each_file_that_it_names() -> Result<()> {
    if role().is_some() {
        let lp = virtual_loop()?;
        lp.call_soon(|| println!("late callback"))?;
        lp.call_soon(|| {
            // A remark is no code that fits.
        })?;
        lp.call_soon(looplab::stop)?;
        return lp.run_forever();
    }
    let folder = tempfile::tempdir()?;
    let trace = folder.path().join("x.jsonl");
    let lines = replayed(&traced(&mut again!("child"), &trace, File::create(folder.path().join("out"))?));
    let files: Vec<_> = lines.iter().filter(|line| line["k"] == "file").collect();
    let [file] = files[..] else { panic!("one file: {files:?}") };
    assert_eq!(file["text"].as_str(), Some(include_str!("output.rs")));
    let places = lines.iter().filter(|line| line["k"] == "src");
    let path = file["v"].as_str().expect("a path");
    assert!(places.clone().count() > 2);
    assert!(places.into_iter().all(|place| place["v"].as_str().is_some_and(|v| v.starts_with(path))));
    // The table names a closure by its code.
    let trace = folder.path().join("x.txt");
    let table = traced(&mut again!("child"), &trace, File::create(folder.path().join("out"))?);
    assert!(table.contains("println!(\"late call…@output.rs:"), "{table}");
    assert!(table.contains("closure of line output.rs:"), "{table}");
    // Where the source is not found, it is the closure of a line.
    let table = traced(
        again!("child").current_dir(folder.path()).env_remove("CARGO_MANIFEST_DIR"),
        &trace,
        File::create(folder.path().join("out"))?,
    );
    assert!(!table.contains("println"), "{table}");
    Ok(())
}
