//! `open_connection` and its variants: a reader and a writer on a new connection.
//!
//! They guarantee asyncio's turns from the connected socket on, and that a failed or dropped call leaves nothing open.

use super::address::{Target, resolve};
use super::connect::{connect, connect_staggered, interleave};
use super::establish::establish;
use super::socket::{AnyStream, Socket};
use super::stream_reader::{DEFAULT_LIMIT, StreamReader};
use super::stream_writer::StreamWriter;
use super::transport::Transport;
use super::unix::UnixStream;
use crate::error::Result;
use crate::event_loop::get_running_loop;
use crate::trace::Place;
use std::fmt;
use std::panic::Location;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Connects to a TCP server (`asyncio.open_connection(host, port)`). A name is looked up in the loop's executor, and its
/// addresses are tried one after the other; see [`OpenConnection::happy_eyeballs_delay`]. The empty name is this machine, as
/// asyncio's `host=None`; asyncio rejects `""`.
///
/// Fails with [`Error::Io`](crate::Error::Io), which holds the errors of all addresses, or the lookup's. Fails with
/// [`Error::Value`](crate::Error::Value) for a limit of 0, and with [`Error::Cancelled`](crate::Error::Cancelled). A failure
/// leaves nothing open.
///
/// Keep the writer: dropping it closes the connection.
///
/// ```
/// use looplab::{EventLoop, net::{StreamReader, StreamWriter, open_connection, start_server}};
/// EventLoop::new()?.run_until_complete(async {
///     let shout = async |reader: StreamReader, writer: StreamWriter| {
///         let line = reader.readline().await?;
///         writer.write(line.to_ascii_uppercase())
///     };
///     let server = start_server(shout, "127.0.0.1", 0).await?;
///     let (reader, writer) = open_connection("127.0.0.1", server.port()).limit(1024).await?;
///     writer.write("hello\n")?;
///     assert_eq!(reader.readline().await?, b"HELLO\n");
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias("asyncio.open_connection", "loop.create_connection"))]
#[track_caller]
pub fn open_connection(host: impl Into<String>, port: u16) -> OpenConnection {
    OpenConnection::new(Target::Tcp(host.into(), port), Location::caller())
}

/// Connects to a server on a Unix socket, otherwise as [`open_connection`] (`asyncio.open_unix_connection(path)`). A path
/// that begins with a null byte, `"\0name"`, is an abstract name (Linux). It fails as [`UnixStream::connect`] does, with the
/// system's text (`No such file or directory (os error 2)`).
///
/// ```
/// use looplab::{EventLoop, net::{StreamWriter, open_unix_connection, start_unix_server}};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("socket");
/// EventLoop::new()?.run_until_complete(async move {
///     let server = start_unix_server(async |_, writer: StreamWriter| writer.write("hello"), &path).await?;
///     let (reader, _writer) = open_unix_connection(&path).await?;
///     assert_eq!(reader.read_to_end().await?, b"hello");
///     server.close();
///     assert!(!path.exists());
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias("asyncio.open_unix_connection", "loop.create_unix_connection"))]
#[track_caller]
pub fn open_unix_connection(path: impl AsRef<Path>) -> OpenConnection {
    OpenConnection::new(Target::Unix(path.as_ref().to_owned()), Location::caller())
}

/// Makes a reader and a writer of a connected socket: a TCP or Unix socket, or one in [`memory`](super::memory)
/// (`asyncio.open_connection(sock=…)`).
///
/// Fails with [`Error::Runtime`](crate::Error::Runtime) for a socket in the memory of another loop, and with
/// [`Error::Cancelled`](crate::Error::Cancelled).
///
/// ```
/// use looplab::{EventLoop, net::{UnixStream, open_connection_on}};
/// EventLoop::new()?.run_until_complete(async {
///     let (ours, theirs) = UnixStream::pair()?;
///     let (_, writer) = open_connection_on(ours).await?;
///     let (reader, _writer) = open_connection_on(theirs).limit(1024).await?;
///     writer.write("hello\n")?;
///     assert_eq!(reader.readline().await?, b"hello\n");
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias("asyncio.open_connection", "loop.connect_accepted_socket"))]
#[track_caller]
pub fn open_connection_on(stream: impl Into<AnyStream>) -> OpenConnection {
    OpenConnection::on(stream, Location::caller())
}

/// A connection that opens when it is awaited. Created by [`open_connection`] and its variants. It is a body like any other:
/// [`wait_for`](crate::wait_for), [`create_task`](crate::create_task) and the like take it.
#[must_use = "nothing is opened unless it is awaited"]
pub struct OpenConnection {
    /// Empty once it was polled.
    options: Option<ConnectOptions>,
    opening: Option<Pin<Box<dyn Future<Output = Connected>>>>,
}

