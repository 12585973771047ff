//! A descriptor whose owner says when it is drained: the reactor's other kind of registration.
//!
//! A reader of the user's is reported in every turn in which its descriptor is ready, which takes one system call to arm
//! it again after each report. A socket of looplab's own knows better: a read that found nothing has emptied it, and so has
//! one of TCP that came back short; and the kernel tells of everything that comes later. So such a registration is armed again only while it
//! is *not* known to be drained. It promises the same reports as level-triggering, without those calls:
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

use super::super::handle::Entry;
use crate::trace::Direction;
use mio::{Interest, Token};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What an owner and the reactor share.
#[derive(Default)]
pub(crate) struct Edge {
    reader: Side,
    writer: Side,
    /// What the kernel watches for, and under which token; `None` before the first wait, and when the registration is gone.
    pub(super) armed: Cell<Option<(Token, Interest)>>,
    /// The registration is gone for good: the loop is closed, or the descriptor was closed by somebody else.
    pub(super) gone: Cell<bool>,
}

#[derive(Default)]
struct Side {
    entry: RefCell<Option<Rc<dyn Entry>>>,
    claimed: Cell<bool>,
    drained: Cell<bool>,
    ended: Cell<bool>,
}

impl Edge {
    fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Read => &self.reader,
            Direction::Write => &self.writer,
        }
    }

    /// Arrow 1; the callback to queue, if somebody waits.
    pub(in crate::event_loop) fn report(&self, direction: Direction, ended: bool) -> Option<Rc<dyn Entry>> {
        let side = self.side(direction);
        side.drained.set(false);
        side.ended.set(side.ended.get() || ended);
        side.entry.borrow().clone()
    }

    /// Arrow 3.
    pub(in crate::event_loop) fn drained(&self, direction: Direction) {
        self.side(direction).drained.set(true);
    }

    /// Whether trying would find nothing, as far as is known.
    pub(in crate::event_loop) fn is_drained(&self, direction: Direction) -> bool {
        let side = self.side(direction);
        let watched = self.armed.get().is_some_and(|(_, interest)| match direction {
            Direction::Read => interest.is_readable(),
            Direction::Write => interest.is_writable(),
        });
        watched && side.drained.get() && !side.ended.get()
    }

    /// Whether it must be armed again to be reported.
    pub(in crate::event_loop) fn is_due(&self) -> bool {
        [Direction::Read, Direction::Write]
            .into_iter()
            .any(|direction| self.entry(direction).is_some() && !self.is_drained(direction))
    }

    pub(in crate::event_loop) fn entry(&self, direction: Direction) -> Option<Rc<dyn Entry>> {
        self.side(direction).entry.borrow().clone()
    }

    /// Puts a callback in the place of the one there was.
    pub(in crate::event_loop) fn replace(
        &self,
        direction: Direction,
        entry: Option<Rc<dyn Entry>>,
    ) -> Option<Rc<dyn Entry>> {
        self.side(direction).entry.replace(entry)
    }

    /// One operation at a time waits in each direction; false if there is one.
    pub(in crate::event_loop) fn claim(&self, direction: Direction) -> bool {
        !self.side(direction).claimed.replace(true)
    }

    pub(in crate::event_loop) fn is_claimed(&self, direction: Direction) -> bool {
        self.side(direction).claimed.get()
    }

    pub(in crate::event_loop) fn unclaim(&self, direction: Direction) {
        self.side(direction).claimed.set(false);
    }
}
