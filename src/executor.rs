//! The blocking thread pool.
//!
//! It promises what `concurrent.futures.ThreadPoolExecutor` promises: an unbounded queue, a thread started only when no
//! idle one is there, at most so many of them, and that a job which has not begun can be cancelled and then never runs. A
//! running job is never interrupted. Beyond Python's, idle threads are retired after a while, and the pool can say which
//! jobs still run. It knows nothing of loops: how a job's result comes back is the job's own matter.
//!
//! ```text
//!   1 submit            2 a thread takes it         3 it returns or panics
//!   ─────────▶ QUEUED ───────────────────▶ RUNNING ──────────────────────▶ ENDED
//!                └──4 cancel, or shutdown(cancel)──▶ CANCELLED (never runs)
//! ```

use crate::error::{Error, Result};
use crate::trace::Place;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, unbounded};
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long an idle thread waits for work before it ends, unless the builder says otherwise.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A pool of threads for blocking work (`concurrent.futures.ThreadPoolExecutor`). Cloning gives another handle of the
/// same pool; when the last one goes, the queued jobs still run and then the threads end.
///
/// ```
/// use looplab::{EventLoop, Executor};
/// let lp = EventLoop::new()?;
/// let pool = Executor::new(2);
/// let answer = lp.run_in(&pool, || 6 * 7)?;
/// assert_eq!(lp.run_until_complete(&answer)?, 42);
/// pool.shutdown(true, false);                        // waits until its threads have ended
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone)]
pub struct Executor {
    pool: Arc<Handles>,
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

/// What the handles share. When the last handle goes the queue is disconnected, and the threads end when it is empty.
struct Handles {
    shared: Arc<Shared>,
    receiver: Receiver<Job>,
}

/// What handles and threads share.
struct Shared {
    options: ExecutorBuilder,
    state: Mutex<State>,
    /// A thread has ended, or a job.
    changed: Condvar,
}

struct State {
    /// `None` after shutdown.
    sender: Option<Sender<Job>>,
    threads: usize,
    /// Waiting threads less the queued jobs that count on one. Below zero for a moment, when a waiting thread takes a job
    /// that another was started for.
    idle: isize,
    started: u64,
    /// What runs now, by the number of its thread.
    running: BTreeMap<u64, JobInfo>,
}

/// A job that runs now; given by [`Executor::running`].
#[derive(Clone, Debug)]
pub struct JobInfo {
    /// The function.
    pub label: Arc<str>,
    /// Where it was submitted.
    pub place: Place,
    /// The thread that runs it.
    pub thread: Arc<str>,
}

/// Whether a job is to run, or is told that it never will.
pub(crate) enum Fate {
    Run { thread: Arc<str> },
    Cancelled,
}

/// A job on its way to a thread.
struct Job {
    work: Box<dyn FnOnce(Fate) + Send>,
    label: Arc<str>,
    place: Place,
    taken: Arc<AtomicBool>,
    /// Whether it counts on a thread that waited when it was submitted.
    reserved: bool,
}

/// A submitted job, seen by whoever may cancel it.
pub(crate) struct Ticket {
    taken: Arc<AtomicBool>,
}

impl Ticket {
    /// Arrow 4: whether it had not begun. It then never runs, and is not told either: the caller knows.
    pub(crate) fn cancel(&self) -> bool {
        !self.taken.swap(true, Ordering::SeqCst)
    }
}

impl Default for ExecutorBuilder {
    fn default() -> Self {
        let cpus = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { threads: (cpus + 4).min(32), name: "looplab".to_owned(), keep_alive: KEEP_ALIVE }
    }
}

impl ExecutorBuilder {
    /// At most this many threads; at least one. Unless said, the number of processors plus four, at most 32.
    #[must_use]
    pub fn threads(mut self, most: usize) -> Self {
        self.threads = most.max(1);
        self
    }

    /// The threads are called `NAME_0`, `NAME_1` … (`thread_name_prefix`).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How long an idle thread waits before it ends; ten seconds unless said.
    #[must_use]
    pub fn keep_alive(mut self, keep_alive: Duration) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// Makes the pool. No thread is started before there is work.
    #[must_use]
    pub fn build(self) -> Executor {
        let (sender, receiver) = unbounded();
        let state = State { sender: Some(sender), threads: 0, idle: 0, started: 0, running: BTreeMap::new() };
        let shared = Arc::new(Shared { options: self, state: Mutex::new(state), changed: Condvar::new() });
        Executor { pool: Arc::new(Handles { shared, receiver }) }
    }
}

impl Executor {
    /// A pool of at most `threads` threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self::builder().threads(threads).build()
    }

    /// The options of a pool.
    #[must_use]
    pub fn builder() -> ExecutorBuilder {
        ExecutorBuilder::default()
    }

    /// Takes no more jobs (`Executor.shutdown`). With `cancel` those that have not begun never run, and whoever awaits
    /// one gets [`Error::Cancelled`]; without it they still run. With `wait` it blocks until all threads have ended: do
    /// not call it so from a callback. Idempotent.
    pub fn shutdown(&self, wait: bool, cancel: bool) {
        self.close(cancel);
        if wait {
            self.join(None);
        }
    }

