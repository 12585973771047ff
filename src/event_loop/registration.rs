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
use crate::error::{Error, Result};
use crate::trace::{Direction, Ready};
use mio::event::Event;
use mio::{Interest, Token};
use std::cell::Cell;
use std::os::fd::RawFd;
use std::rc::{Rc, Weak};

/// The low half of a token is the descriptor, the high half the generation.
const FD_BITS: u32 = usize::BITS / 2;
const FD_MASK: usize = (1 << FD_BITS) - 1;

/// One descriptor on one loop, or one socket in memory.
pub(crate) struct Registration {
    pub(super) lp: Weak<Inner>,
    pub(crate) fd: RawFd,
    pub(super) owner: Owner,
    reader: Side,
    writer: Side,
    /// What the kernel watches for; `None` before the first wait, and when the registration is gone.
    pub(super) interest: Cell<Option<Interest>>,
    pub(super) token: Cell<Token>,
    /// It is gone for good: the loop is closed, or foreign code has closed the descriptor.
    pub(super) gone: Cell<bool>,
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
pub(super) struct Side {
    pub(super) callback: Cell<Option<Rc<dyn Callback>>>,
    /// The state DRAINED.
    drained: Cell<bool>,
    /// A hang-up, an error or urgent data came.
    ended: Cell<bool>,
}

impl Side {
    #[inline]
    pub(super) fn callback(&self) -> Option<Rc<dyn Callback>> {
        let callback = self.callback.take();
        self.callback.set(callback.clone());
        callback
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
        let drained = |callback: Rc<dyn Callback>| callback.header().drained.take() && !self.ended.get();
        !self.drained.get() && self.callback().is_some_and(|callback| !drained(callback))
    }
}

impl Registration {
    pub(super) fn new(lp: &EventLoop, fd: RawFd, owner: Owner) -> Self {
        Self {
            lp: Rc::downgrade(&lp.0),
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

    /// Returns its loop.
    ///
    /// # Errors
    /// [`Error::Closed`] if that is closed.
    #[inline]
    pub(crate) fn event_loop(&self) -> Result<EventLoop> {
        match self.lp.upgrade().map(EventLoop) {
            Some(lp) if !lp.is_closed() => Ok(lp),
            _ => Err(Error::Closed),
        }
    }

    #[inline]
    pub(super) fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Read => &self.reader,
            Direction::Write => &self.writer,
        }
    }

    /// Notes that the kernel watches for `interest` under `token`.
    pub(super) fn arm(&self, token: Token, interest: Interest) {
        self.token.set(token);
        self.interest.set(Some(interest));
    }

    /// Returns what the callbacks of the user's need the kernel to watch for.
    pub(super) fn callbacks_interest(&self) -> Option<Interest> {
        let read = self.reader.callback().is_some().then_some(Interest::READABLE);
        let write = self.writer.callback().is_some().then_some(Interest::WRITABLE);
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
    pub(super) fn report(&self, event: &Event) -> [Option<Rc<dyn Callback>>; 2] {
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
        [reader, writer]
    }

    /// Tells whether it must be armed again to be reported.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        // Both are asked, because the answer of a callback's last call is taken.
        self.reader.is_due() | self.writer.is_due()
    }

    /// Arrow 3, if the kernel will report what comes. An attempt would block: a system call has said so, or a short count has
    /// proved it (of a write, or of a read from TCP).
    #[inline]
    pub(crate) fn drained(&self, direction: Direction) {
        let side = self.side(direction);
        let watched = self.interest.get().is_some_and(|interest| match direction {
            Direction::Read => interest.is_readable(),
            Direction::Write => interest.is_writable(),
        });
        side.drained.set(watched && !side.ended.get());
    }

    /// Tells whether an attempt would block, as far as is known.
    #[inline]
    pub(crate) fn is_drained(&self, direction: Direction) -> bool {
        self.side(direction).drained.get()
    }

    /// Ends it. No event will come, so nothing counts as drained. Returns the callbacks that were left.
    pub(super) fn end(&self) -> FdCallbacks {
        self.interest.set(None);
        self.gone.set(true);
        self.take_callbacks()
    }

