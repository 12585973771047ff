//! `StreamWriter`: the writing half of a connection.
//!
//! It guarantees asyncio's rules. A write is tried at once and never waits, and the loop flushes the rest. `drain` waits
//! while too much is buffered. `close` loses no written byte. The logic is in `transport`.

use super::address::Endpoint;
use super::transport::Transport;
use crate::error::Result;
use crate::task::yield_now;
use crate::trace::Place;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

/// The writing half of a connection (`asyncio.StreamWriter`). A clone is another handle of the same stream.
///
/// Dropping the last handle closes the connection, as [`close`](Self::close) does. (So does asyncio since 3.13, with a
/// warning. In Rust this is no mistake, so only debug mode warns.)
///
/// ```
/// use looplab::{EventLoop, net::{open_connection, start_server}};
/// EventLoop::new()?.run_until_complete(async {
///     let echo = async |reader: looplab::net::StreamReader, writer: looplab::net::StreamWriter| {
///         while let Some(line) = reader.next_line().await? {
///             writer.write(&line)?;
///             writer.drain().await?;
///         }
///         writer.close();
///         writer.wait_closed().await
///     };
///     let server = start_server(echo, "127.0.0.1", 0).await?;
///     let (reader, writer) = open_connection("127.0.0.1", server.port()).await?;
///     writer.write(b"hello\n")?;
///     writer.write_eof()?;
///     assert_eq!(reader.read_to_end().await?, b"hello\n");
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.StreamWriter")]
#[derive(Clone)]
pub struct StreamWriter(Rc<StreamWriterInner>);

struct StreamWriterInner {
    transport: Transport,
}

impl StreamWriter {
    pub(super) fn new(transport: Transport) -> Self {
        Self(Rc::new(StreamWriterInner { transport }))
    }

    /// Writes bytes (`StreamWriter.write`). It does not wait: bytes that the kernel does not take now are buffered without
    /// limit; see [`drain`](Self::drain). It may be called at any time on the loop's thread.
    ///
    /// After the connection is lost, written bytes are dropped, from the fifth write on with a warning in the log.
    /// [`drain`](Self::drain) fails then. There is an example at [`StreamWriter`].
    ///
    /// # Errors
    /// [`Error::Runtime`](crate::Error::Runtime) after [`write_eof`](Self::write_eof), with asyncio's text;
    /// [`Error::Closed`](crate::Error::Closed) on a closed loop, for bytes that the kernel did not take.
    #[doc(alias = "StreamWriter.write")]
    pub fn write(&self, data: impl AsRef<[u8]>) -> Result<()> {
        self.0.transport.write(data.as_ref())
    }

