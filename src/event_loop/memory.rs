//! The reactor's sockets in memory, which the kernel does not know.
//!
//! Their registrations have negative numbers in place of descriptors. The owner of such a socket says what it is ready for,
//! and the next poll reports it. The first that became ready is reported first, and again in every turn in which it is still
//! ready and a callback waits, as by a level-triggered epoll.
//!
//! Only code on the loop makes such a socket ready, so the loop does not wait for it. Virtual time jumps meanwhile, and a loop
//! that waits for nothing else is in a deadlock.

use super::registration::{FdCallbacks, Registration};
use crate::trace::{Direction, Ready};
use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::rc::Rc;

#[derive(Default)]
pub(super) struct MemorySockets {
    /// The last number that was given away.
    last: RawFd,
    registrations: BTreeMap<RawFd, Rc<Registration>>,
    /// Those to look at in the next poll, in the order in which they became ready.
    listed: Vec<Rc<Registration>>,
}

impl MemorySockets {
    /// Returns a number that no socket of this loop has had: -1, then -2 and so on.
    pub(super) fn new_number(&mut self) -> RawFd {
        self.last -= 1;
        self.last
    }

    /// Has the next poll report a socket if it is ready.
    pub(super) fn watch(&mut self, registration: &Rc<Registration>, direction: Direction) {
        self.registrations.entry(registration.fd).or_insert_with(|| registration.clone());
        if registration.is_ready(direction) {
            self.list(registration);
        }
    }

    /// Says what a socket is ready for now.
    pub(super) fn set_ready(&mut self, registration: &Rc<Registration>, ready: Ready) {
        registration.ready.set(ready);
        if registration.event_in_memory().is_some() {
            self.list(registration);
        }
    }

    fn list(&mut self, registration: &Rc<Registration>) {
        if !registration.gone.get() && !registration.listed.replace(true) {
            self.listed.push(registration.clone());
        }
    }

    /// Tells whether a poll would report nothing, as far as is known without looking.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        self.listed.is_empty()
    }

    /// Tells whether a poll would report anything.
    pub(super) fn is_ready(&self) -> bool {
        self.listed.iter().any(|registration| registration.event_in_memory().is_some())
    }

    /// Reports the sockets that are ready, and keeps them for the next poll.
    pub(super) fn report(&mut self, found: &mut Vec<FdCallbacks>) {
        self.listed.retain(|registration| {
            let event = registration.event_in_memory();
            registration.listed.set(event.is_some());
            found.extend(event);
            registration.listed.get()
        });
    }

    /// Removes a registration, which may be watched again.
    pub(super) fn remove(&mut self, registration: &Registration) -> FdCallbacks {
        self.registrations.remove(&registration.fd);
        registration.take_callbacks()
    }

    /// Removes all registrations, in the order in which their sockets were made.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Rc<Registration>> + use<> {
        self.listed.clear();
        std::mem::take(&mut self.registrations).into_values().rev()
    }

    /// Lists the registrations by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Registration> {
        self.registrations.values().map(|registration| &**registration)
    }
}

impl Registration {
    /// Tells whether it is ready.
    fn is_ready(&self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.ready.get().read,
            Direction::Write => self.ready.get().write,
        }
    }

    /// Returns what a poll reports.
    fn event_in_memory(&self) -> Option<FdCallbacks> {
        let callbacks = [Direction::Read, Direction::Write]
            .map(|direction| self.side(direction).callback().filter(|_| self.is_ready(direction)));
        callbacks.iter().any(Option::is_some).then_some(FdCallbacks { fd: self.fd, callbacks })
    }
}
