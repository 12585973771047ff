//! `xray.py` on each CPython found: the twins print the same with it, and their traces hold.
//!
//! The Pythons are those on the PATH (`python3`, `python3.8` to `python3.15`) and those that
//! `LOOPLAB_PYTHON` names, separated by colons. Each version is tried once. A twin that needs a
//! module, or a newer Python, is compared as it fails: the same output and the same status.

use crate::browser::Browser;
use crate::lessons::{Kept, WALK};
use looplab::xray::{Replay, sentences};
use serde_json::Value;
use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::thread;
use support::{root, watchdog};
use tempfile::TempDir;

/// How many programs run at a time. Most of them sleep.
const AT_A_TIME: usize = 4;

/// The Pythons that answer, by version, oldest first.
pub(crate) fn pythons() -> Vec<(u32, String)> {
    let named = env::var("LOOPLAB_PYTHON").unwrap_or_default();
    let usual = (8..=15).map(|minor| format!("python3.{minor}"));
    let all = named.split(':').filter(|name| !name.is_empty()).map(str::to_owned).chain(usual);
    let mut found: Vec<(u32, String)> = Vec::new();
    for name in all.chain(["python3".to_owned()]) {
        let asked = Command::new(&name)
            .args(["-c", "import sys; print(sys.implementation.name, sys.version_info[1], sys.executable)"])
            .stderr(Stdio::null())
            .output();
        let Ok(answer) = asked else { continue };
        let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
        // The program itself starts sooner than a script of the PATH that starts it.
        let parts: Vec<&str> = answer.trim().splitn(3, ' ').collect();
        let ["cpython", minor, program] = parts[..] else { continue };
        let minor = minor.parse().expect("a number");
        if minor >= 8 && found.iter().all(|(known, _)| *known != minor) {
            found.push((minor, program.to_owned()));
        }
    }
    found.sort();
    found
}

/// The names of the lessons with a twin.
fn twins() -> Vec<String> {
    let files = fs::read_dir(root().join("examples")).expect("examples");
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let mut twins: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(".py")?.to_owned())).collect();
    twins.sort();
    twins
}

/// Returns the place of a twin, from the folder in which it runs.
fn twin(lesson: &str) -> String {
    format!("examples/{lesson}.py")
}

/// Writes `xray.py` with the page in it.
pub(crate) fn xray_py(folder: &Path) -> PathBuf {
    let file = folder.join("xray.py");
    fs::write(&file, looplab::xray::python()).expect("a file");
    file
}

/// Prepares a Python for programs that print the same everywhere.
pub(crate) fn program(python: &str) -> Command {
    let mut command = Command::new(python);
    for name in ["PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONWARNINGS"] {
        command.env_remove(name);
    }
    command.env("PYTHONUTF8", "1").env("PYTHONUNBUFFERED", "1").current_dir(root()).stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("a Python that has answered")
}

fn what_is_seen(output: &Output) -> (ExitStatus, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // A thread says this of a child that outlives its loop, if the process does not end before (lesson 58).
    let late = |line: &&str| !(line.starts_with("Loop <") && line.contains("> that handles pid "));
    let said: String = text(&output.stderr).split_inclusive('\n').filter(late).collect();
    // Addresses of objects differ from one run to the next.
    let mut parts = said.split("0x").map(str::to_owned);
    let first = parts.next().unwrap_or_default();
    let rest = parts.map(|part| part.trim_start_matches(|c: char| c.is_ascii_hexdigit()).to_owned());
    (output.status, text(&output.stdout), first + &rest.collect::<Vec<_>>().join(""))
}

/// A trace is valid by the schema, each `run` takes what a `push` queued, each event has its
/// sentence, and its `out` lines are what was printed.
fn assert_holds(trace: &str, printed: &str, schema: &jsonschema::Validator, what: &str) {
    let mut replay = Replay::new();
    let mut told = String::new();
    for line in trace.lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        if let Err(error) = schema.validate(&event) {
            panic!("{what}: {error}\n{line}");
        }
        replay.line(line).unwrap_or_else(|error| panic!("{what}: {error}\n{line}"));
        if event["e"] == "out" {
            told.push_str(event["text"].as_str().expect("a text"));
        }
    }
    assert_eq!(told, printed, "{what}: the output's lines");
    for sentence in sentences(trace).unwrap_or_else(|error| panic!("{what}: {error}")) {
        assert!(!sentence.text.is_empty(), "{what}: {}", sentence.s);
    }
}

/// A run of a twin with `xray.py`.
pub(crate) struct Traced {
    output: Output,
    /// `None` if the twin could not run.
    pub(crate) trace: Option<String>,
}

