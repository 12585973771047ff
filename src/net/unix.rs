//! Unix sockets: as the TCP ones, with paths for addresses.
//!
//! A path that begins with a null byte is an abstract name, as in Python: it has no file (Linux). The file of a listener is
//! the caller's to remove; `start_unix_server` removes its own.
//! Errors of the operating system keep Rust's words: `No such file or directory (os error 2)`, where CPython says
//! `[Errno 2] No such file or directory`. The number and the [kind](std::io::Error::kind) are the same.

use super::readiness::{Drained, Io};
use super::tcp::{ACCEPT, byte_stream, descriptor};
use crate::error::Result;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::Shutdown;
#[cfg(target_os = "android")]
use std::os::android::net::SocketAddrExt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::{self, SocketAddr};
use std::panic::Location;
use std::path::{Path, PathBuf};

/// A Unix socket that takes connections.
///
/// ```
/// use looplab::{EventLoop, net::{UnixListener, UnixStream}};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("socket");
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async move {
///     let listener = UnixListener::bind(&path)?;
///     let client = UnixStream::connect(&path).await?;
///     let (server, _) = listener.accept().await?;
///     client.write_all(b"hello").await?;
///     assert_eq!(server.read(&mut [0; 16]).await?, 5);
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
pub struct UnixListener(Io<net::UnixListener>);

/// A connection between two processes of this machine, or two ends in one. The rules are
/// [`TcpStream`](super::TcpStream)'s.
///
/// ```
/// use looplab::{EventLoop, net::UnixStream};
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async {
///     let (ours, theirs) = UnixStream::pair()?;
///     ours.write_all(b"hello").await?;
///     drop(ours);
///     let mut buf = [0; 16];
///     assert_eq!(theirs.read(&mut buf).await?, 5);
///     assert_eq!(theirs.read(&mut buf).await?, 0);           // the end
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
pub struct UnixStream(Io<net::UnixStream>);

impl UnixListener {
    /// Listens at a path, which must not exist, or at an abstract name, `"\0name"` (`sock.bind`, `sock.listen`). Needs no
    /// loop. There is another example at [`UnixListener`].
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system; for an abstract name elsewhere than on Linux, its kind is
    /// [`Unsupported`](std::io::ErrorKind::Unsupported).
    ///
    /// ```
    /// # if !cfg!(target_os = "linux") { return Ok(()); }
    /// use looplab::{EventLoop, net::{UnixListener, UnixStream}};
    /// let name = format!("\0looplab-{}", std::process::id());
    /// let listener = UnixListener::bind(&name)?;
    /// let client = EventLoop::new()?.run_until_complete(async move { UnixStream::connect(name).await })?;
    /// assert!(client.local_addr()?.is_unnamed());
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_std(net::UnixListener::bind_addr(&address(path.as_ref())?)?)
    }

    /// Takes a listener of the standard library, and makes it non-blocking (`asyncio.start_unix_server(sock=…)`). Needs no
    /// loop.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be made non-blocking.
    ///
    /// ```
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("socket");
    /// let listener = std::os::unix::net::UnixListener::bind(&path)?;
    /// let listener = looplab::net::UnixListener::from_std(listener)?;
    /// assert_eq!(listener.local_addr()?.as_pathname(), Some(&*path));
    /// let back: std::os::unix::net::UnixListener = listener.into_std();
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn from_std(listener: net::UnixListener) -> Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self(Io::new(listener)))
    }

    /// Gives the standard library's listener back. It stays non-blocking. There is an example at
    /// [`from_std`](Self::from_std).
    #[must_use]
    pub fn into_std(self) -> net::UnixListener {
        self.0.into_socket()
    }

    /// Takes one connection (`loop.sock_accept`), as [`TcpListener::accept`](super::TcpListener::accept), with the same
    /// errors. There is an example at [`UnixListener`].
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = Result<(UnixStream, SocketAddr)>> + use<'_> {
        let place = Location::caller();
        self.0.op(&ACCEPT, place, move |listener| {
            let (stream, peer) = listener.accept()?;
            stream.set_nonblocking(true)?;
            Ok(((UnixStream(Io::at(stream, place)), peer), Drained::Unknown))
        })
    }

    /// Where it listens (`sock.getsockname`). There is an example at [`from_std`](Self::from_std).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.0.socket().local_addr()?)
    }
}

impl UnixStream {
    /// Connects to a listener at a path, or at an abstract name, `"\0name"` (`loop.sock_connect`). That succeeds or fails
    /// at once: a listener whose queue is full answers `WouldBlock`.
    ///
    /// Fails with [`Error::Io`](crate::Error::Io). There are examples at [`UnixListener`] and [`UnixListener::bind`].
    #[track_caller]
    pub fn connect(path: impl AsRef<Path>) -> impl Future<Output = Result<Self>> {
        let place = Location::caller();
        async move {
            let stream = mio::net::UnixStream::connect_addr(&address(path.as_ref())?)?;
            Ok(Self(Io::at(stream.into(), place)))
        }
    }

    /// Two connected ends (`socket.socketpair`). Needs no loop. There is an example at [`UnixStream`].
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    #[track_caller]
    pub fn pair() -> Result<(Self, Self)> {
        let place = Location::caller();
        let (one, other) = mio::net::UnixStream::pair()?;
        Ok((Self(Io::at(one.into(), place)), Self(Io::at(other.into(), place))))
    }

    /// Takes a connection of the standard library, and makes it non-blocking (`asyncio.open_unix_connection(sock=…)`). Needs
    /// no loop.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be made non-blocking.
    ///
    /// ```
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    /// let stream = looplab::net::UnixStream::from_std(ours)?;
    /// assert!(stream.local_addr()?.is_unnamed() && stream.peer_addr()?.is_unnamed());
    /// let back: std::os::unix::net::UnixStream = stream.into_std();
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn from_std(stream: net::UnixStream) -> Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self(Io::new(stream)))
    }

    /// Gives the standard library's connection back. It stays non-blocking. There is an example at
    /// [`from_std`](Self::from_std).
    #[must_use]
    pub fn into_std(self) -> net::UnixStream {
        self.0.into_socket()
    }

    /// The other side's address (`sock.getpeername`). There is an example at [`from_std`](Self::from_std).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it is not connected any more.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        Ok(self.0.socket().peer_addr()?)
    }

    /// This side's address (`sock.getsockname`). There is an example at [`from_std`](Self::from_std).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.0.socket().local_addr()?)
    }
}

byte_stream!(UnixStream);
descriptor!(UnixListener UnixStream);

/// The system's address for a path; for an abstract name, which begins with a null byte.
pub(super) fn address(path: &Path) -> io::Result<SocketAddr> {
    match path.as_os_str().as_bytes() {
        [0, name @ ..] => abstract_address(name),
        _ => SocketAddr::from_pathname(path),
    }
}

/// The path of an address, or its abstract name behind a null byte: what [`address`] takes.
pub(super) fn path(address: &SocketAddr) -> Option<PathBuf> {
    let name = || abstract_name(address).map(|name| [b"\0", name].concat());
    address.as_pathname().map(Path::to_owned).or_else(|| name().map(|name| OsString::from_vec(name).into()))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_name(address: &SocketAddr) -> Option<&[u8]> {
    address.as_abstract_name()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no abstract Unix sockets"))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_name(_: &SocketAddr) -> Option<&[u8]> {
    None
}
