//! `start_server` and its variants: they bind addresses and start a [`Server`] on them.
//!
//! They guarantee asyncio's texts, and that a failed or dropped call leaves nothing open. Options are set between the call
//! and its await: `start_server(…).limit(1024).await`.

use super::address::{Hosts, Target};
use super::listening::{Listening, bind_all, bind_unix};
use super::server::{ClientConnected, Server};
use super::socket::{AnyListener, Listener};
use super::stream_reader::{DEFAULT_LIMIT, StreamReader};
use super::stream_writer::StreamWriter;
use super::transport::Transport;
use crate::drop_guard::DropGuard;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, ExceptionContext, call, get_running_loop, report};
use crate::outcome::Outcome;
use crate::panics::Guarded;
use crate::task::Task;
use crate::trace::Place;
use std::cell::RefCell;
use std::fmt;
use std::panic::Location;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The default number of connections that one turn accepts.
const BACKLOG: usize = 100;

/// Starts a TCP server that runs `client_connected` in a task for each connection (`asyncio.start_server`).
///
/// `host` is a name or number, several of them, or `None` or `""` for all interfaces. All addresses of a name are bound. For
/// port 0 the system chooses; see [`Server::port`].
///
/// The handler is an async closure or function, or a closure that returns a future. The loop keeps its task. If the handler
/// fails, `Unhandled exception in client_connected_cb` is reported and the connection is closed. If it is cancelled, the
/// connection is closed. After it returns, the connection is closed once its writer is dropped, usually at once.
///
/// Fails with [`Error::Io`] if an address cannot be bound, with asyncio's text, or if a lookup fails, with the system's. Fails
/// with [`Error::Value`] for a limit or a backlog of 0, and with [`Error::Cancelled`]. A failure leaves nothing open.
///
/// ```
/// use looplab::{EventLoop, net::{StreamReader, StreamWriter, open_connection, start_server}};
/// async fn echo(reader: StreamReader, writer: StreamWriter) -> looplab::Result<()> {
///     while let Some(line) = reader.next_line().await? {
///         writer.write(line)?;
///         writer.drain().await?;
///     }
///     Ok(())
/// }
/// EventLoop::new()?.run_until_complete(async {
///     let server = start_server(echo, "127.0.0.1", 0).await?;
///     let (reader, writer) = open_connection("127.0.0.1", server.port()).await?;
///     writer.write("hello\n")?;
///     assert_eq!(reader.readline().await?, b"hello\n");
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias("asyncio.start_server", "loop.create_server"))]
#[track_caller]
pub fn start_server<F, R>(client_connected: F, host: impl Into<Hosts>, port: u16) -> StartServer
where
    F: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: Outcome,
{
    StartServer::new(in_tasks(client_connected), Target::Tcp(host.into(), port), Location::caller())
}

/// Starts a server as [`start_server`] does, but calls a plain function for each connection instead of a task. The function
/// must keep the writer, because dropping it closes the connection.
///
/// ```
/// use looplab::{EventLoop, net::{open_connection, start_server_with}};
/// EventLoop::new()?.run_until_complete(async {
///     let bye = |_, writer: looplab::net::StreamWriter| writer.write("bye\n");
///     let server = start_server_with(bye, "127.0.0.1", 0).await?;
///     let (reader, _writer) = open_connection("127.0.0.1", server.port()).await?;
///     assert_eq!(reader.read_to_end().await?, b"bye\n");
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[track_caller]
pub fn start_server_with<F, R>(client_connected: F, host: impl Into<Hosts>, port: u16) -> StartServer
where
    F: Fn(StreamReader, StreamWriter) -> R + 'static,
    R: Outcome,
{
    StartServer::new(in_calls(client_connected), Target::Tcp(host.into(), port), Location::caller())
}

