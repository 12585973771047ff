//! The timers: a heap by (deadline, sequence), with asyncio's rules for cancelled ones.
//!
//! It promises that equal deadlines come out first-come first-served (asyncio's heap compares deadlines only, so equal
//! ones come out in the heap's order: a row of `docs/differences.md`), and that a cancelled timer is dropped when it
//! comes to the head, or in a rebuild when more than 100 are scheduled and more than half of them are cancelled. It does
//! not read the clock.

use super::handle::Timed;
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::Instant;

/// Below this many timers the heap is never rebuilt (`_MIN_SCHEDULED_TIMER_HANDLES`).
const MIN_SCHEDULED: usize = 100;

#[derive(Default)]
pub(super) struct Timers {
    heap: RefCell<BinaryHeap<Timer>>,
    sequence: Cell<u64>,
    /// How many on the heap are cancelled. Unlike asyncio's counter it does not drift: a cancelled timer that is popped
    /// because it is due is counted off too.
    cancelled: Cell<usize>,
}

pub(super) struct Timer {
    pub(super) when: Instant,
    sequence: u64,
    pub(super) entry: Rc<dyn Timed>,
}

impl Timer {
    /// What timers are ordered by.
    pub(super) fn key(&self) -> (Instant, u64) {
        (self.when, self.sequence)
    }
}

impl Timers {
    pub(super) fn push(&self, when: Instant, entry: Rc<dyn Timed>) {
        entry.on_heap().set(true);
        let sequence = self.sequence.get();
        self.sequence.set(sequence + 1);
        self.heap.borrow_mut().push(Timer { when, sequence, entry });
    }

    /// Told that a timer was cancelled.
    pub(super) fn note_cancelled(&self, entry: &dyn Timed) {
        if entry.on_heap().get() {
            self.cancelled.set(self.cancelled.get() + 1);
        }
    }

    /// Whether any on the heap is cancelled.
    pub(super) fn any_cancelled(&self) -> bool {
        self.cancelled.get() > 0
    }

    /// Drops cancelled timers: all of them if they are more than half of more than 100, in no order; else those at the head.
    pub(super) fn drop_cancelled(&self) -> Vec<Timer> {
        let mut dropped = Vec::new();
        let mut heap = self.heap.borrow_mut();
        if heap.len() > MIN_SCHEDULED && self.cancelled.get() * 2 > heap.len() {
            let (gone, kept): (Vec<_>, Vec<_>) = heap.drain().partition(|timer| timer.entry.is_cancelled());
            *heap = BinaryHeap::from(kept);
            dropped = gone;
        } else {
            while heap.peek().is_some_and(|timer| timer.entry.is_cancelled()) {
                dropped.extend(heap.pop());
            }
        }
        self.cancelled.set(self.cancelled.get() - dropped.len());
        for timer in &dropped {
            timer.entry.on_heap().set(false);
        }
        dropped
    }

    /// The first deadline, and whose it is.
    pub(super) fn first(&self) -> Option<(Instant, u64)> {
        self.heap.borrow().peek().map(|timer| (timer.when, timer.entry.id()))
    }

    /// Takes the first timer if it is due. A cancelled one comes too, as in asyncio: the turn skips it.
    pub(super) fn pop_due(&self, now: Instant) -> Option<Timer> {
        let mut heap = self.heap.borrow_mut();
        if heap.peek()?.when > now {
            return None;
        }
        let timer = heap.pop()?;
        timer.entry.on_heap().set(false);
        if timer.entry.is_cancelled() {
            self.cancelled.set(self.cancelled.get() - 1);
        }
        Some(timer)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heap.borrow().is_empty()
    }

    /// Whether any timer is left that will run.
    pub(super) fn any_live(&self) -> bool {
        self.heap.borrow().len() > self.cancelled.get()
    }

    /// All timers by deadline.
    pub(super) fn list(&self) -> Vec<(Instant, Rc<dyn Timed>)> {
        let heap = self.heap.borrow();
        let mut timers: Vec<&Timer> = heap.iter().collect();
        timers.sort_by_key(|timer| timer.key());
        timers.into_iter().map(|timer| (timer.when, timer.entry.clone())).collect()
    }

    /// Empties the heap, for `close`.
    pub(super) fn take_all(&self) -> BinaryHeap<Timer> {
        self.cancelled.set(0);
        let taken = std::mem::take(&mut *self.heap.borrow_mut());
        for timer in &taken {
            timer.entry.on_heap().set(false);
        }
        taken
    }
}

// Reversed: `BinaryHeap` keeps the greatest on top, and the earliest deadline must be there.
impl Ord for Timer {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Timer {}
