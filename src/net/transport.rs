//! `Transport`: a connection, its unsent bytes and its callbacks. It is asyncio's `_SelectorSocketTransport` and
//! `StreamReaderProtocol` in one.
//!
//! It guarantees their turns: bytes that are ready in turn N are fed to the reader in turn N. A write is tried at once, and
//! the loop flushes the rest. `close` flushes, `abort` discards. Only `connection_lost` closes the socket and wakes the
//! waiting tasks, in a turn of its own. Alternative: a protocol that the user may replace. Problem: streams are the only one.
//!
//! ```text
//!   OPEN ──1 close(), nothing to flush; abort(); an error──────────────────▶ LOST ──3 next turn──▶ GONE
//!    └────2 close(), something to flush──▶ FLUSHING ──abort(); an error──────▲                      ▲
//!                                             └──────────4 all is flushed────────────────────────────┘
//! ```

use super::address::Endpoint;
use super::buffer::with_read_buffer;
use super::socket::{Connection, Socket};
use super::stream_reader::{Flow, StreamReader};
use super::unsent::Unsent;
use crate::drop_guard::DropGuard;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, ExceptionContext, Inner, report};
use crate::sync::wait_queue::WaitQueue;
use crate::trace::{Direction, EntryKind, Place};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};

/// From this write after the loss on, a warning is logged (`LOG_THRESHOLD_FOR_CONNLOST_WRITES`).
const WARNED_WRITE: u32 = 5;

/// The connection below a [`StreamWriter`](super::StreamWriter): its buffer limits, pausing, aborting
/// (`asyncio.Transport`). Returned by [`StreamWriter::transport`](super::StreamWriter::transport).
///
/// It is a handle, which does not keep the connection open when the writer is dropped. All methods may be called at any
/// time on the loop's thread.
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
#[doc(alias = "asyncio.Transport")]
#[derive(Clone)]
pub struct Transport(pub(super) Rc<TransportInner>);

pub(super) struct TransportInner {
    /// Detaches the connection from its server. The first field, so that the server sees a connection that is gone.
    client: RefCell<Option<ClientGuard>>,
    lp: Weak<Inner>,
    place: Place,
    phase: Cell<Phase>,
    /// How the connection has ended, once it is gone.
    end: RefCell<Result<()>>,
    /// The number of writes after the loss.
    lost_writes: Cell<u32>,
    /// `None` once the connection is gone.
    connection: RefCell<Option<Rc<Connection>>>,
    is_pipe: bool,
    local: Option<Endpoint>,
    peer: Option<Endpoint>,
    pub(super) reader: StreamReader,
    reading_paused: Cell<bool>,
    unsent: Unsent,
    eof_written: Cell<bool>,
    closers: WaitQueue,
}

/// Where the connection is in the diagram above.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Phase {
    Open,
    Flushing,
    Lost,
    Gone,
}

/// Tells a server that one of its connections is gone.
pub(super) type ClientGuard = DropGuard<Box<dyn FnOnce()>>;

impl Transport {
    pub(super) fn new(
        lp: &EventLoop,
        socket: Socket,
        peer: Option<Endpoint>,
        reader: StreamReader,
        place: Place,
    ) -> Result<Self> {
        let (is_pipe, local) = (matches!(socket, Socket::Pipe(_)), socket.local_addr());
        let peer = peer.or_else(|| socket.peer_addr());
        let connection = Connection::new(lp, socket)?;
        let transport = Self(Rc::new(TransportInner {
            client: RefCell::default(),
            lp: Rc::downgrade(&lp.0),
            place,
            phase: Cell::new(Phase::Open),
            end: RefCell::new(Ok(())),
            lost_writes: Cell::new(0),
            connection: RefCell::new(Some(Rc::new(connection))),
            is_pipe,
            local,
            peer,
            reader,
            reading_paused: Cell::new(false),
            unsent: Unsent::new(),
            eof_written: Cell::new(false),
            closers: WaitQueue::default(),
        }));
        let weak = Rc::downgrade(&transport.0);
        transport.0.reader.set_flow_control(move |flow| {
            let Some(transport) = weak.upgrade().map(Self) else { return };
            match flow {
                Flow::Pause => transport.pause_reading(),
                // This fails on a closed loop, which reads nothing.
                Flow::Resume => drop(transport.resume_reading()),
            }
        });
        Ok(transport)
    }

    /// Keeps `guard` until the connection is gone.
    pub(super) fn set_client_guard(&self, guard: ClientGuard) {
        *self.0.client.borrow_mut() = Some(guard);
    }

