//! What a queue keeps its items in: the three orders in which they come out.
//!
//! A store is a plain structure and knows nothing of waiting. The one thing to mind is that a heap compares, and
//! comparing is the user's code; see [`super::queue`] for how a store is used without a borrow.

use crate::panics::{Apart, Guarded};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

pub(super) trait Store<T> {
    fn push(&mut self, item: T);
    /// The next item in the store's order.
    fn pop(&mut self) -> Option<T>;
    fn len(&self) -> usize;
    /// All items, in no particular order, without comparing them.
    fn take_all(&mut self) -> Vec<T>;
}

/// First in, first out.
impl<T: 'static> Store<T> for Apart<VecDeque<T>> {
    fn push(&mut self, item: T) {
        self.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn len(&self) -> usize {
        VecDeque::len(self)
    }

    fn take_all(&mut self) -> Vec<T> {
        self.take().into()
    }
}

/// Last in, first out.
impl<T: 'static> Store<T> for Apart<Vec<T>> {
    fn push(&mut self, item: T) {
        Vec::push(self, item);
    }

    fn pop(&mut self) -> Option<T> {
        Vec::pop(self)
    }

    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn take_all(&mut self) -> Vec<T> {
        self.take()
    }
}

/// Lowest first; among equals first in, first out. (asyncio's `heapq` lets equals come out in an order that depends on
/// everything else in the heap. Items of Rust are often equal in rank and yet different, so the order is defined here.)
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

/// An item and its turn among its equals. The greatest is the first to come out.
struct Ranked<T: 'static> {
    /// A comparison that panics drops the item that was being popped.
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
