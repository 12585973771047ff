//! TCP sockets.
//!
//! They promise what `loop.sock_accept`, `sock_connect`, `sock_recv` and `sock_sendall` promise, with the errors of the
//! operating system as [`Error::Io`](crate::Error::Io). Where asyncio has a text of its own (`Connect call failed …`) it is
//! that; else they keep Rust's words: `Connection refused (os error 111)`, where CPython says `[Errno 111] Connection
//! refused`. They do not buffer, and set no option that is not asked for but `SO_REUSEADDR` on listeners.

use super::connect;
use super::readiness::{Drained, Io, What};
use super::resolve::Address;
use crate::error::Result;
use std::fmt;
use std::net::{self, IpAddr, Shutdown, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::Location;

pub(super) const ACCEPT: What = What::read("accept", "accept");
const PEEK: What = What::read("socket read", "peek");

/// A socket that takes connections (`socket.create_server` and `loop.sock_accept`).
///
/// ```
/// use looplab::{EventLoop, create_task, net::{TcpListener, TcpStream}};
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     let client = create_task(async move {
///         let stream = TcpStream::connect(address).await?;
///         stream.write_all(b"hello").await
///     });
///     let (stream, _peer) = listener.accept().await?;
///     let mut buf = [0; 16];
///     let n = stream.read(&mut buf).await?;
///     assert_eq!(&buf[..n], b"hello");
///     client.await
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
pub struct TcpListener(Io<net::TcpListener>);

/// A TCP connection.
///
/// All operations take `&self`: share it as `Rc<TcpStream>`, and one task reads while another writes. One operation at a
/// time may wait in each direction; a second one fails with [`Error::Runtime`](crate::Error::Runtime). It joins the loop on
/// which it first waits; dropping it closes the connection.
///
/// ```no_run
/// use looplab::{Result, net::TcpStream};
/// async fn first_bytes() -> Result<Vec<u8>> {
///     let stream = TcpStream::connect("example.org:80").await?;
///     stream.write_all(b"HEAD / HTTP/1.0\r\n\r\n").await?;
///     let mut buf = vec![0; 1024];
///     let n = stream.read(&mut buf).await?;
///     buf.truncate(n);
///     Ok(buf)
/// }
/// ```
pub struct TcpStream(Io<net::TcpStream>);

impl TcpListener {
    /// Listens on an address, with `SO_REUSEADDR`, as asyncio's servers do on Unix; port 0 takes a free one. Needs no loop.
    /// A name is looked up here and now, which blocks (`sock.bind`). 128 connections may wait to be accepted, or
    /// fewer if the system's limit is lower: the standard library asks for that number.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if none of the name's addresses can be bound, in the system's words.
    ///
    /// ```
    /// use looplab::net::TcpListener;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> Result<Self> {
        Self::from_std(net::TcpListener::bind(address)?)
    }

    /// Takes a listener of the standard library, and makes it non-blocking (`asyncio.start_server(sock=…)`). For one that
    /// came as a number from the parent process, make that from an `OwnedFd` first.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be made non-blocking.
    ///
    /// ```
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let listener = looplab::net::TcpListener::from_std(listener)?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn from_std(listener: net::TcpListener) -> Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self(Io::new(listener)))
    }

    /// Gives the standard library's listener back. It stays non-blocking.
    ///
    /// ```
    /// let listener = looplab::net::TcpListener::bind("127.0.0.1:0")?;
    /// let back: std::net::TcpListener = listener.into_std();
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[must_use]
    pub fn into_std(self) -> net::TcpListener {
        self.0.into_socket()
    }

    /// Takes one connection: at once if one waits, else when one comes (`loop.sock_accept`). If the wait is cancelled or
    /// dropped, no connection is lost: the next `accept` gets it.
    ///
    /// Fails with [`Error::Cancelled`](crate::Error::Cancelled); with [`Error::Io`](crate::Error::Io), among them the
    /// connection's own end before it was accepted and the want of descriptors; with
    /// [`Error::Runtime`](crate::Error::Runtime) while another `accept` waits; with [`Error::Closed`](crate::Error::Closed)
    /// after the loop's end. There is an example at [`TcpListener`].
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = Result<(TcpStream, SocketAddr)>> + use<'_> {
        let place = Location::caller();
        self.0.op(&ACCEPT, place, move |listener| {
            let (stream, peer) = listener.accept()?;
            stream.set_nonblocking(true)?;
            Ok(((TcpStream(Io::at(stream, place)), canonical(peer)), Drained::Unknown))
        })
    }

    /// Where it listens (`sock.getsockname`). There is an example at [`bind`](Self::bind).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.0.socket().local_addr()?)
    }
}

