//! `KeyedList`: values in the order of their keys, which can be removed from any place.
//!
//! The waiters of a future, the waits of a step and the jobs of a loop are kept in one. Nearly always there is at most one
//! value, which needs no allocation. The list never drops a value: the caller gets it back. It is changed through a shared
//! reference, and no borrow is held while the caller does anything with a value.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::mem::forget;
use std::thread::LocalKey;

/// The most values that an emptied list keeps room for.
const KEPT_ROOM: usize = 1024;

pub(crate) struct KeyedList<T> {
    /// The key of the first value; 0 if that was removed.
    key: Cell<u64>,
    first: Cell<Option<T>>,
    /// The values that were appended while there were others. Boxed, so that lists without them pay for a pointer only.
    others: OnceCell<Box<RefCell<OtherValues<T>>>>,
}

/// The values after the first. A removed one leaves a gap, and at most half of the places are gaps.
///
/// Alternative: a `BTreeMap`. Problem: it searches for the place of each new key, which is always the last one. A job
/// among a thousand takes 350 instructions more.
struct OtherValues<T> {
    places: VecDeque<(u64, Option<T>)>,
    gaps: usize,
}

impl<T> Default for KeyedList<T> {
    #[inline]
    fn default() -> Self {
        Self { key: Cell::new(0), first: Cell::new(None), others: OnceCell::new() }
    }
}

impl<T> Default for OtherValues<T> {
    fn default() -> Self {
        Self { places: VecDeque::new(), gaps: 0 }
    }
}

impl<T> KeyedList<T> {
    /// Appends a value. Its key is greater than all keys before it.
    #[inline]
    pub(crate) fn push(&self, key: u64, value: T) {
        if self.is_empty() {
            self.key.set(key);
            // Alternative: `set`, which drops what was there. Problem: the processor stalls if it loads the `None` that was
            // stored just before in smaller pieces.
            forget(self.first.replace(Some(value)));
        } else {
            self.push_another(key, value);
        }
    }

    #[cold]
    fn push_another(&self, key: u64, value: T) {
        self.others.get_or_init(Box::default).borrow_mut().places.push_back((key, Some(value)));
    }

    #[inline]
    pub(crate) fn remove(&self, key: u64) -> Option<T> {
        if self.key.get() == key {
            self.key.set(0);
            return self.first.take();
        }
        self.others.get()?.borrow_mut().remove(key)
    }

    /// Calls `change` with the value with this key, which it must leave in the list.
    #[inline]
    pub(crate) fn update<R>(&self, key: u64, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        if self.key.get() == key {
            let mut first = self.first.take()?;
            let changed = change(&mut first);
            self.first.set(Some(first));
            return Some(changed);
        }
        self.others.get()?.borrow_mut().place(key)?.as_mut().map(change)
    }

    /// Returns the key of the first value; 0 if that was removed.
    #[inline]
    pub(crate) fn first_key(&self) -> u64 {
        self.key.get()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.key.get() == 0 && self.others.get().is_none_or(|others| others.borrow().len() == 0)
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.key.get() != 0) + self.others.get().map_or(0, |others| others.borrow().len())
    }

    /// Collects what `look` makes of the keys and values. It must not use the list.
    pub(crate) fn filter_map<R>(&self, mut look: impl FnMut(u64, &T) -> Option<R>) -> Vec<R> {
        let first = self.first.take();
        let mut all: Vec<R> = first.iter().filter_map(|first| look(self.key.get(), first)).collect();
        self.first.set(first);
        if let Some(others) = self.others.get() {
            all.extend(others.borrow().places.iter().filter_map(|(key, value)| look(*key, value.as_ref()?)));
        }
        all
    }

    /// Empties the list, and calls `call` with each value.
    #[inline]
    pub(crate) fn drain(&self, mut call: impl FnMut(T)) {
        self.key.set(0);
        let others = self.others.get().map(|others| others.take());
        if let Some(first) = self.first.take() {
            call(first);
        }
        if let Some(others) = others {
            others.into_values().for_each(call);
        }
    }
}

impl<T> OtherValues<T> {
    fn len(&self) -> usize {
        self.places.len() - self.gaps
    }

    fn into_values(self) -> impl Iterator<Item = T> {
        self.places.into_iter().filter_map(|(_, value)| value)
    }

    fn place(&mut self, key: u64) -> Option<&mut Option<T>> {
        let i = self.places.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(&mut self.places[i].1)
    }

    fn remove(&mut self, key: u64) -> Option<T> {
        let value = self.place(key)?.take()?;
        self.gaps += 1;
        if self.gaps * 2 > self.places.len() {
            self.places.retain(|(_, value)| value.is_some());
            self.places.shrink_to(KEPT_ROOM.max(2 * self.places.len()));
            self.gaps = 0;
        }
        Some(value)
    }
}

/// Returns a number that this thread has not had before. Keys only grow, so an old key never names a later value.
#[inline]
pub(super) fn next_key() -> u64 {
    thread_local! { static LAST: Cell<u64> = const { Cell::new(0) } }
    next(&LAST)
}

/// Increments a counter of this thread; 0 while the thread ends.
#[inline]
pub(super) fn next(last: &'static LocalKey<Cell<u64>>) -> u64 {
    let next = |last: &Cell<u64>| {
        last.set(last.get() + 1);
        last.get()
    };
    last.try_with(next).unwrap_or(0)
}