    /// Writes several pieces in one, otherwise as [`write`](Self::write) (`StreamWriter.writelines`).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// ```
    /// use looplab::{EventLoop, net::{StreamWriter, open_connection, start_server}};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let poem = async |_, writer: StreamWriter| writer.writelines(["one\n", "two\n"]);
    ///     let server = start_server(poem, "127.0.0.1", 0).await?;
    ///     let (reader, _writer) = open_connection("127.0.0.1", server.port()).await?;
    ///     assert_eq!(reader.read_to_end().await?, b"one\ntwo\n");
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "StreamWriter.writelines")]
    pub fn writelines<T: AsRef<[u8]>>(&self, lines: impl IntoIterator<Item = T>) -> Result<()> {
        self.0.transport.writelines(lines)
    }

    /// Waits while too many bytes are buffered (`StreamWriter.drain`). Several tasks may wait.
    ///
    /// Fails with the error that the connection was lost with, or with [`Error::Io`](crate::Error::Io), `Connection lost`, if
    /// it is closed. Fails with [`Error::Cancelled`](crate::Error::Cancelled) if the task is cancelled, which loses no
    /// written byte. There is an example at [`StreamWriter`].
    #[doc(alias = "StreamWriter.drain")]
    #[track_caller]
    pub fn drain(&self) -> impl Future<Output = Result<()>> + use<> {
        self.drain_at(Location::caller())
    }

    pub(crate) fn drain_at(&self, place: Place) -> impl Future<Output = Result<()>> + use<> {
        let writer = self.clone();
        async move {
            let transport = &writer.0.transport;
            if let Some(error) = transport.0.reader.exception() {
                return Err(error);
            }
            if transport.is_closing() {
                // Lets `connection_lost` run, so that a task that writes and drains forever learns of it.
                yield_now().await?;
            }
            transport.drain(place).await
        }
    }

    /// Stops reading, and closes the connection once all written bytes are flushed (`StreamWriter.close`). It does not wait;
    /// see [`wait_closed`](Self::wait_closed). Idempotent. It may be called at any time on the loop's thread. There is an
    /// example at [`StreamWriter`].
    #[doc(alias = "StreamWriter.close")]
    pub fn close(&self) {
        self.0.transport.close();
    }

    /// Returns whether it is closing or closed (`StreamWriter.is_closing`). There is an example at
    /// [`peername`](Self::peername).
    #[doc(alias = "StreamWriter.is_closing")]
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.transport.is_closing()
    }

    /// Waits until the connection is gone (`StreamWriter.wait_closed`). It does not close it.
    ///
    /// Fails with the error that the connection was lost with, or with [`Error::Cancelled`](crate::Error::Cancelled). There
    /// is an example at [`StreamWriter`].
    #[doc(alias = "StreamWriter.wait_closed")]
    #[track_caller]
    pub fn wait_closed(&self) -> impl Future<Output = Result<()>> + use<> {
        let (writer, place) = (self.clone(), Location::caller());
        async move { writer.0.transport.wait_closed(place).await }
    }

    /// Ends the writing direction once all written bytes are flushed (`StreamWriter.write_eof`). The peer may still send. It
    /// does nothing on a closing connection, and does not wait. It may be called at any time on the loop's thread. There is
    /// an example at [`StreamWriter`].
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the system refuses.
    #[doc(alias = "StreamWriter.write_eof")]
    pub fn write_eof(&self) -> Result<()> {
        self.0.transport.write_eof()
    }

    /// Returns whether [`write_eof`](Self::write_eof) works (`StreamWriter.can_write_eof`). It does on TCP and Unix sockets.
    /// There is an example at [`peername`](Self::peername).
    #[doc(alias = "StreamWriter.can_write_eof")]
    #[must_use]
    pub fn can_write_eof(&self) -> bool {
        true
    }

    /// Returns the address of the peer, also after the end (`get_extra_info('peername')`).
    ///
    /// ```
    /// use looplab::{EventLoop, net::{StreamWriter, open_connection, start_server}};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let name = async |_, writer: StreamWriter| {
    ///         writer.write(writer.peername().map_or_else(String::new, |peer| peer.to_string()))
    ///     };
    ///     let server = start_server(name, "127.0.0.1", 0).await?;
    ///     let (reader, writer) = open_connection("127.0.0.1", server.port()).await?;
    ///     assert_eq!(writer.peername().map(|peer| peer.port()), Some(Some(server.port())));
    ///     let ours = writer.sockname().expect("a TCP socket has an address").to_string();
    ///     assert_eq!(reader.read_to_end().await?, ours.as_bytes());
    ///     assert!(writer.can_write_eof());
    ///     writer.close();
    ///     assert!(writer.is_closing() && writer.peername().is_some());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[must_use]
    pub fn peername(&self) -> Option<Endpoint> {
        self.0.transport.peername()
    }

    /// Returns the own address, also after the end (`get_extra_info('sockname')`). There is an example at
    /// [`peername`](Self::peername).
    #[must_use]
    pub fn sockname(&self) -> Option<Endpoint> {
        self.0.transport.sockname()
    }

    /// Returns the connection, for its buffer limits, pausing and aborting (`StreamWriter.transport`). There is an example
    /// at [`Transport`].
    #[doc(alias = "StreamWriter.transport")]
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.0.transport.clone()
    }
}

/// Closes the connection with the last handle.
impl Drop for StreamWriterInner {
    fn drop(&mut self) {
        if !self.transport.is_closing() {
            if self.transport.in_debug_mode() {
                log_warn!("unclosed <StreamWriter transport={:?}>", self.transport);
            }
            self.transport.close();
        }
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = &self.0.transport;
        write!(f, "<StreamWriter transport={transport:?} reader={:?}>", transport.0.reader)
    }
}
