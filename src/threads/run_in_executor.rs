//! Jobs: blocking work on threads, awaited like any future.
//!
//! It promises asyncio's `run_in_executor`: the result arrives as a call from another thread, so the future is set in one
//! turn and its awaiter goes on in the next; cancelling the future keeps a queued job from ever running and drops the
//! result of a running one. A job that outlives its loop is harmless: the loss of its result is logged, once.

use super::job::{JobId, Receiver, Returning, WayBack};
use super::pool::{Executor, Work};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, get_running_loop};
use crate::observe::names::short_name;
use crate::panics::{Guarded, catch, drop_quietly};
use crate::task::future::FutureCell;
use crate::task::future_core::{AnyFuture, Waiter};
use crate::trace::Place;
use crate::{Future, Timeout};
use std::any::Any;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

impl EventLoop {
    /// Runs a blocking function on a thread of the loop's default pool, made when it is first needed
    /// (`loop.run_in_executor(None, f)`). May be called at any time.
    ///
    /// The future fails with [`Error::Panic`] if the function panics. Cancelling it keeps a queued job from running;
    /// a running one is not interrupted, and its result is dropped.
    ///
    /// # Errors
    /// [`Error::Closed`] after `close`; [`Error::Runtime`] after
    /// [`shutdown_default_executor`](Self::shutdown_default_executor); [`Error::Io`] if no thread can be started.
    ///
    /// ```
    /// # use looplab::EventLoop;
    /// let lp = EventLoop::new()?;
    /// let lines = lp.run_in_executor(|| std::fs::read_to_string("Cargo.toml").map(|text| text.lines().count()))?;
    /// lp.run_until_complete(async move { lines.into_output().await.map(drop) })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn run_in_executor<F, R>(&self, function: F) -> Result<Future<R>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let (place, function) = (Location::caller(), Guarded::new(function));
        self.0.check_open()?;
        let executor = self.0.default_executor()?;
        self.submit(&executor, place, function)
    }

    /// As [`run_in_executor`](Self::run_in_executor), on a pool of your own (`loop.run_in_executor(pool, f)`).
    ///
    /// # Errors
    /// [`Error::Closed`] after `close`; [`Error::Runtime`] after the pool's shutdown; [`Error::Io`] if no thread can be
    /// started.
    #[track_caller]
    pub fn run_in<F, R>(&self, executor: &Executor, function: F) -> Result<Future<R>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let (place, function) = (Location::caller(), Guarded::new(function));
        self.0.check_open()?;
        self.submit(executor, place, function)
    }

    fn submit<F, R>(&self, executor: &Executor, place: Place, function: Guarded<F>) -> Result<Future<R>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let future: Future<R> = Future::of_kind(self, "job", place);
        let label = short_name::<F>;
        let id = self.0.enter_job(future.cell().clone(), label, place);
        let parcel = Parcel { job: id, result: None, label, place, thread: None };
        let job = Job { function: Some(function), parcel, back: Some(self.0.way_back(id)) };
        let ticket = match executor.submit(label, place, Box::new(job)) {
            Ok(ticket) => ticket,
            Err(error) => {
                drop_quietly(self.0.leave_job(id, "", "refused"));
                return Err(error);
            }
        };
        let check = self.0.job_submitted(id, ticket, place);
        future.cell().core().add_waiter(Waiter::Callback(check));
        Ok(future)
    }

    /// Makes `executor` the default pool (`loop.set_default_executor`). The one before keeps what it has.
    pub fn set_default_executor(&self, executor: Executor) {
        self.0.set_default_executor(executor);
    }

    /// Shuts the default pool down: no more jobs, and waits until its threads have ended, on a thread of its own so that
    /// the loop goes on (`loop.shutdown_default_executor`). When `timeout` has passed it gives up waiting, and names the
    /// jobs that still run through `log::warn!`; they are not interrupted, and those that wait still run. May be awaited
    /// again, and by several.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if the awaiting task is cancelled; the pool is shut down all the same. [`Error::Io`] if no
    /// thread can be started.
    ///
    /// ```
    /// # use looplab::EventLoop;
    /// let lp = EventLoop::new()?;
    /// lp.run_in_executor(|| println!("some work"))?;
    /// lp.run_until_complete(lp.shutdown_default_executor(None))?;
    /// assert_eq!(lp.run_in_executor(|| ()).unwrap_err().to_string(), "Executor shutdown has been called");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn shutdown_default_executor(
        &self,
        timeout: Option<Duration>,
    ) -> impl std::future::Future<Output = Result<()>> + use<> {
        let (lp, place) = (self.downgrade(), Location::caller());
        async move {
            let started = match lp.upgrade().map(EventLoop) {
                Some(lp) => lp.shut_executor_down(place)?,
                None => return Err(Error::Closed),
            };
            let Some((executor, Helper { joined, job, thread })) = started else { return Ok(()) };
            match Timeout::after(timeout)?.enter(place, joined).await {
                Err(Error::TimedOut) => {
                    // The thread ends with the pool's last one; nobody listens to it any more.
                    let lp = lp.upgrade().map(EventLoop);
                    drop_quietly(lp.and_then(|lp| lp.0.leave_job(job, "", "given up")));
                    warn_of_running_jobs(&executor, timeout.unwrap_or_default());
                    Ok(())
                }
                outcome => {
                    if outcome.is_ok() {
                        // It has said its last word.
                        let _ = thread.join();
                    }
                    outcome
                }
            }
        }
    }

    /// Begins the shutdown of the default pool; `None` if there never was one.
    fn shut_executor_down(&self, place: Place) -> Result<Option<(Executor, Helper)>> {
        let Some(executor) = self.0.forbid_default_executor() else { return Ok(None) };
        executor.close(false);
        let joined: Future<()> = Future::of_kind(self, "executor shutdown", place);
        let label = || "executor shutdown".to_owned();
        let job = self.0.enter_job(joined.cell().clone(), label, place);
        let (back, waiting) = (self.0.way_back(job), executor.clone());
        let helper = thread::Builder::new().name(HELPER.to_owned()).spawn(move || {
            let result = waiting.join();
            back.ended(Box::new(Joined { job, place, result, thread: HELPER.into() }));
        });
        match helper {
            Ok(thread) => Ok(Some((executor, Helper { joined, job, thread }))),
            Err(error) => {
                drop_quietly(self.0.leave_job(job, "", "refused"));
                Err(error.into())
            }
        }
    }
}

