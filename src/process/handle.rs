//! `Process`: a handle of a child, its streams and its end (`asyncio.subprocess.Process`).
//!
//! It guarantees asyncio's turns: the callback that reaps the child sets the return code and wakes `wait`. Once the output
//! pipes have ended too, standard input is closed. It does not own the child: dropping it ends nothing.

use super::child::Child;
use super::debug::{self, debug};
use crate::combine::gather_at;
use crate::drop_guard::DropGuard;
use crate::error::{Error, Result};
use crate::event_loop::get_running_loop;
use crate::net::{StreamReader, StreamWriter, Transport};
use crate::signals::signal::Signal;
use crate::sync::wait_queue::WaitQueue;
use crate::trace::Place;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// The number of a `Process` on its thread. Alternative: the process id. Problem: the system may use one again before the
/// loop has run the callback of the process before.
pub(super) type Id = u64;

thread_local! {
    /// The thread's processes, which a callback from another thread can name but not hold.
    static PROCESSES: RefCell<HashMap<Id, Weak<ProcessInner>>> = RefCell::default();
    static LAST_ID: Cell<Id> = const { Cell::new(0) };
}

/// Tells the process `id` that its child has ended and is reaped.
pub(super) fn exited(id: Id, returncode: i32) -> Result<()> {
    let process = PROCESSES.with_borrow(|processes| processes.get(&id).and_then(Weak::upgrade));
    process.map_or(Ok(()), |process| process.exited(returncode))
}

/// A child process and its pipes (`asyncio.subprocess.Process`). Made by [`Command::spawn`](super::Command::spawn).
///
/// Dropping it ends neither the child nor the watch over it: the child runs on, and is reaped at its end. Dropping a pipe's
/// last handle closes that pipe.
///
/// ```
/// use looplab::{EventLoop, process::Command};
/// EventLoop::new()?.run_until_complete(async {
///     let sleep = Command::new("sleep").arg("3600").spawn().await?;
///     sleep.terminate()?;
///     assert_eq!(sleep.wait().await?, -15);                 // killed by SIGTERM
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.subprocess.Process")]
#[non_exhaustive]
pub struct Process {
    /// Writes to the child's standard input if that is a pipe. It closes when the child ends.
    pub stdin: Option<StreamWriter>,
    /// Reads the child's standard output if that is a pipe.
    pub stdout: Option<StreamReader>,
    /// Reads the child's standard error if that is a pipe.
    pub stderr: Option<StreamReader>,
    inner: Rc<ProcessInner>,
}

pub(super) struct ProcessInner {
    id: Id,
    child: Arc<Child>,
    place: Place,
    returncode: Cell<Option<i32>>,
    waiters: WaitQueue,
    /// All pipes are connected. Until then nothing is finished, even if the child and some pipes have ended.
    connected: Cell<bool>,
    /// The connected pipes that are not closed, with standard input and without.
    pipes: Cell<usize>,
    outputs: Cell<usize>,
    stdin: RefCell<Option<Transport>>,
    /// The child has ended, and so have all pipes.
    finished: Cell<bool>,
    /// The start was cancelled or dropped.
    abandoned: Cell<bool>,
}

impl ProcessInner {
    pub(super) fn new(child: Arc<Child>, place: Place) -> Rc<Self> {
        let id = LAST_ID.get() + 1;
        LAST_ID.set(id);
        let inner = Rc::new(Self {
            id,
            child,
            place,
            returncode: Cell::new(None),
            waiters: WaitQueue::default(),
            connected: Cell::new(false),
            pipes: Cell::new(0),
            outputs: Cell::new(0),
            stdin: RefCell::default(),
            finished: Cell::new(false),
            abandoned: Cell::new(false),
        });
        PROCESSES.with_borrow_mut(|processes| processes.insert(id, Rc::downgrade(&inner)));
        inner
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }

    /// Counts standard input, and returns the guard that its end drops.
    pub(super) fn input(self: &Rc<Self>) -> DropGuard<Box<dyn FnOnce()>> {
        self.pipes.set(self.pipes.get() + 1);
        let weak = Rc::downgrade(self);
        DropGuard::new(Box::new(move || {
            if let Some(process) = weak.upgrade() {
                process.pipes.set(process.pipes.get() - 1);
                drop(process.stdin.take());
                process.try_finish();
            }
        }))
    }

    /// Counts an output pipe, and returns the guard that its end drops.
    pub(super) fn output(self: &Rc<Self>) -> DropGuard<Box<dyn FnOnce()>> {
        self.pipes.set(self.pipes.get() + 1);
        self.outputs.set(self.outputs.get() + 1);
        let weak = Rc::downgrade(self);
        DropGuard::new(Box::new(move || {
            if let Some(process) = weak.upgrade() {
                process.pipes.set(process.pipes.get() - 1);
                process.outputs.set(process.outputs.get() - 1);
                process.ended("pipe_connection_lost");
            }
        }))
    }

