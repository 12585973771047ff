//! The transport: a socket, what is still to be written to it, and the callbacks of the loop.
//!
//! [`Transport`] is what a program sees of it: the knobs of flow control, and the hard way to end a connection. How it
//! works is told in `link`.

mod link;
mod socket;

pub(super) use link::Link;
pub use socket::Endpoint;
pub(super) use socket::{Socket, shown};

use crate::error::Result;
use std::fmt;
use std::rc::Rc;

/// The connection below a [`StreamWriter`](super::StreamWriter): its buffer limits, pausing, aborting
/// (`asyncio.Transport`). Made by [`StreamWriter::transport`](super::StreamWriter::transport).
///
/// A handle: it does not keep the connection open when the writer is dropped. All may be called at any time on the loop's
/// thread.
///
/// ```
/// use looplab::{EventLoop, net::{open_connection, start_server}};
/// EventLoop::new()?.run_until_complete(async {
///     let server = start_server(async |_reader, _writer| {}, "127.0.0.1", 0).await?;
///     let (_reader, writer) = open_connection("127.0.0.1", server.port()).await?;
///     let transport = writer.transport();
///     assert_eq!(transport.get_write_buffer_limits(), (16 * 1024, 64 * 1024));
///     transport.set_write_buffer_limits(Some(1024), None)?;
///     assert_eq!(transport.get_write_buffer_limits(), (256, 1024));
///     transport.abort();
///     writer.wait_closed().await
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone)]
pub struct Transport(Rc<Link>);

impl Transport {
    pub(super) fn new(link: Rc<Link>) -> Self {
        Self(link)
    }

    /// As [`StreamWriter::close`](super::StreamWriter::close): what was written is flushed first.
    pub fn close(&self) {
        self.0.close();
    }

    /// Whether it is closed, or about to be (`Transport.is_closing`).
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    /// Closes at once; what is not sent yet is thrown away (`Transport.abort`). If the peer has sent what was not read, it
    /// sees a reset connection.
    pub fn abort(&self) {
        self.0.force_close(None);
    }

    /// Stops reading from the socket: the peer is slowed down (`Transport.pause_reading`). Idempotent. The reader does
    /// this by itself when its buffer is full, and resumes when somebody waits for bytes.
    pub fn pause_reading(&self) {
        self.0.pause();
    }

    /// Reads again (`Transport.resume_reading`). Idempotent.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed) on a closed loop.
    pub fn resume_reading(&self) -> Result<()> {
        self.0.resume()
    }

    /// Whether it reads: it is neither paused nor closing (`Transport.is_reading`).
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.0.is_reading()
    }

    /// How many bytes are written but not sent yet (`Transport.get_write_buffer_size`).
    #[must_use]
    pub fn get_write_buffer_size(&self) -> usize {
        self.0.buffered()
    }

    /// The low and the high watermark, in bytes (`Transport.get_write_buffer_limits`).
    #[must_use]
    pub fn get_write_buffer_limits(&self) -> (usize, usize) {
        self.0.limits()
    }

    /// Sets the watermarks, in bytes: [`drain`](super::StreamWriter::drain) waits once more than `high` are buffered, until
    /// `low` or fewer are. If only one is given, the other is a quarter or four times of it; if none is, they are 16 KiB
    /// and 64 KiB (`Transport.set_write_buffer_limits`).
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) if `high` is less than `low`, with asyncio's text.
    pub fn set_write_buffer_limits(&self, high: Option<usize>, low: Option<usize>) -> Result<()> {
        self.0.set_limits(high, low)
    }

    /// The address of the peer (`get_extra_info('peername')`); known after the end, too.
    #[must_use]
    pub fn peername(&self) -> Option<Endpoint> {
        self.0.peer.clone()
    }

    /// The own address (`get_extra_info('sockname')`); known after the end, too.
    #[must_use]
    pub fn sockname(&self) -> Option<Endpoint> {
        self.0.local.clone()
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
