//! The blocking thread pool.
//!
//! It promises what `concurrent.futures.ThreadPoolExecutor` promises: an unbounded queue, a thread started only when no
//! idle one is there, at most so many of them, and that a job which has not begun can be taken back and then never runs. A
//! running job is never interrupted. Beyond Python's, idle threads are retired after a while, and the pool can say which
//! jobs still run. It knows nothing of loops: what a job does, and whom it tells of its end, is the job's own matter.
//!
//! ```text
//!   1 submit            2 a thread takes it         3 it is over; the thread is free again
//!   ─────────▶ QUEUED ───────────────────▶ RUNNING ────────────────────────────────────────▶ ENDED
//!                └──4 withdraw, or shutdown(cancel)──▶ CANCELLED (never runs)
//! ```
//!
//! One lock guards the queue and the counts, so that "is a thread free?" has one answer. (Rejected: a channel for the jobs
//! and a count of waiting threads beside it. A thread that gives up waiting and a submitter that counts on it can miss each
//! other there, and the job waits for ever.) No job runs, and none is dropped, while it is held.

use super::queue::{Queue, Queued};
use crate::error::{Error, Result};
use crate::panics::catch;
use crate::trace::Place;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long an idle thread waits for work before it ends, unless the builder says otherwise.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// For how long an idle thread looks for work before it goes to sleep, and a loop for its jobs' results. Waking a thread takes
/// the system longer, and the next of a batch is there sooner; a thread that looks needs no waking. It yields between the
/// looks. On a busy machine others run then, and the time is over with the first yield: the thread sleeps, and the system
/// wakes it when it is needed. (Rejected: a number of looks. On a busy machine each may take a time slice of everybody
/// else's, and a job waits so long.)
const LOOK_FOR: Duration = Duration::from_micros(20);

/// A pool of threads for blocking work (`concurrent.futures.ThreadPoolExecutor`). Cloning gives another handle of the
/// same pool; when the last one goes, the queued jobs still run and then the threads end.
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
    handle: Arc<Handle>,
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

/// What the handles share. When the last one goes, the pool takes no more jobs.
struct Handle {
    shared: Arc<Shared>,
}

/// What handles and threads share.
struct Shared {
    options: ExecutorBuilder,
    state: Mutex<State>,
    /// Whether the queue holds a job, or will hold none any more: what a thread looks at that has nothing to do.
    stirring: AtomicBool,
    /// The same for those who sleep.
    news: Condvar,
    /// A thread has ended.
    ended: Condvar,
}

struct State {
    /// False after shutdown.
    open: bool,
    queue: Queue,
    /// The threads by number, and what each runs now.
    threads: BTreeMap<u64, Member>,
    /// How many of them run a job.
    busy: usize,
    started: u64,
    /// How many threads wait for news, and how many of them have been told that there is some: telling is a system call,
    /// and one is enough.
    waiting: usize,
    told: usize,
    /// Of the threads that live, and of some that have ended.
    joins: Vec<JoinHandle<()>>,
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

/// What a pool runs: `run` and then `end`, or `end` alone if it never ran.
pub(crate) trait Work: Send {
    /// The blocking part, on a thread of the pool.
    fn run(&mut self, thread: &Arc<str>);
    /// Tells whoever waits. The thread counts as free by now, so that whoever hears of the end and submits the next job
    /// finds an idle thread.
    fn end(self: Box<Self>);
}

/// A thread, as its pool sees it.
struct Member {
    name: Arc<str>,
    /// The name and the place of what it runs now.
    job: Option<(fn() -> String, Place)>,
}

/// A submitted job, seen by whoever may take it back.
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    number: u64,
}

impl Ticket {
    /// Arrow 4: takes back a job that has not begun. It then never runs, and is not told either: the caller knows.
    pub(crate) fn withdraw(&self) -> Option<Box<dyn Work>> {
        let job = self.shared.state().queue.remove(self.number)?;
        Some(job.work)
    }

