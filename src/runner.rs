//! `run` and `Runner`: whole programs.
//!
//! They guarantee the order of `asyncio.run`: run the main task, cancel all other tasks *once* and wait for them, report
//! failures, shut the default pool down, close the loop. As in asyncio, a task that is created meanwhile is not cancelled,
//! and a task that swallows its cancellation is waited for. [`RunnerBuilder::sweep_until_quiet`] is the safer option.
//!
//! The first Ctrl-C cancels the main task, the second interrupts the run or the shutdown, and the third kills the process,
//! even if a callback blocks the loop. As in asyncio, this holds on the main thread, if SIGINT has its default disposition.
//! Unlike in asyncio, the first two arrive between two callbacks, because safe Rust cannot interrupt one.

use crate::builder::Builder;
use crate::combine::{ReturnWhen, gather_on, wait};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, ExceptionContext, running};
use crate::outcome::{Outcome, ValueOf};
use crate::panics::{drop_quietly, text_of, to_stderr};
use crate::task::TaskRef;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::Location;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
/// The time that `close` waits for the threads of the default pool (`constants.THREAD_JOIN_TIMEOUT`).
const THREAD_JOIN_TIMEOUT: Duration = Duration::from_secs(300);
/// The number of signals that are handled gracefully. The next one kills.
const GRACEFUL: u32 = 2;

/// Runs a program (`asyncio.run`): creates a loop, runs `main` on it, ends the other tasks, and closes the loop.
///
/// # Errors
/// The error of `main`; [`Error::KeyboardInterrupt`] if Ctrl-C cancelled it and it did not swallow that, or if Ctrl-C
/// interrupted the shutdown; [`Error::Runtime`] inside a running loop. If [`Runner::close`] fails, its error is returned, and
/// the error of `main` is logged.
///
/// ```
/// async fn program() -> looplab::Result<&'static str> {
///     looplab::yield_now().await?;
///     Ok("done")
/// }
/// assert_eq!(looplab::run(program())?, "done");
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.run")]
#[track_caller]
pub fn run<F: IntoFuture<Output: Outcome, IntoFuture: 'static>>(main: F) -> Result<ValueOf<F>> {
    if running().is_some() {
        return Err(Error::Runtime("asyncio.run() cannot be called from a running event loop".into()));
    }
    let mut runner = Runner::new();
    let lp = runner.get_loop()?;
    // Not `runner.run`, which restores the signals: Ctrl-C would kill between it and `close`.
    let result = runner.run_main(&lp, main.into_future());
    if let Err(error) = runner.close() {
        match result {
            Ok(value) => drop_quietly(value),
            // In Python it would be the `__context__` of the error.
            Err(lost) => log_error!("the shutdown failed after the main task had failed with: {lost}"),
        }
        return Err(error);
    }
    result
}

/// Runs a program and returns its exit code, for a `main` that reads as Python's `asyncio.run(main())`.
///
/// An error is printed once to standard error, as `Debug` shows it. [`Error::Exit`] prints nothing, as `SystemExit` does.
/// The code is 0, or the one of [`Error::exit_status`]. After Ctrl-C that is 130, where Python dies by the signal, which a
/// shell shows as 130. The value of the program is dropped.
///
/// ```
/// use std::process::ExitCode;
///
/// async fn program() -> looplab::Result<()> {
///     println!("hello");
///     Ok(())
/// }
///
/// fn main() -> ExitCode {
///     looplab::main(|| looplab::run(program()))
/// }
/// ```
pub fn main<R: Outcome>(program: impl FnOnce() -> R) -> ExitCode {
    match program().into_result() {
        Ok(value) => {
            drop_quietly(value);
            ExitCode::SUCCESS
        }
        Err(error) => {
            if !matches!(error, Error::Exit(_)) {
                to_stderr(&text_of(format_args!("{error:?}")));
            }
            error.into()
        }
    }
}

/// Runs several main tasks on one loop, one after the other (`asyncio.Runner`). Dropping it closes it.
///
/// ```
/// let mut runner = looplab::Runner::new();
/// assert_eq!(runner.run(async { Ok(1) })? + runner.run(async { Ok(2) })?, 3);
/// runner.close()?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.Runner")]
#[derive(Debug)]
pub struct Runner {
    options: RunnerBuilder,
    state: RunnerState,
    /// The handlers of the current run, or of the shutdown after it.
    signals: SignalHandlers,
}

