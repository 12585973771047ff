//! Whole programs: `run`, and `Runner` behind it.
//!
//! It promises asyncio.run's life cycle in its order: run the main task, cancel what is left *once*, wait for that, report
//! what failed, shut the default pool down, close. A task that was made during the sweep is not cancelled, and one that
//! swallows its cancellation is waited for without limit: asyncio's rules, pitfalls included. A safer policy is an option:
//! [`RunnerBuilder::sweep_until_quiet`].
//!
//! Ctrl-C: the first cancels the main task, the second interrupts the run (or the shutdown behind it), the third ends the
//! process by the signal, also while a callback keeps the loop from turning. As in asyncio this is so on the main thread
//! only, and only if SIGINT still had its default disposition. Unlike asyncio's, which acts inside of Python's signal
//! handler, the first two arrive as every signal does, between callbacks: safe Rust cannot interrupt a callback.

use crate::builder::Builder;
use crate::combine::{ReturnWhen, gather_on, wait};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, ExceptionContext, running};
use crate::outcome::Outcome;
use crate::panics::drop_quietly;
use crate::task::{Task, TaskRef};
use std::cell::Cell;
use std::collections::HashSet;
use std::panic::Location;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
/// How long `close` waits for the threads of the default pool (`constants.THREAD_JOIN_TIMEOUT`).
const THREAD_JOIN_TIMEOUT: Duration = Duration::from_secs(300);
/// How many signals are taken gracefully; the one after them kills.
const GRACEFUL: u32 = 2;

/// Runs a program: makes a loop, runs `main` on it, ends what is left, and closes the loop (`asyncio.run`).
///
/// # Errors
/// What `main` failed with; [`Error::KeyboardInterrupt`] if Ctrl-C cancelled it and it did not swallow that, or if
/// Ctrl-C interrupted the shutdown; [`Error::Runtime`] inside of a running loop. What [`Runner::close`] fails with takes
/// the place of what `main` failed with, which is then logged.
///
/// ```
/// async fn main() -> looplab::Result<&'static str> {
///     looplab::yield_now().await?;
///     Ok("done")
/// }
/// assert_eq!(looplab::run(main())?, "done");
/// # Ok::<(), looplab::Error>(())
/// ```
#[track_caller]
pub fn run<F>(main: F) -> Result<<F::Output as Outcome>::Value>
where
    F: IntoFuture<Output: Outcome, IntoFuture: 'static>,
{
    if running().is_some() {
        return Err(Error::Runtime("asyncio.run() cannot be called from a running event loop".into()));
    }
    let mut runner = Runner::new();
    let lp = runner.get_loop()?;
    // Not `runner.run`: there is to be no moment between the two at which Ctrl-C would kill.
    let result = runner.run_main(&lp, main.into_future());
    match (result, runner.close()) {
        (result, Ok(())) => result,
        (Ok(value), Err(error)) => {
            drop_quietly(value);
            Err(error)
        }
        (Err(lost), Err(error)) => {
            // In Python it would be the `__context__` of the other.
            log_error!("the shutdown failed after the main task had failed with: {lost}");
            Err(error)
        }
    }
}

/// Runs main tasks one after another on one loop (`asyncio.Runner`). Dropping it closes it.
///
/// ```
/// let mut runner = looplab::Runner::new();
/// assert_eq!(runner.run(async { Ok(1) })? + runner.run(async { Ok(2) })?, 3);
/// runner.close()?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Debug)]
pub struct Runner {
    options: RunnerBuilder,
    state: State,
    /// Those of the run that is under way, or of the shutdown behind it.
    interrupts: Interrupts,
}

#[derive(Debug)]
enum State {
    New,
    Open(EventLoop),
    Closed,
}

/// The options of a [`Runner`]; made by [`Runner::builder`].
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

/// The signals that stop the main task and the shutdown, while these run.
#[derive(Debug, Default)]
struct Interrupts {
    handlers: Vec<(i32, u64)>,
    seen: Rc<Cell<Seen>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// How many signals came, and which was the last.
    count: u32,
    last: i32,
    /// The run is over: there is no main task to cancel.
    shutting_down: bool,
}

impl RunnerBuilder {
    /// The options of the loop (`loop_factory`).
    #[must_use]
    pub fn event_loop(mut self, builder: Builder) -> Self {
        self.event_loop = Some(builder);
        self
    }

    /// Whether SIGTERM stops the main task as the first Ctrl-C does, on whichever thread it runs; `run` then ends with
    /// [`Error::Exit`] and the status 143, for `std::process::exit`, unless the main task swallows it. SIGINT and SIGTERM
    /// count together, but only the third delivery of one and the same kills a loop that does not turn. (asyncio leaves
    /// SIGTERM alone.)
    #[must_use]
    pub fn sigterm(mut self, graceful: bool) -> Self {
        self.sigterm = graceful;
        self
    }