/// Starts a server on a Unix socket, otherwise as [`start_server`] does (`asyncio.start_unix_server`). A stale socket at the
/// path is replaced. Closing the server removes its own file (since Python 3.13), unless another server has replaced it. A
/// path that begins with a null byte, `"\0name"`, is an abstract name without a file (Linux). The error for a path in use has
/// asyncio's text, any other the system's.
///
/// ```
/// use looplab::{EventLoop, net::start_unix_server};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("socket");
/// EventLoop::new()?.run_until_complete(async move {
///     let server = start_unix_server(async |_, _| {}, &path).await?;
///     assert!(path.exists());
///     server.close();
///     assert!(!path.exists());
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias("asyncio.start_unix_server", "loop.create_unix_server"))]
#[track_caller]
pub fn start_unix_server<F, R>(client_connected: F, path: impl AsRef<Path>) -> StartServer
where
    F: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: Outcome,
{
    let target = Target::Unix(path.as_ref().to_owned());
    StartServer::new(in_tasks(client_connected), target, Location::caller())
}

/// Starts a server on a listener that exists: a TCP or Unix listener, or one in [`memory`](super::memory), otherwise as
/// [`start_server`] does (`asyncio.start_server(sock=…)`).
///
/// Fails with [`Error::Runtime`] for a listener in the memory of another loop.
///
/// ```
/// use looplab::{EventLoop, net::{StreamWriter, TcpListener, open_connection, start_server_on}};
/// EventLoop::new()?.run_until_complete(async {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let server = start_server_on(async |_, writer: StreamWriter| writer.write("hello"), listener).await?;
///     let (reader, _writer) = open_connection("127.0.0.1", server.port()).await?;
///     assert_eq!(reader.read_to_end().await?, b"hello");
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.start_server")]
#[track_caller]
pub fn start_server_on<F, R>(client_connected: F, listener: impl Into<AnyListener>) -> StartServer
where
    F: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: Outcome,
{
    StartServer::new(in_tasks(client_connected), Target::Given(listener.into().0), Location::caller())
}

/// A server that starts when it is awaited. Created by [`start_server`] and its variants. It is a body like any other:
/// [`wait_for`](crate::wait_for), [`create_task`](crate::create_task) and the like take it.
#[must_use = "nothing is started unless it is awaited"]
pub struct StartServer {
    /// Empty once it was polled.
    options: Option<ServerOptions>,
    starting: Option<Pin<Box<dyn Future<Output = Result<Server>>>>>,
}

struct ServerOptions {
    client_connected: ClientConnected,
    target: Target<Hosts, Listener>,
    limit: usize,
    backlog: usize,
    serving: bool,
    place: Place,
}

impl StartServer {
    fn new(client_connected: ClientConnected, target: Target<Hosts, Listener>, place: Place) -> Self {
        let (limit, backlog, serving) = (DEFAULT_LIMIT, BACKLOG, true);
        let options = ServerOptions { client_connected, target, limit, backlog, serving, place };
        Self { options: Some(options), starting: None }
    }

    /// Changes an option of a call that has not begun.
    fn with(mut self, change: impl FnOnce(&mut ServerOptions)) -> Self {
        if let Some(options) = &mut self.options {
            change(options);
        }
        self
    }

    /// Sets the limit of the readers, in bytes, 64 KiB by default (`start_server(limit=…)`); see
    /// [`StreamReader::with_limit`]. With 0 the await fails with [`Error::Value`].
    ///
    /// ```
    /// use looplab::{EventLoop, net::start_server};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let server = start_server(async |_, _| {}, "127.0.0.1", 0).limit(1024).await?;
    ///     let error = start_server(async |_, _| {}, "127.0.0.1", 0).limit(0).await.unwrap_err();
    ///     assert_eq!(error.to_string(), "Limit cannot be <= 0");
    ///     server.close();
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub fn limit(self, limit: usize) -> Self {
        self.with(|options| options.limit = limit)
    }

    /// Sets the number of connections that one turn accepts, 100 by default (`start_server(backlog=…)`). As in asyncio, it
    /// accepts one more. With 0 the await fails with [`Error::Value`]. In asyncio this is the length of the kernel's queue as
    /// well, which the standard library chooses here: 128 for TCP, the system's limit for Unix sockets.
    ///
    /// ```
    /// use looplab::{EventLoop, net::start_server};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let server = start_server(async |_, _| {}, "127.0.0.1", 0).backlog(10).await?;
    ///     let error = start_server(async |_, _| {}, "127.0.0.1", 0).backlog(0).await.unwrap_err();
    ///     assert_eq!(error.to_string(), "Backlog cannot be <= 0");
    ///     server.close();
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub fn backlog(self, backlog: usize) -> Self {
        self.with(|options| options.backlog = backlog)
    }

