//! The blocking thread pool (`concurrent.futures.ThreadPoolExecutor`).
//!
//! A channel without a limit holds the jobs (Python's `SimpleQueue`), and the pool's threads receive them. The pool
//! guarantees that a thread is started only if no other is idle, and that its first job is the one it was started for. A
//! job that has not begun can be withdrawn: it never runs, and the thread that receives it drops it. No job runs, and none
//! is dropped, under the pool's lock. The pool knows no loop, and it never interrupts a running job.
//!
//! ```text
//!   1 submit           2 a thread begins it         3 the function returned; the thread is idle again
//!   ────────▶ QUEUED ───────────────────▶ RUNNING ──────────────────────────────────────────▶ ENDED
//!               └──4 withdraw, or shutdown(cancel)──▶ CANCELLED (never runs)
//! ```
//!
//! A channel alone would lose jobs: a thread that stops waiting and a submitter that counts on it can miss each other. So
//! a job counts as unfinished from its submission, under the lock that covers the send. A thread that stops waiting looks
//! into the channel once more, under the same lock, before it leaves. Running a job takes no lock. The tests run every
//! order of these steps.

use crate::error::{Error, Result, catch};
use crate::panics::{drop_all, drop_quietly};
use crate::trace::Place;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long an idle thread waits for a job before it ends, unless the builder sets another time.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A pool of threads for blocking work (`concurrent.futures.ThreadPoolExecutor`). Cloning gives another handle of the
/// same pool. When the last handle is dropped, the queued jobs still run and then the threads end.
///
/// ```
/// use looplab::{EventLoop, Executor};
/// let lp = EventLoop::new()?;
/// let pool = Executor::new(2);
/// let answer = lp.run_in(&pool, || 6 * 7)?;
/// assert_eq!(lp.run_until_complete(&answer)?, 42);
/// pool.shutdown(true, false)?;                       // waits until its threads have ended
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias("concurrent.futures.ThreadPoolExecutor", "ThreadPoolExecutor"))]
#[derive(Clone)]
pub struct Executor {
    handle: Arc<PoolHandle>,
}

/// The options of a pool; made by [`Executor::builder`].
///
/// ```
/// # use looplab::Executor;
/// # use std::time::Duration;
/// let pool = Executor::builder().threads(4).name("disk").keep_alive(Duration::from_secs(1)).build();
/// assert_eq!(pool.threads(), 0);                     // none is started before there is work
/// ```
#[derive(Clone, Debug)]
pub struct ExecutorBuilder {
    threads: usize,
    name: String,
    keep_alive: Duration,
}

/// A job that runs now; given by [`Executor::running`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobInfo {
    /// The function.
    pub label: Arc<str>,
    /// Where it was submitted.
    pub place: Place,
    /// The thread that runs it.
    pub thread: Arc<str>,
}

/// What the clones of an [`Executor`] share. Dropping it closes the pool.
struct PoolHandle(Arc<Pool>);

/// What the handles, the threads and the jobs share.
struct Pool {
    options: ExecutorBuilder,
    queue: Receiver<Arc<dyn Job>>,
    /// How many jobs were submitted and are neither over nor cancelled. If there are fewer than threads, one is idle.
    unfinished: AtomicUsize,
    /// How many of these have not begun.
    queued: AtomicUsize,
    state: Mutex<PoolState>,
    /// Notified when a thread leaves the pool.
    left: Condvar,
}

struct PoolState {
    /// Sends jobs to the threads. `None` after shutdown.
    queue: Option<Sender<Arc<dyn Job>>>,
    threads: Vec<Arc<Worker>>,
    /// How many threads were ever started.
    started: u64,
    /// Of all `threads`, and of some that have left.
    joins: Vec<JoinHandle<()>>,
}

/// A thread of the pool.
struct Worker {
    pool: Arc<Pool>,
    name: Arc<str>,
    /// The job that it was started for, until it begins.
    first: Mutex<Option<Arc<dyn Job>>>,
    running: Mutex<Option<Arc<dyn Job>>>,
}

