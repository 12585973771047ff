//! `Log`: an observer for tests. It keeps what ran and what the program noted, turn by turn, and
//! has assertions about that.
//!
//! A failed assertion panics with the turns around the place, so that the test's output shows what
//! happened instead.
//!
//! It does not handle several loops at once: give each a log of its own. It does not keep every
//! event: traces do.

use super::events::Event;
use super::names::stable;
use super::observer::Record;
use super::snapshot::Snapshot;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::{self, Display, Write as _};
use std::rc::Rc;

/// How many turns a failure shows before and after its place.
const AROUND: u64 = 3;

/// Keeps what happened on a loop, for the assertions of a test. Clones are the same log.
///
/// What ran is kept by its name (`Task.step`, `on_signal`), what the program [noted](Self::note) by
/// its text. An automatic task name loses its number, which counts all tasks of the thread.
///
/// ```
/// use looplab::{Clock, EventLoop, sleep, trace::Log};
/// use std::time::Duration;
/// let log = Log::new();
/// let lp = EventLoop::builder().clock(Clock::virtual_time()).observer(log.observer()).build()?;
/// let noting = log.clone();
/// lp.run_until_complete(async move {
///     noting.note("+worker");
///     sleep(Duration::from_secs(1)).await?;
///     noting.note("-worker");
///     Ok(())
/// })?;
/// log.assert_order("+worker", "-worker");
/// log.assert_each("+worker", "-worker");
/// log.assert_turns(4);
/// log.assert_idle(&lp.snapshot());
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Log(Rc<Kept>);

#[derive(Default)]
struct Kept {
    turn: Cell<u64>,
    lines: RefCell<Vec<LogLine>>,
    /// The names of what is in the ready queue, by `q`, and of the timers, by `h`.
    queued: RefCell<HashMap<u64, String>>,
    timers: RefCell<HashMap<u64, String>>,
}

/// One entry that ran, or one note of the program.
#[derive(Clone, PartialEq, Eq)]
struct LogLine {
    turn: u64,
    text: String,
    noted: bool,
}

impl Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.noted { write!(f, "'{}'", self.text) } else { f.write_str(&self.text) }
    }
}

impl Log {
    /// Makes an empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns what records a loop into this log, for
    /// [`Builder::observer`](crate::Builder::observer).
    pub fn observer(&self) -> impl FnMut(&Record<'_>) + use<> {
        let log = self.clone();
        move |record| log.event(&record.event)
    }

    pub(crate) fn event(&self, event: &Event<'_>) {
        let Kept { turn, queued, timers, .. } = &*self.0;
        match *event {
            Event::Turn { n } => turn.set(n),
            Event::Push { q, label, .. } => drop(queued.borrow_mut().insert(q, stable(label))),
            Event::Timer { h, label, .. } => drop(timers.borrow_mut().insert(h, stable(label))),
            Event::Due { q, h, .. } => {
                let timer = timers.borrow_mut().remove(&h).unwrap_or_default();
                queued.borrow_mut().insert(q, timer);
            }
            Event::Skip { q, .. } => drop(queued.borrow_mut().remove(&q)),
            Event::Run { q, .. } => {
                let entry = queued.borrow_mut().remove(&q).unwrap_or_default();
                self.push(entry, false);
            }
            _ => {}
        }
    }

    fn push(&self, text: String, noted: bool) {
        self.0.lines.borrow_mut().push(LogLine { turn: self.0.turn.get(), text, noted });
    }

    /// Puts a line of its own kind into the log, beside what ran.
    #[cfg(feature = "explore")]
    pub(crate) fn mark(&self, what: String) {
        self.push(what, false);
    }

    /// Learns the names of entries that were queued while this log did not observe the loop.
    #[cfg(feature = "explore")]
    pub(crate) fn learn(&self, state: &Snapshot) {
        let mut queued = self.0.queued.borrow_mut();
        for entry in &state.ready {
            queued.entry(entry.q).or_insert_with(|| stable(&entry.label));
        }
    }

    /// Notes that something happened, in the turn that is under way.
    pub fn note(&self, what: impl Display) {
        self.push(what.to_string(), true);
    }