impl Traced {
    fn run(python: &str, xray: &Path, lesson: &str, clock: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("trace.jsonl");
        let output = run(program(python).arg(xray).args(clock).arg("-o").arg(&file).arg(twin(lesson)));
        let trace = fs::read_to_string(file).ok();
        Self { output, trace }
    }
}

/// Runs a lesson's twin in virtual time on the newest Python.
pub(crate) fn record(python: &str, xray: &Path, lesson: &str) -> &'static Traced {
    static TWINS: Kept<Traced> = Kept::new();
    TWINS.get(lesson, || Traced::run(python, xray, lesson, Some("--virtual")))
}

/// Returns the trace of a twin that runs to its end.
pub(crate) fn trace_of(python: &str, xray: &Path, lesson: &str) -> Option<&'static str> {
    let traced = record(python, xray, lesson);
    traced.trace.as_deref().filter(|_| traced.output.status.success())
}

/// Runs a twin until it shows what is wanted, three times at most. Returns the last run.
///
/// A twin has timers. A machine that stands still for a tenth of a second brings two of them together, and in real time
/// that changes what the twin prints.
fn run_until_same<T>(wanted: &Output, output: impl Fn(&T) -> &Output, run: impl Fn() -> T) -> T {
    let wanted = what_is_seen(wanted);
    let same = |ran: &T| what_is_seen(output(ran)) == wanted;
    (0..2).map(|_| run()).find(same).unwrap_or_else(run)
}

/// Compares a twin's run with that without `xray.py`. Returns whether this Python has what it needs.
fn compare(traced: &Traced, plain: &Output, schema: &jsonschema::Validator, what: &str) -> bool {
    assert_eq!(what_is_seen(&traced.output), what_is_seen(plain), "{what}");
    let trace = traced.trace.as_ref().expect("a trace");
    assert_holds(trace, &String::from_utf8_lossy(&plain.stdout), schema, what);
    plain.status.success()
}

#[test]
fn every_twin_prints_the_same_with_xray_py_and_its_trace_holds() {
    let pythons = pythons();
    let newest = pythons.last().map(|(minor, _)| *minor);
    if newest.is_none() {
        support::complain("no CPython here: xray.py is not tested");
    }
    let schema = crate::schema();
    let folder = tempfile::tempdir().expect("a folder");
    let xray = xray_py(folder.path());
    let mut jobs = Vec::new();
    for (minor, python) in &pythons {
        for lesson in twins() {
            // Without it (before 3.9) a thread waits for ever, with `xray.py` and without.
            let text = fs::read_to_string(root().join(twin(&lesson))).expect("a twin");
            if *minor >= 9 || !text.contains("to_thread") {
                jobs.push((*minor, python, lesson));
            }
        }
    }
    let ran = |minor: u32, python: &str, lesson: &str| {
        let plainly = || run(program(python).arg(twin(lesson)));
        let what = |clock: &str| format!("{lesson} on {python}, {clock}");
        let in_virtual_time = || Traced::run(python, &xray, lesson, Some("--virtual"));
        let own = (Some(minor) != newest).then(in_virtual_time);
        let traced = own.as_ref().unwrap_or_else(|| record(python, &xray, lesson));
        let plain = run_until_same(&traced.output, |output| output, plainly);
        // While a socket is open, time is real with `xray.py`, too: the traced run may be the one that was late.
        let late = what_is_seen(&traced.output) != what_is_seen(&plain);
        let again = late.then(|| run_until_same(&plain, |traced| &traced.output, in_virtual_time));
        let has_all = compare(again.as_ref().unwrap_or(traced), &plain, &schema, &what("virtual"));
        if own.is_none() {
            let in_real_time = || Traced::run(python, &xray, lesson, None);
            let traced = run_until_same(&plain, |traced| &traced.output, in_real_time);
            compare(&traced, &plain, &schema, &what("real"));
        }
        has_all
    };
    let (jobs, good) = (Mutex::new(jobs), Mutex::new(HashMap::<u32, usize>::new()));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some((minor, python, lesson)) = jobs.lock().expect("no panic").pop() {
                    let _watchdog = watchdog();
                    let ran = ran(minor, python, &lesson);
                    *good.lock().expect("no panic").entry(minor).or_default() += usize::from(ran);
                }
            });
        }
    });
    for (minor, count) in good.into_inner().expect("no panic") {
        // The twins use what came with 3.11. Some need a module.
        let least = if minor >= 11 { 30 } else { 15 };
        assert!(count >= least, "{count} twins ran on 3.{minor}");
    }
}

