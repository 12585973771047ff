//! The servers. Each says its address on a line, then echoes whatever comes on any number of connections, for ever. Each
//! connection's buffer is larger than the largest request, so that one read takes it.

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use std::io::{self, ErrorKind, Read, Write};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const ANY: &str = "127.0.0.1:0";
const BUFFER: usize = 20 * 1024;

fn tell(address: impl std::fmt::Display) {
    println!("{address}");
}

/// A task for each connection, on looplab's sockets.
pub(super) fn looplab() -> Outcome {
    use looplab::net::{TcpListener, TcpStream};
    async fn echo(stream: TcpStream) -> looplab::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                n => stream.write_all(&buffer[..n]).await?,
            }
        }
    }
    async fn serve() -> looplab::Result<()> {
        let listener = TcpListener::bind(ANY)?;
        tell(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            drop(looplab::create_task(echo(stream)));
        }
    }
    looplab::run(serve()).map_err(Into::into)
}

/// The same on its streams: asyncio's floor above.
pub(super) fn streams() -> Outcome {
    use looplab::net::{StreamReader, StreamWriter, start_server};
    async fn echo(reader: StreamReader, writer: StreamWriter) -> looplab::Result<()> {
        loop {
            let data = reader.read(BUFFER).await?;
            if data.is_empty() {
                return Ok(());
            }
            writer.write(&data)?;
            writer.drain().await?;
        }
    }
    looplab::run(async {
        let server = start_server(echo, "127.0.0.1", 0).await?;
        tell(server.sockets()[0].local_addr());
        server.serve_forever().await
    })
    .map_err(Into::into)
}

/// A task for each connection, on tokio's `current_thread`.
pub(super) fn tokio() -> Outcome {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    async fn echo(mut stream: tokio::net::TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                n => stream.write_all(&buffer[..n]).await?,
            }
        }
    }
    async fn serve() -> io::Result<()> {
        let listener = tokio::net::TcpListener::bind(ANY).await?;
        tell(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(echo(stream));
        }
    }
    Ok(crate::tokio_peer::runtime().block_on(serve())?)
}

/// The raw limit: mio and a loop around it, one buffer for all.
pub(super) fn raw() -> Outcome {
    const LISTENER: Token = Token(usize::MAX);
    let mut listener = TcpListener::bind(ANY.parse()?)?;
    tell(listener.local_addr()?);
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Slab<Connection> = Slab::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let entry = connections.vacant_entry();
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(entry.key()), interest)?;
                    entry.insert(Connection { stream, unsent: Vec::new() });
                }
                continue;
            }
            let key = event.token().0;
            if connections.get_mut(key).is_some_and(|connection| !connection.echo(&mut buffer)) {
                connections.remove(key);
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    unsent: Vec<u8>,
}

impl Connection {
    /// Whether it goes on.
    fn echo(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            if !self.unsent.is_empty() && !self.flush() {
                return false;
            }
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(n) => {
                    let sent = self.stream.write(&buffer[..n]).unwrap_or(0);
                    self.unsent.extend_from_slice(&buffer[sent..n]);
                    // A short read has emptied the socket: what comes later is another event.
                    if n < buffer.len() {
                        return true;
                    }
                }
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    fn flush(&mut self) -> bool {
        match self.stream.write(&self.unsent) {
            Ok(n) => {
                self.unsent.drain(..n);
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}
