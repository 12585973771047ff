//! The events: every transition of the loop's own structures, and the hook that hears of them.
//!
//! It promises that an event is emitted *inside* the operation that makes the transition and *after* the state has
//! changed, with no borrow held, so that [`Record::snapshot`] is the truth after the event; and that nothing at all
//! happens when no observer is set. It does no I/O and no formatting (`xray` does both), and it never infers: what is
//! not an event did not happen.
//!
//! Three kinds of numbers name things, each counting from 1 in its loop, so that addresses never appear:
//! `q` is one entry's stay in the ready queue, `h` is a handle (a reader's handle is pushed many times, each time with a
//! new `q`), and tasks and futures share one count.

use crate::error::Error;
use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

/// The place in the program where something was made: file, line and column.
pub type Place = &'static Location<'static>;

/// Hears of every transition of a loop, on the loop's thread; given to
/// [`Builder::observer`](crate::Builder::observer). A closure that takes a [`Record`] is one.
///
/// It must not block. It may use the loop (a `call_soon` in it, say). It is not called for the events that it causes so;
/// a trace that `LOOPLAB_TRACE` asks for has them, right after the event in which they were made.
///
/// ```
/// use looplab::{Clock, EventLoop, trace::{Event, Record}};
/// use std::{cell::RefCell, rc::Rc};
/// let turns = Rc::new(RefCell::new(0));
/// let seen = turns.clone();
/// let lp = EventLoop::builder().clock(Clock::virtual_time()).observer(move |r: &Record<'_>| {
///     if let Event::Turn { .. } = r.event { *seen.borrow_mut() += 1 }
/// }).build()?;
/// lp.run_until_complete(async { Ok(()) })?;
/// assert_eq!(*turns.borrow(), 2);              // one for the task's step, one for the callback that stops the loop
/// # Ok::<(), looplab::Error>(())
/// ```
pub trait Observer {
    /// One transition, right after it was made.
    fn observe(&mut self, record: &Record<'_>);
}

impl<F: FnMut(&Record<'_>)> Observer for F {
    fn observe(&mut self, record: &Record<'_>) {
        self(record);
    }
}

/// One event, when it was, and on which loop.
pub struct Record<'a> {
    /// What happened.
    pub event: Event<'a>,
    /// The loop: 1 for the first that this thread made.
    pub loop_number: u64,
    /// The loop's own time (virtual if its clock is).
    pub time: Instant,
    /// Whether the loop's clock is virtual.
    pub virtual_time: bool,
    pub(crate) truth: &'a dyn Truth,
}

impl Record<'_> {
    /// The loop's state right after this event.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.truth.snapshot()
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("loop", &self.loop_number).field("event", &self.event).finish()
    }
}

/// Who can be asked for the state while an event is being told.
pub(crate) trait Truth {
    fn snapshot(&self) -> Snapshot;
}

