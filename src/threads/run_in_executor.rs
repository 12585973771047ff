//! Jobs: blocking work on threads, awaited like any future.
//!
//! This keeps asyncio's `run_in_executor`. A result arrives as a call from another thread, so the future is set in one turn
//! and its awaiter continues in the next. Cancelling the future keeps a queued job from ever running, and drops the result of
//! a running one. A job may outlive its loop: then the loss of its result is logged, once.

use super::job::PendingJob;
use super::pool::{Executor, Job, JobHeader, lock};
use crate::error::{Error, Result, catch};
use crate::event_loop::{EventLoop, Inbox, Inner, JobKind, explored_here, get_running_loop};
use crate::observe::names::short_name;
use crate::panics::{Guarded, drop_quietly};
use crate::task::done_callback::add_done_callback;
use crate::task::future::FutureCell;
use crate::task::future_core::{AnyFuture, downcast_rc};
use crate::trace::Place;
use crate::{Future, Timeout};
use std::any::{Any, type_name};
use std::panic::Location;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The name of the thread that waits for the default pool.
const HELPER: &str = "joiner";
/// The name of the job that waits for the default pool.
pub(crate) const SHUTDOWN: &str = "executor shutdown";

impl EventLoop {
    /// Runs a blocking function on a thread of the loop's default pool (`loop.run_in_executor(None, f)`). The pool is made
    /// when it is first needed. May be called at any time.
    ///
    /// The future fails with [`Error::Panic`] if the function panics. Cancelling the future keeps a queued job from running:
    /// the thread that receives the job drops it. A running job is not interrupted, and its result is dropped.
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
    #[doc(alias = "loop.run_in_executor")]
    #[track_caller]
    pub fn run_in_executor<F, R>(&self, function: F) -> Result<Future<R>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let (place, function) = (Location::caller(), Guarded::new(function));
        self.0.check_open()?;
        let executor = self.0.jobs.default_executor()?;
        self.submit(&executor, place, function)
    }

    /// Does the same as [`run_in_executor`](Self::run_in_executor) on a pool of your own (`loop.run_in_executor(pool, f)`).
    ///
    /// # Errors
    /// [`Error::Closed`] after `close`; [`Error::Runtime`] after the pool's shutdown; [`Error::Io`] if no thread can be
    /// started.
    #[doc(alias("loop.run_in_executor", "run_in_executor"))]
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
        let (number, inbox) = (self.0.jobs.next_number(), self.0.inbox.clone());
        let job = Arc::new(FunctionJob {
            header: executor.header(short_name::<F>, place),
            number,
            inbox,
            reports_begin: self.0.learns_of_begun_jobs(),
            function: Mutex::new(Some(function)),
            ended: Mutex::new(None),
        });
        self.0.insert_job(number, job.clone(), future.0.clone(), type_name::<F>());
        let submitted = match self.0.explored.is_on() {
            true => executor.accept().map(|()| self.0.explored.submit(number, job, JobKind::Function)),
            false => executor.submit(job),
        };
        if let Err(error) = submitted {
            drop_quietly(self.0.remove_job(number, "", "refused", None));
            return Err(error);
        }
        add_done_callback(future.0.clone(), place, "job.check_cancel", move |done| {
            check_cancel(number, downcast_rc::<FutureCell<R>>(done))
        });
        Ok(future)
    }

    /// Makes `executor` the default pool (`loop.set_default_executor`). The pool before it keeps its jobs.
    #[doc(alias = "loop.set_default_executor")]
    pub fn set_default_executor(&self, executor: Executor) {
        self.0.jobs.set_default_executor(executor);
    }

    /// Shuts the default pool down and waits until its threads have ended (`loop.shutdown_default_executor`). A thread of its
    /// own does the waiting, so the loop goes on.
    ///
    /// After `timeout` it stops waiting and names the jobs that still run through `log::warn!`. They are not interrupted, and
    /// the queued ones still run. Several tasks may await it, and again.
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
    #[doc(alias = "loop.shutdown_default_executor")]
    #[track_caller]
    pub fn shutdown_default_executor(
        &self,
        timeout: Option<Duration>,
    ) -> impl std::future::Future<Output = Result<()>> + use<> {
        let (lp, place) = (Rc::downgrade(&self.0), Location::caller());
        async move {
            let started = match lp.upgrade().map(EventLoop) {
                Some(lp) => lp.shut_executor_down(place)?,
                None => return Err(Error::Closed),
            };
            let Some((executor, Helper { joined, number, thread })) = started else { return Ok(()) };
            match Timeout::after(timeout)?.enter(place, joined).await {
                Err(Error::TimedOut) => {
                    // The helper ends after the pool's last thread, and its result is ignored.
                    let lp = lp.upgrade().map(EventLoop);
                    drop_quietly(lp.and_then(|lp| lp.0.remove_job(number, "", "given up", None)));
                    warn_of_running_jobs(&executor, timeout.unwrap_or_default());
                    Ok(())
                }
                outcome => {
                    if let (Ok(()), Some(thread)) = (&outcome, thread) {
                        // It has sent its result, so it ends at once.
                        let _ = thread.join();
                    }
                    outcome
                }
            }
        }
    }

    /// Begins the shutdown of the default pool. Returns `None` if there never was one.
    fn shut_executor_down(&self, place: Place) -> Result<Option<(Executor, Helper)>> {
        let Some(executor) = self.0.jobs.close_default_executor() else { return Ok(None) };
        let joined: Future<()> = Future::of_kind(self, SHUTDOWN, place);
        let (number, inbox) = (self.0.jobs.next_number(), self.0.inbox.clone());
        let (header, waiting) = (executor.header(|| SHUTDOWN.to_owned(), place), executor.clone());
        let job = Arc::new(JoinJob { header, number });
        self.0.insert_job(number, job.clone(), joined.0.clone(), SHUTDOWN);
        if self.0.explored.is_on() {
            self.0.explored.submit(number, job, JobKind::Shutdown);
            return Ok(Some((executor, Helper { joined, number, thread: None })));
        }
        let helper = thread::Builder::new().name(HELPER.to_owned()).spawn(move || {
            // It cannot fail: this is no thread of the pool.
            let _ = waiting.join();
            inbox.job_ended(job, Some(&HELPER.into()));
        });
        match helper {
            Ok(thread) => Ok(Some((executor, Helper { joined, number, thread: Some(thread) }))),
            Err(error) => {
                drop_quietly(self.0.remove_job(number, "", "refused", None));
                Err(error.into())
            }
        }
    }
}

