//! The ring between the signal handlers and the loop, and the action that fills it.
//!
//! It keeps order and count up to [`CAPACITY`], and nothing in it waits, locks or allocates. It
//! does not wake the loop: the self-pipe does.

use signal_hook::{SigId, low_level};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

/// How many arrivals can wait before they are coalesced.
pub(super) const CAPACITY: usize = 1024;

/// Returns the bit of a signal in a set of signals. `signum` is in 1..=64.
pub(super) fn bit(signum: i32) -> u64 {
    1 << (signum - 1)
}

/// The arrivals of one loop, on their way from the handlers to the loop. It is a bounded queue. Its
/// producers are handlers on any thread, and one can interrupt another. Its consumer is the loop,
/// which a handler can interrupt anywhere.
///
/// A producer claims a place by moving `tail`, then fills it. It writes the serial last, which
/// makes the place full. A producer that is interrupted in between delays the arrivals after it
/// until its handler ends. The byte that the handler then sends wakes the loop for all of them.
pub(super) struct Arrivals {
    slots: [Slot; CAPACITY],
    /// The next place to be emptied. Only the consumer moves it. Places count up for ever; the slot
    /// is the remainder.
    head: AtomicU64,
    /// The next place to be claimed.
    tail: AtomicU64,
    /// The signals that came while all slots were taken: see [`bit`].
    overflowed: AtomicU64,
    /// Times are nanoseconds since this instant, because there is no atomic `Instant`.
    base: Instant,
}

struct Slot {
    /// The `WatchedSignal::serial` of what arrived; 0 while the slot is empty.
    serial: AtomicU64,
    at: AtomicU64,
}

impl Arrivals {
    pub(super) fn new(base: Instant) -> Self {
        Self {
            slots: std::array::from_fn(|_| Slot { serial: AtomicU64::new(0), at: AtomicU64::new(0) }),
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
            base,
        }
    }

    /// Runs in signal handlers: see the audit in [`register`] before touching anything here.
    fn record(&self, serial: u64, bit: u64) {
        let since = Instant::now().saturating_duration_since(self.base).as_nanos();
        let at = u64::try_from(since).unwrap_or(u64::MAX);
        let mut place = self.tail.load(SeqCst);
        loop {
            // Negative when `place` is outdated and the head has passed it; then the exchange
            // fails.
            let ahead = place.wrapping_sub(self.head.load(SeqCst)).cast_signed();
            if ahead >= CAPACITY as i64 {
                self.overflowed.fetch_or(bit, SeqCst);
                return;
            }
            match self.tail.compare_exchange(place, place.wrapping_add(1), SeqCst, SeqCst) {
                Ok(_) => break,
                Err(moved) => place = moved,
            }
        }
        let slot = self.slot(place);
        slot.at.store(at, SeqCst);
        slot.serial.store(serial, SeqCst);
    }

    /// Empties the slot at the head. Only the one consumer may call it.
    pub(super) fn pop(&self) -> Option<(u64, Instant)> {
        let place = self.head.load(SeqCst);
        let slot = self.slot(place);
        let serial = slot.serial.load(SeqCst);
        if serial == 0 {
            return None;
        }
        let at = self.base + Duration::from_nanos(slot.at.load(SeqCst));
        slot.serial.store(0, SeqCst);
        // Only now can a producer claim it again.
        self.head.store(place.wrapping_add(1), SeqCst);
        Some((serial, at))
    }

    /// Returns whether anything arrived. Relaxed is enough. A handler on this thread is over when
    /// this runs, so its stores are seen. One on another thread sends a byte after its stores, and
    /// the poll finds that byte.
    pub(super) fn any(&self) -> bool {
        self.slot(self.head.load(Relaxed)).serial.load(Relaxed) != 0 || self.overflowed.load(Relaxed) != 0
    }

    /// Takes the signals that found the ring full since the last call.
    pub(super) fn take_overflowed(&self) -> u64 {
        self.overflowed.swap(0, SeqCst)
    }

    pub(super) fn forget_overflow(&self, bit: u64) {
        self.overflowed.fetch_and(!bit, SeqCst);
    }

    fn slot(&self, place: u64) -> &Slot {
        &self.slots[(place % CAPACITY as u64) as usize]
    }
}

/// What looplab does in a signal handler.
pub(super) enum Action {
    /// Notes a delivery in the ring.
    Record { arrivals: Arc<Arrivals>, serial: u64, bit: u64 },
    /// Counts deliveries down, and arms the default at the last: the one after it kills.
    Fuse { left: AtomicU32, default_armed: Arc<AtomicBool> },
}

impl Action {
    /// Runs in signal handlers: see the audit in [`register`] before touching anything here.
    fn run(&self) {
        match self {
            Self::Record { arrivals, serial, bit } => arrivals.record(*serial, *bit),
            Self::Fuse { left, default_armed } => {
                // It may wrap around below zero. By then the default is long armed.
                if left.fetch_sub(1, SeqCst) == 1 {
                    default_armed.store(true, SeqCst);
                }
            }
        }
    }
}

