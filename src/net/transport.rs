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

use super::buffer::{Buffer, with_read_buffer};
use super::endpoint::Endpoint;
use super::socket::Socket;
use super::stream_reader::{FlowControl, StreamReader};
use crate::drop_guard::DropGuard;
use crate::error::{Error, Result};
use crate::event_loop::{
    Callback, EventLoop, ExceptionContext, Header, Inner, Watch, get_running_loop, report,
};
use crate::outcome::Outcome;
use crate::sync::wait_queue::WaitQueue;
use crate::task::Future as Waiter;
use crate::trace::{Direction, EntryKind, Place};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};

/// From this write after the loss on, a warning is logged (`LOG_THRESHOLD_FOR_CONNLOST_WRITES`).
const WARNED_WRITE: u32 = 5;
const HIGH_WATER: usize = 64 * 1024;

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
pub struct Transport(Rc<TransportInner>);

pub(super) struct TransportInner {
    /// Detaches the connection from its server. The first field, so that the server sees a connection that is gone.
    client: RefCell<Option<ClientGuard>>,
    lp: Weak<Inner>,
    place: Place,
    phase: RefCell<Phase>,
    /// `None` once the connection is gone.
    connection: RefCell<Option<Rc<Connection>>>,
    is_pipe: bool,
    local: Option<Endpoint>,
    peer: Option<Endpoint>,
    reader: StreamReader,
    reading_paused: Cell<bool>,
    unsent: RefCell<Buffer>,
    /// The low and the high watermark.
    limits: Cell<(usize, usize)>,
    /// More bytes than the high watermark were unsent, and not few enough since: `drain` waits.
    above_high: Cell<bool>,
    eof_written: Cell<bool>,
    drainers: WaitQueue,
    closers: WaitQueue,
}

/// Where the connection is in the diagram above.
enum Phase {
    Open,
    Flushing,
    Lost { writes: u32 },
    Gone { writes: u32, end: Result<()> },
}

/// Tells a server that one of its connections is gone.
pub(super) type ClientGuard = DropGuard<Box<dyn FnOnce()>>;

/// The registration, which ends before the socket is closed.
struct Connection {
    watch: Watch,
    socket: Socket,
}

impl Transport {
    pub(super) fn new(
        lp: &EventLoop,
        socket: Socket,
        peer: Option<Endpoint>,
        reader: StreamReader,
        place: Place,
    ) -> Result<Self> {
        socket.set_nodelay();
        let watch = socket.watch(lp)?;
        let inner = Rc::new(TransportInner {
            client: RefCell::default(),
            lp: lp.downgrade(),
            place,
            phase: RefCell::new(Phase::Open),
            is_pipe: socket.is_pipe(),
            local: socket.local_addr(),
            peer: peer.or_else(|| socket.peer_addr()),
            connection: RefCell::new(Some(Rc::new(Connection { watch, socket }))),
            reader,
            reading_paused: Cell::new(false),
            unsent: RefCell::default(),
            limits: Cell::new((HIGH_WATER / 4, HIGH_WATER)),
            above_high: Cell::new(false),
            eof_written: Cell::new(false),
            drainers: WaitQueue::default(),
            closers: WaitQueue::default(),
        });
        let weak: Weak<TransportInner> = Rc::downgrade(&inner);
        inner.reader.set_transport(weak);
        Ok(Self(inner))
    }

    /// Keeps `guard` until the connection is gone.
    pub(super) fn set_client_guard(&self, guard: ClientGuard) {
        *self.0.client.borrow_mut() = Some(guard);
    }

    pub(super) fn downgrade(&self) -> Weak<TransportInner> {
        Rc::downgrade(&self.0)
    }

    pub(super) fn upgrade(weak: &Weak<TransportInner>) -> Option<Self> {
        weak.upgrade().map(Self)
    }