#[derive(Debug)]
enum RunnerState {
    New,
    Open(EventLoop),
    Closed,
}

/// The options of a [`Runner`]. Created by [`Runner::builder`].
///
/// ```
/// use looplab::{Clock, EventLoop, Runner};
/// use std::time::Duration;
/// let mut runner = Runner::builder()
///     .event_loop(EventLoop::builder().clock(Clock::virtual_time()))
///     .sigterm(true)
///     .sweep_until_quiet(Duration::from_secs(5))
///     .build();
/// runner.run(async { looplab::sleep(Duration::from_secs(60)).await })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct RunnerBuilder {
    event_loop: Option<Builder>,
    sigterm: bool,
    sweep_deadline: Option<Duration>,
}

/// The handlers that stop the main task or the shutdown while these run.
#[derive(Debug, Default)]
struct SignalHandlers {
    /// Signals, and the numbers of their handlers.
    installed: Vec<(i32, u64)>,
    arrived: Rc<Arrived>,
}

/// The signals that have arrived since the run began.
#[derive(Debug, Default)]
struct Arrived {
    count: Cell<u32>,
    last: Cell<i32>,
    /// The main task, while it runs.
    main: RefCell<Option<TaskRef>>,
}

impl RunnerBuilder {
    /// Sets the options of the loop (`loop_factory`).
    #[must_use]
    pub fn event_loop(mut self, builder: Builder) -> Self {
        self.event_loop = Some(builder);
        self
    }

    /// Sets whether SIGTERM stops the main task as the first Ctrl-C does, on any thread. `run` then fails with
    /// [`Error::Exit`] and the status 143, unless the main task swallows it. SIGINT and SIGTERM
    /// count together, but only three deliveries of the same signal kill a blocked loop. (asyncio does not handle SIGTERM.)
    #[must_use]
    pub fn sigterm(mut self, graceful: bool) -> Self {
        self.sigterm = graceful;
        self
    }

    /// Ends with a deadline. It also cancels the tasks that are created meanwhile, and cancels the remaining tasks again at
    /// half time. Tasks that remain at the deadline are named through `log::warn!` and dropped. So a task has half the time
    /// for its cleanup before the second request. (asyncio cancels once, ignores tasks that are created meanwhile, and waits
    /// without limit.)
    #[must_use]
    pub fn sweep_until_quiet(mut self, deadline: Duration) -> Self {
        self.sweep_deadline = Some(deadline);
        self
    }

    /// Creates the runner. It creates its loop when it is first needed.
    #[must_use]
    pub fn build(self) -> Runner {
        Runner { options: self, state: RunnerState::New, signals: SignalHandlers::default() }
    }

    /// Creates a runner that runs its programs on this loop.
    #[cfg(feature = "explore")]
    pub(crate) fn on_loop(self, lp: EventLoop) -> Runner {
        let mut runner = self.build();
        runner.state = RunnerState::Open(lp);
        runner
    }
}

impl Runner {
    /// Creates a runner with asyncio's policy.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "a runner is a life cycle, not a value with a default")]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns the options of a new runner.
    #[must_use]
    pub fn builder() -> RunnerBuilder {
        RunnerBuilder::default()
    }

    /// Returns the loop, and creates it if necessary (`Runner.get_loop`).
    ///
    /// # Errors
    /// [`Error::Runtime`] if the runner is closed; the errors of [`Builder::build`].
    #[doc(alias = "Runner.get_loop")]
    pub fn get_loop(&mut self) -> Result<EventLoop> {
        match &self.state {
            RunnerState::Open(lp) => Ok(lp.clone()),
            RunnerState::Closed => Err(Error::Runtime("Runner is closed".into())),
            RunnerState::New => {
                let lp = self.options.event_loop.take().unwrap_or_else(EventLoop::builder).build()?;
                self.state = RunnerState::Open(lp.clone());
                Ok(lp)
            }
        }
    }

