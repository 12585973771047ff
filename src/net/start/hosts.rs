//! Where a server listens, as the caller names it.

use crate::combine::gather_at;
use crate::error::Result;
use crate::net::resolve::{all_interfaces, resolve};
use crate::trace::Place;
use std::net::{IpAddr, SocketAddr};

/// The interfaces on which [`start_server`](crate::net::start_server) listens: a name or number, several of them, or `None`
/// or `""` for all there are.
///
/// ```
/// use looplab::net::Hosts;
/// Hosts::from("localhost");
/// Hosts::from(["127.0.0.1", "::1"]);
/// Hosts::from(None);
/// ```
#[derive(Clone, Debug)]
pub struct Hosts(Vec<Option<String>>);

impl Hosts {
    /// All their addresses, each once, in the order in which they were named.
    pub(super) async fn addresses(self, port: u16, place: Place) -> Result<Vec<SocketAddr>> {
        let each = self.0.into_iter().map(|host| async move {
            match host {
                Some(host) if !host.is_empty() => resolve(&host, port, place).await,
                _ => Ok(all_interfaces(port).to_vec()),
            }
        });
        let found = gather_at(place, each).await?;
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found.into_iter().flatten() {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }
}

impl From<Option<&str>> for Hosts {
    fn from(host: Option<&str>) -> Self {
        Self(vec![host.map(str::to_owned)])
    }
}

impl From<&str> for Hosts {
    fn from(host: &str) -> Self {
        Self::from(Some(host))
    }
}

impl From<String> for Hosts {
    fn from(host: String) -> Self {
        Self(vec![Some(host)])
    }
}

impl From<IpAddr> for Hosts {
    fn from(host: IpAddr) -> Self {
        Self::from(host.to_string())
    }
}

impl<const N: usize> From<[&str; N]> for Hosts {
    fn from(hosts: [&str; N]) -> Self {
        Self(hosts.into_iter().map(|host| Some(host.to_owned())).collect())
    }
}

impl From<Vec<String>> for Hosts {
    fn from(hosts: Vec<String>) -> Self {
        Self(hosts.into_iter().map(Some).collect())
    }
}
