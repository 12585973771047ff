//! Unix sockets. They guarantee what the TCP sockets guarantee.
//!
//! A path that begins with a null byte is an abstract name without a file, as in Python (Linux). They do not remove the file
//! of a listener; `start_unix_server` removes its own. The system's errors have Rust's text:
//! `No such file or directory (os error 2)`, where CPython has `[Errno 2] No such file or directory`.

use super::address::unix_addr;
use super::async_fd::{ACCEPT, AsyncFd};
use super::socket_methods::{byte_stream, descriptor};
use crate::error::Result;
use std::os::unix::net::{self, SocketAddr};
use std::panic::Location;
use std::path::Path;

/// A listening Unix socket.
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
pub struct UnixListener(AsyncFd<net::UnixListener>);

/// A connection between two processes of this machine, or within one. The rules of [`TcpStream`](super::TcpStream) apply.
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
pub struct UnixStream(pub(super) AsyncFd<net::UnixStream>);

impl UnixListener {
    /// Listens at a path, which must not exist, or at an abstract name, `"\0name"` (`sock.bind`, `sock.listen`). Needs no
    /// loop. There is another example at [`UnixListener`].
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system. Its kind is [`Unsupported`](std::io::ErrorKind::Unsupported) for an
    /// abstract name on another system than Linux.
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
        Self::from_std(net::UnixListener::bind_addr(&unix_addr(path.as_ref())?)?)
    }

    /// Takes a listener of the standard library and makes it non-blocking (`asyncio.start_unix_server(sock=…)`). Needs no
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
    #[doc(alias("asyncio.start_unix_server", "start_unix_server"))]
    #[track_caller]
    pub fn from_std(listener: net::UnixListener) -> Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self(AsyncFd::new(listener, Location::caller())))
    }

    /// Accepts a connection (`loop.sock_accept`). Waits and fails as [`TcpListener::accept`](super::TcpListener::accept)
    /// does. There is an example at [`UnixListener`].
    #[doc(alias("loop.sock_accept", "sock_accept"))]
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = Result<(UnixStream, SocketAddr)>> + use<'_> {
        let place = Location::caller();
        self.0.op(&ACCEPT, place, move |listener| {
            let (stream, peer) = listener.accept()?;
            stream.set_nonblocking(true)?;
            Ok((UnixStream(AsyncFd::new(stream, place)), peer))
        })
    }

    /// Returns the address on which it listens (`sock.getsockname`). There is an example at [`from_std`](Self::from_std).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.0.socket().local_addr()?)
    }
}

impl UnixStream {
    /// Connects to a listener at a path, or at an abstract name, `"\0name"` (`loop.sock_connect`). It does not wait.
    ///
    /// Fails with [`Error::Io`](crate::Error::Io); its kind is [`WouldBlock`](std::io::ErrorKind::WouldBlock) if the
    /// listener's queue is full. There are examples at [`UnixListener`] and [`UnixListener::bind`].
    #[doc(alias("loop.sock_connect", "sock_connect"))]
    #[track_caller]
    pub fn connect(path: impl AsRef<Path>) -> impl Future<Output = Result<Self>> {
        let place = Location::caller();
        async move {
            let stream = mio::net::UnixStream::connect_addr(&unix_addr(path.as_ref())?)?;
            Ok(Self(AsyncFd::new(stream.into(), place)))
        }
    }

    /// Creates two connected sockets (`socket.socketpair`). Needs no loop. There is an example at [`UnixStream`].
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    #[track_caller]
    pub fn pair() -> Result<(Self, Self)> {
        let place = Location::caller();
        let (one, other) = mio::net::UnixStream::pair()?;
        Ok((Self(AsyncFd::new(one.into(), place)), Self(AsyncFd::new(other.into(), place))))
    }

    /// Takes a connection of the standard library and makes it non-blocking (`asyncio.open_unix_connection(sock=…)`). Needs
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
    #[doc(alias("asyncio.open_unix_connection", "open_unix_connection"))]
    #[track_caller]
    pub fn from_std(stream: net::UnixStream) -> Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self(AsyncFd::new(stream, Location::caller())))
    }

    /// Returns the other side's address (`sock.getpeername`). There is an example at [`from_std`](Self::from_std).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the socket is not connected any more.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        Ok(self.0.socket().peer_addr()?)
    }

    /// Returns this side's address (`sock.getsockname`). There is an example at [`from_std`](Self::from_std).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.0.socket().local_addr()?)
    }
}

byte_stream!(UnixStream);
descriptor!(UnixListener UnixStream);
