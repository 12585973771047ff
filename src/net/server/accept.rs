//! Accepting connections.
//!
//! It guarantees asyncio's turns. In turn N a connection is accepted, and in N+1 a task of its own begins it. In N+2 the
//! handler's task is created, and in N+3 it makes its first step and the first bytes are read.

use super::{Listening, Server};
use crate::error::{Error, IoError, Result};
use crate::event_loop::{EventLoop, ExceptionContext, get_running_loop, report};
use crate::net::endpoint::Endpoint;
use crate::net::socket::Socket;
use crate::net::stream_reader::StreamReader;
use crate::net::stream_writer::StreamWriter;
use crate::net::transport::Transport;
use crate::trace::Direction;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

/// The pause after the system had no descriptor left (`ACCEPT_RETRY_DELAY`).
const RETRY: Duration = Duration::from_secs(1);

/// EMFILE, ENFILE, ENOMEM, ENOBUFS: a connection waits, and the system lacks something to accept it.
const OUT_OF_RESOURCES: [i32; 4] = [24, 23, 12, if cfg!(target_os = "linux") { 105 } else { 55 }];

impl Server {
    pub(super) fn listen(&self, socket: &Rc<Listening>) -> Result<()> {
        let (server, listening) = (self.clone(), socket.clone());
        let (place, name) = (self.0.place, "accept_connection");
        socket.watch.call(Direction::Read, place, name, move || server.accept(&listening))
    }

    /// Accepts the connections that wait at a readable socket.
    fn accept(&self, socket: &Rc<Listening>) -> Result<()> {
        let lp = get_running_loop()?;
        let next = || {
            // The exception handler may have closed the server.
            if self.0.is_closed() { Err(ErrorKind::WouldBlock.into()) } else { socket.listener.accept() }
        };
        let ended = accept_all(self.0.backlog, next, |(socket, peer)| self.begin(&lp, socket, peer));
        match ended {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                socket.watch.drained(Direction::Read);
                Ok(())
            }
            Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(Error::Io(error)) if is_out_of_resources(&error) => self.pause(&lp, socket, error),
            other => other,
        }
    }

    /// Stops listening for a while, because the poll would report the waiting connection in each turn.
    fn pause(&self, lp: &EventLoop, socket: &Rc<Listening>, error: IoError) -> Result<()> {
        socket.watch.unset(Direction::Read);
        let (server, listening) = (self.clone(), socket.clone());
        let retry = lp.set_timer(self.0.place, lp.time() + RETRY, move || {
            drop(listening.retry.take());
            server.listen(&listening)
        })?;
        *socket.retry.borrow_mut() = Some(retry);
        let context = ExceptionContext::new("socket.accept() out of system resource");
        report(Some(lp.clone()), context.with_error(Error::Io(error)));
        Ok(())
    }

    /// Begins an accepted connection. It is a client from now on, so a server that is closed in this turn still serves it.
    /// (asyncio makes it one a turn later, and drops it in this case.)
    fn begin(&self, lp: &EventLoop, socket: Socket, peer: Endpoint) -> Result<()> {
        let reader = StreamReader::with_limit(self.0.limit)?;
        let transport = Transport::new(lp, socket, Some(peer), reader, self.0.place)?;
        self.attach(&transport);
        lp.create_task_at(self.0.place, self.clone().establish(transport))?;
        Ok(())
    }

    /// The body of a new connection's task (asyncio's `_accept_connection2`).
    async fn establish(self, transport: Transport) -> Result<()> {
        let (server, made) = (self.clone(), transport.clone());
        let connection_made = move || server.connection_made(made);
        match transport.establish(connection_made, self.0.place).await {
            Err(error) if !error.leaves_the_loop() => {
                // As asyncio, it reports this in debug mode only.
                if transport.in_debug_mode() {
                    let text = "Error on transport creation for incoming connection";
                    report(Some(get_running_loop()?), ExceptionContext::new(text).with_error(error));
                }
                Ok(())
            }
            other => other,
        }
    }

    fn connection_made(&self, transport: Transport) -> Result<()> {
        let client_connected = self.0.client_connected.borrow().clone();
        let Some(client_connected) = client_connected else { return Ok(()) };
        let reader = transport.reader().clone();
        client_connected(&get_running_loop()?, reader, StreamWriter::new(transport), self.0.place)
    }
}

/// Accepts until a call fails, or one connection more than the backlog. It skips a connection that its peer has aborted.
fn accept_all<T>(
    backlog: usize,
    mut next: impl FnMut() -> io::Result<T>,
    mut begin: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    for _ in 0..=backlog {
        match next() {
            Ok(connection) => begin(connection)?,
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn is_out_of_resources(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|number| OUT_OF_RESOURCES.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `accept_all` does with these answers of the system: its result, and the connections.
    fn accepted(backlog: usize, answers: &[Result<u8, ErrorKind>]) -> (Result<()>, Vec<u8>) {
        let mut answers = answers.iter();
        let mut begun = Vec::new();
        let next =
            || answers.next().map_or(Err(ErrorKind::WouldBlock), |answer| *answer).map_err(io::Error::from);
        let ended = accept_all(backlog, next, |connection| {
            begun.push(connection);
            Ok(())
        });
        (ended, begun)
    }

    fn kind(ended: Result<()>) -> Option<ErrorKind> {
        if let Err(Error::Io(error)) = ended { Some(error.kind()) } else { None }
    }

    #[test]
    fn a_connection_that_was_aborted_is_skipped_and_counts_as_an_attempt() {
        let aborted = Err(ErrorKind::ConnectionAborted);
        let (ended, begun) = accepted(3, &[Ok(1), aborted, Ok(2)]);
        assert_eq!((kind(ended), begun), (Some(ErrorKind::WouldBlock), vec![1, 2]));
        let (ended, begun) = accepted(2, &[Ok(1), aborted, Ok(2), Ok(3)]);
        assert_eq!((kind(ended), begun), (None, vec![1, 2]));
    }

    #[test]
    fn an_interrupted_call_ends_the_turns_accepting() {
        let (ended, begun) = accepted(3, &[Ok(1), Err(ErrorKind::Interrupted), Ok(2)]);
        assert_eq!((kind(ended), begun), (Some(ErrorKind::Interrupted), vec![1]));
    }
}
