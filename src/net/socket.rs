//! `Socket` and `Listener`: TCP or Unix sockets of the standard library, non-blocking, for streams and servers.

use super::endpoint::Endpoint;
use crate::error::Result;
use std::io::{self, Read, Write};
use std::net::{self, Shutdown};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net as unix;

/// A connected socket.
pub(super) enum Socket {
    Tcp(net::TcpStream),
    Unix(unix::UnixStream),
}

/// A listening socket.
pub(super) enum Listener {
    Tcp(net::TcpListener),
    Unix(unix::UnixListener),
}

/// Evaluates one expression for either kind of socket.
macro_rules! either {
    ($sockets:expr, $socket:ident => $result:expr) => {
        match $sockets {
            Self::Tcp($socket) => $result,
            Self::Unix($socket) => $result,
        }
    };
}

impl Socket {
    /// Sends small writes without waiting until the peer has acknowledged earlier ones.
    pub(super) fn set_nodelay(&self) {
        if let Self::Tcp(socket) = self {
            // Only an optimisation: a socket that refuses works as well.
            let _ = socket.set_nodelay(true);
        }
    }

    pub(super) fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        either!(self, socket => (&mut &*socket).read(buf))
    }

    /// Returns whether a read that does not fill its buffer has drained the socket; see `async_fd`.
    pub(super) fn short_read_drains(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    pub(super) fn send(&self, data: &[u8]) -> io::Result<usize> {
        either!(self, socket => (&mut &*socket).write(data))
    }

    /// Ends the writing direction.
    pub(super) fn shutdown(&self) -> Result<()> {
        Ok(either!(self, socket => socket.shutdown(Shutdown::Write))?)
    }

    pub(super) fn local_addr(&self) -> Option<Endpoint> {
        either!(self, socket => socket.local_addr().ok().map(Endpoint::from))
    }

    pub(super) fn peer_addr(&self) -> Option<Endpoint> {
        either!(self, socket => socket.peer_addr().ok().map(Endpoint::from))
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        either!(self, socket => socket.as_raw_fd())
    }
}

impl Listener {
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
        }
    }

    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        either!(self, listener => listener.set_nonblocking(true))
    }

    /// Returns the address as the system has it, without the conversion of an IPv4 address.
    pub(super) fn local_addr(&self) -> io::Result<Endpoint> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Endpoint::Ip),
            Self::Unix(listener) => listener.local_addr().map(Endpoint::from),
        }
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        either!(self, listener => listener.as_raw_fd())
    }
}
