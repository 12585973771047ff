//! One listening socket of a server.

use crate::error::Result;
use crate::event_loop::{EventLoop, TimerHandle, Watch};
use crate::net::transport::{Endpoint, Socket};
use crate::trace::Direction;
use mio::net::{TcpListener, UnixListener};
use std::cell::RefCell;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;

/// A listening socket of a [`Server`](crate::net::Server), as [`Server::sockets`](crate::net::Server::sockets) shows it. It
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
    pub(super) fn of(listening: &Listening) -> Self {
        Self { name: listening.name.clone(), fd: listening.listener.as_raw_fd() }
    }

    /// Where it listens (`getsockname`).
    #[must_use]
    pub fn local_addr(&self) -> Endpoint {
        self.name.clone()
    }

    /// The number of its descriptor (`fileno`), for a look at it while the server lives.
    #[must_use]
    pub fn fileno(&self) -> RawFd {
        self.fd
    }
}

pub(in crate::net) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The registration ends before the socket is closed.
pub(in crate::net) struct Listening {
    pub(super) watch: Watch,
    pub(super) listener: Listener,
    pub(super) name: Endpoint,
    /// The retry after the system had no descriptor left.
    pub(super) retry: RefCell<Option<TimerHandle>>,
    /// A Unix socket's file, to be removed if it is still this one.
    file: RefCell<Option<(PathBuf, u64)>>,
    /// The process that listens. A forked child's copy leaves the file alone.
    process: u32,
}

impl Listener {
    pub(super) fn accept(&self) -> io::Result<(Socket, Endpoint)> {
        match self {
            Self::Tcp(listener) => {
                listener.accept().map(|(stream, peer)| (Socket::Tcp(stream), Endpoint::from(peer)))
            }
            Self::Unix(listener) => {
                // mio's address of the peer has no abstract name.
                let (stream, _) = listener.accept()?;
                let peer = stream.peer_addr().map_or(Endpoint::Unix(None), Endpoint::from);
                Ok((Socket::Unix(stream), peer))
            }
        }
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(listener) => listener.as_raw_fd(),
            Self::Unix(listener) => listener.as_raw_fd(),
        }
    }
}

impl Listening {
    pub(in crate::net) fn new(lp: &EventLoop, listener: Listener) -> Result<Self> {
        let name = match &listener {
            Listener::Tcp(listener) => Endpoint::Ip(listener.local_addr()?),
            Listener::Unix(listener) => Endpoint::from(listener.local_addr()?),
        };
        let inode = name.path().and_then(inode);
        let file = name.path().map(Path::to_owned).zip(inode);
        let watch = Watch::new(lp, listener.as_raw_fd());
        Ok(Self {
            watch,
            listener,
            name,
            retry: RefCell::default(),
            file: RefCell::new(file),
            process: process::id(),
        })
    }

    /// Ends listening. The socket is closed with the last handle of this.
    pub(super) fn stop(&self) {
        self.watch.unset(Direction::Read);
        let retry = self.retry.take();
        if let Some(retry) = retry {
            retry.cancel();
        }
        let Some((path, number)) = self.file.take() else { return };
        // Another server may have put its socket there.
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
    use std::os::unix::net::UnixListener as Std;

    #[test]
    fn only_the_process_that_listens_removes_a_unix_sockets_file() -> Result<()> {
        let lp = EventLoop::new()?;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        let mut listening = Listening::new(&lp, Listener::Unix(UnixListener::from_std(Std::bind(&path)?)))?;
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
