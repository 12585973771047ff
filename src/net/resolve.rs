//! Names and addresses.
//!
//! It promises that a numeric address needs no thread (asyncio's `_ipaddr_info`), and that a name is looked up in the
//! loop's executor, which the program can replace (`loop.getaddrinfo`). The order of the addresses is the system's, and so
//! are the words of a failure, behind the name (asyncio's: `[Errno -2] Name or service not known`, without the name). It
//! knows no service names: a port is a number.

use crate::error::{Error, IoError, Result};
use crate::threads::to_thread_at;
use crate::trace::Place;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// Where to connect to: an address, or a name and a port. Made from `SocketAddr`, `(IpAddr, u16)`, `("name", port)` or
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
/// An empty name is this machine, as `host=None` is for asyncio, where `""` is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(Inner);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Inner {
    Numeric(SocketAddr),
    Named(String, u16),
    /// A text that is no address: told when it is used.
    Bad(String),
}

impl Address {
    /// All addresses that it stands for, in the order in which to try them.
    pub(crate) async fn resolve(self, place: Place) -> Result<Vec<SocketAddr>> {
        match self.0 {
            Inner::Numeric(address) => Ok(vec![address]),
            Inner::Named(name, port) => resolve(&name, port, place).await,
            Inner::Bad(text) => Err(Error::Value(format!("not an address with a port: {text:?}").into())),
        }
    }
}

/// All addresses of a name; of a number, itself. An empty name is this machine (asyncio: `host=None`; `''` is an error
/// there).
pub(crate) async fn resolve(host: &str, port: u16, place: Place) -> Result<Vec<SocketAddr>> {
    // As `None` in Python, for which the system's resolver gives the loopback addresses. A `&str` has no `None`.
    let host = if host.is_empty() { "localhost" } else { host };
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = host.to_owned();
    let look_up = move || (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
    let found = to_thread_at(place, look_up).await?;
    let addresses = found.map_err(|error| unresolved(host, error))?;
    if addresses.is_empty() {
        return Err(std::io::Error::other("getaddrinfo() returned empty list").into());
    }
    Ok(addresses)
}

/// Where a server listens on all interfaces (`host=None` or `""`). Both families; `bind_all` leaves the second out if the
/// first takes both.
pub(crate) fn all_interfaces(port: u16) -> [SocketAddr; 2] {
    [(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]
}

/// An address as Python shows it.
pub(in crate::net) fn tuple(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => format!("('{}', {})", v4.ip(), v4.port()),
        SocketAddr::V6(v6) => {
            format!("('{}', {}, {}, {})", v6.ip(), v6.port(), v6.flowinfo(), v6.scope_id())
        }
    }
}

fn unresolved(host: &str, error: std::io::Error) -> Error {
    let text = format!("{host}: {error}");
    IoError::told(error, text).into()
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(Inner::Numeric(address))
    }
}

impl From<(IpAddr, u16)> for Address {
    fn from(address: (IpAddr, u16)) -> Self {
        Self(Inner::Numeric(address.into()))
    }
}

impl From<(&str, u16)> for Address {
    fn from((host, port): (&str, u16)) -> Self {
        match host.parse::<IpAddr>() {
            Ok(address) => Self(Inner::Numeric((address, port).into())),
            Err(_) => Self(Inner::Named(host.to_owned(), port)),
        }
    }
}

impl From<(String, u16)> for Address {
    fn from((host, port): (String, u16)) -> Self {
        (host.as_str(), port).into()
    }
}

impl From<&str> for Address {
    fn from(text: &str) -> Self {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return address.into();
        }
        let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        match parts {
            Some((host, port)) if !host.contains(':') => (host, port).into(),
            _ => Self(Inner::Bad(text.to_owned())),
        }
    }
}

impl From<String> for Address {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for Address {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

/// `name:port`.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Inner::Numeric(address) => address.fmt(f),
            Inner::Named(name, port) => write!(f, "{name}:{port}"),
            Inner::Bad(text) => f.write_str(text),
        }
    }
}
