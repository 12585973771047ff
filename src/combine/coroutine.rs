//! A coroutine driven by hand: `send`, `throw` and `close` without a loop.
//!
//! It guarantees what a Python coroutine object does. `send` runs to the next suspension, `throw` raises an error at the
//! await where it is suspended, `close` asks it to end. It is for looking at suspension itself: tasks run real programs.

use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::panics::drop_quietly;
use crate::task::cell::TaskCell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// A body that is driven by hand (a Python coroutine object).
///
/// ```
/// use looplab::{Coroutine, Error, Step, yield_now};
/// let mut coroutine = Coroutine::new(async {
///     loop {
///         if let Err(error) = yield_now().await {
///             println!("cancelled: {}", error.is_cancelled());
///             return Ok(123);
///         }
///     }
/// });
/// assert!(matches!(coroutine.send(), Step::Suspended));
/// assert!(matches!(coroutine.throw(Error::cancelled()), Step::Returned(Ok(123))));
/// ```
///
/// One that was never started is not entered at all, by a `throw` neither; and one that is dropped unstarted is no error
/// in Rust, where Python warns `coroutine '…' was never awaited`: the compiler warns instead (`unused_must_use`).
#[doc(alias("types.CoroutineType"))]
pub struct Coroutine<T: 'static> {
    cell: Rc<TaskCell>,
    /// Thrown, but no await took it: thrown again by the next `send`.
    untaken: Option<Error>,
    value: PhantomData<fn() -> T>,
}

/// Where a coroutine came to.
#[derive(Debug)]
pub enum Step<T> {
    /// It is suspended at an await.
    Suspended,
    /// It is finished (`StopIteration` with a value, or the error that came out).
    Returned(Result<T>),
}

impl<T: 'static> Coroutine<T> {
    /// Takes a body, and does not start it.
    pub fn new<F>(body: F) -> Self
    where
        F: Future<Output: Outcome<Value = T>> + 'static,
    {
        let cell = TaskCell::new::<T>(None, Location::caller(), Some("coroutine".into()));
        cell.body.set(Some(Box::pin(body)));
        Self { cell, untaken: None, value: PhantomData }
    }

    /// Runs it to its next suspension, or to its end (`coro.send(None)`). After the end it answers with the
    /// [`Error::Runtime`] `cannot reuse already awaited coroutine`.
    #[doc(alias("coroutine.send"))]
    pub fn send(&mut self) -> Step<T> {
        let thrown = self.untaken.take();
        self.resume(thrown)
    }

    /// Raises `error` at the await where it is suspended, and runs on from there (`coro.throw`). One that never started
    /// ends with the error and is not entered. An await of a future that is not looplab's cannot raise; the error then
    /// waits for the next one that can.
    #[doc(alias("coroutine.throw"))]
    pub fn throw(&mut self, error: Error) -> Step<T> {
        if !self.cell.started.replace(true) && self.cell.has_body() {
            drop_quietly(self.cell.body.take());
            return Step::Returned(Err(error));
        }
        self.resume(Some(error))
    }

    /// Ends it (`coro.close`): raises [`Error::CoroutineExit`] where it is suspended, so that it can clean up; one that
    /// never started is only dropped. Closing a finished one does nothing.
    ///
    /// # Errors
    /// [`Error::Runtime`] if it awaits again instead of ending; it is dropped then. Any other error that it ends with, except
    /// for `CoroutineExit`, which means that it obeyed.
    #[doc(alias("coroutine.close"))]
    pub fn close(&mut self) -> Result<()> {
        if !self.cell.started.get() || !self.cell.has_body() {
            drop_quietly(self.cell.body.take());
            return Ok(());
        }
        match self.resume(Some(Error::CoroutineExit)) {
            Step::Suspended => {
                drop_quietly(self.cell.body.take());
                Err(Error::Runtime("coroutine ignored GeneratorExit".into()))
            }
            Step::Returned(Ok(_) | Err(Error::CoroutineExit)) => Ok(()),
            Step::Returned(Err(error)) => Err(error),
        }
    }

    fn resume(&mut self, thrown: Option<Error>) -> Step<T> {
        let Some(body) = self.cell.body.take() else {
            return Step::Returned(Err(Error::Runtime("cannot reuse already awaited coroutine".into())));
        };
        let thrown = thrown.map(Box::new).or_else(|| self.cell.context.refused.take());
        self.cell.started.set(true);
        let polled = self.cell.resume(body, thrown, Waker::noop(), |_| ());
        self.untaken = self.cell.context.end().map(|error| *error);
        match polled {
            Poll::Pending => Step::Suspended,
            Poll::Ready(outcome) => {
                Step::Returned(outcome.map(|value| *value.downcast().expect("the body's value is a `T`")))
            }
        }
    }
}

impl<T> Drop for Coroutine<T> {
    fn drop(&mut self) {
        // The body may hold registrations that hold the cell: dropping it breaks the circle.
        drop_quietly(self.cell.body.take());
    }
}

impl<T: 'static> fmt::Debug for Coroutine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.cell.has_body(), self.cell.started.get()) {
            (false, _) => "finished",
            (true, true) => "suspended",
            (true, false) => "not started",
        };
        write!(f, "<Coroutine {state}>")
    }
}
