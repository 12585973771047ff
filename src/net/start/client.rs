//! Opening connections: a connected socket becomes a reader and a writer.

use super::establish;
use crate::error::Result;
use crate::event_loop::get_running_loop;
use crate::net::connect::connect_tcp;
use crate::net::stream_reader::{DEFAULT_LIMIT, StreamReader};
use crate::net::stream_writer::StreamWriter;
use crate::net::transport::{Link, Socket};
use crate::net::unix::UnixStream;
use crate::trace::Place;
use std::fmt;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::pin::Pin;

/// Connects to a TCP server (`asyncio.open_connection(host, port)`). A name is looked up in the loop's executor, and its
/// addresses are tried in turn; the empty name is this machine (asyncio: `host=None`; `''` is an error there).
///
/// Fails with [`Error::Io`](crate::Error::Io), which tells what each address answered, or why the name is not known; with
/// [`Error::Value`](crate::Error::Value) for a limit of 0; with [`Error::Cancelled`](crate::Error::Cancelled), and nothing is
/// left open then.
///
/// Keep the writer: when it is dropped, the connection is closed.
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
#[track_caller]
pub fn open_connection(host: impl Into<String>, port: u16) -> OpenConnection {
    OpenConnection { to: To::Tcp(host.into(), port), limit: DEFAULT_LIMIT, place: Location::caller() }
}

/// Connects to a server on a Unix socket (`asyncio.open_unix_connection(path)`); else as [`open_connection`]. A path that
/// begins with a null byte, `"\0name"`, is an abstract name (Linux). Connecting succeeds or fails at once, as [`UnixStream::connect`]: a server whose queue is full answers `WouldBlock`, and the error has the
/// system's words (`No such file or directory (os error 2)`).
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
#[track_caller]
pub fn open_unix_connection(path: impl AsRef<Path>) -> OpenConnection {
    let to = To::Unix(path.as_ref().to_owned());
    OpenConnection { to, limit: DEFAULT_LIMIT, place: Location::caller() }
}

/// A connection to be opened, when it is awaited; made by [`open_connection`] and [`open_unix_connection`].
#[must_use = "nothing is opened unless it is awaited"]
#[derive(Debug)]
pub struct OpenConnection {
    to: To,
    limit: usize,
    place: Place,
}

#[derive(Debug)]
enum To {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl OpenConnection {
    /// The limit of the reader, in bytes; see [`StreamReader::with_limit`]. With 0 the await fails with
    /// [`Error::Value`](crate::Error::Value).
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    async fn open(self) -> Result<(StreamReader, StreamWriter)> {
        let reader = StreamReader::with_limit(self.limit)?;
        let socket = match self.to {
            To::Tcp(host, port) => {
                let stream = connect_tcp(&host, port, self.place).await?;
                Socket::Tcp(mio::net::TcpStream::from_std(stream.into_std()))
            }
            To::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                Socket::Unix(mio::net::UnixStream::from_std(stream.into_std()))
            }
        };
        let link = Link::new(&get_running_loop()?, socket, None, reader.clone(), self.place);
        establish(&link, || (), self.place).await?;
        Ok((reader, StreamWriter::new(link)))
    }
}

impl IntoFuture for OpenConnection {
    type Output = Opened;
    type IntoFuture = Opening;
    fn into_future(self) -> Opening {
        Opening(Box::pin(self.open()))
    }
}

/// The future of [`OpenConnection`].
#[must_use = "futures do nothing unless awaited"]
pub struct Opening(Pin<Box<dyn Future<Output = Opened>>>);

type Opened = Result<(StreamReader, StreamWriter)>;

impl Future for Opening {
    type Output = Opened;
    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<opening a connection>")
    }
}