    pub(super) fn set_stdin(&self, stdin: Transport) {
        *self.stdin.borrow_mut() = Some(stdin);
    }

    /// Notes that all pipes are connected, and makes the call that waited for it (asyncio's `_pending_calls`).
    pub(super) fn connected(self: &Rc<Self>) {
        self.connected.set(true);
        if self.returncode.get().is_some() {
            self.ended("process_exited");
        }
    }

    /// Called at each end of the child or an output. After the last one, standard input closes in the next turn.
    fn ended(self: &Rc<Self>, what: &'static str) {
        if self.connected.get() {
            self.call(what, Self::close_stdin);
        }
        self.try_finish();
    }

    fn exited(self: &Rc<Self>, returncode: i32) -> Result<()> {
        debug::info(format_args!("{self:?} exited with return code {returncode}"));
        self.returncode.set(Some(returncode));
        self.ended("process_exited");
        self.waiters.wake_all(&Ok(()));
        Ok(())
    }

    /// Closes standard input once the child has ended and nothing more can be read.
    fn close_stdin(&self) {
        if self.returncode.get().is_some() && self.outputs.get() == 0 {
            let stdin = self.stdin.take();
            stdin.iter().for_each(Transport::close);
        }
    }

    fn try_finish(self: &Rc<Self>) {
        if self.connected.get() && self.returncode.get().is_some() && self.pipes.get() == 0 {
            self.call("call_connection_lost", |process| process.finished.set(true));
        }
    }

    /// Calls a method in the next turn. A closed loop calls nothing.
    fn call(self: &Rc<Self>, name: &'static str, method: fn(&Self)) {
        let process = self.clone();
        if let Ok(lp) = get_running_loop() {
            let _ = lp.queue_named(self.place, name, move || method(&process));
        }
    }

    pub(super) async fn wait(&self, place: Place) -> Result<i32> {
        loop {
            if let Some(returncode) = self.returncode.get() {
                return Ok(returncode);
            }
            self.waiters.wait("process.wait", place).await?;
        }
    }

    /// Kills the child of a start that was given up, with asyncio's warning in debug mode.
    pub(super) fn abandon(&self) {
        self.abandoned.set(true);
        if self.returncode.get().is_none() && debug::is_on() {
            log_warn!("Close running child process: kill {self:?}");
        }
        let _ = self.child.send_signal(Signal::SIGKILL);
    }
}

/// Writes what asyncio writes of a `SubprocessTransport`, without the pipes.
impl fmt::Debug for ProcessInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed = if self.abandoned.get() { "closed " } else { "" };
        write!(f, "<SubprocessTransport {closed}pid={}", self.child.pid())?;
        match self.returncode.get() {
            Some(returncode) => write!(f, " returncode={returncode}>"),
            None => f.write_str(" running>"),
        }
    }
}

impl Drop for ProcessInner {
    fn drop(&mut self) {
        let _ = PROCESSES.try_with(|processes| processes.borrow_mut().remove(&self.id));
    }
}

impl Process {
    pub(super) fn new(
        inner: Rc<ProcessInner>,
        stdin: Option<StreamWriter>,
        [stdout, stderr]: [Option<StreamReader>; 2],
    ) -> Self {
        Self { stdin, stdout, stderr, inner }
    }

