//! One child process: started, listened to, and ended in time.
//!
//! Promised: [`run`] returns soon after the timeout, whatever the child does; what it started in
//! its own process group goes with it. Its output is kept up to [`MOST`] bytes, since the usual mistake in a
//! lesson under work is an endless loop that prints. Not promised: a grandchild that leaves the group
//! (setsid) is not hunted.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use signal_hook::low_level::signal_name;

use crate::Stop;
use crate::interrupt::{self, CURRENT, Target};

/// More output than this is an endless loop, not a lesson.
const MOST: usize = 1 << 20;

/// How often a file is looked at that is a child's standard output.
const LOOK: Duration = Duration::from_millis(20);

/// How a child ended.
#[derive(Debug)]
pub(crate) enum End {
    Exited(ExitStatus),
    TimedOut(Duration),
    Flooded,
    NotFound,
    NotStarted(io::Error),
}

/// What a child did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) end: End,
    pub(crate) took: Duration,
}

impl Ran {
    /// Keeps a piece of standard output, and echoes it.
    fn take(&mut self, bytes: Vec<u8>, echo: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if !bytes.is_empty() {
            echo(&bytes)?;
            self.stdout.extend(bytes);
        }
        Ok(())
    }

    /// None if it ended by itself with status 0, else what to say of it: "ended with exit status 3".
    pub(crate) fn problem(&self) -> Option<String> {
        match &self.end {
            End::Exited(status) if status.success() => None,
            End::Exited(status) => Some(match (status.code(), status.signal()) {
                (Some(code), _) => format!("ended with exit status {code}"),
                (None, Some(signal)) => {
                    format!("was killed by {} (signal {signal})", signal_name(signal).unwrap_or("a signal"))
                }
                (None, None) => format!("ended with {status}"),
            }),
            End::TimedOut(limit) => Some(format!("was still running after {limit:?} and was killed")),
            End::Flooded => Some(format!("printed more than {} KiB and was killed", MOST >> 10)),
            End::NotFound => Some("was not found".to_string()),
            End::NotStarted(why) => Some(format!("could not be started: {why}")),
        }
    }
}

