//! What an error says: asyncio's text as `Display`, and the kind with it as `Debug`.
//!
//! `Debug` is what `unwrap`, `main` and reports show. It reads as the last lines of a Python
//! traceback, with a group's errors as a tree. It cannot say where an error came from: the report
//! and the trace do.

use super::{Error, ErrorGroup, IoError};
use std::fmt;
use std::io::ErrorKind;

/// The levels of groups that are shown (`traceback`'s `max_group_depth`).
const DEPTH: usize = 10;
/// The errors of a group that are shown (`max_group_width`).
const WIDTH: usize = 15;

impl Error {
    /// Returns the name of its class in Python; `None` for an error of the program's own.
    fn class(&self) -> Option<&'static str> {
        Some(match self {
            Self::Cancelled(_) => "CancelledError",
            Self::TimedOut => "TimeoutError",
            Self::InvalidState(_) => "InvalidStateError",
            Self::AlreadyRunning
            | Self::AnotherLoopRunning
            | Self::Closed
            | Self::CloseWhileRunning
            | Self::StoppedBeforeComplete
            | Self::NoRunningLoop
            | Self::Runtime(_) => "RuntimeError",
            Self::Deadlock(_) => "Deadlock",
            Self::KeyboardInterrupt => "KeyboardInterrupt",
            Self::Exit(_) => "SystemExit",
            Self::Io(error) => error.class(),
            Self::Panic(_) => "Panic",
            Self::Group(group) if group.is_ordinary() => "ExceptionGroup",
            Self::Group(_) => "BaseExceptionGroup",
            Self::QueueFull => "QueueFull",
            Self::QueueEmpty => "QueueEmpty",
            Self::QueueShutDown => "QueueShutDown",
            Self::BrokenBarrier(_) => "BrokenBarrierError",
            Self::IncompleteRead { .. } => "IncompleteReadError",
            Self::LimitOverrun { .. } => "LimitOverrunError",
            Self::CoroutineExit => "GeneratorExit",
            Self::Value(_) => "ValueError",
            Self::Other(_) => return None,
        })
    }

    /// Returns whether asyncio raises it without a text. `Display` has words for these
    /// nevertheless.
    fn is_without_text(&self) -> bool {
        matches!(
            self,
            Self::TimedOut
                | Self::KeyboardInterrupt
                | Self::QueueFull
                | Self::QueueEmpty
                | Self::QueueShutDown
                | Self::CoroutineExit
        )
    }

    /// Returns the last line of Python's traceback. It may have several lines, as a text may.
    fn last_line(&self) -> String {
        let Some(class) = self.class() else { return self.to_string() };
        let text = if self.is_without_text() { String::new() } else { self.to_string() };
        if text.is_empty() { class.to_owned() } else { format!("{class}: {text}") }
    }

    /// Writes the error and, if it is a group, its errors below it.
    fn write_tree(&self, f: &mut fmt::Formatter<'_>, level: usize) -> fmt::Result {
        let Self::Group(group) = self else { return write_lines(f, level, &self.last_line()) };
        if level >= DEPTH {
            return write_lines(f, level, &format!("... (max_group_depth is {DEPTH})"));
        }
        write_lines(f, level, &self.last_line())?;
        for error in group.iter().take(WIDTH) {
            error.write_tree(f, level + 1)?;
        }
        match group.len().saturating_sub(WIDTH) {
            0 => Ok(()),
            1 => write_lines(f, level + 1, "and 1 more exception"),
            more => write_lines(f, level + 1, &format!("and {more} more exceptions")),
        }
    }
}

/// Writes a text at a level of the tree. The line of the root begins where the formatter stands.
fn write_lines(f: &mut fmt::Formatter<'_>, level: usize, text: &str) -> fmt::Result {
    let indent = 3 * level;
    for (number, line) in text.split('\n').enumerate() {
        if level > 0 || number > 0 {
            f.write_str("\n")?;
        }
        write!(f, "{:indent$}{line}", "")?;
    }
    Ok(())
}

