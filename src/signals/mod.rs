//! The signal source of one loop: which signals arrived, in which order, and when. Removing a
//! signal restores its default.
//!
//! It guarantees:
//! - N deliveries are N arrivals, in the order in which the handlers ran, across signals. Up to
//!   1,024 wait. Of a signal that comes while the ring is full, at least one arrival is reported
//!   later.
//! - Nothing is lost while the loop is stopped: the next run takes what arrived.
//! - After removal, the disposition from before is in force again: the default (the process dies of
//!   SIGTERM, with the right wait status), or an inherited "ignore". Adding again works.
//! - Loops do not steal from each other: each loop that watches a signal gets every delivery of it.
//! - A bad number is an error. Nothing here panics or aborts.
//!
//! It calls no callback. The loop does, in a turn, with what [`Signals::take`] returns.
//!
//! # The path of one delivery
//!
//! 1. The kernel picks a thread that does not block the signal, and interrupts it with
//!    signal-hook's handler. The handler first calls the one that was installed before, if any,
//!    then its actions in order of registration.
//! 2. The action that emulates the default (`dispositions`) is not armed while a loop watches, and
//!    does nothing.
//! 3. This module's action, `Arrivals::record`, writes the arrival and its time into the loop's
//!    ring.
//! 4. signal-hook-mio's action sends a byte into the self-pipe. It is always registered after step
//!    3's action, so the thread that the byte wakes finds the arrival.
//! 5. The loop's poll reports the pipe among the other descriptors, in the kernel's order. That is
//!    the place of the entry that reads the signals. [`Signals::pending`] ensures that no poll
//!    sleeps on a signal whose byte is late. The pipe is the wake-up and the place; the ring holds
//!    the signals.
//! 6. [`Signals::take`] empties the ring and the pipe. The loop queues the callbacks.
//!
//! # What does not work
//!
//! - *Bytes in the pipe as the queue* (CPython): 278 one-byte sends fill a Unix socket pair on
//!   Linux, and the signals after them are lost.
//! - *A counter per signal*: exact, but "TERM, then HUP" and "HUP, then TERM" look the same.
//!   signal-hook's own flags do not even count.
//! - *`WithRawSiginfo`*: it keeps five deliveries of each signal and drops the rest.
//! - *Restoring the old disposition with `sigaction`*: needs unsafe code. signal-hook would not
//!   install its handler a second time, so adding again would do nothing. Its handler therefore
//!   stays for ever, and the default is emulated.
//!
//! # What can still go wrong
//!
//! - The kernel keeps one pending delivery of a standard signal. Several that come while it is
//!   blocked, or before the handler could run, are one. Real-time signals are queued.
//! - When the process's first loop adds a signal, signal-hook's handler is in place some
//!   instructions before its table knows what to call. A delivery just then does nothing.
//! - What is emulated is what the process does, not what the kernel knows. A removed signal still
//!   interrupts system calls that cannot be restarted. A program started by `exec` gets the default
//!   where it would have inherited "ignore". An inherited "ignore" of SIGCHLD does not reap
//!   children any more. SIGTSTP, SIGTTIN and SIGTTOU stop the process as SIGSTOP. Signals that are
//!   not in signal-hook's table (real-time ones, SIGSTKFLT, SIGPWR) do not kill the process: it
//!   exits with the status 128 + n.
//! - A handler that was there before the first loop's stays, also while a loop watches. A handler
//!   that is installed later and does not call the one before takes the signal away. Adding a
//!   handler then is not an error, because the kernel only shows that the signal is caught. If the
//!   signal is ignored or has its default, adding is an error.
//! - While signals come faster than they are handled, the loop's thread hardly leaves the handlers.
//!   `take` lasts as long, because signal-hook reads the pipe until it is empty. CPython's loop
//!   does the same.
//! - On systems where mio falls back to `poll(2)`, the pipe wakes only once. There mio waits for
//!   the read that empties it, and does not see signal-hook's. Neither epoll nor kqueue has this
//!   limit.

