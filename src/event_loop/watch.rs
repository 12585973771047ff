//! Descriptors that looplab owns itself, as their owners see them.
//!
//! It promises what readers and writers promise (readiness only queues a callback; what was removed does not run; nothing
//! reaches a registration that is gone), at less cost: see [`Edge`] for how the owner's `drained` saves a system call for
//! each event. While a `Watch` has no callback the loop counts it as nothing to wait for.

use super::callback::Callback;
use super::edge::Edge;
use super::reactor::Added;
use super::{EventLoop, Inner};
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::trace::{Direction, EntryKind, Place};
use std::cell::Cell;
use std::os::fd::RawFd;
use std::rc::Rc;

/// One descriptor on one loop. Dropping it ends the registration: do that before the descriptor is closed.
pub(crate) struct Watch(Rc<Edge>);

impl Watch {
    /// Makes no system call: the first callback does.
    pub(crate) fn new(lp: &EventLoop, fd: RawFd) -> Self {
        Self(Rc::new(Edge::new(lp, fd)))
    }

    /// Whether this is its loop.
    pub(crate) fn belongs_to(&self, lp: &EventLoop) -> bool {
        std::ptr::eq(self.0.lp.as_ptr(), Rc::as_ptr(&lp.0))
    }

    /// Its loop.
    ///
    /// # Errors
    /// [`Error::Closed`] if that is closed.
    #[inline]
    pub(crate) fn event_loop(&self) -> Result<EventLoop> {
        match self.0.lp.upgrade().map(EventLoop) {
            Some(lp) if !lp.is_closed() => Ok(lp),
            _ => Err(Error::Closed),
        }
    }

    /// Whether its loop is open; costs nothing while the descriptor is registered.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_armed() || self.event_loop().is_ok()
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
        self.set(&lp, direction, lp.repeated(EntryKind::Io, place, callback))
    }

    /// As [`call`](Self::call), for an entry. `lp` is its loop.
    pub(crate) fn set(&self, lp: &EventLoop, direction: Direction, callback: Rc<Callback>) -> Result<()> {
        // The kernel watches one that is drained, and tells of what comes.
        if !self.0.is_drained(direction) {
            self.arm(lp, direction)?;
        }
        let before = self.0.replace(direction, Some(callback.clone()));
        if before.is_none() {
            lp.0.reactor.borrow_mut().count_callback(true);
        }
        lp.0.registered(self.0.fd, direction, &callback);
        if let Some(before) = before {
            lp.0.cancel(&before);
        }
        Ok(())
    }

    fn arm(&self, lp: &EventLoop, direction: Direction) -> Result<()> {
        loop {
            let added = lp.0.reactor.borrow_mut().watch(&self.0, direction);
            match added {
                Added::Registered(_) => return Ok(()),
                Added::Refused(error) => return Err(error),
                // A destructor that runs here may leave a stale one again.
                Added::Stale(orphans) => lp.0.bury(orphans),
            }
        }
    }

    /// Removes the callback; a call of it that is queued already does not run. Whether there was one.
    pub(crate) fn unset(&self, direction: Direction) -> bool {
        let Some(lp) = self.0.lp.upgrade().map(EventLoop) else { return false };
        let removed = lp.0.unset(&self.0, direction);
        removed.is_some_and(|callback| {
            lp.0.cancel(&callback);
            true
        })
    }

    /// The owner has emptied (or filled) it: a system call found that it would block, or came back short where that
    /// proves it (a write, and a read of TCP: see `readiness`). The kernel reports whatever changes from now on.
    #[inline]
    pub(crate) fn drained(&self, direction: Direction) {
        self.0.drained(direction);
    }

    /// Whether trying would find nothing, as far as the loop knows.
    #[inline]
    pub(crate) fn is_drained(&self, direction: Direction) -> bool {
        self.0.is_drained(direction)
    }

    /// Whether an operation waits for this direction.
    #[inline]
    pub(crate) fn is_claimed(&self, direction: Direction) -> bool {
        self.0.is_claimed(direction)
    }

    /// The right to wait for one direction; `None` if an operation has it.
    pub(crate) fn claim(&self, direction: Direction) -> Option<Claim> {
        self.0.claim(direction).then(|| Claim { edge: self.0.clone(), direction, held: Cell::new(true) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(lp) = self.0.lp.upgrade().map(EventLoop) {
            let orphans = lp.0.reactor.borrow_mut().unwatch(&self.0);
            lp.0.bury(orphans);
        }
    }
}

/// One operation's right to wait for one direction of a descriptor. It may outlive the [`Watch`].
pub(crate) struct Claim {
    edge: Rc<Edge>,
    direction: Direction,
    held: Cell<bool>,
}

impl Claim {
    /// Takes the right again, for the same descriptor, after it was released; false if another operation has it.
    #[inline]
    pub(crate) fn renew(&mut self, direction: Direction) -> bool {
        self.direction = direction;
        self.held.set(self.edge.claim(direction));
        self.held.get()
    }

    /// Removes the callback, if there is one. A queued call of it stays. `lp` is its loop. Once the right is given back
    /// the callback is another operation's, and stays.
    #[inline]
    pub(crate) fn end_wait(&self, lp: &EventLoop) {
        if self.held.get() {
            drop(lp.0.unset(&self.edge, self.direction));
        }
    }

    /// Gives the right back; removes the callback, if there still is one.
    #[inline]
    pub(crate) fn release(&self) {
        self.held.set(false);
        if self.edge.has_entry(self.direction)
            && let Some(lp) = self.edge.lp.upgrade().map(EventLoop)
        {
            drop(lp.0.unset(&self.edge, self.direction));
        }
        self.edge.unclaim(self.direction);
    }
}

impl Drop for Claim {
    #[inline]
    fn drop(&mut self) {
        if self.held.get() {
            self.release();
        }
    }
}

impl Inner {
    #[inline]
    fn unset(&self, edge: &Edge, direction: Direction) -> Option<Rc<Callback>> {
        let removed = edge.replace(direction, None)?;
        self.reactor.borrow_mut().count_callback(false);
        self.unregistered(edge.fd, direction);
        Some(removed)
    }
}
