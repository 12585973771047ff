//! Programs: compiled by rustc against what cargo has built for the chapters, run, and what they print.
//!
//! Alternative: a package of cargo for each program. Problem: 60 packages take cargo longer to think about than rustc to
//! compile.

use crate::chapter::root;
use serde_json::Value;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may run. One that runs longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// What rustc needs to find the packages of the chapters.
#[derive(Debug)]
pub(crate) struct Compiler {
    externs: Vec<(String, PathBuf)>,
}

impl Compiler {
    /// Builds the chapters' packages.
    pub(crate) fn new() -> Result<Self, String> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "-q", "-p", "looplab-build", "--bins"]);
        command.arg("--message-format=json-render-diagnostics").current_dir(root());
        let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("cargo: {error}"))?;
        if !output.status.success() {
            return Err("the chapters do not compile: see what cargo said".to_owned());
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        // Chapter 10 itself is no package that a chapter uses.
        let externs = messages.lines().filter_map(library).filter(|(name, _)| name != "looplab");
        Ok(Self { externs: externs.collect() })
    }

    /// Compiles one file. The error is what rustc says.
    pub(crate) fn compile(&self, source: &Path, program: &Path, more: &[String]) -> Result<(), String> {
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(rustc);
        command.args(["--edition", "2024", "--cap-lints", "warn", "-A", "warnings", "-C", "debuginfo=0"]);
        for (name, path) in &self.externs {
            command.arg("--extern").arg(format!("{name}={}", path.display()));
            command.arg("-L").arg(format!("dependency={}", path.parent().unwrap_or(path).display()));
        }
        command.args(more).arg("-o").arg(program).arg(source);
        let output = command.output().map_err(|error| format!("rustc: {error}"))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

/// Returns the name and the file of a library that cargo says it has built.
fn library(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let kinds = message["target"]["kind"].as_array()?;
    if message["reason"] != "compiler-artifact" || !kinds.iter().any(|kind| kind == "lib") {
        return None;
    }
    let file = message["filenames"]
        .as_array()?
        .iter()
        .find(|file| file.as_str().is_some_and(|file| file.ends_with(".rlib")))?;
    Some((message["target"]["name"].as_str()?.replace('-', "_"), file.as_str()?.into()))
}

/// Runs a program. What it prints is followed by a line about its end if it does not end well.
pub(crate) fn run(program: &Path, patience: Duration) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", program.display());
    let printed = program.with_extension("printed");
    let stdout = File::create(&printed).map_err(failed)?;
    let mut child = Command::new(program)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let began = Instant::now();
    let end = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => break String::new(),
            Some(status) => break format!("[{status}]\n"),
            None if began.elapsed() < patience => thread::sleep(Duration::from_millis(5)),
            None => {
                child.kill().map_err(failed)?;
                child.wait().map_err(failed)?;
                break "[it hangs]\n".to_owned();
            }
        }
    };
    let printed = fs::read(&printed).map_err(failed)?;
    Ok(String::from_utf8_lossy(&printed).into_owned() + &end)
}

/// Calls `work` for each item, several at a time, and returns the results in the items' order.
pub(crate) fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = Mutex::new(0..items.len());
    let results = Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(2, usize::from) + 1;
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.lock().expect("no worker panics under the lock").next();
                    let Some(index) = index else { return };
                    let result = work(&items[index]);
                    results.lock().expect("no worker panics under the lock").push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no worker panics under the lock");
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Says where two texts part, in the first line that differs; `None` if they are the same.
pub(crate) fn first_difference(expected: &str, printed: &str) -> Option<String> {
    if expected == printed {
        return None;
    }
    let (mut wanted, mut found) = (expected.lines(), printed.lines());
    for line in 1.. {
        let (wanted, found) = (wanted.next(), found.next());
        if wanted != found || wanted.is_none() {
            let show = |line: Option<&str>| line.map_or("(the end)".to_owned(), |line| format!("{line:?}"));
            return Some(format!(
                "line {line} differs\n    expected: {}\n    printed:  {}",
                show(wanted),
                show(found)
            ));
        }
    }
    None
}
