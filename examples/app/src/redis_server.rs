//! A Redis server to talk to: the one that `REDIS_URL` names, or one of our own.
//!
//! It promises that a server which it started listens on this machine only, writes no file, and ends with this value.

use super::browser;
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
}

impl RedisServer {
    /// Finds or starts one; else says what to do.
    pub fn find() -> Result<Self, String> {
        match env::var("REDIS_URL") {
            Ok(url) if !url.is_empty() => Ok(Self { url, own: None }),
            _ => Self::start(),
        }
    }

    /// Starts one on a free port.
    pub fn start() -> Result<Self, String> {
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
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(HOW.to_owned()),
            Err(error) => return Err(format!("redis-server cannot be started: {error}")),
        };
        let server = Self { url: format!("redis://127.0.0.1:{port}"), own };
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

const HOW: &str = "there is no redis-server on this machine (Debian: apt-get install redis-server), and REDIS_URL names none";

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
