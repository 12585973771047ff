//! What the loop's tests share: a recorded loop, a watchdog, and processes of their own.
//!
//! A test thread has one log. The recorder writes every event of a [`Lab`]'s loop into it as a short line, and
//! callbacks write their words between the events with [`say`], in quotes. [`Lab::is`] compares the whole log, so a test
//! shows what happened in every turn and not only what it looked for:
//!
//! ```text
//!   turn 1 | select 0 ready | batch 2 | run h1 | 'a' | run h2 | 'b'
//! ```
//! Handles are h1, h2 … in the order in which they were made, tasks and futures t1, f2 …, descriptors a, b … in the
//! order in which they were registered; `+h1` is a push into the ready queue. Polls that found nothing and callbacks that
//! returned without an error leave no line.

#![allow(dead_code, unused_macros, unused_imports, reason = "every test file uses its own part of this")]

mod processes;
mod recorder;

pub(crate) use processes::{
    Ended, Process, again, child, command, in_child, name_of, report, role, with_default_signals,
};
pub(crate) use recorder::{Lab, say, says, words};

use std::io::Write;
use std::process;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// After this long a test counts as hung. No test waits for it, and none comes near it: it is not about speed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// While it lives, the process must not hang: it is aborted when [`PATIENCE`] is over.
pub(crate) struct Watchdog(#[allow(dead_code, reason = "its drop is what counts")] Sender<()>);

pub(crate) fn watchdog() -> Watchdog {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    after(PATIENCE, move || {
        complain(&format!("{test} hangs"));
        process::abort();
    })
}

/// Past the test program, which keeps what is printed until the test ends: this one will not.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "watchdog: {text}");
}

/// Does `action` unless the returned guard is dropped before.
pub(crate) fn after(patience: Duration, action: impl FnOnce() + Send + 'static) -> Watchdog {
    let (alive, bell) = channel();
    thread::spawn(move || {
        if bell.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            action();
        }
    });
    Watchdog(alive)
}

/// Installs a logger that keeps what is logged, and returns what it has kept so far. A process has one logger, so this
/// is for child processes.
pub(crate) fn logged() -> Vec<String> {
    static KEPT: OnceLock<Mutex<Vec<String>>> = OnceLock::new();
    struct Keeper;
    impl log::Log for Keeper {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            // mio logs, too, and is of no interest.
            if let (Some(kept), "looplab") = (KEPT.get(), record.target()) {
                let line = format!("{} {}", record.level(), record.args());
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        }
        fn flush(&self) {}
    }
    let kept = KEPT.get_or_init(|| {
        log::set_logger(&Keeper).expect("this process has no logger yet");
        log::set_max_level(log::LevelFilter::Trace);
        Mutex::default()
    });
    kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Counts how often something was dropped.
#[derive(Clone, Default)]
pub(crate) struct Drops(Arc<AtomicUsize>);

/// Counts in its [`Drops`] when it is dropped.
pub(crate) struct Counted(Drops);

impl Drops {
    pub(crate) fn guard(&self) -> Counted {
        Counted(self.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, SeqCst);
    }
}

/// Does something when it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
