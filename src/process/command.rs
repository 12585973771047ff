//! `Command`: what to start, and the start (`asyncio.create_subprocess_exec`).
//!
//! It guarantees asyncio's turns: the child is started in the step that polls `spawn`, and its pipes are connected in a task,
//! one after the other. A start that is cancelled or dropped kills the child.

use super::child::Child;
use super::debug;
use super::handle::{Process, ProcessInner};
use super::watcher::watch;
use crate::combine::shield;
use crate::drop_guard::DropGuard;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::event_loop::{EventLoop, get_running_loop};
use crate::net::{FeedTime, ReadPipe, StreamReader, StreamWriter, write_pipe};
use crate::task::Future as Waiter;
use crate::trace::Place;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::path::Path;
use std::process::{self, Stdio};
use std::rc::Rc;
use std::sync::Arc;

/// The limit of a child's output streams, in bytes, as asyncio's.
const LIMIT: usize = 1 << 16;

/// A program to start, with its arguments and its standard streams (`asyncio.create_subprocess_exec`).
///
/// The streams are the parent's unless they are set. `Stdio::piped()` is asyncio's `PIPE`, `Stdio::null()` its `DEVNULL`. For
/// what has no method here, make a [`std::process::Command`] and convert it.
///
/// ```
/// use looplab::{EventLoop, process::{Command, Stdio}};
/// EventLoop::new()?.run_until_complete(async {
///     let mut plain = std::process::Command::new("env");
///     plain.env_clear().env("COLOUR", "green");
///     let env = Command::from(plain).stdout(Stdio::piped()).spawn().await?;
///     let output = env.stdout.as_ref().expect("a pipe");
///     assert_eq!(output.readline().await?, b"COLOUR=green\n");
///     assert_eq!(env.wait().await?, 0);
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias("asyncio.create_subprocess_exec", "create_subprocess_exec", "loop.subprocess_exec"))]
#[derive(Debug)]
#[must_use = "nothing is started before `spawn`"]
pub struct Command {
    command: process::Command,
    /// The line, if the shell runs one.
    line: Option<OsString>,
    limit: usize,
    merged: bool,
}