mod dispositions;
mod handlers;
mod ring;
pub mod signal;

use crate::error::{Error, Result};
use dispositions::{check_caught, light_fuse, put_out_fuse, start_recording, stop_recording};
use mio::{Interest, Registry, Token};
use ring::{Arrivals, CAPACITY, bit};
use signal::check_number;
use signal_hook::{SigId, consts};
use signal_hook_mio::v1_0::Signals as SelfPipe;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// The token of the self-pipe in the loop's poll.
pub(crate) const SIGNALS: Token = Token(usize::MAX - 1);

/// The signals that one loop watches.
pub(crate) struct Signals {
    /// In the order in which they were added.
    watched: Vec<WatchedSignal>,
    /// Wakes the loop's poll, and gives signals a place among the ready descriptors. It is made with
    /// the first watched signal, and dropped with the last.
    pipe: Option<SelfPipe>,
    /// Whether the pipe still wakes for a removed signal, because it could not be replaced.
    outdated: bool,
    /// The pipe before, while bytes wait in it. It keeps their place among the ready descriptors.
    replaced: Option<SelfPipe>,
    arrivals: Arc<Arrivals>,
    /// Arrivals that have left the ring, because a signal was removed, but were not taken yet.
    waiting: Vec<(i32, Instant)>,
    /// Whether the pipe was read since the last poll.
    was_read: bool,
    /// The time of the last arrival that came out of the ring.
    latest: Instant,
    /// The last [`WatchedSignal::serial`].
    serial: u64,
    /// Whether no signal of the process is caught: only an explorer delivers some.
    pub(crate) alone: bool,
}

/// One signal, from `watch` to `unwatch`.
struct WatchedSignal {
    signal: i32,
    /// Names this signal's watch in the ring, so that arrivals of an ended one are recognised.
    /// Counts from 1.
    serial: u64,
    /// The action that records its deliveries; `None` if no signal of the process is caught.
    recorder: Option<SigId>,
    /// Whether the handler is looplab's own (the runner's, or the dump's) and not the program's.
    own: bool,
    fuse: Option<SigId>,
}

impl WatchedSignal {
    fn end(mut self) {
        self.put_out_fuse();
        if let Some(recorder) = self.recorder {
            stop_recording(self.signal, recorder);
        }
    }

    fn put_out_fuse(&mut self) {
        self.own = false;
        if let Some(fuse) = self.fuse.take() {
            put_out_fuse(self.signal, fuse);
        }
    }
}

