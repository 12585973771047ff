//! What the peers have in common: the size of a work, the deadlines of timers, and when a work is over.
//!
//! A work is the same for every peer: `n` operations, of which only the operations are timed, not what is set up before
//! and taken down after. Nothing is random: every peer and every round gets the same deadlines.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How many callbacks, tasks or jobs are under way at once.
pub(crate) const WIDTH: u32 = 1000;

/// How many threads the pools for blocking jobs may have.
pub(crate) const THREADS: usize = 4;

/// How many chains of callbacks still go on. A chain is a callback that queues itself again with one less to go.
static CHAINS: AtomicU32 = AtomicU32::new(0);

pub(crate) fn begin_chains(chains: u32) {
    CHAINS.store(chains, Ordering::Relaxed);
}

/// One more has come to its end; whether it was the last one.
pub(crate) fn chain_ended() -> bool {
    CHAINS.fetch_sub(1, Ordering::Relaxed) == 1
}

pub(crate) fn chains_go_on() -> bool {
    CHAINS.load(Ordering::Relaxed) > 0
}

/// How many tasks that sleep have begun to.
static SLEEPERS: AtomicU32 = AtomicU32::new(0);

pub(crate) fn begins_to_sleep() {
    SLEEPERS.fetch_add(1, Ordering::Relaxed);
}

/// Tells whether this number of tasks sleep. The count then begins again.
pub(crate) fn all_sleep(wanted: u32) -> bool {
    SLEEPERS.compare_exchange(wanted, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Delays that are spread evenly and in no order over a time (xorshift: the same in every round).
pub(crate) fn delays(n: u32, spread: Duration) -> impl Iterator<Item = Duration> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    (0..n).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        spread.mul_f64((state >> 11) as f64 / (1u64 << 53) as f64)
    })
}

/// Delays of timers that do not fire while they are looked at.
pub(crate) fn far_delays(n: u32) -> impl Iterator<Item = Duration> {
    delays(n, Duration::from_secs(3600)).map(|delay| Duration::from_secs(3600) + delay)
}

/// Deadlines that all pass before any is looked at: timers are set for them, the thread waits until the last is over, and
/// only what comes then is timed. They are far enough ahead that the slowest peer has set all timers by then.
pub(crate) struct Overdue {
    first: Instant,
    spread: Duration,
    n: u32,
}

impl Overdue {
    pub(crate) fn new(n: u32) -> Self {
        let first = Instant::now() + Duration::from_millis(10) + n * Duration::from_micros(2);
        Self { first, spread: Duration::from_millis(50), n }
    }

    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let first = self.first;
        delays(self.n, self.spread).map(move |delay| first + delay)
    }

    /// Waits, without the peer's help, until all have passed; the time from which on the firing is measured.
    pub(crate) fn pass(&self) -> Instant {
        let last = self.first + self.spread + Duration::from_millis(2);
        std::thread::sleep(last.saturating_duration_since(Instant::now()));
        Instant::now()
    }
}

/// Polls a future once, for those whose timers are set by their first poll.
pub(crate) fn poll_once<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Pending once, woken at once: for the peers that have no yield of their own.
pub(crate) async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Sends this thread a signal. To the thread and not to the process, so that no other thread takes it.
pub(crate) fn raise() {
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR1).expect("a signal");
}
