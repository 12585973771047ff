//! The signal source of one loop: what arrived, in which order, when; and the default back when nobody listens.
//!
//! It promises:
//! - N deliveries are N arrivals, in the order in which the handlers ran, across signals. Up to 1,024 wait; of a signal
//!   that comes while so many wait, at least one arrival is reported later.
//! - Nothing is lost while the loop is stopped: what arrives is taken by the next run.
//! - After removal, what was in force before is in force again: the default (the process dies of SIGTERM, with the
//!   right wait status), or an inherited "ignore". Adding again works.
//! - Loops do not steal from each other: each that watches a signal gets every delivery of it.
//! - A bad number is an error. Nothing here panics or aborts.
//!
//! It does not call anybody's callback; the loop does, in a turn, from what [`Signals::take`] hands out.
//!
//! # The path of one delivery
//!
//! 1. The kernel picks a thread that does not block the signal and interrupts it with signal-hook's handler. That first
//!    calls the handler which was installed before, if there was one, then its actions in order of registration.
//! 2. The action that stands in for the default (`dispositions`) is not armed while a loop watches, and does nothing.
//! 3. This module's action, `Arrivals::record`, writes the arrival and its time into the loop's ring.
//! 4. signal-hook-mio's action sends a byte into the self-pipe. It was registered after step 3's, always, so whoever is
//!    woken by the byte finds the arrival.
//! 5. The loop's poll reports the pipe among the other descriptors, in the kernel's order. That place is the place of the
//!    entry that reads the signals. [`Signals::pending`] makes sure that no poll sleeps on a signal whose byte is late.
//!    The pipe is the wake-up and the place; the ring holds the signals.
//! 6. [`Signals::take`] empties the ring and the pipe. The loop queues the callbacks.
//!
//! # What does not work
//!
//! - *Bytes in the pipe as the queue* (CPython): 278 one-byte sends fill a Unix socket pair on Linux, and the signals
//!   after them are lost.
//! - *A counter per signal*: exact, but "TERM, then HUP" and "HUP, then TERM" look the same. signal-hook's own flags do
//!   not even count.
//! - *`WithRawSiginfo`*: it keeps five deliveries of each signal and drops the rest.
//! - *Restoring the old disposition with `sigaction`*: needs unsafe code, and signal-hook would not install its
//!   handler a second time, so adding again would do nothing. Its handler therefore stays for ever, and the default is
//!   emulated.
//!
//! # What can still go wrong
//!
//! - The kernel keeps one pending delivery of a standard signal: several that come while it is blocked, or before the
//!   handler had a chance to run, are one. Real-time signals are queued.
//! - When the process's first loop adds a signal, signal-hook's handler is in place some instructions before its table
//!   knows what to call. A delivery just then does nothing.
//! - What is emulated is what the process does, not what the kernel knows. A removed signal still interrupts system
//!   calls that cannot be restarted, a program started by `exec` gets the default where it would have inherited
//!   "ignore", and an inherited "ignore" of SIGCHLD does not reap children any more. SIGTSTP, SIGTTIN and SIGTTOU stop
//!   the process as SIGSTOP. Signals that signal-hook has no table entry for (real-time ones, SIGSTKFLT, SIGPWR) end
//!   it with the exit status 128 + n instead of a death by signal.
//! - A handler that was there before the first loop's stays, also while a loop watches. One that is installed later and
//!   does not call the handler before it takes the signal away. Adding a handler then is not an error, because the kernel
//!   only shows that the signal is caught. If the signal is ignored or has its default, adding is an error.
//! - While signals come faster than they are handled, the loop's thread hardly leaves the handlers, and `take` lasts as
//!   long: signal-hook reads the pipe until it is empty. CPython's loop does the same.
//! - On systems where mio falls back to `poll(2)`, the pipe wakes only once: mio wants to see the read that empties
//!   it, and signal-hook reads behind its back. epoll and kqueue do not care.

mod dispositions;
mod handlers;
mod ring;

use crate::error::{Error, Result};
use dispositions::{check_caught, is_default_now, light_fuse, put_out_fuse, start_recording, stop_recording};
use mio::{Interest, Registry, Token};
use ring::{Arrivals, CAPACITY, bit};
use signal_hook::{SigId, consts};
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// One delivery of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) signal: i32,
    /// When the handler ran; never earlier than the arrival before it. Of one that found no room: when it was taken.
    pub(crate) at: Instant,
}

