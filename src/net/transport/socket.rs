//! A connected socket, TCP or Unix, and the addresses of both kinds.

use crate::error::Result;
use crate::net::tcp::canonical;
use crate::net::unix;
use mio::net::{TcpStream, UnixStream};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};

/// Where a stream or a server is: an IP address and port, or a path (what `get_extra_info('peername')` and
/// `sock.getsockname()` give).
///
/// ```
/// use looplab::net::Endpoint;
/// let address = Endpoint::from(std::net::SocketAddr::from(([127, 0, 0, 1], 8080)));
/// assert_eq!(address.to_string(), "127.0.0.1:8080");
/// assert_eq!(address.port(), Some(8080));
/// assert_eq!(address.path(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// Of a TCP socket.
    Ip(SocketAddr),
    /// Of a Unix socket: its path, or its abstract name behind a null byte (Linux). `None` for one that has neither, as most
    /// clients.
    Unix(Option<PathBuf>),
}

impl Endpoint {
    /// The IP address and port, of a TCP socket.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The port, of a TCP socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.ip().map(|address| address.port())
    }

    /// The path, of a Unix socket that has one, or its abstract name behind a null byte.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => path.as_deref(),
            Self::Ip(_) => None,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    /// An IPv4 address that comes through an IPv6 socket is shown as the IPv4 address that it is.
    fn from(address: SocketAddr) -> Self {
        Self::Ip(canonical(address))
    }
}

impl From<std::os::unix::net::SocketAddr> for Endpoint {
    fn from(address: std::os::unix::net::SocketAddr) -> Self {
        Self::Unix(unix::path(&address))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(Some(path)) => f.write_str(&shown(path)),
            Self::Unix(None) => f.write_str("unnamed"),
        }
    }
}

/// A path as Python shows it: the null byte of an abstract name is escaped.
pub(in crate::net) fn shown(path: &Path) -> String {
    path.display().to_string().replace('\0', "\\x00")
}

/// A connected, non-blocking socket.
pub(in crate::net) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Small writes are sent without waiting for the peer to acknowledge earlier ones.
    pub(in crate::net) fn set_nodelay(&self) {
        if let Self::Tcp(stream) = self {
            // It is an optimisation: a socket that refuses works, too.
            let _ = stream.set_nodelay(true);
        }
    }

    pub(in crate::net) fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).read(into),
            Self::Unix(stream) => (&mut &*stream).read(into),
        }
    }

    /// Whether a read that does not fill the buffer has emptied it: see `readiness`.
    pub(in crate::net) fn short_read_empties(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    pub(in crate::net) fn send(&self, from: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).write(from),
            Self::Unix(stream) => (&mut &*stream).write(from),
        }
    }

    pub(in crate::net) fn shutdown(&self) -> Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write)?,
            Self::Unix(stream) => stream.shutdown(Shutdown::Write)?,
        }
        Ok(())
    }

    pub(in crate::net) fn local(&self) -> Option<Endpoint> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok().map(Endpoint::from),
            Self::Unix(stream) => stream.local_addr().ok().map(Endpoint::from),
        }
    }

    pub(in crate::net) fn peer(&self) -> Option<Endpoint> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(Endpoint::from),
            Self::Unix(stream) => stream.peer_addr().ok().map(Endpoint::from),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }
}
