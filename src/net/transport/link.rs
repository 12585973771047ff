//! The inside of a connection: asyncio's `_SelectorSocketTransport` and `StreamReaderProtocol` in one.
//!
//! It promises their turns. Bytes that are ready in turn N are fed to the reader in turn N. A write is tried at once; what
//! the kernel does not take is flushed by the loop when there is room. `close` stops reading and lets the loop flush what
//! was written, `abort` throws it away; either way `connection_lost` comes in a turn of its own, and only it closes the
//! socket and tells those who wait. (Rejected: a protocol that the user may replace, as in asyncio. Streams are the one
//! protocol that looplab has, and two structures that hold each other would be one too many.)
//!
//! ```text
//!   OPEN ──1 close(), nothing to flush; abort(); an error──────────────────▶ LOST ──3 next turn──▶ GONE
//!    └────2 close(), something to flush──▶ FLUSHING ──abort(); an error──────▲                      ▲
//!                                             └──────────4 all is flushed────────────────────────────┘
//! ```

mod entries;

use super::socket::{Endpoint, Socket};
use crate::error::{Error, Result};
use crate::event_loop::{Callback, EventLoop, ExceptionContext, Inner, Watch, report};
use crate::net::readiness::with_read_buffer;
use crate::net::server::Shared as Server;
use crate::net::stream_reader::{Bytes, Source, StreamReader};
use crate::sync::wait_queue::WaitQueue;
use crate::trace::{Direction, EntryKind, Place};
use entries::{Loss, SocketReady};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::rc::{Rc, Weak};

/// From this write after the loss on, a warning is logged (`LOG_THRESHOLD_FOR_CONNLOST_WRITES`).
const WARNED_WRITE: u32 = 5;

pub(in crate::net) struct Link {
    me: Weak<Self>,
    lp: Weak<Inner>,
    place: Place,
    /// Gone when the connection is.
    io: RefCell<Option<Rc<Io>>>,
    pub(in crate::net) local: Option<Endpoint>,
    pub(in crate::net) peer: Option<Endpoint>,
    reader: StreamReader,
    out: RefCell<Bytes>,
    high: Cell<usize>,
    low: Cell<usize>,
    /// More than `high` was buffered, and `low` not reached since: `drain` waits.
    full: Cell<bool>,
    paused: Cell<bool>,
    eof_written: Cell<bool>,
    closing: Cell<bool>,
    /// Not 0 once the connection is lost; counts the writes after it.
    lost: Cell<u32>,
    /// How it ended: arrow 3 or 4.
    end: RefCell<Option<Result<()>>>,
    drainers: WaitQueue,
    closers: WaitQueue,
    server: RefCell<Option<(Rc<Server>, u64)>>,
}

/// The socket, and its registration, which ends first.
struct Io {
    watch: Watch,
    socket: Socket,
}

impl Link {
    pub(in crate::net) fn new(
        lp: &EventLoop,
        socket: Socket,
        peer: Option<Endpoint>,
        reader: StreamReader,
        place: Place,
    ) -> Rc<Self> {
        socket.set_nodelay();
        let watch = Watch::new(lp, socket.as_raw_fd());
        let link = Rc::new_cyclic(|me| Self {
            me: me.clone(),
            lp: lp.downgrade(),
            place,
            local: socket.local(),
            peer: peer.or_else(|| socket.peer()),
            io: RefCell::new(Some(Rc::new(Io { watch, socket }))),
            reader,
            out: RefCell::default(),
            high: Cell::new(64 * 1024),
            low: Cell::new(16 * 1024),
            full: Cell::new(false),
            paused: Cell::new(false),
            eof_written: Cell::new(false),
            closing: Cell::new(false),
            lost: Cell::new(0),
            end: RefCell::new(None),
            drainers: WaitQueue::default(),
            closers: WaitQueue::default(),
            server: RefCell::new(None),
        });
        let source: Weak<Self> = link.me.clone();
        link.reader.set_source(source);
        link
    }

