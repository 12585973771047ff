//! The ready queue: first in, first out, nothing else.
//!
//! Entries leave in the order in which they came, so an entry's number `q` needs no storage. The
//! first entry's number is the count of entries that have left, plus one. The queue does not decide
//! how many entries run: the turn does.

use super::EventLoop;
use crate::error::{Error, Result};
use crate::trace::{EntryKind, Place};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// What the ready queue holds: a callback, or a task's step.
pub(crate) trait Entry {
    /// Returns the number of its handle.
    fn handle(&self) -> u64;

    fn kind(&self) -> EntryKind;

    /// Names it for a reader.
    fn label(&self) -> String;

    fn place(&self) -> Place;

    /// Tells whether looplab made it for itself. A step is always the program's.
    fn is_own(&self) -> bool {
        false
    }

    /// Returns the number of the task whose step it is.
    fn task(&self) -> Option<u64> {
        None
    }

    /// A step is never cancelled.
    fn is_cancelled(&self) -> bool {
        false
    }

    /// Calls it once, unless it was cancelled, and drops it unless it has failed. Alternative: the turn drops it. Problem: a
    /// drop of unknown type costs nearly as many instructions as the rest of the turn.
    fn run(self: Rc<Self>, lp: &EventLoop) -> Result<(), Box<Failed>>;

    /// Drops what only the closed loop would have used, even if a handle keeps the entry.
    fn loop_closed(&self) {}
}

/// An entry that has failed, and its error.
pub(crate) struct Failed {
    pub(super) entry: Rc<dyn Entry>,
    pub(crate) error: Error,
}

impl Failed {
    #[cold]
    pub(crate) fn new(entry: Rc<dyn Entry>, error: Error) -> Box<Self> {
        Box::new(Self { entry, error })
    }
}

#[derive(Default)]
pub(super) struct ReadyQueue {
    entries: RefCell<VecDeque<Rc<dyn Entry>>>,
    /// How many entries ever came.
    pushed: Cell<u64>,
}

impl ReadyQueue {
    /// Appends an entry and returns its number.
    #[inline]
    pub(super) fn push(&self, entry: Rc<dyn Entry>) -> u64 {
        let q = self.pushed.get() + 1;
        self.pushed.set(q);
        self.entries.borrow_mut().push_back(entry);
        q
    }

    /// Takes the first entry. Its number is then the count of those that have [left](Self::left).
    #[inline]
    pub(super) fn pop(&self) -> Option<Rc<dyn Entry>> {
        self.entries.borrow_mut().pop_front()
    }

    /// Returns how many entries have left.
    pub(super) fn left(&self) -> u64 {
        self.pushed.get() - self.len() as u64
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    /// Lists the entries with their numbers, first one first.
    pub(super) fn list(&self) -> Vec<(u64, Rc<dyn Entry>)> {
        let first = self.left() + 1;
        (first..).zip(self.entries.borrow().iter().cloned()).collect()
    }

    /// Empties the queue, for `close`.
    pub(super) fn take_all(&self) -> VecDeque<Rc<dyn Entry>> {
        std::mem::take(&mut *self.entries.borrow_mut())
    }
}
