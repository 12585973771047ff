//! HTTP connections: hyper on looplab's sockets, and the order in which they end.
//!
//! Each connection is a task that drives hyper, each request another one that runs the handler; so a client that goes away
//! does not cancel its handler (aiohttp's rule), and a cancelled handler ends no other task. It promises for the end:
//! idle connections are closed at once, requests in flight are answered for up to twice the timeout, and what is left
//! then is cancelled. There is no timeout while it serves: a client that sends slowly is served slowly.

use super::app::{App, Request, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use looplab::net::memory::{MemoryListener, MemoryStream};
use looplab::net::{TcpListener, TcpStream};
use looplab::sync::Event;
use looplab::{Error, Result, ReturnWhen, Task, TaskRef, cancellable, sleep, wait, yield_now};
use nix::sys::socket::{MsgFlags, recv};
use smol_hyper::rt::FuturesIo;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// How long the listener rests when the system has no descriptor left, as in asyncio.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// A handle of all connections of one server.
#[derive(Clone)]
pub(super) struct Connections(Rc<Inner>);

struct Inner {
    app: App,
    closing: Event,
    tasks: Tasks,
    handlers: Tasks,
}

/// Where connections come from.
pub(super) enum Listener {
    Tcp(TcpListener),
    Memory(MemoryListener),
}

/// What carries a connection.
trait Stream: 'static {
    /// Returns whether there are bytes that hyper has not read.
    fn has_unread(&self) -> bool;
}

impl Stream for TcpStream {
    fn has_unread(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        recv(self.as_raw_fd(), &mut [0], flags).is_ok_and(|n| n > 0)
    }
}

impl Stream for MemoryStream {
    /// What was written in one turn is read in the next, so nothing is left when the serving ends.
    fn has_unread(&self) -> bool {
        false
    }
}

/// Tasks that are not done, by number; each takes itself out.
type Tasks = Rc<RefCell<BTreeMap<u64, TaskRef>>>;

impl Connections {
    pub(super) fn new(app: App) -> Self {
        let (tasks, handlers) = (Tasks::default(), Tasks::default());
        Self(Rc::new(Inner { app, closing: Event::new(), tasks, handlers }))
    }

    /// Accepts until it is cancelled, which closes the listener.
    pub(super) async fn accept_from(self, listener: Listener) -> Result<()> {
        loop {
            match self.accept(&listener).await {
                // However many come, the others have their turns.
                Ok(()) => yield_now().await?,
                Err(Error::Io(error)) if out_of_descriptors(&error) => {
                    log::error!("connections wait, for there is no descriptor left: {error}");
                    sleep(ACCEPT_RETRY_DELAY).await?;
                }
                // The connection was gone before it was accepted, as a rule.
                Err(Error::Io(error)) => {
                    log::debug!("not accepted: {error}");
                    yield_now().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Accepts one connection, and serves it in a task.
    async fn accept(&self, listener: &Listener) -> Result<()> {
        match listener {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // An optimisation; a connection that is gone already refuses it.
                let _ = stream.set_nodelay(true);
                keep(&self.0.tasks, "connection", self.clone().serve(stream));
            }
            Listener::Memory(listener) => {
                let (stream, _) = listener.accept().await?;
                keep(&self.0.tasks, "connection", self.clone().serve(stream));
            }
        }
        Ok(())
    }

    /// One connection, to its end. What went wrong with it is the client's matter.
    async fn serve<S: Stream>(self, stream: S) -> Result<()>
    where
        for<'a> FuturesIo<&'a S>: hyper::rt::Read + hyper::rt::Write + Unpin,
    {
        let service = service_fn(|request| self.request(request));
        let mut connection = pin!(http1::Builder::new().serve_connection(FuturesIo::new(&stream), service));
        let mut closing = pin!(self.0.closing.wait());
        let (mut closes, mut told, mut once_more) = (false, false, true);
        let driven = poll_fn(|cx| {
            let mut polled = connection.as_mut().poll(cx);
            if !closes && let Poll::Ready(closing) = closing.as_mut().poll(cx) {
                closing?;
                closes = true;
            }
            if closes && !told && polled.is_pending() {
                // A request may have come since the last poll: hyper reads it when the loop has told of it.
                told = !(std::mem::take(&mut once_more) && stream.has_unread());
                if told {
                    connection.as_mut().graceful_shutdown();
                    polled = connection.as_mut().poll(cx);
                }
            }
            polled.map_err(Error::other)
        });
        // hyper would take a cancellation between two requests for an error of the socket.
        match cancellable(driven).await? {
            Err(error) if error.is_cancelled() => Err(error),
            _ => Ok(()),
        }
    }

    /// One request. Without an answer (the handler was cancelled) the connection is closed.
    async fn request(&self, request: Request) -> Result<Response> {
        let handler = keep(&self.0.handlers, "request", self.0.app.handle(request));
        match handler.into_output().await {
            Err(error) if !error.is_cancelled() => {
                log::error!("a request handler failed: {error}");
                Ok(super::answer(500, "500 Internal Server Error"))
            }
            answered => answered,
        }
    }

    /// Closes the idle connections, and the others after the request that is in flight.
    pub(super) fn close_idle(&self) {
        self.0.closing.set();
    }

    /// Waits for the requests in flight, at most twice the timeout, then cancels what is left.
    ///
    /// aiohttp waits the timeout for the handler, and once more after it has ended the reading of the request's body.
    /// It does not wait for the cancelled handlers: their cleanup ends when `run_app` ends all tasks.
    pub(super) async fn shutdown(&self, timeout: Duration) -> Result<()> {
        // A connection ends when its last answer is written; a handler may outlive its client's connection.
        for _ in 0..2 {
            all_done([&self.0.tasks, &self.0.handlers], timeout).await?;
        }
        for tasks in [&self.0.handlers, &self.0.tasks] {
            left(tasks).iter().for_each(|task| _ = task.cancel());
        }
        // The next turn delivers the cancellations, and the cleanup hooks run in the one after it.
        for _ in 0..2 {
            yield_now().await?;
        }
        Ok(())
    }
}

fn keep<T: 'static>(tasks: &Tasks, name: &str, body: impl Future<Output = Result<T>> + 'static) -> Task<T> {
    let task = Task::builder().name(name).spawn(body);
    let (id, all) = (task.id(), tasks.clone());
    tasks.borrow_mut().insert(id, task.to_ref());
    task.add_done_callback(move |_| {
        let done = all.borrow_mut().remove(&id);
        drop(done);
    });
    task
}

fn left(tasks: &Tasks) -> Vec<TaskRef> {
    tasks.borrow().values().cloned().collect()
}

async fn all_done<const N: usize>(tasks: [&Tasks; N], timeout: Duration) -> Result<()> {
    let left: Vec<TaskRef> = tasks.iter().flat_map(|tasks| left(tasks)).collect();
    if !left.is_empty() {
        wait(left, ReturnWhen::AllCompleted, Some(timeout)).await?;
    }
    Ok(())
}

/// EMFILE, ENFILE, ENOBUFS, ENOMEM on Linux.
fn out_of_descriptors(error: &std::io::Error) -> bool {
    // ENOBUFS has a number of its own on Linux.
    let no_buffers = if cfg!(target_os = "linux") { 105 } else { 55 };
    matches!(error.raw_os_error(), Some(24 | 23 | 12)) || error.raw_os_error() == Some(no_buffers)
}