    /// Returns the child's process id (`Process.pid`).
    #[doc(alias = "Process.pid")]
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.inner.child.pid()
    }

    /// Returns the child's exit status, or the negative number of the signal that killed it; `None` while it runs
    /// (`Process.returncode`). A child that other code has reaped has 255. There is an example at [`process`](super).
    #[doc(alias = "Process.returncode")]
    #[must_use]
    pub fn returncode(&self) -> Option<i32> {
        self.inner.returncode.get()
    }

    /// Waits until the child has ended, and returns its [`returncode`](Self::returncode) (`Process.wait`). Several tasks may
    /// wait, and each may be cancelled: the child runs on.
    ///
    /// A child that writes more into a pipe than it holds (64 KiB on Linux) waits for a reader. If nothing reads, this
    /// waits forever: use [`communicate`](Self::communicate).
    ///
    /// Fails with [`Error::Cancelled`]. There is an example at [`Process`].
    #[doc(alias = "Process.wait")]
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<i32>> + use<> {
        let (inner, place) = (self.inner.clone(), Location::caller());
        async move { inner.wait(place).await }
    }

    /// Writes `input` to the child and closes its standard input; meanwhile reads both outputs to their ends; then waits for
    /// the child (`Process.communicate`). Returns standard output and standard error. What is not a pipe reads as nothing,
    /// and takes nothing; asyncio returns `None` for it.
    ///
    /// A child that does not read all its input is no error. All output is kept in memory.
    ///
    /// Fails with [`Error::Cancelled`]; what was read goes back into the streams, and the child runs on. Fails with
    /// [`Error::Runtime`] if another task reads one of the outputs. There is an example at [`process`](super).
    #[doc(alias = "Process.communicate")]
    #[track_caller]
    pub fn communicate<I: Into<Vec<u8>>>(
        &self,
        input: I,
    ) -> impl Future<Output = Result<(Vec<u8>, Vec<u8>)>> + use<I> {
        type Part = Pin<Box<dyn Future<Output = Result<Vec<u8>>>>>;
        let (inner, place) = (self.inner.clone(), Location::caller());
        let (stdin, input) = (self.stdin.clone(), input.into());
        let (stdout, stderr) = (self.stdout.clone(), self.stderr.clone());
        async move {
            let pid = inner.child.pid();
            let stdout: Part = Box::pin(read_to_end(pid, "stdout", stdout, place));
            let stderr: Part = Box::pin(read_to_end(pid, "stderr", stderr, place));
            let fed: Part = Box::pin(feed(pid, stdin, input, place));
            let mut read = gather_at(place, [fed, stdout, stderr]).await?.into_iter().skip(1);
            let (stdout, stderr) = (read.next().unwrap_or_default(), read.next().unwrap_or_default());
            inner.wait(place).await?;
            Ok((stdout, stderr))
        }
    }

    /// Sends a signal to the child (`Process.send_signal`). Does nothing if the child has ended.
    ///
    /// # Errors
    /// [`Error::Io`], CPython's `ProcessLookupError`, once the child has ended and its pipes too. [`Error::Io`] if the child
    /// is another user's. [`Error::Value`] for a number that is no signal, and for a real-time signal.
    ///
    /// ```
    /// use looplab::{EventLoop, Signal, process::Command};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let sleep = Command::new("sleep").arg("3600").spawn().await?;
    ///     sleep.send_signal(Signal::SIGUSR1)?;
    ///     assert_eq!(sleep.wait().await?, -Signal::SIGUSR1.number());
    ///     let error = sleep.send_signal(Signal::SIGUSR1).unwrap_err();
    ///     assert!(format!("{error:?}").starts_with("ProcessLookupError"));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Process.send_signal")]
    pub fn send_signal(&self, signal: impl Into<Signal>) -> Result<()> {
        if self.inner.finished.get() {
            return Err(io::Error::from(rustix::io::Errno::SRCH).into());
        }
        self.inner.child.send_signal(signal.into())
    }

    /// Asks the child to end: sends SIGTERM (`Process.terminate`). There is an example at [`Process`].
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal).
    #[doc(alias = "Process.terminate")]
    pub fn terminate(&self) -> Result<()> {
        self.send_signal(Signal::SIGTERM)
    }

    /// Ends the child: sends SIGKILL, which it cannot handle (`Process.kill`). Children of the child run on.
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal).
    #[doc(alias = "Process.kill")]
    pub fn kill(&self) -> Result<()> {
        self.send_signal(Signal::SIGKILL)
    }
}

/// Writes the whole input and closes the pipe. A child that does not read it is no error.
async fn feed(pid: u32, stdin: Option<StreamWriter>, input: Vec<u8>, place: Place) -> Result<Vec<u8>> {
    let Some(stdin) = stdin else { return Ok(Vec::new()) };
    let fed = async {
        let length = input.len();
        stdin.write(input)?;
        debug(format_args!("<Process {pid}> communicate: feed stdin ({length} bytes)"));
        stdin.drain_at(place).await
    };
    match fed.await {
        Err(Error::Io(error)) if is_lost(&error) => {
            debug(format_args!("<Process {pid}> communicate: stdin got {error:?}"));
        }
        other => other?,
    }
    debug(format_args!("<Process {pid}> communicate: close stdin"));
    stdin.close();
    Ok(Vec::new())
}

fn is_lost(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

async fn read_to_end(
    pid: u32,
    name: &'static str,
    output: Option<StreamReader>,
    place: Place,
) -> Result<Vec<u8>> {
    let Some(output) = output else { return Ok(Vec::new()) };
    debug(format_args!("<Process {pid}> communicate: read {name}"));
    let read = output.read_to_end_at(place).await?;
    debug(format_args!("<Process {pid}> communicate: close {name}"));
    Ok(read)
}

/// Writes `<Process 4711>`, as asyncio does.
impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Process {}>", self.pid())
    }
}
