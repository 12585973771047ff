//! Which requests are answered: the key, the host, and where the request comes from.
//!
//! The lab listens on 127.0.0.1 only. Other programs of this machine, and every page in the learner's browser, can reach
//! that, so each request must show the key that the lab has printed. `Host` is compared against DNS rebinding. `Origin`
//! and `Sec-Fetch-Site` are compared against other pages, which the browser names there.

use hyper::header::{COOKIE, HOST, HeaderMap, ORIGIN};
use std::fs::File;
use std::io::{self, Read};

/// The key of one lab, and the names by which the lab may be called.
#[derive(Debug)]
pub(crate) struct Gate {
    key: String,
    port: u16,
}

/// Why a request is not answered.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    Host,
    Origin,
    Key,
}

impl Refusal {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Host => "403: this lab has another name",
            Self::Origin => "403: the request comes from another page",
            Self::Key => "403: the key is missing. Open the address that the lab has printed",
        }
    }
}

impl Gate {
    /// Makes a key of 128 random bits.
    pub(crate) fn new(port: u16) -> io::Result<Self> {
        let mut bits = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bits)?;
        let key = bits.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { key, port })
    }

    /// Returns the address to open.
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/?key={}", self.port, self.key)
    }

    /// Returns the cookie that holds the key. A browser sends one cookie to all ports, so the name has the port.
    pub(crate) fn cookie(&self) -> String {
        format!("{}={}; HttpOnly; SameSite=Strict; Path=/", self.cookie_name(), self.key)
    }

    fn cookie_name(&self) -> String {
        format!("looplab-lab-{}", self.port)
    }

    /// Returns whether this is the key. The time does not depend on where a wrong one differs.
    pub(crate) fn is_key(&self, key: &str) -> bool {
        let differs = key.bytes().zip(self.key.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        key.len() == self.key.len() && differs == 0
    }

    /// Compares the headers that name this server and the page that asks.
    pub(crate) fn comes_from_here(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let names = [format!("127.0.0.1:{}", self.port), format!("localhost:{}", self.port)];
        let text = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
        let mut hosts = text(HOST.as_str());
        if !hosts.next().is_some_and(|host| names.iter().any(|name| name == host)) || hosts.next().is_some() {
            return Err(Refusal::Host);
        }
        let own = |origin: &str| names.iter().any(|name| origin.strip_prefix("http://") == Some(name));
        let site = |site: &str| site == "same-origin" || site == "none";
        if text(ORIGIN.as_str()).all(own) && text("sec-fetch-site").all(site) {
            Ok(())
        } else {
            Err(Refusal::Origin)
        }
    }

    /// Looks for the key among the cookies.
    pub(crate) fn has_key(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let name = self.cookie_name();
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        if pairs.any(|(of, key)| of == name && self.is_key(key)) { Ok(()) } else { Err(Refusal::Key) }
    }
}
