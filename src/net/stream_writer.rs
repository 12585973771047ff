//! `StreamWriter`: what is to be written, and flow control.
//!
//! It promises asyncio's rules: a write never waits and is tried at once, the loop flushes the rest, `drain` waits while
//! too much is buffered, and nothing that was written is lost by `close`. How that is done is told in `transport`.

use super::transport::{Endpoint, Link, Transport};
use crate::error::Result;
use crate::task::yield_now;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

/// The writing half of a connection (`asyncio.StreamWriter`). Cloning gives another handle of the same stream.
///
/// Keep it as long as the connection is to live: when the last handle is dropped, the connection is closed, after what was
/// written is flushed, and its reader comes to the end of the stream. (As in asyncio since 3.13. It is no mistake in Rust,
/// so it is mentioned in the log in debug mode only.)
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
#[derive(Clone)]
pub struct StreamWriter(Rc<Half>);

struct Half(Rc<Link>);

impl StreamWriter {
    pub(super) fn new(link: Rc<Link>) -> Self {
        Self(Rc::new(Half(link)))
    }

    fn link(&self) -> &Rc<Link> {
        &self.0.0
    }

    /// Writes (`StreamWriter.write`). Does not wait: the kernel gets at once what it takes, and the rest is buffered
    /// without limit; wait with [`drain`](Self::drain). May be called at any time on the loop's thread.
    ///
    /// After the connection is lost, what is written is dropped; from the fifth such write on with a warning in the log.
    /// [`drain`](Self::drain) tells. There is an example at [`StreamWriter`].
    ///
    /// # Errors
    /// [`Error::Runtime`](crate::Error::Runtime) after [`write_eof`](Self::write_eof), with asyncio's text;
    /// [`Error::Closed`](crate::Error::Closed) on a closed loop, for what the kernel did not take.
    pub fn write(&self, data: impl AsRef<[u8]>) -> Result<()> {
        self.link().write(data.as_ref())
    }

    /// Writes all of these, one behind the other (`StreamWriter.writelines`). Else as [`write`](Self::write).
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
    pub fn writelines<T: AsRef<[u8]>>(&self, lines: impl IntoIterator<Item = T>) -> Result<()> {
        self.link().writelines(lines)
    }

    /// Waits until the buffer is small enough to be written to again; at once if it is (`StreamWriter.drain`). Several
    /// tasks may wait.
    ///
    /// Fails with the error that the connection was lost with; with [`Error::Io`](crate::Error::Io), `Connection lost`, if
    /// it is closed; with [`Error::Cancelled`](crate::Error::Cancelled) if the task is cancelled. Nothing that was written
    /// is lost by a cancellation. There is an example at [`StreamWriter`].
    #[track_caller]
    pub fn drain(&self) -> impl Future<Output = Result<()>> + use<> {
        let (writer, place) = (self.clone(), Location::caller());
        async move {
            if let Some(error) = writer.link().reader().exception() {
                return Err(error);
            }
            if writer.link().is_closing() {
                // So that who writes and drains for ever comes to know of the end.
                yield_now().await?;
            }
            writer.link().drain(place).await
        }
    }

    /// Closes the connection once all that was written is flushed (`StreamWriter.close`). Nothing is read any more. Does
    /// not wait: see [`wait_closed`](Self::wait_closed). Idempotent; may be called at any time on the loop's thread. There
    /// is an example at [`StreamWriter`].
    pub fn close(&self) {
        self.link().close();
    }

    /// Whether it is closed, or about to be (`StreamWriter.is_closing`). There is an example at
    /// [`peername`](Self::peername).
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.link().is_closing()
    }

    /// Waits until the connection is gone (`StreamWriter.wait_closed`). Does not close it.
    ///
    /// Fails with the error that it was lost with, or with [`Error::Cancelled`](crate::Error::Cancelled). There is an example
    /// at [`StreamWriter`].
    #[track_caller]
    pub fn wait_closed(&self) -> impl Future<Output = Result<()>> + use<> {
        let (writer, place) = (self.clone(), Location::caller());
        async move { writer.link().wait_closed(place).await }
    }

    /// Ends what is written, once it is flushed; the peer may go on (`StreamWriter.write_eof`). Does nothing on a closing
    /// connection. Does not wait; may be called at any time on the loop's thread. There is an example at [`StreamWriter`].
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the system refuses.
    pub fn write_eof(&self) -> Result<()> {
        self.link().write_eof()
    }

    /// Whether [`write_eof`](Self::write_eof) works here: yes, on TCP and Unix sockets (`StreamWriter.can_write_eof`). There
    /// is an example at [`peername`](Self::peername).
    #[must_use]
    pub fn can_write_eof(&self) -> bool {
        true
    }

    /// The address of the peer (`get_extra_info('peername')`); known after the end, too.
    ///
    /// ```
    /// use looplab::{EventLoop, net::{StreamWriter, open_connection, start_server}};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let who = async |_, writer: StreamWriter| {
    ///         writer.write(writer.peername().map_or_else(String::new, |peer| peer.to_string()))
    ///     };
    ///     let server = start_server(who, "127.0.0.1", 0).await?;
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
        self.link().peer.clone()
    }

    /// The own address (`get_extra_info('sockname')`); known after the end, too. There is an example at
    /// [`peername`](Self::peername).
    #[must_use]
    pub fn sockname(&self) -> Option<Endpoint> {
        self.link().local.clone()
    }

    /// The connection itself: limits of the buffer, pausing, aborting (`StreamWriter.transport`). There is an example at
    /// [`Transport`].
    #[must_use]
    pub fn transport(&self) -> Transport {
        Transport::new(self.link().clone())
    }
}

/// The last handle goes.
impl Drop for Half {
    fn drop(&mut self) {
        if !self.0.is_closing() {
            if self.0.in_debug_mode() {
                log_warn!("unclosed <StreamWriter transport={:?}>", self.0);
            }
            self.0.close();
        }
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<StreamWriter transport={:?} reader={:?}>", self.link(), self.link().reader())
    }
}
