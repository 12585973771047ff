//! The ready queue: first in, first out, nothing else.
//!
//! It promises that entries leave in the order in which they came, so an entry's number `q` needs no storage: the
//! first entry's is the count of those that have left, plus one. It does not decide how many run: the turn does.

use super::Inner;
use super::callback::Entry;
use crate::trace::{EntryKind, Event, On, Via};
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
        let q = self.pushed.get() + 1;
        self.pushed.set(q);
        self.entries.borrow_mut().push_back(entry);
        q
    }

    /// Takes the first entry. Its number is how many have [left](Self::left) then.
    #[inline]
    pub(super) fn pop(&self) -> Option<Rc<dyn Entry>> {
        self.entries.borrow_mut().pop_front()
    }

    /// How many have left.
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

    /// The entries with their numbers, first one first.
    pub(super) fn list(&self) -> Vec<(u64, Rc<dyn Entry>)> {
        let first = self.left() + 1;
        (first..).zip(self.entries.borrow().iter().cloned()).collect()
    }

    /// Empties the queue, for `close`.
    pub(super) fn take_all(&self) -> VecDeque<Rc<dyn Entry>> {
        std::mem::take(&mut *self.entries.borrow_mut())
    }
}

/// How an entry came into the ready queue, for the trace.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) via: Via,
    pub(crate) kind: Option<EntryKind>,
    pub(crate) cause: Option<On>,
    pub(crate) thread: Option<&'a str>,
    pub(crate) fd: Option<i32>,
    pub(crate) signal: Option<i32>,
}

impl Origin<'_> {
    pub(crate) const CALL_SOON: Self =
        Self { via: Via::CallSoon, kind: None, cause: None, thread: None, fd: None, signal: None };
}

impl Inner {
    /// Appends an entry to the ready queue, after what other threads have sent before.
    #[inline]
    pub(crate) fn push(&self, entry: Rc<dyn Entry>, origin: Origin<'_>) {
        if self.is_pushed_slowly() {
            return self.push_slowly(entry, &origin);
        }
        self.ready.push(entry);
    }

    /// The same from `call_soon`, whose origin is a constant: an untraced push does not build it.
    #[inline]
    pub(crate) fn push_soon(&self, entry: Rc<dyn Entry>) {
        if self.is_pushed_slowly() {
            return self.push_slowly(entry, &Origin::CALL_SOON);
        }
        self.ready.push(entry);
    }

    /// Whether an observer looks on, or other threads have sent something. One question for both keeps each push short.
    #[inline]
    pub(crate) fn is_pushed_slowly(&self) -> bool {
        self.traced.get() | !self.inbox.is_empty()
    }

    /// Appends an entry of an untraced loop to which no other thread has sent anything.
    #[inline]
    pub(crate) fn push_here(&self, entry: Rc<dyn Entry>) {
        self.ready.push(entry);
    }

    #[cold]
    fn push_slowly(&self, entry: Rc<dyn Entry>, origin: &Origin<'_>) {
        self.queue_what_was_sent();
        self.append(entry, origin);
    }

    /// The second half of [`push`](Self::push), for an entry that changes its own state between the two.
    pub(crate) fn append(&self, entry: Rc<dyn Entry>, origin: &Origin<'_>) {
        if self.traced.get() {
            return self.push_traced(entry, origin);
        }
        self.ready.push(entry);
    }

    #[cold]
    fn push_traced(&self, entry: Rc<dyn Entry>, origin: &Origin<'_>) {
        let (about, h) = (entry.about(), entry.id());
        let q = self.ready.push(entry);
        self.trace(|| Event::Push {
            q,
            h,
            via: origin.via,
            kind: origin.kind.unwrap_or(about.kind),
            label: &about.label,
            task: about.task,
            cause: origin.cause,
            by: self.running_entry(),
            thread: origin.thread,
            fd: origin.fd,
            signal: origin.signal,
            place: about.place,
        });
    }
}
