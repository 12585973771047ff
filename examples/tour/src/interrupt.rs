//! Ctrl-C and SIGTERM: the running children are ended first, then the tour.
//!
//! A lesson runs in a process group of its own, because lessons send signals to themselves and a Ctrl-C from
//! the keyboard must not be mistaken for one of those. The price is that the terminal's Ctrl-C no longer
//! reaches it, so the tour passes the end on.
//!
//! Promised: no child is left behind, temporary files are removed, and the tour's own end is the one that the
//! signal asks for (a shell sees "killed by SIGINT"). A second signal ends the tour at once. Not promised:
//! SIGHUP and SIGQUIT are left alone, so `nohup` and core dumps work as ever.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::screen::notice;

/// A child that is running, and how to end it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// A lesson or a twin, with all that it started: killed.
    Group(Pid),
    /// cargo, which tidies up after itself: asked to end.
    Process(Pid),
}

impl Target {
    pub(crate) fn end(self) {
        // An error means that it has ended by itself: nothing is left to do.
        let _ = match self {
            Target::Group(pid) => kill_process_group(pid, Signal::KILL),
            Target::Process(pid) => kill_process(pid, Signal::TERM),
        };
    }
}

/// The children that run and are not yet reaped, so that no number here belongs to another process.
/// Code that starts or reaps a child holds the lock while doing so.
pub(crate) static CURRENT: Mutex<Vec<Target>> = Mutex::new(Vec::new());

/// The signal that came, 0 for none.
static CAUGHT: AtomicI32 = AtomicI32::new(0);

/// Starts to listen. A tour that cannot listen still works; it only leaves a running lesson behind on Ctrl-C.
pub(crate) fn watch() {
    match Signals::new([SIGINT, SIGTERM]) {
        Ok(signals) => drop(thread::spawn(move || listen(signals))),
        Err(error) => notice(&format!("tour: Ctrl-C is not watched for: {error}")),
    }
}

fn listen(mut signals: Signals) {
    for signal in signals.forever() {
        if CAUGHT.swap(signal, Ordering::SeqCst) != 0 {
            die(signal);
        }
        for target in &*CURRENT.lock().expect("no panic while a child is started or reaped") {
            target.end();
        }
    }
}

/// The signal that has come, if any. Asked after every child.
pub(crate) fn caught() -> Option<i32> {
    match CAUGHT.load(Ordering::SeqCst) {
        0 => None,
        signal => Some(signal),
    }
}

/// Ends the tour as `signal` would have ended it.
pub(crate) fn die(signal: i32) -> ! {
    let _ = emulate_default_handler(signal);
    std::process::exit(128 + signal)
}
