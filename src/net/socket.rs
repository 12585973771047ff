//! `Socket` and `Listener`: TCP or Unix sockets of the standard library, or sockets in memory, for streams and servers. All
//! are non-blocking. A `Connection` is a socket on a loop.

use super::address::Endpoint;
use super::memory::{Backlog, End};
use super::{TcpListener, TcpStream, UnixListener, UnixStream};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Watch};
use crate::trace::Direction;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{self, Shutdown};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net as unix;
use std::rc::Rc;

/// A connected socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(net::TcpStream),
    Unix(unix::UnixStream),
    Memory(End),
    /// The writing end of a pipe.
    Pipe(File),
}

/// A connected socket and its registration, which ends before the socket is closed.
pub(super) struct Connection {
    pub(super) watch: Watch,
    pub(super) socket: Socket,
}

/// A listening socket.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(net::TcpListener),
    Unix(unix::UnixListener),
    Memory(Rc<Backlog>),
}

/// A connection of any kind, for [`open_connection_on`](super::open_connection_on).
#[derive(Debug)]
pub struct AnyStream(pub(super) Socket);

/// A listener of any kind, for [`start_server_on`](super::start_server_on).
#[derive(Debug)]
pub struct AnyListener(pub(super) Listener);

impl AnyStream {
    /// Takes a connected TCP or Unix socket that exists, such as one that another process has passed on
    /// (`asyncio.open_connection(sock=…)`). It becomes non-blocking.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for what is no such socket.
    ///
    /// ```
    /// use looplab::{EventLoop, net::{AnyStream, open_connection_on}};
    /// let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    /// let ours = AnyStream::from_fd(ours)?;
    /// EventLoop::new()?.run_until_complete(async {
    ///     let (_reader, writer) = open_connection_on(ours).await?;
    ///     writer.write("hello")
    /// })?;
    /// assert_eq!(std::io::read_to_string(theirs)?, "hello");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub fn from_fd(socket: impl Into<OwnedFd>) -> Result<Self> {
        let tcp = net::TcpStream::from(socket.into());
        let socket = match tcp.peer_addr() {
            Ok(_) => Socket::Tcp(tcp),
            Err(_) => Socket::Unix(OwnedFd::from(tcp).into()),
        };
        if socket.peer_addr().is_none() {
            return Err(not_expected(&socket));
        }
        socket.set_nonblocking()?;
        Ok(Self(socket))
    }
}

impl AnyListener {
    /// Takes a listening TCP or Unix socket that exists: socket activation (`asyncio.start_server(sock=…)`). It becomes
    /// non-blocking. A service manager passes it as standard input (systemd's `StandardInput=socket`, inetd's `wait`), or by a
    /// number, which the crate `listenfd` makes an `OwnedFd`.
    ///
    /// The file of a Unix socket is removed when the server closes, as in asyncio.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for a connection, and for what is no TCP or Unix socket. A socket that does not
    /// listen, or one of UDP, is not noticed: nothing connects to it.
    ///
    /// ```
    /// use looplab::{EventLoop, net::{AnyListener, StreamWriter, open_connection, start_server_on}};
    /// use std::os::fd::AsFd;
    /// fn activated() -> looplab::Result<AnyListener> {
    ///     AnyListener::from_fd(std::io::stdin().as_fd().try_clone_to_owned()?)
    /// }
    /// # let _ = activated;
    /// # let activated = || AnyListener::from_fd(std::net::TcpListener::bind("127.0.0.1:0")?);
    /// let listener = activated()?;
    /// EventLoop::new()?.run_until_complete(async {
    ///     let server = start_server_on(async |_, writer: StreamWriter| writer.write("hello"), listener).await?;
    ///     let (reader, _writer) = open_connection("127.0.0.1", server.port()).await?;
    ///     assert_eq!(reader.read_to_end().await?, b"hello");
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub fn from_fd(socket: impl Into<OwnedFd>) -> Result<Self> {
        let socket: OwnedFd = socket.into();
        let is_connection = AnyStream::from_fd(socket.try_clone()?).is_ok();
        let tcp = net::TcpListener::from(socket);
        let listener = match tcp.local_addr() {
            Ok(_) => Listener::Tcp(tcp),
            Err(_) => Listener::Unix(OwnedFd::from(tcp).into()),
        };
        if is_connection || listener.local_addr().is_err() {
            return Err(not_expected(&listener));
        }
        listener.set_nonblocking()?;
        Ok(Self(listener))
    }
}

fn not_expected(socket: &impl AsRawFd) -> Error {
    let fd = socket.as_raw_fd();
    Error::Value(format!("A Stream Socket was expected, got the descriptor {fd}").into())
}

conversions! { AnyStream:
    stream: TcpStream => Self(Socket::Tcp(stream.into_std()));
    stream: UnixStream => Self(Socket::Unix(stream.into_std()));
}

conversions! { AnyListener:
    listener: TcpListener => Self(Listener::Tcp(listener.into_std()));
    listener: UnixListener => Self(Listener::Unix(listener.into_std()));
}

