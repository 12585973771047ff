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

#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::new_without_default,
    clippy::should_implement_trait
)]

pub mod common;
mod processes;
mod recorder;

pub use processes::{Ended, Process, command, in_child, name_of, report, role, with_default_signals};
pub use recorder::{Lab, say, says, words};

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// After this long a test counts as hung. No test waits for it, and none comes near it: it is not about speed.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// While it lives, the process must not hang: it is aborted when [`PATIENCE`] is over.
pub struct Watchdog(#[allow(dead_code, reason = "its drop is what counts")] Sender<()>);

pub fn watchdog() -> Watchdog {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    after(PATIENCE, move || {
        complain(&format!("{test} hangs"));
        process::abort();
    })
}

/// Past the test program, which keeps what is printed until the test ends: this one will not.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "watchdog: {text}");
}

/// Does `action` unless the returned guard is dropped before.
pub fn after(patience: Duration, action: impl FnOnce() + Send + 'static) -> Watchdog {
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
pub fn logged() -> Vec<String> {
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
pub struct Drops(Arc<AtomicUsize>);

/// Counts in its [`Drops`] when it is dropped.
pub struct Counted(Drops);

impl Drops {
    pub fn guard(&self) -> Counted {
        Counted(self.clone())
    }

    pub fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, SeqCst);
    }
}

/// Does something when it is dropped.
pub struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The folder of looplab's package.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is looplab/tests")
}

/// The folder of the lessons' programs and of the tour, which cargo has built as it has built this test. `cargo test`
/// builds them as well; `cargo test --test book` does not, and asking cargo is right for both.
pub fn examples() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let test = env::current_exe().expect("a test knows its own file");
        let profile = test.ancestors().nth(2).expect("TARGET/PROFILE/deps/TEST");
        if let Some(cargo) = env::var_os("CARGO") {
            let name = profile.file_name().expect("a profile has a name");
            let name = if name == "debug" { "dev".as_ref() } else { name };
            let mut build = Command::new(cargo);
            build.current_dir(root()).args(["build", "--quiet", "--examples", "--profile"]).arg(name);
            build.arg("--target-dir").arg(profile.parent().expect("TARGET/PROFILE"));
            assert!(build.status().expect("cargo starts").success(), "the examples do not compile");
        }
        profile.join("examples")
    })
}
