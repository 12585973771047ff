//! CPython, asked for what a program prints; and the comparison of two outputs.

use crate::world::{Output, list, text};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// One long-lived Python that runs a program a line.
pub(crate) struct Oracle {
    command: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The version of the Python: `3.13.0`, and its middle number.
    pub(crate) version: String,
    pub(crate) minor: u64,
    /// Whether it keeps the message of a cancellation for every reader, as looplab does: with `--pure`.
    keeps_messages: bool,
}

impl Oracle {
    /// Starts `command` (a Python, with its options) on the oracle's script.
    pub(crate) fn start(command: &str) -> Result<Self, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/conformance.py");
        let mut words = command.split_whitespace();
        let mut python = Command::new(words.next().unwrap_or("python3"));
        // Options behind the script's name are the script's.
        let (scripts, own): (Vec<_>, Vec<_>) = words.partition(|word| word.starts_with("--"));
        let keeps_messages = scripts.contains(&"--pure");
        python.args(own).arg(script).args(scripts).stdin(Stdio::piped()).stdout(Stdio::piped());
        let advice = |error| format!("LOOPLAB_PYTHON={command}: {error}; name a CPython, 3.11 or later");
        let mut child = python.spawn().map_err(|error| advice(error.to_string()))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else { return Err(advice("no pipe".to_owned())) };
        let mut oracle = Self {
            command: command.to_owned(),
            child,
            input,
            output: BufReader::new(output),
            version: String::new(),
            minor: 0,
            keeps_messages,
        };
        let mut hello = String::new();
        let _ = oracle.output.read_line(&mut hello);
        let hello: Value = serde_json::from_str(&hello).unwrap_or_default();
        oracle.minor = hello["minor"].as_u64().ok_or_else(|| advice("it does not answer".to_owned()))?;
        oracle.version = text(&hello["version"]).to_owned();
        Ok(oracle)
    }

    /// What the program prints there; or why that Python cannot be asked.
    pub(crate) fn ask(&mut self, program: &Value) -> Result<Output, String> {
        self.tell(program);
        self.hear()
    }

    /// The first half of asking.
    pub(crate) fn tell(&mut self, program: &Value) {
        writeln!(self.input, "{program}").expect("the oracle reads");
    }

    /// The other half. A Python that crashed is started anew.
    pub(crate) fn hear(&mut self) -> Result<Output, String> {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the oracle answers");
        if line.is_empty() {
            let status = self.child.wait().expect("its status");
            assert!(status.signal().is_some(), "the oracle has ended: {status}");
            *self = Self::start(&self.command)?;
            return Err("a crash of this CPython".to_owned());
        }
        let answer: Value = serde_json::from_str(&line).expect("the oracle answers in JSON");
        match answer.get("skip") {
            Some(why) => Err(text(why).to_owned()),
            None => Ok(read(&answer)),
        }
    }

    /// Where its output and ours differ first.
    pub(crate) fn difference(&self, theirs: &Output, ours: &Output) -> Option<(String, String)> {
        difference(theirs, ours, self.keeps_messages)
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An output as JSON has it.
pub(crate) fn read(value: &Value) -> Output {
    let lines = |key: &str| list(&value[key]).iter().map(|line| text(line).to_owned()).collect();
    Output { log: lines("log"), late: lines("late") }
}

/// Where the outputs differ first: Python's line and ours. Messages of cancellations are compared if Python keeps them.
fn difference(python: &Output, ours: &Output, messages: bool) -> Option<(String, String)> {
    let same = |theirs: &str, ours: &str| theirs == ours || !messages && same(theirs, ours);
    let nothing = || "(nothing)".to_owned();
    for n in 0..python.log.len().max(ours.log.len()) {
        let pick = |lines: &[String]| lines.get(n).cloned().unwrap_or_else(nothing);
        let (theirs, ours) = (pick(&python.log), pick(&ours.log));
        if !same(&theirs, &ours) {
            return Some((theirs, ours));
        }
    }
    // What came late has no order: equal lines belong to each other, then those with a message lost.
    let mut left = ours.late.clone();
    let mut take = |found: &dyn Fn(&String) -> bool| left.iter().position(found).map(|at| left.remove(at));
    let unequal: Vec<&String> =
        python.late.iter().filter(|line| take(&|ours| ours == *line).is_none()).collect();
    let strange = unequal.into_iter().find(|line| take(&|ours| same(line, ours)).is_none());
    match (strange, left.first()) {
        (None, None) => None,
        (theirs, ours) => {
            Some((theirs.cloned().unwrap_or_else(nothing), ours.cloned().unwrap_or_else(nothing)))
        }
    }
}

/// Two lines are the same if they are equal, or if CPython has lost the message of a cancellation, which every reader
/// finds in looplab.
fn same(theirs: &str, ours: &str) -> bool {
    const LOST: &str = "Cancelled()";
    if theirs == ours || !theirs.contains(LOST) {
        return theirs == ours;
    }
    let (Some(from), Some(to)) = (ours.find("Cancelled("), ours.rfind(')')) else { return false };
    format!("{}{LOST}{}", &ours[..from], &ours[to + 1..]) == theirs
}
