//! The client of all servers: connections on one thread, each with one request on its way.

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

struct Connection {
    stream: TcpStream,
    /// Of the request under way: what is still to be written, and to be read.
    to_write: usize,
    to_read: usize,
}

/// How long the server takes for this number of requests, the connections being there before and after.
pub(super) fn ask(
    address: SocketAddr,
    size: usize,
    connections: usize,
    requests: usize,
) -> io::Result<Duration> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(connections);
    let request = vec![b'x'; size];
    let mut buffer = vec![0; 64 * 1024];
    let mut clients = Vec::with_capacity(connections);
    for n in 0..connections {
        // Connected and greeted, so that the time is for requests alone.
        let stream = greeted(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(n), Interest::READABLE | Interest::WRITABLE)?;
        clients.push(Connection { stream, to_write: 0, to_read: 0 });
    }
    let (mut begun, mut answered) = (0, 0);
    let began = Instant::now();
    for client in &mut clients {
        begun += 1;
        client.begin(&request)?;
    }
    while answered < requests {
        poll.poll(&mut events, Some(Duration::from_secs(30)))?;
        if events.is_empty() {
            return Err(ErrorKind::TimedOut.into());
        }
        for event in &events {
            let client = &mut clients[event.token().0];
            client.write(&request)?;
            if client.read(&mut buffer)? {
                answered += 1;
                if begun < requests {
                    begun += 1;
                    client.begin(&request)?;
                }
            }
        }
    }
    Ok(began.elapsed())
}

/// Connects, and waits until the server has echoed a byte. (Connecting faster than a server accepts fills its queue up, and
/// the system tries again only after a second.)
pub(super) fn greeted(address: SocketAddr) -> io::Result<std::net::TcpStream> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])?;
    Ok(stream)
}

impl Connection {
    fn begin(&mut self, request: &[u8]) -> io::Result<()> {
        (self.to_write, self.to_read) = (request.len(), request.len());
        self.write(request)
    }

    fn write(&mut self, request: &[u8]) -> io::Result<()> {
        while self.to_write > 0 {
            match self.stream.write(&request[..self.to_write]) {
                Ok(n) => self.to_write -= n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the answer is complete.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        while self.to_read > 0 {
            match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    self.to_read -= n;
                    // A short read has emptied the socket: what comes later is another event.
                    if n < buffer.len() {
                        return Ok(self.to_read == 0);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
