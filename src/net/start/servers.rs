//! Starting servers: addresses are bound, and a handler gets each connection.

use super::Hosts;
use crate::error::{Error, IoError, Result};
use crate::event_loop::get_running_loop;
use crate::net::resolve::tuple;
use crate::net::server::{Connected, Listener, Listening, Server};
use crate::net::stream_reader::{DEFAULT_LIMIT, StreamReader};
use crate::net::stream_writer::StreamWriter;
use crate::net::transport::shown;
use crate::net::unix::address;
use crate::outcome::Outcome;
use crate::trace::Place;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::pin::Pin;

/// How many connections one turn accepts, unless another number is asked for.
const BACKLOG: usize = 100;

/// Starts a TCP server whose connections each get a task that runs `client_connected` (`asyncio.start_server`).
///
/// `host` is a name or number, several of them, or `None` or `""` for all interfaces; port 0 lets the system choose (see
/// [`Server::port`]). Every address that a name stands for is bound.
///
/// The handler is an async closure or function, or a closure that returns a future. The loop keeps its task. If it fails,
/// that is reported as `Unhandled exception in client_connected_cb` and the connection is closed; if it is cancelled, the
/// connection is closed. If it returns, the connection is closed when its writer is dropped, so usually at once, after what
/// was written is flushed.
///
/// Fails with [`Error::Io`] if an address cannot be bound, with asyncio's text, or if a name is not known, with the system's;
/// with [`Error::Value`] for a limit or a backlog of 0; with [`Error::Cancelled`], and nothing is left open then.
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
#[track_caller]
pub fn start_server<F, R>(client_connected: F, host: impl Into<Hosts>, port: u16) -> StartServer
where
    F: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: Outcome,
{
    StartServer::new(Server::in_tasks(client_connected), At::Tcp(host.into(), port), Location::caller())
}

/// As [`start_server`], with a plain callback instead of a task for each connection. It must put the writer somewhere: the
/// connection is closed when that is dropped.
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
    StartServer::new(Server::in_calls(client_connected), At::Tcp(host.into(), port), Location::caller())
}

/// Starts a server on a Unix socket (`asyncio.start_unix_server`); else as [`start_server`]. A socket that was left behind
/// under the path is replaced; when the server is closed, its own is removed (as of 3.13), unless another one stands in its
/// place by then. A path that begins with a null byte, `"\0name"`, is an abstract name, which has no file (Linux). For a
/// path that is taken the error has asyncio's text, for any other failure the system's.
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
#[track_caller]
pub fn start_unix_server<F, R>(client_connected: F, path: impl AsRef<Path>) -> StartServer
where
    F: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: Outcome,
{
    let at = At::Unix(path.as_ref().to_owned());
    StartServer::new(Server::in_tasks(client_connected), at, Location::caller())
}

/// A server to be started, when it is awaited; made by [`start_server`] and its like.
#[must_use = "nothing is started unless it is awaited"]
pub struct StartServer {
    connected: Connected,
    at: At,
    limit: usize,
    backlog: usize,
    serving: bool,
    place: Place,
}

#[derive(Debug)]
enum At {
    Tcp(Hosts, u16),
    Unix(PathBuf),
}

impl StartServer {
    fn new(connected: Connected, at: At, place: Place) -> Self {
        Self { connected, at, limit: DEFAULT_LIMIT, backlog: BACKLOG, serving: true, place }
    }

    /// The limit of the readers, in bytes, 64 KiB unless it is set (`start_server(limit=…)`); see
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
        Self { limit, ..self }
    }

    /// Sets how many connections one turn accepts, as in asyncio one more than this; 100 unless it is set
    /// (`start_server(backlog=…)`). With 0 the await fails with [`Error::Value`]. In asyncio it is the length of the kernel's
    /// queue, too. Here that is the standard library's choice: 128 for TCP, and the system's limit for Unix sockets.
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
        Self { backlog, ..self }
    }

    /// Whether it accepts connections at once, as it does unless it is told otherwise (`start_server(start_serving=…)`);
    /// else [`Server::start_serving`] or [`Server::serve_forever`] begin. The sockets listen already: who connects waits in
    /// the kernel. There is an example at [`Server::start_serving`].
    pub fn start_serving(self, serving: bool) -> Self {
        Self { serving, ..self }
    }

    async fn start(self) -> Result<Server> {
        if self.limit == 0 || self.backlog == 0 {
            let what = if self.limit == 0 { "Limit" } else { "Backlog" };
            return Err(Error::Value(format!("{what} cannot be <= 0").into()));
        }
        let listeners = match self.at {
            At::Tcp(hosts, port) => bind_all(&hosts.addresses(port, self.place).await?)?,
            At::Unix(path) => vec![bind_unix(&path)?],
        };
        let server = {
            let lp = get_running_loop()?;
            let sockets: Result<Vec<_>> =
                listeners.into_iter().map(|listener| Listening::new(&lp, listener)).collect();
            Server::new(&lp, sockets?, self.connected, (self.limit, self.backlog), self.place)
        };
        if self.serving {
            let mut half = Half(Some(server.clone()));
            server.start_serving().await?;
            half.0 = None;
        }
        Ok(server)
    }
}

