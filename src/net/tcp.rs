//! TCP sockets.
//!
//! They guarantee what `loop.sock_accept`, `sock_connect`, `sock_recv` and `sock_sendall` guarantee. The system's errors are
//! [`Error::Io`](crate::Error::Io), with asyncio's text where it has one (`Connect call failed …`). Otherwise they have
//! Rust's text: `Connection refused (os error 111)`, where CPython has `[Errno 111] Connection refused`.
//!
//! They do not buffer, and set no option but `SO_REUSEADDR` on listeners.

use super::address::{Address, canonical};
use super::async_fd::{ACCEPT, AsyncFd, OpKind};
use super::connect::connect;
use super::socket_methods::{byte_stream, descriptor};
use crate::error::Result;
use std::net::{self, SocketAddr, ToSocketAddrs};
use std::panic::Location;

const PEEK: OpKind = OpKind::read("socket read", "peek");

/// A listening TCP socket (`socket.create_server` and `loop.sock_accept`).
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
pub struct TcpListener(AsyncFd<net::TcpListener>);

/// A TCP connection.
///
/// All operations take `&self`, so one task can read while another writes an `Rc<TcpStream>`. Only one operation may wait in
/// each direction; a second one fails with [`Error::Runtime`](crate::Error::Runtime). The socket belongs to the loop of its
/// first wait. Dropping it closes the connection.
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
pub struct TcpStream(pub(super) AsyncFd<net::TcpStream>);

impl TcpListener {
    /// Listens on an address, with `SO_REUSEADDR` as asyncio's servers (`sock.bind`, `sock.listen`). Port 0 takes a free one.
    /// Needs no loop. The lookup of a name blocks. Up to 128 connections may wait to be accepted, or the system's limit if
    /// it is lower.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system if none of the name's addresses can be bound.
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

    /// Takes a listener of the standard library and makes it non-blocking (`asyncio.start_server(sock=…)`). A descriptor from
    /// the parent process becomes one through an `OwnedFd`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be made non-blocking.
    ///
    /// ```
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let listener = looplab::net::TcpListener::from_std(listener)?;
    /// let back: std::net::TcpListener = listener.into_std();
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias("asyncio.start_server", "start_server"))]
    #[track_caller]
    pub fn from_std(listener: net::TcpListener) -> Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self(AsyncFd::new(listener, Location::caller())))
    }

    /// Accepts a connection; waits until there is one (`loop.sock_accept`). If the wait is cancelled or dropped, the next
    /// `accept` gets the connection.
    ///
    /// Fails with [`Error::Cancelled`](crate::Error::Cancelled), and with [`Error::Io`](crate::Error::Io) from the system: an
    /// aborted connection, or too few descriptors. Fails with [`Error::Runtime`](crate::Error::Runtime) while another
    /// `accept` waits, and with [`Error::Closed`](crate::Error::Closed) on a closed loop. There is an example at
    /// [`TcpListener`].
    #[doc(alias("loop.sock_accept", "sock_accept"))]
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = Result<(TcpStream, SocketAddr)>> + use<'_> {
        let place = Location::caller();
        self.0.op(&ACCEPT, place, move |listener| {
            let (stream, peer) = listener.accept()?;
            stream.set_nonblocking(true)?;
            Ok((TcpStream(AsyncFd::new(stream, place)), canonical(peer)))
        })
    }

    /// Returns the address on which it listens (`sock.getsockname`). There is an example at [`bind`](Self::bind).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.0.socket().local_addr()?)
    }
}

impl TcpStream {
    /// Connects (`loop.sock_connect`). A name is looked up in the loop's executor, and its addresses are tried one after the
    /// other, as by `loop.create_connection`. Dropping or cancelling the future closes the connection.
    ///
    /// Fails with [`Error::Io`](crate::Error::Io) in asyncio's words, which holds the errors of all addresses. Fails with
    /// [`Error::Cancelled`](crate::Error::Cancelled), and with [`Error::Value`](crate::Error::Value) for a text that is no
    /// address.
    ///
    /// ```
    /// use looplab::{EventLoop, net::TcpStream};
    /// let lp = EventLoop::new()?;
    /// let closed = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    /// let error = lp.run_until_complete(TcpStream::connect(closed)).unwrap_err();
    /// assert!(error.to_string().ends_with(&format!("Connect call failed ('127.0.0.1', {})", closed.port())));
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias("loop.sock_connect", "sock_connect"))]
    #[track_caller]
    pub fn connect(address: impl Into<Address>) -> impl Future<Output = Result<Self>> {
        let (address, place) = (address.into(), Location::caller());
        async move { Ok(Self(connect(address.resolve(place).await?, place).await?)) }
    }

    /// Takes a connection of the standard library and makes it non-blocking (`asyncio.open_connection(sock=…)`). Needs no
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
    #[doc(alias("asyncio.open_connection", "open_connection"))]
    #[track_caller]
    pub fn from_std(stream: net::TcpStream) -> Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self(AsyncFd::new(stream, Location::caller())))
    }

    /// Reads as [`read`](Self::read) does, but leaves the bytes in the socket (`sock.recv_into` with `MSG_PEEK`; asyncio has
    /// no such operation). There is an example at [`from_std`](Self::from_std).
    #[track_caller]
    pub fn peek<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = Result<usize>> + use<'a> {
        self.0.op(&PEEK, Location::caller(), move |socket| socket.peek(buf))
    }

    /// Returns the other side's address (`sock.getpeername`). There is an example at [`from_std`](Self::from_std).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the socket is not connected any more.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        Ok(canonical(self.0.socket().peer_addr()?))
    }

    /// Returns this side's address (`sock.getsockname`).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(canonical(self.0.socket().local_addr()?))
    }

    /// Sets whether small writes are sent at once (`sock.setsockopt` with `TCP_NODELAY`). Off by default; the streams of
    /// [`open_connection`](super::open_connection) set it, as asyncio's. There is an example at
    /// [`from_std`](Self::from_std).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<()> {
        Ok(self.0.socket().set_nodelay(nodelay)?)
    }
}

byte_stream!(TcpStream);
descriptor!(TcpListener TcpStream);