    /// Runs `main` as a task until it is done (`Runner.run`). It may be called repeatedly: tasks that one call leaves continue
    /// in the next. As since Python 3.14, `main` may be any awaitable, also a task, a future or a [`Shield`](crate::Shield).
    ///
    /// # Errors
    /// The error of `main`; [`Error::KeyboardInterrupt`] after Ctrl-C; [`Error::Runtime`] if the runner is closed or a loop
    /// runs on this thread. A failure to restore a signal is logged.
    ///
    /// ```
    /// let mut runner = looplab::Runner::new();
    /// let task = runner.get_loop()?.create_task(async { Ok("done") });
    /// assert_eq!(runner.run(&task)?, "done");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    ///
    /// Other arguments do not compile:
    ///
    /// ```compile_fail,E0277
    /// looplab::Runner::new().run("no body, and nothing that can be awaited")?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Runner.run")]
    #[track_caller]
    pub fn run<F>(&mut self, main: F) -> Result<ValueOf<F>>
    where
        F: IntoFuture<Output: Outcome, IntoFuture: 'static>,
    {
        if running().is_some() {
            return Err(Error::Runtime("Runner.run() cannot be called from a running event loop".into()));
        }
        let lp = self.get_loop()?;
        let result = self.run_main(&lp, main.into_future());
        self.signals.restore(&lp);
        result
    }

    /// Runs `main`, and leaves the signal handlers installed.
    #[track_caller]
    fn run_main<F>(&mut self, lp: &EventLoop, main: F) -> Result<ValueOf<F>>
    where
        F: Future<Output: Outcome> + 'static,
    {
        let main = lp.create_task_at(Location::caller(), main)?;
        let task = main.to_ref();
        self.signals = SignalHandlers::default();
        *self.signals.arrived.main.borrow_mut() = Some(task.clone());
        self.signals.install(lp, &self.options)?;
        let place = Location::caller();
        let ran = lp.0.check_runnable().and_then(|()| lp.run_until(&task.any_future(), place));
        match ran.and_then(|()| main.take()) {
            Err(Error::Cancelled(message)) => Err(self.signals.arrived.cancellation(&task, message)),
            result => result,
        }
    }

    /// Ends the remaining tasks and closes the loop (`Runner.close`): cancels every task once and waits for it, reports
    /// failures, shuts the default pool down. It does nothing at a second call, or before the loop exists.
    ///
    /// # Errors
    /// [`Error::AnotherLoopRunning`] inside another running loop, or [`Error::Value`] if tasks remain then;
    /// [`Error::KeyboardInterrupt`] or [`Error::Exit`] from a task, or if a signal interrupted the shutdown. The loop is
    /// closed nevertheless. [`Error::CloseWhileRunning`] on the runner's own loop while it runs, which stays open.
    #[doc(alias = "Runner.close")]
    #[track_caller]
    pub fn close(&mut self) -> Result<()> {
        let RunnerState::Open(lp) = &self.state else { return Ok(()) };
        let lp = lp.clone();
        drop(self.signals.arrived.main.take());
        if self.signals.installed.is_empty()
            && let Err(error) = self.signals.install(&lp, &self.options)
        {
            log_error!("no signal can interrupt the shutdown: {error}");
        }
        let ended = shutdown(&lp, self.options.sweep_deadline);
        self.signals.restore(&lp);
        lp.close()?;
        self.state = RunnerState::Closed;
        ended
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            log_error!("closing a runner failed: {error}");
        }
    }
}

/// Ends all tasks and the default pool.
#[track_caller]
fn shutdown(lp: &EventLoop, sweep_deadline: Option<Duration>) -> Result<()> {
    match sweep_deadline {
        None => cancel_all_tasks(lp)?,
        Some(deadline) => sweep_until_quiet(lp, deadline)?,
    }
    // asyncio ends the asynchronous generators here. There are none, but a task that was created meanwhile runs for as many
    // turns as that takes.
    lp.run_until_complete(async {})?;
    lp.run_until_complete(lp.shutdown_default_executor(Some(THREAD_JOIN_TIMEOUT)))
}

/// Cancels each task once, waits for all, and reports failures (asyncio's `_cancel_all_tasks`).
#[track_caller]
fn cancel_all_tasks(lp: &EventLoop) -> Result<()> {
    let tasks = lp.all_tasks();
    if tasks.is_empty() {
        return Ok(());
    }
    for task in &tasks {
        task.cancel();
    }
    lp.run_until_complete(gather_on(lp, &tasks, Location::caller())?)?;
    report_failures(lp, &tasks);
    Ok(())
}

