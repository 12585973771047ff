//! `Event`: a flag that can be waited for.
//!
//! It promises that `set` wakes all who wait at that moment, each in the next turn and in the order in which they came,
//! and that a `clear` right after does not take that back. It counts nothing: setting it twice is setting it once, and
//! who comes after a `clear` waits for the next `set`.

use super::waiters::{Home, Waiters, count};
use crate::error::Result;
use crate::trace::Place;
use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

/// A flag that tasks wait for (`asyncio.Event`). Cloning gives another handle of the same event.
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
#[derive(Clone, Default)]
pub struct Event(Rc<State>);

#[derive(Default)]
struct State {
    value: Cell<bool>,
    waiters: Waiters,
    home: Home,
}

impl Event {
    /// One that is not set (`asyncio.Event()`). Needs no loop.
    ///
    /// ```
    /// assert_eq!(format!("{:?}", looplab::sync::Event::new()), "<Event [unset]>");
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it is set (`Event.is_set`).
    ///
    /// ```
    /// assert!(!looplab::sync::Event::new().is_set());
    /// ```
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.value.get()
    }

    /// Sets it, and wakes all who wait (`Event.set`). If it is set already, nothing happens. May be called at any time on
    /// the loop's thread.
    ///
    /// ```
    /// # use looplab::sync::Event;
    /// let event = Event::new();
    /// event.set();
    /// assert!(event.is_set());
    /// ```
    pub fn set(&self) {
        if !self.0.value.replace(true) {
            self.0.waiters.wake_pending(usize::MAX);
        }
    }

    /// Takes the flag back (`Event.clear`). Those who are woken stay woken.
    ///
    /// ```
    /// # use looplab::sync::Event;
    /// let event = Event::new();
    /// event.set();
    /// event.clear();
    /// assert!(!event.is_set());
    /// ```
    pub fn clear(&self) {
        self.0.value.set(false);
    }

    /// Waits until it is set (`Event.wait`); if it is, without suspending. When this returns, somebody may have cleared
    /// it again.
    ///
    /// Fails with [`Error::Cancelled`](crate::Error::Cancelled) if the task is cancelled, in the same turn as the `set`
    /// too; with [`Error::Runtime`](crate::Error::Runtime) on another loop than the one it was first waited for on; and
    /// with [`Error::NoRunningLoop`](crate::Error::NoRunningLoop) without one.
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
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<()>> + use<> {
        let (event, place) = (self.clone(), Location::caller());
        async move { event.wait_at("event", place).await }
    }

    /// Waits, under the name of the primitive that uses the event.
    pub(super) async fn wait_at(&self, kind: &'static str, place: Place) -> Result<()> {
        if self.is_set() {
            return Ok(());
        }
        let waiter = self.0.home.waiter(self, kind, place, None)?;
        // Nothing is to be passed on: a `set` wakes everybody.
        self.0.waiters.wait(waiter, |_| ()).await
    }
}

/// `<Event [unset, waiters:1]>`.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Event [{}", if self.is_set() { "set" } else { "unset" })?;
        count(f, &self.0.waiters)?;
        f.write_str("]>")
    }
}
