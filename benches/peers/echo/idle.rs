//! Connections that are there, each with a task that waits for the next request, and do nothing.

use super::client::greeted;
use looplab::EventLoop;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

/// What a connection's task reads into.
const BUFFER: usize = 64;

/// Raises the limit of descriptors as far as it goes; how many of `wanted` connections it allows, `ends` descriptors each.
pub(crate) fn allowed(wanted: u32, ends: u64) -> u32 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(100) / ends;
    u32::try_from(most).unwrap_or(u32::MAX).min(wanted)
}

/// The clients' ends of `n` connections, held by a process of their own until this is dropped.
pub(crate) struct Clients(Child);

impl Clients {
    fn start(address: SocketAddr, n: u32) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([CHILD, &address.to_string(), &n.to_string()]).stdin(Stdio::piped());
        command.spawn().map(Self)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first argument of the process that holds the clients' ends.
pub(crate) const CHILD: &str = "--idle-clients-of";

/// Is that process, until its input ends.
pub(crate) fn be_the_child(arguments: &[String]) {
    let [address, n] = arguments else { return };
    let (Ok(address), Ok(n)) = (address.parse::<SocketAddr>(), n.parse()) else { return };
    let n = allowed(n, 1);
    let _connections: Vec<_> = (0..n).filter_map(|_| greeted(address).ok()).collect();
    let _ = io::stdin().read(&mut [0]);
}

/// On looplab's sockets.
pub(crate) fn on_looplab(lp: &EventLoop, n: u32) -> Clients {
    async fn echo(stream: looplab::net::TcpStream) -> looplab::Result<()> {
        let mut buffer = [0; BUFFER];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                n => stream.write_all(&buffer[..n]).await?,
            }
        }
    }
    let serve = async move {
        let listener = looplab::net::TcpListener::bind("127.0.0.1:0")?;
        let clients = Clients::start(listener.local_addr()?, n)?;
        for _ in 0..n {
            let (stream, _) = listener.accept().await?;
            drop(looplab::create_task(echo(stream)));
        }
        // The last one takes its first step.
        looplab::yield_now().await?;
        Ok(clients)
    };
    lp.run_until_complete(serve).expect("connections")
}

/// On tokio's.
pub(crate) fn on_tokio(runtime: &Runtime, n: u32) -> Clients {
    async fn echo(mut stream: tokio::net::TcpStream) -> io::Result<()> {
        let mut buffer = [0; BUFFER];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                n => stream.write_all(&buffer[..n]).await?,
            }
        }
    }
    async fn serve(n: u32) -> io::Result<Clients> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let clients = Clients::start(listener.local_addr()?, n)?;
        for _ in 0..n {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(echo(stream));
        }
        tokio::task::yield_now().await;
        Ok(clients)
    }
    runtime.block_on(serve(n)).expect("connections")
}
