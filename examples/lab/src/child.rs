//! One program as a child: started in a group of its own, heard while it runs, and ended in time.
//!
//! It guarantees that the group is gone when the run ends, however it ends: by itself, at a limit, or because its task was
//! cancelled. Standard output is a file, so that a trace can tie what is printed to what prints it. Files say nothing
//! when they grow, so they are looked at again and again. What has left the group is found by `strays`.

use crate::strays::Mark;
use looplab::{Result, sleep};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often the child and its files are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What a child may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) time: Duration,
    /// Bytes of standard output, and of standard error.
    pub(crate) output: u64,
    /// Bytes of the trace.
    pub(crate) trace: u64,
}

/// How a child ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) stderr: String,
    /// `None` if it ended by itself with status 0.
    pub(crate) problem: Option<String>,
}

/// Runs `command` to its end or to a limit. `heard` gets its standard output as it comes.
pub(crate) async fn run(
    command: &mut Command,
    limits: Limits,
    trace: Option<&Path>,
    mut heard: impl FnMut(&str),
) -> Result<Ended> {
    let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?).process_group(0);
    let mark = Mark::put(command);
    let began = Instant::now();
    let mut group = match command.spawn() {
        Ok(child) => Group { child, mark, reaped: None },
        Err(error) => {
            let problem = Some(format!("could not be started: {error}"));
            return Ok(Ended { stderr: String::new(), problem });
        }
    };
    let mut printed = Tail { file: stdout, position: 0 };
    let problem = loop {
        let over = group.is_over()?;
        heard(&printed.read(limits.output)?);
        if over {
            break problem(group.end()?);
        }
        if began.elapsed() > limits.time {
            break Some(format!("was still running after {} s and was killed", limits.time.as_secs_f32()));
        }
        if printed.file.metadata()?.len().max(stderr.metadata()?.len()) > limits.output {
            break Some(format!("printed more than {} KiB and was killed", limits.output >> 10));
        }
        if trace.is_some_and(|trace| fs::metadata(trace).is_ok_and(|trace| trace.len() > limits.trace)) {
            break Some(format!("made a trace of more than {} MiB and was killed", limits.trace >> 20));
        }
        sleep(LOOK).await?;
    };
    drop(group);
    let stderr = Tail { file: stderr, position: 0 }.read(limits.output)?;
    Ok(Ended { stderr, problem })
}

/// A child with all that it starts, killed when this value is dropped.
struct Group {
    child: Child,
    mark: Mark,
    reaped: Option<ExitStatus>,
}

impl Group {
    /// Returns whether the child has ended. It is not reaped: until then its number, which is the group's, belongs to no
    /// other process.
    fn is_over(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(Pid::from_child(&self.child)), options)?.is_some())
    }

    /// Kills what is left of the group and what has left it, and reaps the child.
    fn end(&mut self) -> io::Result<ExitStatus> {
        if self.reaped.is_none() {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            self.mark.kill_all();
        }
        let status = self.child.wait()?;
        self.reaped = Some(status);
        Ok(status)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn problem(status: ExitStatus) -> Option<String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("ended with exit status {code}")),
        (None, signal) => Some(format!("was killed by signal {}", signal.unwrap_or_default())),
    }
}

/// A file that grows.
struct Tail {
    file: File,
    position: u64,
}

impl Tail {
    /// Reads what was added, up to `most` bytes of the whole file. Half a character waits for its other half.
    fn read(&mut self, most: u64) -> io::Result<String> {
        let end = self.file.metadata()?.len().min(most);
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(self.position)).unwrap_or_default()];
        let count = self.file.read_at(&mut bytes, self.position)?;
        bytes.truncate(count);
        let whole = match std::str::from_utf8(&bytes) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => count,
        };
        self.position += whole as u64;
        Ok(String::from_utf8_lossy(&bytes[..whole]).into_owned())
    }
}