/// A job, shared by its pool and its loop (`concurrent.futures.Future` and `_WorkItem`). The pool calls `run` and `end`, or
/// `end` alone if it cancels the job.
pub(crate) trait Job: Send + Sync {
    fn header(&self) -> &JobHeader;
    /// Runs the function on a thread of the pool.
    fn run(&self, thread: &Arc<str>);
    /// Sends the job to its loop. The thread counts as idle by now: a caller that sees the result and submits the next job
    /// must find it idle.
    fn end(self: Arc<Self>, thread: Option<&Arc<str>>);
    /// Sets the result of the job's future, on the loop.
    fn set_result(&self, thread: &str) -> Result<()>;
}

/// What the pool knows of a job.
pub(crate) struct JobHeader {
    pool: Arc<Pool>,
    pub(crate) label: fn() -> String,
    pub(crate) place: Place,
    state: AtomicU8,
}

/// The states of a job that matter to other threads.
const QUEUED: u8 = 0;
const BEGUN: u8 = 1;
const CANCELLED: u8 = 2;

impl Default for ExecutorBuilder {
    fn default() -> Self {
        let cpus = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { threads: (cpus + 4).min(32), name: "looplab".to_owned(), keep_alive: KEEP_ALIVE }
    }
}

impl ExecutorBuilder {
    /// Limits the number of threads; at least one (`max_workers`). The default is the number of processors plus four, at
    /// most 32.
    #[must_use]
    pub fn threads(mut self, most: usize) -> Self {
        self.threads = most.max(1);
        self
    }

    /// Names the threads `NAME_0`, `NAME_1` … (`thread_name_prefix`). With a NUL byte in it, which the system's names cannot
    /// hold, each job is refused with [`Error::Value`].
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets how long an idle thread waits before it ends. The default is ten seconds.
    #[must_use]
    pub fn keep_alive(mut self, keep_alive: Duration) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// Makes the pool. No thread is started before there is work.
    #[must_use]
    pub fn build(self) -> Executor {
        let (sender, queue) = unbounded();
        let state = PoolState { queue: Some(sender), threads: Vec::new(), started: 0, joins: Vec::new() };
        let pool = Pool {
            options: self,
            queue,
            unfinished: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            state: Mutex::new(state),
            left: Condvar::new(),
        };
        Executor { handle: Arc::new(PoolHandle(Arc::new(pool))) }
    }
}

impl Executor {
    /// Makes a pool of at most `threads` threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self::builder().threads(threads).build()
    }

    /// Returns the options of a pool.
    #[must_use]
    pub fn builder() -> ExecutorBuilder {
        ExecutorBuilder::default()
    }

    /// Returns how many threads there are now.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool().state().threads.len()
    }

    /// Returns how many jobs wait for a thread.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.pool().queued.load(Relaxed)
    }

    /// Returns the jobs that run now, thread by thread.
    #[must_use]
    pub fn running(&self) -> Vec<JobInfo> {
        let info = |thread: &Arc<Worker>| {
            let running = lock(&thread.running);
            let &JobHeader { label, place, .. } = running.as_ref()?.header();
            Some(JobInfo { label: label().into(), place, thread: thread.name.clone() })
        };
        self.pool().state().threads.iter().filter_map(info).collect()
    }

    fn pool(&self) -> &Arc<Pool> {
        &self.handle.0
    }

    /// Makes the header of a job for [`submit`](Self::submit).
    pub(crate) fn header(&self, label: fn() -> String, place: Place) -> JobHeader {
        JobHeader { pool: self.pool().clone(), label, place, state: AtomicU8::new(QUEUED) }
    }

    /// Arrow 1. Queues the job, and starts a thread for it if none is idle.
    pub(crate) fn submit(&self, job: Arc<dyn Job>) -> Result<()> {
        self.pool().submit(job, |worker| {
            thread::Builder::new().name(worker.name.to_string()).spawn(move || worker.live())
        })
    }

    /// Accepts a job that no thread of the pool runs: an explored loop runs it.
    pub(crate) fn accept(&self) -> Result<()> {
        let state = self.pool().state();
        state.check_open()?;
        self.pool().count_submitted();
        Ok(())
    }

    /// Refuses further jobs. Threads that find the channel empty end.
    pub(crate) fn close(&self) {
        self.pool().close();
    }

    /// Arrow 4, for all jobs that have not begun. Those that were withdrawn before are only dropped.
    pub(super) fn cancel_queued(&self) {
        let queued: Vec<_> = {
            let state = self.pool().state();
            let firsts = state.threads.iter().filter_map(|thread| lock(&thread.first).take());
            firsts.chain(self.pool().queue.try_iter()).collect()
        };
        let (cancelled, withdrawn): (Vec<_>, Vec<_>) =
            queued.into_iter().partition(|job| job.header().cancel());
        drop_all(withdrawn);
        for job in cancelled {
            quietly(|| job.end(None));
        }
    }

    /// Waits until all threads have ended.
    pub(crate) fn join(&self) -> Result<()> {
        let (pool, me) = (self.pool(), thread::current().id());
        let state = pool.state();
        if state.joins.iter().any(|join| join.thread().id() == me) {
            return Err(Error::Runtime("cannot join current thread".into()));
        }
        let all_left = pool.left.wait_while(state, |state| !state.threads.is_empty());
        let joins = std::mem::take(&mut all_left.unwrap_or_else(PoisonError::into_inner).joins);
        // They have left the pool. This waits until they have dropped their thread-locals, too.
        for join in joins {
            let _ = join.join();
        }
        Ok(())
    }
}