/// The crate's one unsafe block.
#[allow(unsafe_code)]
pub(super) fn register(signum: i32, action: Action) -> io::Result<SigId> {
    // SAFETY: the action runs in a signal handler, so it may only do what is async-signal-safe, and
    // must not panic. It is one call of `Action::run`, which does this and nothing else:
    // - It follows `Arc`s that the action owns. It neither clones nor drops it: signal-hook drops
    //   the action in `unregister`, outside of handlers, after the last one that runs it has ended.
    // - `Instant::now` is `clock_gettime` on Unix, which POSIX lists as async-signal-safe. std
    //   wraps it without a lock or an allocation. It would panic only without a monotonic clock,
    //   and `Signals::new` has read that clock before. `saturating_duration_since` and `try_from`
    //   with a fallback cannot panic.
    // - Loads, stores, `fetch_or`, `fetch_sub` and `compare_exchange` on atomics. They never wait
    //   for another thread or for the interrupted code: the loop around `compare_exchange` repeats
    //   only when another handler has got its place.
    // - Wrapping arithmetic, and an index that is a remainder by the array's own length.
    // It does not allocate, lock, do I/O, log, or touch thread-locals; signal-hook restores errno.
    unsafe { low_level::register(signum, move || action.run()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::thread;

    fn ring() -> Arrivals {
        Arrivals::new(Instant::now())
    }

    fn serials(ring: &Arrivals) -> Vec<u64> {
        std::iter::from_fn(|| ring.pop()).map(|(serial, _)| serial).collect()
    }

    #[test]
    fn arrivals_leave_the_ring_in_the_order_in_which_they_entered_it_however_often_it_goes_round() {
        let ring = ring();
        let mut model = VecDeque::new();
        for n in 1..=20_000 {
            ring.record(n, 1);
            model.push_back(n);
            // After the first 900, as many leave as enter, in bursts of 1 to 13.
            if n > 900 && n % 7 == 0 {
                for _ in 0..=n % 13 {
                    assert_eq!(ring.pop().map(|(serial, _)| serial), model.pop_front());
                }
            }
        }
        assert_eq!(serials(&ring), Vec::from(model));
        assert!(!ring.any());
    }

    #[test]
    fn a_full_ring_keeps_the_first_1024_and_remembers_which_signals_found_no_room() {
        let ring = ring();
        for n in 1..=1024 {
            ring.record(n, bit(1));
        }
        assert_eq!(ring.overflowed.load(SeqCst), 0);
        ring.record(1025, bit(64));
        ring.record(1026, bit(10));
        assert_eq!(ring.overflowed.load(SeqCst), bit(64) | bit(10));
        assert_eq!(ring.pop().map(|(serial, _)| serial), Some(1));
        ring.record(1027, bit(2));
        assert_eq!(ring.overflowed.load(SeqCst), bit(64) | bit(10), "there was room again");
        assert_eq!(serials(&ring), Vec::from_iter((2..=1024).chain([1027])));
        assert!(ring.any(), "what found no room still counts");
    }

    #[test]
    fn producers_on_several_threads_lose_nothing_and_each_keeps_its_own_order() {
        const EACH: u64 = if cfg!(miri) { 500 } else { 50_000 };
        let ring = ring();
        let mut seen = [0; 3];
        thread::scope(|scope| {
            for producer in 0..3 {
                let (ring, mine) = (&ring, bit(producer + 1));
                scope.spawn(move || {
                    for n in 1..=EACH {
                        // What found no room says so, and is tried again: so the count below must
                        // be exact.
                        ring.record(n * 3 + producer as u64, mine);
                        while ring.overflowed.fetch_and(!mine, SeqCst) & mine != 0 {
                            thread::yield_now();
                            ring.record(n * 3 + producer as u64, mine);
                        }
                    }
                });
            }
            while seen != [EACH; 3] {
                let Some((serial, _)) = ring.pop() else {
                    thread::yield_now();
                    continue;
                };
                let producer = (serial % 3) as usize;
                seen[producer] += 1;
                assert_eq!(serial / 3, seen[producer]);
            }
        });
        assert!(!ring.any());
    }

    /// Claimed and not yet filled: so a handler's place looks while another handler interrupts it.
    #[test]
    fn an_arrival_after_an_unfinished_one_waits_for_it() {
        let ring = ring();
        let place = ring.tail.fetch_add(1, SeqCst);
        ring.record(2, 1);
        assert!(!ring.any());
        assert_eq!(serials(&ring), [0; 0]);
        ring.slot(place).serial.store(1, SeqCst);
        assert!(ring.any());
        assert_eq!(serials(&ring), [1, 2]);
    }
}
