//! The timers: a heap by (deadline, sequence), with asyncio's rules for cancelled ones.
//!
//! Timers with equal deadlines run in the order in which they were set. (asyncio's heap compares
//! deadlines only: see `docs/differences.md`.) A cancelled timer is dropped when it is the first,
//! or in a rebuild if more than half of over 100 timers are cancelled. Nothing here reads the clock.
//!
//! The heap holds keys of 16 bytes. The callbacks are in slots beside it, in the order in which they
//! came, so sifting moves little, and a rebuild visits the callbacks in the order of memory.
//! Alternative: callbacks on the heap. Problem: a rebuild of a million missed the cache three times
//! for each. A pop from a large heap walks to a leaf, mostly outside of the cache. So if many timers
//! are due in one turn, most of them are taken out in one pass and sorted, for the same order.

use super::callback::Callback;
use crate::trace::TimerEntry;
use slab::Slab;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The heap is never rebuilt below this many timers (`_MIN_SCHEDULED_TIMER_HANDLES`).
const MIN_SCHEDULED: usize = 100;

/// How many timers are popped in one turn before the other due ones are sorted. One more is popped
/// for every `REMAIN_FOR_EACH` that remain, so that the pass over all of them pays even if few are
/// due.
const POPPED_FIRST: usize = 16;
const REMAIN_FOR_EACH: usize = 64;

/// How far the clock may be ahead of the zero before the zero moves.
const FOLLOWS_AFTER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

pub(super) struct Timers {
    /// The zero of the deadlines. It [follows](Self::follow) the clock.
    zero: Instant,
    heap: BinaryHeap<Reverse<Key>>,
    callbacks: Slab<Rc<dyn Callback>>,
    /// The sequence of the next key.
    sequence: u32,
    /// How many on the heap are cancelled. asyncio's counter drifts; here a cancelled timer that is
    /// popped because it is due is subtracted, too.
    pub(super) cancelled: usize,
}

/// The order of the timers, and the slot of the callback. No two keys have the same sequence, so the
/// slot is never compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// Nanoseconds after or before the zero, within the 292 years of an `i64`.
    when: i64,
    /// The order among equal deadlines. It counts all timers that were set. When the numbers run
    /// out, the timers that are left are renumbered.
    sequence: u32,
    slot: u32,
}

impl Timers {
    pub(super) fn new(zero: Instant) -> Self {
        Self { zero, heap: BinaryHeap::new(), callbacks: Slab::new(), sequence: 0, cancelled: 0 }
    }

    /// Converts an instant for a key.
    pub(super) fn nanos(&self, when: Instant) -> i64 {
        let nanos = |distance: Duration| i64::try_from(distance.as_nanos()).unwrap_or(i64::MAX);
        match when.checked_duration_since(self.zero) {
            Some(after) => nanos(after),
            None => -nanos(self.zero - when),
        }
    }

    /// Moves the zero to `now` if that is thirty years ahead, as it may be in virtual time: after
    /// 292 years all deadlines would be equal. Alternative: instants in the keys. Problem: setting
    /// a timer took 14 % more instructions.
    pub(super) fn follow(&mut self, now: Instant) {
        if now.saturating_duration_since(self.zero) < FOLLOWS_AFTER {
            return;
        }
        let by = self.nanos(now);
        self.zero = now;
        let keys = std::mem::take(&mut self.heap).into_iter();
        self.heap =
            keys.map(|Reverse(key)| Reverse(Key { when: key.when.saturating_sub(by), ..key })).collect();
    }

    fn instant(&self, nanos: i64) -> Instant {
        let distance = Duration::from_nanos(nanos.unsigned_abs());
        let instant =
            if nanos < 0 { self.zero.checked_sub(distance) } else { self.zero.checked_add(distance) };
        instant.unwrap_or(self.zero)
    }