impl Drop for PoolHandle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, PoolState> {
        lock(&self.state)
    }

    fn close(&self) {
        let sender = self.state().queue.take();
        drop(sender);
    }

    /// Queues a job. `spawn` starts a thread for the worker that it gets.
    fn submit(
        self: &Arc<Self>,
        job: Arc<dyn Job>,
        spawn: impl FnOnce(Arc<Worker>) -> io::Result<JoinHandle<()>>,
    ) -> Result<()> {
        // A refused job is dropped after the lock is released, as parameters are.
        let mut state = self.state();
        state.check_open()?;
        let all_busy = self.unfinished.load(Relaxed) >= state.threads.len();
        let may_start = all_busy && state.threads.len() < self.options.threads;
        let worker = if may_start { self.start_thread(&mut state, spawn)? } else { None };
        self.count_submitted();
        match worker {
            Some(worker) => *lock(&worker.first) = Some(job),
            None => {
                // The pool keeps a receiver, so this cannot fail.
                let _ = state.queue.as_ref().map(|queue| queue.send(job));
            }
        }
        Ok(())
    }

    /// Counts a new job. Called under the lock.
    fn count_submitted(&self) {
        self.unfinished.fetch_add(1, Relaxed);
        self.queued.fetch_add(1, Relaxed);
    }

    /// Starts a thread. Returns `None` if that fails and the job need not fail with it.
    fn start_thread(
        self: &Arc<Self>,
        state: &mut PoolState,
        spawn: impl FnOnce(Arc<Worker>) -> io::Result<JoinHandle<()>>,
    ) -> Result<Option<Arc<Worker>>> {
        let name = format!("{}_{}", self.options.name, state.started);
        if name.contains('\0') {
            return Err(Error::Value("the name of an executor must not contain a NUL byte".into()));
        }
        let (pool, name) = (self.clone(), name.into());
        let worker = Arc::new(Worker { pool, name, first: Mutex::default(), running: Mutex::default() });
        match spawn(worker.clone()) {
            Ok(join) => {
                state.joins.retain(|join| !join.is_finished());
                state.joins.push(join);
                state.threads.push(worker.clone());
                state.started += 1;
                Ok(Some(worker))
            }
            // Without a thread the job would wait forever. With one it only waits longer.
            Err(error) if state.threads.is_empty() => Err(error.into()),
            Err(_) => Ok(None),
        }
    }
}

impl PoolState {
    fn check_open(&self) -> Result<()> {
        match self.queue {
            Some(_) => Ok(()),
            None => Err(Error::Runtime("cannot schedule new futures after shutdown".into())),
        }
    }
}

