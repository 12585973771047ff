//! Accepting: from a readable listening socket to a handler that runs.
//!
//! It promises asyncio's turns: accepted in turn N, a task of its own makes the connection in N+1, the handler's task is
//! made in N+2 and makes its first step in N+3, in which the first bytes are read.

use super::{Listening, Server, Shared};
use crate::error::{Error, IoError, Result};
use crate::event_loop::{EventLoop, ExceptionContext, call, get_running_loop, report};
use crate::net::start::establish;
use crate::net::stream_reader::StreamReader;
use crate::net::stream_writer::StreamWriter;
use crate::net::transport::{Endpoint, Link, Socket, Transport};
use crate::outcome::Outcome;
use crate::panics::Guarded;
use crate::task::Task;
use crate::trace::{Direction, Place};
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

/// How long accepting pauses when the system has no descriptor left (`ACCEPT_RETRY_DELAY`).
const RETRY: Duration = Duration::from_secs(1);

/// EMFILE, ENFILE, ENOMEM, ENOBUFS: a connection waits, and there is nothing to accept it with.
const OUT_OF_RESOURCES: [i32; 4] = [24, 23, 12, if cfg!(target_os = "linux") { 105 } else { 55 }];

/// Called with each connection.
pub(in crate::net) type Connected = Rc<dyn Fn(&EventLoop, StreamReader, StreamWriter, Place) -> Result<()>>;

impl Shared {
    pub(super) fn listen(self: &Rc<Self>, socket: &Rc<Listening>) -> Result<()> {
        let (server, listening) = (self.clone(), socket.clone());
        socket.watch.call(Direction::Read, self.place, move || server.accept(&listening))
    }

