//! The timers: a heap by (deadline, sequence), with asyncio's rules for cancelled ones.
//!
//! It promises that equal deadlines come out first-come first-served (asyncio's heap compares deadlines only, so equal
//! ones come out in the heap's order: a row of `docs/differences.md`), and that a cancelled timer is dropped when it
//! comes to the head, or in a rebuild when more than 100 are scheduled and more than half of them are cancelled. It does
//! not read the clock.
//!
//! The heap holds keys of 24 bytes; the entries stand in slots beside it, in the order in which they came. So sifting moves
//! little, and a rebuild goes through the entries in the order of memory. (Rejected: entries on the heap itself. The heap's
//! order is that of the deadlines, so a rebuild of a million of them missed the cache three times for each.)

use super::handle::Timed;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Below this many timers the heap is never rebuilt (`_MIN_SCHEDULED_TIMER_HANDLES`).
const MIN_SCHEDULED: usize = 100;

pub(super) struct Timers {
    /// What deadlines are counted from.
    zero: Instant,
    scheduled: RefCell<Scheduled>,
    sequence: Cell<u64>,
    /// How many on the heap are cancelled. Unlike asyncio's counter it does not drift: a cancelled timer that is popped
    /// because it is due is counted off too.
    cancelled: Cell<usize>,
}

#[derive(Default)]
struct Scheduled {
    heap: BinaryHeap<Reverse<Key>>,
    entries: Slab<Rc<dyn Timed>>,
}

/// What timers are ordered by, and where the entry is. No two have the same sequence, so the slot is never compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// Nanoseconds after the zero, or before it. Cut to what an `i64` holds, 292 years.
    when: i64,
    sequence: u64,
    slot: usize,
}

/// A timer that was taken because it is due.
pub(super) struct Due {
    pub(super) entry: Rc<dyn Timed>,
    /// For how many nanoseconds it has been due.
    pub(super) late: u64,
}

impl Timers {
    pub(super) fn new(zero: Instant) -> Self {
        Self { zero, scheduled: RefCell::default(), sequence: Cell::new(0), cancelled: Cell::new(0) }
    }

    /// How a key tells an instant.
    pub(super) fn nanos(&self, when: Instant) -> i64 {
        let nanos = |distance: Duration| i64::try_from(distance.as_nanos()).unwrap_or(i64::MAX);
        match when.checked_duration_since(self.zero) {
            Some(after) => nanos(after),
            None => -nanos(self.zero - when),
        }
    }

    fn instant(&self, nanos: i64) -> Instant {
        let distance = Duration::from_nanos(nanos.unsigned_abs());
        let instant =
            if nanos < 0 { self.zero.checked_sub(distance) } else { self.zero.checked_add(distance) };
        instant.unwrap_or(self.zero)
    }

    pub(super) fn push(&self, when: Instant, entry: Rc<dyn Timed>) {
        entry.on_heap().set(true);
        let sequence = self.sequence.get();
        self.sequence.set(sequence + 1);
        let scheduled = &mut *self.scheduled.borrow_mut();
        let slot = scheduled.entries.insert(entry);
        scheduled.heap.push(Reverse(Key { when: self.nanos(when), sequence, slot }));
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

    /// Drops cancelled timers: all of them if they are more than half of more than 100, else those at the head. With `list`
    /// it gives their handles, by deadline. They are dropped where they are found, under the borrow: by the promise of
    /// [`Timed`] nothing of the user's is left in them. (Rejected: to hand them out first. That is a second way through all
    /// of them.)
    pub(super) fn drop_cancelled(&self, list: bool) -> Vec<u64> {
        let mut scheduled = self.scheduled.borrow_mut();
        let before = scheduled.heap.len();
        let handles = if before > MIN_SCHEDULED && self.cancelled.get() * 2 > before {
            scheduled.rebuild(list)
        } else {
            scheduled.drop_cancelled_head(list)
        };
        self.cancelled.set(self.cancelled.get() - (before - scheduled.heap.len()));
        handles
    }

    /// The first deadline, and whose it is.
    pub(super) fn first(&self) -> Option<(Instant, u64)> {
        let scheduled = self.scheduled.borrow();
        let Reverse(key) = scheduled.heap.peek()?;
        Some((self.instant(key.when), scheduled.entries[key.slot].id()))
    }

    /// Takes the first timer if it is due. A cancelled one comes too, as in asyncio: the turn skips it.
    pub(super) fn pop_due(&self, now: i64) -> Option<Due> {
        let mut scheduled = self.scheduled.borrow_mut();
        let Reverse(Key { when, .. }) = *scheduled.heap.peek()?;
        if when > now {
            return None;
        }
        let entry = scheduled.pop()?;
        if entry.is_cancelled() {
            self.cancelled.set(self.cancelled.get() - 1);
        }
        Some(Due { entry, late: now.abs_diff(when) })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.scheduled.borrow().heap.is_empty()
    }

    /// Whether any timer is left that will run.
    pub(super) fn any_live(&self) -> bool {
        self.scheduled.borrow().heap.len() > self.cancelled.get()
    }

    /// All timers by deadline.
    pub(super) fn list(&self) -> Vec<(Instant, Rc<dyn Timed>)> {
        let scheduled = self.scheduled.borrow();
        let timer = |key: Key| (self.instant(key.when), scheduled.entries[key.slot].clone());
        scheduled.keys().into_iter().map(timer).collect()
    }

    /// Takes all timers off, by deadline: for `close`.
    pub(super) fn take_all(&self) -> Vec<Rc<dyn Timed>> {
        self.cancelled.set(0);
        let taken = std::mem::take(&mut *self.scheduled.borrow_mut());
        let entry = |key: Key| {
            let entry = taken.entries[key.slot].clone();
            entry.on_heap().set(false);
            entry
        };
        taken.keys().into_iter().map(entry).collect()
    }
}

impl Scheduled {
    /// By deadline.
    fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.heap.iter().map(|Reverse(key)| *key).collect();
        keys.sort_unstable();
        keys
    }

    /// Takes the first one off.
    fn pop(&mut self) -> Option<Rc<dyn Timed>> {
        let Reverse(Key { slot, .. }) = self.heap.pop()?;
        let entry = self.entries.remove(slot);
        entry.on_heap().set(false);
        Some(entry)
    }

    /// Drops all cancelled ones, and gives back the room that they took.
    fn rebuild(&mut self, list: bool) -> Vec<u64> {
        let mut handles = Vec::new();
        if list {
            let entries = self.keys().into_iter().map(|key| &self.entries[key.slot]);
            handles.extend(entries.filter(|entry| entry.is_cancelled()).map(|entry| entry.id()));
        }
        self.entries.retain(|_, entry| {
            let stays = !entry.is_cancelled();
            entry.on_heap().set(stays);
            stays
        });
        self.heap.retain(|Reverse(key)| self.entries.contains(key.slot));
        self.heap.shrink_to(2 * self.heap.len());
        self.entries.shrink_to_fit();
        handles
    }

    fn drop_cancelled_head(&mut self, list: bool) -> Vec<u64> {
        let mut handles = Vec::new();
        while let Some(Reverse(key)) = self.heap.peek()
            && self.entries[key.slot].is_cancelled()
            && let Some(entry) = self.pop()
        {
            if list {
                handles.push(entry.id());
            }
        }
        handles
    }
}
