//! `tour xray`: one lesson as a page that replays its run, forward and back.
//!
//! The lesson itself writes a trace, because `LOOPLAB_TRACE` is set. Its twin does so with `xray.py`, on the newest
//! CPython found that has what the twin needs. The clock is virtual: a page made twice is the same, and no
//! time of the machine distracts.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binaries::Binaries;
use crate::lessons::Lesson;
use crate::python::{self, Python, has_twin, missing_module};
use crate::run::{Check, clean};
use crate::screen::{Mark, Screen, notice};
use crate::{Stop, child};

/// A run's trace, with the name that its button in the page shows.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) name: String,
    pub(crate) lines: String,
}

/// Runs `lesson` and its twin, makes their page and prints where it is. True if the lesson also printed what it
/// should.
pub(crate) fn xray(
    screen: &mut Screen,
    lesson: &Lesson,
    binaries: &Binaries,
    timeout: Duration,
) -> Result<bool, Stop> {
    let (check, rust) = rust_run(screen, lesson, binaries, timeout)?;
    let pythons = match python::find(&[]) {
        Err(Stop::Cannot(_)) => Vec::new(),
        found => found?,
    };
    let traces: Vec<Traced> = rust.into_iter().chain(python_run(lesson, &pythons, timeout)?).collect();
    if traces.is_empty() {
        notice("no page: this lesson makes no loop, so there are no turns to show");
        return Ok(check.ok());
    }
    let traces: Vec<(&str, &str)> =
        traces.iter().map(|trace| (trace.name.as_str(), trace.lines.as_str())).collect();
    leave(screen, &format!("{}.html", lesson.name), &looplab::xray::page(&traces))?;
    Ok(check.ok())
}

/// Writes `xray.py` with the page in it, and prints where it is.
pub(crate) fn write_python(screen: &mut Screen) -> Result<bool, Stop> {
    leave(screen, "xray.py", &looplab::xray::python()).map(|()| true)
}

/// Writes a file into target/xray and prints its path.
fn leave(screen: &mut Screen, name: &str, text: &str) -> Result<(), Stop> {
    // The tour is target/PROFILE/examples/tour.
    let tour = env::current_exe().unwrap_or_default();
    let folder = tour.ancestors().nth(3).unwrap_or(Path::new("target")).join("xray");
    let file = folder.join(name);
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, text));
    written.map_err(|error| cannot(&file, error))?;
    Ok(screen.line(&file.display().to_string())?)
}

fn cannot(file: &Path, error: io::Error) -> Stop {
    Stop::Cannot(format!("{}: {error}", file.display()))
}

fn folder() -> Result<TempDir, Stop> {
    let made = tempfile::Builder::new().prefix("looplab-tour-").tempdir();
    made.map_err(|error| cannot(&env::temp_dir(), error))
}

/// Runs the lesson's program. There is no trace if it makes no loop.
pub(crate) fn rust_run(
    screen: &mut Screen,
    lesson: &Lesson,
    binaries: &Binaries,
    timeout: Duration,
) -> Result<(Check, Option<Traced>), Stop> {
    let program = binaries.of(lesson).map_err(|why| Stop::Cannot(format!("{} {why}", lesson.name)))?;
    let folder = folder()?;
    let file = folder.path().join("trace.jsonl");
    let mut command = clean(Command::new(&program));
    command.env("LOOPLAB_TRACE", &file).env("LOOPLAB_CLOCK", "virtual");
    let ran = child::run_traced(&mut command, timeout, &mut |_| Ok(()))?;
    let check = Check::of(ran, fs::read(lesson.transcript()));
    if let Some(problem) = &check.problem {
        let mark = screen.mark(Mark::Bad);
        notice(&format!("{mark} {:02} traced: the lesson {problem}", lesson.number));
    }
    let lines = read(&file)?;
    let traced = lines.map(|lines| Traced { name: "Rust".to_string(), lines: with_source(lines, lesson) });
    Ok((check, traced))
}

/// Runs the lesson's twin on the newest of these Pythons that has what it needs. There is no trace without one.
pub(crate) fn python_run(
    lesson: &Lesson,
    pythons: &[Python],
    timeout: Duration,
) -> Result<Option<Traced>, Stop> {
    if !has_twin(lesson) {
        return Ok(None);
    }
    let folder = folder()?;
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    fs::write(at("xray.py"), looplab::xray::python()).map_err(|error| cannot(&at("xray.py"), error))?;
    for python in pythons.iter().rev() {
        let ran = python.run_traced(lesson, &at("xray.py"), &at("trace.jsonl"), timeout)?;
        if missing_module(&ran).is_some() {
            continue;
        }
        let [major, minor, _] = python.version;
        let name = format!("Python {major}.{minor}");
        return Ok(read(&at("trace.jsonl"))?.map(|lines| Traced { name, lines }));
    }
    Ok(None)
}

/// Reads a trace; `None` if the program made no loop.
fn read(file: &Path) -> Result<Option<String>, Stop> {
    match fs::read_to_string(file) {
        Ok(lines) => Ok(lines.contains(r#""e":"loop""#).then_some(lines)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot(file, error)),
    }
}

/// Adds the lesson's source to its trace, unless the trace holds it.
fn with_source(lines: String, lesson: &Lesson) -> String {
    let Ok(text) = fs::read_to_string(lesson.source()) else { return lines };
    if lines.contains(r#""k":"file""#) {
        return lines;
    }
    let last: Value =
        lines.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    let (s, t) = (last["s"].as_u64().unwrap_or_default() + 1, &last["t"]);
    let path = format!("examples/{}.rs", lesson.name);
    let line = json!({ "s": s, "t": t, "e": "def", "k": "file", "id": 1, "v": path, "text": text });
    format!("{lines}{line}\n")
}