    /// How many threads there are now.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.state().threads
    }

    /// How many jobs wait for a thread.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.pool.receiver.len()
    }

    /// What runs now, thread by thread.
    #[must_use]
    pub fn running(&self) -> Vec<JobInfo> {
        self.state().running.values().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.pool.shared.state()
    }

    /// Refuses further jobs.
    pub(crate) fn close(&self, cancel: bool) {
        let sender = self.state().sender.take();
        drop(sender);
        if cancel {
            for job in self.pool.receiver.try_iter() {
                job.cancelled();
            }
        }
    }

    /// Waits until all threads have ended, or until the deadline; whether they have.
    pub(crate) fn join(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state();
        while state.threads > 0 {
            let changed = &self.pool.shared.changed;
            state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return false,
                Some(left) => changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        true
    }

    /// Arrow 1.
    pub(crate) fn submit(
        &self,
        label: String,
        place: Place,
        work: impl FnOnce(Fate) + Send + 'static,
    ) -> Result<Ticket> {
        let taken = Arc::new(AtomicBool::new(false));
        let mut state = self.state();
        let Some(sender) = state.sender.clone() else {
            drop(state);
            return Err(Error::Runtime("cannot schedule new futures after shutdown".into()));
        };
        let reserved = state.idle > 0;
        if reserved {
            state.idle -= 1;
        } else if state.threads < self.pool.shared.options.threads {
            let started = self.pool.start_thread(&mut state);
            // Without a single thread the job would wait for ever; with one it only waits longer.
            if let Err(error) = started
                && state.threads == 0
            {
                drop(state);
                return Err(error);
            }
        }
        drop(state);
        let job = Job { work: Box::new(work), label: label.into(), place, taken: taken.clone(), reserved };
        // It cannot fail: the pool's own receiver lives as long as this handle.
        let _ = sender.send(job);
        Ok(Ticket { taken })
    }
}

impl Handles {
    fn start_thread(&self, state: &mut State) -> Result<()> {
        let number = state.started;
        let name: Arc<str> = format!("{}_{number}", self.shared.options.name).into();
        let (shared, receiver) = (self.shared.clone(), self.receiver.clone());
        thread::Builder::new()
            .name(name.to_string())
            .spawn(move || work(&shared, &receiver, number, &name))?;
        state.started += 1;
        state.threads += 1;
        Ok(())
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        let sender = self.shared.state().sender.take();
        drop(sender);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a job as an idle thread does. `None` ends the thread.
    fn idle(&self, receiver: &Receiver<Job>) -> Option<Job> {
        self.state().idle += 1;
        loop {
            match receiver.recv_timeout(self.options.keep_alive) {
                Ok(job) => {
                    if !job.reserved {
                        self.state().idle -= 1;
                    }
                    return Some(job);
                }
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    let mut state = self.state();
                    // A submitter that counts on a waiting thread has taken one off: then a job is on its way.
                    if state.idle > 0 {
                        state.idle -= 1;
                        return None;
                    }
                }
            }
        }
    }
}

/// The life of a thread.
fn work(shared: &Shared, receiver: &Receiver<Job>, number: u64, name: &Arc<str>) {
    loop {
        let job = match receiver.try_recv() {
            Ok(job) => {
                // The thread that this job counted on still waits.
                if job.reserved {
                    shared.state().idle += 1;
                }
                Some(job)
            }
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => shared.idle(receiver),
        };
        let Some(job) = job else { break };
        job.run(shared, number, name);
    }
    shared.state().threads -= 1;
    shared.changed.notify_all();
}

impl Job {
    /// Arrows 2 and 3. A panic stays here: the thread lives on.
    fn run(self, shared: &Shared, number: u64, name: &Arc<str>) {
        if self.taken.swap(true, Ordering::SeqCst) {
            return;
        }
        let info = JobInfo { label: self.label, place: self.place, thread: name.clone() };
        shared.state().running.insert(number, info);
        let fate = Fate::Run { thread: name.clone() };
        perform(self.work, fate);
        shared.state().running.remove(&number);
        shared.changed.notify_all();
    }

    fn cancelled(self) {
        if !self.taken.swap(true, Ordering::SeqCst) {
            perform(self.work, Fate::Cancelled);
        }
    }
}

/// A job catches the panics of its function itself; what is caught here is a destructor of the user's.
fn perform(work: Box<dyn FnOnce(Fate) + Send>, fate: Fate) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(fate))) {
        log::error!(target: "looplab", "a job panicked outside of its function: {}", Error::from_panic(payload));
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Executor")
            .field("name", &self.pool.shared.options.name)
            .field("threads", &state.threads)
            .field("running", &state.running.len())
            .field("shut_down", &state.sender.is_none())
            .finish()
    }
}

impl fmt::Display for JobInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{}) on {}", self.label, self.place.file(), self.place.line(), self.thread)
    }
}
