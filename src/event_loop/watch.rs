//! The registrations of looplab's own sockets, as their owners see them.
//!
//! They promise what readers and writers promise. Readiness only queues a callback, what was
//! removed does not run, and an event never reaches a registration that is gone. They do so at less
//! cost: see [`Registration`] for how [`Watch::drained`] spares a system call for each event. While
//! a `Watch` has no callback, the loop has nothing to wait for on its descriptor.

use super::callback::Callback;
use super::registration::{Owner, Registration};
use super::{EventLoop, Inner};
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::trace::{Direction, EntryKind, Place};
use std::cell::Cell;
use std::os::fd::RawFd;
use std::rc::Rc;

/// One descriptor on one loop. Dropping it ends the registration: do that before the descriptor is closed.
pub(crate) struct Watch(Rc<Registration>);

impl Watch {
    /// Makes no system call: the first callback does.
    pub(crate) fn new(lp: &EventLoop, fd: RawFd) -> Self {
        Self(Rc::new(Registration::new(lp, fd, Owner::Socket)))
    }

    /// Tells whether `lp` is its loop.
    pub(crate) fn belongs_to(&self, lp: &EventLoop) -> bool {
        std::ptr::eq(self.0.lp.as_ptr(), Rc::as_ptr(&lp.0))
    }

    /// Returns its loop.
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

    /// Tells whether its loop is open; costs nothing while the descriptor is registered.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.0.interest().is_some() || self.event_loop().is_ok()
    }

    /// Calls `callback` in every turn in which the descriptor may be ready, until [`unset`](Self::unset). It replaces the
    /// callback before, and is level-triggered unless it calls [`drained`](Self::drained).
    ///
    /// # Errors
    /// [`Error::Closed`] on a closed loop; [`Error::Io`] if the kernel refuses; [`Error::Runtime`] if the descriptor has
    /// a reader or writer of the user's.
    pub(crate) fn call<R: Outcome>(
        &self,
        direction: Direction,
        place: Place,
        callback: impl FnMut() -> R + 'static,
    ) -> Result<()> {
        let lp = self.event_loop()?;
        self.set(&lp, direction, lp.repeated(EntryKind::Io, place, callback))
    }

    /// Sets a callback as [`call`](Self::call) does. `lp` is its loop.
    pub(crate) fn set(&self, lp: &EventLoop, direction: Direction, callback: Rc<dyn Callback>) -> Result<()> {
        // The kernel watches a side that is drained, and reports what comes.
        if !self.0.is_drained(direction) {
            lp.0.add_to_reactor(|reactor| reactor.watch(&self.0, direction))?;
        }
        let before = lp.0.reactor.borrow_mut().set_callback(&self.0, direction, Some(callback.clone()));
        lp.0.registered(self.0.fd, direction, &*callback);
        if let Some(before) = before {
            lp.0.cancel(&*before);
        }
        Ok(())
    }

    /// Removes the callback; a call of it that is queued already does not run. Tells whether there was one.
    pub(crate) fn unset(&self, direction: Direction) -> bool {
        let Some(lp) = self.0.lp.upgrade().map(EventLoop) else { return false };
        let removed = lp.0.unset(&self.0, direction);
        removed.is_some_and(|callback| {
            lp.0.cancel(&*callback);
            true
        })
    }

    /// Notes that an attempt would block: a system call said so, or came back short where that proves it (a write, and a
    /// read of TCP: see `readiness`). The kernel reports whatever changes from now on.
    #[inline]
    pub(crate) fn drained(&self, direction: Direction) {
        self.0.drained(direction);
    }

    /// Tells whether an attempt would block, as far as the loop knows.
    #[inline]
    pub(crate) fn is_drained(&self, direction: Direction) -> bool {
        self.0.is_drained(direction)
    }

    /// Tells whether an operation waits for this direction.
    #[inline]
    pub(crate) fn is_claimed(&self, direction: Direction) -> bool {
        self.0.is_claimed(direction)
    }

    /// Returns the right to wait for one direction; `None` if an operation has it.
    pub(crate) fn claim(&self, direction: Direction) -> Option<Claim> {
        self.0.claim(direction).then(|| Claim {
            registration: self.0.clone(),
            direction,
            held: Cell::new(true),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(lp) = self.0.lp.upgrade().map(EventLoop) {
            let orphans = lp.0.reactor.borrow_mut().unwatch(&self.0);
            lp.0.drop_orphans(orphans);
        }
    }
}

/// One operation's right to wait for one direction of a descriptor. It may outlive the [`Watch`].
pub(crate) struct Claim {
    registration: Rc<Registration>,
    direction: Direction,
    held: Cell<bool>,
}

impl Claim {
    /// Takes the right again, for the same descriptor, after it was released; false if another operation has it.
    #[inline]
    pub(crate) fn renew(&mut self, direction: Direction) -> bool {
        self.direction = direction;
        self.held.set(self.registration.claim(direction));
        self.held.get()
    }

    /// Removes the callback, if there is one. A queued call of it stays. `lp` is its loop. Once the right is released the
    /// callback is another operation's, and stays.
    #[inline]
    pub(crate) fn end_wait(&self, lp: &EventLoop) {
        if self.held.get() {
            drop(lp.0.unset(&self.registration, self.direction));
        }
    }

    /// Gives the right back and removes the callback, if there still is one.
    #[inline]
    pub(crate) fn release(&self) {
        self.held.set(false);
        if self.registration.has_callback(self.direction)
            && let Some(lp) = self.registration.lp.upgrade().map(EventLoop)
        {
            drop(lp.0.unset(&self.registration, self.direction));
        }
        self.registration.unclaim(self.direction);
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
    fn unset(&self, registration: &Registration, direction: Direction) -> Option<Rc<dyn Callback>> {
        let removed = self.reactor.borrow_mut().set_callback(registration, direction, None)?;
        self.unregistered(registration.fd, direction);
        Some(removed)
    }
}
