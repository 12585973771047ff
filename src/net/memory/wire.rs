//! `Wire` and its two `End`s: a connection in memory, with the answers of non-blocking sockets.
//!
//! It guarantees what TCP does. Bytes arrive in order, the end of the stream after them. An end that closes with unread bytes
//! resets the other one. The first write to an end that has closed is lost, and the next one is a broken pipe. After every
//! change both ends tell the loop what they are ready for.
//!
//! There is one exception: after `shutdown(Read)` the peer's writes fail at once, as on a Unix socket.
//!
//! With a latency, all that an end sends is a packet on its way: a timer of the loop delivers it. A peer that has read
//! makes room at once, all the same.

use crate::event_loop::{EventLoop, Registration, TimerHandle, Watch};
use crate::net::address::Endpoint;
use crate::net::async_fd::ByteStream;
use crate::net::buffer::Buffer;
use crate::trace::{Place, Ready};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::ops::Deref;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

const BROKEN_PIPE: i32 = 32;
const CONNECTION_RESET: i32 = error_number(104, 54);

/// Returns the number of an error of the system, which BSDs number otherwise than Linux.
pub(super) const fn error_number(linux: i32, bsd: i32) -> i32 {
    if cfg!(any(target_os = "linux", target_os = "android")) { linux } else { bsd }
}

/// How many bytes fit into one direction.
const ROOM: usize = 64 * 1024;

/// The socket of one end. Dropping it closes the end.
pub(crate) struct End(Peer);

/// One end of a connection in memory, for everything but its closing.
pub(crate) struct Peer {
    wire: Rc<Wire>,
    /// The index of its state in the wire.
    side: usize,
}

pub(super) struct Wire {
    ends: [EndState; 2],
    /// Nothing arrives at either end but a reset.
    stalled: Cell<bool>,
    latency: Cell<Option<Latency>>,
}

/// How long everything is on its way, and where that was asked for.
#[derive(Clone, Copy)]
pub(super) struct Latency {
    pub(super) delay: Duration,
    pub(super) place: Place,
}

impl Latency {
    /// Calls `arrive` at `when`.
    pub(super) fn set_timer(
        &self,
        lp: &EventLoop,
        when: Instant,
        arrive: impl FnOnce() + 'static,
    ) -> TimerHandle {
        let callback = lp.named_once(self.place, "network", arrive);
        lp.0.schedule(when, callback.clone());
        TimerHandle::new(callback, when, Rc::downgrade(&lp.0))
    }
}

/// What an end sends.
enum Packet {
    Bytes(Vec<u8>),
    /// No more bytes come.
    End,
    Reset,
    /// The answer of a closed end to bytes: further writes fail.
    Refusal,
    /// The answer of a listener.
    Connected,
}

/// A packet on its way.
struct Coming {
    packet: Packet,
    when: Instant,
    timer: TimerHandle,
}

struct EndState {
    source: Rc<Registration>,
    name: String,
    /// The bytes that the other end has sent.
    received: RefCell<Buffer>,
    /// What is on its way to this end, in order, and how many bytes that are.
    coming: RefCell<VecDeque<Coming>>,
    coming_bytes: Cell<usize>,
    /// It waits for the listener's answer.
    connecting: Cell<bool>,
    /// The other end sends no more.
    eof: Cell<bool>,
    /// Writes fail: this end sends no more, or the other one takes no more.
    shut: Cell<bool>,
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
        let source = Registration::in_memory(lp);
        let name = name.map_or_else(|| source.fd.to_string(), str::to_owned);
        Self {
            source,
            name,
            received: RefCell::default(),
            coming: RefCell::default(),
            coming_bytes: Cell::new(0),
            connecting: Cell::new(false),
            eof: Cell::new(false),
            shut: Cell::new(false),
            reset: Cell::new(false),
            closed: Cell::new(false),
            sent: Cell::new(0),
            cut_at: Cell::new(usize::MAX),
        }
    }

    /// The connection is gone for this end, and its unread bytes are.
    fn reset(&self) {
        self.reset.set(true);
        self.received.borrow_mut().clear();
    }

    /// Loses what is on its way to this end.
    fn lose_coming(&self) {
        self.coming_bytes.set(0);
        self.coming.take().iter().for_each(|coming| coming.timer.cancel());
    }

    fn room(&self) -> usize {
        ROOM.saturating_sub(self.received.borrow().len() + self.coming_bytes.get())
    }
}