enum Heard {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

/// Runs `command` to its end or to `timeout`. `echo` gets its standard output as it comes; an error of `echo`
/// ends the child.
pub(crate) fn run(
    command: &mut Command,
    timeout: Duration,
    echo: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<Ran, Stop> {
    command.stdout(Stdio::piped());
    run_until(command, Instant::now() + timeout, None, timeout, echo)
}

/// Runs `command` as [`run`] does, with a temporary file as its standard output. A trace then shows what was
/// printed, because it can ask a file for its position.
pub(crate) fn run_traced(
    command: &mut Command,
    timeout: Duration,
    echo: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<Ran, Stop> {
    let file = tempfile::tempfile()?;
    command.stdout(file.try_clone()?);
    let tail = Tail { file, position: 0 };
    run_until(command, Instant::now() + timeout, Some(tail), timeout, echo)
}

/// The file that is a child's standard output, read as it grows.
struct Tail {
    file: File,
    position: u64,
}

impl Tail {
    /// Reads what was added.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; MOST];
        let count = self.file.read_at(&mut bytes, self.position)?;
        self.position += count as u64;
        bytes.truncate(count);
        Ok(bytes)
    }
}

fn run_until(
    command: &mut Command,
    deadline: Instant,
    mut tail: Option<Tail>,
    timeout: Duration,
    echo: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<Ran, Stop> {
    let started = Instant::now();
    let mut ran = Ran { stdout: Vec::new(), stderr: Vec::new(), end: End::Flooded, took: Duration::ZERO };
    command.stdin(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    match Running::start(command)? {
        Ok(mut child) => {
            let heard = child.listen();
            let early = listen(&heard, deadline, tail.as_mut(), &mut ran, echo)?;
            ran.end = match early {
                Some(Early::Flooded) => End::Flooded,
                Some(Early::TimedOut) => End::TimedOut(timeout),
                // Both pipes are closed, so it has ended or will in a moment, unless it lives on in silence.
                None => match child.wait_until(deadline) {
                    Some(status) => End::Exited(status),
                    None => End::TimedOut(timeout),
                },
            };
            if let Some(tail) = &mut tail {
                ran.take(tail.read()?, echo)?;
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => ran.end = End::NotFound,
        Err(error) => ran.end = End::NotStarted(error),
    }
    ran.took = started.elapsed();
    match interrupt::caught() {
        Some(signal) => Err(Stop::Interrupted(signal)),
        None => Ok(ran),
    }
}

enum Early {
    TimedOut,
    Flooded,
}

/// Collects both outputs until the child has closed them, or until it has had enough time or space.
fn listen(
    heard: &Receiver<Heard>,
    deadline: Instant,
    mut tail: Option<&mut Tail>,
    ran: &mut Ran,
    echo: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Option<Early>> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // A file does not say that it has grown, so it is looked at again and again.
        let patience = if tail.is_some() { left.min(LOOK) } else { left };
        match heard.recv_timeout(patience) {
            Ok(Heard::Out(bytes)) => ran.take(bytes, echo)?,
            Ok(Heard::Err(bytes)) => ran.stderr.extend(bytes),
            Err(RecvTimeoutError::Timeout) if patience < left => {}
            Err(RecvTimeoutError::Timeout) => return Ok(Some(Early::TimedOut)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
        if let Some(tail) = &mut tail {
            ran.take(tail.read()?, echo)?;
        }
        if ran.stdout.len() + ran.stderr.len() > MOST {
            return Ok(Some(Early::Flooded));
        }
    }
}

/// A child that is killed, with its group, when this value goes before the child does.
struct Running {
    child: Child,
    target: Target,
    reaped: bool,
}

impl Running {
    /// The outer error is a signal that came before the start.
    fn start(command: &mut Command) -> Result<io::Result<Running>, Stop> {
        let mut current = CURRENT.lock().expect("no panic while a child is started or reaped");
        if let Some(signal) = interrupt::caught() {
            return Err(Stop::Interrupted(signal));
        }
        Ok(command.spawn().map(|child| {
            let target = Target::Group(Pid::from_child(&child));
            current.push(target);
            Running { child, target, reaped: false }
        }))
    }

    /// One thread per pipe: a child that fills one while the other is being read would wait for ever. The
    /// threads end with their pipes and are not joined, since a grandchild outside the group may hold a pipe
    /// open.
    fn listen(&mut self) -> Receiver<Heard> {
        let (to, from) = sync_channel(16);
        let stdout = self.child.stdout.take();
        let stderr = self.child.stderr.take().expect("stderr is piped");
        let also = to.clone();
        if let Some(stdout) = stdout {
            thread::spawn(move || pump(stdout, Heard::Out, &to));
        }
        thread::spawn(move || pump(stderr, Heard::Err, &also));
        from
    }

    fn wait_until(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            let mut current = CURRENT.lock().expect("no panic while a child is started or reaped");
            if let Ok(Some(status)) = self.child.try_wait() {
                current.retain(|target| *target != self.target);
                self.reaped = true;
                return Some(status);
            }
            drop(current);
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        let mut current = CURRENT.lock().expect("no panic while a child is started or reaped");
        self.target.end();
        let _ = self.child.wait();
        current.retain(|target| *target != self.target);
    }
}

fn pump(mut pipe: impl Read, heard: fn(Vec<u8>) -> Heard, to: &SyncSender<Heard>) {
    let mut buffer = [0; 8192];
    loop {
        match pipe.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
            // The output is read no more: the child is being killed.
            Ok(n) if to.send(heard(buffer[..n].to_vec())).is_err() => return,
            Ok(_) => {}
        }
    }
}