impl TcpStream {
    /// Connects (`loop.sock_connect`, with `loop.create_connection`'s way through names and addresses): a name is looked up
    /// in the loop's executor, its addresses are tried one after the other, and if none answers all errors are reported
    /// together. A numeric address needs no executor. Dropping or cancelling it closes what was begun.
    ///
    /// Fails with [`Error::Io`](crate::Error::Io) in asyncio's words; with [`Error::Cancelled`](crate::Error::Cancelled);
    /// with [`Error::Value`](crate::Error::Value) for a text that is no address.
    ///
    /// ```
    /// use looplab::{EventLoop, net::TcpStream};
    /// let lp = EventLoop::new()?;
    /// let closed = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    /// let error = lp.run_until_complete(TcpStream::connect(closed)).unwrap_err();
    /// assert!(error.to_string().ends_with(&format!("Connect call failed ('127.0.0.1', {})", closed.port())));
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn connect(address: impl Into<Address>) -> impl Future<Output = Result<Self>> {
        connect::connect(address.into(), Location::caller())
    }

    pub(super) fn over(io: Io<net::TcpStream>) -> Self {
        Self(io)
    }

    /// Takes a connection of the standard library, and makes it non-blocking (`asyncio.open_connection(sock=…)`). Needs no
    /// loop.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be made non-blocking.
    ///
    /// ```
    /// use std::io::Write;
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let mut theirs = std::net::TcpStream::connect(listener.local_addr()?)?;
    /// theirs.write_all(b"hello")?;
    /// let stream = looplab::net::TcpStream::from_std(listener.accept()?.0)?;
    /// stream.set_nodelay(true)?;
    /// assert_eq!(stream.peer_addr()?, theirs.local_addr()?);
    /// let stream = looplab::EventLoop::new()?.run_until_complete(async move {
    ///     let mut buf = [0; 16];
    ///     assert_eq!(stream.peek(&mut buf).await?, 5);
    ///     assert_eq!(stream.read(&mut buf).await?, 5);           // the same five
    ///     Ok(stream)
    /// })?;
    /// let back: std::net::TcpStream = stream.into_std();
    /// assert!(back.nodelay()?);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn from_std(stream: net::TcpStream) -> Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self(Io::new(stream)))
    }

    /// Gives the standard library's connection back. It stays non-blocking. There is an example at
    /// [`from_std`](Self::from_std).
    #[must_use]
    pub fn into_std(self) -> net::TcpStream {
        self.0.into_socket()
    }

    /// Peeks as [`read`](Self::read) reads: the bytes stay (`sock.recv_into` with `MSG_PEEK`, which asyncio has no operation
    /// for). There is an example at [`from_std`](Self::from_std).
    #[track_caller]
    pub fn peek<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = Result<usize>> + use<'a> {
        self.0.op(&PEEK, Location::caller(), move |stream| Ok((stream.peek(buf)?, Drained::Unknown)))
    }

    /// The other side's address (`sock.getpeername`). There is an example at [`from_std`](Self::from_std).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it is not connected any more.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        Ok(canonical(self.0.socket().peer_addr()?))
    }

    /// This side's address (`sock.getsockname`).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(canonical(self.0.socket().local_addr()?))
    }

    /// Whether small writes are sent at once (`sock.setsockopt` with `TCP_NODELAY`). Off unless it is set; asyncio's streams,
    /// and so those of [`open_connection`](super::open_connection), have it on. There is an example at
    /// [`from_std`](Self::from_std).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<()> {
        Ok(self.0.socket().set_nodelay(nodelay)?)
    }
}

