//! A descriptor whose owner says when it is drained: the reactor's other kind of registration.
//!
//! A reader of the user's is reported in every turn in which its descriptor is ready, which takes one system call to arm
//! it again after each report. A socket of looplab's own knows better: a read that found nothing has emptied it, and so has
//! one of TCP that came back short; and the kernel tells of everything that comes later. So such a registration is armed
//! again only while it is *not* known to be drained. It promises the same reports as level-triggering, without those calls:
//!
//! ```text
//!               1 the poll reports it                     2 the owner reads, and there may be more
//!   DRAINED ──────────────────────────▶ MAY BE READY ──┐ ◀─┐
//!      ▲                                    │          └───┘ (armed again before the next poll, if anybody waits)
//!      └──────3 the owner says `drained`────┘
//! ```
//! - A hang-up or an error is reported once, often together with the last bytes, and no later edge repeats it. So a side
//!   that has seen one is never drained again, whatever its owner says. Nor is one that has seen urgent data, before which
//!   every read stops short.
//! - The kernel's registration stays while nobody waits; what it reports then is noted here and makes no turn.

use super::callback::Callback;
use super::{EventLoop, Inner};
use crate::trace::Direction;
use mio::{Interest, Token};
use std::cell::Cell;
use std::os::fd::RawFd;
use std::rc::{Rc, Weak};

/// What an owner and the reactor share.
pub(crate) struct Edge {
    pub(in crate::event_loop) lp: Weak<Inner>,
    pub(in crate::event_loop) fd: RawFd,
    reader: Side,
    writer: Side,
    /// What the kernel watches for, and under which token; `None` before the first wait, and when the registration is gone.
    /// (In two cells, which take less room than a pair.)
    interest: Cell<Option<Interest>>,
    token: Cell<Token>,
    /// The registration is gone for good: the loop is closed, or the descriptor was closed by somebody else.
    gone: Cell<bool>,
}

/// The callback out of a direction's cell is there again at the end of each function: nothing of the user's runs in them.
#[derive(Default)]
struct Side {
    entry: Cell<Option<Rc<Callback>>>,
    claimed: Cell<bool>,
    /// The state DRAINED.
    drained: Cell<bool>,
    ended: Cell<bool>,
}

impl Side {
    #[inline]
    fn entry(&self) -> Option<Rc<Callback>> {
        let entry = self.entry.take();
        self.entry.set(entry.clone());
        entry
    }

    #[inline]
    fn has_entry(&self) -> bool {
        let entry = self.entry.take();
        let has = entry.is_some();
        self.entry.set(entry);
        has
    }
}

impl Edge {
    pub(in crate::event_loop) fn new(lp: &EventLoop, fd: RawFd) -> Self {
        Self {
            lp: lp.downgrade(),
            fd,
            reader: Side::default(),
            writer: Side::default(),
            interest: Cell::new(None),
            token: Cell::new(Token(0)),
            gone: Cell::new(false),
        }
    }

    /// Whether the kernel watches it; on a loop that is closed it watches nothing.
    #[inline]
    pub(in crate::event_loop) fn is_armed(&self) -> bool {
        self.interest.get().is_some()
    }

    pub(super) fn armed(&self) -> Option<(Token, Interest)> {
        self.interest.get().map(|interest| (self.token.get(), interest))
    }

    /// The kernel watches for this, and so tells of all that comes in this direction from now on.
    pub(super) fn arm(&self, token: Token, interest: Interest, direction: Direction) {
        self.token.set(token);
        self.interest.set(Some(interest));
        self.drained(direction);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.get()
    }

    /// The registration is gone. No news will come, so nothing counts as drained any more.
    pub(super) fn bury(&self) {
        self.interest.set(None);
        self.gone.set(true);
        for side in [&self.reader, &self.writer] {
            side.drained.set(false);
            drop(side.entry.take());
        }
    }

    #[inline]
    fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Read => &self.reader,
            Direction::Write => &self.writer,
        }
    }

    /// Arrow 1; the callback to queue, if somebody waits.
    #[inline]
    pub(in crate::event_loop) fn report(&self, direction: Direction, ended: bool) -> Option<Rc<Callback>> {
        let side = self.side(direction);
        side.drained.set(false);
        side.ended.set(side.ended.get() || ended);
        side.entry()
    }

    /// Arrow 3, if the kernel will tell of what comes.
    #[inline]
    pub(in crate::event_loop) fn drained(&self, direction: Direction) {
        let side = self.side(direction);
        let watched = self.interest.get().is_some_and(|interest| match direction {
            Direction::Read => interest.is_readable(),
            Direction::Write => interest.is_writable(),
        });
        side.drained.set(watched && !side.ended.get());
    }

    /// Whether trying would find nothing, as far as is known.
    #[inline]
    pub(in crate::event_loop) fn is_drained(&self, direction: Direction) -> bool {
        self.side(direction).drained.get()
    }

    /// Whether it must be armed again to be reported.
    #[inline]
    pub(in crate::event_loop) fn is_due(&self) -> bool {
        let is_due = |direction| self.has_entry(direction) && !self.is_drained(direction);
        is_due(Direction::Read) || is_due(Direction::Write)
    }

    #[inline]
    pub(in crate::event_loop) fn entry(&self, direction: Direction) -> Option<Rc<Callback>> {
        self.side(direction).entry()
    }

    /// Whether somebody waits.
    #[inline]
    pub(in crate::event_loop) fn has_entry(&self, direction: Direction) -> bool {
        self.side(direction).has_entry()
    }

    /// Puts a callback in the place of the one there was.
    #[inline]
    pub(in crate::event_loop) fn replace(
        &self,
        direction: Direction,
        entry: Option<Rc<Callback>>,
    ) -> Option<Rc<Callback>> {
        self.side(direction).entry.replace(entry)
    }

    /// One operation at a time waits in each direction; false if there is one.
    #[inline]
    pub(in crate::event_loop) fn claim(&self, direction: Direction) -> bool {
        !self.side(direction).claimed.replace(true)
    }

    #[inline]
    pub(in crate::event_loop) fn is_claimed(&self, direction: Direction) -> bool {
        self.side(direction).claimed.get()
    }

    #[inline]
    pub(in crate::event_loop) fn unclaim(&self, direction: Direction) {
        self.side(direction).claimed.set(false);
    }
}