impl ErrorGroup {
    /// Returns whether it holds only what `except Exception` catches, at any depth.
    fn is_ordinary(&self) -> bool {
        // Alternative: recursion. Problem: groups may be nested to any depth.
        let mut groups = vec![self];
        while let Some(group) = groups.pop() {
            for error in group.iter() {
                match error {
                    Error::Group(inner) => groups.push(inner),
                    Error::Cancelled(_)
                    | Error::KeyboardInterrupt
                    | Error::Exit(_)
                    | Error::CoroutineExit => {
                        return false;
                    }
                    _ => {}
                }
            }
        }
        true
    }
}

impl IoError {
    /// Returns the name of the subclass of `OSError`.
    fn class(&self) -> &'static str {
        match self.kind() {
            // ESRCH, which has no kind of its own.
            _ if self.raw_os_error() == Some(3) => "ProcessLookupError",
            ErrorKind::AlreadyExists => "FileExistsError",
            ErrorKind::BrokenPipe => "BrokenPipeError",
            ErrorKind::ConnectionAborted => "ConnectionAbortedError",
            ErrorKind::ConnectionRefused => "ConnectionRefusedError",
            ErrorKind::ConnectionReset => "ConnectionResetError",
            ErrorKind::Interrupted => "InterruptedError",
            ErrorKind::IsADirectory => "IsADirectoryError",
            ErrorKind::NotADirectory => "NotADirectoryError",
            ErrorKind::NotFound => "FileNotFoundError",
            ErrorKind::PermissionDenied => "PermissionError",
            ErrorKind::TimedOut => "TimeoutError",
            ErrorKind::WouldBlock => "BlockingIOError",
            _ => "OSError",
        }
    }
}

/// Writes the kind and asyncio's text, as the last line of a Python traceback. A group is a tree.
/// An error of another crate is its text, and one line for each source.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_tree(f, 0)?;
        let Self::Other(error) = self else { return Ok(()) };
        let mut source = error.source();
        while let Some(error) = source {
            write_lines(f, 1, &format!("caused by: {error}"))?;
            source = error.source();
        }
        Ok(())
    }
}

/// Writes what the [`Error::Group`] of it does.
impl fmt::Debug for ErrorGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Error::Group(self.clone()), f)
    }
}

/// Writes what the [`Error::Io`] of it does.
impl fmt::Debug for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.class())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(message) => f.write_str(message.as_deref().unwrap_or("")),
            Self::TimedOut => f.write_str("timed out"),
            Self::InvalidState(text) => f.write_str(text),
            Self::AlreadyRunning => f.write_str("This event loop is already running"),
            Self::AnotherLoopRunning => {
                f.write_str("Cannot run the event loop while another loop is running")
            }
            Self::Closed => f.write_str("Event loop is closed"),
            Self::CloseWhileRunning => f.write_str("Cannot close a running event loop"),
            Self::StoppedBeforeComplete => f.write_str("Event loop stopped before Future completed."),
            Self::NoRunningLoop => f.write_str("no running event loop"),
            Self::KeyboardInterrupt => f.write_str("KeyboardInterrupt"),
            Self::Exit(status) => write!(f, "{status}"),
            Self::Io(error) => error.fmt(f),
            Self::Group(errors) => {
                let plural = if errors.len() == 1 { "" } else { "s" };
                write!(f, "{} ({} sub-exception{plural})", errors.message(), errors.len())
            }
            // asyncio raises these three without a text; their names say it.
            Self::QueueFull => f.write_str("QueueFull"),
            Self::QueueEmpty => f.write_str("QueueEmpty"),
            Self::QueueShutDown => f.write_str("QueueShutDown"),
            Self::BrokenBarrier(text) => f.write_str(text),
            Self::IncompleteRead { partial, expected } => {
                write!(f, "{} bytes read on a total of ", partial.len())?;
                match expected {
                    Some(expected) => write!(f, "{expected} expected bytes"),
                    None => f.write_str("undefined expected bytes"),
                }
            }
            Self::LimitOverrun { message, .. } => f.write_str(message),
            Self::CoroutineExit => f.write_str("the coroutine was closed"),
            Self::Deadlock(text) | Self::Panic(text) | Self::Runtime(text) | Self::Value(text) => {
                f.write_str(text)
            }
            Self::Other(error) => error.fmt(f),
        }
    }
}