    /// Ends with a deadline: cancels also the tasks that are made meanwhile, and at half time once more whoever is left;
    /// those who are then left at the end are named through `log::warn!`, and dropped. So a task has half the time for its
    /// cleanup before it is disturbed in it. (asyncio cancels once, forgets those that are made meanwhile, and waits
    /// without limit.)
    #[must_use]
    pub fn sweep_until_quiet(mut self, deadline: Duration) -> Self {
        self.sweep_deadline = Some(deadline);
        self
    }

    /// Makes the runner. Its loop is made when it is first needed.
    #[must_use]
    pub fn build(self) -> Runner {
        Runner { options: self, state: State::New, interrupts: Interrupts::default() }
    }
}

impl Runner {
    /// A runner with asyncio's policy.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "a runner is a life cycle, not a value with a default")]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// The options of a runner.
    #[must_use]
    pub fn builder() -> RunnerBuilder {
        RunnerBuilder::default()
    }

    /// The loop (`Runner.get_loop`).
    ///
    /// # Errors
    /// [`Error::Runtime`] if the runner is closed; what [`Builder::build`] fails with.
    pub fn get_loop(&mut self) -> Result<EventLoop> {
        match &self.state {
            State::Open(lp) => Ok(lp.clone()),
            State::Closed => Err(Error::Runtime("Runner is closed".into())),
            State::New => {
                let lp = self.options.event_loop.take().unwrap_or_else(EventLoop::builder).build()?;
                self.state = State::Open(lp.clone());
                Ok(lp)
            }
        }
    }

    /// Runs `main` as a task until it is done (`Runner.run`). May be called again and again; what is left over from one
    /// call goes on in the next. `main` is anything that can be awaited, as since Python 3.14: a new task awaits a task, a
    /// future or a [`Shield`](crate::Shield).
    ///
    /// # Errors
    /// What `main` failed with; [`Error::KeyboardInterrupt`] after Ctrl-C; [`Error::Runtime`] if the runner is closed or
    /// if a loop runs on this thread. A signal that cannot be given its disposition back is logged.
    ///
    /// ```
    /// let mut runner = looplab::Runner::new();
    /// let task = runner.get_loop()?.create_task(async { Ok("done") })?;
    /// assert_eq!(runner.run(&task)?, "done");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    ///
    /// Anything else does not compile:
    ///
    /// ```compile_fail,E0277
    /// looplab::Runner::new().run("no body, and nothing that can be awaited")?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn run<F>(&mut self, main: F) -> Result<<F::Output as Outcome>::Value>
    where
        F: IntoFuture<Output: Outcome, IntoFuture: 'static>,
    {
        if running().is_some() {
            return Err(Error::Runtime("Runner.run() cannot be called from a running event loop".into()));
        }
        let lp = self.get_loop()?;
        let result = self.run_main(&lp, main.into_future());
        self.interrupts.restore(&lp);
        result
    }

    /// Leaves the signals watched.
    #[track_caller]
    fn run_main<F>(&mut self, lp: &EventLoop, main: F) -> Result<<F::Output as Outcome>::Value>
    where
        F: Future<Output: Outcome> + 'static,
    {
        let main = Task::builder().spawn_on(lp, main)?;
        let task = main.to_ref();
        self.interrupts = Interrupts::watch(lp, Seen::default(), &self.options, Some(task.clone()))?;
        let result = lp.run_until(&task.any_future(), Location::caller());
        match result.and_then(|()| main.take()) {
            Err(Error::Cancelled(message)) => Err(self.interrupts.verdict(&task, message)),
            result => result,
        }
    }

    /// Ends what is left, and closes the loop (`Runner.close`): cancels every task once and waits for it, reports what
    /// failed, shuts the default pool down. A second call does nothing, nor does one before anything has run.
    ///
    /// # Errors
    /// [`Error::AnotherLoopRunning`] inside of another running loop, or [`Error::Value`] if tasks are left then;
    /// [`Error::KeyboardInterrupt`] or [`Error::Exit`] if a task left with it, or if a signal interrupted the shutdown. The
    /// loop is closed all the same.
    /// [`Error::CloseWhileRunning`] on the runner's own loop while it runs, which then stays open.
    #[track_caller]
    pub fn close(&mut self) -> Result<()> {
        let State::Open(lp) = &self.state else { return Ok(()) };
        let lp = lp.clone();
        if let Err(error) = self.watch_shutdown(&lp) {
            log_error!("no signal can interrupt the shutdown: {error}");
        }
        let ended = end_everything(&lp, self.options.sweep_deadline);
        self.interrupts.restore(&lp);
        lp.close()?;
        self.state = State::Closed;
        ended
    }

