//! What can be gathered together: a list of one type, or a tuple of several.

use crate::error::Result;
use crate::event_loop::EventLoop;
use crate::panics::{Apart, Guarded};
use crate::task::ensure::EnsureFuture;
use crate::task::future_core::{AnyFuture, FutureOf};
use crate::trace::Place;
use std::rc::Rc;

/// The values of a gathering: a `Vec<T>`, or a tuple.
///
/// It cannot be implemented elsewhere, because other crates cannot name what its methods return.
#[allow(private_interfaces)]
pub trait Values: Sized + 'static {
    /// What they are with `return_exceptions`: each a result.
    type Results: 'static;
    /// The children, from which the values are read.
    #[doc(hidden)]
    type Children: 'static;
    #[doc(hidden)]
    fn futures(children: &Self::Children) -> Vec<Rc<dyn AnyFuture>>;
    #[doc(hidden)]
    fn values(children: &Self::Children) -> Result<Self>;
    #[doc(hidden)]
    fn results(children: &Self::Children) -> Self::Results;
}

/// A clone of a value may panic, or a child may have failed. The values that are there by then are
/// dropped one by one.
#[allow(private_interfaces)]
impl<T: 'static> Values for Vec<T> {
    type Results = Vec<Result<T>>;
    type Children = Vec<FutureOf<T>>;

    fn futures(children: &Self::Children) -> Vec<Rc<dyn AnyFuture>> {
        children.iter().map(|child| child.future.clone()).collect()
    }

    fn values(children: &Self::Children) -> Result<Self> {
        let mut values = Apart::from(Vec::with_capacity(children.len()));
        for child in children {
            values.push(child.outcome()?);
        }
        Ok(values.take())
    }

    fn results(children: &Self::Children) -> Self::Results {
        let mut results = Apart::from(Vec::with_capacity(children.len()));
        results.extend(children.iter().map(FutureOf::outcome));
        results.take()
    }
}

/// Runs bodies, tasks and futures of different types at once; the results are a tuple. See
/// [`gather`](fn@crate::gather).
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

/// A tuple of what can be gathered.
#[doc(hidden)]
pub trait Tuple {
    type Values: Values;
    /// Starts the bodies, in order, and returns the children.
    fn ensure(self, lp: &EventLoop, place: Place) -> Result<<Self::Values as Values>::Children>;
}

macro_rules! tuple {
    ($($name:ident $index:tt),+) => {
        #[allow(private_interfaces)]
        impl<$($name: 'static),+> Values for ($($name,)+) {
            type Results = ($(Result<$name>,)+);
            type Children = ($(FutureOf<$name>,)+);

            fn futures(children: &Self::Children) -> Vec<Rc<dyn AnyFuture>> {
                vec![$(children.$index.future.clone()),+]
            }

            fn values(children: &Self::Children) -> Result<Self> {
                let values = ($(Guarded::new(children.$index.outcome()?),)+);
                Ok(($(values.$index.into_inner(),)+))
            }

            fn results(children: &Self::Children) -> Self::Results {
                let results = ($(Guarded::new(children.$index.outcome()),)+);
                ($(results.$index.into_inner(),)+)
            }
        }

        impl<$($name: EnsureFuture<Value: Clone>),+> Tuple for ($($name,)+) {
            type Values = ($($name::Value,)+);

            fn ensure(self, lp: &EventLoop, place: Place) -> Result<<Self::Values as Values>::Children> {
                Ok(($(self.$index.ensure(lp, place)?.of_loop(lp)?.share(),)+))
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
