//! The pages of the lessons show what the lessons really do: each table in them stands behind a mark,
//! `<!-- trace of examples/NAME.rs -->`, and is what the lesson writes today.
//!
//! Behind `<!-- report of examples/NAME.rs -->` stands what the explorer says, as `examples/NAME.report` keeps it.
//!
//! After a change of a lesson or of the table's form, `LOOPLAB_BLESS=1 cargo test --test book pages` writes the tables
//! anew.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use support::with_default_signals;

const TRACE: &str = "<!-- trace of examples/";
const REPORT: &str = "<!-- report of examples/";

fn pages() -> Vec<PathBuf> {
    let folder = support::root().join("docs/lessons");
    let mut pages: Vec<PathBuf> =
        fs::read_dir(folder).expect("docs/lessons").filter_map(|entry| Some(entry.ok()?.path())).collect();
    pages.sort();
    pages
}

/// The turn table of a lesson in virtual time, with what it prints to `stdout`.
fn table(lesson: &str, stdout: Stdio) -> String {
    let program = support::examples().join(lesson);
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.txt");
    let mut command = Command::new(&program);
    command.env("LOOPLAB_TRACE", &trace).env("LOOPLAB_CLOCK", "virtual").env_remove("COLUMNS");
    // From the root a lesson's source is found.
    command.current_dir(support::root());
    // A lesson that answers Ctrl-C must not inherit "ignore".
    let status = with_default_signals(&command)
        .unwrap_or(command)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert!(status.success(), "{lesson}: {status}");
    fs::read_to_string(trace).expect("a trace")
}

/// Returns a lesson's report up to the first failure, and the verdict on the mended twin.
fn report(lesson: &str) -> String {
    let path = support::root().join(format!("examples/{lesson}.report"));
    let report = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (faulty, mended) = report.split_once("\nmended\n").expect("two reports");
    let (first, rest) = faulty.split_once("    again:  ").expect("a failure");
    let (schedule, rest) = rest.split_once('\n').expect("a schedule");
    let more = if rest.trim().is_empty() { "" } else { "    …\n" };
    format!("{first}    again:  {schedule}\n{more}\nmended\n{}\n", mended.trim_end())
}

/// Returns the page with every block behind such a mark as `block` writes it for the mark's lesson, and their count.
fn with_blocks(page: &str, mark: &str, block: impl Fn(&str) -> String) -> (String, usize) {
    let (mut out, mut blocks) = (String::new(), 0);
    let mut rest = page;
    while let Some(at) = rest.find(mark) {
        let (before, from) = rest.split_at(at);
        let lesson = from[mark.len()..].split(".rs").next().expect("a name");
        let open = from.find("```text\n").expect("a text block behind the mark") + "```text\n".len();
        let close = open + from[open..].find("```").expect("the block ends");
        out.push_str(before);
        out.push_str(&from[..open]);
        out.push_str(&block(lesson));
        rest = &from[close..];
        blocks += 1;
    }
    out.push_str(rest);
    (out, blocks)
}

/// Returns the page with every marked table as it would be written today, and their count.
///
/// A table shows what is printed if standard output is a file. Threads print a moment earlier or later, so the page on
/// threads does without.
fn renewed(page: &str, on_threads: bool) -> (String, usize) {
    let stdout = || if on_threads { Stdio::null() } else { tempfile::tempfile().expect("a file").into() };
    let (page, tables) = with_blocks(page, TRACE, |lesson| table(lesson, stdout()));
    let (page, reports) = with_blocks(&page, REPORT, report);
    (page, tables + reports)
}

#[test]
fn every_table_in_the_lessons_pages_is_what_the_lesson_writes() {
    let mut tables = 0;
    for path in pages() {
        let page = fs::read_to_string(&path).expect("a page");
        let (renewed, found) = renewed(&page, path.ends_with("threads.md"));
        tables += found;
        if std::env::var_os("LOOPLAB_BLESS").is_some() {
            fs::write(&path, renewed).expect("the page can be written");
        } else {
            assert!(page == renewed, "{}: a table is out of date; see the head of this test", path.display());
        }
    }
    assert!(tables >= 36, "{tables} tables found");
}
