//! Signal handlers: the callbacks that a loop runs for the signals that it catches.
//!
//! It guarantees that a signal only queues a callback, that adding again replaces the handler, and
//! that a handler may remove itself. It does not catch signals: `Signals` does.
//!
//! Two handlers are looplab's own: the runner's for Ctrl-C, and one that prints what the loop waits
//! for. The program may replace them, and `remove_signal_handler` does not see them. A loop in
//! virtual time does not wait for them.

use super::dispositions::is_default_now;
use super::signal::{Signal, check_number};
use crate::error::Result;
use crate::event_loop::{EventLoop, PushInfo, running};
use crate::observe::waits::WaitTree;
use crate::outcome::Outcome;
use crate::panics::{Guarded, drop_quietly};
use crate::trace::{EntryKind, Place, Via};
use std::any::type_name_of_val;
use std::io::Write as _;
use std::panic::Location;

impl EventLoop {
    /// Calls `callback` once for each delivery of the signal, in order of arrival
    /// (`loop.add_signal_handler`). It replaces an earlier handler. The callback runs between
    /// others, as any callback does. A signal that arrives in turn T is read in turn T+1, and its
    /// callback runs in T+2. It may be called while the loop runs, on any thread's loop.
    ///
    /// A signal that arrives while the loop is stopped is delivered in its next run. Up to 1,024
    /// deliveries wait. Beyond that, each signal that came still gets at least one.
    ///
    /// The first handler installs looplab's own in the process, once. From then on other code must
    /// not set the signal to its default or to "ignore". It must not install a handler that does
    /// not call the one before: no `sigaction`, no `nix::sys::signal::signal`. Code that uses the
    /// `signal-hook` crate may, as tokio does.
    ///
    /// A signal that the thread blocks does not arrive. looplab never changes the mask.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for a number that is no signal;
    /// [`Error::Runtime`](crate::Error::Runtime) for one that cannot be caught, or that other code
    /// has set to its default or to "ignore" since the first handler was added;
    /// [`Error::Closed`](crate::Error::Closed) after `close`.
    ///
    /// ```
    /// # use looplab::{EventLoop, Signal};
    /// let lp = EventLoop::new()?;
    /// lp.add_signal_handler(Signal::SIGUSR1, || println!("SIGUSR1"))?;
    /// assert!(lp.remove_signal_handler(Signal::SIGUSR1)?);
    /// assert_eq!(lp.add_signal_handler(9, || ()).unwrap_err().to_string(), "sig 9 cannot be caught");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "loop.add_signal_handler")]
    #[track_caller]
    pub fn add_signal_handler<R: Outcome>(
        &self,
        signal: impl Into<Signal>,
        callback: impl FnMut() -> R + 'static,
    ) -> Result<()> {
        self.add_handler(signal.into().number(), Location::caller(), type_name_of_val(&callback), callback)
    }

    /// Adds a signal handler under a name.
    fn add_handler<R: Outcome>(
        &self,
        signal: i32,
        place: Place,
        name: &'static str,
        callback: impl FnMut() -> R + 'static,
    ) -> Result<()> {
        let (lp, callback) = (&*self.0, Guarded::new(callback));
        lp.check_open()?;
        lp.signals.borrow_mut().watch(signal, lp.reactor.borrow().registry()?)?;
        lp.signal_reader
            .get_or_init(|| self.named_repeated(EntryKind::Io, place, "read_signals", read_signals));
        let callback = self.named_repeated(EntryKind::Callback, place, name, callback.into_inner());
        let before = lp.signal_handlers.borrow_mut().insert(signal, callback.clone());
        lp.signal_registered(signal, &*callback);
        drop_quietly(before);
        Ok(())
    }

    /// Removes a signal handler, and returns whether there was one (`loop.remove_signal_handler`).
    /// The disposition from before the first handler is back: the default, an inherited "ignore",
    /// or another handler of the process. Deliveries that are not read yet are forgotten. A call
    /// that is queued already still runs, as in asyncio.
    ///
    /// It may be called while the loop runs, also by the handler itself. It returns false on a
    /// closed loop, and for a handler of looplab's own: the [`Runner`](crate::Runner)'s for Ctrl-C,
    /// and the one that [`Builder::dump_on`](crate::Builder::dump_on) adds.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for a number that is no signal.
    #[doc(alias = "loop.remove_signal_handler")]
    pub fn remove_signal_handler(&self, signal: impl Into<Signal>) -> Result<bool> {
        let signal = signal.into().number();
        if self.0.signals.borrow().is_own(signal) {
            return Ok(false);
        }
        self.unregister_signal(signal)
    }