/// What all streams of bytes have.
macro_rules! byte_stream {
    ($stream:ident) => {
        impl $stream {
            /// Reads what is there, at most the buffer: at once if there is something, else when something comes
            /// (`loop.sock_recv_into`). Zero is the end of the stream. Bytes are taken from the kernel only in the poll
            /// that returns them: if the wait is cancelled or dropped, none is lost.
            ///
            /// A read right after one that has emptied the socket waits without asking the kernel again.
            ///
            /// Fails with [`Error::Cancelled`](crate::Error::Cancelled); with [`Error::Io`](crate::Error::Io) (reset by
            /// the peer …); with [`Error::Runtime`](crate::Error::Runtime) while another read waits; with
            /// [`Error::Closed`](crate::Error::Closed) after the loop's end. There is an example at
            /// [`shutdown`](Self::shutdown).
            #[track_caller]
            pub fn read<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = Result<usize>> + use<'a> {
                self.0.read(buf, Location::caller())
            }

            /// Writes as much as there is room for, at least one byte, and returns how much that was (`sock.send`). Fails as
            /// [`read`](Self::read).
            ///
            /// ```
            /// use looplab::{EventLoop, net::UnixStream};
            /// EventLoop::new()?.run_until_complete(async {
            ///     let (ours, _theirs) = UnixStream::pair()?;
            ///     let all = vec![0; 10_000_000];
            ///     let taken = ours.write(&all).await?;
            ///     assert!(0 < taken && taken < all.len());           // the rest has no room now
            ///     Ok(())
            /// })?;
            /// # Ok::<(), looplab::Error>(())
            /// ```
            #[track_caller]
            pub fn write<'a>(&'a self, data: &'a [u8]) -> impl Future<Output = Result<usize>> + use<'a> {
                self.0.write(data, Location::caller())
            }

            /// Writes all of it (`loop.sock_sendall`). Fails as [`read`](Self::read); after an error, a cancellation
            /// included, it is not known how much was sent. There is an example at [`shutdown`](Self::shutdown).
            #[track_caller]
            pub fn write_all<'a>(&'a self, data: &'a [u8]) -> impl Future<Output = Result<()>> + use<'a> {
                self.0.write_all(data, Location::caller())
            }

            /// Ends one direction or both (`sock.shutdown`, after which `loop.sock_recv` gives `b''`); the other side reads
            /// the end of the stream. Does not wait.
            ///
            /// # Errors
            /// [`Error::Io`](crate::Error::Io) if it is not connected.
            ///
            /// ```
            /// use looplab::{EventLoop, net::UnixStream};
            /// EventLoop::new()?.run_until_complete(async {
            ///     let (ours, theirs) = UnixStream::pair()?;
            ///     ours.write_all(b"hello").await?;
            ///     ours.shutdown(std::net::Shutdown::Write)?;
            ///     let mut buf = [0; 16];
            ///     assert_eq!(theirs.read(&mut buf).await?, 5);
            ///     assert_eq!(theirs.read(&mut buf).await?, 0);       // the end; the other direction is open
            ///     theirs.write_all(b"bye").await?;
            ///     assert_eq!(ours.read(&mut buf).await?, 3);
            ///     Ok(())
            /// })?;
            /// # Ok::<(), looplab::Error>(())
            /// ```
            pub fn shutdown(&self, how: Shutdown) -> Result<()> {
                Ok(self.0.socket().shutdown(how)?)
            }

            #[cfg(feature = "futures-io")]
            pub(super) fn io(&self) -> &Io<net::$stream> {
                &self.0
            }
        }
    };
}
pub(super) use byte_stream;

/// What all sockets have.
macro_rules! descriptor {
    ($($socket:ident)*) => {$(
        impl AsRawFd for $socket {
            fn as_raw_fd(&self) -> RawFd {
                self.0.socket().as_raw_fd()
            }
        }

        impl AsFd for $socket {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.socket().as_fd()
            }
        }

        impl From<$socket> for OwnedFd {
            fn from(socket: $socket) -> Self {
                socket.into_std().into()
            }
        }

        impl fmt::Debug for $socket {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(stringify!($socket), f)
            }
        }
    )*};
}
pub(super) use descriptor;

byte_stream!(TcpStream);
descriptor!(TcpListener TcpStream);

/// An IPv4 address that came through an IPv6 socket, as asyncio, whose sockets are for one family, would show it.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        v4 @ IpAddr::V4(_) => SocketAddr::new(v4, address.port()),
        // With its scope.
        IpAddr::V6(_) => address,
    }
}
