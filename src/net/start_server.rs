//! `start_server` and its variants: they bind addresses and start a [`Server`] on them.
//!
//! They guarantee asyncio's texts, and that a failed or dropped call leaves nothing open. Options are set between the call
//! and its await: `start_server(…).limit(1024).await`.

use super::address::{Hosts, Target};
use super::endpoint::{is_abstract, shown, tuple, unix_addr};
use super::server::{ClientConnected, Listening, Server, in_calls, in_tasks};
use super::socket::{AnyListener, Listener};
use super::stream_reader::{DEFAULT_LIMIT, StreamReader};
use super::stream_writer::StreamWriter;
use crate::drop_guard::DropGuard;
use crate::error::{Error, IoError, Result};
use crate::event_loop::get_running_loop;
use crate::outcome::Outcome;
use crate::trace::Place;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::panic::Location;
use std::path::Path;
use std::pin::Pin;
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
#[doc(alias = "asyncio.start_server")]
#[track_caller]
pub fn start_server<F, R>(client_connected: F, host: impl Into<Hosts>, port: u16) -> StartServer
where
    F: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: Outcome,
{
    let target = Target::Tcp(host.into(), port);
    StartServer::new(in_tasks(client_connected), target, Location::caller())
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
    let target = Target::Tcp(host.into(), port);
    StartServer::new(in_calls(client_connected), target, Location::caller())
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
#[doc(alias = "asyncio.start_unix_server")]
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
    let target = Target::Given(listener.into().0);
    StartServer::new(in_tasks(client_connected), target, Location::caller())
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

/// Binds all addresses. An address without a family or interface is skipped. Any other failure closes all sockets.
fn bind_all(mut addresses: Vec<SocketAddr>) -> Result<Vec<Listener>> {
    let mut bound: Vec<TcpListener> = Vec::new();
    let mut skipped = Vec::new();
    // A socket for both families comes first, because the system refuses it after the other one.
    addresses.sort_by_key(|address| address.ip() == Ipv4Addr::UNSPECIFIED);
    for address in &addresses {
        let both = served_by_both(&bound, *address);
        let target = both.map_or(*address, |port| SocketAddr::new(address.ip(), port));
        match TcpListener::bind(target) {
            Ok(listener) => bound.push(listener),
            Err(error) if both.is_some() && error.kind() == ErrorKind::AddrInUse => {}
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable || no_such_family(&error) => {
                skipped.push(refused(*address, error));
            }
            Err(error) => return Err(refused(*address, error).into()),
        }
    }
    if bound.is_empty() {
        let all: Vec<String> = addresses.iter().map(|address| tuple(*address)).collect();
        let text = format!("could not bind on any address out of [{}]", all.join(", "));
        let error = IoError::several(skipped, text.clone());
        return Err(error.unwrap_or_else(|| io::Error::other(text).into()).into());
    }
    Ok(bound.into_iter().map(Listener::Tcp).collect())
}

/// Returns the port of a bound socket that may serve `address` as well. The standard library's IPv6 socket for all
/// interfaces accepts IPv4 connections, unless the system is set otherwise. asyncio binds one socket for each family; here
/// the second is skipped if the first has its port.
fn served_by_both(bound: &[TcpListener], address: SocketAddr) -> Option<u16> {
    if address.ip() != Ipv4Addr::UNSPECIFIED {
        return None;
    }
    let everywhere = bound.iter().filter_map(|listener| listener.local_addr().ok());
    let mut ports = everywhere.filter(|first| first.ip() == Ipv6Addr::UNSPECIFIED).map(|first| first.port());
    ports.find(|port| address.port() == 0 || address.port() == *port)
}

/// Returns whether an error is `EAFNOSUPPORT`.
fn no_such_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(if cfg!(target_os = "linux") { 97 } else { 47 })
}

fn bind_unix(path: &Path) -> Result<Listener> {
    // The folder may permit creating a socket and nothing else, so a failure here is only logged.
    if !is_abstract(path)
        && let Err(error) = remove_stale(path, |path| fs::remove_file(path))
    {
        log_error!("Unable to check or remove stale UNIX socket {path:?}: {error}");
    }
    let listener =
        UnixListener::bind_addr(&unix_addr(path)?).map_err(|error| match error.raw_os_error() {
            Some(number) if error.kind() == ErrorKind::AddrInUse => {
                let text = format!("[Errno {number}] Address '{}' is already in use", shown(path));
                IoError::told(error, text)
            }
            _ => error.into(),
        })?;
    Ok(Listener::Unix(listener))
}

/// Removes the socket of an earlier server. Another process may remove it at the same time.
fn remove_stale(path: &Path, remove: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let is_socket = fs::metadata(path).map(|file| file.file_type().is_socket());
    match is_socket.and_then(|is_socket| if is_socket { remove(path) } else { Ok(()) }) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Returns the failure of one address in asyncio's words.
fn refused(address: SocketAddr, error: io::Error) -> IoError {
    let text = error.to_string().to_lowercase();
    let text = text.split(" (os error").next().unwrap_or_default();
    let number = error.raw_os_error().unwrap_or_default();
    let address = tuple(address);
    let text = format!(
        "[Errno {number}] error while attempting to bind on address {address}: [errno {number}] {text}"
    );
    IoError::told(error, text)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_that_something_else_removes_first_is_no_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).expect("a socket"));
        let removed = remove_stale(&path, |path| {
            fs::remove_file(path)?;
            fs::remove_file(path)
        });
        removed.expect("the file is gone");
        let refused = remove_stale(folder.path(), |_| Err(ErrorKind::PermissionDenied.into()));
        refused.expect("a folder is no socket");
    }
}