    /// Returns the loop while it is open.
    fn event_loop(&self) -> Result<EventLoop> {
        self.0.lp.upgrade().map(EventLoop).filter(|lp| !lp.is_closed()).ok_or(Error::Closed)
    }

    pub(super) fn in_debug_mode(&self) -> bool {
        self.0.lp.upgrade().is_some_and(|lp| EventLoop(lp).debug())
    }

    fn connection(&self) -> Option<Rc<Connection>> {
        self.0.connection.borrow().clone()
    }

    fn watch(&self, connection: &Connection, direction: Direction) -> Result<()> {
        let (name, ready): (_, fn(&Self) -> Result<()>) = match direction {
            Direction::Read => ("read_ready", Self::read_ready),
            Direction::Write => ("write_ready", Self::write_ready),
        };
        let lp = self.event_loop()?;
        let watched = Watched(self.clone());
        let callback = lp.named_repeated(EntryKind::Io, self.0.place, name, move || ready(&watched.0));
        connection.watch.set(&lp, direction, callback)
    }

    fn unwatch(&self, direction: Direction) {
        if let Some(connection) = self.connection() {
            connection.watch.unset(direction);
        }
    }

    // ---- reading ----

    pub(super) fn begin_reading(&self) -> Result<()> {
        match self.connection() {
            Some(connection) if self.is_reading() => self.watch(&connection, Direction::Read),
            _ => Ok(()),
        }
    }

    /// Stops reading from the socket, which slows the peer down (`Transport.pause_reading`). Idempotent. A full reader calls
    /// it, and resumes when a task waits for bytes.
    pub fn pause_reading(&self) {
        if self.is_reading() {
            self.0.reading_paused.set(true);
            self.unwatch(Direction::Read);
        }
    }

    /// Reads again (`Transport.resume_reading`). Idempotent.
    ///
    /// # Errors
    /// [`Error::Closed`] on a closed loop.
    pub fn resume_reading(&self) -> Result<()> {
        if self.is_closing() || !self.0.reading_paused.replace(false) {
            return Ok(());
        }
        self.begin_reading()
    }

    /// Returns whether it reads: it is neither paused nor closing (`Transport.is_reading`).
    #[must_use]
    pub fn is_reading(&self) -> bool {
        !self.is_closing() && !self.0.reading_paused.get()
    }

    fn read_ready(&self) -> Result<()> {
        let Some(connection) = self.connection() else { return Ok(()) };
        if self.0.is_pipe {
            // The writing end of a pipe reports only the end of the other one as ready to be read.
            let unsent = !self.0.unsent.is_empty();
            self.force_close(unsent.then(|| io::Error::from(ErrorKind::BrokenPipe).into()));
        } else {
            with_read_buffer(|buffer| self.read_once(&connection, buffer));
        }
        Ok(())
    }

    /// Reads once for one event. The next poll reports the bytes that are left.
    fn read_once(&self, connection: &Connection, buffer: &mut [u8]) {
        match connection.recv(buffer) {
            Ok(None) => {}
            Ok(Some(0)) => {
                self.0.reader.feed_eof();
                // The peer sends no more, but may still be written to.
                self.unwatch(Direction::Read);
            }
            Ok(Some(n)) => {
                if let Err(error) = self.0.reader.feed_data(&buffer[..n]) {
                    let text = "Fatal error: protocol.data_received() call failed.";
                    let lp = self.0.lp.upgrade().map(EventLoop);
                    report(lp, ExceptionContext::new(text).with_error(error.clone()));
                    self.force_close(Some(error));
                }
            }
            Err(error) => self.force_close(Some(error.into())),
        }
    }

    // ---- writing ----

    pub(super) fn write(&self, data: &[u8]) -> Result<()> {
        self.check_eof_not_written("write")?;
        if data.is_empty() {
            return Ok(());
        }
        let Some(connection) = self.writable() else { return Ok(()) };
        let mut rest = data;
        if self.0.unsent.is_empty() {
            match connection.send(data) {
                Ok(n) if n == data.len() => return Ok(()),
                Ok(n) => rest = &data[n..],
                Err(error) => {
                    self.force_close(Some(error.into()));
                    return Ok(());
                }
            }
            self.flush_later(&connection)?;
        }
        self.0.unsent.extend(rest);
        self.0.unsent.compare_with_high();
        Ok(())
    }

