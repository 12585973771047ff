//! Jobs: blocking work on threads, awaited like any future.
//!
//! It promises asyncio's `run_in_executor`: the result arrives as a call from another thread, so the future is set in one
//! turn and its awaiter goes on in the next; cancelling the future keeps a queued job from ever running and drops the
//! result of a running one. A job that outlives its loop is harmless: the loss of its result is logged, once.

use super::Future;
use super::{ReturnWhen, wait};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, JobId, Mailbox, drop_quietly, get_running_loop, short_name};
use crate::executor::{Executor, Fate};
use crate::trace::Place;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;
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
        let place = Location::caller();
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
        let place = Location::caller();
        self.0.check_open()?;
        self.submit(executor, place, function)
    }

    fn submit<F, R>(&self, executor: &Executor, place: Place, function: F) -> Result<Future<R>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let future: Future<R> = Future::of_kind(self, "job", place);
        let label = short_name::<F>();
        let id = self.0.enter_job(Box::new(future.clone()), &label, place);
        let back = Back { mailbox: self.0.mailbox(), id, place, traced: self.0.is_traced() };
        let ticket = executor.submit(label, place, move |fate| back.work(fate, function));
        let ticket = match ticket {
            Ok(ticket) => ticket,
            Err(error) => {
                drop_quietly(self.0.leave_job(id, "", "refused"));
                return Err(error);
            }
        };
        // As in asyncio a callback of the future tells the pool, one turn after the cancellation.
        let lp = self.downgrade();
        future.add_done_callback(move |future| {
            if future.cancelled()
                && ticket.cancel()
                && let Some(lp) = lp.upgrade()
            {
                drop_quietly(lp.leave_job(id, "", "cancelled"));
            }
        });
        Ok(future)
    }

    /// Makes `executor` the default pool (`loop.set_default_executor`). The one before keeps what it has.
    pub fn set_default_executor(&self, executor: Executor) {
        self.0.set_default_executor(executor);
    }

    /// Shuts the default pool down: no more jobs, and waits until its threads have ended, on a thread of its own so that
    /// the loop goes on (`loop.shutdown_default_executor`). When `timeout` has passed it gives up waiting, and names the
    /// jobs that still run through `log::warn!`; they are not interrupted.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if the awaiting task is cancelled; the pool is shut down all the same.
    #[track_caller]
    pub fn shutdown_default_executor(
        &self,
        timeout: Option<Duration>,
    ) -> impl std::future::Future<Output = Result<()>> + use<> {
        let (lp, place) = (self.clone(), Location::caller());
        async move {
            let Some(executor) = lp.0.forbid_default_executor() else { return Ok(()) };
            executor.close(false);
            let joined: Future<()> = Future::of_kind(&lp, "executor shutdown", place);
            let id = lp.0.enter_job(Box::new(joined.clone()), "executor shutdown", place);
            let back = Back { mailbox: lp.0.mailbox(), id, place, traced: false };
            let waiting = executor.clone();
            // It ends with the pool's last thread; after the timeout nobody listens to it any more.
            std::thread::Builder::new().name("looplab-shutdown".to_owned()).spawn(move || {
                waiting.join(None);
                back.deliver("looplab-shutdown", Ok(()));
            })?;
            let Some(timeout) = timeout else { return joined.await };
            wait([joined.clone()], ReturnWhen::AllCompleted, Some(timeout)).await?;
            if !joined.done() {
                drop_quietly(lp.0.leave_job(id, "", "given up"));
                warn_of_running_jobs(&executor, timeout);
            }
            Ok(())
        }
    }
}

fn warn_of_running_jobs(executor: &Executor, timeout: Duration) {
    let jobs: Vec<String> = executor.running().iter().map(ToString::to_string).collect();
    log::warn!(
        target: "looplab",
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
    let place = Location::caller();
    async move {
        let job = {
            // No handle of the loop lives across an await: a task must not keep the loop alive that keeps the task.
            let lp = get_running_loop()?;
            let executor = lp.0.default_executor()?;
            lp.submit(&executor, place, function)?
        };
        job.into_output().await
    }
}

/// A job's way back to its loop.
struct Back {
    mailbox: Arc<Mailbox>,
    id: JobId,
    place: Place,
    traced: bool,
}

impl Back {
    /// On the thread: runs the function and sends what came of it.
    fn work<F, R>(self, fate: Fate, function: F)
    where
        F: FnOnce() -> R,
        R: Send + 'static,
    {
        match fate {
            Fate::Cancelled => self.deliver::<R>("", Err(Error::cancelled())),
            Fate::Run { thread } => {
                if self.traced {
                    let (id, name) = (self.id, thread.clone());
                    self.mailbox.tell(move |lp| lp.0.job_runs(id, &name));
                }
                let result = catch_unwind(AssertUnwindSafe(function)).map_err(Error::from_panic);
                self.deliver(&thread, result);
            }
        }
    }

    fn deliver<R: Send + 'static>(&self, thread: &str, result: Result<R>) {
        let (id, name) = (self.id, thread.to_owned());
        let arrive = move || {
            let lp = get_running_loop()?;
            let state = if result.is_ok() { "ok" } else { "err" };
            let Some(receiver) = lp.0.leave_job(id, &name, state) else { return Ok(()) };
            let Ok(future) = receiver.downcast::<Future<R>>() else { return Ok(()) };
            match result {
                _ if future.done() => Ok(()),
                Ok(value) => future.set_result(value),
                Err(Error::Cancelled(_)) => {
                    future.cancel();
                    Ok(())
                }
                Err(error) => future.set_error(error),
            }
        };
        if self.mailbox.call(self.place, thread, arrive).is_err() {
            log::warn!(
                target: "looplab",
                "the result of the job of {}:{} is lost: its loop is closed",
                self.place.file(),
                self.place.line()
            );
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
        super::join::done(self.cell().clone()).await?;
        self.take()
    }
}
