//! `Listening`: one listening socket of a server, and its registration.

use crate::error::Result;
use crate::event_loop::{EventLoop, TimerHandle, Watch};
use crate::net::endpoint::Endpoint;
use crate::net::socket::Listener;
use crate::trace::Direction;
use std::cell::RefCell;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;

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

/// The registration ends before the socket is closed.
pub(in crate::net) struct Listening {
    pub(super) watch: Watch,
    pub(super) listener: Listener,
    pub(super) name: Endpoint,
    /// The next attempt after the system had no descriptor left.
    pub(super) retry: RefCell<Option<TimerHandle>>,
    /// The file of a Unix socket and its inode number.
    file: RefCell<Option<(PathBuf, u64)>>,
    /// The process that listens. The copy of a forked child must not remove the file.
    process: u32,
}

impl Listening {
    pub(in crate::net) fn new(lp: &EventLoop, listener: Listener) -> Result<Self> {
        listener.set_nonblocking()?;
        let name = listener.local_addr()?;
        let file = name.path().and_then(|path| Some((path.to_owned(), inode(path)?)));
        Ok(Self {
            watch: listener.watch(lp)?,
            listener,
            name,
            retry: RefCell::default(),
            file: RefCell::new(file),
            process: process::id(),
        })
    }

    /// Stops listening. The socket is closed with the last handle of this.
    pub(super) fn stop(&self) {
        self.watch.unset(Direction::Read);
        let retry = self.retry.take();
        if let Some(retry) = retry {
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

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|file| file.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

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
}