/// The name of the thread that waits for the default pool.
const HELPER: &str = "joiner";

/// The thread that waits for the default pool, and the future that it sets then.
struct Helper {
    joined: Future<()>,
    job: JobId,
    thread: JoinHandle<()>,
}

fn warn_of_running_jobs(executor: &Executor, timeout: Duration) {
    let jobs: Vec<String> = executor.running().iter().map(ToString::to_string).collect();
    log_warn!(
        "The executor did not finish joining its threads within {} seconds; still running: {}",
        timeout.as_secs_f64(),
        jobs.join(", ")
    );
}

/// Runs a blocking function on a thread of the running loop's default pool, and awaits it (`asyncio.to_thread`).
///
/// Fails with [`Error::NoRunningLoop`] without a loop, and as [`EventLoop::run_in_executor`] else.
///
/// ```
/// use looplab::{EventLoop, to_thread};
/// let lp = EventLoop::new()?;
/// assert_eq!(lp.run_until_complete(async { to_thread(|| 6 * 7).await })?, 42);
/// # Ok::<(), looplab::Error>(())
/// ```
#[track_caller]
pub fn to_thread<F, R>(function: F) -> impl std::future::Future<Output = Result<R>>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    to_thread_at(Location::caller(), function)
}

/// The same where the caller of a function of looplab is the place to show.
pub(crate) async fn to_thread_at<F, R>(place: Place, function: F) -> Result<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let job = {
        // No handle of the loop lives across an await: a task must not keep the loop alive that keeps the task.
        let lp = get_running_loop()?;
        let executor = lp.0.default_executor()?;
        lp.submit(&executor, place, Guarded::new(function))?
    };
    job.into_output().await
}

