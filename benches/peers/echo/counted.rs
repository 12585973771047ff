//! A number of echoed requests within this process, for the instruction counter: the client is another process, which is not
//! counted. 50 connections, 64 bytes.

use super::client;
use crate::tokio_peer;
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CONNECTIONS: u32 = 50;
const SIZE: usize = 64;
const BUFFER: usize = 1024;

/// The first argument of the process that is the client.
pub(crate) const CLIENT: &str = "--echo-client-of";

/// Is that process.
pub(crate) fn be_the_client(arguments: &[String]) {
    let [address, n] = arguments else { return };
    let (Ok(address), Ok(n)) = (address.parse(), n.parse()) else { return };
    let _ = client::ask(address, SIZE, CONNECTIONS as usize, n);
}

fn start_client(address: SocketAddr, n: u32) -> io::Result<Child> {
    let n = n.max(CONNECTIONS);
    Command::new(std::env::current_exe()?).args([CLIENT, &address.to_string(), &n.to_string()]).spawn()
}

/// The time that it returns is not used.
fn ended(client: io::Result<Child>) -> Duration {
    client.and_then(|mut client| client.wait()).expect("the client");
    Duration::ZERO
}

/// A server that ends when its connections have ended, which is when the client has all its answers.
pub(crate) fn on_looplab(n: u32) -> Duration {
    async fn echo(stream: looplab::net::TcpStream) -> looplab::Result<()> {
        let mut buffer = [0; BUFFER];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                n => stream.write_all(&buffer[..n]).await?,
            }
        }
    }
    let lp = looplab::EventLoop::new().expect("a loop");
    let client = Rc::new(Cell::new(None));
    let started = client.clone();
    let served = lp.run_until_complete(async move {
        let listener = looplab::net::TcpListener::bind("127.0.0.1:0")?;
        started.set(Some(start_client(listener.local_addr()?, n)));
        let mut tasks = Vec::new();
        for _ in 0..CONNECTIONS {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tasks.push(looplab::create_task(echo(stream)));
        }
        for task in tasks {
            let _ = task.await;
        }
        Ok(())
    });
    served.expect("it serves");
    ended(client.take().expect("it was started"))
}

/// The same on tokio.
pub(crate) fn on_tokio(n: u32) -> Duration {
    async fn echo(mut stream: tokio::net::TcpStream) -> io::Result<()> {
        let mut buffer = [0; BUFFER];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                n => stream.write_all(&buffer[..n]).await?,
            }
        }
    }
    let served = tokio_peer::runtime().block_on(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let client = start_client(listener.local_addr()?, n);
        let mut tasks = Vec::new();
        for _ in 0..CONNECTIONS {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tasks.push(tokio::spawn(echo(stream)));
        }
        for task in tasks {
            let _ = task.await;
        }
        Ok::<_, io::Error>(client)
    });
    ended(served.expect("it serves"))
}