    fn unregister_signal(&self, signal: i32) -> Result<bool> {
        let lp = &*self.0;
        let handler = lp.signal_handlers.borrow_mut().remove(&signal);
        let unwatched = match lp.reactor.borrow().registry() {
            Ok(registry) => lp.signals.borrow_mut().unwatch(signal, registry),
            // A closed loop watches nothing.
            Err(_) => check_number(signal).map(|()| false),
        };
        let Some(handler) = handler else { return unwatched };
        lp.signal_unregistered(signal);
        drop_quietly(handler);
        unwatched
    }
}

/// The handlers of looplab's own.
impl EventLoop {
    /// Prints the state of this loop to standard error whenever the signal comes. A busy loop answers
    /// after its callback has returned: the watchdog names the callback that runs.
    #[track_caller]
    pub(crate) fn dump_on(&self, signal: Signal) -> Result<()> {
        let number = signal.number();
        self.add_handler(number, Location::caller(), "dump", move || dump(signal))?;
        self.0.signals.borrow_mut().set_own(number);
        Ok(())
    }

    /// Prints it on SIGQUIT, for debug mode, if nothing else handles or ignores that signal.
    #[track_caller]
    pub(crate) fn dump_on_quit(&self) -> Result<()> {
        if is_default_now(Signal::SIGQUIT.number()) { self.dump_on(Signal::SIGQUIT) } else { Ok(()) }
    }

    /// Adds the runner's handler for Ctrl-C if the signal has its default disposition; returns the
    /// handler's number. The delivery after the next `deliveries` kills the process, even if the
    /// loop does not reach its turns.
    #[track_caller]
    pub(crate) fn add_default_handler<R: Outcome>(
        &self,
        signal: i32,
        deliveries: u32,
        callback: impl FnMut() -> R + 'static,
    ) -> Result<Option<u64>> {
        let is_default = match self.0.explored.is_on() {
            true => !self.0.signal_handlers.borrow().contains_key(&signal),
            false => is_default_now(signal),
        };
        if !is_default {
            return Ok(None);
        }
        // The name that asyncio's Runner has for it.
        self.add_handler(signal, Location::caller(), "on_sigint", callback)?;
        let lit = self.0.signals.borrow_mut().kill_after(signal, deliveries);
        if let Err(error) = lit {
            self.unregister_signal(signal)?;
            return Err(error);
        }
        Ok(self.0.signal_handlers.borrow().get(&signal).map(|handler| handler.handle()))
    }

    /// Removes that handler, unless the program has replaced it by its own.
    pub(crate) fn remove_default_handler(&self, signal: i32, handler: u64) -> Result<()> {
        let ours = self.0.signal_handlers.borrow().get(&signal).is_some_and(|now| now.handle() == handler);
        if ours { self.unregister_signal(signal).map(drop) } else { Ok(()) }
    }
}

#[cfg(feature = "explore")]
impl crate::event_loop::Inner {
    /// Delivers a signal to this loop alone. Returns false if it has no handler.
    pub(crate) fn deliver_signal(&self, signal: i32) -> bool {
        let handled = self.signal_handlers.borrow().contains_key(&signal);
        if handled {
            self.signals.borrow_mut().deliver(signal);
        }
        handled
    }
}

/// Reads the self-pipe: queues the handler of each signal that came, to run in the next turn.
fn read_signals() {
    let Some(lp) = running() else { return };
    let lp = &*lp.0;
    let taken = lp.reactor.borrow().registry().map(|registry| lp.signals.borrow_mut().take(registry));
    let arrivals = taken.unwrap_or_default();
    for (signal, at) in arrivals {
        let Some(handler) = lp.signal_handlers.borrow().get(&signal).cloned() else { continue };
        let at = if lp.clock.is_virtual() { lp.clock.now() } else { at };
        lp.signal_read(signal, at);
        let info = PushInfo { via: Via::Signal, signal: Some(signal), ..PushInfo::CALL_SOON };
        lp.enqueue_from(handler, || info);
    }
}

fn dump(signal: Signal) {
    let Some(lp) = running() else { return };
    let snapshot = lp.snapshot();
    let text = format!("looplab: {signal}, the loop's state\n{snapshot}\n{}\n", WaitTree(&snapshot));
    // One write, so that no line of another thread comes between. A closed standard error is not
    // the loop's problem.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
