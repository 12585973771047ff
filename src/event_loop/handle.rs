//! Handles: what a caller holds of a callback that it has scheduled, to cancel it with.
//!
//! Dropping a handle does not cancel. The diagram of a handle's life is in `callback`.

use super::callback::Callback;
use super::{EventLoop, Inner};
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Instant;

/// A handle of a queued callback, to cancel it with (`asyncio.Handle`). Dropping it does not
/// cancel.
///
/// ```
/// # use looplab::EventLoop;
/// let lp = EventLoop::new()?;
/// let handle = lp.call_soon(|| unreachable!("cancelled"))?;
/// handle.cancel();
/// assert!(handle.cancelled());
/// lp.stop();
/// lp.run_forever()?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    callback: Rc<dyn Callback>,
    lp: Weak<Inner>,
}

impl Handle {
    pub(crate) fn new(callback: Rc<dyn Callback>, lp: Weak<Inner>) -> Self {
        Self { callback, lp }
    }

    /// Cancels the callback: it will not run, and is dropped now (`asyncio.Handle.cancel`).
    /// Idempotent. May be called at any time, also by an earlier callback of the same turn.
    pub fn cancel(&self) {
        // A handle of the loop is held here, because the destructor that runs may drop the last
        // other one.
        match self.lp.upgrade().map(EventLoop) {
            Some(lp) => lp.0.cancel(&*self.callback),
            None => drop(self.callback.cancel()),
        }
    }

    /// Tells whether `cancel` was called (`asyncio.Handle.cancelled`).
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.callback.is_cancelled()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe("Handle", &*self.callback, f)
    }
}

/// A handle of a timer, to cancel it with (`asyncio.TimerHandle`). Dropping it does not cancel.
///
/// ```
/// # use looplab::EventLoop;
/// # use std::time::Duration;
/// let lp = EventLoop::new()?;
/// let timer = lp.call_later(Duration::from_secs(3600), || println!("an hour later"))?;
/// assert!(timer.when() > lp.time());
/// timer.cancel();
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone)]
pub struct TimerHandle {
    callback: Rc<dyn Callback>,
    when: Instant,
    lp: Weak<Inner>,
}

impl TimerHandle {
    pub(crate) fn new(callback: Rc<dyn Callback>, when: Instant, lp: Weak<Inner>) -> Self {
        Self { callback, when, lp }
    }

    /// Cancels the timer: its callback will not run, and is dropped now
    /// (`asyncio.TimerHandle.cancel`). The entry stays on the heap until it comes to the head, or
    /// until more than half of over 100 timers are cancelled.
    pub fn cancel(&self) {
        // The timer is counted before its callback is dropped: a destructor may run the loop, and a
        // turn may drop the timer.
        if self.callback.header().mark_cancelled()
            && let Some(lp) = self.lp.upgrade().map(EventLoop)
        {
            lp.0.timer_cancelled(self.callback.header());
        }
        self.callback.discard();
    }

    /// Tells whether `cancel` was called (`asyncio.TimerHandle.cancelled`).
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.callback.is_cancelled()
    }

    /// Returns the deadline on the loop's clock (`asyncio.TimerHandle.when`).
    #[must_use]
    pub fn when(&self) -> Instant {
        self.when
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe("TimerHandle", &*self.callback, f)
    }
}

fn describe(what: &str, callback: &dyn Callback, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let cancelled = if callback.is_cancelled() { "cancelled " } else { "" };
    let (label, place) = (callback.label(), callback.place());
    write!(f, "<{what} {cancelled}{label} created at {}:{}>", place.file(), place.line())
}
