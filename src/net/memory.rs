//! Connections within one loop: sockets without a kernel, for tests of servers and clients in virtual time.
//!
//! They guarantee what TCP sockets guarantee, and that every run is the same. One exception is that
//! `shutdown(Read)` fails the peer's writes at once. Readiness is reported in the poll of the next
//! turn, and what became ready first is reported first. A connect is answered in the poll of the
//! next turn. Bytes arrive at once, unless a latency is set, and up to 64 KiB fit into each
//! direction. A negative number stands for the descriptor. Virtual time does not pass while they
//! wait, because only the loop's own code can write to them.
//!
//! They do not connect two loops, and the number of connections that wait to be accepted has no limit.
//!
//! ```
//! use looplab::net::memory::{self, MemoryListener};
//! use looplab::net::{StreamReader, StreamWriter, start_server_on};
//! use looplab::{Clock, EventLoop, sleep};
//! use std::time::Duration;
//! let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
//! lp.run_until_complete(async {
//!     let slow_echo = async |reader: StreamReader, writer: StreamWriter| {
//!         let line = reader.readline().await?;
//!         sleep(Duration::from_secs(3600)).await?;               // takes no real time
//!         writer.write(line)
//!     };
//!     let server = start_server_on(slow_echo, MemoryListener::bind("echo")?).await?;
//!     let (reader, writer) = memory::open_connection("echo").await?;
//!     writer.write("hello\n")?;
//!     assert_eq!(reader.readline().await?, b"hello\n");
//!     server.close();
//!     server.wait_closed().await
//! })?;
//! # Ok::<(), looplab::Error>(())
//! ```

mod backlog;
mod wire;

pub(super) use backlog::Backlog;
#[cfg(feature = "explore")]
pub(crate) use backlog::peers;
pub(super) use wire::End;
#[cfg(feature = "explore")]
pub(crate) use wire::Peer;

use super::address::Endpoint;
use super::async_fd::{ACCEPT, AsyncFd};
use super::open_connection::OpenConnection;
use super::socket::{AnyListener, AnyStream, Listener, Socket};
use super::socket_methods::byte_stream;
use super::stream_reader::StreamReader;
use super::stream_writer::StreamWriter;
use crate::error::{IoError, Result};
use crate::event_loop::get_running_loop;
use crate::trace::Place;
use backlog::Network;
use std::fmt;
use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;
use wire::{Latency, error_number};

/// A listening socket in memory. [`start_server_on`](super::start_server_on) serves it.
///
/// ```
/// use looplab::{EventLoop, net::memory::{MemoryListener, MemoryStream}};
/// EventLoop::new()?.run_until_complete(async {
///     let listener = MemoryListener::bind("db:5432")?;
///     let client = MemoryStream::connect("db:5432").await?;
///     let (server, peer) = listener.accept().await?;
///     assert_eq!((listener.local_addr().to_string(), peer.to_string()), ("db:5432".into(), "-2".into()));
///     client.write_all(b"hello").await?;
///     assert_eq!(server.read(&mut [0; 16]).await?, 5);
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
pub struct MemoryListener(AsyncFd<Rc<Backlog>>);

/// A connection in memory, also as the peer of a stream under test. The rules of [`TcpStream`](super::TcpStream) apply, but
/// it belongs to the loop on which it was made.
///
/// ```
/// use looplab::net::memory::MemoryStream;
/// use looplab::net::open_connection_on;
/// use looplab::EventLoop;
/// EventLoop::new()?.run_until_complete(async {
///     let (ours, peer) = MemoryStream::pair()?;
///     let (reader, writer) = open_connection_on(ours).await?;
///     peer.write_all(b"half a li").await?;
///     assert_eq!(reader.read(100).await?, b"half a li");
///     peer.reset();
///     let reset = reader.readline().await.unwrap_err();
///     assert!(reset.to_string().starts_with("Connection reset by peer"));
///     assert!(writer.wait_closed().await.is_err());
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
pub struct MemoryStream(pub(super) AsyncFd<End>);

/// Connects to a listener in memory, otherwise as [`open_connection`](super::open_connection). It fails as
/// [`MemoryStream::connect`] does. For another limit give a [`MemoryStream`] to
/// [`open_connection_on`](super::open_connection_on).
#[track_caller]
pub fn open_connection(
    name: impl Into<String>,
) -> impl Future<Output = Result<(StreamReader, StreamWriter)>> {
    let (name, place) = (name.into(), Location::caller());
    async move { OpenConnection::on(connect(&name, place).await?, place).await }
}