    pub(super) fn writelines<T: AsRef<[u8]>>(&self, lines: impl IntoIterator<Item = T>) -> Result<()> {
        self.check_eof_not_written("writelines")?;
        // The iterator is user code, so it ends before anything is changed.
        let mut all = Vec::new();
        lines.into_iter().for_each(|line| all.extend_from_slice(line.as_ref()));
        let Some(connection) = self.writable().filter(|_| !all.is_empty()) else { return Ok(()) };
        self.0.unsent.extend(&all);
        self.write_ready()?;
        if !self.0.unsent.is_empty() {
            self.flush_later(&connection)?;
            self.0.unsent.compare_with_high();
        }
        Ok(())
    }

    fn check_eof_not_written(&self, method: &str) -> Result<()> {
        if self.0.eof_written.get() {
            return Err(Error::Runtime(format!("Cannot call {method}() after write_eof()").into()));
        }
        Ok(())
    }

    /// Lets the loop flush the rest. If it cannot, the connection ends, because later bytes must not follow a gap.
    fn flush_later(&self, connection: &Connection) -> Result<()> {
        self.watch(connection, Direction::Write).inspect_err(|error| self.force_close(Some(error.clone())))
    }

    /// Returns the connection unless it is lost. Otherwise it counts the write, which is dropped.
    fn writable(&self) -> Option<Rc<Connection>> {
        if self.0.phase.get() < Phase::Lost {
            // A pipe takes nothing more once it is closing, as in asyncio.
            return self.connection().filter(|_| !(self.0.is_pipe && self.is_closing()));
        }
        let writes = self.0.lost_writes.get().saturating_add(1);
        self.0.lost_writes.set(writes);
        if writes >= WARNED_WRITE {
            let what =
                if self.0.is_pipe { "pipe closed by peer or os.write(pipe, data)" } else { "socket.send()" };
            log_warn!("{what} raised exception.");
        }
        None
    }

    fn write_ready(&self) -> Result<()> {
        let Some(connection) = self.connection() else { return Ok(()) };
        if let Err(error) = self.0.unsent.send(|bytes| connection.send(bytes)) {
            self.force_close(Some(error.into()));
        } else if self.0.unsent.is_empty() {
            self.unwatch(Direction::Write);
            if self.is_closing() {
                self.connection_lost(Ok(()));
            } else if self.0.eof_written.get() {
                connection.socket.shutdown()?;
            }
        }
        Ok(())
    }

    /// Returns the number of bytes that are written but not sent yet (`Transport.get_write_buffer_size`).
    #[must_use]
    pub fn get_write_buffer_size(&self) -> usize {
        self.0.unsent.len()
    }

    /// Returns the low and the high watermark, in bytes (`Transport.get_write_buffer_limits`).
    #[must_use]
    pub fn get_write_buffer_limits(&self) -> (usize, usize) {
        self.0.unsent.limits.get()
    }

    /// Sets the watermarks, in bytes (`Transport.set_write_buffer_limits`). [`drain`](super::StreamWriter::drain) waits once
    /// more than `high` bytes are buffered, until there are at most `low`. If only one is given, the other is a quarter or
    /// four times of it. Without both they are 16 KiB and 64 KiB.
    ///
    /// # Errors
    /// [`Error::Value`] if `high` is less than `low`, with asyncio's text.
    pub fn set_write_buffer_limits(&self, high: Option<usize>, low: Option<usize>) -> Result<()> {
        self.0.unsent.set_limits(high, low)
    }

    /// Waits while too many bytes are unsent.
    pub(super) async fn drain(&self, place: Place) -> Result<()> {
        if self.0.phase.get() == Phase::Gone {
            return Err(io::Error::new(ErrorKind::ConnectionReset, "Connection lost").into());
        }
        self.0.unsent.drain(place).await
    }

    pub(super) fn write_eof(&self) -> Result<()> {
        if self.0.is_pipe {
            // A pipe has one direction.
            self.close();
            return Ok(());
        }
        if self.is_closing() || self.0.eof_written.replace(true) {
            return Ok(());
        }
        match self.connection() {
            Some(connection) if self.0.unsent.is_empty() => connection.socket.shutdown(),
            _ => Ok(()),
        }
    }

    // ---- the end ----

    /// Closes the connection once all written bytes are flushed, as [`StreamWriter::close`](super::StreamWriter::close).
    pub fn close(&self) {
        if self.is_closing() {
            return;
        }
        // A closed loop cannot flush.
        if self.0.unsent.is_empty() || self.event_loop().is_err() {
            return self.force_close(None);
        }
        // Arrow 2.
        self.0.phase.set(Phase::Flushing);
        self.unwatch(Direction::Read);
    }

