//! Signals by name, and a signal to oneself: what Python's module `signal` has, so that a program
//! needs no other crate.

use crate::error::{Error, Result};
use signal_hook::{consts, low_level};
use std::fmt;

/// A signal (`signal.Signals`): a number with a name.
///
/// Every call that takes a signal takes a number as well. A number is checked where it is used.
///
/// ```
/// use looplab::{EventLoop, Signal};
/// let lp = EventLoop::new()?;
/// lp.add_signal_handler(Signal::SIGTERM, looplab::stop)?;
/// assert_eq!(Signal::SIGTERM.to_string(), "SIGTERM");
/// assert_eq!(Signal::from(15), Signal::SIGTERM);
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "signal.Signals")]
pub struct Signal(i32);

/// Declares the signals that have a name on every system.
macro_rules! names {
    ($($name:ident: $meaning:literal,)+) => {
        impl Signal {
            $(#[doc = $meaning] pub const $name: Self = Self(consts::$name);)+
        }
    };
}

names! {
    SIGHUP: "The terminal is gone; many servers read their configuration again.",
    SIGINT: "Ctrl-C.",
    SIGQUIT: "Ctrl-\\.",
    SIGILL: "An illegal instruction. It cannot be handled.",
    SIGTRAP: "A breakpoint.",
    SIGABRT: "The program aborts.",
    SIGBUS: "A bad access to memory. It cannot be handled.",
    SIGFPE: "A bad arithmetic operation. It cannot be handled.",
    SIGKILL: "The end, without a handler.",
    SIGUSR1: "A meaning of the program's own.",
    SIGSEGV: "A bad address. It cannot be handled.",
    SIGUSR2: "A meaning of the program's own.",
    SIGPIPE: "A write to a pipe that is not read.",
    SIGALRM: "A timer of `alarm`.",
    SIGTERM: "A request to end.",
    SIGCHLD: "A child process has stopped or ended.",
    SIGCONT: "The process goes on after a stop.",
    SIGSTOP: "A stop, without a handler.",
    SIGTSTP: "Ctrl-Z.",
    SIGTTIN: "A background process reads from the terminal.",
    SIGTTOU: "A background process writes to the terminal.",
    SIGURG: "Urgent data on a socket.",
    SIGXCPU: "The limit of processor time.",
    SIGXFSZ: "The limit of a file's size.",
    SIGVTALRM: "A timer of the process's time.",
    SIGPROF: "A timer of a profiler.",
    SIGWINCH: "The size of the terminal has changed.",
    SIGIO: "A descriptor is ready.",
    SIGSYS: "A bad system call.",
}

impl Signal {
    /// Returns the number.
    ///
    /// ```
    /// assert_eq!(looplab::Signal::SIGINT.number(), 2);
    /// ```
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }

    /// Returns the name; `None` for a real-time signal, and for a number that is no signal.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        low_level::signal_name(self.0)
    }
}

impl From<i32> for Signal {
    fn from(number: i32) -> Self {
        Self(number)
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> Self {
        signal.0
    }
}

/// Writes the name, or the number of a signal without a name.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Sends a signal to this thread (`signal.raise_signal`), for lessons and tests. A handler of a
/// loop is called in one of its next turns.
///
/// # Errors
/// [`Error::Value`](crate::Error::Value) for a number that is no signal.
///
/// ```
/// use looplab::{EventLoop, Signal, signal};
/// let lp = EventLoop::new()?;
/// lp.add_signal_handler(Signal::SIGUSR1, looplab::stop)?;
/// signal::raise(Signal::SIGUSR1)?;
/// lp.run_forever()?;                                      // the handler stops it
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "signal.raise_signal")]
#[doc(alias = "raise_signal")]
pub fn raise(signal: impl Into<Signal>) -> Result<()> {
    let Signal(number) = signal.into();
    check_number(number)?;
    Ok(low_level::raise(number)?)
}

/// Checks a number as Python's `signal.valid_signals()`. The C library keeps 32 and 33 for itself.
pub(crate) fn check_number(signum: i32) -> Result<()> {
    if (1..=64).contains(&signum) && !matches!(signum, 32 | 33) { Ok(()) } else { Err(invalid(signum)) }
}

/// Returns the error of a number that is no signal.
pub(super) fn invalid(signum: i32) -> Error {
    Error::Value(format!("invalid signal number {signum}").into())
}