/// Cancels each task once in each half of the time. Alternative: cancelling the remaining tasks whenever one ends. Problem:
/// that would interrupt cleanups.
#[track_caller]
fn sweep_until_quiet(lp: &EventLoop, limit: Duration) -> Result<()> {
    for until in [lp.0.clock.deadline(limit / 2), lp.0.clock.deadline(limit)] {
        let mut cancelled = HashSet::new();
        loop {
            let tasks = lp.all_tasks();
            if tasks.is_empty() {
                return Ok(());
            }
            for task in tasks.iter().filter(|task| cancelled.insert(task.id())) {
                task.cancel();
            }
            let left = until.saturating_duration_since(lp.time());
            let ended = wait(tasks, ReturnWhen::FirstCompleted, Some(left));
            let (done, _) = lp.run_until_complete(ended)?;
            report_failures(lp, &done);
            if done.is_empty() || left.is_zero() {
                break;
            }
        }
    }
    let names: Vec<_> = lp.all_tasks().iter().map(TaskRef::name).collect();
    if !names.is_empty() {
        let seconds = limit.as_secs_f64();
        log_warn!("tasks refuse to end within {seconds} seconds: {}", names.join(", "));
    }
    Ok(())
}

fn report_failures(lp: &EventLoop, tasks: &[TaskRef]) {
    for task in tasks {
        if let Ok(Some(error)) = task.error() {
            let context = ExceptionContext::new("unhandled exception during asyncio.run() shutdown");
            lp.call_exception_handler(&context.with_error(error).with_task(task.info()));
        }
    }
}

impl SignalHandlers {
    /// Installs handlers of SIGINT on the main thread, and of SIGTERM if the options ask for it. A signal that the program
    /// handles or ignores is left alone. If two signals have arrived already, nothing is installed, and the default may kill.
    #[track_caller]
    fn install(&mut self, lp: &EventLoop, options: &RunnerBuilder) -> Result<()> {
        let graceful = GRACEFUL.saturating_sub(self.arrived.count.get());
        // An explorer delivers Ctrl-C on any thread.
        let interrupts = is_main_thread() || lp.0.explored.is_on();
        for (signal, wanted) in [(SIGINT, interrupts), (SIGTERM, options.sigterm)] {
            if !wanted || graceful == 0 {
                continue;
            }
            let arrived = self.arrived.clone();
            match lp.add_default_handler(signal, graceful, move || arrived.on_signal(signal)) {
                Ok(handler) => self.installed.extend(handler.map(|handler| (signal, handler))),
                Err(error) => {
                    self.restore(lp);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Restores the dispositions of the signals, unless the program has replaced the handlers. A failure is logged, because
    /// an error would hide the result of `main`.
    fn restore(&mut self, lp: &EventLoop) {
        drop(self.arrived.main.take());
        for (signal, handler) in self.installed.drain(..) {
            if let Err(error) = lp.remove_default_handler(signal, handler) {
                log_error!("signal {signal} cannot be given its disposition back: {error}");
            }
        }
    }
}

impl Arrived {
    /// Cancels the main task at the first signal of a run, and otherwise leaves the loop.
    fn on_signal(&self, signal: i32) -> Result<()> {
        self.count.set(self.count.get() + 1);
        self.last.set(signal);
        let main = self.main.borrow().clone();
        match main {
            Some(main) if self.count.get() == 1 && !main.done() => {
                main.cancel();
                Ok(())
            }
            _ => Err(signal_error(signal)),
        }
    }

    /// Returns the error of a cancelled main task: the signal's, unless other code has cancelled it as well.
    fn cancellation(&self, main: &TaskRef, message: Option<Arc<str>>) -> Error {
        let by_signal = self.count.get() > 0 && main.uncancel() == 0;
        if by_signal { signal_error(self.last.get()) } else { Error::Cancelled(message) }
    }
}

/// Returns the error that a run ends with after a signal.
fn signal_error(signal: i32) -> Error {
    if signal == SIGINT { Error::KeyboardInterrupt } else { Error::Exit(128 + signal) }
}

/// Returns whether this is the main thread: as in Python, Ctrl-C is for a loop there. The standard library gives the name
/// `main` to this thread only.
fn is_main_thread() -> bool {
    thread::current().name() == Some("main")
}
