//! Addresses: as a caller writes them ([`Address`], [`Hosts`]), as the system has them ([`Endpoint`]), and the lookup of names.
//!
//! It guarantees that a numeric address needs no thread (asyncio's `_ipaddr_info`), and that a name is looked up in the
//! loop's executor, which the program can replace (`loop.getaddrinfo`). The addresses come in the system's order. An error
//! has the system's text after the name, where asyncio has none: `[Errno -2] Name or service not known`.
//!
//! It does not handle service names: a port is a number.

use crate::combine::gather_at;
use crate::error::{Error, IoError, Result};
use crate::threads::to_thread_at;
use crate::trace::Place;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
#[cfg(target_os = "android")]
use std::os::android::net::SocketAddrExt;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::{Path, PathBuf};

/// An address to connect to: a number, or a name and a port. Made from `SocketAddr`, `(IpAddr, u16)`, `("name", port)` or
/// `"name:port"`.
///
/// ```
/// use looplab::net::Address;
/// let by_text = Address::from("localhost:6379");
/// let by_parts = Address::from(("localhost", 6379));
/// assert_eq!(by_text, by_parts);
/// assert_eq!(Address::from("[::1]:80").to_string(), "[::1]:80");
/// ```
///
/// An empty name is this machine, as asyncio's `host=None`; asyncio rejects `""`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(AddressKind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum AddressKind {
    Numeric(SocketAddr),
    Named(String, u16),
    /// A text that is no address, which is an error when it is used.
    Invalid(String),
}

/// The interfaces on which [`start_server`](super::start_server) listens: a name or number, several of them, or `None` or
/// `""` for all interfaces.
///
/// ```
/// use looplab::net::Hosts;
/// Hosts::from("localhost");
/// Hosts::from(["127.0.0.1", "::1"]);
/// Hosts::from(None);
/// ```
#[derive(Clone, Debug)]
pub struct Hosts(Vec<Option<String>>);

/// The other side of a connection, or the place of a server. `H` is how TCP hosts are named, `S` a socket.
#[derive(Debug)]
pub(super) enum Target<H, S> {
    Tcp(H, u16),
    Unix(PathBuf),
    Given(S),
}

impl Address {
    /// Reads an address with a port, or `name:port`.
    fn parse(text: &str) -> Self {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return address.into();
        }
        let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        match parts {
            Some((host, port)) if !host.contains(':') => (host, port).into(),
            _ => Self(AddressKind::Invalid(text.to_owned())),
        }
    }

    /// Returns all addresses to try, in that order.
    pub(super) async fn resolve(self, place: Place) -> Result<Vec<SocketAddr>> {
        match self.0 {
            AddressKind::Numeric(address) => Ok(vec![address]),
            AddressKind::Named(name, port) => resolve(&name, port, place).await,
            AddressKind::Invalid(text) => {
                Err(Error::Value(format!("not an address with a port: {text:?}").into()))
            }
        }
    }
}

impl Hosts {
    /// Returns all addresses to bind, each once, in the order of the hosts.
    pub(super) async fn resolve(self, port: u16, place: Place) -> Result<Vec<SocketAddr>> {
        let each = self.0.into_iter().map(|host| async move {
            match host {
                Some(host) if !host.is_empty() => resolve(&host, port, place).await,
                // Both families. `bind_all` skips the second if the first serves both.
                _ => Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]),
            }
        });
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in gather_at(place, each).await?.into_iter().flatten() {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }
}

/// Returns all addresses of a name, or a number itself. An empty name is this machine.
pub(super) async fn resolve(host: &str, port: u16, place: Place) -> Result<Vec<SocketAddr>> {
    // For Python's `None` the system returns the loopback addresses. A `&str` has no `None`.
    let host = if host.is_empty() { "localhost" } else { host };
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = host.to_owned();
    let look_up = move || (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
    let addresses = to_thread_at(place, look_up).await?.map_err(|error| {
        let text = format!("{host}: {error}");
        IoError::told(error, text)
    })?;
    if addresses.is_empty() {
        return Err(io::Error::other("getaddrinfo() returned empty list").into());
    }
    Ok(addresses)
}

conversions! { Address:
    address: SocketAddr => Self(AddressKind::Numeric(address));
    address: (IpAddr, u16) => SocketAddr::from(address).into();
    (host, port): (&str, u16) => match host.parse::<IpAddr>() {
        Ok(address) => (address, port).into(),
        Err(_) => Self(AddressKind::Named(host.to_owned(), port)),
    };
    (host, port): (String, u16) => (host.as_str(), port).into();
    text: &str => Self::parse(text);
    text: String => Self::parse(&text);
    text: &String => Self::parse(text);
}

/// Writes `name:port`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            AddressKind::Numeric(address) => address.fmt(f),
            AddressKind::Named(name, port) => write!(f, "{name}:{port}"),
            AddressKind::Invalid(text) => f.write_str(text),
        }
    }
}

conversions! { Hosts:
    host: Option<&str> => Self(vec![host.map(str::to_owned)]);
    host: &str => Some(host).into();
    host: String => vec![host].into();
    host: IpAddr => host.to_string().into();
    hosts: Vec<String> => Self(hosts.into_iter().map(Some).collect());
}

impl<const N: usize> From<[&str; N]> for Hosts {
    fn from(hosts: [&str; N]) -> Self {
        Vec::from(hosts.map(str::to_owned)).into()
    }
}

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