    /// It counts as a client of this server, under this number.
    pub(in crate::net) fn belongs_to(&self, server: Rc<Server>, number: u64) {
        *self.server.borrow_mut() = Some((server, number));
    }

    pub(in crate::net) fn reader(&self) -> &StreamReader {
        &self.reader
    }

    /// The loop, while it is open.
    fn event_loop(&self) -> Result<EventLoop> {
        self.lp.upgrade().map(EventLoop).filter(|lp| !lp.is_closed()).ok_or(Error::Closed)
    }

    pub(in crate::net) fn in_debug_mode(&self) -> bool {
        self.lp.upgrade().is_some_and(|lp| EventLoop(lp).debug())
    }

    fn io(&self) -> Option<Rc<Io>> {
        self.io.borrow().clone()
    }

    fn watch(&self, io: &Io, direction: Direction) -> Result<()> {
        let lp = self.event_loop()?;
        let id = lp.0.next_handle();
        let ready = SocketReady::new(direction, self.me.upgrade());
        let callback = Callback::new(id, EntryKind::Io, self.place, ready.name(), ready);
        io.watch.set(&lp, direction, Rc::new(callback))
    }

    fn unwatch(&self, direction: Direction) {
        if let Some(io) = self.io() {
            io.watch.unset(direction);
        }
    }

    // ---- reading ----

    /// The second of the three callbacks that begin a connection.
    pub(in crate::net) fn begin_reading(&self) -> Result<()> {
        match self.io() {
            Some(io) if self.is_reading() => self.watch(&io, Direction::Read),
            _ => Ok(()),
        }
    }

    pub(in crate::net) fn is_reading(&self) -> bool {
        !self.closing.get() && !self.paused.get()
    }

    pub(in crate::net) fn pause(&self) {
        if self.is_reading() {
            self.paused.set(true);
            self.unwatch(Direction::Read);
        }
    }

    pub(in crate::net) fn resume(&self) -> Result<()> {
        if self.closing.get() || !self.paused.replace(false) {
            return Ok(());
        }
        self.begin_reading()
    }

    fn read_ready(&self) -> Result<()> {
        if let Some(io) = self.io().filter(|_| self.lost.get() == 0) {
            with_read_buffer(|buffer| self.read_once(&io, buffer));
        }
        Ok(())
    }