    /// Whether a thread has begun the job. Not to be asked after [`withdraw`](Self::withdraw) gave it back.
    pub(crate) fn has_begun(&self) -> bool {
        self.shared.state().queue.has_begun(self.number)
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

    /// Names the threads `NAME_0`, `NAME_1` … (`thread_name_prefix`). With a NUL byte in it, which the system's names cannot
    /// hold, each job is refused with [`Error::Value`].
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
        let state = State {
            open: true,
            queue: Queue::default(),
            threads: BTreeMap::new(),
            busy: 0,
            started: 0,
            waiting: 0,
            told: 0,
            joins: Vec::new(),
        };
        let shared = Arc::new(Shared {
            options: self,
            state: Mutex::new(state),
            stirring: AtomicBool::new(false),
            news: Condvar::new(),
            ended: Condvar::new(),
        });
        Executor { handle: Arc::new(Handle { shared }) }
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

    /// Takes no more jobs (`Executor.shutdown`). With `cancel` those that have not begun never run, and awaiting one fails
    /// with [`Error::Cancelled`]: at once on the thread of its running loop, else by a call. Without it they still run.
    /// With `wait` it blocks until all threads have ended: do not call it so from a callback. May be called from any
    /// thread, and again.
    ///
    /// # Errors
    /// [`Error::Runtime`] if a job waits so for its own pool, which would be for ever; the pool is shut down all the same.
    pub fn shutdown(&self, wait: bool, cancel: bool) -> Result<()> {
        self.close(cancel);
        if wait { self.join() } else { Ok(()) }
    }

    /// How many threads there are now.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.state().threads.len()
    }

    /// How many jobs wait for a thread.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.state().queue.len()
    }

    /// What runs now, thread by thread.
    #[must_use]
    pub fn running(&self) -> Vec<JobInfo> {
        let info = |thread: &Member| {
            let (label, place) = thread.job?;
            Some(JobInfo { label: label().into(), place, thread: thread.name.clone() })
        };
        self.state().threads.values().filter_map(info).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.handle.shared.state()
    }

    /// Refuses further jobs.
    pub(crate) fn close(&self, cancel: bool) {
        let cancelled = self.handle.shared.close(cancel);
        for job in cancelled {
            quietly(|| job.work.end());
        }
    }

    /// Waits until all threads have ended.
    pub(crate) fn join(&self) -> Result<()> {
        let me = thread::current().id();
        let mut state = self.state();
        if state.joins.iter().any(|thread| thread.thread().id() == me) {
            return Err(Error::Runtime("cannot join current thread".into()));
        }
        while !state.threads.is_empty() {
            state = self.handle.shared.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // They have left the pool; this waits until the system has seen the last of them.
        let joins = std::mem::take(&mut state.joins);
        drop(state);
        for thread in joins {
            let _ = thread.join();
        }
        Ok(())
    }

    /// Arrow 1.
    pub(crate) fn submit(&self, label: fn() -> String, place: Place, work: Box<dyn Work>) -> Result<Ticket> {
        let shared = &self.handle.shared;
        let mut state = shared.state();
        if !state.open {
            return Err(Error::Runtime("cannot schedule new futures after shutdown".into()));
        }
        let number = state.queue.next_number();
        if state.queue.len() >= state.free() && state.threads.len() < shared.options.threads {
            let started = shared.start_thread(&mut state, number);
            // Without a single thread the job would wait for ever; with one it only waits longer.
            if state.threads.is_empty() {
                started?;
            }
        }
        state.queue.push(Queued { work, label, place });
        shared.stirring.store(true, Ordering::Relaxed);
        // A thread that is awake finds the job by itself.
        let asleep = state.waiting - state.told;
        let tell = asleep > 0 && state.queue.len() > state.free() - asleep;
        state.told += usize::from(tell);
        drop(state);
        if tell {
            shared.news.notify_one();
        }
        Ok(Ticket { shared: shared.clone(), number })
    }
}

impl State {
    /// How many threads will look into the queue before they do anything else: they wait, or have just been started, or
    /// have just ended a job.
    fn free(&self) -> usize {
        self.threads.len() - self.busy
    }

    /// Notes what a thread runs now.
    fn set_job(&mut self, thread: &Thread, job: Option<(fn() -> String, Place)>) {
        if let Some(member) = self.threads.get_mut(&thread.number) {
            self.busy -= usize::from(member.job.is_some());
            self.busy += usize::from(job.is_some());
            member.job = job;
        }
    }

