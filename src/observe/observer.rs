//! The observer, and what it receives.

use super::events::Event;
use super::snapshot::Snapshot;
use std::fmt;
use std::time::Instant;

/// Receives every transition of a loop, on the loop's thread.
/// [`Builder::observer`](crate::Builder::observer) sets it. A closure that takes a [`Record`] is
/// one.
///
/// It must not block. It may use the loop (call `call_soon`, say). It is not called for the events
/// that it causes itself. A trace that `LOOPLAB_TRACE` asks for has them, right after the event
/// during which they were made.
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
    /// Receives one transition, right after it was made.
    fn observe(&mut self, record: &Record<'_>);
}

impl<F: FnMut(&Record<'_>)> Observer for F {
    fn observe(&mut self, record: &Record<'_>) {
        self(record);
    }
}

/// One event, with its time and its loop.
pub struct Record<'a> {
    /// What happened.
    pub event: Event<'a>,
    /// The loop's number on its thread: 1 for the first that the thread made.
    pub loop_number: u64,
    /// The loop's own time (virtual if its clock is).
    pub time: Instant,
    /// Whether the loop's clock is virtual.
    pub virtual_time: bool,
    /// Whether the loop has an observer, which is code of the program.
    #[cfg_attr(not(feature = "xray"), expect(dead_code, reason = "only the recorder asks"))]
    pub(crate) observed: bool,
    /// Reads the loop's state while the event is emitted.
    pub(crate) snapshot: &'a dyn Fn() -> Snapshot,
}

impl Record<'_> {
    /// Returns the loop's state right after this event.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        (self.snapshot)()
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("loop", &self.loop_number).field("event", &self.event).finish()
    }
}