impl Executor {
    /// Refuses further jobs (`Executor.shutdown`). May be called from any thread, and again.
    ///
    /// Jobs that have not begun still run, but with `cancel` they never do, and awaiting one fails with
    /// [`Error::Cancelled`]. On the thread of its running loop such a job is done at once, else by a call to its loop. With
    /// `wait` the method blocks until all threads have ended, so a callback should not call it that way.
    ///
    /// # Errors
    /// [`Error::Runtime`] if a job waits that way for its own pool, which would last forever. The pool is shut down all the
    /// same.
    pub fn shutdown(&self, wait: bool, cancel: bool) -> Result<()> {
        self.close();
        if cancel {
            self.cancel_queued();
        }
        // These loops run the jobs themselves, so the pool has none of them.
        for lp in explored_here() {
            lp.shut_pool_down(self, wait, cancel)?;
        }
        if wait { self.join() } else { Ok(()) }
    }
}

/// The thread that waits for the default pool, and the future that it sets afterwards.
struct Helper {
    joined: Future<()>,
    number: u64,
    /// `None` on an explored loop, which has no threads.
    thread: Option<JoinHandle<()>>,
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
/// Fails with [`Error::NoRunningLoop`] without a loop, and otherwise as [`EventLoop::run_in_executor`] does.
///
/// ```
/// use looplab::{EventLoop, to_thread};
/// let lp = EventLoop::new()?;
/// assert_eq!(lp.run_until_complete(async { to_thread(|| 6 * 7).await })?, 42);
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.to_thread")]
#[track_caller]
pub fn to_thread<F, R>(function: F) -> impl std::future::Future<Output = Result<R>>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    to_thread_at(Location::caller(), function)
}

/// Does the same for a function of looplab, whose caller is the place to show.
pub(crate) async fn to_thread_at<F, R>(place: Place, function: F) -> Result<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let job = {
        // No handle of the loop lives across an await: a task must not keep its own loop alive.
        let lp = get_running_loop()?;
        let executor = lp.0.jobs.default_executor()?;
        lp.submit(&executor, place, Guarded::new(function))?
    };
    job.into_output().await
}

