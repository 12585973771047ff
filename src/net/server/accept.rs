//! Accepting: from a readable listening socket to a handler that runs.
//!
//! It promises asyncio's turns: accepted in turn N, a task of its own makes the connection in N+1, the handler's task is
//! made in N+2 and makes its first step in N+3, in which the first bytes are read.

use super::{Listening, Server, Shared};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, ExceptionContext, get_running_loop};
use crate::net::start::establish;
use crate::net::stream_reader::StreamReader;
use crate::net::stream_writer::StreamWriter;
use crate::net::transport::{Endpoint, Link, Socket};
use crate::outcome::Outcome;
use crate::task::Task;
use crate::trace::Direction;
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

/// How long accepting pauses when the system has no descriptor left (`ACCEPT_RETRY_DELAY`).
const RETRY: Duration = Duration::from_secs(1);

/// EMFILE, ENFILE, ENOMEM, ENOBUFS: a connection waits, and there is nothing to accept it with.
const OUT_OF_RESOURCES: [i32; 4] = [24, 23, 12, if cfg!(target_os = "linux") { 105 } else { 55 }];

/// What is called with each connection.
pub(in crate::net) type Connected = Box<dyn Fn(&EventLoop, StreamReader, StreamWriter) -> Result<()>>;

impl Shared {
    pub(super) fn listen(self: &Rc<Self>, socket: &Rc<Listening>) -> Result<()> {
        let (server, listening) = (self.clone(), socket.clone());
        socket.watch.call(Direction::Read, self.place, move || server.accept(&listening))
    }

    /// The listening socket is readable: accepts all that wait, up to the backlog.
    fn accept(self: &Rc<Self>, socket: &Rc<Listening>) -> Result<()> {
        let lp = get_running_loop()?;
        for _ in 0..self.backlog {
            if self.is_closed() {
                break;
            }
            match socket.listener.accept() {
                Ok((stream, peer)) => self.welcome(&lp, stream, peer)?,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => {
                        socket.watch.drained(Direction::Read);
                        break;
                    }
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => break,
                    _ if error.raw_os_error().is_some_and(|number| OUT_OF_RESOURCES.contains(&number)) => {
                        return self.pause(&lp, socket, error);
                    }
                    _ => return Err(error.into()),
                },
            }
        }
        Ok(())
    }

    /// The kernel would report the waiting connection again and again: look away for a while.
    fn pause(self: &Rc<Self>, lp: &EventLoop, socket: &Rc<Listening>, error: io::Error) -> Result<()> {
        socket.watch.unset(Direction::Read);
        let (server, listening) = (self.clone(), socket.clone());
        let retry = lp.call_later(RETRY, move || {
            drop(listening.retry.take());
            server.listen(&listening)
        })?;
        *socket.retry.borrow_mut() = Some(retry);
        let context = ExceptionContext::new("socket.accept() out of system resource");
        lp.call_exception_handler(&context.with_error(error.into()));
        Ok(())
    }

    /// A connection was accepted. It is a client from now on, so that a server which is closed before the next turn still
    /// serves it. (asyncio makes it one a turn later, and then drops it without a word.)
    fn welcome(self: &Rc<Self>, lp: &EventLoop, stream: Socket, peer: Endpoint) -> Result<()> {
        let reader = StreamReader::with_limit(self.limit)?;
        let link = Link::new(lp, stream, Some(peer), reader, self.place);
        self.attach(&link);
        let server = self.clone();
        lp.create_task(async move {
            let made = link.clone();
            let made = move || server.connection_made(made);
            match establish(&link, made).await {
                // There is nobody to tell, and asyncio tells nobody but in debug mode.
                Err(error) if !error.leaves_the_loop() => {
                    if link.in_debug_mode() {
                        let text = "Error on transport creation for incoming connection";
                        get_running_loop()?
                            .call_exception_handler(&ExceptionContext::new(text).with_error(error));
                    }
                    Ok(())
                }
                other => other,
            }
        })?;
        Ok(())
    }

    fn connection_made(&self, link: Rc<Link>) -> Result<()> {
        let lp = get_running_loop()?;
        let reader = link.reader().clone();
        (self.connected)(&lp, reader, StreamWriter::new(link))
    }
}

impl Server {
    /// A task for each connection.
    pub(in crate::net) fn in_tasks<F, R>(handler: F) -> Connected
    where
        F: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
        R: Outcome,
    {
        let handler = Rc::new(handler);
        Box::new(move |lp, reader, writer| {
            let transport = writer.transport();
            // A connection whose handler fails or is cancelled is closed by what comes after the task, and not when the
            // body drops its writer, a turn earlier.
            let kept = Rc::new(RefCell::new(Some(writer.clone())));
            let (handler, keeps) = (handler.clone(), kept.clone());
            let task = lp.create_task(async move {
                let outcome = handler(reader, writer).await.into_result().map(drop);
                if outcome.is_ok() {
                    drop(keeps.take());
                }
                outcome
            })?;
            task.add_done_callback(move |task: &Task<()>| {
                match task.error() {
                    Ok(None) => {}
                    Ok(Some(error)) => {
                        let context = ExceptionContext::new("Unhandled exception in client_connected_cb");
                        if let Ok(lp) = get_running_loop() {
                            lp.call_exception_handler(&context.with_error(error));
                        }
                        transport.close();
                    }
                    // Cancelled.
                    Err(_) => transport.close(),
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
        Box::new(move |_, reader, writer| callback(reader, writer).into_result().map(drop))
    }
}
