//! UDP sockets.
//!
//! They promise one datagram for each call, whole or cut to the buffer, and what `loop.sock_recvfrom` and `sock_sendto`
//! promise of turns and cancellation.

use super::readiness::{Drained, Io, What};
use super::tcp::descriptor;
use crate::error::Result;
use std::fmt;
use std::net::{self, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::Location;

const RECV: What = What::read("socket read", "recv");
const RECV_FROM: What = What::read("socket read", "recv_from");
const SEND: What = What::write("socket write", "send");
const SEND_TO: What = What::write("socket write", "send_to");

/// A UDP socket. All operations take `&self`; one at a time may wait in each direction.
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
pub struct UdpSocket(Io<net::UdpSocket>);

impl UdpSocket {
    /// Binds to an address; port 0 takes a free one (`sock.bind`). Needs no loop. A name is looked up here and now, which
    /// blocks.
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
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> Result<Self> {
        Self::from_std(net::UdpSocket::bind(address)?)
    }

    /// Takes a socket of the standard library, and makes it non-blocking (`sock.setblocking(False)`). Needs no loop.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be made non-blocking.
    ///
    /// ```
    /// use looplab::net::UdpSocket;
    /// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_broadcast(true)?;                               // what is not here is set there
    /// let socket = UdpSocket::from_std(socket)?;
    /// let back: std::net::UdpSocket = socket.into_std();
    /// assert!(back.broadcast()?);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn from_std(socket: net::UdpSocket) -> Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self(Io::new(socket)))
    }

    /// Gives the standard library's socket back. It stays non-blocking. There is an example at
    /// [`from_std`](Self::from_std).
    #[must_use]
    pub fn into_std(self) -> net::UdpSocket {
        self.0.into_socket()
    }

    /// Sets whom [`send`](Self::send) and [`recv`](Self::recv) are about (`sock.connect`). Nothing is sent, and nothing
    /// waits; but a name is looked up here and now, which blocks.
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

    /// Sends one datagram to the connected peer; how much of it was sent (`sock.send`; the loop of asyncio has
    /// `DatagramTransport.sendto` without an address).
    ///
    /// Fails with [`Error::Io`](crate::Error::Io), which may be about an earlier datagram that nobody took; with
    /// [`Error::Cancelled`](crate::Error::Cancelled), [`Error::Runtime`](crate::Error::Runtime) and
    /// [`Error::Closed`](crate::Error::Closed) as [`TcpStream::read`](super::TcpStream::read). There is an example at
    /// [`connect`](Self::connect).
    #[track_caller]
    pub fn send<'a>(&'a self, data: &'a [u8]) -> impl Future<Output = Result<usize>> + use<'a> {
        self.0.op(&SEND, Location::caller(), move |socket| Ok((socket.send(data)?, Drained::Unknown)))
    }

    /// Sends one datagram to `address` (`loop.sock_sendto`). Fails as [`send`](Self::send). There is an example at
    /// [`UdpSocket`].
    #[track_caller]
    pub fn send_to<'a>(
        &'a self,
        data: &'a [u8],
        address: SocketAddr,
    ) -> impl Future<Output = Result<usize>> + use<'a> {
        let attempt = move |socket: &net::UdpSocket| Ok((socket.send_to(data, address)?, Drained::Unknown));
        self.0.op(&SEND_TO, Location::caller(), attempt)
    }

    /// Receives one datagram of the connected peer; what does not fit is lost (`loop.sock_recv_into`). If the wait is
    /// cancelled or dropped, no datagram is lost. Fails as [`send`](Self::send). There is an example at
    /// [`connect`](Self::connect).
    #[track_caller]
    pub fn recv<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = Result<usize>> + use<'a> {
        self.0.op(&RECV, Location::caller(), move |socket| Ok((socket.recv(buf)?, Drained::Unknown)))
    }

    /// Receives one datagram, and the address of its sender (`loop.sock_recvfrom_into`). As [`recv`](Self::recv). Addresses
    /// are the system's: on an IPv6 socket an IPv4 sender is `::ffff:a.b.c.d`, which [`send_to`](Self::send_to) takes. There
    /// is an example at [`UdpSocket`].
    #[track_caller]
    pub fn recv_from<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = Result<(usize, SocketAddr)>> + use<'a> {
        self.0
            .op(&RECV_FROM, Location::caller(), move |socket| Ok((socket.recv_from(buf)?, Drained::Unknown)))
    }

    /// Where it is bound (`sock.getsockname`).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from the system.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.0.socket().local_addr()?)
    }

    /// The connected peer (`sock.getpeername`).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if there is none.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        Ok(self.0.socket().peer_addr()?)
    }
}

descriptor!(UdpSocket);