    fn watch_shutdown(&mut self, lp: &EventLoop) -> Result<()> {
        let seen = Seen { shutting_down: true, ..self.interrupts.seen.get() };
        if self.interrupts.handlers.is_empty() {
            self.interrupts = Interrupts::watch(lp, seen, &self.options, None)?;
        }
        self.interrupts.seen.set(seen);
        Ok(())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            log_error!("closing a runner failed: {error}");
        }
    }
}

#[track_caller]
fn end_everything(lp: &EventLoop, sweep_deadline: Option<Duration>) -> Result<()> {
    match sweep_deadline {
        None => sweep_once(lp)?,
        Some(deadline) => sweep_until_quiet(lp, deadline)?,
    }
    // Here asyncio ends the asynchronous generators. There are none, but a task that was made during the sweep lives on
    // for as many turns as this takes.
    lp.run_until_complete(async {})?;
    lp.run_until_complete(lp.shutdown_default_executor(Some(THREAD_JOIN_TIMEOUT)))
}

/// asyncio's `_cancel_all_tasks`: each once, all awaited, failures reported.
#[track_caller]
fn sweep_once(lp: &EventLoop) -> Result<()> {
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

/// Asks each task once in each half of the time. (Rejected: asking whoever is left as often as somebody else ends, which
/// would strike the polite in the middle of their cleanup.)
#[track_caller]
fn sweep_until_quiet(lp: &EventLoop, limit: Duration) -> Result<()> {
    for until in [lp.0.deadline(limit / 2), lp.0.deadline(limit)] {
        let mut asked = HashSet::new();
        loop {
            let tasks = lp.all_tasks();
            if tasks.is_empty() {
                return Ok(());
            }
            for task in tasks.iter().filter(|task| asked.insert(task.id())) {
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

impl Interrupts {
    /// Watches SIGINT on the main thread, and SIGTERM if that is asked for, where they still have their default
    /// dispositions: a handler of the program's own is left alone, and so is an inherited "ignore". The first signal
    /// cancels `main`; the second, or one in the shutdown, leaves the loop. `seen` came before: when they were two there is
    /// nothing left to be graceful with, and the default may kill.
    #[track_caller]
    fn watch(lp: &EventLoop, seen: Seen, options: &RunnerBuilder, main: Option<TaskRef>) -> Result<Self> {
        let mut this = Self { handlers: Vec::new(), seen: Rc::new(Cell::new(seen)) };
        let wanted = [(SIGINT, is_main_thread()), (SIGTERM, options.sigterm)];
        let left = GRACEFUL.saturating_sub(seen.count);
        for (signal, _) in wanted.into_iter().filter(|(_, wanted)| *wanted && left > 0) {
            let (seen, main) = (this.seen.clone(), main.clone());
            let handler = lp.add_default_handler(signal, left, move || {
                let now = Seen { count: seen.get().count + 1, last: signal, ..seen.get() };
                seen.set(now);
                match &main {
                    Some(main) if now.count == 1 && !now.shutting_down && !main.done() => {
                        main.cancel();
                        Ok(())
                    }
                    _ => Err(meaning(signal)),
                }
            });
            match handler {
                Ok(handler) => this.handlers.extend(handler.map(|handler| (signal, handler))),
                Err(error) => {
                    this.restore(lp);
                    return Err(error);
                }
            }
        }
        Ok(this)
    }

    /// Gives the signals their dispositions back, unless the program has put handlers of its own in the place. What fails
    /// is logged: returned, it would take the place of what `main` came to.
    fn restore(&mut self, lp: &EventLoop) {
        for (signal, handler) in self.handlers.drain(..) {
            if let Err(error) = lp.remove_default_handler(signal, handler) {
                log_error!("signal {signal} cannot be given its disposition back: {error}");
            }
        }
    }

    /// What a cancelled main task means: the signal, unless others have cancelled it too.
    fn verdict(&self, main: &TaskRef, message: Option<std::sync::Arc<str>>) -> Error {
        let seen = self.seen.get();
        if seen.count > 0 && main.uncancel() == 0 { meaning(seen.last) } else { Error::Cancelled(message) }
    }
}

/// What a signal ends a run with.
fn meaning(signal: i32) -> Error {
    if signal == SIGINT { Error::KeyboardInterrupt } else { Error::Exit(128 + signal) }
}

/// Python handles signals on the main thread only, and so does the runner: Ctrl-C is for the program, not for a loop on
/// one of its threads. std gives this name to no other thread by itself.
fn is_main_thread() -> bool {
    thread::current().name() == Some("main")
}