    /// Returns what the program noted, in order.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.0.lines.borrow().iter().filter(|line| line.noted).map(|line| line.text.clone()).collect()
    }

    /// Asserts that `first` happened before `then`: the first time of each counts.
    ///
    /// # Panics
    /// If one of them never happened, or `then` came first.
    #[track_caller]
    pub fn assert_order(&self, first: &str, then: &str) {
        let (Some(a), Some(b)) = (self.find(first), self.find(then)) else {
            let missing = if self.find(first).is_none() { first } else { then };
            panic!("`{missing}` never happened\n{self}");
        };
        assert!(a < b, "`{then}` happened before `{first}`\n{}", self.around(self.0.lines.borrow()[b].turn));
    }

    /// Asserts that the loop has made `n` turns.
    ///
    /// # Panics
    /// If it has made another number.
    #[track_caller]
    pub fn assert_turns(&self, n: u64) {
        let made = self.0.turn.get();
        assert!(made == n, "the loop made {made} turns, not {n}\n{}", self.around(made));
    }

    /// Asserts that each `begin` is followed by an `end` of its own, and no `end` stands alone.
    /// Several may be open at once.
    ///
    /// # Panics
    /// If one is left open, or an `end` comes too early.
    #[track_caller]
    pub fn assert_each(&self, begin: &str, end: &str) {
        let mut open = Vec::new();
        for line in self.0.lines.borrow().iter() {
            if line.text == begin {
                open.push(line.turn);
            } else if line.text == end && open.pop().is_none() {
                panic!(
                    "`{end}` in turn {} has no `{begin}` before it\n{}",
                    line.turn,
                    self.around(line.turn)
                );
            }
        }
        if let Some(turn) = open.first() {
            panic!("`{begin}` in turn {turn} has no `{end}` after it\n{}", self.around(*turn));
        }
    }

    /// Asserts that nothing is left on a loop: no entry, timer, descriptor, signal handler, job or
    /// task.
    ///
    /// # Panics
    /// With the snapshot, if anything is left.
    #[track_caller]
    pub fn assert_idle(&self, state: &Snapshot) {
        let idle = state.ready.is_empty()
            && state.timers.iter().all(|timer| timer.cancelled)
            && state.io.is_empty()
            && state.signals.is_empty()
            && state.jobs.is_empty()
            && state.tasks.is_empty();
        assert!(idle, "something is left on the loop\n{state}");
    }

    /// Asserts that two logs tell the same.
    ///
    /// # Panics
    /// With the first turn that differs, as both tell it.
    #[track_caller]
    pub fn assert_same(&self, other: &Self) {
        let (mine, theirs) = (self.0.lines.borrow(), other.0.lines.borrow());
        let length = mine.len().max(theirs.len());
        let Some(i) = (0..length).find(|i| mine.get(*i) != theirs.get(*i)) else { return };
        let turn =
            mine.get(i).into_iter().chain(theirs.get(i)).map(|line| line.turn).min().unwrap_or_default();
        panic!(
            "the logs differ in turn {turn}\n{}\nand the other\n{}",
            self.around(turn),
            other.around(turn)
        );
    }

    fn find(&self, text: &str) -> Option<usize> {
        self.0.lines.borrow().iter().position(|line| line.text == text)
    }

    /// Returns the turns around this one, a line for each.
    fn around(&self, turn: u64) -> String {
        self.between(turn, turn)
    }

    /// Returns the turns from `first` to `last` and some around them, a line for each.
    pub(crate) fn between(&self, first: u64, last: u64) -> String {
        self.table(first.saturating_sub(AROUND)..=last.saturating_add(AROUND))
    }

    fn table(&self, turns: std::ops::RangeInclusive<u64>) -> String {
        let (mut text, mut last) = (String::new(), None);
        for line in self.0.lines.borrow().iter().filter(|line| turns.contains(&line.turn)) {
            // Writing to a string cannot fail.
            let _ = if last == Some(line.turn) {
                write!(text, " | {line}")
            } else {
                let end = if text.is_empty() { "" } else { "\n" };
                write!(text, "{end}  turn {:>4}  {line}", line.turn)
            };
            last = Some(line.turn);
        }
        text
    }
}

/// Writes a line for each turn: what ran, and between quotes what was noted.
impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table(0..=u64::MAX))
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log\n{self}")
    }
}
