//! `KeyedList`: values in the order of their keys, which can be removed from any place.
//!
//! The waiters of a future and the waits of a step are kept in one. Nearly always there is at most one value, which
//! needs no allocation. The list never drops a value: the caller gets it back and drops it with no borrow held.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::thread::LocalKey;

#[derive(Default)]
pub(crate) enum KeyedList<T> {
    #[default]
    Empty,
    One(u64, T),
    /// Alternative: a `Vec`. Problem: removing n values, first one last, would look at n² of them.
    Many(BTreeMap<u64, T>),
}

impl<T> KeyedList<T> {
    /// Appends a value. Its key is greater than all keys before it.
    #[inline]
    pub(super) fn push(&mut self, key: u64, value: T) {
        match self {
            Self::Empty => *self = Self::One(key, value),
            _ => self.push_another(key, value),
        }
    }

    #[cold]
    fn push_another(&mut self, key: u64, value: T) {
        let mut map = match std::mem::take(self) {
            Self::Empty => BTreeMap::new(),
            Self::One(first, before) => BTreeMap::from([(first, before)]),
            Self::Many(map) => map,
        };
        map.insert(key, value);
        *self = Self::Many(map);
    }

    #[inline]
    pub(super) fn remove(&mut self, key: u64) -> Option<T> {
        match self {
            Self::One(only, _) if *only == key => match std::mem::take(self) {
                Self::One(_, value) => Some(value),
                _ => None,
            },
            Self::Many(map) => map.remove(&key),
            Self::One(..) | Self::Empty => None,
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        match self {
            Self::One(only, value) if *only == key => Some(value),
            Self::Many(map) => map.get_mut(&key),
            Self::One(..) | Self::Empty => None,
        }
    }

    /// Collects what `map` returns for the values.
    pub(super) fn filter_map<R>(&self, map: impl Fn(&T) -> Option<R>) -> Vec<R> {
        match self {
            Self::Empty => Vec::new(),
            Self::One(_, value) => map(value).into_iter().collect(),
            Self::Many(values) => values.values().filter_map(map).collect(),
        }
    }

    #[inline]
    pub(super) fn any(&self, is: impl Fn(&T) -> bool) -> bool {
        match self {
            Self::Empty => false,
            Self::One(_, value) => is(value),
            Self::Many(values) => values.values().any(is),
        }
    }

    #[inline]
    pub(super) fn for_each(self, mut call: impl FnMut(T)) {
        match self {
            Self::Empty => {}
            Self::One(_, value) => call(value),
            Self::Many(values) => values.into_values().for_each(call),
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
