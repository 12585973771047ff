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
//! into the channel once more, under the same lock, before it leaves. The tests run every order of these steps.

use crate::error::{Error, Result, catch};
use crate::panics::{drop_all, drop_quietly};
use crate::trace::Place;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
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
    queue: Receiver<Arc<Job>>,
    state: Mutex<PoolState>,
    /// Notified when a thread leaves the pool.
    left: Condvar,
}

struct PoolState {
    /// Sends jobs to the threads. `None` after shutdown.
    queue: Option<Sender<Arc<Job>>>,
    /// How many jobs were submitted and are neither over nor cancelled. If there are fewer than threads, one is idle.
    unfinished: usize,
    threads: BTreeMap<u64, Thread>,
    /// How many threads were ever started.
    started: u64,
    /// Of all `threads`, and of some that have left.
    joins: Vec<JoinHandle<()>>,
}

/// A thread of the pool, as the others see it.
struct Thread {
    name: Arc<str>,
    /// The job that it was started for, until it begins.
    first: Option<Arc<Job>>,
    /// The label and the place of the job that it runs.
    running: Option<(fn() -> String, Place)>,
}

/// A thread of the pool, as it sees itself.
struct Worker {
    pool: Arc<Pool>,
    number: u64,
    name: Arc<str>,
}

/// A job, shared by its pool and its loop (`concurrent.futures.Future` and `_WorkItem`).
pub(crate) struct Job<W: ?Sized = dyn Work> {
    pool: Arc<Pool>,
    pub(crate) label: fn() -> String,
    pub(crate) place: Place,
    /// A thread has begun it. Written under the pool's lock, as the next one.
    begun: AtomicBool,
    /// It never runs.
    cancelled: AtomicBool,
    pub(crate) work: W,
}