    pub(super) fn push(&mut self, when: Instant, callback: Rc<dyn Callback>) {
        callback.header().on_heap.set(true);
        let when = self.nanos(when);
        if self.sequence == u32::MAX {
            self.number_anew();
        }
        let sequence = self.sequence;
        self.sequence += 1;
        let slot =
            u32::try_from(self.callbacks.insert(callback)).expect("fewer timers than fill 400 gigabytes");
        self.heap.push(Reverse(Key { when, sequence, slot }));
    }

    /// Renumbers the timers that are left, in their order, because the numbers have run out.
    #[cold]
    fn number_anew(&mut self) {
        let keys = self.keys();
        self.sequence = keys.len() as u32;
        self.heap = (0..).zip(keys).map(|(sequence, key)| Reverse(Key { sequence, ..key })).collect();
    }

    fn callback(&self, key: &Key) -> &Rc<dyn Callback> {
        &self.callbacks[key.slot as usize]
    }

    /// Lists the keys by deadline.
    fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.heap.iter().map(|Reverse(key)| *key).collect();
        keys.sort_unstable();
        keys
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Tells whether any timer is left that will run.
    pub(super) fn any_live(&self) -> bool {
        self.heap.len() > self.cancelled
    }

    /// Returns the first deadline and its handle.
    pub(super) fn first(&self) -> Option<(Instant, u64)> {
        let Reverse(key) = self.heap.peek()?;
        Some((self.instant(key.when), self.callback(key).handle()))
    }

    /// Lists all timers by deadline.
    pub(super) fn list(&self) -> Vec<TimerEntry> {
        let entry = |key: Key| {
            let timer = self.callback(&key);
            TimerEntry {
                h: timer.handle(),
                when: self.instant(key.when),
                label: timer.label(),
                cancelled: timer.is_cancelled(),
                place: Some(timer.place()),
            }
        };
        self.keys().into_iter().map(entry).collect()
    }

    /// Removes all timers and returns them by deadline, for `close`.
    pub(super) fn take_all(&mut self) -> Vec<Rc<dyn Callback>> {
        let all = self.keys().into_iter().map(|key| self.take(key)).collect();
        (self.heap, self.callbacks) = (BinaryHeap::new(), Slab::new());
        all
    }
}

/// Timers that are due.
impl Timers {
    /// Takes the first timer if it is due, with the nanoseconds since then. A cancelled one comes too, as in asyncio: the
    /// turn skips it.
    pub(super) fn pop_due(&mut self, now: i64) -> Option<(Rc<dyn Callback>, u64)> {
        let Reverse(first) = self.heap.peek()?;
        if first.when > now {
            return None;
        }
        let Reverse(key) = self.heap.pop()?;
        Some((self.take(key), now.abs_diff(key.when)))
    }

    /// Takes all timers that are due, the first one first, as [`pop_due`](Self::pop_due) does one
    /// by one. `queue` must not call user code.
    pub(super) fn take_due(&mut self, now: i64, mut queue: impl FnMut(Rc<dyn Callback>)) {
        let mut popped = 0;
        while let Some((callback, _)) = self.pop_due(now) {
            queue(callback);
            popped += 1;
            if popped >= POPPED_FIRST + self.heap.len() / REMAIN_FOR_EACH {
                for key in self.sort_out(now) {
                    queue(self.take(key));
                }
            }
        }
    }

    /// Removes the keys of all timers that are due and returns them in order. Their callbacks must
    /// be taken next.
    #[cold]
    fn sort_out(&mut self, now: i64) -> Vec<Key> {
        let mut due = Vec::new();
        self.heap.retain(|Reverse(key)| {
            let stays = key.when > now;
            if !stays {
                due.push(*key);
            }
            stays
        });
        due.sort_unstable();
        due
    }

    /// Takes the callback of a key that was removed.
    #[inline]
    fn take(&mut self, key: Key) -> Rc<dyn Callback> {
        let callback = self.callbacks.remove(key.slot as usize);
        callback.header().on_heap.set(false);
        if callback.is_cancelled() {
            self.cancelled -= 1;
        }
        callback
    }
}