impl Worker {
    /// Runs jobs until none has come for a while, or none can come. This is all that a thread of the pool does.
    fn live(&self) {
        let mut next = self.first();
        while let Some(job) = next.take().or_else(|| self.receive()) {
            if !self.begin(&job) {
                drop_quietly(job);
                continue;
            }
            quietly(|| job.run(&self.name));
            self.release();
            quietly(|| job.end(Some(&self.name)));
        }
    }

    /// Returns the job that the thread was started for.
    fn first(&self) -> Option<Arc<dyn Job>> {
        // The submission that has started this thread holds the lock until the job is in its place.
        let _submitted = self.pool.state();
        lock(&self.first).take()
    }

    /// Waits for a job. `None` ends the thread.
    fn receive(&self) -> Option<Arc<dyn Job>> {
        // Between two jobs of a batch nothing is waited for, so no clock is read.
        let next = self.pool.queue.try_recv().ok();
        let received = next.or_else(|| self.pool.queue.recv_timeout(self.pool.options.keep_alive).ok());
        received.or_else(|| self.retire())
    }

    /// Leaves the pool, unless a job has come meanwhile. That job is returned.
    fn retire(&self) -> Option<Arc<dyn Job>> {
        let mut state = self.pool.state();
        let job = self.pool.queue.try_recv().ok();
        if job.is_none() {
            state.threads.retain(|thread| !std::ptr::eq(&**thread, self));
            self.pool.left.notify_all();
        }
        job
    }

    /// Arrow 2. Returns false if the job was cancelled.
    fn begin(&self, job: &Arc<dyn Job>) -> bool {
        let begun = job.header().begin();
        if begun {
            *lock(&self.running) = Some(job.clone());
        }
        begun
    }

    /// Arrow 3. The thread counts as idle from here on.
    fn release(&self) {
        *lock(&self.running) = None;
        self.pool.unfinished.fetch_sub(1, Relaxed);
    }
}

/// No user code runs under these locks, so a poisoned one is as good as any.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Logs a panic. A job catches those of its function and of destructors itself; a thread must outlive all others.
fn quietly(action: impl FnOnce()) {
    if let Err(error) = catch(action) {
        log_error!("a job panicked outside of its function: {error}");
    }
}

impl JobHeader {
    /// Tells whether the job was submitted to this pool.
    pub(crate) fn is_of(&self, executor: &Executor) -> bool {
        Arc::ptr_eq(&self.pool, executor.pool())
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.state.load(Relaxed) == BEGUN
    }

    /// Arrow 2. Returns false if the job was cancelled.
    pub(crate) fn begin(&self) -> bool {
        self.leave_queue(BEGUN)
    }

    /// Arrow 3, for a job that no thread of the pool has run.
    pub(crate) fn finish(&self) {
        self.pool.unfinished.fetch_sub(1, Relaxed);
    }

    /// Arrow 4. Returns false if the job has begun, or was cancelled before.
    pub(crate) fn cancel(&self) -> bool {
        let cancelled = self.leave_queue(CANCELLED);
        if cancelled {
            self.pool.unfinished.fetch_sub(1, Relaxed);
        }
        cancelled
    }

    /// Arrow 2 or 4, whichever comes first. Returns false if it is the second.
    fn leave_queue(&self, state: u8) -> bool {
        let first = self.state.compare_exchange(QUEUED, state, Relaxed, Relaxed).is_ok();
        if first {
            self.pool.queued.fetch_sub(1, Relaxed);
        }
        first
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shut_down = self.pool().state().queue.is_none();
        f.debug_struct("Executor")
            .field("name", &self.pool().options.name)
            .field("threads", &self.threads())
            .field("running", &self.running().len())
            .field("queued", &self.queued())
            .field("shut_down", &shut_down)
            .finish()
    }
}

impl fmt::Display for JobInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{}) on {}", self.label, self.place.file(), self.place.line(), self.thread)
    }
}

#[cfg(test)]
#[path = "tests/pool.rs"]
mod tests;
