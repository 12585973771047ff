//! `Wire` and its two `End`s: a connection in memory, with the answers of non-blocking sockets.
//!
//! It guarantees what TCP does. Bytes arrive in order, the end of the stream after them. An end that closes with unread bytes
//! resets the other one. The first write to an end that has closed is lost, and the next one is a broken pipe. After every
//! change both ends tell the loop what they are ready for.

use crate::event_loop::{EventLoop, MemorySource, Watch};
use crate::net::async_fd::ByteStream;
use crate::net::buffer::Buffer;
use crate::net::endpoint::Endpoint;
use crate::trace::Ready;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

const BROKEN_PIPE: i32 = 32;
const CONNECTION_RESET: i32 = error_number(104, 54);

/// Returns the number of an error of the system, which BSDs number otherwise than Linux.
pub(super) const fn error_number(linux: i32, bsd: i32) -> i32 {
    if cfg!(any(target_os = "linux", target_os = "android")) { linux } else { bsd }
}

/// How many bytes fit into one direction.
const ROOM: usize = 64 * 1024;

/// One end of a connection in memory. Dropping it closes it.
pub(crate) struct End {
    wire: Rc<Wire>,
    number: usize,
}

pub(super) struct Wire {
    ends: [EndState; 2],
    /// Nothing arrives at either end.
    stalled: Cell<bool>,
}

struct EndState {
    source: MemorySource,
    name: String,
    /// The bytes that the other end has sent.
    received: RefCell<Buffer>,
    /// The other end sends no more.
    eof: Cell<bool>,
    /// The connection was reset.
    reset: Cell<bool>,
    closed: Cell<bool>,
    /// How many bytes this end has sent.
    sent: Cell<usize>,
    /// After how many bytes its process seems to die.
    cut_at: Cell<usize>,
}

impl EndState {
    fn new(lp: &EventLoop, name: Option<&str>) -> Self {
        let source = MemorySource::new(lp);
        let name = name.map_or_else(|| source.number().to_string(), str::to_owned);
        let (received, eof, reset, closed, sent) = Default::default();
        Self { source, name, received, eof, reset, closed, sent, cut_at: Cell::new(usize::MAX) }
    }

    /// The connection is gone for this end, and its unread bytes are.
    fn reset(&self) {
        self.reset.set(true);
        self.received.borrow_mut().clear();
    }
}

impl Wire {
    /// Makes a connection on a loop. `name` is the second end's; otherwise an end has its number as its name.
    pub(super) fn pair(lp: &EventLoop, name: Option<&str>) -> (End, End) {
        let ends = [EndState::new(lp, None), EndState::new(lp, name)];
        let wire = Rc::new(Self { ends, stalled: Cell::new(false) });
        wire.tell();
        (End { wire: wire.clone(), number: 0 }, End { wire, number: 1 })
    }

    /// Tells the loop what both ends are ready for.
    fn tell(&self) {
        for [own, other] in [[0, 1], [1, 0]].map(|numbers| numbers.map(|number| &self.ends[number])) {
            let arrived = own.eof.get() || !own.received.borrow().is_empty();
            let read = own.reset.get() || arrived && !self.stalled.get();
            let fails = own.reset.get() || other.eof.get() || other.closed.get();
            let write = fails || other.received.borrow().len() < ROOM;
            own.source.set_ready(Ready { read, write });
        }
    }

    pub(super) fn number(&self, end: usize) -> RawFd {
        self.ends[end].source.number()
    }

    pub(super) fn name(&self, end: usize) -> &str {
        &self.ends[end].name
    }

    #[cfg(feature = "explore")]
    pub(super) fn is_open(&self, end: usize) -> bool {
        !self.ends[end].closed.get() && !self.ends[end].reset.get()
    }

    /// Returns how many bytes an end has sent.
    #[cfg(feature = "explore")]
    pub(super) fn sent(&self, end: usize) -> usize {
        self.ends[end].sent.get()
    }