/// A job, as its pool sees it: the function, what came of it, and the way back, on which it goes itself.
struct Job<F: 'static, R: 'static> {
    function: Option<Guarded<F>>,
    parcel: Parcel<R>,
    back: Option<WayBack>,
}

impl<F, R> Work for Job<F, R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    fn run(&mut self, thread: &Arc<str>) {
        self.parcel.thread = self.back.as_ref().and_then(|back| back.begun(thread));
        let Some(function) = self.function.take() else { return };
        self.parcel.result = Some(catch(function.into_inner()));
    }

    fn end(mut self: Box<Self>) {
        if let Some(back) = self.back.take() {
            back.ended(self);
        }
    }
}

impl<F, R> Returning for Job<F, R>
where
    F: Send,
    R: Send + 'static,
{
    fn place(&self) -> Place {
        self.parcel.place
    }

    fn thread(&self) -> Option<&Arc<str>> {
        self.parcel.thread.as_ref()
    }

    fn arrive(mut self: Box<Self>, lp: &EventLoop) -> Result<()> {
        let result = self.parcel.result.take().unwrap_or_else(|| Err(Error::cancelled()));
        arrive(lp, self.parcel.job, self.parcel.thread.as_deref().unwrap_or_default(), result)
    }
}

/// The news that all threads of the default pool have ended.
struct Joined {
    job: JobId,
    place: Place,
    result: Result<()>,
    thread: Arc<str>,
}

impl Returning for Joined {
    fn place(&self) -> Place {
        self.place
    }

    fn thread(&self) -> Option<&Arc<str>> {
        Some(&self.thread)
    }

    fn arrive(self: Box<Self>, lp: &EventLoop) -> Result<()> {
        arrive(lp, self.job, &self.thread, self.result)
    }
}

/// On the loop: gives what came of a job to whom it may concern.
fn arrive<R: 'static>(lp: &EventLoop, job: JobId, thread: &str, result: Result<R>) -> Result<()> {
    let state = match &result {
        Ok(_) => "ok",
        Err(Error::Cancelled(_)) => "cancelled",
        Err(_) => "err",
    };
    let Some(receiver) = lp.0.leave_job(job, thread, state) else { return Ok(()) };
    let receiver: Rc<dyn Any> = receiver;
    let Ok(future) = receiver.downcast::<FutureCell<R>>().map(Future::of) else { return Ok(()) };
    match result {
        // Cancelled meanwhile: the result is dropped.
        _ if future.done() => Ok(()),
        Ok(value) => future.set_result(value),
        Err(Error::Cancelled(_)) => {
            future.cancel();
            Ok(())
        }
        Err(error) => future.set_error(error),
    }
}

impl<R: 'static> Receiver for FutureCell<R> {
    fn is_cancelled(&self) -> bool {
        self.core().cancelled()
    }
}

/// What came of a job. If it is dropped before it was taken out on the loop, it is lost, and that is logged.
struct Parcel<R: 'static> {
    job: JobId,
    result: Option<Result<R>>,
    label: fn() -> String,
    place: Place,
    /// The thread that has run it, for a traced loop.
    thread: Option<Arc<str>>,
}

impl<R> Drop for Parcel<R> {
    fn drop(&mut self) {
        if let Some(lost) = self.result.take() {
            drop_quietly(lost);
            let (label, file, line) = ((self.label)(), self.place.file(), self.place.line());
            log_warn!("the result of {label} ({file}:{line}) is lost: its loop is closed");
        }
    }
}

impl<R: 'static> Future<R> {
    /// Awaits the future and takes its value out, which needs no `Clone` (an `io::Result` has none). Other handles find
    /// [`Error::InvalidState`] afterwards.
    ///
    /// # Errors
    /// What the future failed with; [`Error::InvalidState`] if the value was taken before.
    ///
    /// ```
    /// # use looplab::EventLoop;
    /// let lp = EventLoop::new()?;
    /// let text = lp.run_in_executor(|| std::fs::read_to_string("Cargo.toml"))?;
    /// let text: std::io::Result<String> = lp.run_until_complete(async move { text.into_output().await })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub async fn into_output(self) -> Result<R> {
        crate::task::join::done(self.cell().clone()).await?;
        self.take()
    }
}