impl Wire {
    /// Makes a connection on a loop. `name` is the second end's; otherwise an end has its number as its name.
    pub(super) fn new(lp: &EventLoop, name: Option<&str>) -> Rc<Self> {
        let ends = [EndState::new(lp, None), EndState::new(lp, name)];
        let wire = Rc::new(Self { ends, stalled: Cell::default(), latency: Cell::default() });
        wire.tell();
        wire
    }

    pub(super) fn peers(self: &Rc<Self>) -> [Peer; 2] {
        [0, 1].map(|side| Peer { wire: self.clone(), side })
    }

    /// Tells the loop what both ends are ready for.
    fn tell(&self) {
        for [own, other] in [[0, 1], [1, 0]].map(|sides| sides.map(|side| &self.ends[side])) {
            let arrived = own.eof.get() || !own.received.borrow().is_empty();
            let read = own.reset.get() || arrived && !self.stalled.get();
            let fails = own.reset.get() || own.shut.get() || other.closed.get();
            let write = fails || !own.connecting.get() && other.room() > 0;
            own.source.set_ready(Ready { read, write });
        }
    }

    /// Tells whether what is sent to this end arrives at once.
    fn arrives_at_once(&self, side: usize) -> bool {
        self.latency.get().is_none_or(|latency| latency.delay.is_zero())
            && self.ends[side].coming.borrow().is_empty()
    }

    /// Sends a packet to an end. It arrives after the latency, and after all that was sent before.
    fn send_to(self: &Rc<Self>, side: usize, packet: Packet) {
        let Some(latency) = self.latency.get().filter(|_| !self.arrives_at_once(side)) else {
            return self.deliver(side, packet);
        };
        let end = &self.ends[side];
        // On a closed loop nothing arrives.
        let Ok(lp) = end.source.event_loop() else { return };
        let mut when = lp.time() + latency.delay;
        if let Packet::Bytes(bytes) = &packet {
            end.coming_bytes.set(end.coming_bytes.get() + bytes.len());
        }
        if let Some(last) = end.coming.borrow_mut().back_mut() {
            when = when.max(last.when);
            if let (Packet::Bytes(before), Packet::Bytes(bytes)) = (&mut last.packet, &packet)
                && last.when == when
            {
                return before.extend_from_slice(bytes);
            }
        }
        let wire = Rc::downgrade(self);
        let timer = latency.set_timer(&lp, when, move || {
            if let Some(wire) = wire.upgrade() {
                wire.arrive(side);
            }
        });
        end.coming.borrow_mut().push_back(Coming { packet, when, timer });
        self.tell();
    }

    /// Delivers the first packet that is on its way to this end.
    fn arrive(self: &Rc<Self>, side: usize) {
        let first = self.ends[side].coming.borrow_mut().pop_front();
        let Some(Coming { packet, .. }) = first else { return };
        if let Packet::Bytes(bytes) = &packet {
            let left = self.ends[side].coming_bytes.get() - bytes.len();
            self.ends[side].coming_bytes.set(left);
        }
        self.deliver(side, packet);
    }

    fn deliver(self: &Rc<Self>, side: usize, packet: Packet) {
        let end = &self.ends[side];
        match packet {
            Packet::Bytes(_) if end.closed.get() => self.send_to(1 - side, Packet::Refusal),
            Packet::Bytes(bytes) => end.received.borrow_mut().extend(&bytes),
            Packet::End => end.eof.set(true),
            Packet::Reset => end.reset(),
            Packet::Refusal => end.shut.set(true),
            Packet::Connected => end.connecting.set(false),
        }
        self.tell();
    }
}

impl Peer {
    fn own(&self) -> &EndState {
        &self.wire.ends[self.side]
    }

    fn other(&self) -> &EndState {
        &self.wire.ends[1 - self.side]
    }

    /// Returns the negative number that stands for its descriptor.
    pub(crate) fn number(&self) -> RawFd {
        self.own().source.fd
    }