/// Returns a Python of this machine and `xray.py` in a folder.
pub(crate) fn python_and_xray() -> Option<(String, TempDir, PathBuf)> {
    let Some((_, python)) = pythons().pop() else {
        support::complain("no CPython here: xray.py is not tested");
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = xray_py(folder.path());
    Some((python, folder, file))
}

#[test]
fn the_page_says_of_a_twins_run_what_rust_says() {
    let (Some(mut browser), Some((python, folder, xray))) = (Browser::start(), python_and_xray()) else {
        return;
    };
    for lesson in [
        "05_create_task_after_stop",
        "12_gather_needs_return_exceptions",
        "25_executor_and_closed_loop",
        "33_shield",
    ] {
        let _watchdog = watchdog();
        let trace = trace_of(&python, &xray, lesson).expect("the twin runs");
        let page = folder.path().join("page.html");
        fs::write(&page, looplab::xray::page(&[("Python", trace)])).expect("the page");
        browser.open(&page, "");
        let walked = browser.eval(WALK);
        assert_eq!(walked["differences"], serde_json::json!([]), "{lesson}");
        let told: Vec<Value> = sentences(trace)
            .expect("a trace")
            .iter()
            .map(|told| serde_json::json!([told.s, told.who, told.text]))
            .collect();
        assert!(told.len() > 50, "{lesson}");
        assert_eq!(walked["sentences"], Value::Array(told), "{lesson}");
    }
    browser.is_content();
}

#[test]
fn a_due_timer_that_is_cancelled_before_it_runs_is_cancelled_in_the_trace() {
    let Some((python, folder, xray)) = python_and_xray() else { return };
    let _watchdog = watchdog();
    let text = "import asyncio\nloop = asyncio.new_event_loop()\ndef first():\n    second.cancel()\n    loop.call_soon(loop.stop)\n\
                when = loop.time() + 0.01\nloop.call_at(when, first)\nsecond = loop.call_at(when, print, 'second')\n\
                loop.run_forever()\nloop.close()\n";
    fs::write(folder.path().join("p.py"), text).expect("a program");
    let trace = folder.path().join("p.jsonl");
    let mut traced = program(&python);
    traced.current_dir(folder.path()).arg(&xray).args(["--virtual", "-o", "p.jsonl", "p.py"]);
    assert!(run(&mut traced).status.success());
    let trace = fs::read_to_string(trace).expect("the trace");
    assert_holds(&trace, "", &crate::schema(), "two timers");
    let kinds: Vec<Value> = trace
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["e"].clone())
        .filter(|kind| ["due", "run", "cancel", "skip"].iter().any(|known| kind == known))
        .collect();
    assert_eq!(kinds, ["due", "due", "run", "cancel", "skip", "run"]);
}

#[test]
fn xray_py_refuses_what_it_cannot_do_and_keeps_the_programs_arguments_and_status() {
    let Some((python, folder, xray)) = python_and_xray() else { return };
    let _watchdog = watchdog();
    for (arguments, answer) in [
        (&[][..], "usage: python3 xray.py"),
        (&["-o", "x.txt", "p.py"], "usage: python3 xray.py"),
        (&["no_such.py"], "xray: no_such.py: No such file or directory"),
        (&["-o", "no/such/x.html", "p.py"], "xray: no/such/x.html: No such file or directory"),
    ] {
        fs::write(folder.path().join("p.py"), "").expect("a program");
        let refused = run(program(&python).current_dir(folder.path()).arg(&xray).args(arguments));
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(answer), "{arguments:?}: {refused:?}");
    }
    let text = "import sys, asyncio\nasync def main():\n    print(sys.argv[1:], __name__)\n    sys.exit(3)\nasyncio.run(main())\n";
    fs::write(folder.path().join("p.py"), text).expect("a program");
    let ended = run(program(&python).current_dir(folder.path()).arg(&xray).args(["p.py", "-o", "a b"]));
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "['-o', 'a b'] __main__\n");
    let page = fs::read_to_string(folder.path().join("p.html")).expect("the page is named after the program");
    assert!(page.starts_with(&looplab::xray::page(&[])), "it is the page");
}

#[test]
fn xray_py_beside_the_pages_files_makes_the_same_page() {
    let Some((python, folder, _)) = python_and_xray() else { return };
    let _watchdog = watchdog();
    let here = root().join("src/xray/page/xray.py");
    let program_file = folder.path().join("p.py");
    fs::write(&program_file, "").expect("a program");
    let page = folder.path().join("x.html");
    let made = run(program(&python).arg(here).arg("-o").arg(&page).arg(program_file));
    assert!(made.status.success(), "{made:?}");
    let page = fs::read_to_string(page).expect("the page");
    assert!(page.starts_with(&looplab::xray::page(&[])), "PARTS of xray.py names the files of page.rs");
}