/// Evaluates one expression for either kind of socket.
macro_rules! either {
    ($sockets:expr, $socket:ident => $result:expr) => {
        match $sockets {
            Self::Tcp($socket) => $result,
            Self::Unix($socket) => $result,
            Self::Memory($socket) => $result,
        }
    };
    ($sockets:expr, $socket:ident => $result:expr, $pipe:ident => $otherwise:expr) => {
        match $sockets {
            Self::Tcp($socket) => $result,
            Self::Unix($socket) => $result,
            Self::Memory($socket) => $result,
            Self::Pipe($pipe) => $otherwise,
        }
    };
}

impl Socket {
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        either!(self, socket => (&mut &*socket).read(buf), pipe => (&mut &*pipe).read(buf))
    }

    /// Returns another descriptor of the same socket.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(socket) => socket.as_fd().try_clone_to_owned(),
            Self::Unix(socket) => socket.as_fd().try_clone_to_owned(),
            Self::Pipe(pipe) => pipe.as_fd().try_clone_to_owned(),
            Self::Memory(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    /// Makes a TCP or Unix socket non-blocking. The other kinds are so from the beginning.
    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(true),
            Self::Unix(socket) => socket.set_nonblocking(true),
            Self::Memory(_) | Self::Pipe(_) => Ok(()),
        }
    }

    fn send(&self, data: &[u8]) -> io::Result<usize> {
        either!(self, socket => (&mut &*socket).write(data), pipe => (&mut &*pipe).write(data))
    }

    /// Ends the writing direction.
    pub(super) fn shutdown(&self) -> Result<()> {
        Ok(either!(self, socket => socket.shutdown(Shutdown::Write), _pipe => Ok(()))?)
    }

    pub(super) fn local_addr(&self) -> Option<Endpoint> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok().map(Endpoint::from),
            Self::Unix(socket) => socket.local_addr().ok().map(Endpoint::from),
            Self::Memory(end) => Some(end.local_addr()),
            Self::Pipe(_) => None,
        }
    }

    pub(super) fn peer_addr(&self) -> Option<Endpoint> {
        match self {
            Self::Tcp(socket) => socket.peer_addr().ok().map(Endpoint::from),
            Self::Unix(socket) => socket.peer_addr().ok().map(Endpoint::from),
            Self::Memory(end) => Some(end.peer_addr()),
            Self::Pipe(_) => None,
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        either!(self, socket => socket.as_raw_fd(), pipe => pipe.as_raw_fd())
    }
}

impl Connection {
    /// Registers a socket on a loop.
    ///
    /// # Errors
    /// [`Error::Runtime`](crate::Error::Runtime) if it is in the memory of another loop.
    pub(super) fn new(lp: &EventLoop, socket: Socket) -> Result<Self> {
        let watch = match &socket {
            Socket::Memory(end) => end.watch(),
            _ => Watch::new(lp, socket.as_raw_fd()),
        };
        watch.check_loop(lp)?;
        if let Socket::Tcp(socket) = &socket {
            // Small writes are sent at once. Only an optimisation: a socket that refuses works as well.
            let _ = socket.set_nodelay(true);
        }
        Ok(Self { watch, socket })
    }

    /// Reads once. Returns `None` if nothing can be read now.
    pub(super) fn recv(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.socket.recv(buffer) {
            Ok(n) => {
                // A short read has drained a TCP socket; see `async_fd`.
                if 0 < n && n < buffer.len() && matches!(self.socket, Socket::Tcp(_)) {
                    self.watch.drained(Direction::Read);
                }
                Ok(Some(n))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.watch.drained(Direction::Read);
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes as much as there is room for. Returns the number of bytes that the kernel took.
    pub(super) fn send(&self, data: &[u8]) -> io::Result<usize> {
        let sent = match self.socket.send(data) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(0),
            sent => sent?,
        };
        if sent < data.len() {
            self.watch.drained(Direction::Write);
        }
        Ok(sent)
    }
}

impl Listener {
    /// Returns its registration on a loop. Fails as [`Connection::new`] does.
    pub(super) fn watch(&self, lp: &EventLoop) -> Result<Watch> {
        let watch = match self {
            Self::Memory(backlog) => backlog.watch(),
            _ => Watch::new(lp, self.as_raw_fd()),
        };
        watch.check_loop(lp)?;
        Ok(watch)
    }

    pub(super) fn accept(&self) -> io::Result<(Socket, Endpoint)> {
        let (socket, peer): (_, Endpoint) = match self {
            Self::Tcp(listener) => {
                listener.accept().map(|(socket, peer)| (Socket::Tcp(socket), peer.into()))?
            }
            Self::Unix(listener) => {
                listener.accept().map(|(socket, peer)| (Socket::Unix(socket), peer.into()))?
            }
            Self::Memory(backlog) => backlog.accept().map(|(end, peer)| (Socket::Memory(end), peer))?,
        };
        socket.set_nonblocking()?;
        Ok((socket, peer))
    }

    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.set_nonblocking(true),
            Self::Unix(listener) => listener.set_nonblocking(true),
            Self::Memory(_) => Ok(()),
        }
    }

    /// Returns the address as the system has it, without the conversion of an IPv4 address.
    pub(super) fn local_addr(&self) -> io::Result<Endpoint> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Endpoint::Ip),
            Self::Unix(listener) => listener.local_addr().map(Endpoint::from),
            Self::Memory(backlog) => Ok(backlog.local_addr()),
        }
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        either!(self, listener => listener.as_raw_fd())
    }
}