    pub(crate) fn local_addr(&self) -> Endpoint {
        Endpoint::Memory(self.own().name.clone())
    }

    pub(crate) fn peer_addr(&self) -> Endpoint {
        Endpoint::Memory(self.other().name.clone())
    }

    pub(crate) fn reset(&self) {
        self.wire.ends.iter().for_each(EndState::lose_coming);
        self.wire.ends.iter().for_each(EndState::reset);
        self.wire.tell();
    }

    pub(super) fn set_latency(&self, latency: Latency) {
        self.wire.latency.set(Some(latency));
    }

    /// Has this end wait for the listener's answer.
    pub(super) fn begin_connect(&self) {
        self.own().connecting.set(true);
        self.wire.tell();
    }

    /// Sends the listener's answer to the other end.
    pub(super) fn answer(&self) {
        self.wire.send_to(1 - self.side, Packet::Connected);
    }

    pub(crate) fn set_stalled(&self, stalled: bool) {
        self.wire.stalled.set(stalled);
        self.wire.tell();
    }

    /// Ends the writing direction, the reading one, or both.
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read {
            self.own().shut.set(true);
            self.wire.send_to(1 - self.side, Packet::End);
        }
        if how != Shutdown::Write {
            self.own().eof.set(true);
            self.other().shut.set(true);
        }
        self.wire.tell();
        Ok(())
    }

    pub(crate) fn cut_after(&self, bytes: usize) {
        self.own().cut_at.set(self.own().sent.get().saturating_add(bytes));
        self.cut_if_due();
    }

    /// Ends an end that has sent all that it may, as the system ends the sockets of a process that died. The other end reads
    /// what was sent, and then the end of the stream.
    fn cut_if_due(&self) {
        if self.own().sent == self.own().cut_at {
            self.wire.send_to(1 - self.side, Packet::End);
            self.own().reset();
            self.own().closed.set(true);
        }
        self.wire.tell();
    }

    /// Takes bytes that were written. Returns how many fit.
    fn send(&self, data: &[u8]) -> io::Result<usize> {
        let (own, other) = (self.own(), self.other());
        if own.reset.get() || own.shut.get() {
            return Err(io::Error::from_raw_os_error(BROKEN_PIPE));
        }
        if data.is_empty() {
            return Ok(0);
        }
        if other.closed.get() {
            self.wire.send_to(1 - self.side, Packet::Bytes(Vec::new()));
            return Ok(data.len());
        }
        let n = data.len().min(other.room());
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let sent = n.min(own.cut_at.get() - own.sent.get());
        if self.wire.arrives_at_once(1 - self.side) {
            other.received.borrow_mut().extend(&data[..sent]);
        } else {
            self.wire.send_to(1 - self.side, Packet::Bytes(data[..sent].to_vec()));
        }
        own.sent.set(own.sent.get() + sent);
        self.cut_if_due();
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

/// What the explorer asks of an end.
#[cfg(feature = "explore")]
impl Peer {
    pub(crate) fn is_open(&self) -> bool {
        !self.own().closed.get() && !self.own().reset.get()
    }

    /// Tells whether it is the end that connected, or the only open one.
    pub(crate) fn is_first(&self) -> bool {
        self.side == 0 || self.other().closed.get()
    }

    /// Returns how many bytes it has sent.
    pub(crate) fn sent(&self) -> usize {
        self.own().sent.get()
    }

    /// Returns the name of the listener that was connected to.
    pub(crate) fn listener(&self) -> String {
        self.wire.ends[1].name.clone()
    }
}

impl End {
    pub(super) fn new(peer: Peer) -> Self {
        Self(peer)
    }

    pub(crate) fn watch(&self) -> Watch {
        self.own().source.watch()
    }
}

impl Deref for End {
    type Target = Peer;
    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let unread = !self.own().received.borrow().is_empty();
        self.own().received.borrow_mut().clear();
        self.own().closed.set(true);
        if self.other().closed.get() {
            self.wire.ends.iter().for_each(EndState::lose_coming);
        } else {
            self.wire.send_to(1 - self.side, if unread { Packet::Reset } else { Packet::End });
        }
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

impl AsRawFd for End {
    fn as_raw_fd(&self) -> RawFd {
        self.number()
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
