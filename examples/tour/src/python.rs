//! The CPythons of this machine, and a lesson's twin run on one of them.
//!
//! A Python counts if it answers, not if a file of its name exists. A pyenv shim is on the PATH for every
//! version and says "command not found" for most. Other Pythons than CPython, and CPython before 3.11, are
//! refused by name, because the lessons' transcripts are not about them.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Stop;
use crate::child::{self, End, Ran};
use crate::cli::TOUR;
use crate::lessons::Lesson;
use crate::run::clean;

/// Names further Pythons, separated by colons, which are preferred to the usual ones: one with aiohttp, for example.
const OWN: &str = "LOOPLAB_PYTHON";

/// Tried if no Python is named.
const USUAL: [&str; 6] = ["python3.15", "python3.14", "python3.13", "python3.12", "python3.11", "python3"];

/// The lessons use what came with this version (`TaskGroup`, `timeout`, `Runner`).
const OLDEST: [u32; 3] = [3, 11, 0];

/// A shim may be slow, but not this slow.
const PATIENCE: Duration = Duration::from_secs(20);

const WHO_ARE_YOU: &str = "import sys; print(sys.implementation.name, *sys.version_info[:3])";

/// A CPython that has answered.
#[derive(Debug)]
pub(crate) struct Python {
    pub(crate) command: String,
    pub(crate) version: [u32; 3],
}

impl Python {
    pub(crate) fn version(&self) -> String {
        self.version.map(|part| part.to_string()).join(".")
    }

    /// Runs the lesson's twin. Nothing in the environment may change what it prints: no debug mode, no
    /// warning filters, and UTF-8 whatever the locale. Unbuffered, so that a twin killed by the watchdog has
    /// shown how far it came.
    pub(crate) fn run(&self, lesson: &Lesson, timeout: Duration) -> Result<Ran, Stop> {
        child::run(self.program().arg(lesson.twin()), timeout, &mut |_| Ok(()))
    }

    /// Runs the lesson's twin in virtual time with `xray.py`, which writes a trace.
    pub(crate) fn run_traced(
        &self,
        lesson: &Lesson,
        xray: &Path,
        trace: &Path,
        timeout: Duration,
    ) -> Result<Ran, Stop> {
        let mut command = self.program();
        command.arg(xray).args(["--virtual", "-o"]).arg(trace).arg(lesson.twin());
        child::run(&mut command, timeout, &mut |_| Ok(()))
    }

    fn program(&self) -> Command {
        let mut command = clean(Command::new(&self.command));
        for name in ["PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONWARNINGS"] {
            command.env_remove(name);
        }
        command.env("PYTHONUTF8", "1").env("PYTHONUNBUFFERED", "1");
        command
    }
}

/// The Pythons asked for, or the usual ones that answer: each version once, oldest first.
pub(crate) fn find(asked: &[String]) -> Result<Vec<Python>, Stop> {
    let own = env::var(OWN).unwrap_or_default();
    let own = own.split(':').filter(|command| !command.is_empty());
    let candidates: Vec<&str> = if asked.is_empty() {
        own.chain(USUAL).collect()
    } else {
        asked.iter().map(String::as_str).collect()
    };
    let mut pythons: Vec<Python> = Vec::new();
    let mut refused = Vec::new();
    for command in candidates {
        match probe(command)? {
            Ok(version) if pythons.iter().any(|python| python.version == version) => {}
            Ok(version) => pythons.push(Python { command: command.to_string(), version }),
            Err(why) => refused.push(format!("  {command}: {why}")),
        }
    }
    // A named Python is the only one wanted. Going on with the others would answer another question.
    if pythons.is_empty() || (!asked.is_empty() && !refused.is_empty()) {
        let what = if asked.is_empty() {
            "comparing needs a CPython of 3.11 or later, and none answers here. Tried:"
        } else {
            "comparing needs a CPython of 3.11 or later, and this does not answer as one:"
        };
        return Err(Stop::Cannot(format!(
            "{what}\n{}\nName one by its command or path: `{TOUR} compare 05 --python /path/to/python3.12`",
            refused.join("\n")
        )));
    }
    pythons.sort_by_key(|python| python.version);
    Ok(pythons)
}

/// The version that answers to `command`, or why it does not count.
fn probe(command: &str) -> Result<Result<[u32; 3], String>, Stop> {
    let ran = child::run(Command::new(command).args(["-c", WHO_ARE_YOU]), PATIENCE, &mut |_| Ok(()))?;
    if let End::NotFound = ran.end {
        return Ok(Err("not found".to_string()));
    }
    if let Some(problem) = ran.problem() {
        let said = String::from_utf8_lossy(&ran.stderr);
        let first = said.lines().map(str::trim).find(|line| !line.is_empty());
        return Ok(Err(first.map_or(problem.clone(), |first| format!("{problem} ({first})"))));
    }
    let answer = String::from_utf8_lossy(&ran.stdout);
    let words: Vec<&str> = answer.split_whitespace().collect();
    Ok(match words[..] {
        ["cpython", major, minor, micro] => match [major, minor, micro].map(str::parse) {
            [Ok(major), Ok(minor), Ok(micro)] if [major, minor, micro] >= OLDEST => Ok([major, minor, micro]),
            _ => Err(format!("{major}.{minor}.{micro} is older than 3.11")),
        },
        [other, _, _, _] => Err(format!("it is {other}, not CPython")),
        _ => Err("it is no Python".to_string()),
    })
}

/// The module that a program could not import, if that is what ended it.
pub(crate) fn missing_module(ran: &Ran) -> Option<String> {
    ran.problem()?;
    let said = String::from_utf8_lossy(&ran.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty())?;
    let (_, rest) = last.split_once("ModuleNotFoundError: No module named '")?;
    rest.split_once('\'').map(|(module, _)| module.to_string())
}

/// Whether the lesson has a twin at all.
pub(crate) fn has_twin(lesson: &Lesson) -> bool {
    Path::is_file(&lesson.twin())
}