    pub(super) fn take_callbacks(&self) -> FdCallbacks {
        let callbacks = [&self.reader, &self.writer].map(|side| {
            side.drained.set(false);
            side.callback.take()
        });
        FdCallbacks { fd: self.fd, callbacks }
    }
}

/// The reader and the writer of one descriptor: those that a poll queues, or those that have lost their registration. The
/// latter are dropped with no borrow held, because they own values of the user's.
pub(super) struct FdCallbacks {
    pub(super) fd: RawFd,
    pub(super) callbacks: [Option<Rc<dyn Callback>>; 2],
}

impl FdCallbacks {
    /// Returns what a poll has found the descriptor ready for.
    pub(super) fn ready(&self) -> Ready {
        let [read, write] = self.callbacks.each_ref().map(Option::is_some);
        Ready { read, write }
    }
}

/// The reactor's list of registrations, under the numbers of their descriptors.
///
/// A token names one registration: it is the descriptor and a generation, so the token of a registration that is gone finds
/// nothing. (Generations repeat, but only after 2^31 registrations; on a 32-bit system after 2^15.)
#[derive(Default)]
pub(super) struct Registrations {
    list: Vec<Option<Rc<Registration>>>,
    generation: usize,
}

impl Registrations {
    /// Returns how many there are at most.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns a token of the next generation; `None` for a number that does not fit, which takes a 32-bit system.
    pub(super) fn new_token(&mut self, fd: RawFd) -> Option<Token> {
        let generation = self.generation;
        // One bit is left for the tokens of the waker and the signals.
        self.generation = (generation + 1) % (1 << (FD_BITS - 1));
        // The kernel refuses a number that is no descriptor.
        let fd = usize::try_from(fd).unwrap_or_default();
        (fd <= FD_MASK).then_some(Token(generation << FD_BITS | fd))
    }

    /// Adds an armed registration.
    pub(super) fn insert(&mut self, registration: Rc<Registration>) {
        let fd = fd_of(registration.token.get());
        if fd >= self.list.len() {
            self.list.resize_with(fd + 1, || None);
        }
        self.list[fd] = Some(registration);
    }

    pub(super) fn get(&self, fd: RawFd) -> Option<&Rc<Registration>> {
        self.list.get(usize::try_from(fd).ok()?)?.as_ref()
    }

    /// Returns the registration that the token was made for, if it still exists.
    #[inline]
    pub(super) fn of(&self, token: Token) -> Option<&Rc<Registration>> {
        self.list.get(fd_of(token))?.as_ref().filter(|registration| registration.token.get() == token)
    }

    pub(super) fn remove(&mut self, fd: RawFd) -> Option<Rc<Registration>> {
        self.list.get_mut(usize::try_from(fd).ok()?)?.take()
    }

    /// Lists the registrations by descriptor.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Registration> {
        self.list.iter().flatten().map(|registration| &**registration)
    }

    /// Removes all registrations and returns them in the order in which they were made.
    pub(super) fn take_all(&mut self) -> Vec<Rc<Registration>> {
        let mut all: Vec<_> = std::mem::take(&mut self.list).into_iter().flatten().collect();
        all.sort_by_key(|registration| registration.token.get());
        all
    }
}

fn fd_of(token: Token) -> usize {
    token.0 & FD_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(registrations: &mut Registrations, fd: RawFd) -> Token {
        let lp = EventLoop::new().unwrap();
        let token = registrations.new_token(fd).expect("a small number");
        let registration = Registration::new(&lp, fd, Owner::User);
        registration.arm(token, Interest::READABLE);
        registrations.insert(Rc::new(registration));
        token
    }

    fn fd_named_by(registrations: &Registrations, token: Token) -> Option<RawFd> {
        registrations.of(token).map(|registration| registration.fd)
    }

    #[test]
    fn a_token_names_one_registration_also_when_its_descriptor_is_used_again() {
        let mut registrations = Registrations::default();
        let first = register(&mut registrations, 7);
        assert_eq!(fd_named_by(&registrations, first), Some(7));
        assert!(registrations.remove(7).is_some());
        assert_eq!(fd_named_by(&registrations, first), None);
        let second = register(&mut registrations, 7);
        assert_eq!(fd_named_by(&registrations, first), None);
        assert_eq!(fd_named_by(&registrations, second), Some(7));
        assert_eq!(registrations.iter().count(), 1);
    }

    #[test]
    fn a_number_that_is_no_descriptor_has_no_registration() {
        let mut registrations = Registrations::default();
        register(&mut registrations, 0);
        for fd in [-1, 1, RawFd::MAX] {
            assert!(registrations.get(fd).is_none(), "{fd}");
            assert!(registrations.remove(fd).is_none(), "{fd}");
        }
        assert!(registrations.of(Token(usize::MAX)).is_none());
    }

    #[test]
    fn all_are_taken_in_the_order_in_which_they_were_made() {
        let mut registrations = Registrations::default();
        for fd in [9, 3, 12, 5] {
            register(&mut registrations, fd);
        }
        let fds: Vec<RawFd> = registrations.take_all().iter().map(|registration| registration.fd).collect();
        assert_eq!(fds, [9, 3, 12, 5]);
        assert_eq!((registrations.len(), registrations.iter().count()), (0, 0));
    }
}
