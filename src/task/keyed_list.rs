//! `KeyedList`: values in the order of their keys, which can be removed from any place.
//!
//! The waiters of a future and the waits of a step are kept in one. Nearly always there is at most one value, which
//! needs no allocation. The list never drops a value: the caller gets it back. It is changed through a shared reference,
//! and no borrow is held while the caller does anything with a value.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::thread::LocalKey;

pub(crate) struct KeyedList<T> {
    /// The key of the first value; 0 if that was removed.
    key: Cell<u64>,
    first: Cell<Option<T>>,
    /// The values that were appended while there were others. Boxed, so that lists without them pay for a pointer only.
    others: OnceCell<Box<RefCell<BTreeMap<u64, T>>>>,
}

impl<T> Default for KeyedList<T> {
    #[inline]
    fn default() -> Self {
        Self { key: Cell::new(0), first: Cell::new(None), others: OnceCell::new() }
    }
}

impl<T> KeyedList<T> {
    /// Appends a value. Its key is greater than all keys before it.
    #[inline]
    pub(crate) fn push(&self, key: u64, value: T) {
        if self.is_empty() {
            self.key.set(key);
            self.first.set(Some(value));
        } else {
            self.push_another(key, value);
        }
    }

    #[cold]
    fn push_another(&self, key: u64, value: T) {
        self.others.get_or_init(Box::default).borrow_mut().insert(key, value);
    }

    #[inline]
    pub(crate) fn remove(&self, key: u64) -> Option<T> {
        if self.key.get() == key {
            self.key.set(0);
            return self.first.take();
        }
        self.others.get()?.borrow_mut().remove(&key)
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
        self.others.get()?.borrow_mut().get_mut(&key).map(change)
    }

    /// Returns the key of the first value; 0 if that was removed.
    #[inline]
    pub(crate) fn first_key(&self) -> u64 {
        self.key.get()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.key.get() == 0 && self.others.get().is_none_or(|others| others.borrow().is_empty())
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
            all.extend(others.borrow().iter().filter_map(|(key, value)| look(*key, value)));
        }
        all
    }

    /// Empties the list, and calls `call` with each value.
    #[inline]
    pub(crate) fn drain(&self, mut call: impl FnMut(T)) {
        self.key.set(0);
        let mut others = self.others.get().map(|others| others.take());
        let mut pop = || others.as_mut()?.pop_first().map(|(_, value)| value);
        let mut next = self.first.take().or_else(&mut pop);
        while let Some(value) = next {
            call(value);
            next = pop();
        }
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