impl Signals {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            watched: Vec::new(),
            pipe: None,
            outdated: false,
            replaced: None,
            arrivals: Arc::new(Arrivals::new(now)),
            waiting: Vec::new(),
            was_read: false,
            latest: now,
            serial: 0,
            alone: false,
        }
    }

    /// Starts to record deliveries of `signum`. Each wakes `registry`'s poll with [`SIGNALS`].
    ///
    /// If this loop watches the signal already, only [`kill_after`](Self::kill_after) is undone: it
    /// was not meant for the new handler. After an error everything is as before. A delivery during
    /// the call is either recorded, or does what it would have done without the call.
    pub(crate) fn watch(&mut self, signum: i32, registry: &Registry) -> Result<()> {
        check_number(signum)?;
        check_catchable(signum)?;
        if let Some(watch) = self.watched.iter_mut().find(|watch| watch.signal == signum) {
            if !self.alone {
                check_caught(signum)?;
            }
            watch.put_out_fuse();
            return Ok(());
        }
        self.serial += 1;
        let recorder = if self.alone { Ok(None) } else { self.start(signum, registry).map(Some) };
        let (signal, serial) = (signum, self.serial);
        let result = recorder.map(|recorder| {
            self.watched.push(WatchedSignal { signal, serial, recorder, own: false, fuse: None });
        });
        if self.watched.is_empty() {
            self.drop_pipes(registry);
        }
        result
    }

    /// Starts to catch a signal of the process.
    fn start(&mut self, signum: i32, registry: &Registry) -> Result<SigId> {
        // The descriptors come first: this step can fail, and nothing has changed yet. An outdated
        // pipe cannot be used. Its action for a signal that is added again would run before the
        // recorder, and wake too early.
        if self.pipe.is_none() || self.outdated {
            self.open_pipe(registry)?;
        }
        let recorder = start_recording(signum, self.arrivals.clone(), self.serial)?;
        if let Some(pipe) = &self.pipe
            && let Err(error) = pipe.add_signal(signum)
        {
            stop_recording(signum, recorder);
            return Err(error.into());
        }
        Ok(recorder)
    }

    /// Stops recording a signal, and forgets its deliveries that were not taken. What was in force
    /// before is again, unless another loop watches the signal. Returns false if it was not
    /// watched. The only error is a number out of range.
    pub(crate) fn unwatch(&mut self, signum: i32, registry: &Registry) -> Result<bool> {
        check_number(signum)?;
        let Some(index) = self.watched.iter().position(|watch| watch.signal == signum) else {
            return Ok(false);
        };
        let watch = self.watched.remove(index);
        watch.end();
        self.arrivals.forget_overflow(bit(signum));
        // Forgotten arrivals must not take the room of new ones.
        self.collect();
        self.waiting.retain(|(signal, _)| *signal != signum);
        self.renew_pipe(registry);
        Ok(true)
    }

    /// Makes the delivery after the next `deliveries` do what the default does, for a program that
    /// does not reach its turns. Ends with the watch, or when the signal is watched anew.
    pub(crate) fn kill_after(&mut self, signum: i32, deliveries: u32) -> Result<()> {
        if let Some(watch) = self.watched.iter_mut().find(|watch| watch.signal == signum)
            && watch.fuse.is_none()
        {
            watch.fuse = if self.alone { None } else { light_fuse(signum, deliveries)? };
            watch.own = true;
        }
        Ok(())
    }

    /// Notes that the handler is looplab's own and not the program's. Ends with the watch, or when
    /// the signal is watched anew.
    pub(crate) fn set_own(&mut self, signum: i32) {
        for watch in self.watched.iter_mut().filter(|watch| watch.signal == signum) {
            watch.own = true;
        }
    }

    /// Returns whether the handler is looplab's own and not the program's.
    pub(crate) fn is_own(&self, signum: i32) -> bool {
        self.watched.iter().any(|watch| watch.signal == signum && watch.own)
    }

    /// Delivers a signal to this loop alone, as if it had just been caught. Does nothing if this
    /// loop does not watch it.
    #[cfg(feature = "explore")]
    pub(crate) fn deliver(&mut self, signum: i32) {
        if self.watched.iter().any(|watch| watch.signal == signum) {
            self.collect();
            self.waiting.push((signum, self.latest));
        }
    }

    /// Returns whether arrivals wait to be taken. The loop must ask before each poll that may
    /// block. After `true`, `take` may still return nothing.
    #[inline]
    pub(crate) fn pending(&self) -> bool {
        !self.watched.is_empty() && (!self.waiting.is_empty() || self.arrivals.any())
    }

    /// Returns whether the next poll must be made, even if no descriptor is registered. It must if
    /// something arrived, or if the pipe was read since the last poll. Then the kernel may still
    /// list the pipe as ready, at the place of a byte that is gone. Only a poll takes it off that
    /// list, so that the next byte gets its own place.
    #[inline]
    pub(crate) fn need_poll(&self) -> bool {
        !self.watched.is_empty() && (self.was_read || !self.waiting.is_empty() || self.arrivals.any())
    }

    /// Takes what arrived, in order of arrival, and empties the self-pipe. Takes at most 1,024;
    /// `pending` shows whether there is more.
    ///
    /// Each signal comes with the time at which its handler ran, never earlier than the one before.
    /// If the ring was full, it is the time of this call.
    pub(crate) fn take(&mut self, registry: &Registry) -> Vec<(i32, Instant)> {
        self.was_read = true;
        self.collect();
        let mut coalesced = self.arrivals.take_overflowed();
        for (signal, _) in &self.waiting {
            coalesced &= !bit(*signal);
        }
        if coalesced != 0 {
            let now = Instant::now().max(self.latest);
            self.latest = now;
            let signals = self.watched.iter().map(|watch| watch.signal).filter(|n| coalesced & bit(*n) != 0);
            self.waiting.extend(signals.map(|signal| (signal, now)));
        }
        // What stays in the ring keeps its bytes, so that the next poll reports the pipe again. The
        // pipe is emptied after the ring. A delivery in between is not lost: `pending` finds it
        // before the next poll.
        if !self.arrivals.any() {
            if let Some(pipe) = &mut self.pipe {
                drop(pipe.pending());
            }
            deregister(registry, self.replaced.take());
        }
        std::mem::take(&mut self.waiting)
    }

    /// Notes that a poll is made, which takes a read self-pipe off the kernel's list.
    pub(crate) fn begin_poll(&mut self) {
        self.was_read = false;
    }

    /// Makes the next poll report the self-pipe again while bytes are left in it, as a
    /// level-triggered poll does.
    pub(crate) fn rearm(&mut self, registry: &Registry) {
        for pipe in [&mut self.replaced, &mut self.pipe].into_iter().flatten() {
            if let Err(error) = registry.reregister(pipe, SIGNALS, Interest::READABLE) {
                log_error!("cannot watch the self-pipe of the signals: {error}");
            }
        }
    }

    /// Stops recording all signals, for the loop's `close`, which closes the poll too.
    pub(crate) fn close(&mut self) {
        self.release();
        (self.pipe, self.replaced) = (None, None);
    }

    /// Moves arrivals from the ring to `waiting`, except those of ended watches.
    fn collect(&mut self) {
        while self.waiting.len() < CAPACITY {
            let Some((serial, at)) = self.arrivals.pop() else { break };
            if let Some(watch) = self.watched.iter().find(|watch| watch.serial == serial) {
                // A handler reads the time before it claims its place in the ring, and another can
                // run in between.
                self.latest = self.latest.max(at);
                self.waiting.push((watch.signal, self.latest));
            }
        }
    }

    /// Replaces the pipe by one for the watched signals only. (signal-hook-mio cannot remove a
    /// single signal.)
    fn renew_pipe(&mut self, registry: &Registry) {
        if self.watched.is_empty() {
            return self.drop_pipes(registry);
        }
        if self.pipe.is_some() && self.open_pipe(registry).is_err() {
            // No descriptor is left. The old pipe still serves the other signals, with some empty
            // wake-ups.
            self.outdated = true;
        }
    }

    /// Opens the new pipe before the old one is dropped, so that one of them wakes at any time.
    fn open_pipe(&mut self, registry: &Registry) -> io::Result<()> {
        let mut pipe = SelfPipe::new(self.watched.iter().map(|watch| watch.signal))?;
        registry.register(&mut pipe, SIGNALS, Interest::READABLE)?;
        let before = self.pipe.replace(pipe);
        self.outdated = false;
        if self.replaced.is_none() && self.pending() {
            self.replaced = before;
        } else {
            deregister(registry, before);
        }
        Ok(())
    }

    fn drop_pipes(&mut self, registry: &Registry) {
        deregister(registry, self.replaced.take());
        deregister(registry, self.pipe.take());
    }

    fn release(&mut self) {
        for watch in self.watched.drain(..) {
            watch.end();
        }
        self.arrivals.take_overflowed();
        self.collect();
        self.waiting.clear();
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.release();
    }
}

