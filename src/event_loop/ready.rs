//! The ready queue: first in, first out, nothing else.
//!
//! Entries leave in the order in which they came, so an entry's number `q` needs no storage. The
//! first entry's number is the count of entries that have left, plus one. The queue does not decide
//! how many entries run: the turn does.

use super::EventLoop;
use super::callback::Callback;
use super::exceptions::HandleInfo;
use super::tasks::AnyTask;
use crate::error::Result;
use crate::trace::{EntryKind, Place};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// What the ready queue holds.
#[derive(Clone)]
pub(crate) enum Entry {
    Callback(Rc<Callback>),
    /// A task's step.
    Step(Rc<dyn AnyTask>),
}

impl Entry {
    /// Returns the number of its handle.
    pub(super) fn id(&self) -> u64 {
        match self {
            Self::Callback(callback) => callback.id,
            Self::Step(task) => task.handle(),
        }
    }

    /// A step is never cancelled.
    #[inline]
    pub(super) fn is_cancelled(&self) -> bool {
        match self {
            Self::Callback(callback) => callback.is_cancelled(),
            Self::Step(_) => false,
        }
    }

    #[inline]
    pub(super) fn run(&self, lp: &EventLoop) -> Result<()> {
        match self {
            Self::Callback(callback) => callback.function.call(lp),
            Self::Step(task) => task.clone().step(lp),
        }
    }

    pub(super) fn kind(&self) -> EntryKind {
        match self {
            Self::Callback(callback) => callback.kind,
            Self::Step(task) => task.kind(),
        }
    }

    pub(super) fn label(&self) -> String {
        match self {
            Self::Callback(callback) => callback.label(),
            Self::Step(task) => task.label(),
        }
    }

    /// Tells whether looplab made it for itself. A step is always the program's.
    pub(super) fn is_own(&self) -> bool {
        match self {
            Self::Callback(callback) => callback.is_own(),
            Self::Step(_) => false,
        }
    }

    /// Returns the number of the task whose step it is.
    pub(super) fn task(&self) -> Option<u64> {
        match self {
            Self::Callback(_) => None,
            Self::Step(task) => Some(task.id()),
        }
    }

    pub(super) fn place(&self) -> Place {
        match self {
            Self::Callback(callback) => callback.place,
            Self::Step(task) => task.place(),
        }
    }

    pub(super) fn info(&self) -> HandleInfo {
        HandleInfo { label: self.label(), place: Some(self.place()) }
    }
}

#[derive(Default)]
pub(super) struct ReadyQueue {
    entries: RefCell<VecDeque<Entry>>,
    /// How many entries ever came.
    pushed: Cell<u64>,
}

impl ReadyQueue {
    /// Appends an entry and returns its number.
    #[inline]
    pub(super) fn push(&self, entry: Entry) -> u64 {
        let q = self.pushed.get() + 1;
        self.pushed.set(q);
        self.entries.borrow_mut().push_back(entry);
        q
    }

    /// Takes the first entry. Its number is then the count of those that have [left](Self::left).
    #[inline]
    pub(super) fn pop(&self) -> Option<Entry> {
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
    pub(super) fn list(&self) -> Vec<(u64, Entry)> {
        let first = self.left() + 1;
        (first..).zip(self.entries.borrow().iter().cloned()).collect()
    }

    /// Empties the queue, for `close`.
    pub(super) fn take_all(&self) -> VecDeque<Entry> {
        std::mem::take(&mut *self.entries.borrow_mut())
    }
}