impl MemoryListener {
    /// Listens at a name of the running loop, such as `"echo"` or `"db:5432"`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) of the kind [`AddrInUse`](io::ErrorKind::AddrInUse) if another listener has the name.
    /// [`Error::NoRunningLoop`](crate::Error::NoRunningLoop) outside of a run.
    #[track_caller]
    pub fn bind(name: impl Into<String>) -> Result<Self> {
        let lp = get_running_loop()?;
        let backlog = Backlog::bind(&lp, name.into())?;
        let watch = backlog.watch();
        Ok(Self(AsyncFd::watched(backlog, watch, Location::caller())))
    }

    /// Accepts a connection, and returns it with the client's name. Waits and fails as
    /// [`TcpListener::accept`](super::TcpListener::accept) does.
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = Result<(MemoryStream, Endpoint)>> + use<'_> {
        let place = Location::caller();
        let accepted = self.0.op(&ACCEPT, place, |backlog| backlog.accept());
        async move {
            let (end, peer) = accepted.await?;
            Ok((MemoryStream::new(end, place), peer))
        }
    }

    /// Returns its name.
    #[must_use]
    pub fn local_addr(&self) -> Endpoint {
        self.0.socket().local_addr()
    }

    /// Delays connections that are begun from now on. A connect arrives here after `latency`, and the answer takes as long.
    /// All that either side sends then is on its way for `latency`: see [`MemoryStream::set_latency`].
    ///
    /// ```
    /// use looplab::net::memory::{self, MemoryListener};
    /// use looplab::net::{StreamReader, StreamWriter, start_server_on};
    /// use looplab::{Clock, EventLoop};
    /// use std::time::Duration;
    /// let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
    /// let began = lp.time();
    /// let far = Duration::from_millis(40);
    /// lp.run_until_complete(async move {
    ///     let listener = MemoryListener::bind("far")?;
    ///     listener.set_latency(far);
    ///     let answer = async |reader: StreamReader, writer: StreamWriter| writer.write(reader.readline().await?);
    ///     let server = start_server_on(answer, listener).await?;
    ///     let (reader, writer) = memory::open_connection("far").await?;          // there and back
    ///     writer.write("hello\n")?;
    ///     assert_eq!(reader.readline().await?, b"hello\n");                      // there and back
    ///     server.close();
    ///     Ok(())
    /// })?;
    /// assert_eq!(lp.time() - began, 4 * far);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn set_latency(&self, latency: Duration) {
        self.0.socket().set_latency(Latency { delay: latency, place: Location::caller() });
    }
}

impl From<MemoryStream> for AnyStream {
    fn from(stream: MemoryStream) -> Self {
        Self(Socket::Memory(stream.0.into_socket()))
    }
}

impl From<MemoryListener> for AnyListener {
    fn from(listener: MemoryListener) -> Self {
        Self(Listener::Memory(listener.0.into_socket()))
    }
}

impl MemoryStream {
    fn new(end: End, place: Place) -> Self {
        let watch = end.watch();
        Self(AsyncFd::watched(end, watch, place))
    }

    /// Connects to a listener of the running loop.
    ///
    /// Fails with [`Error::Io`](crate::Error::Io) of the kind [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nothing
    /// listens at the name. Fails with [`Error::Cancelled`](crate::Error::Cancelled).
    #[track_caller]
    pub fn connect(name: impl Into<String>) -> impl Future<Output = Result<Self>> {
        let (name, place) = (name.into(), Location::caller());
        async move { connect(&name, place).await }
    }

    /// Makes two connected sockets on the running loop (`socket.socketpair`).
    ///
    /// # Errors
    /// [`Error::NoRunningLoop`](crate::Error::NoRunningLoop) outside of a run.
    #[track_caller]
    pub fn pair() -> Result<(Self, Self)> {
        let place = Location::caller();
        let lp = get_running_loop()?;
        let (one, other) = Network::of(&lp).pair(&lp, None);
        Ok((Self::new(one, place), Self::new(other, place)))
    }

    /// Returns the other side's name: a listener's name, or a client's number.
    #[must_use]
    pub fn peer_addr(&self) -> Endpoint {
        self.0.socket().peer_addr()
    }

