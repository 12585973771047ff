//! When an event was, and on which loop, in the trace's own numbers.
//!
//! It promises that an instant of a loop always becomes the same number, in an event, a deadline or a snapshot alike, and
//! that this number needs no address, date or process: nanoseconds since the trace began.

use std::time::{Duration, Instant};

/// Where a loop's clock stands in the trace: the instant `at` is `ns` after the trace began.
///
/// One zero per loop and not one for the file: virtual clocks of several loops all start at the same instant, so on one
/// common zero the second loop's deadlines would lie before its first event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Zero {
    pub(super) at: Instant,
    pub(super) ns: u64,
}

impl Zero {
    /// An instant in nanoseconds since the trace began; what lies before its beginning is 0.
    pub(super) fn ns(&self, instant: Instant) -> u64 {
        match instant.checked_duration_since(self.at) {
            Some(after) => self.ns.saturating_add(nanos(after)),
            None => self.ns.saturating_sub(nanos(self.at - instant)),
        }
    }
}

/// What stands at the head of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// The loop's number in the trace, from 1.
    pub(super) number: u64,
    /// Nanoseconds since the trace began, never less than on the line before.
    pub(super) t: u64,
    /// Whether the loop's clock is virtual.
    pub(super) virtual_time: bool,
    pub(super) zero: Zero,
}

/// A duration in whole nanoseconds. Cut to `i64::MAX` (292 years), since many readers of JSON have no larger integer.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(i64::MAX as u64)
}
