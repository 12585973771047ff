//! The clock: the one seam through which time enters the loop.
//!
//! `now` never goes back. A virtual clock moves only when the loop advances it, so the same program
//! makes the same trace on every machine. The clock does not wait: that is the reactor's work.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The longest delay; a longer one is cut to this.
const FAR: Duration = YEAR.saturating_mul(30);

/// The furthest that a virtual clock lets an instant lie ahead. The timers hold 292 years before
/// and after their zero, which is never more than thirty years behind the clock.
const FURTHEST: Duration = YEAR.saturating_mul(250);

/// The time that a loop lives in; given to [`Builder::clock`](crate::Builder::clock).
///
/// ```
/// use looplab::{Clock, EventLoop, sleep};
/// use std::time::{Duration, Instant};
/// let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
/// let began = Instant::now();
/// lp.run_until_complete(sleep(Duration::from_secs(3600)))?;        // an hour of the loop's time
/// assert!(began.elapsed() < Duration::from_secs(60));
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Debug)]
pub struct Clock {
    /// The time of a virtual clock; `None` for the machine's.
    virtual_now: Option<Cell<Instant>>,
}

impl Clock {
    /// Returns the machine's monotonic clock, asyncio's `time.monotonic()`.
    #[must_use]
    pub fn monotonic() -> Self {
        Self { virtual_now: None }
    }

    /// Returns a clock that stands still while anything is ready, and jumps to the next deadline
    /// when nothing is.
    ///
    /// Every virtual clock of a process starts at the same instant, so traces repeat exactly. While
    /// a descriptor is registered, time passes as fast as real time: what comes from outside takes
    /// real time. The sockets of [`net::memory`](crate::net::memory) have no descriptor, so time
    /// does not pass while they wait. A loop that waits for nothing at all ends with
    /// [`Error::Deadlock`](crate::Error::Deadlock) instead of hanging.
    #[must_use]
    pub fn virtual_time() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        Self { virtual_now: Some(Cell::new(*START.get_or_init(Instant::now))) }
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.virtual_now.is_some()
    }

    pub(crate) fn now(&self) -> Instant {
        self.virtual_now.as_ref().map_or_else(Instant::now, Cell::get)
    }

    /// Advances virtual time; a real clock ignores it.
    pub(crate) fn advance(&self, by: Duration) {
        if let Some(now) = &self.virtual_now {
            now.set(now.get().checked_add(by).unwrap_or_else(|| now.get()));
        }
    }

    /// Limits a deadline that was given as an instant. A virtual clock reaches any instant; a real
    /// one never comes near the limit.
    #[inline]
    pub(crate) fn cut(&self, when: Instant) -> Instant {
        self.virtual_now.as_ref().map_or(when, |now| when.min(now.get() + FURTHEST))
    }

    /// Returns the instant `delay` from now, at most thirty years ahead.
    pub(crate) fn deadline(&self, delay: Duration) -> Instant {
        let now = self.now();
        now.checked_add(delay.min(FAR)).unwrap_or(now)
    }
}
