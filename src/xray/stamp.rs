//! The time of an event and the number of its loop, as a trace writes them.
//!
//! An instant of a loop always becomes the same number, in an event, a deadline or a snapshot. The
//! number is the nanoseconds since the trace began, so it needs no address, date or process.

use std::time::{Duration, Instant};

/// Where a loop's clock is in the trace: the instant `at` is `ns` after the trace began.
///
/// Each loop has its own zero, because virtual clocks of several loops all start at the same
/// instant. On a common zero the second loop's deadlines would be before its first event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Zero {
    pub(super) at: Instant,
    pub(super) ns: u64,
}

impl Zero {
    /// Returns an instant in nanoseconds since the trace began. An instant before that is 0.
    pub(super) fn ns(&self, instant: Instant) -> u64 {
        match instant.checked_duration_since(self.at) {
            Some(after) => self.ns.saturating_add(nanos(after)),
            None => self.ns.saturating_sub(nanos(self.at - instant)),
        }
    }
}

/// The head of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// The loop's number in the trace, from 1.
    pub(super) number: u64,
    /// Nanoseconds since the trace began. They never go back from line to line.
    pub(super) t: u64,
    /// Whether the loop's clock is virtual.
    pub(super) virtual_time: bool,
    pub(super) zero: Zero,
}

/// Returns a duration in whole nanoseconds, at most `i64::MAX` (292 years): many JSON readers have
/// no larger integer.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(i64::MAX as u64)
}
