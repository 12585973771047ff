//! Descriptors that looplab owns itself, as their owners see them.
//!
//! It promises what readers and writers promise (readiness only queues a callback; what was removed does not run; nothing
//! reaches a registration that is gone), at less cost: see [`Edge`] for how the owner's `drained` saves a system call for
//! each event. While a `Watch` has no callback the loop counts it as nothing to wait for.

use super::handle::{Entry, Repeating};
use super::reactor::{Added, Edge};
use super::{EventLoop, Inner};
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::trace::{Direction, EntryKind, Event, Place};
use std::os::fd::RawFd;
use std::rc::{Rc, Weak};

/// One descriptor on one loop. Dropping it ends the registration: do that before the descriptor is closed.
pub(crate) struct Watch {
    lp: Weak<Inner>,
    fd: RawFd,
    edge: Rc<Edge>,
}

impl Watch {
    /// Makes no system call: the first callback does.
    pub(crate) fn new(lp: &EventLoop, fd: RawFd) -> Self {
        Self { lp: lp.downgrade(), fd, edge: Rc::default() }
    }

    /// Whether this is its loop.
    pub(crate) fn belongs_to(&self, lp: &EventLoop) -> bool {
        std::ptr::eq(self.lp.as_ptr(), Rc::as_ptr(&lp.0))
    }

    /// Its loop.
    ///
    /// # Errors
    /// [`Error::Closed`] if that is closed.
    pub(crate) fn event_loop(&self) -> Result<EventLoop> {
        let lp = self.lp.upgrade().map(EventLoop).filter(|lp| !lp.is_closed());
        lp.ok_or(Error::Closed)
    }

    /// Calls `callback` in every turn in which the descriptor may be ready, until [`unset`](Self::unset); in the place of
    /// the callback there was. Unless the callback says [`drained`](Self::drained), it is level-triggered.
    ///
    /// # Errors
    /// [`Error::Closed`] on a closed loop; [`Error::Io`] if the kernel refuses; [`Error::Runtime`] if the descriptor has
    /// a reader or writer of the user's.
    pub(crate) fn call<F, R>(&self, direction: Direction, place: Place, callback: F) -> Result<()>
    where
        F: FnMut() -> R + 'static,
        R: Outcome,
    {
        let lp = self.event_loop()?;
        self.set(direction, Repeating::new(lp.0.next_handle(), EntryKind::Io, place, callback))
    }

    /// As [`call`](Self::call), for an entry.
    pub(crate) fn set(&self, direction: Direction, entry: Rc<dyn Entry>) -> Result<()> {
        let lp = self.event_loop()?;
        loop {
            let added = lp.0.reactor.borrow_mut().watch(self.fd, &self.edge, direction);
            match added {
                Added::Registered(_) => break,
                Added::Refused(error) => return Err(error),
                // A destructor that runs here may leave a stale one again.
                Added::Stale(orphans) => lp.0.bury(orphans),
            }
        }
        let before = self.edge.replace(direction, Some(entry.clone()));
        if before.is_none() {
            lp.0.reactor.borrow_mut().count_callback(true);
        }
        if lp.0.is_traced() {
            let label = entry.about().label;
            lp.0.trace(|| Event::Registered { fd: self.fd, direction, h: entry.id(), label: &label });
        }
        if let Some(before) = before {
            lp.0.cancel_entry(&*before);
        }
        Ok(())
    }

    /// Removes the callback; a call of it that is queued already does not run. Whether there was one.
    pub(crate) fn unset(&self, direction: Direction) -> bool {
        let Some(lp) = self.lp.upgrade() else { return false };
        let removed = lp.unset(self.fd, &self.edge, direction);
        removed.is_some_and(|entry| {
            lp.cancel_entry(&*entry);
            true
        })
    }

    /// The owner has emptied (or filled) it: a system call found that it would block, or came back short where that
    /// proves it (a write, and a read of TCP: see `readiness`). The kernel reports whatever changes from now on.
    pub(crate) fn drained(&self, direction: Direction) {
        self.edge.drained(direction);
    }

    /// Whether trying would find nothing, as far as the loop knows.
    pub(crate) fn is_drained(&self, direction: Direction) -> bool {
        self.edge.is_drained(direction)
    }

    /// Whether an operation waits for this direction.
    pub(crate) fn is_claimed(&self, direction: Direction) -> bool {
        self.edge.is_claimed(direction)
    }

    /// The right to wait for one direction; `None` if an operation has it.
    pub(crate) fn claim(&self, direction: Direction) -> Option<Claim> {
        let claim = || Claim { lp: self.lp.clone(), fd: self.fd, edge: self.edge.clone(), direction };
        self.edge.claim(direction).then(claim)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(lp) = self.lp.upgrade() {
            let orphans = lp.reactor.borrow_mut().unwatch(self.fd, &self.edge);
            lp.bury(orphans);
        }
    }
}

/// One operation's right to wait for one direction of a descriptor. It may outlive the [`Watch`].
pub(crate) struct Claim {
    lp: Weak<Inner>,
    fd: RawFd,
    edge: Rc<Edge>,
    direction: Direction,
}

impl Claim {
    /// Removes the callback, if there is one. A queued call of it stays.
    pub(crate) fn end_wait(&self) {
        if let Some(lp) = self.lp.upgrade() {
            drop(lp.unset(self.fd, &self.edge, self.direction));
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.end_wait();
        self.edge.unclaim(self.direction);
    }
}

impl Inner {
    fn unset(&self, fd: RawFd, edge: &Edge, direction: Direction) -> Option<Rc<dyn Entry>> {
        let removed = edge.replace(direction, None)?;
        self.reactor.borrow_mut().count_callback(false);
        self.trace(|| Event::Unregistered { fd, direction });
        Some(removed)
    }
}
