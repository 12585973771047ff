//! `Endpoint`: the address of a stream or server; and the texts and conversions of addresses.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
#[cfg(target_os = "android")]
use std::os::android::net::SocketAddrExt;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::{Path, PathBuf};

/// The address of a stream or a server: an IP address and port, a path, or a name in memory
/// (`get_extra_info('peername')`, `sock.getsockname()`).
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
    /// The address of a TCP socket.
    Ip(SocketAddr),
    /// The path of a Unix socket, or its abstract name after a null byte (Linux). `None` for a socket without either, as
    /// most clients are.
    Unix(Option<PathBuf>),
    /// The name of a listener in [`memory`](super::memory). A client has the negative number of its socket as its name.
    Memory(String),
}

impl Endpoint {
    /// Returns the IP address and port of a TCP socket.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) | Self::Memory(_) => None,
        }
    }

    /// Returns the port of a TCP socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.ip().map(|address| address.port())
    }

    /// Returns the path of a Unix socket, or its abstract name after a null byte.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => path.as_deref(),
            Self::Ip(_) | Self::Memory(_) => None,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    /// Converts an IPv4 address that an IPv6 socket shows as `::ffff:a.b.c.d` back to IPv4.
    fn from(address: SocketAddr) -> Self {
        Self::Ip(canonical(address))
    }
}

impl From<UnixAddr> for Endpoint {
    fn from(address: UnixAddr) -> Self {
        let name = || abstract_name(&address).map(|name| OsString::from_vec([b"\0", name].concat()).into());
        Self::Unix(address.as_pathname().map(Path::to_owned).or_else(name))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(Some(path)) => f.write_str(&shown(path)),
            Self::Unix(None) => f.write_str("unnamed"),
            Self::Memory(name) => f.write_str(name),
        }
    }
}

/// Converts an IPv4 address that came through an IPv6 socket. asyncio, whose sockets have one family each, shows it so.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        v4 @ IpAddr::V4(_) => SocketAddr::new(v4, address.port()),
        // Keeps the scope.
        IpAddr::V6(_) => address,
    }
}

/// Returns an address as Python shows it.
pub(super) fn tuple(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => format!("('{}', {})", v4.ip(), v4.port()),
        SocketAddr::V6(v6) => {
            format!("('{}', {}, {}, {})", v6.ip(), v6.port(), v6.flowinfo(), v6.scope_id())
        }
    }
}

/// Returns a path as Python shows it: the null byte of an abstract name is escaped.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string().replace('\0', "\\x00")
}

/// Returns whether a path is an abstract name.
pub(super) fn is_abstract(path: &Path) -> bool {
    path.as_os_str().as_bytes().first() == Some(&0)
}

/// Returns the system's address for a path or an abstract name.
pub(super) fn unix_addr(path: &Path) -> io::Result<UnixAddr> {
    match path.as_os_str().as_bytes() {
        [0, name @ ..] => abstract_addr(name),
        _ => UnixAddr::from_pathname(path),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_addr(name: &[u8]) -> io::Result<UnixAddr> {
    UnixAddr::from_abstract_name(name)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_name(address: &UnixAddr) -> Option<&[u8]> {
    address.as_abstract_name()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_addr(_: &[u8]) -> io::Result<UnixAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no abstract Unix sockets"))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_name(_: &UnixAddr) -> Option<&[u8]> {
    None
}