/// What can happen on a loop. The names of the fields are those of the trace's lines (`docs/trace.md`).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are told once, in the table of docs/trace.md")]
pub enum Event<'a> {
    /// The loop was made, began to run, ended a run, was closed.
    Loop(Life),
    /// A turn begins.
    Turn { n: u64 },
    /// Cancelled timers left the heap.
    TimersDropped { handles: &'a [u64] },
    /// About to poll: for how long (`None`: for ever), why, and which timer sets the limit.
    Select { timeout: Option<Duration>, why: Why, handle: Option<u64> },
    /// The poll came back with these descriptors and what they are ready for.
    Polled { events: &'a [(i32, Ready)] },
    /// An entry was appended to the ready queue.
    Push {
        q: u64,
        h: u64,
        via: Via,
        kind: EntryKind,
        label: &'a str,
        task: Option<u64>,
        cause: Option<On>,
        by: Option<u64>,
        thread: Option<&'a str>,
        fd: Option<i32>,
        signal: Option<i32>,
        place: Option<Place>,
    },
    /// A timer was put on the heap.
    Timer { h: u64, when: Instant, label: &'a str, by: Option<u64>, task: Option<u64>, place: Option<Place> },
    /// A timer was cancelled; it stays on the heap until it comes to its head.
    TimerCancelled { h: u64, by: Option<u64> },
    /// A handle was cancelled; a queued entry stays where it is and is skipped.
    Cancelled { h: u64, by: Option<u64> },
    /// A due timer moved from the heap to the ready queue.
    Due { q: u64, h: u64, late: Duration },
    /// The batch was frozen: this turn runs exactly `n` entries.
    Batch { n: usize },
    /// An entry was taken from the ready queue and runs.
    Run { q: u64, h: u64 },
    /// An entry was taken from the ready queue and does not run, for it was cancelled.
    Skip { q: u64, h: u64 },
    /// The entry returned, with the error that it left behind.
    Returned { q: u64, error: Option<&'a Error> },
    /// The stop flag was set.
    Stop { by: Option<u64> },
    /// The stop flag was cleared at the end of a run.
    Unstop,
    /// A task was made.
    Task { task: u64, name: &'a str, body: &'a str, parent: Option<u64>, place: Option<Place> },
    /// A task enters a step; `thrown` is the cancellation delivered in it.
    Step { task: u64, thrown: Option<&'a Error> },
    /// A task is suspended: what it waits on (first what it came to first), and where.
    Park { task: u64, on: &'a [Wait] },
    /// Cancellation of a task was requested.
    CancelRequested { task: u64, by: Option<u64> },
    /// A task is done.
    TaskDone { task: u64, state: Done, error: Option<&'a Error>, by: Option<u64> },
    /// A future got its number (when it is made, or first awaited).
    Future { future: u64, kind: &'a str, place: Option<Place> },
    /// A future is done.
    FutureDone { future: u64, state: Done, error: Option<&'a Error>, by: Option<u64> },
    /// A reader or writer was added.
    Registered { fd: i32, direction: Direction, h: u64, label: &'a str },
    /// A reader or writer was removed.
    Unregistered { fd: i32, direction: Direction },
    /// A signal handler was added.
    SignalRegistered { signal: i32, h: u64, label: &'a str },
    /// A signal handler was removed.
    SignalUnregistered { signal: i32 },
    /// Something was reported to the exception handler.
    Reported { message: &'a str },
    /// A job was given to a thread pool.
    Job { job: u64, label: &'a str, by: Option<u64>, place: Place },
    /// A thread has begun a job; told when the loop hears of it.
    JobRuns { job: u64, thread: &'a str },
    /// A job is over: `"ok"`, `"err"`, or what kept it from running.
    JobEnds { job: u64, thread: &'a str, state: &'a str },
    /// A delivered signal was read; `at` is when it arrived.
    Signal { signal: i32, at: Instant },
}

/// The stations of a loop's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Made.
    New,
    /// `run_forever` (or a relative) begins.
    Run,
    /// `run_forever` (or a relative) returns.
    End,
    /// Closed.
    Closed,
}

/// Why the poll waits as long as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Not at all: entries are ready.
    Ready,
    /// Not at all: the loop is stopping.
    Stopping,
    /// Until the first timer.
    Timer,
    /// For ever: nothing but I/O, a signal or another thread can wake it.
    Idle,
    /// The first timer is more than a day away: the wait is cut to 24 h.
    Cap,
}

/// What a descriptor is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// It can be read (or has hung up, or failed).
    pub read: bool,
    /// It can be written (or has hung up, or failed).
    pub write: bool,
}

/// How an entry came into the ready queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// From the loop's own thread.
    CallSoon,
    /// From another thread.
    Threadsafe,
    /// A descriptor is ready.
    Io,
    /// A signal was read.
    Signal,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A task's step: its first, or after `yield_now`.
    Step,
    /// A task's step because what it waited on is done.
    Wakeup,
    /// A done callback.
    DoneCallback,
    /// A plain callback.
    Callback,
    /// A reader, a writer, or the reader of the self-pipe.
    Io,
}

/// Something that can be awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// A future.
    Future(u64),
    /// A task.
    Task(u64),
}

/// One thing that a suspended task waits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What.
    pub on: On,
    /// Its kind: `"sleep"`, `"future"`, `"task"`, `"gather"`, `"foreign"` …
    pub kind: &'static str,
    /// Where the awaited thing was made (for `sleep` and its like that is where it is awaited).
    pub place: Option<Place>,
    /// The task that holds it, by its number: the owner of a lock. As of now; a lock changes hands while others wait.
    pub holder: Option<u64>,
}

/// How a future or task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// With a value.
    Ok,
    /// With an error.
    Err,
    /// Cancelled.
    Cancelled,
}

/// Of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Reading.
    Read,
    /// Writing.
    Write,
}

/// The loop's structures as data, made by [`EventLoop::snapshot`](crate::EventLoop::snapshot) or [`Record::snapshot`].
/// `Display` shows it as aligned text.
///
/// ```
/// let lp = looplab::EventLoop::new()?;
/// lp.call_soon(|| println!("hello"))?;
/// let state = lp.snapshot();
/// assert_eq!(state.ready.len(), 1);
/// assert!(state.to_string().starts_with("turn 0, not running"));
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Turns made so far.
    pub turn: u64,
    /// Whether a run is under way.
    pub running: bool,
    /// Whether the loop is closed.
    pub closed: bool,
    /// The stop flag.
    pub stopping: bool,
    /// The ready queue, first entry first.
    pub ready: Vec<ReadyEntry>,
    /// How many of `ready` still run in this turn.
    pub batch_left: usize,
    /// The timers, by deadline.
    pub timers: Vec<TimerEntry>,
    /// The registered descriptors, by number.
    pub io: Vec<IoEntry>,
    /// The signal handlers, by number.
    pub signals: Vec<SignalEntry>,
    /// The jobs that are not over, in order of submission.
    pub jobs: Vec<JobEntry>,
    /// The tasks that are not done, in order of creation.
    pub tasks: Vec<TaskEntry>,
}

/// One entry of the ready queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyEntry {
    /// Its stay in the queue.
    pub q: u64,
    /// Its handle.
    pub h: u64,
    /// What it is.
    pub kind: EntryKind,
    /// What it runs.
    pub label: String,
    /// The task that it steps.
    pub task: Option<u64>,
    /// Whether it was cancelled and will be skipped.
    pub cancelled: bool,
    /// Where it was made.
    pub place: Option<Place>,
}

/// One timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerEntry {
    /// Its handle.
    pub h: u64,
    /// Its deadline.
    pub when: Instant,
    /// What it runs.
    pub label: String,
    /// Whether it was cancelled and only waits to be dropped.
    pub cancelled: bool,
    /// Where it was made.
    pub place: Option<Place>,
}

/// One registered descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoEntry {
    /// Its number.
    pub fd: i32,
    /// The reader's handle.
    pub reader: Option<u64>,
    /// The writer's handle.
    pub writer: Option<u64>,
}

/// One signal handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalEntry {
    /// The signal's number.
    pub signal: i32,
    /// The handler's handle.
    pub h: u64,
    /// What it runs.
    pub label: String,
}

/// One job that a thread pool has not given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEntry {
    /// Its number.
    pub id: u64,
    /// What it runs.
    pub label: String,
    /// Whether a thread has begun it. A loop with an observer or in virtual time says what it has heard, as the trace does;
    /// any other asks the pool.
    pub running: bool,
    /// Where it was submitted.
    pub place: Place,
}

/// One task that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEntry {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: TaskState,
    /// Where it was made.
    pub place: Option<Place>,
}

/// What a task that is not done does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Its step waits in the ready queue.
    Queued,
    /// It is in its step.
    Running,
    /// It is suspended on these.
    Waiting(Vec<Wait>),
}