    /// The listening socket is readable.
    fn accept(self: &Rc<Self>, socket: &Rc<Listening>) -> Result<()> {
        let lp = get_running_loop()?;
        let next = || {
            // The exception handler may have closed the server.
            if self.is_closed() { Err(ErrorKind::WouldBlock.into()) } else { socket.listener.accept() }
        };
        let ended = accept_all(self.backlog, next, |(stream, peer)| self.welcome(&lp, stream, peer));
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

    /// The kernel would report the waiting connection again and again: look away for a while.
    fn pause(self: &Rc<Self>, lp: &EventLoop, socket: &Rc<Listening>, error: IoError) -> Result<()> {
        socket.watch.unset(Direction::Read);
        let (server, listening) = (self.clone(), socket.clone());
        let retry = lp.set_timer(self.place, lp.time() + RETRY, move || {
            drop(listening.retry.take());
            server.listen(&listening)
        })?;
        *socket.retry.borrow_mut() = Some(retry);
        let context = ExceptionContext::new("socket.accept() out of system resource");
        report(Some(lp.clone()), context.with_error(Error::Io(error)));
        Ok(())
    }

    /// A connection was accepted. It is a client from now on, so that a server which is closed before the next turn still
    /// serves it. (asyncio makes it one a turn later, and then drops it without a word.)
    fn welcome(self: &Rc<Self>, lp: &EventLoop, stream: Socket, peer: Endpoint) -> Result<()> {
        let reader = StreamReader::with_limit(self.limit)?;
        let link = Link::new(lp, stream, Some(peer), reader, self.place);
        self.attach(&link);
        let server = self.clone();
        lp.create_task_at(self.place, async move {
            let (made, place) = (link.clone(), server.place);
            let made = move || server.connection_made(made);
            match establish(&link, made, place).await {
                // There is nobody to tell, and asyncio tells nobody but in debug mode.
                Err(error) if !error.leaves_the_loop() => {
                    if link.in_debug_mode() {
                        let text = "Error on transport creation for incoming connection";
                        report(Some(get_running_loop()?), ExceptionContext::new(text).with_error(error));
                    }
                    Ok(())
                }
                other => other,
            }
        })?;
        Ok(())
    }

    fn connection_made(&self, link: Rc<Link>) -> Result<()> {
        let connected = self.connected.borrow().clone();
        let Some(connected) = connected else { return Ok(()) };
        let reader = link.reader().clone();
        connected(&get_running_loop()?, reader, StreamWriter::new(link), self.place)
    }
}

/// Accepts until a call fails, at most one connection more than the backlog. A connection that its peer has given up
/// already is passed over.
fn accept_all<T>(
    backlog: usize,
    mut next: impl FnMut() -> io::Result<T>,
    mut welcome: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    for _ in 0..=backlog {
        match next() {
            Ok(connection) => welcome(connection)?,
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn is_out_of_resources(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|number| OUT_OF_RESOURCES.contains(&number))
}

/// Reports what a handler failed with, and closes its connection.
fn fail(lp: &EventLoop, error: Error, transport: &Transport) {
    let context = ExceptionContext::new("Unhandled exception in client_connected_cb");
    report(Some(lp.clone()), context.with_error(error));
    transport.close();
}

impl Server {
    /// A task for each connection.
    pub(in crate::net) fn in_tasks<F, R>(handler: F) -> Connected
    where
        F: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
        R: Outcome,
    {
        let handler = Rc::new(Guarded::new(handler));
        Rc::new(move |lp, reader, writer, place| {
            let transport = writer.transport();
            // A connection whose handler fails or is cancelled is closed by what comes after the task, and not when the
            // body drops its writer, a turn earlier.
            let kept = Rc::new(RefCell::new(Some(writer.clone())));
            let (handler, keeps) = (handler.clone(), kept.clone());
            let task = lp.create_task_at(place, async move {
                let outcome = (**handler)(reader, writer).await.into_result().map(drop);
                if outcome.is_ok() {
                    drop(keeps.take());
                }
                outcome
            })?;
            task.add_done_callback_at(place, move |task: &Task<()>| {
                match (task.error(), get_running_loop()) {
                    (Ok(None), _) => {}
                    (Ok(Some(error)), Ok(lp)) => fail(&lp, error, &transport),
                    // Cancelled.
                    _ => transport.close(),
                }
                drop(kept.take());
                Ok::<(), Error>(())
            });
            Ok(())
        })
    }

    /// A plain call for each connection.
    pub(in crate::net) fn in_calls<F, R>(callback: F) -> Connected
    where
        F: Fn(StreamReader, StreamWriter) -> R + 'static,
        R: Outcome,
    {
        let callback = Guarded::new(callback);
        Rc::new(move |lp, reader, writer, _| {
            let transport = writer.transport();
            match call(|| callback(reader, writer)) {
                // As in Python, a cancellation is no `Exception`: the callback's handle reports it.
                Err(error) if !error.is_cancelled() && !error.leaves_the_loop() => {
                    fail(lp, error, &transport);
                    Ok(())
                }
                other => other,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `accept_all` does with these answers of the system: its result, and the connections.
    fn accepted(backlog: usize, answers: &[Result<u8, ErrorKind>]) -> (Result<()>, Vec<u8>) {
        let mut answers = answers.iter();
        let mut welcomed = Vec::new();
        let next =
            || answers.next().map_or(Err(ErrorKind::WouldBlock), |answer| *answer).map_err(io::Error::from);
        let ended = accept_all(backlog, next, |connection| {
            welcomed.push(connection);
            Ok(())
        });
        (ended, welcomed)
    }

    fn kind(ended: Result<()>) -> Option<ErrorKind> {
        if let Err(Error::Io(error)) = ended { Some(error.kind()) } else { None }
    }

    #[test]
    fn a_connection_that_was_aborted_is_passed_over_and_counts_as_an_attempt() {
        let aborted = Err(ErrorKind::ConnectionAborted);
        let (ended, welcomed) = accepted(3, &[Ok(1), aborted, Ok(2)]);
        assert_eq!((kind(ended), welcomed), (Some(ErrorKind::WouldBlock), vec![1, 2]));
        let (ended, welcomed) = accepted(2, &[Ok(1), aborted, Ok(2), Ok(3)]);
        assert_eq!((kind(ended), welcomed), (None, vec![1, 2]));
    }

    #[test]
    fn an_interrupted_call_ends_the_turns_accepting() {
        let (ended, welcomed) = accepted(3, &[Ok(1), Err(ErrorKind::Interrupted), Ok(2)]);
        assert_eq!((kind(ended), welcomed), (Some(ErrorKind::Interrupted), vec![1]));
    }
}
