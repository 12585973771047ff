//! Errors of the operating system.
//!
//! An error keeps the system's number and kind, whatever text it has.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

/// An error of the operating system (`OSError`): what [`Error::Io`](crate::Error::Io) holds.
///
/// It derefs to the system's [`io::Error`], so `kind()` and `raw_os_error()` identify it. Its text
/// is asyncio's where asyncio has one. [`attempts`](Self::attempts) lists the errors where several
/// addresses were tried.
///
/// ```
/// use looplab::{Error, EventLoop, net::open_connection};
/// use std::io::ErrorKind;
/// let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
/// let opened = EventLoop::new()?.run_until_complete(async move { open_connection("127.0.0.1", port).await });
/// let Err(Error::Io(error)) = opened else { panic!("nothing listens there") };
/// assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
/// assert!(error.raw_os_error().is_some());
/// assert!(error.to_string().ends_with(&format!("Connect call failed ('127.0.0.1', {port})")));
/// # Ok::<(), Error>(())
/// ```
#[doc(alias = "OSError")]
#[derive(Clone)]
pub struct IoError {
    system: Arc<io::Error>,
    said: Option<Arc<Said>>,
}

/// A text in place of the system's, and the failed attempts that it is about.
struct Said {
    text: String,
    attempts: Vec<IoError>,
}

impl IoError {
    /// Makes an error with another text than the system's.
    pub(crate) fn told(system: io::Error, text: String) -> Self {
        Self { system: Arc::new(system), said: Some(Arc::new(Said { text, attempts: Vec::new() })) }
    }

    /// Joins the errors of several attempts, with the number and kind of the first. Returns `None`
    /// if there are none.
    pub(crate) fn several(attempts: Vec<IoError>, text: String) -> Option<Self> {
        let system = attempts.first()?.system.clone();
        Some(Self { system, said: Some(Arc::new(Said { text, attempts })) })
    }

    /// Returns the error of each attempt, in order, if several were made; else nothing. (asyncio
    /// has only the text.)
    ///
    /// ```
    /// use looplab::{Error, EventLoop, net::start_server};
    /// let hosts = ["240.0.0.1", "240.0.0.2"];                // reserved: no machine has them
    /// let lp = EventLoop::new()?;
    /// let started = lp.run_until_complete(async move { start_server(async |_, _| {}, hosts, 0).await });
    /// let Err(Error::Io(error)) = started else { panic!("not this machine's") };
    /// assert_eq!(error.attempts().len(), 2);
    /// assert_eq!(error.raw_os_error(), error.attempts()[0].raw_os_error());
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn attempts(&self) -> &[IoError] {
        self.said.as_ref().map_or(&[], |said| &said.attempts)
    }
}

impl Deref for IoError {
    type Target = io::Error;
    fn deref(&self) -> &io::Error {
        &self.system
    }
}

impl From<io::Error> for IoError {
    fn from(system: io::Error) -> Self {
        Self { system: Arc::new(system), said: None }
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.said {
            Some(said) => f.write_str(&said.text),
            None => self.system.fmt(f),
        }
    }
}

impl std::error::Error for IoError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.said {
            Some(_) => Some(&*self.system),
            None => self.system.source(),
        }
    }
}