impl Command {
    /// Names a program, which is searched for in `PATH` if it has no slash.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        process::Command::new(program).into()
    }

    /// Starts a line of the shell `/bin/sh` (`asyncio.create_subprocess_shell`). Never put text of others into it.
    ///
    /// ```
    /// use looplab::{EventLoop, process::Command};
    /// let code = EventLoop::new()?.run_until_complete(async {
    ///     Command::shell("exit 3").spawn().await?.wait().await
    /// });
    /// assert_eq!(code?, 3);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias("asyncio.create_subprocess_shell", "create_subprocess_shell", "loop.subprocess_shell"))]
    pub fn shell(line: impl AsRef<OsStr>) -> Self {
        let line = line.as_ref();
        Self { line: Some(line.into()), ..Self::new("/bin/sh").arg("-c").arg(line) }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Sets the child's working directory (`cwd`).
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Puts the child into a process group: one of its own for 0. Ctrl-C reaches the group of the terminal's foreground
    /// alone, so the child does not see it.
    pub fn process_group(mut self, group: i32) -> Self {
        std::os::unix::process::CommandExt::process_group(&mut self.command, group);
        self
    }

    /// Sets the child's standard input.
    #[doc(alias("asyncio.subprocess.PIPE", "asyncio.subprocess.DEVNULL", "PIPE", "DEVNULL"))]
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// Sets the child's standard output.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Sets the child's standard error.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.command.stderr(stderr);
        self
    }

    /// Sends both outputs of the child through one pipe, [`Process::stdout`] (`stdout=PIPE, stderr=STDOUT`).
    ///
    /// ```
    /// use looplab::{EventLoop, process::Command};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let shell = Command::shell("echo one; echo two >&2").stderr_to_stdout().spawn().await?;
    ///     assert_eq!(shell.communicate("").await?.0, b"one\ntwo\n");
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias("asyncio.subprocess.STDOUT", "STDOUT"))]
    pub fn stderr_to_stdout(self) -> Self {
        Self { merged: true, ..self }
    }

    /// Sets the limit of the output streams, in bytes; see [`StreamReader::with_limit`]. With 0 the start fails with
    /// [`Error::Value`].
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Starts the program, and waits until its pipes are connected.
    ///
    /// Fails with [`Error::Io`] from the system: no such program, no permission, too few descriptors. Fails with
    /// [`Error::Cancelled`]: then the child is killed and reaped first, as in asyncio. A start that is dropped kills the
    /// child. Fails with [`Error::NoRunningLoop`].
    ///
    /// ```
    /// use looplab::{EventLoop, process::Command};
    /// let started = EventLoop::new()?.run_until_complete(async { Command::new("/no/such/program").spawn().await });
    /// assert!(format!("{:?}", started.unwrap_err()).starts_with("FileNotFoundError"));
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn(self) -> impl Future<Output = Result<Process>> {
        let place = Location::caller();
        async move { self.start(place).await }
    }

    async fn start(mut self, place: Place) -> Result<Process> {
        let readers = [StreamReader::with_limit(self.limit)?, StreamReader::with_limit(self.limit)?];
        let description = self.description();
        let (process, waiter) = {
            let lp = get_running_loop()?;
            let (process, pipes) = self.start_watched(&lp, place)?;
            // What holds the other ends of the pipes, such as a `Stdio` of the caller.
            drop(self);
            let waiter = Waiter::of_kind(&lp, "subprocess", place);
            let connecting = connect(process.clone(), pipes, readers, waiter.clone(), place);
            lp.create_task_at(place, connecting)?;
            (process, waiter)
        };
        let abandoned = DropGuard::new(|| process.abandon());
        match waiter.await {
            Ok((stdin, outputs)) => {
                abandoned.disarm();
                debug::info(format_args!("{description}: {process:?}"));
                Ok(Process::new(process, stdin, outputs))
            }
            Err(error) => {
                drop(abandoned);
                let dying = process.clone();
                shield(async move { dying.wait(place).await }).await?;
                Err(error)
            }
        }
    }

    /// Starts the program and the thread that waits for it.
    fn start_watched(&mut self, lp: &EventLoop, place: Place) -> Result<(Rc<ProcessInner>, Pipes)> {
        let merged = if self.merged { Some(self.merge()?) } else { None };
        let started = self.command.spawn();
        self.log_start(started.as_ref().ok());
        let mut child = started?;
        debug::debug(format_args!("process {} created: pid {}", self.name(), child.id()));
        let pipes = Pipes {
            stdin: child.stdin.take().map(OwnedFd::from),
            stdout: merged.or_else(|| child.stdout.take().map(OwnedFd::from)),
            stderr: child.stderr.take().map(OwnedFd::from),
        };
        let watched = Arc::new(Child::new(&child));
        let process = ProcessInner::new(watched.clone(), place);
        if let Err(error) = watch(watched, process.id(), lp.remote(), place) {
            // Without a thread nothing would reap it.
            child.kill()?;
            child.wait()?;
            return Err(error.into());
        }
        Ok((process, pipes))
    }

    /// Returns what asyncio's texts call the program.
    fn name(&self) -> String {
        debug::repr(self.line.as_deref().unwrap_or(self.command.get_program()))
    }

    fn description(&self) -> String {
        let what = if self.line.is_some() { "run shell command" } else { "execute program" };
        format!("{what} {}", self.name())
    }

    /// Logs the start and its pipes (asyncio's `_log_subprocess`). asyncio does it before the start, but a `Stdio` says only
    /// then whether it is a pipe.
    fn log_start(&self, started: Option<&process::Child>) {
        let stdin = started.and_then(|child| child.stdin.as_ref()).map_or("", |_| " stdin=<pipe>");
        let stdout = started.and_then(|child| child.stdout.as_ref()).map_or("", |_| " stdout=<pipe>");
        let stderr = started.and_then(|child| child.stderr.as_ref()).map_or("", |_| " stderr=<pipe>");
        let both = if self.merged { " stdout=stderr=<pipe>" } else { "" };
        debug::debug(format_args!("{}{stdin}{both}{stdout}{stderr}", self.description()));
    }

    /// Makes the pipe for both outputs, and returns its reading end.
    fn merge(&mut self) -> io::Result<OwnedFd> {
        let (reader, writer) = io::pipe()?;
        self.command.stdout(writer.try_clone()?).stderr(writer);
        Ok(reader.into())
    }
}

impl From<process::Command> for Command {
    fn from(command: process::Command) -> Self {
        Self { command, line: None, limit: LIMIT, merged: false }
    }
}

/// The parent's ends of the pipes.
struct Pipes {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

type Streams = (Option<StreamWriter>, [Option<StreamReader>; 2]);

/// Connects the pipes, one after the other, and gives the streams to `waiter` (asyncio's `_connect_pipes`).
async fn connect(
    process: Rc<ProcessInner>,
    pipes: Pipes,
    [stdout, stderr]: [StreamReader; 2],
    waiter: Waiter<Streams>,
    place: Place,
) -> Result<()> {
    let connected = async {
        let mut stdin = None;
        if let Some(pipe) = pipes.stdin {
            let writer = write_pipe(pipe, Some(process.input()), place).await?;
            process.set_stdin(writer.transport());
            stdin = Some(writer);
        }
        let stdout = read(&process, stdout, pipes.stdout, place).await?;
        let stderr = read(&process, stderr, pipes.stderr, place).await?;
        Ok((stdin, [stdout, stderr]))
    };
    let connected = connected.await;
    if connected.is_ok() {
        process.connected();
    }
    match connected {
        Ok((stdin, _)) if waiter.done() => {
            stdin.iter().for_each(StreamWriter::close);
            Ok(())
        }
        Err(_) if waiter.done() => Ok(()),
        Ok(streams) => waiter.set_result(streams),
        Err(error) => waiter.set_error(error),
    }
}

async fn read(
    process: &Rc<ProcessInner>,
    reader: StreamReader,
    pipe: Option<OwnedFd>,
    place: Place,
) -> Result<Option<StreamReader>> {
    let Some(pipe) = pipe else { return Ok(None) };
    ReadPipe::connect(&reader, pipe, FeedTime::InTheNextTurn, Some(process.output()), place).await?;
    Ok(Some(reader))
}
