//! `LOOPLAB_TRACE` with real loops: what is recorded, and in which file.
//!
//! The variable is read once per process, so each test runs itself again in processes of their own.

mod files;
mod observers;
mod origins;
mod output;
mod without;

use looplab::xray::Replay;
use std::fs;
use std::path::Path;
use std::process::Command;
use support::Process;

/// Runs `command` with its trace in `file`; what the file holds then.
fn traced(command: &mut Command, file: &Path) -> String {
    Process::start(command.env("LOOPLAB_TRACE", file)).end().fine();
    fs::read_to_string(file).expect("a trace")
}

/// Replays a whole trace; the parsed lines.
fn replayed(text: &str) -> Vec<serde_json::Value> {
    let mut replay = Replay::new();
    let line = |line: &str| {
        replay.line(line).unwrap_or_else(|error| panic!("{error}\n{text}"));
        serde_json::from_str(line).expect("a line is JSON")
    };
    text.lines().map(line).collect()
}
