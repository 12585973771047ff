//! What ends with a loop although the loop does not own it: futures that have callbacks, servers.
//!
//! `close` ends each dependant that is still alive, in order of registration, with no borrow held.
//! The loop holds a dependant weakly, so a registration here keeps nothing alive.

use super::{EventLoop, Inner};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

/// Something that a loop ends when it is closed.
pub(crate) trait Dependant {
    /// Drops values of the user's that only the closed loop would have used, one by one, each
    /// guarded against a panic.
    fn loop_closed(&self);
}

#[derive(Default)]
pub(super) struct Dependants {
    slots: RefCell<Slab<(u64, Weak<dyn Dependant>)>>,
    registered: Cell<u64>,
}

impl Dependants {
    /// Removes all dependants and returns those alive, in order of registration, for `close`.
    pub(super) fn take_all(&self) -> impl Iterator<Item = Rc<dyn Dependant>> + use<> {
        let mut all: Vec<_> = self.slots.take().into_iter().map(|(_, entry)| entry).collect();
        all.sort_by_key(|(number, _)| *number);
        // A dependant may end in a destructor of an earlier one.
        all.into_iter().filter_map(|(_, dependant)| dependant.upgrade())
    }
}

/// A dependant's registration; dropping it ends it.
pub(crate) struct Dependence {
    lp: Weak<Inner>,
    slot: usize,
}

impl Drop for Dependence {
    fn drop(&mut self) {
        // A closed loop has no registrations, and makes none.
        let Some(lp) = self.lp.upgrade().filter(|lp| !lp.closed.get()) else { return };
        let removed = lp.dependants.slots.borrow_mut().try_remove(self.slot);
        drop(removed);
    }
}

impl EventLoop {
    /// Registers `dependant` for `close`; `None` if the loop is closed already.
    pub(crate) fn add_dependant(&self, dependant: Weak<dyn Dependant>) -> Option<Dependence> {
        let lp = &*self.0;
        lp.check_open().ok()?;
        let number = lp.dependants.registered.get() + 1;
        lp.dependants.registered.set(number);
        let slot = lp.dependants.slots.borrow_mut().insert((number, dependant));
        Some(Dependence { lp: self.downgrade(), slot })
    }
}