    /// Returns this side's name.
    #[must_use]
    pub fn local_addr(&self) -> Endpoint {
        self.0.socket().local_addr()
    }

    /// Delays what either end sends from now on: bytes, and the end of the stream. It arrives after `latency`, and never
    /// before what was sent earlier. The default is none: all arrives at once.
    ///
    /// A timer of the loop, which traces call `network`, makes it arrive. It takes an entry in the turn that sees the
    /// deadline, and the poll of the next turn reports what has arrived. [`reset`](Self::reset), [`stall`](Self::stall) and
    /// the room that a reader makes have no latency. What is on its way when both ends are closed is lost.
    ///
    /// ```
    /// use looplab::net::memory::MemoryStream;
    /// use looplab::{Clock, EventLoop};
    /// use std::time::Duration;
    /// let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
    /// let began = lp.time();
    /// lp.run_until_complete(async {
    ///     let (ours, peer) = MemoryStream::pair()?;
    ///     peer.set_latency(Duration::from_secs(2));
    ///     peer.write_all(b"hello").await?;                   // sent, and not arrived
    ///     assert_eq!(ours.read(&mut [0; 16]).await?, 5);
    ///     Ok(())
    /// })?;
    /// assert_eq!(lp.time() - began, Duration::from_secs(2));
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn set_latency(&self, latency: Duration) {
        self.0.socket().set_latency(Latency { delay: latency, place: Location::caller() });
    }

    /// Resets the connection. At both ends what was not read is lost, reads fail with `Connection reset by peer`, and writes
    /// with `Broken pipe`. There is an example at [`MemoryStream`].
    pub fn reset(&self) {
        self.0.socket().reset();
    }

    /// Lets nothing but a reset arrive at either end, until [`resume`](Self::resume). What is
    /// written meanwhile fills the connection.
    ///
    /// ```
    /// use looplab::net::memory::MemoryStream;
    /// use looplab::{Clock, Error, EventLoop, timeout};
    /// use std::time::Duration;
    /// let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
    /// lp.run_until_complete(async {
    ///     let (ours, peer) = MemoryStream::pair()?;
    ///     peer.write_all(b"hello").await?;
    ///     peer.stall();
    ///     let mut buf = [0; 16];
    ///     let read = timeout(Duration::from_secs(30), ours.read(&mut buf)).await;
    ///     assert!(matches!(read, Err(Error::TimedOut)));
    ///     peer.resume();
    ///     assert_eq!(ours.read(&mut buf).await?, 5);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn stall(&self) {
        self.0.socket().set_stalled(true);
    }

    /// Lets everything arrive again, what was held back first.
    pub fn resume(&self) {
        self.0.socket().set_stalled(false);
    }

    /// Cuts the connection after this end has written `bytes` more bytes, as if its process died there. The other end reads
    /// these bytes and then the end of the stream. This end's reads fail as after a [`reset`](Self::reset).
    ///
    /// ```
    /// use looplab::{EventLoop, net::memory::MemoryStream, net::open_connection_on};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let (ours, peer) = MemoryStream::pair()?;
    ///     peer.cut_after(3);
    ///     peer.write_all(b"hello\n").await?;
    ///     let (reader, _writer) = open_connection_on(ours).await?;
    ///     assert_eq!(reader.readline().await?, b"hel");
    ///     assert!(reader.at_eof() && peer.read(&mut [0; 16]).await.is_err());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub fn cut_after(&self, bytes: usize) {
        self.0.socket().cut_after(bytes);
    }
}

byte_stream!(MemoryStream);

/// Connects. Succeeds or is refused in the poll of the next turn.
async fn connect(name: &str, place: Place) -> Result<MemoryStream> {
    let (end, is_answered) = Backlog::dial(&get_running_loop()?, name);
    let stream = MemoryStream::new(end, place);
    stream.0.answered(place).await?;
    if is_answered {
        return Ok(stream);
    }
    let number = error_number(111, 61);
    let text = format!("[Errno {number}] Connect call failed ('{name}')");
    Err(IoError::told(io::Error::from_raw_os_error(number), text).into())
}

impl fmt::Debug for MemoryListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt("MemoryListener", f)
    }
}

impl fmt::Debug for MemoryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt("MemoryStream", f)
    }
}
