//! Tests in processes of their own: signals, exits, the logger and descriptor numbers belong to the whole process.
//!
//! Such a test starts its program again for itself alone, with a role in the environment. [`child!`] is the simple form;
//! [`again!`] returns the command. A child's [`report`] is one of [`Ended::lines`].

use super::{PATIENCE, Watchdog, after, complain, watchdog};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::env;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio, exit};
use std::thread::{self, JoinHandle};

const ROLE: &str = "LOOPLAB_TEST_ROLE";

/// Runs the body in a process of its own and waits for its end: `let ended = child!(|| …);`. The test's code after it
/// runs in the first process only.
#[macro_export]
macro_rules! child {
    ($body:expr) => {{
        fn here() {}
        $crate::in_child(&$crate::name_of(&here), $body)
    }};
}

/// Returns the command that runs this test again in a role; see [`role`].
#[macro_export]
macro_rules! again {
    ($role:expr) => {{
        fn here() {}
        $crate::command(&$crate::name_of(&here), $role)
    }};
}

/// Returns the name of the test in which the function `here` is defined, as the test program knows it.
pub fn name_of<F>(_here: &F) -> String {
    let path = std::any::type_name::<F>();
    let inside = path.split_once("::").map_or(path, |(_, inside)| inside);
    inside.strip_suffix("::here").unwrap_or(inside).to_owned()
}

/// Returns the role in which this process runs its one test; `None` in the test program itself.
pub fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// Adds a line to this process's [`Ended::lines`].
pub fn report(line: impl Display) {
    // On a line of its own: the test program has begun one with the test's name.
    println!("\n@ {line}");
}

pub fn command(test: &str, role: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("a test knows its own file"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    command
}

pub fn in_child<R: Verdict>(test: &str, body: impl FnOnce() -> R) -> Ended {
    if role().as_deref() == Some("child") {
        let _dog = watchdog();
        body().check();
        exit(0);
    }
    Process::start(&mut command(test, "child")).end()
}

/// What a body in a process of its own may return.
pub trait Verdict {
    fn check(self);
}

impl Verdict for () {
    fn check(self) {}
}

impl Verdict for looplab::Result<()> {
    fn check(self) {
        self.expect("the body in the child process returns no error");
    }
}

/// How a process ended, and what it had reported.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub lines: Vec<String>,
    pub stderr: String,
}

impl Ended {
    /// Asserts that it ended without an error; returns what it reported.
    #[track_caller]
    pub fn fine(self) -> Vec<String> {
        assert!(self.status.success(), "{}; it reported {:?}\n{}", self.status, self.lines, self.stderr);
        self.lines
    }

    /// Asserts that this signal killed it; returns what it had reported.
    #[track_caller]
    pub fn killed_by(self, signal: i32) -> Vec<String> {
        let message = format!("{}; it reported {:?}\n{}", self.status, self.lines, self.stderr);
        assert_eq!(self.status.signal(), Some(signal), "{message}");
        self.lines
    }
}

/// A running process.
pub struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<String>>,
    lines: Vec<String>,
    _dog: Watchdog,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let mut with_defaults = with_default_signals(command);
        Self::reading(with_defaults.as_mut().unwrap_or(command), Stdio::null())
    }

    /// Starts it with a standard input.
    pub fn start_reading(command: &mut Command, stdin: Stdio) -> Self {
        let mut with_defaults = with_default_signals(command);
        Self::reading(with_defaults.as_mut().unwrap_or(command), stdin)
    }

    fn reading(command: &mut Command, stdin: Stdio) -> Self {
        command.stdin(stdin);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a test can run itself");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut stderr = child.stderr.take().expect("a pipe");
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        // Each process has a watchdog; this one is for a process that a signal has stopped.
        let pid = pid_of(&child);
        let _dog = after(PATIENCE + PATIENCE / 4, move || {
            complain(&format!("process {pid} hangs"));
            let _ = kill(pid, Signal::SIGKILL);
        });
        Self { child, stdout, stderr: Some(stderr), lines: Vec::new(), _dog }
    }

    pub fn pid(&self) -> Pid {
        pid_of(&self.child)
    }

    /// Returns its next report; `None` at the end of its output.
    pub fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).expect("its output is text") > 0 {
            if let Some(report) = line.strip_prefix("@ ") {
                let report = report.trim_end().to_owned();
                self.lines.push(report.clone());
                return Some(report);
            }
            line.clear();
        }
        None
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        while self.next().is_some() {}
        let status = self.child.wait().expect("it is our child");
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Ended { status, lines: std::mem::take(&mut self.lines), stderr }
    }
}

/// Returns the same command with all signals at their defaults, if this process was started with some ignored. `nohup` and
/// a shell's `&` do that; a child inherits it, and would survive those signals.
pub fn with_default_signals(command: &Command) -> Option<Command> {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask").trim();
    // Rust itself ignores SIGPIPE, and gives children the default; 32 and 33 are the C library's own.
    let of_no_matter = 1 << 12 | 1 << 31 | 1 << 32;
    if u64::from_str_radix(ignored, 16).expect("a mask") & !of_no_matter == 0 {
        return None;
    }
    let mut env = Command::new("env");
    env.arg("--default-signal").arg(command.get_program()).args(command.get_args());
    env.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    Some(env)
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("Linux's process ids are small"))
}
