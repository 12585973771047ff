//! One error type and one `Result` for the whole crate.
//!
//! Every error is a value (`Clone + Send + Sync`), so that several awaiters, threads and other
//! crates can share it. Its text is asyncio's where asyncio has one. It does not say where it came
//! from: the exception handler's context and the trace do.

mod io;
mod text;

pub use io::IoError;

use crate::panics::{Apart, catch_text, text_of_panic};
use std::borrow::Cow;
use std::io::Error as SystemError;
use std::ops::Deref;
use std::process::ExitCode;
use std::sync::Arc;

/// The result of every call of looplab that can fail.
///
/// ```
/// fn first() -> looplab::Result<()> {
///     looplab::get_running_loop()?.stop();
///     Ok(())
/// }
/// assert_eq!(first().unwrap_err().to_string(), "no running event loop");
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong on a loop, with asyncio's text as `Display`.
///
/// Two of them are not errors of the program but requests to leave the loop. [`Error::Exit`] and
/// [`Error::KeyboardInterrupt`] leave [`run_forever`](crate::EventLoop::run_forever), as
/// `SystemExit` and `KeyboardInterrupt` do in Python. All others stay inside: they go to the
/// exception handler, or are the result of a task.
///
/// `Debug`, which `unwrap`, `main` and reports show, is what Python's traceback ends with: the kind
/// and the text.
///
/// ```
/// use looplab::Error;
/// assert_eq!(Error::Closed.to_string(), "Event loop is closed");
/// assert!(Error::cancelled().is_cancelled());
/// assert_eq!(Error::msg("disk full").to_string(), "disk full");
/// assert_eq!(format!("{:?}", Error::Closed), "RuntimeError: Event loop is closed");
/// ```
///
/// # The error of another crate
///
/// `?` converts errors of this crate and of `std::io`. For another one the compiler says `` `?`
/// couldn't convert the error to `looplab::Error` ``:
///
/// ```compile_fail,E0277
/// fn port(text: &str) -> looplab::Result<u16> {
///     Ok(text.parse()?)
/// }
/// ```
///
/// [`Error::other`] converts it. (Alternative: a conversion from every error. Problem: `Error` is
/// an error itself, so the conversion would overlap with the one of a type to itself.)
///
/// ```
/// fn port(text: &str) -> looplab::Result<u16> {
///     text.parse().map_err(looplab::Error::other)
/// }
/// assert_eq!(port("http").unwrap_err().to_string(), "invalid digit found in string");
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// A cancellation, delivered at an await; the message is the one given to `cancel_msg`
    /// (`asyncio.CancelledError`).
    #[doc(alias("asyncio.CancelledError", "CancelledError"))]
    Cancelled(Option<Arc<str>>),
    /// A deadline passed (`TimeoutError`).
    #[doc(alias = "TimeoutError")]
    TimedOut,
    /// The future or task is not in the state that the call needs (`asyncio.InvalidStateError`).
    #[doc(alias("asyncio.InvalidStateError", "InvalidStateError"))]
    InvalidState(&'static str),
    /// This loop runs already, on this or on another thread.
    AlreadyRunning,
    /// Another loop runs on this thread.
    AnotherLoopRunning,
    /// The loop is closed.
    Closed,
    /// `close()` was called while the loop runs.
    CloseWhileRunning,
    /// The loop stopped before the future given to `run_until_complete` was done. Nothing is lost:
    /// run it again.
    StoppedBeforeComplete,
    /// The call needs a running loop on this thread, and there is none.
    NoRunningLoop,
    /// Nothing can ever wake the loop again (virtual time only). The text names the first twenty
    /// waiting tasks and what each waits for. While a [`Remote`](crate::Remote) counts, the loop
    /// waits instead.
    Deadlock(Arc<str>),
    /// Ctrl-C; leaves the loop (`KeyboardInterrupt`).
    KeyboardInterrupt,
    /// Ends the program with this status; leaves the loop (`SystemExit`).
    #[doc(alias = "SystemExit")]
    Exit(i32),
    /// An error of the operating system, with its number and kind, and what was tried (`OSError`).
    #[doc(alias = "OSError")]
    Io(IoError),
    /// User code panicked; the text is the panic's message.
    Panic(Arc<str>),
    /// Several errors at once (`BaseExceptionGroup`).
    #[doc(alias = "BaseExceptionGroup")]
    Group(ErrorGroup),
    /// The queue holds as many items as it can (`asyncio.QueueFull`).
    #[doc(alias = "asyncio.QueueFull")]
    QueueFull,
    /// The queue holds no item (`asyncio.QueueEmpty`).
    #[doc(alias = "asyncio.QueueEmpty")]
    QueueEmpty,
    /// The queue was shut down (`asyncio.QueueShutDown`).
    #[doc(alias = "asyncio.QueueShutDown")]
    QueueShutDown,
    /// The barrier was broken or reset; the text is asyncio's (`asyncio.BrokenBarrierError`).
    #[doc(alias("asyncio.BrokenBarrierError", "BrokenBarrierError"))]
    BrokenBarrier(&'static str),
    /// A stream ended before the bytes that were asked for had come
    /// (`asyncio.IncompleteReadError`).
    #[doc(alias("asyncio.IncompleteReadError", "IncompleteReadError"))]
    IncompleteRead {
        /// What had come. It is not in the stream any more.
        partial: Arc<[u8]>,
        /// How many bytes were asked for; `None` when a separator was.
        expected: Option<usize>,
    },
    /// No separator within the limit of a stream (`asyncio.LimitOverrunError`); the bytes are still
    /// in it.
    #[doc(alias("asyncio.LimitOverrunError", "LimitOverrunError"))]
    LimitOverrun {
        /// asyncio's text.
        message: &'static str,
        /// How many of the bytes that have come hold no separator.
        consumed: usize,
    },
    /// Thrown into a coroutine by [`Coroutine::close`](crate::Coroutine::close) (`GeneratorExit`).
    #[doc(alias = "GeneratorExit")]
    CoroutineExit,
    /// Misuse that asyncio answers with a `RuntimeError`; the text is asyncio's.
    #[doc(alias("RuntimeError"))]
    Runtime(Arc<str>),
    /// A bad argument that asyncio answers with a `ValueError`; the text is asyncio's.
    #[doc(alias("ValueError"))]
    Value(Arc<str>),
    /// An error of the program itself: see [`Error::other`] and [`Error::msg`].
    Other(Arc<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Makes a cancellation without a message (`asyncio.CancelledError()`).
    ///
    /// ```
    /// assert_eq!(looplab::Error::cancelled().to_string(), "");
    /// ```
    #[doc(alias("asyncio.CancelledError", "CancelledError"))]
    #[must_use]
    pub fn cancelled() -> Self {
        Self::Cancelled(None)
    }

    /// Wraps an error of another crate. If a cancellation caused it, the result is that
    /// cancellation: a socket's read may be cancelled inside of a protocol's future.
    ///
    /// ```
    /// let e = looplab::Error::other("seven".parse::<i32>().unwrap_err());
    /// assert_eq!(e.to_string(), "invalid digit found in string");
    /// ```
    #[must_use]
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let error = error.into();
        cancellation_in(&*error).unwrap_or_else(|| Self::Other(Arc::from(error)))
    }

    /// Makes an error that is only a text, as `raise ValueError("…")` in a short program.
    ///
    /// ```
    /// assert_eq!(looplab::Error::msg("boom").to_string(), "boom");
    /// ```
    #[must_use]
    pub fn msg(text: impl Into<String>) -> Self {
        Self::other(text.into())
    }

    /// Returns whether this is a cancellation.
    ///
    /// ```
    /// assert!(!looplab::Error::TimedOut.is_cancelled());
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// Returns the message given to `cancel_msg`, if this is a cancellation with a message.
    ///
    /// ```
    /// # use looplab::Error;
    /// assert_eq!(Error::Cancelled(Some("too slow".into())).cancel_message(), Some("too slow"));
    /// ```
    #[must_use]
    pub fn cancel_message(&self) -> Option<&str> {
        match self {
            Self::Cancelled(message) => message.as_deref(),
            _ => None,
        }
    }

    /// Returns whether this error leaves `run_forever` instead of going to the exception handler.
    ///
    /// ```
    /// # use looplab::Error;
    /// assert!(Error::Exit(3).leaves_the_loop() && Error::KeyboardInterrupt.leaves_the_loop());
    /// assert!(!Error::cancelled().leaves_the_loop());
    /// ```
    #[must_use]
    pub fn leaves_the_loop(&self) -> bool {
        matches!(self, Self::Exit(_) | Self::KeyboardInterrupt)
    }

    /// Returns the status with which a program exits that ends with this error: the one of
    /// [`Error::Exit`], 130 after Ctrl-C, and 1 otherwise. As in Python, the system keeps the
    /// lowest eight bits. `ExitCode::from(error)` is the same.
    ///
    /// ```
    /// # use looplab::Error;
    /// let errors = [Error::Exit(3), Error::Exit(-1), Error::KeyboardInterrupt, Error::msg("disk full")];
    /// assert_eq!(errors.map(|error| error.exit_status()), [3, 255, 130, 1]);
    /// ```
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Exit(status) => status.to_le_bytes()[0],
            Self::KeyboardInterrupt => 130,
            _ => 1,
        }
    }

    /// Makes the error of a caught panic.
    pub(crate) fn from_panic(payload: Box<dyn std::any::Any + Send>) -> Self {
        Self::Panic(text_of_panic(payload))
    }
}

