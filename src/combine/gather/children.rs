//! What can be gathered together: a list of one type, or a tuple of several.

use super::Gather;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, running};
use crate::panics::{Apart, Guarded};
use crate::task::ensure::EnsureFuture;
use crate::task::future_core::{AnyFuture, FutureOf};
use crate::trace::Place;
use std::panic::Location;
use std::rc::Rc;

/// Children with values of the type `V`: a list of one type, or a tuple.
pub(super) trait Children<V: Values> {
    fn futures(&self) -> Vec<Rc<dyn AnyFuture>>;
    fn values(&self) -> Result<V>;
    fn results(&self) -> V::Results;
}

impl<T: 'static> Children<Vec<T>> for Vec<FutureOf<T>> {
    fn futures(&self) -> Vec<Rc<dyn AnyFuture>> {
        self.iter().map(|child| child.future.clone()).collect()
    }

    fn values(&self) -> Result<Vec<T>> {
        // A clone that panics, or an error, leaves those that are there already: they are dropped one by one.
        let mut values = Apart::from(Vec::with_capacity(self.len()));
        for child in self {
            values.push(child.outcome()?);
        }
        Ok(values.take())
    }

    fn results(&self) -> Vec<Result<T>> {
        let mut results = Apart::from(Vec::with_capacity(self.len()));
        for child in self {
            results.push(child.outcome());
        }
        results.take()
    }
}

/// The values of a gathering: a `Vec<T>`, or a tuple. It cannot be implemented elsewhere.
pub trait Values: 'static {
    /// What they are with `return_exceptions`: each a result.
    type Results: 'static;
}

impl<T: 'static> Values for Vec<T> {
    type Results = Vec<Result<T>>;
}

/// Runs bodies, tasks and futures of different types at once; the results are a tuple. See [`gather`](fn@crate::gather).
///
/// ```
/// use looplab::{EventLoop, gather};
/// let lp = EventLoop::new()?;
/// let (n, s) = lp.run_until_complete(async { gather!(async { Ok(1) }, async { Ok("one") }).await })?;
/// assert_eq!((n, s), (1, "one"));
/// # Ok::<(), looplab::Error>(())
/// ```
#[macro_export]
macro_rules! gather {
    ($($child:expr),+ $(,)?) => { $crate::gather_tuple(($($child,)+)) };
}

/// What [`gather!`](crate::gather!) calls.
#[doc(hidden)]
#[track_caller]
pub fn gather_tuple<C: Tuple>(children: C) -> Gather<C::Values> {
    let place = Location::caller();
    match running() {
        Some(lp) => children.start(&lp, place),
        None => Gather::failed(Error::NoRunningLoop),
    }
}

/// A tuple of what can be gathered.
#[doc(hidden)]
pub trait Tuple {
    type Values: Values;
    fn start(self, lp: &EventLoop, place: Place) -> Gather<Self::Values>;
}

macro_rules! tuple {
    ($($name:ident $index:tt),+) => {
        impl<$($name: 'static),+> Values for ($($name,)+) {
            type Results = ($(Result<$name>,)+);
        }

        impl<$($name: 'static),+> Children<($($name,)+)> for ($(FutureOf<$name>,)+) {
            fn futures(&self) -> Vec<Rc<dyn AnyFuture>> {
                vec![$(self.$index.future.clone()),+]
            }

            fn values(&self) -> Result<($($name,)+)> {
                let values = ($(Guarded::new(self.$index.outcome()?),)+);
                Ok(($(values.$index.into_inner(),)+))
            }

            fn results(&self) -> ($(Result<$name>,)+) {
                let results = ($(Guarded::new(self.$index.outcome()),)+);
                ($(results.$index.into_inner(),)+)
            }
        }

        impl<$($name: EnsureFuture<Value: Clone>),+> Tuple for ($($name,)+) {
            type Values = ($($name::Value,)+);

            fn start(self, lp: &EventLoop, place: Place) -> Gather<Self::Values> {
                let ensured = (|| Ok(($(self.$index.ensure(lp, place)?.of_loop(lp)?.share(),)+)))();
                match ensured {
                    Ok(sources) => Gather::start(lp, place, Box::new(sources)),
                    Err(error) => Gather::failed(error),
                }
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