/// What a job does. The pool calls `run` and `end`, or `end` alone if it cancels the job.
pub(crate) trait Work: Send + Sync {
    /// Runs the function on a thread of the pool.
    fn run(&self, thread: &Arc<str>);
    /// Sends the job to its loop. The thread counts as idle by now: a caller that sees the result and submits the next job
    /// must find it idle.
    fn end(&self, job: Arc<Job>, thread: Option<&Arc<str>>);
    /// Sets the result of the job's future, on the loop.
    fn set_result(&self, thread: &str) -> Result<()>;
}

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
        let state = Mutex::new(PoolState::new(sender));
        Executor {
            handle: Arc::new(PoolHandle(Arc::new(Pool {
                options: self,
                queue,
                state,
                left: Condvar::new(),
            }))),
        }
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
        if wait { self.join() } else { Ok(()) }
    }

    /// Returns how many threads there are now.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool().state().threads.len()
    }

    /// Returns how many jobs wait for a thread.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.pool().state().queued()
    }

    /// Returns the jobs that run now, thread by thread.
    #[must_use]
    pub fn running(&self) -> Vec<JobInfo> {
        let info = |thread: &Thread| {
            let (label, place) = thread.running?;
            Some(JobInfo { label: label().into(), place, thread: thread.name.clone() })
        };
        self.pool().state().threads.values().filter_map(info).collect()
    }

    fn pool(&self) -> &Arc<Pool> {
        &self.handle.0
    }

    /// Makes a job for [`submit`](Self::submit).
    pub(crate) fn job<W: Work + 'static>(&self, label: fn() -> String, place: Place, work: W) -> Arc<Job> {
        let (pool, begun, cancelled) = (self.pool().clone(), AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Job { pool, label, place, begun, cancelled, work })
    }

    /// Arrow 1. Queues the job, and starts a thread for it if none is idle.
    pub(crate) fn submit(&self, job: Arc<Job>) -> Result<()> {
        let pool = self.pool();
        // A refused job is dropped after the lock is released, as parameters are.
        let mut state = pool.state();
        let thread = state.start_thread(&pool.options, |number, name| {
            let worker = Worker { pool: pool.clone(), number, name };
            Ok(thread::Builder::new().name(worker.name.to_string()).spawn(move || worker.live())?)
        })?;
        state.send(job, thread);
        Ok(())
    }

    /// Refuses further jobs. Threads that find the channel empty end.
    pub(crate) fn close(&self) {
        self.handle.close();
    }

    /// Arrow 4, for all jobs that have not begun.
    fn cancel_queued(&self) {
        let [cancelled, withdrawn] = self.pool().state().cancel_queued(&self.pool().queue);
        drop_all(withdrawn);
        for job in cancelled {
            quietly(|| job.work.end(job.clone(), None));
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

impl PoolHandle {
    fn close(&self) {
        let sender = self.0.state().queue.take();
        drop(sender);
    }
}

impl Drop for PoolHandle {
    fn drop(&mut self) {
        self.close();
    }
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The steps that take the lock.
impl PoolState {
    fn new(queue: Sender<Arc<Job>>) -> Self {
        Self { queue: Some(queue), unfinished: 0, threads: BTreeMap::new(), started: 0, joins: Vec::new() }
    }

    fn queued(&self) -> usize {
        self.unfinished - self.threads.values().filter(|thread| thread.running.is_some()).count()
    }

    /// Starts a thread for the next job unless an idle one will receive it. Returns the new thread's number.
    fn start_thread<F>(&mut self, options: &ExecutorBuilder, spawn: F) -> Result<Option<u64>>
    where
        F: FnOnce(u64, Arc<str>) -> Result<JoinHandle<()>>,
    {
        if self.queue.is_none() {
            return Err(Error::Runtime("cannot schedule new futures after shutdown".into()));
        }
        if self.unfinished < self.threads.len() || self.threads.len() >= options.threads {
            return Ok(None);
        }
        let (number, name) = (self.started, format!("{}_{}", options.name, self.started));
        if name.contains('\0') {
            return Err(Error::Value("the name of an executor must not contain a NUL byte".into()));
        }
        let name: Arc<str> = name.into();
        match spawn(number, name.clone()) {
            Ok(join) => {
                self.joins.retain(|join| !join.is_finished());
                self.joins.push(join);
                self.threads.insert(number, Thread { name, first: None, running: None });
                self.started += 1;
                Ok(Some(number))
            }
            // Without a thread the job would wait forever. With one it only waits longer.
            Err(error) if self.threads.is_empty() => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Gives a job to the thread that was started for it, or to the one that receives it first.
    fn send(&mut self, job: Arc<Job>, thread: Option<u64>) {
        self.unfinished += 1;
        match thread.and_then(|number| self.threads.get_mut(&number)) {
            Some(thread) => thread.first = Some(job),
            None => {
                // The pool keeps a receiver, so this cannot fail.
                let _ = self.queue.as_ref().map(|queue| queue.send(job));
            }
        }
    }

    /// Returns the job that the thread was started for.
    fn first(&mut self, number: u64) -> Option<Arc<Job>> {
        self.threads.get_mut(&number)?.first.take()
    }

    /// Arrow 2. Returns false if the job was cancelled.
    fn begin(&mut self, number: u64, job: &Job) -> bool {
        if job.cancelled.load(Ordering::Relaxed) {
            return false;
        }
        job.begun.store(true, Ordering::Relaxed);
        if let Some(thread) = self.threads.get_mut(&number) {
            thread.running = Some((job.label, job.place));
        }
        true
    }

    /// Arrow 3. The thread counts as idle from here on.
    fn release(&mut self, number: u64) {
        self.unfinished -= 1;
        if let Some(thread) = self.threads.get_mut(&number) {
            thread.running = None;
        }
    }

    /// Arrow 4. Returns false if the job has begun, or was cancelled before.
    fn cancel(&mut self, job: &Job) -> bool {
        if job.begun.load(Ordering::Relaxed) || job.cancelled.swap(true, Ordering::Relaxed) {
            return false;
        }
        self.unfinished -= 1;
        true
    }

    /// Takes out all jobs that have not begun: those that it cancels, and those that were withdrawn before.
    fn cancel_queued(&mut self, queue: &Receiver<Arc<Job>>) -> [Vec<Arc<Job>>; 2] {
        let firsts: Vec<_> = self.threads.values_mut().filter_map(|thread| thread.first.take()).collect();
        let all = firsts.into_iter().chain(queue.try_iter());
        let (cancelled, withdrawn) = all.partition(|job| self.cancel(job));
        [cancelled, withdrawn]
    }

    /// Removes a thread that stops waiting, unless a job has come meanwhile. That job is returned.
    fn retire(&mut self, number: u64, queue: &Receiver<Arc<Job>>) -> Option<Arc<Job>> {
        let job = queue.try_recv().ok();
        if job.is_none() {
            self.threads.remove(&number);
        }
        job
    }
}

impl Worker {
    /// Runs jobs until none has come for a while, or none can come. This is all that a thread of the pool does.
    fn live(&self) {
        let mut next = self.pool.state().first(self.number);
        while let Some(job) = next.take().or_else(|| self.receive()) {
            if !self.pool.state().begin(self.number, &job) {
                drop_quietly(job);
                continue;
            }
            quietly(|| job.work.run(&self.name));
            self.pool.state().release(self.number);
            quietly(|| job.work.end(job.clone(), Some(&self.name)));
        }
    }

    /// Waits for a job. `None` ends the thread.
    fn receive(&self) -> Option<Arc<Job>> {
        if let Ok(job) = self.pool.queue.recv_timeout(self.pool.options.keep_alive) {
            return Some(job);
        }
        let job = self.pool.state().retire(self.number, &self.pool.queue);
        if job.is_none() {
            self.pool.left.notify_all();
        }
        job
    }
}

/// Logs a panic. A job catches those of its function and of destructors itself; a thread must outlive all others.
fn quietly(action: impl FnOnce()) {
    if let Err(error) = catch(action) {
        log_error!("a job panicked outside of its function: {error}");
    }
}

impl Job {
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Arrow 4. Returns whether the job has not begun, and so never runs.
    pub(crate) fn withdraw(&self) -> bool {
        self.pool.state().cancel(self)
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.pool().state();
        f.debug_struct("Executor")
            .field("name", &self.pool().options.name)
            .field("threads", &state.threads.len())
            .field("running", &(state.unfinished - state.queued()))
            .field("queued", &state.queued())
            .field("shut_down", &state.queue.is_none())
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