/// Runs code of the user. A panic in it becomes [`Error::Panic`].
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R> {
    catch_text(code).map_err(Error::Panic)
}

/// The errors of an [`Error::Group`] in order, with a message (`BaseExceptionGroup`). It derefs to
/// the slice `[Error]`.
///
/// Groups may be nested to any depth. `Debug` shows a group as a tree, as Python's traceback does:
/// ten levels, and fifteen errors of each group.
///
/// ```
/// use looplab::{Error, ErrorGroup};
/// let group = ErrorGroup::new("errors of the cleanup", vec![Error::TimedOut, Error::msg("disk full")]);
/// assert_eq!((group.len(), group[1].to_string().as_str()), (2, "disk full"));
/// let error = Error::Group(group);
/// assert_eq!(error.to_string(), "errors of the cleanup (2 sub-exceptions)");
/// assert_eq!(
///     format!("{error:?}"),
///     "ExceptionGroup: errors of the cleanup (2 sub-exceptions)\n   TimeoutError\n   disk full"
/// );
/// ```
#[doc(alias = "BaseExceptionGroup")]
#[derive(Clone)]
pub struct ErrorGroup(Arc<GroupContents>);

struct GroupContents {
    message: Cow<'static, str>,
    errors: Apart<Vec<Error>>,
}

