//! A signal that asks an idle loop what it waits for.
//!
//! The signal's handler prints the loop's snapshot and its tree of waits to standard error. It is not a handler of the
//! program: the program may replace it by its own, and `remove_signal_handler` does not see it. It does not keep a loop in
//! virtual time waiting.
//!
//! It does not interrupt: a loop that is busy answers once its callback has returned. What runs is the watchdog's to name.

use super::dispositions::is_default_now;
use super::signal::Signal;
use crate::error::Result;
use crate::event_loop::{EventLoop, running};
use crate::observe::waits::WaitTree;
use std::io::Write as _;
use std::panic::Location;

impl EventLoop {
    /// Prints the state of this loop to standard error whenever the signal comes.
    #[track_caller]
    pub(crate) fn dump_on(&self, signal: Signal) -> Result<()> {
        let number = signal.number();
        self.add_handler(number, Location::caller(), "dump", move || dump(signal))?;
        self.0.signals.borrow_mut().set_own(number);
        Ok(())
    }

    /// Does so on SIGQUIT if nothing else handles or ignores it: in debug mode.
    #[track_caller]
    pub(crate) fn dump_on_quit(&self) -> Result<()> {
        if is_default_now(Signal::SIGQUIT.number()) { self.dump_on(Signal::SIGQUIT) } else { Ok(()) }
    }
}

fn dump(signal: Signal) {
    let Some(lp) = running() else { return };
    let snapshot = lp.snapshot();
    let text = format!("looplab: {signal}, the loop's state\n{snapshot}\n{}\n", WaitTree(&snapshot));
    // One write, so that lines of other threads do not come between. A closed standard error is no error of the loop.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