    pub(super) fn reader(&self) -> &StreamReader {
        &self.0.reader
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

    /// Returns the connection unless it is lost.
    fn unless_lost(&self) -> Option<Rc<Connection>> {
        self.connection().filter(|_| !self.is_lost())
    }

    fn is_lost(&self) -> bool {
        matches!(*self.0.phase.borrow(), Phase::Lost { .. } | Phase::Gone { .. })
    }

    fn watch(&self, connection: &Connection, direction: Direction) -> Result<()> {
        let lp = self.event_loop()?;
        let (name, ready): (_, fn(&Self) -> Result<()>) = match direction {
            Direction::Read => ("read_ready", Self::read_ready),
            Direction::Write => ("write_ready", Self::write_ready),
        };
        let header = Header::new(lp.0.next_handle(), EntryKind::Io, self.0.place, name);
        let callback = SocketReady { header, transport: RefCell::new(Some(self.clone())), ready };
        connection.watch.set(&lp, direction, Rc::new(callback))
    }

    fn unwatch(&self, direction: Direction) {
        if let Some(connection) = self.connection() {
            connection.watch.unset(direction);
        }
    }

    /// Begins the connection in three callbacks of the next turn, as asyncio's transport: calls `connection_made`, begins to
    /// read, and wakes the task that waits here. Closes the connection if this future is dropped before.
    pub(super) async fn establish<F, R>(&self, connection_made: F, place: Place) -> Result<()>
    where
        F: FnOnce() -> R + 'static,
        R: Outcome,
    {
        if self.is_closing() {
            return Ok(());
        }
        let abandoned = DropGuard::new(|| self.close());
        let waiter = {
            // No handle of the loop lives across the await: a task must not keep the loop alive that keeps the task.
            let lp = get_running_loop()?;
            let waiter = Waiter::of_kind(&lp, "connection_made", place);
            let (transport, woken) = (self.clone(), waiter.clone());
            let set_result = move || if woken.done() { Ok(()) } else { woken.set_result(()) };
            lp.queue_named(place, "connection_made", connection_made)?;
            lp.queue_named(place, "add_reader", move || transport.begin_reading())?;
            lp.queue_named(place, "set_result_unless_cancelled", set_result)?;
            waiter
        };
        waiter.await?;
        abandoned.disarm();
        Ok(())
    }

    // ---- reading ----

    fn begin_reading(&self) -> Result<()> {
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
        if self.0.is_pipe {
            self.pipe_closed_by_peer();
        } else if let Some(connection) = self.unless_lost() {
            with_read_buffer(|buffer| self.read_once(&connection, buffer));
        }
        Ok(())
    }

    /// Ends a pipe that is not read any more. Its writing end reports only this as ready to be read.
    fn pipe_closed_by_peer(&self) {
        let unsent = self.get_write_buffer_size() > 0;
        self.force_close(unsent.then(|| io::Error::from(ErrorKind::BrokenPipe).into()));
    }

    /// Reads once for one event. The next poll reports the bytes that are left.
    fn read_once(&self, connection: &Connection, buffer: &mut [u8]) {
        match connection.socket.recv(buffer) {
            Ok(0) => {
                self.0.reader.feed_eof();
                // The peer sends no more, but may still be written to.
                self.unwatch(Direction::Read);
            }
            Ok(n) => {
                if n < buffer.len() && connection.socket.short_read_drains() {
                    connection.watch.drained(Direction::Read);
                }
                if let Err(error) = self.0.reader.feed_data(&buffer[..n]) {
                    let text = "Fatal error: protocol.data_received() call failed.";
                    let lp = self.0.lp.upgrade().map(EventLoop);
                    report(lp, ExceptionContext::new(text).with_error(error.clone()));
                    self.force_close(Some(error));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => connection.watch.drained(Direction::Read),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
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
        if self.0.unsent.borrow().is_empty() {
            match self.send(&connection, data) {
                Ok(n) if n == data.len() => return Ok(()),
                Ok(n) => rest = &data[n..],
                Err(error) => {
                    self.force_close(Some(error.into()));
                    return Ok(());
                }
            }
            self.flush_later(&connection)?;
        }
        self.0.unsent.borrow_mut().extend(rest);
        self.compare_with_high();
        Ok(())
    }

    pub(super) fn writelines<T: AsRef<[u8]>>(&self, lines: impl IntoIterator<Item = T>) -> Result<()> {
        self.check_eof_not_written("writelines")?;
        // The iterator is user code, so it ends before anything is changed.
        let all = lines.into_iter().fold(Vec::new(), |mut all, line| {
            all.extend_from_slice(line.as_ref());
            all
        });
        let Some(connection) = self.writable().filter(|_| !all.is_empty()) else { return Ok(()) };
        let was_empty = self.0.unsent.borrow().is_empty();
        self.0.unsent.borrow_mut().extend(&all);
        self.flush(&connection);
        if was_empty && !self.is_lost() && !self.0.unsent.borrow().is_empty() {
            self.flush_later(&connection)?;
        }
        self.compare_with_high();
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
        let writes = match &mut *self.0.phase.borrow_mut() {
            // A pipe takes nothing more once it is closing, as in asyncio.
            Phase::Flushing if self.0.is_pipe => return None,
            Phase::Open | Phase::Flushing => return self.connection(),
            Phase::Lost { writes } | Phase::Gone { writes, .. } => {
                *writes = writes.saturating_add(1);
                *writes
            }
        };
        if writes >= WARNED_WRITE {
            match self.0.is_pipe {
                true => log_warn!("pipe closed by peer or os.write(pipe, data) raised exception."),
                false => log_warn!("socket.send() raised exception."),
            }
        }
        None
    }

    /// Returns the number of bytes that the kernel took.
    fn send(&self, connection: &Connection, data: &[u8]) -> io::Result<usize> {
        let sent = match connection.socket.send(data) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(0),
            sent => sent?,
        };
        if sent < data.len() {
            connection.watch.drained(Direction::Write);
        }
        Ok(sent)
    }

    fn write_ready(&self) -> Result<()> {
        let Some(connection) = self.unless_lost() else { return Ok(()) };
        self.flush(&connection);
        if self.is_lost() || !self.0.unsent.borrow().is_empty() {
            return Ok(());
        }
        self.unwatch(Direction::Write);
        if self.is_closing() {
            self.connection_lost(Ok(()));
        } else if self.0.eof_written.get() {
            connection.socket.shutdown()?;
        }
        Ok(())
    }

    fn flush(&self, connection: &Connection) {
        let sent = self.send(connection, self.0.unsent.borrow().as_slice());
        match sent {
            Ok(n) => {
                self.0.unsent.borrow_mut().consume(n);
                self.compare_with_low();
            }
            Err(error) => self.force_close(Some(error.into())),
        }
    }

    /// Returns the number of bytes that are written but not sent yet (`Transport.get_write_buffer_size`).
    #[must_use]
    pub fn get_write_buffer_size(&self) -> usize {
        self.0.unsent.borrow().len()
    }

    /// Returns the low and the high watermark, in bytes (`Transport.get_write_buffer_limits`).
    #[must_use]
    pub fn get_write_buffer_limits(&self) -> (usize, usize) {
        self.0.limits.get()
    }

    /// Sets the watermarks, in bytes (`Transport.set_write_buffer_limits`). [`drain`](super::StreamWriter::drain) waits once
    /// more than `high` bytes are buffered, until there are at most `low`. If only one is given, the other is a quarter or
    /// four times of it. Without both they are 16 KiB and 64 KiB.
    ///
    /// # Errors
    /// [`Error::Value`] if `high` is less than `low`, with asyncio's text.
    pub fn set_write_buffer_limits(&self, high: Option<usize>, low: Option<usize>) -> Result<()> {
        let high = high.unwrap_or_else(|| low.map_or(HIGH_WATER, |low| low.saturating_mul(4)));
        let low = low.unwrap_or(high / 4);
        if high < low {
            let text = format!("high ({high}) must be >= low ({low}) must be >= 0");
            return Err(Error::Value(text.into()));
        }
        self.0.limits.set((low, high));
        self.compare_with_high();
        Ok(())
    }

    fn compare_with_high(&self) {
        if self.get_write_buffer_size() > self.0.limits.get().1 {
            self.0.above_high.set(true);
        }
    }

    fn compare_with_low(&self) {
        if self.0.above_high.get() && self.get_write_buffer_size() <= self.0.limits.get().0 {
            self.0.above_high.set(false);
            self.0.drainers.wake_all(&Ok(()));
        }
    }

    /// Waits while too many bytes are unsent.
    pub(super) async fn drain(&self, place: Place) -> Result<()> {
        if matches!(*self.0.phase.borrow(), Phase::Gone { .. }) {
            return Err(io::Error::new(ErrorKind::ConnectionReset, "Connection lost").into());
        }
        if self.0.above_high.get() { self.0.drainers.wait("stream.drain", place).await } else { Ok(()) }
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
            Some(connection) if self.0.unsent.borrow().is_empty() => connection.socket.shutdown(),
            _ => Ok(()),
        }
    }

    // ---- the end ----

    /// Closes the connection once all written bytes are flushed, as [`StreamWriter::close`](super::StreamWriter::close).
    pub fn close(&self) {
        // Arrows 1 and 2.
        if self.is_closing() {
            return;
        }
        *self.0.phase.borrow_mut() = Phase::Flushing;
        self.unwatch(Direction::Read);
        if self.0.unsent.borrow().is_empty() {
            self.unwatch(Direction::Write);
            self.lose(None);
        } else if self.event_loop().is_err() {
            // A closed loop cannot flush.
            self.connection_lost(Ok(()));
        }
    }

    /// Returns whether it is closing or closed (`Transport.is_closing`).
    #[must_use]
    pub fn is_closing(&self) -> bool {
        !matches!(*self.0.phase.borrow(), Phase::Open)
    }

    /// Closes the connection at once and discards the unsent bytes (`Transport.abort`). If received bytes were not read, the
    /// peer sees a reset connection.
    pub fn abort(&self) {
        self.force_close(None);
    }

    /// Takes arrow 1 without flushing.
    fn force_close(&self, error: Option<Error>) {
        if self.is_lost() {
            return;
        }
        self.0.unsent.borrow_mut().clear();
        *self.0.phase.borrow_mut() = Phase::Flushing;
        self.unwatch(Direction::Read);
        self.unwatch(Direction::Write);
        self.lose(error);
    }

    /// Queues arrow 3 for the next turn. On a closed loop it takes it at once.
    fn lose(&self, error: Option<Error>) {
        if self.is_lost() {
            // On a closed loop, removing the callbacks has ended the connection.
            return;
        }
        *self.0.phase.borrow_mut() = Phase::Lost { writes: 0 };
        let transport = self.clone();
        // A guard, so that a loop that closes and drops the callback ends the connection as well.
        let lost = DropGuard::new(move || transport.connection_lost(error.map_or(Ok(()), Err)));
        if let Ok(lp) = self.event_loop() {
            let _ = lp.queue_named(self.0.place, "call_connection_lost", move || drop(lost));
        }
    }

    /// Takes arrows 3 and 4: wakes all waiting tasks, then closes the socket.
    fn connection_lost(&self, end: Result<()>) {
        let writes = match &*self.0.phase.borrow() {
            Phase::Gone { .. } => return,
            Phase::Lost { writes } => *writes,
            Phase::Open | Phase::Flushing => 0,
        };
        *self.0.phase.borrow_mut() = Phase::Gone { writes, end: end.clone() };
        match &end {
            Ok(()) => self.0.reader.feed_eof(),
            // Nothing is read, so `drain` says that the connection is lost, and not why.
            Err(_) if self.0.is_pipe => {}
            Err(error) => self.0.reader.set_exception(error.clone()),
        }
        self.0.closers.wake_all(&end);
        self.0.drainers.wake_all(&end);
        drop(self.0.connection.take());
        drop(self.0.client.take());
    }

    pub(super) async fn wait_closed(&self, place: Place) -> Result<()> {
        if let Phase::Gone { end, .. } = &*self.0.phase.borrow() {
            return end.clone();
        }
        self.0.closers.wait("stream.wait_closed", place).await
    }

    /// Returns a duplicate of the socket's descriptor, to set its options (`get_extra_info('socket')`). An option holds for the
    /// connection, which shares the socket. Any crate that takes an [`AsFd`](std::os::fd::AsFd) sets them, such as `rustix`,
    /// `nix`, or `socket2` with `SockRef::from(&socket)`. Drop it soon: the peer sees the end of the connection only then.
    ///
    /// Do not read, write or close through it. asyncio's `TransportSocket` does not allow that either.
    ///
    /// # Errors
    /// [`Error::Io`] for a connection that is gone, and for one in [`memory`](super::memory), which has no descriptor.
    ///
    /// ```
    /// use looplab::{EventLoop, net::{open_connection, start_server}};
    /// use rustix::net::sockopt;
    /// EventLoop::new()?.run_until_complete(async {
    ///     let server = start_server(async |_, _| {}, "127.0.0.1", 0).await?;
    ///     let (_reader, writer) = open_connection("127.0.0.1", server.port()).await?;
    ///     let socket = writer.transport().socket()?;
    ///     sockopt::set_socket_keepalive(&socket, true).map_err(looplab::Error::other)?;
    ///     assert_eq!(sockopt::tcp_nodelay(&socket), Ok(true));     // as asyncio sets it
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

/// A connection's reader or writer. When a loop that closes discards it, the connection ends.
struct SocketReady {
    header: Header,
    transport: RefCell<Option<Transport>>,
    ready: fn(&Transport) -> Result<()>,
}

impl Callback for SocketReady {
    fn header(&self) -> &Header {
        &self.header
    }

    fn call(&self, _: &EventLoop) -> Result<()> {
        let transport = self.transport.borrow().clone();
        transport.map_or(Ok(()), |transport| (self.ready)(&transport))
    }

    fn discard(&self) {
        let transport = self.transport.take();
        if let Some(transport) = transport.filter(|transport| transport.event_loop().is_err()) {
            transport.connection_lost(Ok(()));
        }
    }
}

impl FlowControl for TransportInner {
    fn pause_reading(self: Rc<Self>) {
        Transport(self).pause_reading();
    }

    fn resume_reading(self: Rc<Self>) {
        // This fails on a closed loop, which reads nothing.
        let _ = Transport(self).resume_reading();
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &*self.0.phase.borrow() {
            Phase::Open => "",
            Phase::Flushing | Phase::Lost { .. } => " closing",
            Phase::Gone { .. } => " closed",
        };
        write!(f, "<Transport{phase}")?;
        if let Some(peer) = &self.0.peer {
            write!(f, " peer={peer}")?;
        }
        write!(f, " bufsize={}>", self.get_write_buffer_size())
    }
}
