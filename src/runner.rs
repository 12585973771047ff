//! Whole programs: `run`, and `Runner` behind it.
//!
//! It promises asyncio.run's life cycle in its order: run the main task, cancel what is left *once*, wait for that, report
//! what failed, shut the default pool down, close. A task that was made during the sweep is not cancelled, and one that
//! swallows its cancellation is waited for without limit: asyncio's rules, pitfalls included. A safer policy is an option:
//! [`RunnerBuilder::sweep_until_quiet`].
//!
//! Ctrl-C: the first cancels the main task, the second interrupts the run, the third ends the process by the signal, also
//! while a callback keeps the loop from turning.

use crate::builder::Builder;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, ExceptionContext, running};
use crate::outcome::Outcome;
use crate::task::{ReturnWhen, Task, TaskRef, gather_on, wait};
use std::cell::Cell;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
/// How long `close` waits for the threads of the default pool (`constants.THREAD_JOIN_TIMEOUT`).
const THREAD_JOIN_TIMEOUT: Duration = Duration::from_secs(300);

/// Runs a program: makes a loop, runs `main` on it, ends what is left, and closes the loop (`asyncio.run`).
///
/// # Errors
/// What `main` failed with; [`Error::KeyboardInterrupt`] if Ctrl-C cancelled it and it did not swallow that;
/// [`Error::Runtime`] inside of a running loop.
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
    F: Future<Output: Outcome> + 'static,
{
    if running().is_some() {
        return Err(Error::Runtime("asyncio.run() cannot be called from a running event loop".into()));
    }
    let mut runner = Runner::new();
    let result = runner.run(main);
    let closed = runner.close();
    result.and_then(|value| closed.map(|()| value))
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

/// The signals that stop the main task, while it runs.
struct Interrupts {
    handlers: Vec<(i32, u64)>,
    /// How many came, and which was the last.
    seen: Rc<Cell<(u32, i32)>>,
}

impl RunnerBuilder {
    /// The options of the loop (`loop_factory`).
    #[must_use]
    pub fn event_loop(mut self, builder: Builder) -> Self {
        self.event_loop = Some(builder);
        self
    }

    /// Whether SIGTERM stops the main task as the first Ctrl-C does; `run` then ends with [`Error::Exit`] and the status
    /// 143 unless the main task swallows it. (asyncio leaves SIGTERM alone.)
    #[must_use]
    pub fn sigterm(mut self, graceful: bool) -> Self {
        self.sigterm = graceful;
        self
    }

    /// Cancels again, round after round, until no task is left: those that were made meanwhile, and those that swallowed
    /// it. When `deadline` has passed it gives up and names those who refuse to end through `log::warn!`. (asyncio cancels
    /// once and waits without limit.)
    #[must_use]
    pub fn sweep_until_quiet(mut self, deadline: Duration) -> Self {
        self.sweep_deadline = Some(deadline);
        self
    }

    /// Makes the runner. Its loop is made when it is first needed.
    #[must_use]
    pub fn build(self) -> Runner {
        Runner { options: self, state: State::New }
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
    /// call goes on in the next.
    ///
    /// # Errors
    /// What `main` failed with; [`Error::KeyboardInterrupt`] after Ctrl-C; [`Error::Runtime`] if the runner is closed or
    /// if a loop runs on this thread.
    #[track_caller]
    pub fn run<F>(&mut self, main: F) -> Result<<F::Output as Outcome>::Value>
    where
        F: Future<Output: Outcome> + 'static,
    {
        if running().is_some() {
            return Err(Error::Runtime("Runner.run() cannot be called from a running event loop".into()));
        }
        let lp = self.get_loop()?;
        let main = Task::builder().spawn_on(&lp, main)?;
        let interrupts = Interrupts::watch(&lp, &main.to_ref(), self.options.sigterm)?;
        let result = lp.run_until(&main.to_ref().as_awaitable(), Location::caller());
        interrupts.restore(&lp)?;
        match result.and_then(|()| main.clone().take()) {
            Err(Error::Cancelled(message)) => Err(interrupts.verdict(&main.to_ref(), message)),
            result => result,
        }
    }

    /// Ends what is left, and closes the loop (`Runner.close`): cancels every task once and waits for it, reports what
    /// failed, shuts the default pool down. A second call does nothing.
    ///
    /// # Errors
    /// [`Error::AnotherLoopRunning`] inside of a running loop; [`Error::KeyboardInterrupt`] or [`Error::Exit`] if a task
    /// left with it. The loop is closed all the same.
    pub fn close(&mut self) -> Result<()> {
        let State::Open(lp) = std::mem::replace(&mut self.state, State::Closed) else { return Ok(()) };
        let swept = match self.options.sweep_deadline {
            None => sweep_once(&lp),
            Some(deadline) => sweep_until_quiet(&lp, deadline),
        };
        let shut = swept
            .and_then(|()| lp.run_until_complete(lp.shutdown_default_executor(Some(THREAD_JOIN_TIMEOUT))));
        shut.and(lp.close())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            log::error!(target: "looplab", "closing a runner failed: {error}");
        }
    }
}

/// asyncio's `_cancel_all_tasks`: each once, all awaited, failures reported.
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

fn sweep_until_quiet(lp: &EventLoop, deadline: Duration) -> Result<()> {
    let until = lp.time() + deadline;
    loop {
        let tasks = lp.all_tasks();
        if tasks.is_empty() {
            return Ok(());
        }
        for task in &tasks {
            task.cancel();
        }
        let left = until.saturating_duration_since(lp.time());
        let waited = wait(tasks.clone(), ReturnWhen::FirstCompleted, Some(left));
        let (done, pending) = lp.run_until_complete(waited)?;
        report_failures(lp, &done);
        if done.is_empty() {
            let names: Vec<String> = pending.iter().map(|task| task.name().to_string()).collect();
            let seconds = deadline.as_secs_f64();
            log::warn!(target: "looplab", "tasks refuse to end within {seconds} seconds: {}", names.join(", "));
            return Ok(());
        }
    }
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
    /// Watches SIGINT (and SIGTERM, if asked) where it still has its default disposition: a handler of the program's own
    /// is left alone.
    fn watch(lp: &EventLoop, main: &TaskRef, sigterm: bool) -> Result<Self> {
        let seen = Rc::new(Cell::new((0, 0)));
        let mut handlers = Vec::new();
        let signals: &[i32] = if sigterm { &[SIGINT, SIGTERM] } else { &[SIGINT] };
        for &signal in signals {
            let (seen, main) = (seen.clone(), main.clone());
            let handler = lp.add_default_handler(signal, 2, move || {
                seen.set((seen.get().0 + 1, signal));
                if seen.get().0 == 1 && !main.done() {
                    main.cancel();
                    return Ok(());
                }
                Err(meaning(signal))
            })?;
            handlers.extend(handler.map(|handler| (signal, handler)));
        }
        Ok(Self { handlers, seen })
    }

    /// Gives the signals their dispositions back, unless the program has put handlers of its own in the place.
    fn restore(&self, lp: &EventLoop) -> Result<()> {
        self.handlers.iter().try_for_each(|(signal, handler)| lp.remove_default_handler(*signal, *handler))
    }

    /// What a cancelled main task means: the signal, unless others have cancelled it too.
    fn verdict(&self, main: &TaskRef, message: Option<std::sync::Arc<str>>) -> Error {
        match self.seen.get() {
            (1.., signal) if main.uncancel() == 0 => meaning(signal),
            _ => Error::Cancelled(message),
        }
    }
}

/// What a signal ends a run with.
fn meaning(signal: i32) -> Error {
    if signal == SIGINT { Error::KeyboardInterrupt } else { Error::Exit(128 + signal) }
}
