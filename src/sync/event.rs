//! `Event`: a flag that tasks wait for.
//!
//! It guarantees that `set` wakes all present waiters, in the next turn and in the order of their
//! arrival. A `clear` right after it does not undo that. It does not count: two `set` are one, and
//! a task that arrives after a `clear` waits for the next `set`.

use super::wait_queue::{LoopBound, WaitQueue};
use crate::error::Result;
use crate::trace::Place;
use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

/// A flag that tasks wait for (`asyncio.Event`). A clone is another handle of the same event.
///
/// ```
/// use looplab::{EventLoop, create_task, sync::Event};
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async {
///     let ready = Event::new();
///     let waiter = create_task(ready.wait());
///     ready.set();
///     waiter.await
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.Event")]
#[derive(Clone, Default)]
pub struct Event(Rc<EventInner>);

#[derive(Default)]
struct EventInner {
    is_set: Cell<bool>,
    waiters: WaitQueue,
    bound: LoopBound,
}

impl Event {
    /// Creates an event that is not set (`asyncio.Event()`). Needs no loop.
    ///
    /// ```
    /// assert_eq!(format!("{:?}", looplab::sync::Event::new()), "<Event [unset]>");
    /// ```
    #[doc(alias("asyncio.Event", "Event"))]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns whether the event is set (`Event.is_set`).
    ///
    /// ```
    /// assert!(!looplab::sync::Event::new().is_set());
    /// ```
    #[doc(alias = "Event.is_set")]
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.is_set.get()
    }

    /// Sets the event and wakes all waiters (`Event.set`). Does nothing if it is set already. It
    /// may be called at any time on the loop's thread.
    ///
    /// ```
    /// # use looplab::sync::Event;
    /// let event = Event::new();
    /// event.set();
    /// assert!(event.is_set());
    /// ```
    #[doc(alias = "Event.set")]
    pub fn set(&self) {
        if !self.0.is_set.replace(true) {
            self.0.waiters.wake_next(usize::MAX);
        }
    }

    /// Resets the event (`Event.clear`). Waiters that were woken stay woken.
    ///
    /// ```
    /// # use looplab::sync::Event;
    /// let event = Event::new();
    /// event.set();
    /// event.clear();
    /// assert!(!event.is_set());
    /// ```
    #[doc(alias = "Event.clear")]
    pub fn clear(&self) {
        self.0.is_set.set(false);
    }

    /// Waits until the event is set (`Event.wait`). Does not suspend if it is set already. When
    /// this returns, another task may have cleared the event again.
    ///
    /// Fails with [`Error::Cancelled`](crate::Error::Cancelled) if the task is cancelled, even in
    /// the same turn as the `set`. Fails with [`Error::Runtime`](crate::Error::Runtime) on another
    /// loop than the first wait's, and with
    /// [`Error::NoRunningLoop`](crate::Error::NoRunningLoop) without a running loop.
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Event};
    /// let event = Event::new();
    /// let setter = event.clone();
    /// let lp = EventLoop::new()?;
    /// lp.call_soon(move || setter.set())?;
    /// lp.run_until_complete(event.wait())?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Event.wait")]
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<()>> + use<> {
        let (event, place) = (self.clone(), Location::caller());
        async move { event.wait_at("event", place).await }
    }

    /// Waits under the name of the primitive that is built on this event.
    pub(super) async fn wait_at(&self, kind: &'static str, place: Place) -> Result<()> {
        if self.is_set() {
            return Ok(());
        }
        let waiter = self.0.bound.waiter(self, kind, place)?;
        // There is no wake-up to hand over: a `set` wakes all waiters.
        self.0.waiters.wait_or(waiter, |_| ()).await
    }
}

/// Writes `<Event [unset, waiters:1]>`.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Event [{}", if self.is_set() { "set" } else { "unset" })?;
        self.0.waiters.fmt_len(f)?;
        f.write_str("]>")
    }
}
