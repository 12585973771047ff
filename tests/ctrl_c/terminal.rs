//! A program on a terminal of its own, and a test that presses Ctrl-C there.
//!
//! The program is this test again, in a role. It becomes the leader of a session whose terminal is a pseudo-terminal, so
//! the byte that stands for Ctrl-C, written to the other end, makes the system itself send SIGINT. What the program
//! reports goes through a pipe as in every test, so that a test can wait for it.

use nix::sys::signal::{Signal, kill};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use signal_hook::flag;
use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use support::{Ended, Process, command};

/// What the terminal sends for Ctrl-C by default.
const CTRL_C: &[u8] = b"\x03";
const CTRL_BACKSLASH: &[u8] = b"\x1c";

pub(crate) struct Terminal {
    master: File,
    process: Process,
    name: String,
    /// How many lines were waited for.
    said: usize,
}

/// The test calls it first of all. A shell starts a background job with SIGINT ignored, and the job's programs inherit that.
/// They do not inherit a handler, so they find the default.
pub(crate) fn catch_sigint() {
    let pressed = Arc::new(AtomicBool::new(true));
    flag::register_conditional_shutdown(Signal::SIGINT as i32, 130, pressed).expect("it can be caught");
}

/// Makes the terminal on standard input the one of this process: for the program, before it does anything else.
pub(crate) fn take_terminal() {
    setsid().expect("a fresh process leads no group");
    ioctl_tiocsctty(std::io::stdin()).expect("standard input is a terminal without a session");
}

impl Terminal {
    pub(crate) fn start(program: &str) -> Self {
        Self::starting(program, command("", program))
    }

    /// Started by a shell that ignores SIGINT, as `nohup` and scripts in the background do.
    pub(crate) fn start_ignoring(program: &str) -> Self {
        let test = command("", program);
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' INT; exec \"$0\" \"$@\""]).arg(test.get_program()).args(test.get_args());
        shell.envs(test.get_envs().filter_map(|(key, value)| Some((key, value?))));
        Self::starting(program, shell)
    }

    fn starting(program: &str, mut command: Command) -> Self {
        // Without NOCTTY it could become the terminal of the test itself.
        let options = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(options).expect("a terminal");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it is ours");
        let path = ptsname(&master, Vec::new()).expect("it has a name");
        let options = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = open(path, options, Mode::empty()).expect("the program's end of it");
        command.env_remove("LOOPLAB_CLOCK").env_remove("LOOPLAB_TRACE");
        let process = Process::start_reading(&mut command, Stdio::from(slave));
        Self { master: File::from(master), process, name: program.to_owned(), said: 0 }
    }

    /// Waits until the program reports this, and nothing else before.
    #[track_caller]
    pub(crate) fn says(&mut self, expected: &str) -> &mut Self {
        let said = self.process.next();
        assert_eq!(said.as_deref(), Some(expected), "what {} says next", self.name);
        self.said += 1;
        self
    }

    pub(crate) fn ctrl_c(&mut self) -> &mut Self {
        self.types(CTRL_C)
    }

    pub(crate) fn ctrl_backslash(&mut self) -> &mut Self {
        self.types(CTRL_BACKSLASH)
    }

    pub(crate) fn types(&mut self, bytes: &[u8]) -> &mut Self {
        self.master.write_all(bytes).expect("the terminal is open");
        self
    }

    pub(crate) fn send(&mut self, signal: Signal) -> &mut Self {
        kill(self.process.pid(), signal).expect("it runs");
        self
    }

    /// It says no more than this, and ends by itself.
    #[track_caller]
    pub(crate) fn ends(self, expected: &[&str]) {
        let before = self.said;
        assert_eq!(self.end().fine()[before..], *expected);
    }

    /// The same. Returns what it has written to standard error.
    #[track_caller]
    pub(crate) fn ends_writing(self, expected: &[&str]) -> String {
        let before = self.said;
        let ended = self.end();
        let written = ended.stderr.clone();
        assert_eq!(ended.fine()[before..], *expected);
        written
    }

    /// It says no more, and Ctrl-C kills it: by the signal, not with a status.
    #[track_caller]
    pub(crate) fn dies(self) {
        self.dies_of(Signal::SIGINT);
    }

    #[track_caller]
    pub(crate) fn dies_of(self, signal: Signal) {
        let before = self.said;
        let lines = self.end().killed_by(signal as i32);
        assert_eq!(lines[before..], [""; 0]);
    }

    /// The terminal stays open until then: without it the program would be hung up.
    fn end(self) -> Ended {
        let Self { master, process, .. } = self;
        let ended = process.end();
        drop(master);
        ended
    }
}
