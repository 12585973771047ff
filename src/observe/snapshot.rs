//! A loop's state as data, and as text. The loop fills it in (`event_loop/mod.rs`).

use super::events::{EntryKind, On, Place, Wait};
use signal_hook::low_level::signal_name;
use std::fmt;
use std::time::{Duration, Instant};

/// The loop's structures as data: what [`EventLoop::snapshot`](crate::EventLoop::snapshot) and
/// [`Record::snapshot`](crate::trace::Record::snapshot) return. `Display` shows it as aligned text.
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
#[non_exhaustive]
pub struct Snapshot {
    /// The time of the loop's clock at this moment.
    pub time: Option<Instant>,
    /// How many turns the loop has made.
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
#[non_exhaustive]
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
#[non_exhaustive]
pub struct TimerEntry {
    /// Its handle.
    pub h: u64,
    /// Its deadline.
    pub when: Instant,
    /// What it runs.
    pub label: String,
    /// Whether it was cancelled and will be dropped.
    pub cancelled: bool,
    /// Where it was made.
    pub place: Option<Place>,
}

/// One registered descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct SignalEntry {
    /// The signal's number.
    pub signal: i32,
    /// The handler's handle.
    pub h: u64,
    /// What it runs.
    pub label: String,
}

/// One job that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobEntry {
    /// Its number.
    pub id: u64,
    /// What it runs.
    pub label: String,
    /// Whether a thread has begun it. A loop with an observer or in virtual time knows what the
    /// trace says. Any other loop asks the pool.
    pub running: bool,
    /// Where it was submitted.
    pub place: Place,
}

/// One task that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
pub enum TaskState {
    /// Its step waits in the ready queue.
    Queued,
    /// It is in its step.
    Running,
    /// It is suspended on these.
    Waiting(Vec<Wait>),
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = match (self.closed, self.running) {
            (true, _) => "closed",
            (false, true) => "running",
            (false, false) => "not running",
        };
        writeln!(f, "turn {}, {running}{}", self.turn, if self.stopping { ", STOP flag set" } else { "" })?;
        write!(f, "ready   {}", count(&self.ready, "nothing"))?;
        for (i, entry) in self.ready.iter().enumerate() {
            let turn = if i < self.batch_left { "this turn" } else { "next turn" };
            let skipped = if entry.cancelled { ", cancelled" } else { "" };
            write!(f, "\n  q{:<5} {}{} ({turn}{skipped})", entry.q, entry.label, at(entry.place))?;
        }
        write!(f, "\ntimers  {}", count(&self.timers, "none"))?;
        for timer in &self.timers {
            let (due, cancelled) = (self.due(timer), if timer.cancelled { ", cancelled" } else { "" });
            write!(f, "\n  h{:<5} {}{} ({due}{cancelled})", timer.h, timer.label, at(timer.place))?;
        }
        write!(f, "\nI/O     {}", count(&self.io, "none"))?;
        for io in &self.io {
            let side = |h: Option<u64>, name| h.map(|_| name).unwrap_or_default();
            write!(f, "\n  fd{:<4} {} {}", io.fd, side(io.reader, "reader"), side(io.writer, "writer"))?;
        }
        write!(f, "\nsignals {}", count(&self.signals, "none"))?;
        for signal in &self.signals {
            let name = signal_name(signal.signal).map_or_else(|| signal.signal.to_string(), str::to_owned);
            write!(f, "\n  {name:<6} {}", signal.label)?;
        }
        write!(f, "\njobs    {}", count(&self.jobs, "none"))?;
        for job in &self.jobs {
            let runs = if job.running { "running" } else { "queued" };
            write!(f, "\n  job{:<3} {}{} ({runs})", job.id, job.label, at(Some(job.place)))?;
        }
        write!(f, "\ntasks   {}", count(&self.tasks, "none"))?;
        for task in &self.tasks {
            write!(f, "\n  {:<6} ", task.name)?;
            match &task.state {
                TaskState::Queued => f.write_str("ready")?,
                TaskState::Running => f.write_str("running")?,
                TaskState::Waiting(waits) => {
                    write!(f, "waiting for {}", describe_all(waits, &self.tasks))?;
                }
            }
        }
        Ok(())
    }
}

impl Snapshot {
    /// Says when a timer is due, in whole microseconds.
    fn due(&self, timer: &TimerEntry) -> String {
        let whole =
            |time: Duration| Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        let Some(now) = self.time else { return "due".to_owned() };
        match timer.when.checked_duration_since(now) {
            Some(left) => format!("due in {:?}", whole(left)),
            None => format!("due {:?} ago", whole(now - timer.when)),
        }
    }
}

/// Describes what a task waits on. `tasks` are all tasks that are not done, by number.
pub(crate) fn describe_all(waits: &[Wait], tasks: &[TaskEntry]) -> String {
    let list: Vec<String> = waits.iter().map(|wait| describe(wait, tasks)).collect();
    list.join(", ")
}

/// Describes one wait, such as `lock at src/main.rs:12, held by Task-3`. An awaited task comes with
/// its name.
fn describe(wait: &Wait, tasks: &[TaskEntry]) -> String {
    let name_of = |id| tasks.binary_search_by_key(&id, |task| task.id).ok().map(|i| &tasks[i].name);
    let awaited = match wait.on {
        On::Task(id) => name_of(id).map(|name| format!(" {name}")),
        On::Future(_) => None,
    };
    let holder = wait.holder.and_then(name_of).map(|name| format!(", held by {name}"));
    let [awaited, holder] = [awaited, holder].map(Option::unwrap_or_default);
    format!("{}{awaited}{}{holder}", wait.kind, at(wait.place))
}

/// Returns a place as ` at src/main.rs:12`, and no place as nothing.
fn at(place: Option<Place>) -> String {
    place.map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()))
}

/// Returns the number of entries, or `none` if there are none.
fn count<T>(entries: &[T], none: &str) -> String {
    if entries.is_empty() { none.to_owned() } else { entries.len().to_string() }
}
