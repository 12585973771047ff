//! `KeyedList`: values in the order of their keys, which can be removed from any place.
//!
//! The waiters of a future and the waits of a step are kept in one. Nearly always there is at most one value, which
//! needs no allocation. The list never drops a value: the caller gets it back and drops it with no borrow held.

use std::cell::Cell;
use std::thread::LocalKey;

#[derive(Default)]
pub(crate) enum KeyedList<T> {
    #[default]
    Empty,
    One(u64, T),
    /// A removed value leaves a gap, and the gaps go when they are more than half.
    ///
    /// Alternative: a `BTreeMap`. Problem: two values, which each job has, cost 500 instructions more (measured).
    /// Alternative: no gaps. Problem: removing n values, first one first, would move n² of them.
    Many {
        values: Vec<(u64, Option<T>)>,
        gaps: usize,
    },
}

impl<T> KeyedList<T> {
    /// Appends a value. Its key is greater than all keys before it.
    #[inline]
    pub(crate) fn push(&mut self, key: u64, value: T) {
        match self {
            Self::Empty => *self = Self::One(key, value),
            _ => self.push_another(key, value),
        }
    }

    #[cold]
    fn push_another(&mut self, key: u64, value: T) {
        if let Self::Many { values, .. } = self {
            return values.push((key, Some(value)));
        }
        let mut values = Vec::with_capacity(2);
        if let Self::One(first, before) = std::mem::take(self) {
            values.push((first, Some(before)));
        }
        values.push((key, Some(value)));
        *self = Self::Many { values, gaps: 0 };
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: u64) -> Option<T> {
        match self {
            Self::One(only, _) if *only == key => match std::mem::take(self) {
                Self::One(_, value) => Some(value),
                _ => None,
            },
            Self::Many { values, gaps } => {
                let value = slot(values, key)?.take()?;
                *gaps += 1;
                if *gaps > values.len() / 2 {
                    values.retain(|(_, value)| value.is_some());
                    *gaps = 0;
                }
                Some(value)
            }
            Self::One(..) | Self::Empty => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        match self {
            Self::One(only, value) if *only == key => Some(value),
            Self::Many { values, .. } => slot(values, key)?.as_mut(),
            Self::One(..) | Self::Empty => None,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(..) => 1,
            Self::Many { values, gaps } => values.len() - gaps,
        }
    }

    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let (one, many) = match self {
            Self::Empty => (None, &[][..]),
            Self::One(key, value) => (Some((*key, value)), &[][..]),
            Self::Many { values, .. } => (None, &values[..]),
        };
        one.into_iter().chain(many.iter().filter_map(|(key, value)| Some((*key, value.as_ref()?))))
    }

    #[inline]
    pub(super) fn for_each(self, mut call: impl FnMut(T)) {
        match self {
            Self::Empty => {}
            Self::One(_, value) => call(value),
            Self::Many { values, .. } => values.into_iter().filter_map(|(_, value)| value).for_each(call),
        }
    }
}

/// Returns the place of the value with this key.
fn slot<T>(values: &mut [(u64, T)], key: u64) -> Option<&mut T> {
    let at = values.binary_search_by_key(&key, |(key, _)| *key).ok()?;
    Some(&mut values[at].1)
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
