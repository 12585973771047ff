//! A signal at which a loop prints what it waits for.
//!
//! The signal's handler prints the loop's snapshot and its tree of waits to standard error. It is
//! not a handler of the program: the program may replace it, and `remove_signal_handler` does not
//! see it. A loop in virtual time does not wait for it.
//!
//! It does not interrupt: a busy loop answers after its callback has returned. The watchdog names
//! the callback that runs.

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

    /// Prints it on SIGQUIT, for debug mode, if nothing else handles or ignores that signal.
    #[track_caller]
    pub(crate) fn dump_on_quit(&self) -> Result<()> {
        if is_default_now(Signal::SIGQUIT.number()) { self.dump_on(Signal::SIGQUIT) } else { Ok(()) }
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
