//! UDP sockets.
//!
//! They guarantee one datagram for each call, whole or cut to the buffer. In turns and cancellation they are
//! `loop.sock_recvfrom` and `loop.sock_sendto`.

use super::async_fd::{AsyncFd, OpKind};
use super::socket_methods::descriptor;
use crate::error::Result;
use std::net::{self, SocketAddr, ToSocketAddrs};
use std::panic::Location;

const RECV: OpKind = OpKind::read("socket read", "recv");
const RECV_FROM: OpKind = OpKind::read("socket read", "recv_from");
const SEND: OpKind = OpKind::write("socket write", "send");
const SEND_TO: OpKind = OpKind::write("socket write", "send_to");

/// A UDP socket. All operations take `&self`. Only one may wait in each direction.
///
/// ```
/// use looplab::{EventLoop, net::UdpSocket};
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async {
///     let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
///     one.send_to(b"ping", other.local_addr()?).await?;
///     let mut buf = [0; 16];
///     let (n, from) = other.recv_from(&mut buf).await?;
///     assert_eq!((&buf[..n], from), (&b"ping"[..], one.local_addr()?));
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
pub struct UdpSocket(AsyncFd<net::UdpSocket>);

impl UdpSocket {
    /// Binds to an address (`sock.bind`). Port 0 takes a free one. Needs no loop. The lookup of a name blocks.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    ///
    /// ```
    /// use looplab::net::UdpSocket;
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// assert_ne!(socket.local_addr()?.port(), 0);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "loop.create_datagram_endpoint")]
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> Result<Self> {
        Self::from_std(net::UdpSocket::bind(address)?)
    }

    /// Takes a socket of the standard library and makes it non-blocking (`sock.setblocking(False)`). Needs no loop.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be made non-blocking.
    ///
    /// ```
    /// use looplab::net::UdpSocket;
    /// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_broadcast(true)?;                               // options are set on the standard socket
    /// let socket = UdpSocket::from_std(socket)?;
    /// let back: std::net::UdpSocket = socket.into_std();
    /// assert!(back.broadcast()?);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn from_std(socket: net::UdpSocket) -> Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self(AsyncFd::new(socket, Location::caller())))
    }

    /// Sets the peer of [`send`](Self::send) and [`recv`](Self::recv) (`sock.connect`). It sends nothing and does not wait,
    /// but the lookup of a name blocks.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    ///
    /// ```
    /// use looplab::{EventLoop, net::UdpSocket};
    /// let lp = EventLoop::new()?;
    /// lp.run_until_complete(async {
    ///     let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    ///     one.connect(other.local_addr()?)?;
    ///     other.connect(one.local_addr()?)?;
    ///     one.send(b"ping").await?;
    ///     let mut buf = [0; 16];
    ///     let n = other.recv(&mut buf).await?;
    ///     assert_eq!(&buf[..n], b"ping");
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub fn connect(&self, address: impl ToSocketAddrs) -> Result<()> {
        Ok(self.0.socket().connect(address)?)
    }

    /// Sends one datagram to the connected peer (`sock.send`; asyncio has `DatagramTransport.sendto` without an address).
    /// Returns the number of bytes sent.
    ///
    /// Fails with [`Error::Io`](crate::Error::Io), possibly for an earlier datagram that was refused. Otherwise it fails as
    /// [`TcpStream::read`](super::TcpStream::read) does. There is an example at [`connect`](Self::connect).
    #[track_caller]
    pub fn send<'a>(&'a self, data: &'a [u8]) -> impl Future<Output = Result<usize>> + use<'a> {
        self.0.op(&SEND, Location::caller(), move |socket| socket.send(data))
    }

    /// Sends one datagram to `address` (`loop.sock_sendto`). Fails as [`send`](Self::send) does. There is an example at
    /// [`UdpSocket`].
    #[doc(alias("loop.sock_sendto", "sock_sendto"))]
    #[track_caller]
    pub fn send_to<'a>(
        &'a self,
        data: &'a [u8],
        address: SocketAddr,
    ) -> impl Future<Output = Result<usize>> + use<'a> {
        self.0.op(&SEND_TO, Location::caller(), move |socket| socket.send_to(data, address))
    }

    /// Receives one datagram of the connected peer (`loop.sock_recv_into`). Bytes that do not fit into the buffer are lost. If
    /// the wait is cancelled or dropped, no datagram is lost. Fails as [`send`](Self::send) does. There is an example at
    /// [`connect`](Self::connect).
    #[doc(alias("loop.sock_recv", "sock_recv", "loop.sock_recv_into", "sock_recv_into"))]
    #[track_caller]
    pub fn recv<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = Result<usize>> + use<'a> {
        self.0.op(&RECV, Location::caller(), move |socket| socket.recv(buf))
    }

    /// Receives one datagram and the address of its sender, otherwise as [`recv`](Self::recv) (`loop.sock_recvfrom_into`). On
    /// an IPv6 socket an IPv4 sender is `::ffff:a.b.c.d`, which [`send_to`](Self::send_to) takes. There is an example at
    /// [`UdpSocket`].
    #[doc(alias("loop.sock_recvfrom", "sock_recvfrom", "loop.sock_recvfrom_into", "sock_recvfrom_into"))]
    #[track_caller]
    pub fn recv_from<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = Result<(usize, SocketAddr)>> + use<'a> {
        self.0.op(&RECV_FROM, Location::caller(), move |socket| socket.recv_from(buf))
    }

    /// Returns the address that it is bound to (`sock.getsockname`).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.0.socket().local_addr()?)
    }

    /// Returns the address of the connected peer (`sock.getpeername`).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the socket is not connected.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        Ok(self.0.socket().peer_addr()?)
    }
}

descriptor!(UdpSocket);