/// The signals that one loop watches.
pub(crate) struct Signals {
    /// In the order in which they were added.
    watched: Vec<Watch>,
    /// Made with the first watched signal, gone with the last.
    pipe: Option<SelfPipe>,
    /// The pipe before that, while bytes wait in it: it keeps their place among the descriptors that are ready.
    replaced: Option<SelfPipe>,
    arrivals: Arc<Arrivals>,
    /// Out of the ring already, because a signal was removed, but not yet taken.
    waiting: Vec<Arrival>,
    /// Whether the pipe was read since the last poll.
    was_read: bool,
    /// The time of the last arrival that came out of the ring.
    latest: Instant,
    /// The last [`Watch::serial`].
    serial: u64,
}

/// One signal, from `watch` to `unwatch`.
struct Watch {
    signal: i32,
    /// Names this watch in the ring, so that what is left there of an ended one is recognised. Counts from 1.
    serial: u64,
    recorder: SigId,
    /// Lit while the handler is the runner's and not the program's.
    fuse: Option<SigId>,
}

impl Watch {
    fn end(mut self) {
        self.put_out_fuse();
        stop_recording(self.signal, self.recorder);
    }

    fn put_out_fuse(&mut self) {
        if let Some(fuse) = self.fuse.take() {
            put_out_fuse(self.signal, fuse);
        }
    }
}

/// Wakes the loop's poll, and has a place among the descriptors that are ready.
struct SelfPipe {
    source: signal_hook_mio::v1_0::Signals,
    token: Token,
    /// It could not be replaced when a signal was removed, and still wakes for that one.
    outdated: bool,
}

