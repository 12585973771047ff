//! A Redis server to talk to: the one that `REDIS_URL` names, a `redis-server` of our own, or else one within this program.
//!
//! It promises that a server which it started listens on this machine only, writes no file, and ends with this value.

use super::browser;
use super::redis_embedded::EmbeddedRedis;
use std::env;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

/// A server for Redis: the one of `REDIS_URL`, or one that is killed when this value is dropped.
pub struct RedisServer {
    /// `redis://HOST:PORT`, or what the variable says.
    pub url: String,
    own: Option<Child>,
    embedded: Option<EmbeddedRedis>,
}

impl RedisServer {
    /// Finds or starts one. A machine without Redis gets an embedded one.
    pub fn find() -> Result<Self, String> {
        match env::var("REDIS_URL") {
            Ok(url) if !url.is_empty() => Ok(Self { url, own: None, embedded: None }),
            _ => Self::start(),
        }
    }

    /// Starts the embedded one.
    pub fn embedded() -> Result<Self, String> {
        let embedded = EmbeddedRedis::start()?;
        Ok(Self { url: format!("redis://{}", embedded.address), own: None, embedded: Some(embedded) })
    }

    /// Whether it is the embedded one.
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Starts a `redis-server` on a free port, or the embedded one if this machine has none.
    ///
    /// Another process may take the port before the server has it, so there are three attempts.
    fn start() -> Result<Self, String> {
        (0..2).find_map(|_| Self::start_once().ok()).map_or_else(Self::start_once, Ok)
    }

    fn start_once() -> Result<Self, String> {
        let address = browser::free_address().map_err(|error| error.to_string())?;
        let port = address.port().to_string();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let own = match child {
            Ok(child) => Some(child),
            Err(error) if error.kind() == ErrorKind::NotFound => return Self::embedded(),
            Err(error) => return Err(format!("redis-server cannot be started: {error}")),
        };
        let server = Self { url: format!("redis://127.0.0.1:{port}"), own, embedded: None };
        server.wait_until_it_answers(address)
    }

    fn wait_until_it_answers(mut self, address: SocketAddr) -> Result<Self, String> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if answers(address) {
                return Ok(self);
            }
            if let Some(Ok(Some(status))) = self.own.as_mut().map(Child::try_wait) {
                return Err(format!("redis-server ended at once: {status}"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err("redis-server does not answer".to_owned())
    }
}

fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, PATIENCE) else { return false };
    let mut pong = [0; 7];
    stream.set_read_timeout(Some(PATIENCE)).is_ok()
        && stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut pong).is_ok()
        && pong == *b"+PONG\r\n"
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.own {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