type Connected = Result<(StreamReader, StreamWriter)>;

struct ConnectOptions {
    target: Target<String, Socket>,
    limit: usize,
    happy_eyeballs_delay: Option<Duration>,
    interleave: Option<usize>,
    place: Place,
}

impl OpenConnection {
    /// Sets the limit of the reader, in bytes; see [`StreamReader::with_limit`]. With 0 the await fails with
    /// [`Error::Value`](crate::Error::Value).
    pub fn limit(self, limit: usize) -> Self {
        self.with(|options| options.limit = limit)
    }

    /// Tries the next address of a name when the one before has not answered for so long, or has failed
    /// (`open_connection(happy_eyeballs_delay=…)`). The first connection is taken, and the other attempts end. A quarter of a
    /// second is usual. Without it the addresses are tried one after the other, and one that never answers takes minutes.
    ///
    /// The families then take turns; see [`interleave`](Self::interleave).
    ///
    /// ```
    /// use looplab::{EventLoop, net::{open_connection, start_server}};
    /// use std::time::Duration;
    /// EventLoop::new()?.run_until_complete(async {
    ///     let server = start_server(async |_, _| {}, "127.0.0.1", 0).await?;
    ///     // The name may be ::1 first, where nothing listens.
    ///     let opening = open_connection("localhost", server.port());
    ///     let (_reader, writer) = opening.happy_eyeballs_delay(Duration::from_millis(250)).await?;
    ///     assert_eq!(writer.peername().map(|peer| peer.to_string()), Some(format!("127.0.0.1:{}", server.port())));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "staggered_race")]
    pub fn happy_eyeballs_delay(self, delay: Duration) -> Self {
        self.with(|options| options.happy_eyeballs_delay = Some(delay))
    }

    /// Lets IPv4 and IPv6 addresses of a name take turns; the family of the first address has `first_count` of them first
    /// (`open_connection(interleave=…)`). With 0 they stay in the system's order, which is the default. With
    /// [`happy_eyeballs_delay`](Self::happy_eyeballs_delay) the default is 1.
    pub fn interleave(self, first_count: usize) -> Self {
        self.with(|options| options.interleave = Some(first_count))
    }

    fn new(target: Target<String, Socket>, place: Place) -> Self {
        let (limit, happy_eyeballs_delay, interleave) = (DEFAULT_LIMIT, None, None);
        let options = ConnectOptions { target, limit, happy_eyeballs_delay, interleave, place };
        Self { options: Some(options), opening: None }
    }

    /// Changes an option of a call that has not begun.
    fn with(mut self, change: impl FnOnce(&mut ConnectOptions)) -> Self {
        if let Some(options) = &mut self.options {
            change(options);
        }
        self
    }

    pub(super) fn on(stream: impl Into<AnyStream>, place: Place) -> Self {
        Self::new(Target::Given(stream.into().0), place)
    }
}

impl ConnectOptions {
    async fn open(self) -> Connected {
        let reader = StreamReader::with_limit(self.limit)?;
        let socket = match self.target {
            Target::Tcp(host, port) => {
                let default = usize::from(self.happy_eyeballs_delay.is_some());
                let addresses = resolve(&host, port, self.place).await?;
                let addresses = interleave(addresses, self.interleave.unwrap_or(default));
                let connected = match self.happy_eyeballs_delay {
                    Some(delay) => connect_staggered(addresses, delay, self.place).await?,
                    None => connect(addresses, self.place).await?,
                };
                Socket::Tcp(connected.into_socket())
            }
            Target::Unix(path) => Socket::Unix(UnixStream::connect(path).await?.into_std()),
            Target::Given(socket) => socket,
        };
        let transport = Transport::new(&get_running_loop()?, socket, None, reader.clone(), self.place)?;
        establish(&transport, || (), self.place).await?;
        Ok((reader, StreamWriter::new(transport)))
    }
}

impl Future for OpenConnection {
    type Output = Connected;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Connected> {
        if let Some(options) = self.options.take() {
            self.opening = Some(Box::pin(options.open()));
        }
        let opening = self.opening.as_mut().expect("it began with its first poll");
        opening.as_mut().poll(cx)
    }
}

impl fmt::Debug for OpenConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.options {
            Some(options) => write!(f, "<connection to be opened to {:?}>", options.target),
            None => f.write_str("<connection that is being opened>"),
        }
    }
}

/// The future of [`OpenConnection`]: itself.
pub type Opening = OpenConnection;