impl Signals {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            watched: Vec::new(),
            pipe: None,
            replaced: None,
            arrivals: Arc::new(Arrivals::new(now)),
            waiting: Vec::new(),
            was_read: false,
            latest: now,
            serial: 0,
        }
    }

    /// From its return on, deliveries of `signum` are recorded and wake `registry`'s poll with `token`.
    ///
    /// If this loop watches it already, nothing happens but that [`kill_after`](Self::kill_after) is taken back: it was not
    /// for the handler that comes now. After an error everything is as it was before. A delivery
    /// during the call is either recorded or does what it would have done without the call.
    pub(crate) fn watch(&mut self, signum: i32, registry: &Registry, token: Token) -> Result<()> {
        check_number(signum)?;
        check_catchable(signum)?;
        if let Some(watch) = self.watched.iter_mut().find(|watch| watch.signal == signum) {
            check_caught(signum)?;
            watch.put_out_fuse();
            return Ok(());
        }
        let result = self.start(signum, registry, token);
        if self.watched.is_empty() {
            self.drop_pipes(registry);
        }
        result
    }

    fn start(&mut self, signum: i32, registry: &Registry, token: Token) -> Result<()> {
        // The descriptors come first: this is the step that can fail, and nothing has changed yet. An outdated pipe
        // cannot be used: its action for a signal that is added again would be older than the recorder, and wake too
        // early.
        if self.pipe.as_ref().is_none_or(|pipe| pipe.outdated) {
            self.open_pipe(registry, token)?;
        }
        self.serial += 1;
        let recorder = start_recording(signum, self.arrivals.clone(), self.serial)?;
        if let Some(pipe) = &self.pipe
            && let Err(error) = pipe.source.add_signal(signum)
        {
            stop_recording(signum, recorder);
            return Err(error.into());
        }
        self.watched.push(Watch { signal: signum, serial: self.serial, recorder, fuse: None });
        Ok(())
    }

    /// Ends it: what was in force before is so again, unless another loop watches the signal, and deliveries that were
    /// not taken yet are forgotten. `Ok(false)` if it was not watched; the only error is a number out of range.
    pub(crate) fn unwatch(&mut self, signum: i32, registry: &Registry) -> Result<bool> {
        check_number(signum)?;
        let Some(index) = self.watched.iter().position(|watch| watch.signal == signum) else {
            return Ok(false);
        };
        let watch = self.watched.remove(index);
        watch.end();
        self.arrivals.forget_overflow(bit(signum));
        // What is forgotten should not take the room of what comes.
        self.collect();
        self.waiting.retain(|arrival| arrival.signal != signum);
        self.renew_pipe(registry);
        Ok(true)
    }

    /// Makes the delivery after the next `deliveries` do what the default does, for a watched signal; for a program that
    /// does not come to its turns. Ends with the watch, or when the signal is watched anew.
    pub(crate) fn kill_after(&mut self, signum: i32, deliveries: u32) -> Result<()> {
        if let Some(watch) = self.watched.iter_mut().find(|watch| watch.signal == signum)
            && watch.fuse.is_none()
        {
            watch.fuse = light_fuse(signum, deliveries)?;
        }
        Ok(())
    }

    /// Whether [`kill_after`](Self::kill_after) is in force: the handler is not the program's own.
    pub(crate) fn has_fuse(&self, signum: i32) -> bool {
        self.watched.iter().any(|watch| watch.signal == signum && watch.fuse.is_some())
    }

    /// Whether the signal would do what the default does: no loop watches it, and nothing else of the process.
    pub(crate) fn is_default(signum: i32) -> bool {
        check_number(signum).is_ok() && is_default_now(signum)
    }

    /// Whether arrivals wait to be taken. The loop must ask before each poll that may block. A `true` can be empty.
    #[inline]
    pub(crate) fn pending(&self) -> bool {
        !self.watched.is_empty() && (!self.waiting.is_empty() || self.arrivals.any())
    }

    /// Whether the next poll must be made, even if no descriptor is registered: something arrived, or the pipe was read
    /// since the last poll. In the second case the kernel may still list the pipe as ready, at the place of a byte that is
    /// gone. Only a poll takes it off that list, so that the next byte gets a place of its own.
    #[inline]
    pub(crate) fn need_poll(&self) -> bool {
        !self.watched.is_empty() && (self.was_read || !self.waiting.is_empty() || self.arrivals.any())
    }

    /// Takes what arrived, in order of arrival (at most 1,024; `pending` tells of more), and empties the self-pipe.
    pub(crate) fn take(&mut self, registry: &Registry) -> Vec<Arrival> {
        self.was_read = true;
        self.collect();
        let mut coalesced = self.arrivals.take_overflowed();
        for arrival in &self.waiting {
            coalesced &= !bit(arrival.signal);
        }
        if coalesced != 0 {
            let now = Instant::now().max(self.latest);
            self.latest = now;
            let signals = self.watched.iter().map(|watch| watch.signal).filter(|n| coalesced & bit(*n) != 0);
            self.waiting.extend(signals.map(|signal| Arrival { signal, at: now }));
        }
        // What stays in the ring keeps its bytes, so that the next poll reports the pipe again. The pipe is emptied after the
        // ring; a delivery in between is not lost, because `pending` finds it in the ring before the next poll.
        if !self.arrivals.any() {
            if let Some(pipe) = &mut self.pipe {
                drop(pipe.source.pending());
            }
            deregister(registry, self.replaced.take());
        }
        std::mem::take(&mut self.waiting)
    }

    /// Notes that a poll is made, which takes a self-pipe that was read off the kernel's list.
    pub(crate) fn begin_poll(&mut self) {
        self.was_read = false;
    }

    /// Has the next poll report the self-pipe again while bytes are left in it, as a level-triggered poll does.
    pub(crate) fn rearm(&mut self, registry: &Registry) {
        for pipe in [&mut self.replaced, &mut self.pipe].into_iter().flatten() {
            if let Err(error) = registry.reregister(&mut pipe.source, pipe.token, Interest::READABLE) {
                log_error!("cannot watch the self-pipe of the signals: {error}");
            }
        }
    }

    /// Ends all of them, for the loop's `close`, which closes the poll as well.
    pub(crate) fn close(&mut self) {
        self.release();
        (self.pipe, self.replaced) = (None, None);
    }

    /// Moves arrivals from the ring to `waiting`, without those of ended watches.
    fn collect(&mut self) {
        while self.waiting.len() < CAPACITY {
            let Some((serial, at)) = self.arrivals.pop() else { break };
            if let Some(watch) = self.watched.iter().find(|watch| watch.serial == serial) {
                // A handler reads the time before it has its place in the ring, and another can come in between.
                self.latest = self.latest.max(at);
                self.waiting.push(Arrival { signal: watch.signal, at: self.latest });
            }
        }
    }

    /// Replaces the pipe by one for exactly the watched signals. (signal-hook-mio cannot take out a single signal.)
    fn renew_pipe(&mut self, registry: &Registry) {
        if self.watched.is_empty() {
            return self.drop_pipes(registry);
        }
        let Some(token) = self.pipe.as_ref().map(|pipe| pipe.token) else { return };
        if self.open_pipe(registry, token).is_err()
            && let Some(pipe) = &mut self.pipe
        {
            // Out of descriptors. The old one serves the rest; it only wakes the loop for nothing now and then.
            pipe.outdated = true;
        }
    }

    /// The new pipe is there before the old one goes, so that at any time one of them wakes.
    fn open_pipe(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let mut source = signal_hook_mio::v1_0::Signals::new(self.watched.iter().map(|watch| watch.signal))?;
        registry.register(&mut source, token, Interest::READABLE)?;
        let before = self.pipe.replace(SelfPipe { source, token, outdated: false });
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

/// Drops a pipe, after taking it out of the poll.
fn deregister(registry: &Registry, pipe: Option<SelfPipe>) {
    if let Some(mut pipe) = pipe {
        // An error is of no interest: the descriptor is closed next, and that takes it out of the poll as well.
        let _ = registry.deregister(&mut pipe.source);
    }
}

/// Python's `signal.valid_signals()`: the C library keeps 32 and 33 for itself.
pub(crate) fn check_number(signum: i32) -> Result<()> {
    if (1..=64).contains(&signum) && !matches!(signum, 32 | 33) { Ok(()) } else { Err(invalid(signum)) }
}

fn invalid(signum: i32) -> Error {
    Error::Value(format!("invalid signal number {signum}").into())
}

fn check_catchable(signum: i32) -> Result<()> {
    let why = match signum {
        consts::SIGKILL | consts::SIGSTOP => "",
        // signal-hook panics for the first three. SIGBUS it takes, but Rust's runtime has a handler for it, which puts
        // the default back at the first delivery: the second would kill the process.
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
            signals.watch(n, poll.registry(), Token(0)).unwrap();
        }
        for n in [SIGURG, SIGWINCH, SIGCONT, SIGURG] {
            low_level::raise(n).unwrap();
        }
        // The first removal takes all out of the ring; the second finds its own behind it.
        assert!(signals.unwatch(SIGCONT, poll.registry()).unwrap());
        assert!(signals.unwatch(SIGURG, poll.registry()).unwrap());
        signals.watch(SIGURG, poll.registry(), Token(0)).unwrap();
        low_level::raise(SIGURG).unwrap();
        assert!(signals.pending());
        let taken = signals.take(poll.registry());
        assert_eq!(taken.iter().map(|arrival| arrival.signal).collect::<Vec<_>>(), [SIGWINCH, SIGURG]);
        assert!(taken.is_sorted_by_key(|arrival| arrival.at));
        assert!(!signals.pending());
        // With 1,024 taken out by a removal, what comes then stays in the ring, also while it is removed itself.
        signals.watch(SIGCONT, poll.registry(), Token(0)).unwrap();
        for _ in 0..CAPACITY {
            low_level::raise(SIGWINCH).unwrap();
        }
        assert!(signals.unwatch(SIGCONT, poll.registry()).unwrap());
        low_level::raise(SIGURG).unwrap();
        assert!(signals.unwatch(SIGURG, poll.registry()).unwrap());
        signals.watch(SIGURG, poll.registry(), Token(0)).unwrap();
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
            let error = signals.watch(n, poll.registry(), Token(0)).unwrap_err();
            assert!(matches!(&error, Error::Value(value) if **value == *text), "{n}: {error:?}");
            assert_eq!(signals.unwatch(n, poll.registry()).unwrap_err().to_string(), text);
        }
        for n in [consts::SIGKILL, consts::SIGSTOP] {
            let error = signals.watch(n, poll.registry(), Token(0)).unwrap_err();
            assert!(matches!(&error, Error::Runtime(text) if **text == *format!("sig {n} cannot be caught")));
            assert!(!signals.unwatch(n, poll.registry()).unwrap());
        }
        for n in [consts::SIGILL, consts::SIGFPE, consts::SIGSEGV, consts::SIGBUS] {
            let error = signals.watch(n, poll.registry(), Token(0)).unwrap_err();
            let start = format!("sig {n} cannot be caught: it reports a fault");
            assert!(matches!(&error, Error::Runtime(text) if text.starts_with(&start)), "{n}: {error:?}");
        }
        assert!(signals.pipe.is_none(), "an error costs no descriptor");
    }
}