/// Takes a pipe out of the poll, and drops it.
fn deregister(registry: &Registry, pipe: Option<SelfPipe>) {
    if let Some(mut pipe) = pipe {
        // An error does not matter: the descriptor is closed next, which takes it out of the poll
        // as well.
        let _ = registry.deregister(&mut pipe);
    }
}

fn check_catchable(signum: i32) -> Result<()> {
    let why = match signum {
        consts::SIGKILL | consts::SIGSTOP => "",
        // signal-hook panics for the first three. It takes SIGBUS, but Rust's runtime has a handler
        // for it. That restores the default at the first delivery, and the second would kill the
        // process.
        consts::SIGILL | consts::SIGFPE | consts::SIGSEGV | consts::SIGBUS => {
            ": it reports a fault, and the faulting instruction runs again before a loop can call anything"
        }
        _ => return Ok(()),
    };
    Err(Error::Runtime(format!("sig {signum} cannot be caught{why}").into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Poll;
    use signal_hook::low_level;

    #[test]
    fn a_removed_signals_arrivals_are_forgotten_wherever_they_wait() {
        use consts::{SIGCONT, SIGURG, SIGWINCH};
        let poll = Poll::new().unwrap();
        let mut signals = Signals::new();
        // By default these three do nothing, so a stray one cannot hurt the test's process.
        for n in [SIGURG, SIGWINCH, SIGCONT] {
            signals.watch(n, poll.registry()).unwrap();
        }
        for n in [SIGURG, SIGWINCH, SIGCONT, SIGURG] {
            low_level::raise(n).unwrap();
        }
        // The first removal takes all out of the ring; the second finds its own after it.
        assert!(signals.unwatch(SIGCONT, poll.registry()).unwrap());
        assert!(signals.unwatch(SIGURG, poll.registry()).unwrap());
        signals.watch(SIGURG, poll.registry()).unwrap();
        low_level::raise(SIGURG).unwrap();
        assert!(signals.pending());
        let taken = signals.take(poll.registry());
        assert_eq!(taken.iter().map(|(signal, _)| *signal).collect::<Vec<_>>(), [SIGWINCH, SIGURG]);
        assert!(taken.is_sorted_by_key(|(_, at)| *at));
        assert!(!signals.pending());
        // With 1,024 taken out by a removal, what comes then stays in the ring, also while it is
        // removed itself.
        signals.watch(SIGCONT, poll.registry()).unwrap();
        for _ in 0..CAPACITY {
            low_level::raise(SIGWINCH).unwrap();
        }
        assert!(signals.unwatch(SIGCONT, poll.registry()).unwrap());
        low_level::raise(SIGURG).unwrap();
        assert!(signals.unwatch(SIGURG, poll.registry()).unwrap());
        signals.watch(SIGURG, poll.registry()).unwrap();
        assert_eq!(signals.take(poll.registry()).len(), CAPACITY);
        assert_eq!(signals.take(poll.registry()), []);
        signals.close();
        assert!(!signals.unwatch(SIGURG, poll.registry()).unwrap());
    }

    #[test]
    fn numbers_that_cannot_be_watched_are_errors_with_asyncios_texts() {
        let poll = Poll::new().unwrap();
        let mut signals = Signals::new();
        for n in [i32::MIN, -1, 0, 32, 33, 65, 127, 128, 1000, i32::MAX] {
            let text = format!("invalid signal number {n}");
            let error = signals.watch(n, poll.registry()).unwrap_err();
            assert!(matches!(&error, Error::Value(value) if **value == *text), "{n}: {error:?}");
            assert_eq!(signals.unwatch(n, poll.registry()).unwrap_err().to_string(), text);
        }
        for n in [consts::SIGKILL, consts::SIGSTOP] {
            let error = signals.watch(n, poll.registry()).unwrap_err();
            assert!(matches!(&error, Error::Runtime(text) if **text == *format!("sig {n} cannot be caught")));
            assert!(!signals.unwatch(n, poll.registry()).unwrap());
        }
        for n in [consts::SIGILL, consts::SIGFPE, consts::SIGSEGV, consts::SIGBUS] {
            let error = signals.watch(n, poll.registry()).unwrap_err();
            let start = format!("sig {n} cannot be caught: it reports a fault");
            assert!(matches!(&error, Error::Runtime(text) if text.starts_with(&start)), "{n}: {error:?}");
        }
        assert!(signals.pipe.is_none(), "an error costs no descriptor");
    }
}
