//! The ready queue: first in, first out, nothing else.
//!
//! It promises that entries leave in the order in which they came, so an entry's number `q` needs no storage: the
//! first entry's is the count of those that have left, plus one. It does not decide how many run: the turn does.

use super::handle::Entry;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

#[derive(Default)]
pub(super) struct ReadyQueue {
    entries: RefCell<VecDeque<Rc<dyn Entry>>>,
    /// How many ever came.
    pushed: Cell<u64>,
}

impl ReadyQueue {
    /// Appends an entry; its number.
    #[inline]
    pub(super) fn push(&self, entry: Rc<dyn Entry>) -> u64 {
        self.entries.borrow_mut().push_back(entry);
        let q = self.pushed.get() + 1;
        self.pushed.set(q);
        q
    }

    /// Takes the first entry with its number.
    #[inline]
    pub(super) fn pop(&self) -> Option<(u64, Rc<dyn Entry>)> {
        let mut entries = self.entries.borrow_mut();
        let q = self.pushed.get() + 1 - entries.len() as u64;
        entries.pop_front().map(|entry| (q, entry))
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    /// The entries with their numbers, first one first.
    pub(super) fn list(&self) -> Vec<(u64, Rc<dyn Entry>)> {
        let entries = self.entries.borrow();
        let first = self.pushed.get() + 1 - entries.len() as u64;
        (first..).zip(entries.iter().cloned()).collect()
    }

    /// Empties the queue, for `close`.
    pub(super) fn take_all(&self) -> VecDeque<Rc<dyn Entry>> {
        std::mem::take(&mut *self.entries.borrow_mut())
    }
}