    /// Returns whether it is closing or closed (`Transport.is_closing`).
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.phase.get() > Phase::Open
    }

    /// Closes the connection at once and discards the unsent bytes (`Transport.abort`). If received bytes were not read, the
    /// peer sees a reset connection.
    pub fn abort(&self) {
        self.force_close(None);
    }

    /// Takes arrow 1, and queues arrow 3 for the next turn. On a closed loop it takes both.
    fn force_close(&self, error: Option<Error>) {
        if self.0.phase.get() >= Phase::Lost {
            return;
        }
        self.0.unsent.clear();
        self.0.phase.set(Phase::Lost);
        self.unwatch(Direction::Read);
        self.unwatch(Direction::Write);
        let transport = self.clone();
        // A guard, so that a loop that closes and drops the callback ends the connection as well.
        let lost = DropGuard::new(move || transport.connection_lost(error.map_or(Ok(()), Err)));
        if let Ok(lp) = self.event_loop() {
            let _ = lp.queue_named(self.0.place, "call_connection_lost", move || drop(lost));
        }
    }

    /// Takes arrows 3 and 4: wakes all waiting tasks, then closes the socket.
    fn connection_lost(&self, end: Result<()>) {
        if self.0.phase.replace(Phase::Gone) == Phase::Gone {
            return;
        }
        *self.0.end.borrow_mut() = end.clone();
        match &end {
            Ok(()) => self.0.reader.feed_eof(),
            // Nothing is read, so `drain` says that the connection is lost, and not why.
            Err(_) if self.0.is_pipe => {}
            Err(error) => self.0.reader.set_exception(error.clone()),
        }
        self.0.closers.wake_all(&end);
        self.0.unsent.end(&end);
        drop(self.0.connection.take());
        drop(self.0.client.take());
    }

    pub(super) async fn wait_closed(&self, place: Place) -> Result<()> {
        if self.0.phase.get() == Phase::Gone {
            return self.0.end.borrow().clone();
        }
        self.0.closers.wait("stream.wait_closed", place).await
    }

    /// Returns a duplicate of the socket's descriptor, to set its options (`get_extra_info('socket')`). An option holds for the
    /// connection, which shares the socket. Any crate that takes an [`AsFd`](std::os::fd::AsFd) sets them, such as `nix`,
    /// `rustix`, or `socket2` with `SockRef::from(&socket)`. Drop it soon: the peer sees the end of the connection only then.
    ///
    /// Do not read, write or close through it. asyncio's `TransportSocket` does not allow that either.
    ///
    /// # Errors
    /// [`Error::Io`] for a connection that is gone, and for one in [`memory`](super::memory), which has no descriptor.
    ///
    /// ```
    /// use looplab::{EventLoop, net::{open_connection, start_server}};
    /// use nix::sys::socket::{getsockopt, setsockopt, sockopt::{KeepAlive, TcpNoDelay}};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let server = start_server(async |_, _| {}, "127.0.0.1", 0).await?;
    ///     let (_reader, writer) = open_connection("127.0.0.1", server.port()).await?;
    ///     let socket = writer.transport().socket()?;
    ///     setsockopt(&socket, KeepAlive, &true).map_err(looplab::Error::other)?;
    ///     assert_eq!(getsockopt(&socket, TcpNoDelay), Ok(true));   // as asyncio sets it
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias("asyncio.trsock.TransportSocket", "get_extra_info"))]
    pub fn socket(&self) -> Result<OwnedFd> {
        let connection = self.connection().ok_or_else(|| io::Error::from(ErrorKind::NotConnected))?;
        Ok(connection.socket.duplicate()?)
    }

    /// Returns the address of the peer, also after the end (`get_extra_info('peername')`).
    #[must_use]
    pub fn peername(&self) -> Option<Endpoint> {
        self.0.peer.clone()
    }

    /// Returns the own address, also after the end (`get_extra_info('sockname')`).
    #[must_use]
    pub fn sockname(&self) -> Option<Endpoint> {
        self.0.local.clone()
    }
}

/// The transport in its reader or writer. A loop that closes drops both, which ends the connection.
struct Watched(Transport);

impl Drop for Watched {
    fn drop(&mut self) {
        if self.0.event_loop().is_err() {
            self.0.connection_lost(Ok(()));
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.0.phase.get() {
            Phase::Open => "",
            Phase::Flushing | Phase::Lost => " closing",
            Phase::Gone => " closed",
        };
        write!(f, "<Transport{phase}")?;
        if let Some(peer) = &self.0.peer {
            write!(f, " peer={peer}")?;
        }
        write!(f, " bufsize={}>", self.get_write_buffer_size())
    }
}
