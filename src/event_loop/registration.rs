//! Registrations: what a loop waits for on a descriptor.
//!
//! A registration has two sides, one for each [`Direction`], and each side has at most one callback. A reader of the user's
//! is reported in every turn in which its descriptor is ready: the reactor arms it again after each report, which takes a
//! system call. A side that is *drained* spares that call: a read or write found that it would block. (So does one of TCP
//! that came back short.) The owner of a socket in looplab says so, and a callback of the user's by returning
//! [`Drained`](crate::Drained). The kernel reports all that comes later:
//!
//! ```text
//!               1 the poll reports it                     2 the owner reads, and there may be more
//!   DRAINED ──────────────────────────▶ MAY BE READY ──┐ ◀─┐
//!      ▲                                    │          └───┘ (armed again before the next poll, if a callback waits)
//!      └──────3 the owner calls `drained`───┘
//! ```
//! - The kernel reports a hang-up or an error once, often together with the last bytes. So a side that has seen one never
//!   counts as drained again. Nor does one that has seen urgent data, before which every read stops short.
//! - The registration of an owner stays while nothing waits. What the kernel reports then is noted, and makes no turn.

use super::callback::Callback;
use super::{EventLoop, Inner};
use crate::trace::{Direction, Ready};
use mio::event::Event;
use mio::{Interest, Token};
use std::cell::Cell;
use std::os::fd::RawFd;
use std::rc::{Rc, Weak};

/// One descriptor on one loop, or one socket in memory.
pub(crate) struct Registration {
    pub(super) lp: Weak<Inner>,
    pub(super) fd: RawFd,
    pub(super) owner: Owner,
    reader: Side,
    writer: Side,
    /// What the kernel watches for; `None` before the first wait, and when the registration is gone.
    interest: Cell<Option<Interest>>,
    token: Cell<Token>,
    /// It is gone for good: the loop is closed, or foreign code has closed the descriptor.
    gone: Cell<bool>,
    /// The last poll that has reported it, and its place among what that poll has reported. Apart, as each connection has
    /// the room for them.
    pub(super) reported_by: Cell<u64>,
    pub(super) reported_at: Cell<u32>,
    /// It is in the list of what the next poll looks at: to arm it again before, or to find a socket in memory ready.
    pub(super) listed: Cell<bool>,
    /// What a socket in memory is ready for.
    pub(super) ready: Cell<Ready>,
}

/// What decides when a registration ends.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Owner {
    /// `add_reader` and `add_writer` make it, and it ends with its last callback.
    User,
    /// A socket of looplab's, which says when it is drained and ends the registration itself.
    Socket,
    /// A socket in memory, which says when it is ready and ends the registration itself.
    Memory,
}

/// One direction of a registration. Its callback is out of the cell only within a method, where no user code runs.
#[derive(Default)]
struct Side {
    callback: Cell<Option<Rc<dyn Callback>>>,
    /// The state DRAINED.
    drained: Cell<bool>,
    /// A hang-up, an error or urgent data came.
    ended: Cell<bool>,
}

impl Side {
    #[inline]
    fn callback(&self) -> Option<Rc<dyn Callback>> {
        let callback = self.callback.take();
        self.callback.set(callback.clone());
        callback
    }

    #[inline]
    fn has_callback(&self) -> bool {
        let callback = self.callback.take();
        let has = callback.is_some();
        self.callback.set(callback);
        has
    }

    /// Arrow 1. Returns the callback to queue.
    #[inline]
    fn report(&self, ended: bool) -> Option<Rc<dyn Callback>> {
        self.drained.set(false);
        self.ended.set(self.ended.get() || ended);
        self.callback()
    }

    /// Tells whether it must be armed again: a callback waits, and neither its call nor the owner has drained the side.
    fn is_due(&self) -> bool {
        let drained = |callback: Rc<dyn Callback>| callback.take_drained() && !self.ended.get();
        !self.drained.get() && self.callback().is_some_and(|callback| !drained(callback))
    }
}

impl Registration {
    pub(super) fn new(lp: &EventLoop, fd: RawFd, owner: Owner) -> Self {
        Self {
            lp: lp.downgrade(),
            fd,
            owner,
            reader: Side::default(),
            writer: Side::default(),
            interest: Cell::new(None),
            token: Cell::new(Token(0)),
            gone: Cell::new(false),
            reported_by: Cell::new(0),
            reported_at: Cell::new(0),
            listed: Cell::new(false),
            ready: Cell::new(Ready { read: false, write: false }),
        }
    }

