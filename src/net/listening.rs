//! `Listening`: one listening socket of a server, from its binding to its end.
//!
//! It guarantees asyncio's choice of addresses, and its texts. It accepts connections and passes them on.

use super::address::{Endpoint, is_abstract, shown, tuple, unix_addr};
use super::socket::{Listener, Socket};
use crate::error::{Error, IoError, Result};
use crate::event_loop::{EventLoop, ExceptionContext, TimerHandle, Watch, get_running_loop, report};
use crate::trace::{Direction, Place};
use std::any::type_name_of_val;
use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process;
use std::rc::Rc;
use std::time::Duration;

/// The pause after the system had no descriptor left (`ACCEPT_RETRY_DELAY`).
const RETRY: Duration = Duration::from_secs(1);

/// EMFILE, ENFILE, ENOMEM, ENOBUFS: a connection waits, and the system lacks something to accept it.
const OUT_OF_RESOURCES: [i32; 4] = [24, 23, 12, if cfg!(target_os = "linux") { 105 } else { 55 }];

/// A listening socket of a [`Server`](crate::net::Server), as [`Server::sockets`](crate::net::Server::sockets) returns it. It
/// does not keep the socket open.
///
/// ```
/// use looplab::{EventLoop, net::start_server};
/// EventLoop::new()?.run_until_complete(async {
///     let server = start_server(async |_, _| {}, ["127.0.0.1", "127.0.0.1"], 0).await?;
///     let sockets = server.sockets();
///     assert_eq!(sockets.len(), 1);                              // each address once
///     assert_eq!(sockets[0].local_addr().to_string(), format!("127.0.0.1:{}", server.port()));
///     assert!(sockets[0].fileno() > 2);
///     server.close();
///     assert!(server.sockets().is_empty());
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSocket {
    name: Endpoint,
    fd: RawFd,
}

impl ServerSocket {
    pub(super) fn new(listening: &Listening) -> Self {
        Self { name: listening.name.clone(), fd: listening.listener.as_raw_fd() }
    }

    /// Returns the address on which it listens (`getsockname`).
    #[must_use]
    pub fn local_addr(&self) -> Endpoint {
        self.name.clone()
    }

    /// Returns the number of its descriptor (`fileno`), which is valid while the server is open;
    /// negative for a socket in memory.
    #[must_use]
    pub fn fileno(&self) -> RawFd {
        self.fd
    }
}

/// Takes an accepted connection and its peer.
pub(super) type Accepted = Rc<dyn Fn(Socket, Endpoint) -> Result<()>>;

/// The registration ends before the socket is closed.
pub(super) struct Listening {
    watch: Watch,
    listener: Listener,
    pub(super) name: Endpoint,
    stopped: Cell<bool>,
    /// The next attempt after the system had no descriptor left.
    retry: RefCell<Option<TimerHandle>>,
    /// The file of a Unix socket and its inode number.
    file: RefCell<Option<(PathBuf, u64)>>,
    /// The process that listens. The copy of a forked child must not remove the file.
    process: u32,
}

impl Listening {
    pub(super) fn new(lp: &EventLoop, listener: Listener) -> Result<Self> {
        listener.set_nonblocking()?;
        let name = listener.local_addr()?;
        let file = name.path().and_then(|path| Some((path.to_owned(), inode(path)?)));
        Ok(Self {
            watch: listener.watch(lp)?,
            listener,
            name,
            stopped: Cell::new(false),
            retry: RefCell::default(),
            file: RefCell::new(file),
            process: process::id(),
        })
    }

    /// Calls `accepted` with each connection. In a turn it accepts at most one more than `backlog`.
    pub(super) fn listen(self: &Rc<Self>, backlog: usize, place: Place, accepted: Accepted) -> Result<()> {
        let listening = self.clone();
        self.watch.call(Direction::Read, place, "accept_connection", move || {
            match accept_all(backlog, || listening.accept(), |(socket, peer)| accepted(socket, peer)) {
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    listening.watch.drained(Direction::Read);
                    Ok(())
                }
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => Ok(()),
                Err(Error::Io(error)) if is_out_of_resources(&error) => {
                    listening.pause(backlog, place, accepted.clone(), error)
                }
                other => other,
            }
        })
    }

    fn accept(&self) -> io::Result<(Socket, Endpoint)> {
        // The exception handler may have closed the server.
        if self.stopped.get() { Err(ErrorKind::WouldBlock.into()) } else { self.listener.accept() }
    }

    /// Stops listening for a while, because the poll would report the waiting connection in each turn.
    fn pause(
        self: &Rc<Self>,
        backlog: usize,
        place: Place,
        accepted: Accepted,
        error: IoError,
    ) -> Result<()> {
        self.watch.unset(Direction::Read);
        let (lp, listening) = (get_running_loop()?, self.clone());
        let retry = move || {
            drop(listening.retry.take());
            listening.listen(backlog, place, accepted)
        };
        let name = type_name_of_val(&retry);
        let timer = lp.set_timer_named(place, name, lp.time() + RETRY, retry)?;
        *self.retry.borrow_mut() = Some(timer);
        let context = ExceptionContext::new("socket.accept() out of system resource");
        report(Some(lp), context.with_error(Error::Io(error)));
        Ok(())
    }

    /// Stops listening. The socket is closed with the last handle of this.
    pub(super) fn stop(&self) {
        self.stopped.set(true);
        self.watch.unset(Direction::Read);
        if let Some(retry) = self.retry.take() {
            retry.cancel();
        }
        let Some((path, number)) = self.file.take() else { return };
        // Another server may have replaced the file.
        if self.process == process::id()
            && inode(&path) == Some(number)
            && let Err(error) = fs::remove_file(&path)
            && error.kind() != ErrorKind::NotFound
        {
            log_error!("Unable to clean up listening UNIX socket {path:?}: {error}");
        }
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

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|file| file.ino())
}

/// Binds all addresses. An address without a family or interface is skipped. Any other failure closes all sockets.
pub(super) fn bind_all(mut addresses: Vec<SocketAddr>) -> Result<Vec<Listener>> {
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

pub(super) fn bind_unix(path: &Path) -> Result<Listener> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_process_that_listens_removes_a_unix_sockets_file() -> Result<()> {
        let lp = EventLoop::new()?;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        let mut listening = Listening::new(&lp, Listener::Unix(UnixListener::bind(&path)?))?;
        let file = listening.file.borrow().clone();
        // As a forked child sees it.
        listening.process += 1;
        listening.stop();
        assert!(path.exists());
        listening.process -= 1;
        *listening.file.borrow_mut() = file;
        listening.stop();
        assert!(!path.exists());
        Ok(())
    }

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