impl Inner {
    /// Enters a job into the table, with the future that gets its result. `name` is the full path of its function.
    fn insert_job(&self, number: u64, job: Arc<dyn Job>, future: Rc<dyn Any>, name: &str) {
        let place = job.header().place;
        let begun = self.learns_of_begun_jobs().then_some(false);
        self.jobs.pending.push(number, PendingJob { job, future, begun });
        self.job_created(number, name, place);
    }

    /// Removes a job that is over, or that never will run. Returns its future unless it was removed before.
    fn remove_job(&self, number: u64, thread: &str, state: &str, at: Option<Instant>) -> Option<Rc<dyn Any>> {
        let pending = self.jobs.pending.remove(number)?;
        self.job_ended(number, thread, state, at);
        Some(pending.future)
    }

    /// Returns whether a job's begin is sent to the loop: for a trace, and in virtual time, where what is seen must repeat.
    /// Other loops ask the job when they need to know, and most never do.
    pub(crate) fn learns_of_begun_jobs(&self) -> bool {
        self.inbox.traced || self.clock.is_virtual()
    }
}

/// Runs on the loop, one turn after a job's future is done: a cancelled future withdraws the job from its pool.
fn check_cancel(number: u64, done: Rc<dyn AnyFuture>) -> Result<()> {
    let lp = get_running_loop()?;
    let cancelled = done.core().cancelled();
    drop_quietly(done);
    if cancelled && lp.0.jobs.withdraw(number) {
        drop_quietly(lp.0.remove_job(number, "", "cancelled", None));
    }
    Ok(())
}

/// Delivers a result to the job's future, on the loop. `None` means that the pool has cancelled the job.
fn set_result<R: 'static>(
    number: u64,
    thread: &str,
    result: Option<Result<R>>,
    at: Option<Instant>,
) -> Result<()> {
    let state = match &result {
        Some(Ok(_)) => "ok",
        Some(Err(_)) => "err",
        None => "cancelled",
    };
    let future = get_running_loop()?.0.remove_job(number, thread, state, at);
    let Some(Ok(future)) = future.map(|future| future.downcast().map(Future)) else { return Ok(()) };
    match result {
        // It was cancelled meanwhile, so the result is dropped.
        _ if future.done() => Ok(()),
        Some(result) => future.settle(result),
        None => {
            future.cancel();
            Ok(())
        }
    }
}

/// A function on its way to a thread, and its result on the way back.
struct FunctionJob<F: 'static, R: 'static> {
    header: JobHeader,
    number: u64,
    inbox: Arc<Inbox>,
    reports_begin: bool,
    function: Mutex<Option<Guarded<F>>>,
    /// The result, and when it came if the loop is traced.
    ended: Mutex<Option<(Result<R>, Option<Instant>)>>,
}

impl<F: FnOnce() -> R + Send + 'static, R: Send + 'static> Job for FunctionJob<F, R> {
    fn header(&self) -> &JobHeader {
        &self.header
    }

    fn run(&self, thread: &Arc<str>) {
        if self.reports_begin {
            self.inbox.job_begun(self.number, thread);
        }
        let function = lock(&self.function).take();
        if let Some(function) = function {
            let result = catch(function.into_inner());
            let at = self.inbox.traced.then(Instant::now);
            *lock(&self.ended) = Some((result, at));
        }
    }

    fn end(self: Arc<Self>, thread: Option<&Arc<str>>) {
        // The job goes as a whole, so that it is freed on the thread that made it.
        self.inbox.clone().job_ended(self, thread);
    }

    fn set_result(&self, thread: &str) -> Result<()> {
        let (result, at) = lock(&self.ended).take().unzip();
        set_result(self.number, thread, result, at.flatten())
    }
}

/// Logs the loss of a result that the loop has not taken.
impl<F, R> Drop for FunctionJob<F, R> {
    fn drop(&mut self) {
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((lost, _)) = ended.take() {
            drop_quietly(lost);
            let JobHeader { label, place, .. } = self.header;
            let (label, file, line) = (label(), place.file(), place.line());
            log_warn!("the result of {label} ({file}:{line}) is lost: its loop is closed");
        }
    }
}

/// Sets the future of a shutdown. The thread [`HELPER`] does the work itself.
struct JoinJob {
    header: JobHeader,
    number: u64,
}

impl Job for JoinJob {
    fn header(&self) -> &JobHeader {
        &self.header
    }

    fn run(&self, _: &Arc<str>) {}

    fn end(self: Arc<Self>, _: Option<&Arc<str>>) {}

    fn set_result(&self, thread: &str) -> Result<()> {
        set_result(self.number, thread, Some(Ok(())), None)
    }
}