    fn run(&mut self, thread: &Thread, Queued { work, label, place }: Queued) -> Box<dyn Work> {
        self.set_job(thread, Some((label, place)));
        work
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread for a job.
    fn start_thread(self: &Arc<Self>, state: &mut State, job: u64) -> Result<()> {
        let name = format!("{}_{}", self.options.name, state.started);
        if name.contains('\0') {
            return Err(Error::Value("the name of an executor must not contain a NUL byte".into()));
        }
        let thread = Thread { number: state.started, name: name.as_str().into() };
        let member = Member { name: thread.name.clone(), job: None };
        let shared = self.clone();
        let join = thread::Builder::new().name(name).spawn(move || thread.live(&shared, job))?;
        state.joins.retain(|join| !join.is_finished());
        state.joins.push(join);
        state.threads.insert(state.started, member);
        state.started += 1;
        Ok(())
    }

    /// Refuses further jobs; gives those that are to be cancelled.
    fn close(&self, cancel: bool) -> Vec<Queued> {
        let mut state = self.state();
        state.open = false;
        let cancelled = if cancel { state.queue.cancel_all() } else { Vec::new() };
        self.stirring.store(true, Ordering::Relaxed);
        drop(state);
        self.news.notify_all();
        cancelled
    }

    /// Arrow 2: waits for a job and takes it. `None` ends the thread: nothing came in time, or nothing can come any more.
    fn next_job(&self, thread: &Thread, own: Option<u64>) -> Option<Box<dyn Work>> {
        let mut state = self.state();
        let mut deadline = None;
        let mut looked = false;
        loop {
            let job = own.and_then(|own| state.queue.remove(own)).or_else(|| state.queue.pop_first());
            self.note_emptiness(&state);
            if let Some(job) = job {
                return Some(state.run(thread, job));
            }
            if !std::mem::replace(&mut looked, true) && state.open {
                drop(state);
                self.look_for_work();
                state = self.state();
                deadline = Instant::now().checked_add(self.options.keep_alive);
                continue;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if !state.open || left == Some(Duration::ZERO) {
                // Not counted from the moment on in which it was decided: nobody may count on a thread that ends.
                state.threads.remove(&thread.number);
                self.ended.notify_all();
                return None;
            }
            state.waiting += 1;
            state = match left {
                None => self.news.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
            // Who woke for want of time takes away a count that was another's: then one more is told than needed.
            state.waiting -= 1;
            state.told = state.told.saturating_sub(1);
        }
    }

    /// Arrow 3: the thread's job is over, and it takes the next one if that is there.
    fn over(&self, thread: &Thread) -> Option<Box<dyn Work>> {
        let mut state = self.state();
        let job = state.queue.pop_first();
        self.note_emptiness(&state);
        match job {
            Some(job) => Some(state.run(thread, job)),
            None => {
                state.set_job(thread, None);
                None
            }
        }
    }

    /// After jobs were taken out. It is written under the lock only, so it never says less than there is.
    fn note_emptiness(&self, state: &State) {
        if state.queue.len() == 0 && state.open {
            self.stirring.store(false, Ordering::Relaxed);
        }
    }

    /// Waits a moment for work, awake. The lock is not held: who submits something now finds the thread free, and tells
    /// nobody.
    fn look_for_work(&self) {
        look(|| self.stirring.load(Ordering::Relaxed));
    }
}

/// One of the pool's threads.
struct Thread {
    number: u64,
    name: Arc<str>,
}

impl Thread {
    /// Its life. It begins with the job that it was started for, if that is still there: so jobs and threads come together
    /// in the same way in every run.
    fn live(&self, shared: &Shared, job: u64) {
        let mut next = shared.next_job(self, Some(job));
        while let Some(mut job) = next {
            quietly(|| job.run(&self.name));
            next = shared.over(self);
            quietly(|| job.end());
            next = next.or_else(|| shared.next_job(self, None));
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close(false);
    }
}

/// Waits a moment, awake, for what other threads may do at once.
pub(crate) fn look(is_there: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_there() && began.elapsed() < LOOK_FOR {
        thread::yield_now();
    }
}

/// A job catches the panics of its function and of destructors itself; a thread must outlive what is left.
fn quietly(action: impl FnOnce()) {
    if let Err(error) = catch(action) {
        log_error!("a job panicked outside of its function: {error}");
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Executor")
            .field("name", &self.handle.shared.options.name)
            .field("threads", &state.threads.len())
            .field("running", &state.busy)
            .field("queued", &state.queue.len())
            .field("shut_down", &!state.open)
            .finish()
    }
}

impl fmt::Display for JobInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{}) on {}", self.label, self.place.file(), self.place.line(), self.thread)
    }
}
