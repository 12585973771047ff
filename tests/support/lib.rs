//! What looplab's tests share: loops in a laboratory, a watchdog, a logger, and processes of their own.
//!
//! [`Lab::new`] records each event of its loop as a short line, and [`say`] writes words between them, in quotes.
//! [`Lab::is`] compares all lines, so a test shows what happened in each turn and not only what it looked for:
//!
//! ```text
//!   turn 1 | select 0 ready | batch 2 | run h1 | 'a' | run h2 | 'b'
//! ```
//! [`Lab::reporting`] has words and reports alone, each with its turn; [`Lab::traced`] has tasks' transitions as well.

#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::new_without_default,
    clippy::should_implement_trait
)]

mod bodies;
mod events;
mod lab;
mod logger;
mod pictures;
mod processes;
mod served;
mod transitions;

pub use bodies::{Guard, HOUR, Holds, failure, forever, ms, pass_on, show, swallow};
pub use lab::{Lab, Log, say, says, words};
pub use logger::{capture_log, logged};
pub use pictures::{PICTURES, Picture, illustrated_pages, pictures, with_pictures};
pub use processes::{Ended, Process, command, in_child, name_of, report, role, with_default_signals};
pub use served::Served;
pub use transitions::Trace;

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// After this long a test counts as hung. No test waits for it. The longest take 10 seconds, and a busy machine may be
/// twenty times slower.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// After this long a test counts as hung that runs many programs, or has some compiled: a compiler waits for other ones.
pub const LONG: Duration = Duration::from_secs(900);

/// While it lives, the process must not hang: it is aborted when its time is over.
pub struct Watchdog(#[allow(dead_code, reason = "its drop is what counts")] Sender<()>);

/// Aborts the process after [`PATIENCE`].
pub fn watchdog() -> Watchdog {
    watchdog_of(PATIENCE)
}

/// Aborts the process after this time, [`PATIENCE`] or [`LONG`].
pub fn watchdog_of(patience: Duration) -> Watchdog {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    after(patience, move || {
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