impl ErrorGroup {
    /// Makes a group with a message (`ExceptionGroup(message, errors)`).
    #[doc(alias = "ExceptionGroup")]
    pub fn new(message: impl Into<Cow<'static, str>>, errors: Vec<Error>) -> Self {
        Self(Arc::new(GroupContents { message: message.into(), errors: errors.into() }))
    }

    /// Returns the message (`BaseExceptionGroup.message`). `Display` of the [`Error::Group`] adds
    /// the number of errors.
    ///
    /// ```
    /// # use looplab::ErrorGroup;
    /// assert_eq!(ErrorGroup::from(vec![]).message(), "unhandled errors in a TaskGroup");
    /// ```
    #[doc(alias = "BaseExceptionGroup.message")]
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

/// Makes a group with the message of a [`TaskGroup`](crate::TaskGroup).
impl From<Vec<Error>> for ErrorGroup {
    fn from(errors: Vec<Error>) -> Self {
        Self::new("unhandled errors in a TaskGroup", errors)
    }
}

impl Deref for ErrorGroup {
    type Target = [Error];
    fn deref(&self) -> &[Error] {
        &self.0.errors
    }
}

/// The source is the cause. The source of a group is its first error.
impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            Self::Other(error) => error.source(),
            // Sources are a chain, and a group is a tree.
            Self::Group(errors) => errors.first().map(|error| error as &(dyn std::error::Error + 'static)),
            _ => None,
        }
    }
}

/// A cancellation that passed through foreign code as an I/O error is a cancellation again, so that
/// `?` passes it on.
impl From<SystemError> for Error {
    fn from(error: SystemError) -> Self {
        cancellation_in(&error).unwrap_or_else(|| Self::Io(error.into()))
    }
}

/// Lets a `main` return the error's exit status. [`main`](crate::main) prints the error as well.
impl From<Error> for ExitCode {
    fn from(error: Error) -> Self {
        Self::from(error.exit_status())
    }
}

impl From<IoError> for Error {
    fn from(error: IoError) -> Self {
        Self::Io(error)
    }
}

/// Finds the cancellation that caused an error of foreign code. hyper's error has the I/O error as
/// its source, and that holds the socket's error.
fn cancellation_in(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<Error>() {
            Some(ours) if ours.is_cancelled() => return Some(ours.clone()),
            // A group that holds a cancellation is none itself.
            Some(Error::Group(_)) => return None,
            _ => {}
        }
        // The source of an `io::Error` is the source of the error in it, not that error.
        let held = error.downcast_ref::<SystemError>().and_then(SystemError::get_ref);
        next = held.map(|held| held as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    }
    None
}