    /// One read for one readiness: what is left is reported again.
    fn read_once(&self, io: &Io, buffer: &mut [u8]) {
        match io.socket.recv(buffer) {
            Ok(0) => {
                self.reader.feed_eof();
                // It may still be written to; there is nothing more to read.
                self.unwatch(Direction::Read);
            }
            Ok(n) => {
                if n < buffer.len() && io.socket.short_read_empties() {
                    io.watch.drained(Direction::Read);
                }
                if let Err(error) = self.reader.feed_data(&buffer[..n]) {
                    self.report("Fatal error: protocol.data_received() call failed.", &error);
                    self.force_close(Some(error));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => io.watch.drained(Direction::Read),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => self.force_close(Some(error.into())),
        }
    }

    // ---- writing ----

    pub(in crate::net) fn write(&self, data: &[u8]) -> Result<()> {
        if self.eof_written.get() {
            return Err(Error::Runtime("Cannot call write() after write_eof()".into()));
        }
        if data.is_empty() {
            return Ok(());
        }
        let Some(io) = self.writable() else { return Ok(()) };
        let waiting = !self.out.borrow().is_empty();
        let mut rest = data;
        if !waiting {
            match self.send(&io, data) {
                Ok(n) if n == data.len() => return Ok(()),
                Ok(n) => rest = &data[n..],
                Err(error) => {
                    self.force_close(Some(error.into()));
                    return Ok(());
                }
            }
            self.flush_later(&io)?;
        }
        self.out.borrow_mut().extend(rest);
        self.note_more();
        Ok(())
    }

    pub(in crate::net) fn writelines<T: AsRef<[u8]>>(
        &self,
        lines: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        if self.eof_written.get() {
            return Err(Error::Runtime("Cannot call writelines() after write_eof()".into()));
        }
        // A user's iterator: it is run before anything is touched.
        let all = lines.into_iter().fold(Vec::new(), |mut all, line| {
            all.extend_from_slice(line.as_ref());
            all
        });
        let Some(io) = self.writable().filter(|_| !all.is_empty()) else { return Ok(()) };
        let waiting = !self.out.borrow().is_empty();
        self.out.borrow_mut().extend(&all);
        self.flush(&io)?;
        if !waiting && self.lost.get() == 0 && !self.out.borrow().is_empty() {
            self.flush_later(&io)?;
        }
        self.note_more();
        Ok(())
    }

    /// If the loop cannot flush the rest, the connection ends: what is written next must not come behind a gap.
    fn flush_later(&self, io: &Io) -> Result<()> {
        let watched = self.watch(io, Direction::Write);
        if let Err(error) = &watched {
            self.force_close(Some(error.clone()));
        }
        watched
    }

    /// The socket, or, after the loss, nothing but a note: what is written then is dropped.
    fn writable(&self) -> Option<Rc<Io>> {
        let io = self.io().filter(|_| self.lost.get() == 0);
        if io.is_none() {
            let count = self.lost.get();
            if count >= WARNED_WRITE {
                log_warn!("socket.send() raised exception.");
            }
            self.lost.set(count.saturating_add(1));
        }
        io
    }

    /// How much the kernel took.
    fn send(&self, io: &Io, data: &[u8]) -> io::Result<usize> {
        let sent = match io.socket.send(data) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(0),
            Err(error) => return Err(error),
            Ok(n) => n,
        };
        if sent < data.len() {
            io.watch.drained(Direction::Write);
        }
        Ok(sent)
    }

    fn write_ready(&self) -> Result<()> {
        let Some(io) = self.io().filter(|_| self.lost.get() == 0) else { return Ok(()) };
        self.flush(&io)?;
        if self.lost.get() > 0 || !self.out.borrow().is_empty() {
            return Ok(());
        }
        self.unwatch(Direction::Write);
        if self.closing.get() {
            self.connection_lost(Ok(()));
        } else if self.eof_written.get() {
            io.socket.shutdown()?;
        }
        Ok(())
    }

    fn flush(&self, io: &Io) -> Result<()> {
        let sent = self.send(io, self.out.borrow().as_slice());
        match sent {
            Ok(n) => {
                self.out.borrow_mut().consume(n);
                self.note_less();
            }
            Err(error) => self.force_close(Some(error.into())),
        }
        Ok(())
    }

    pub(in crate::net) fn buffered(&self) -> usize {
        self.out.borrow().len()
    }

    pub(in crate::net) fn limits(&self) -> (usize, usize) {
        (self.low.get(), self.high.get())
    }

    pub(in crate::net) fn set_limits(&self, high: Option<usize>, low: Option<usize>) -> Result<()> {
        let high = high.unwrap_or_else(|| low.map_or(64 * 1024, |low| low.saturating_mul(4)));
        let low = low.unwrap_or(high / 4);
        if high < low {
            let text = format!("high ({high}) must be >= low ({low}) must be >= 0");
            return Err(Error::Value(text.into()));
        }
        self.high.set(high);
        self.low.set(low);
        self.note_more();
        Ok(())
    }

    fn note_more(&self) {
        if self.buffered() > self.high.get() {
            self.full.set(true);
        }
    }

    fn note_less(&self) {
        if self.full.get() && self.buffered() <= self.low.get() {
            self.full.set(false);
            self.drainers.wake_all(&Ok(()));
        }
    }

    /// The second half of `drain`: waits while too much is buffered.
    pub(in crate::net) async fn drain(&self, place: Place) -> Result<()> {
        if self.end.borrow().is_some() {
            return Err(io::Error::new(ErrorKind::ConnectionReset, "Connection lost").into());
        }
        if self.full.get() { self.drainers.wait("stream.drain", place).await } else { Ok(()) }
    }

    pub(in crate::net) fn write_eof(&self) -> Result<()> {
        if self.closing.get() || self.eof_written.replace(true) {
            return Ok(());
        }
        match self.io() {
            Some(io) if self.out.borrow().is_empty() => io.socket.shutdown(),
            _ => Ok(()),
        }
    }

    // ---- the end ----

    pub(in crate::net) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Arrows 1 and 2.
    pub(in crate::net) fn close(&self) {
        if self.closing.replace(true) {
            return;
        }
        self.unwatch(Direction::Read);
        if self.out.borrow().is_empty() {
            self.unwatch(Direction::Write);
            self.lose(None);
        } else if self.event_loop().is_err() {
            // Nobody will flush it.
            self.connection_lost(Ok(()));
        }
    }

    /// Arrow 1, at once: what is not sent yet is thrown away.
    pub(in crate::net) fn force_close(&self, error: Option<Error>) {
        if self.lost.get() > 0 || self.end.borrow().is_some() {
            return;
        }
        self.out.borrow_mut().clear();
        self.closing.set(true);
        self.unwatch(Direction::Read);
        self.unwatch(Direction::Write);
        self.lose(error);
    }

    /// Arrow 3 comes in the next turn; if there is none, because the loop is closed, at once.
    fn lose(&self, error: Option<Error>) {
        self.lost.set(self.lost.get() + 1);
        let Some(link) = self.me.upgrade() else { return };
        let loss = Loss { link, end: Some(error.map_or(Ok(()), Err)) };
        if let Ok(lp) = self.event_loop() {
            let _ = lp.queue(self.place, move || drop(loss));
        }
    }

    /// Arrows 3 and 4: tells everyone, then closes the socket.
    fn connection_lost(&self, end: Result<()>) {
        if self.end.borrow().is_some() {
            return;
        }
        *self.end.borrow_mut() = Some(end.clone());
        // A close that flushed comes here without `lose`.
        self.lost.set(self.lost.get().max(1));
        match &end {
            Ok(()) => self.reader.feed_eof(),
            Err(error) => self.reader.set_exception(error.clone()),
        }
        self.closers.wake_all(&end);
        self.drainers.wake_all(&end);
        drop(self.io.take());
        self.leave_server();
    }

    fn leave_server(&self) {
        let server = self.server.take();
        if let Some((server, number)) = server {
            server.detach(number);
        }
    }

    pub(in crate::net) async fn wait_closed(&self, place: Place) -> Result<()> {
        let end = self.end.borrow().clone();
        match end {
            Some(end) => end,
            None => self.closers.wait("stream.wait_closed", place).await,
        }
    }

    fn report(&self, message: &str, error: &Error) {
        let lp = self.lp.upgrade().map(EventLoop);
        report(lp, ExceptionContext::new(message).with_error(error.clone()));
    }
}

impl Source for Link {
    fn pause_reading(&self) {
        self.pause();
    }

    fn resume_reading(&self) {
        // It fails on a closed loop, where nobody reads.
        let _ = self.resume();
    }
}

/// Somebody holds it to the end: a handle, the loop's registration, or a callback of the loop.
impl Drop for Link {
    fn drop(&mut self) {
        self.leave_server();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<Transport")?;
        match (self.io(), self.closing.get()) {
            (None, _) => f.write_str(" closed")?,
            (Some(_), true) => f.write_str(" closing")?,
            (Some(_), false) => {}
        }
        if let Some(peer) = &self.peer {
            write!(f, " peer={peer}")?;
        }
        write!(f, " bufsize={}>", self.buffered())
    }
}