    #[inline]
    fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Read => &self.reader,
            Direction::Write => &self.writer,
        }
    }

    pub(super) fn token(&self) -> Token {
        self.token.get()
    }

    /// Returns what the kernel watches for. On a closed loop it watches nothing.
    #[inline]
    pub(super) fn interest(&self) -> Option<Interest> {
        self.interest.get()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.get()
    }

    /// Notes that the kernel watches for `interest` under `token`.
    pub(super) fn arm(&self, token: Token, interest: Interest) {
        self.token.set(token);
        self.interest.set(Some(interest));
    }

    /// Returns what the callbacks of the user's need the kernel to watch for.
    pub(super) fn callbacks_interest(&self) -> Option<Interest> {
        let read = self.reader.has_callback().then_some(Interest::READABLE);
        let write = self.writer.has_callback().then_some(Interest::WRITABLE);
        match (read, write) {
            (Some(read), Some(write)) => Some(read.add(write)),
            (read, write) => read.or(write),
        }
    }

    /// Notes an event. Returns which callbacks it concerns: the reader's and the writer's.
    ///
    /// A hang-up or an error makes a descriptor both readable and writable, as in asyncio. What has no callback is noted
    /// and not reported.
    #[inline]
    pub(super) fn report(&self, event: &Event) -> (Ready, [Option<Rc<dyn Callback>>; 2]) {
        let broken = event.is_error() || event.is_read_closed() && event.is_write_closed();
        let read_closed = event.is_read_closed() || broken;
        let write_closed = event.is_write_closed() || broken;
        let (mut reader, mut writer) = (None, None);
        if event.is_readable() || read_closed {
            reader = self.reader.report(read_closed || event.is_priority());
        }
        if event.is_writable() || write_closed {
            writer = self.writer.report(write_closed);
        }
        (Ready { read: reader.is_some(), write: writer.is_some() }, [reader, writer])
    }

    /// Tells whether a socket in memory is ready.
    pub(super) fn is_ready(&self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.ready.get().read,
            Direction::Write => self.ready.get().write,
        }
    }

    /// Returns what a poll reports for a socket in memory.
    pub(super) fn event_in_memory(&self) -> Option<PollEvent> {
        let callbacks = [Direction::Read, Direction::Write]
            .map(|direction| self.callback(direction).filter(|_| self.is_ready(direction)));
        let [read, write] = callbacks.each_ref().map(Option::is_some);
        (read || write).then_some(PollEvent { fd: self.fd, ready: Ready { read, write }, callbacks })
    }

    /// Tells whether it must be armed again to be reported.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        // Both are asked, because the answer of a callback's last call is taken.
        self.reader.is_due() | self.writer.is_due()
    }

    /// Arrow 3, if the kernel will report what comes.
    #[inline]
    pub(super) fn drained(&self, direction: Direction) {
        let side = self.side(direction);
        let watched = self.interest.get().is_some_and(|interest| match direction {
            Direction::Read => interest.is_readable(),
            Direction::Write => interest.is_writable(),
        });
        side.drained.set(watched && !side.ended.get());
    }

    /// Tells whether an attempt would block, as far as is known.
    #[inline]
    pub(super) fn is_drained(&self, direction: Direction) -> bool {
        self.side(direction).drained.get()
    }

    pub(super) fn callback(&self, direction: Direction) -> Option<Rc<dyn Callback>> {
        self.side(direction).callback()
    }

    /// Sets the callback of a side and returns the one before.
    #[inline]
    pub(super) fn replace(
        &self,
        direction: Direction,
        callback: Option<Rc<dyn Callback>>,
    ) -> Option<Rc<dyn Callback>> {
        self.side(direction).callback.replace(callback)
    }

    /// Ends it. No event will come, so nothing counts as drained. Returns the callbacks that were left.
    pub(super) fn end(&self) -> Vec<Orphan> {
        self.interest.set(None);
        self.gone.set(true);
        self.orphans()
    }

    /// Takes the callbacks.
    pub(super) fn orphans(&self) -> Vec<Orphan> {
        let mut orphans = Vec::new();
        for direction in [Direction::Read, Direction::Write] {
            self.side(direction).drained.set(false);
            if let Some(callback) = self.replace(direction, None) {
                orphans.push(Orphan { fd: self.fd, direction, callback });
            }
        }
        orphans
    }
}

/// One ready descriptor: what it is ready for, and the callbacks to queue, the reader before the writer.
pub(super) struct PollEvent {
    pub(super) fd: RawFd,
    pub(super) ready: Ready,
    pub(super) callbacks: [Option<Rc<dyn Callback>>; 2],
}

/// A callback that has lost its registration. It holds values of the user's, so it is dropped with no borrow held.
pub(super) struct Orphan {
    pub(super) fd: RawFd,
    pub(super) direction: Direction,
    pub(super) callback: Rc<dyn Callback>,
}