/// Closes a server that is given up before it is there.
struct Half(Option<Server>);

impl Drop for Half {
    fn drop(&mut self) {
        if let Some(server) = self.0.take() {
            server.close();
        }
    }
}

/// Binds every address. One whose family is not there is left out; any other failure closes all of them.
fn bind_all(addresses: &[SocketAddr]) -> Result<Vec<Listener>> {
    let mut bound: Vec<TcpListener> = Vec::new();
    let mut left_out = Vec::new();
    // A socket that takes both families comes first: bound after the other one, it would be refused.
    let mut addresses = addresses.to_vec();
    addresses.sort_by_key(|address| address.ip() == Ipv4Addr::UNSPECIFIED);
    for address in &addresses {
        let both = taken_by_both(&bound, *address);
        let target = both.map_or(*address, |port| SocketAddr::new(address.ip(), port));
        match TcpListener::bind(target) {
            Ok(listener) => bound.push(listener),
            Err(error) if both.is_some() && error.kind() == ErrorKind::AddrInUse => {}
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable || no_such_family(&error) => {
                left_out.push(refused(*address, error));
            }
            Err(error) => return Err(refused(*address, error).into()),
        }
    }
    if bound.is_empty() {
        let all: Vec<String> = addresses.iter().map(|address| tuple(*address)).collect();
        let text = format!("could not bind on any address out of [{}]", all.join(", "));
        let error = IoError::several(left_out, text.clone());
        return Err(error.unwrap_or_else(|| io::Error::other(text).into()).into());
    }
    let listener = |listener: TcpListener| {
        listener.set_nonblocking(true)?;
        Ok(Listener::Tcp(mio::net::TcpListener::from_std(listener)))
    };
    bound.into_iter().map(listener).collect()
}

/// The port of a bound socket that may take the connections to `address`, too. The standard library's IPv6 socket for all
/// interfaces takes IPv4 connections as well, unless the system says otherwise. asyncio has one socket for each; here the
/// second is left out if the first has its port.
fn taken_by_both(bound: &[TcpListener], address: SocketAddr) -> Option<u16> {
    if address.ip() != Ipv4Addr::UNSPECIFIED {
        return None;
    }
    let everywhere = bound.iter().filter_map(|listener| listener.local_addr().ok());
    let mut ports = everywhere.filter(|first| first.ip() == Ipv6Addr::UNSPECIFIED).map(|first| first.port());
    ports.find(|port| address.port() == 0 || address.port() == *port)
}

/// EAFNOSUPPORT.
fn no_such_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(if cfg!(target_os = "linux") { 97 } else { 47 })
}

fn bind_unix(path: &Path) -> Result<Listener> {
    // The folder may permit making a socket and nothing else.
    if !is_abstract(path)
        && let Err(error) = remove_stale(path, |path| fs::remove_file(path))
    {
        log_error!("Unable to check or remove stale UNIX socket {path:?}: {error}");
    }
    let listener = UnixListener::bind_addr(&address(path)?).map_err(|error| match error.raw_os_error() {
        Some(number) if error.kind() == ErrorKind::AddrInUse => {
            let text = format!("[Errno {number}] Address '{}' is already in use", shown(path));
            IoError::told(error, text)
        }
        _ => error.into(),
    })?;
    listener.set_nonblocking(true)?;
    Ok(Listener::Unix(mio::net::UnixListener::from_std(listener)))
}

fn is_abstract(path: &Path) -> bool {
    path.as_os_str().as_bytes().first() == Some(&0)
}

/// Removes the socket of an earlier server. Another process may do the same at the same time.
fn remove_stale(path: &Path, remove: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let is_socket = fs::metadata(path).map(|file| file.file_type().is_socket());
    match is_socket.and_then(|is_socket| if is_socket { remove(path) } else { Ok(()) }) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// asyncio's text.
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
        write!(f, "<server to be started at {:?}>", self.at)
    }
}

impl IntoFuture for StartServer {
    type Output = Result<Server>;
    type IntoFuture = Starting;
    fn into_future(self) -> Starting {
        Starting(Box::pin(self.start()))
    }
}

/// The future of [`StartServer`].
#[must_use = "futures do nothing unless awaited"]
pub struct Starting(Pin<Box<dyn Future<Output = Result<Server>>>>);

impl Future for Starting {
    type Output = Result<Server>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Starting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<starting a server>")
    }
}

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
        removed.expect("it is gone, and that is all that was asked for");
        let refused = remove_stale(folder.path(), |_| Err(ErrorKind::PermissionDenied.into()));
        refused.expect("a folder is no socket");
    }
}
