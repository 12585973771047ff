//! The items of a queue, in one of three orders.
//!
//! A store handles no waiting. A heap compares its items, which is user code.

use crate::panics::{Apart, Guarded};
use std::cmp::Ordering;
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

impl<T: Ord + 'static> Heap<T> {
    pub(super) fn new() -> Self {
        Self { items: Apart::from(BinaryHeap::new()), pushed: 0 }
    }
}

impl<T: Ord + 'static> Store<T> for Heap<T> {
    fn push(&mut self, item: T) {
        self.pushed += 1;
        self.items.push(Ranked { item: Guarded::new(item), number: self.pushed });
    }

    fn pop(&mut self) -> Option<T> {
        self.items.pop().map(|ranked| ranked.item.into_inner())
    }

    fn len(&self) -> usize {
        self.items.len()
    }

    fn take_all(&mut self) -> Vec<T> {
        self.items.take().into_iter().map(|ranked| ranked.item.into_inner()).collect()
    }
}

/// An item and its number, for the order of equal items. The greatest is popped first.
struct Ranked<T: 'static> {
    /// Guarded, because a comparison that panics drops the item that is being popped.
    item: Guarded<T>,
    number: u64,
}

impl<T: Ord> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        T::cmp(&other.item, &self.item).then_with(|| other.number.cmp(&self.number))
    }
}

impl<T: Ord> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Ord> Eq for Ranked<T> {}
