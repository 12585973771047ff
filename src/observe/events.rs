//! The events, and the enums that they carry. [`crate::trace`] says what an event guarantees.
//!
//! `as_str` of an enum is its word in a trace, so that lines, snapshots and tests write the same
//! words.

use crate::error::Error;
use std::panic::Location;
use std::time::{Duration, Instant};

/// The place in the program where something was made: file, line and column.
pub type Place = &'static Location<'static>;

/// What can happen on a loop. The names of the fields are those of the trace's lines
/// (`docs/trace.md`).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the table of docs/trace.md describes the fields")]
pub enum Event<'a> {
    /// The loop was made, began to run, ended a run, was closed.
    Loop(Life),
    /// A turn begins.
    Turn { n: u64 },
    /// Cancelled timers left the heap.
    TimersDropped { handles: &'a [u64] },
    /// The loop is about to poll: for how long (`None`: for ever), why, and which timer sets the
    /// limit.
    Select { timeout: Option<Duration>, why: Why, handle: Option<u64> },
    /// The poll returned these descriptors, with what they are ready for, and what else ended it.
    Polled { events: &'a [(i32, Ready)], wake: Option<Wake> },
    /// An entry was appended to the ready queue.
    Push {
        q: u64,
        h: u64,
        via: Via,
        kind: EntryKind,
        label: &'a str,
        own: bool,
        task: Option<u64>,
        cause: Option<On>,
        by: Option<u64>,
        thread: Option<&'a str>,
        fd: Option<i32>,
        signal: Option<i32>,
        place: Option<Place>,
    },
    /// A timer was put on the heap.
    Timer {
        h: u64,
        when: Instant,
        label: &'a str,
        own: bool,
        by: Option<u64>,
        task: Option<u64>,
        place: Option<Place>,
    },
    /// A timer was cancelled. It stays on the heap until it is the first.
    TimerCancelled { h: u64, by: Option<u64> },
    /// A handle was cancelled. A queued entry stays in its place and will be skipped.
    Cancelled { h: u64, by: Option<u64> },
    /// A due timer moved from the heap to the ready queue.
    Due { q: u64, h: u64, late: Duration },
    /// The batch was frozen: this turn runs exactly `n` entries.
    Batch { n: usize },
    /// An entry was taken from the ready queue and runs.
    Run { q: u64, h: u64 },
    /// An entry was taken from the ready queue and does not run, because it was cancelled.
    Skip { q: u64, h: u64 },
    /// The entry returned, with its error if it failed.
    Returned { q: u64, error: Option<&'a Error> },
    /// The stop flag was set.
    Stop { by: Option<u64> },
    /// The stop flag was cleared at the end of a run.
    Unstop,
    /// A task was made.
    Task {
        task: u64,
        name: &'a str,
        body: &'a str,
        parent: Option<u64>,
        by: Option<u64>,
        place: Option<Place>,
    },
    /// A task enters a step. `thrown` is the cancellation that the step delivers.
    Step { task: u64, thrown: Option<&'a Error> },
    /// A task is suspended. `on` lists what it waits on, in the order in which the step came to it.
    Park { task: u64, on: &'a [Wait] },
    /// A task gave control back and waits on nothing: its next step is queued at once. (A `Park`
    /// always waits on something.)
    Yielded { task: u64 },
    /// Cancellation of a task was requested.
    CancelRequested { task: u64, by: Option<u64> },
    /// A task is done.
    TaskDone { task: u64, state: Done, error: Option<&'a Error>, by: Option<u64> },
    /// A future got its number (when it is made, or first awaited).
    Future { future: u64, kind: &'a str, place: Option<Place> },
    /// A future is done.
    FutureDone { future: u64, state: Done, error: Option<&'a Error>, by: Option<u64> },
    /// A reader or writer was added.
    Registered { fd: i32, direction: Direction, h: u64, label: &'a str, by: Option<u64> },
    /// A reader or writer was removed.
    Unregistered { fd: i32, direction: Direction, by: Option<u64> },
    /// A signal handler was added.
    SignalRegistered { signal: i32, h: u64, label: &'a str, by: Option<u64> },
    /// A signal handler was removed.
    SignalUnregistered { signal: i32, by: Option<u64> },
    /// Something was reported to the exception handler.
    Reported { message: &'a str, by: Option<u64> },
    /// An explorer disturbs the program, in these words. What it does comes next.
    Disturbed { what: &'a str },
    /// A job was given to a thread pool.
    Job { job: u64, label: &'a str, own: bool, by: Option<u64>, place: Place },
    /// A thread has begun a job. The event comes when the loop takes the thread's message; `at` is
    /// when it was sent.
    JobRuns { job: u64, thread: &'a str, at: Option<Instant> },
    /// A job is over: `"ok"`, `"err"`, or why it did not run. `at` is when its thread was done with
    /// it.
    JobEnds { job: u64, thread: &'a str, state: &'a str, at: Option<Instant> },
    /// A delivered signal was read; `at` is when it arrived.
    Signal { signal: i32, at: Instant },
}

/// A station of a loop's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

impl Life {
    /// Returns the word of a `loop` line.
    ///
    /// ```
    /// assert_eq!(looplab::trace::Life::Closed.as_str(), "closed");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Run => "run",
            Self::End => "end",
            Self::Closed => "closed",
        }
    }
}

/// Why a poll waits as long as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

impl Why {
    /// Returns the word of a `sel` line.
    ///
    /// ```
    /// assert_eq!(looplab::trace::Why::Idle.as_str(), "idle");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Timer => "timer",
            Self::Idle => "idle",
            Self::Cap => "cap",
        }
    }
}

/// What a descriptor is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ready {
    /// It can be read (or has hung up, or failed).
    pub read: bool,
    /// It can be written (or has hung up, or failed).
    pub write: bool,
}

/// What ended a poll, other than a descriptor of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wake {
    /// A signal.
    Signal,
    /// A message of another thread.
    Thread,
}

impl Wake {
    /// Returns the word of a `polled` line.
    ///
    /// ```
    /// assert_eq!(looplab::trace::Wake::Thread.as_str(), "thread");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Thread => "thread",
        }
    }
}

/// How an entry came into the ready queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

impl Via {
    /// Returns the word of a `push` line.
    ///
    /// ```
    /// assert_eq!(looplab::trace::Via::CallSoon.as_str(), "call_soon");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CallSoon => "call_soon",
            Self::Threadsafe => "threadsafe",
            Self::Io => "io",
            Self::Signal => "signal",
        }
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

impl EntryKind {
    /// Returns the word of a `push` line.
    ///
    /// ```
    /// assert_eq!(looplab::trace::EntryKind::Callback.as_str(), "cb");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Wakeup => "wakeup",
            Self::DoneCallback => "donecb",
            Self::Callback => "cb",
            Self::Io => "io",
        }
    }
}

/// A future or task that can be awaited, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// A future.
    Future(u64),
    /// A task.
    Task(u64),
}

/// One thing that a suspended task waits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wait {
    /// What it waits on.
    pub on: On,
    /// Its kind: `"sleep"`, `"future"`, `"task"`, `"gather"`, `"foreign"` …
    pub kind: &'static str,
    /// Where the future or task was made. For a function of looplab's, such as `sleep`, this is
    /// where it was called.
    pub place: Option<Place>,
    /// The number of the task that holds it at this moment, if it is a lock.
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

impl Done {
    /// Returns the word of a `tdone` or `fdone` line.
    ///
    /// ```
    /// assert_eq!(looplab::trace::Done::Ok.as_str(), "ok");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Err => "err",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A direction of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Reading.
    Read,
    /// Writing.
    Write,
}

impl Direction {
    /// Returns the letter of a `reg` or `unreg` line.
    ///
    /// ```
    /// assert_eq!(looplab::trace::Direction::Read.as_str(), "r");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::Write => "w",
        }
    }
}
