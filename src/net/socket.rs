//! `Socket` and `Listener`: TCP or Unix sockets of the standard library, or sockets in memory, for streams and servers. All
//! are non-blocking.

use super::endpoint::Endpoint;
use super::memory::{Backlog, End};
use super::{TcpListener, TcpStream, UnixListener, UnixStream};
use crate::error::Result;
use crate::event_loop::{EventLoop, Watch};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{self, Shutdown};
use std::os::fd::{AsRawFd, RawFd};
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
    /// Returns its registration on a loop.
    ///
    /// # Errors
    /// [`Error::Runtime`](crate::Error::Runtime) if it is in the memory of another loop.
    pub(super) fn watch(&self, lp: &EventLoop) -> Result<Watch> {
        let watch = match self {
            Self::Memory(end) => end.watch(),
            _ => Watch::new(lp, self.as_raw_fd()),
        };
        watch.check_loop(lp)?;
        Ok(watch)
    }

    /// Sends small writes without waiting until the peer has acknowledged earlier ones.
    pub(super) fn set_nodelay(&self) {
        if let Self::Tcp(socket) = self {
            // Only an optimisation: a socket that refuses works as well.
            let _ = socket.set_nodelay(true);
        }
    }

    pub(super) fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        either!(self, socket => (&mut &*socket).read(buf), pipe => (&mut &*pipe).read(buf))
    }

    pub(super) fn is_pipe(&self) -> bool {
        matches!(self, Self::Pipe(_))
    }

    /// Returns whether a read that does not fill its buffer has drained the socket; see `async_fd`.
    pub(super) fn short_read_drains(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    pub(super) fn send(&self, data: &[u8]) -> io::Result<usize> {
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

impl Listener {
    /// Returns its registration on a loop. Fails as [`Socket::watch`] does.
    pub(super) fn watch(&self, lp: &EventLoop) -> Result<Watch> {
        let watch = match self {
            Self::Memory(backlog) => backlog.watch(),
            _ => Watch::new(lp, self.as_raw_fd()),
        };
        watch.check_loop(lp)?;
        Ok(watch)
    }

    pub(super) fn accept(&self) -> io::Result<(Socket, Endpoint)> {
        match self {
            Self::Tcp(listener) => {
                let (socket, peer) = listener.accept()?;
                socket.set_nonblocking(true)?;
                Ok((Socket::Tcp(socket), peer.into()))
            }
            Self::Unix(listener) => {
                let (socket, peer) = listener.accept()?;
                socket.set_nonblocking(true)?;
                Ok((Socket::Unix(socket), peer.into()))
            }
            Self::Memory(backlog) => backlog.accept().map(|(end, peer)| (Socket::Memory(end), peer)),
        }
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