    /// Sets whether it accepts connections at once, which is the default
    /// (`start_server(start_serving=…)`). Otherwise [`Server::start_serving`] or
    /// [`Server::serve_forever`] begin. Earlier connections wait in the kernel, or in memory. There
    /// is an example at [`Server::start_serving`].
    pub fn start_serving(self, serving: bool) -> Self {
        self.with(|options| options.serving = serving)
    }
}

impl ServerOptions {
    async fn start(self) -> Result<Server> {
        if self.limit == 0 || self.backlog == 0 {
            let what = if self.limit == 0 { "Limit" } else { "Backlog" };
            return Err(Error::Value(format!("{what} cannot be <= 0").into()));
        }
        let listeners = match self.target {
            Target::Tcp(hosts, port) => bind_all(hosts.resolve(port, self.place).await?)?,
            Target::Unix(path) => vec![bind_unix(&path)?],
            Target::Given(listener) => vec![listener],
        };
        let server = {
            let lp = get_running_loop()?;
            let listening = listeners.into_iter().map(|listener| Listening::new(&lp, listener));
            let listening: Result<Vec<_>> = listening.collect();
            Server::new(&lp, listening?, self.client_connected, (self.limit, self.backlog), self.place)
        };
        if self.serving {
            let abandoned = DropGuard::new(|| server.close());
            server.start_serving().await?;
            abandoned.disarm();
        }
        Ok(server)
    }
}

impl fmt::Debug for StartServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.options {
            Some(options) => write!(f, "<server to be started at {:?}>", options.target),
            None => f.write_str("<server that is being started>"),
        }
    }
}

impl Future for StartServer {
    type Output = Result<Server>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Server>> {
        if let Some(options) = self.options.take() {
            self.starting = Some(Box::pin(options.start()));
        }
        let starting = self.starting.as_mut().expect("it began with its first poll");
        starting.as_mut().poll(cx)
    }
}

/// The future of [`StartServer`]: itself.
pub type Starting = StartServer;

/// Runs `handler` in a task for each connection.
fn in_tasks<F, R>(handler: F) -> ClientConnected
where
    F: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: Outcome,
{
    let handler = Rc::new(Guarded::new(handler));
    Rc::new(move |lp, reader, writer, place| {
        let transport = writer.transport();
        // A second handle of the writer, which a handler that succeeds drops. Otherwise the callback closes the connection,
        // and not the end of the body, a turn earlier.
        let kept = Rc::new(RefCell::new(Some(writer.clone())));
        let (handler, keeps) = (handler.clone(), kept.clone());
        // Alternative: a named `async fn`. Problem: it would need `R: 'static`, which the public functions do not have.
        let run_handler = async move {
            (**handler)(reader, writer).await.into_result()?;
            drop(keeps.take());
            Ok(())
        };
        let task = lp.create_task_at(place, run_handler)?;
        task.add_done_callback_at(place, "client_connected", move |task: &Task<()>| {
            match (task.error(), get_running_loop()) {
                (Ok(None), _) => {}
                (Ok(Some(error)), Ok(lp)) => fail(&lp, error, &transport),
                // The task was cancelled.
                _ => transport.close(),
            }
            drop(kept.take());
            Ok::<(), Error>(())
        });
        Ok(())
    })
}

/// Calls `callback` for each connection.
fn in_calls<F, R>(callback: F) -> ClientConnected
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

/// Reports the error of a handler, and closes its connection.
fn fail(lp: &EventLoop, error: Error, transport: &Transport) {
    let context = ExceptionContext::new("Unhandled exception in client_connected_cb");
    report(Some(lp.clone()), context.with_error(error));
    transport.close();
}
