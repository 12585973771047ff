//! The items of a queue, in one of three orders.
//!
//! A store handles no waiting. A heap compares its items, which is user code.

use crate::panics::{Apart, Guarded};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

pub(super) trait Store<T> {
    fn push(&mut self, item: T);
    /// Removes the next item in the store's order.
    fn pop(&mut self) -> Option<T>;
    fn len(&self) -> usize;
    /// Removes all items, in any order, without comparing them.
    fn take_all(&mut self) -> Vec<T>;
}

/// First in, first out, or last in, first out.
pub(super) struct Deque<T: 'static> {
    items: Apart<VecDeque<T>>,
    pop: fn(&mut VecDeque<T>) -> Option<T>,
}

impl<T: 'static> Deque<T> {
    pub(super) fn fifo() -> Self {
        Self { items: Apart::default(), pop: VecDeque::pop_front }
    }

    pub(super) fn lifo() -> Self {
        Self { items: Apart::default(), pop: VecDeque::pop_back }
    }
}

impl<T: 'static> Store<T> for Deque<T> {
    fn push(&mut self, item: T) {
        self.items.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        (self.pop)(&mut self.items)
    }

    fn len(&self) -> usize {
        self.items.len()
    }

    fn take_all(&mut self) -> Vec<T> {
        self.items.take().into()
    }
}

/// The lowest item first; equal items first in, first out. (asyncio's `heapq` defines no order of
/// equal items. In Rust they are often different items of the same rank, so the order matters.)
pub(super) struct Heap<T: Ord + 'static> {
    items: Apart<BinaryHeap<Ranked<T>>>,
    pushed: u64,
}

/// An item and its number, for the order of equal items. The lowest is popped first. The item is
/// guarded, because a comparison that panics drops the one that is being popped.
type Ranked<T> = Reverse<(Guarded<T>, u64)>;

impl<T: Ord + 'static> Heap<T> {
    pub(super) fn new() -> Self {
        Self { items: Apart::from(BinaryHeap::new()), pushed: 0 }
    }
}

impl<T: Ord + 'static> Store<T> for Heap<T> {
    fn push(&mut self, item: T) {
        self.pushed += 1;
        self.items.push(Reverse((Guarded::new(item), self.pushed)));
    }

    fn pop(&mut self) -> Option<T> {
        self.items.pop().map(|Reverse((item, _))| item.into_inner())
    }

    fn len(&self) -> usize {
        self.items.len()
    }

    fn take_all(&mut self) -> Vec<T> {
        self.items.take().into_iter().map(|Reverse((item, _))| item.into_inner()).collect()
    }
}