    /// Ends one direction: this end sends no more.
    pub(super) fn half_close(&self, end: usize) {
        self.ends[1 - end].eof.set(true);
        self.tell();
    }

    pub(super) fn reset(&self) {
        self.ends.iter().for_each(EndState::reset);
        self.tell();
    }

    pub(super) fn set_stalled(&self, stalled: bool) {
        self.stalled.set(stalled);
        self.tell();
    }

    pub(super) fn cut_after(&self, end: usize, bytes: usize) {
        let own = &self.ends[end];
        own.cut_at.set(own.sent.get().saturating_add(bytes));
        self.cut_if_due(end);
    }

    /// Ends an end that has sent all that it may, as the system ends the sockets of a process that died. The other end reads
    /// what was sent, and then the end of the stream.
    fn cut_if_due(&self, end: usize) {
        let own = &self.ends[end];
        if own.sent == own.cut_at {
            self.ends[1 - end].eof.set(true);
            own.reset();
            own.closed.set(true);
        }
        self.tell();
    }
}

impl End {
    fn own(&self) -> &EndState {
        &self.wire.ends[self.number]
    }

    fn other(&self) -> &EndState {
        &self.wire.ends[1 - self.number]
    }

    pub(crate) fn watch(&self) -> Watch {
        self.own().source.watch()
    }

    pub(crate) fn local_addr(&self) -> Endpoint {
        Endpoint::Memory(self.wire.name(self.number).to_owned())
    }

    pub(crate) fn peer_addr(&self) -> Endpoint {
        Endpoint::Memory(self.wire.name(1 - self.number).to_owned())
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read {
            self.wire.half_close(self.number);
        }
        if how != Shutdown::Write {
            self.wire.half_close(1 - self.number);
        }
        Ok(())
    }

    pub(super) fn wire(&self) -> &Rc<Wire> {
        &self.wire
    }

    pub(super) fn cut_after(&self, bytes: usize) {
        self.wire.cut_after(self.number, bytes);
    }

    /// Takes bytes that were written. Returns how many fit.
    fn send(&self, data: &[u8]) -> io::Result<usize> {
        let (own, other) = (self.own(), self.other());
        if own.reset.get() || other.eof.get() {
            return Err(io::Error::from_raw_os_error(BROKEN_PIPE));
        }
        if other.closed.get() {
            // Its answer is a reset.
            other.eof.set(true);
            return Ok(data.len());
        }
        let n = data.len().min(ROOM - other.received.borrow().len());
        if n == 0 && !data.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let left = n.min(own.cut_at.get() - own.sent.get());
        other.received.borrow_mut().extend(&data[..left]);
        own.sent.set(own.sent.get() + left);
        self.wire.cut_if_due(self.number);
        Ok(n)
    }

    fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
        let own = self.own();
        if own.reset.get() {
            return Err(io::Error::from_raw_os_error(CONNECTION_RESET));
        }
        let mut received = own.received.borrow_mut();
        let n = received.len().min(buf.len());
        if !buf.is_empty() && (self.wire.stalled.get() || n == 0 && !own.eof.get()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        buf[..n].copy_from_slice(&received.as_slice()[..n]);
        received.consume(n);
        drop(received);
        self.wire.tell();
        Ok(n)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.own().received.borrow().is_empty() {
            self.other().eof.set(true);
        } else {
            self.other().reset();
        }
        self.own().received.borrow_mut().clear();
        self.own().closed.set(true);
        self.wire.tell();
    }
}

impl Read for &End {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf)
    }
}

impl Write for &End {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.send(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the negative number that the trace shows.
impl AsRawFd for End {
    fn as_raw_fd(&self) -> RawFd {
        self.wire.number(self.number)
    }
}

impl ByteStream for End {
    const SHORT_READ_DRAINS: bool = false;
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<End fd={}>", self.as_raw_fd())
    }
}