/// Cancelled timers.
impl Timers {
    /// Drops cancelled timers: all of them if they are more than half of more than 100, else those
    /// at the head. With `list` it returns their handles, by deadline. They are dropped under the
    /// borrow: a cancelled callback owns nothing of the user's. Alternative: return them first.
    /// Problem: a second pass over all of them.
    pub(super) fn drop_cancelled(&mut self, list: bool) -> Vec<u64> {
        if self.heap.len() > MIN_SCHEDULED && self.cancelled * 2 > self.heap.len() {
            return self.rebuild(list);
        }
        let mut handles = Vec::new();
        while self.cancelled > 0
            && let Some(Reverse(first)) = self.heap.peek()
            && self.callback(first).is_cancelled()
            && let Some(Reverse(key)) = self.heap.pop()
        {
            let callback = self.take(key);
            if list {
                handles.push(callback.handle());
            }
        }
        handles
    }

    /// Drops all cancelled timers and releases their room.
    fn rebuild(&mut self, list: bool) -> Vec<u64> {
        let mut handles = Vec::new();
        if list {
            let keys = self.keys();
            let callbacks = keys.iter().map(|key| self.callback(key));
            handles.extend(callbacks.filter(|timer| timer.is_cancelled()).map(|timer| timer.handle()));
        }
        self.callbacks.retain(|_, callback| !callback.is_cancelled());
        self.heap.retain(|Reverse(key)| self.callbacks.contains(key.slot as usize));
        self.heap.shrink_to(2 * self.heap.len());
        self.callbacks.shrink_to_fit();
        self.cancelled = 0;
        handles
    }
}

#[cfg(test)]
mod tests {
    use super::super::callback::{Header, Once};
    use super::*;
    use crate::trace::EntryKind;
    use std::panic::Location;

    const SECOND: i64 = 1_000_000_000;

    /// Sets timer number `id`, with its deadline in seconds.
    fn set(timers: &mut Timers, id: u64, seconds: u64) -> Rc<dyn Callback> {
        let header = Header::new(id, EntryKind::Callback, Location::caller(), "timer");
        let timer: Rc<dyn Callback> = Rc::new(Once::new(header, || ()));
        timers.push(timers.zero + Duration::from_secs(seconds), timer.clone());
        timer
    }

    /// 3,000 timers with 40 deadlines, in no order; every third one is cancelled.
    fn many() -> Timers {
        let mut timers = Timers::new(Instant::now());
        for id in 0..3000 {
            let timer = set(&mut timers, id, id * 7919 % 40);
            if id % 3 == 0 {
                timer.cancel();
                timers.cancelled += 1;
            }
        }
        timers
    }

    fn ids(entries: Vec<Rc<dyn Callback>>) -> Vec<u64> {
        entries.into_iter().map(|entry| entry.handle()).collect()
    }

    #[test]
    fn all_that_are_due_come_in_the_order_in_which_they_come_one_by_one() {
        for now in [0, 5 * SECOND, 30 * SECOND, 100 * SECOND] {
            let (mut singly, mut together) = (many(), many());
            let popped: Vec<_> = std::iter::from_fn(|| singly.pop_due(now)).map(|(timer, _)| timer).collect();
            let mut taken = Vec::new();
            together.take_due(now, |entry| taken.push(entry));
            assert!(popped.iter().chain(&taken).all(|entry| !entry.header().on_heap.get()));
            assert_eq!(ids(popped), ids(taken));
            assert_eq!(singly.cancelled, together.cancelled);
            assert_eq!(ids(singly.take_all()), ids(together.take_all()));
        }
    }

    #[test]
    fn equal_deadlines_are_first_come_first_served_when_the_numbers_run_out() {
        let mut timers = Timers::new(Instant::now());
        timers.sequence = u32::MAX - 3;
        for id in 0..10 {
            set(&mut timers, id, id % 2);
        }
        assert_eq!(timers.sequence, 10);
        assert_eq!(ids(timers.take_all()), [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]);
    }
}
