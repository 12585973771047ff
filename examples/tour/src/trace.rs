//! `tour trace`: one lesson, and what its loop did in each turn.
//!
//! The lesson itself writes the trace, because `LOOPLAB_TRACE` is set; the tour only says where, and prints
//! the file. Nothing is left behind.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::binaries::Binaries;
use crate::lessons::Lesson;
use crate::run::{Check, Margin, clean, heading};
use crate::screen::{Mark, Screen, notice};
use crate::{Stop, child};

/// What to ask the lesson for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    /// A table to read, after the lesson's output.
    TurnTable,
    /// The events, one JSON object per line, and nothing else on standard output.
    JsonLines,
}

/// Runs `lesson` and prints its trace. True if it also printed what it should: a trace must not change a
/// program.
pub(crate) fn trace(
    screen: &mut Screen,
    lesson: &Lesson,
    binaries: &Binaries,
    timeout: Duration,
    form: Form,
) -> Result<bool, Stop> {
    let program = binaries.of(lesson).map_err(|why| Stop::Cannot(format!("{} {why}", lesson.name)))?;
    let folder = tempfile::Builder::new().prefix("looplab-tour-").tempdir().map_err(|error| {
        Stop::Cannot(format!("a folder for the trace in {}: {error}", env::temp_dir().display()))
    })?;
    let file = folder.path().join(if form == Form::TurnTable { "trace.txt" } else { "trace.jsonl" });
    let mut command = clean(Command::new(program));
    command.env("LOOPLAB_TRACE", &file);
    // The table is as wide as the terminal. A variable that the caller has set goes first.
    if let (None, Some(columns)) = (env::var_os("COLUMNS"), screen.columns) {
        command.env("COLUMNS", columns.to_string());
    }
    let ran = if form == Form::TurnTable {
        heading(screen, lesson)?;
        screen.line("")?;
        let mut margin = Margin::new(screen);
        let ran = child::run_traced(&mut command, timeout, &mut |bytes| margin.feed(bytes))?;
        margin.finish()?;
        ran
    } else {
        let mut to_stderr = |bytes: &[u8]| {
            let _ = io::stderr().write_all(bytes);
            Ok(())
        };
        child::run_traced(&mut command, timeout, &mut to_stderr)?
    };
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let check = Check::of(ran, fs::read(lesson.transcript()));
    print(screen, &file, form, &said)?;
    if let Some(problem) = &check.problem {
        let mark = screen.mark(Mark::Bad);
        notice(&format!("{mark} {:02} traced: the lesson {problem}", lesson.number));
    }
    Ok(check.ok())
}

/// Prints what the lesson wrote: one file, whatever the number of its loops.
fn print(screen: &mut Screen, file: &Path, form: Form, said: &str) -> Result<(), Stop> {
    let trace = match fs::read_to_string(file) {
        Ok(trace) => trace,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let said = said.trim();
            if said.is_empty() {
                notice("no trace: this lesson makes no loop, so there are no turns to show");
                return Ok(());
            }
            return Err(Stop::Cannot(format!(
                "the lesson wrote no trace; on standard error it said: {said:?}"
            )));
        }
        Err(error) => return Err(Stop::Cannot(format!("the trace: {error}"))),
    };
    if form == Form::TurnTable {
        screen.line("")?;
    }
    for line in trace.lines() {
        screen.line(line)?;
    }
    Ok(())
}
