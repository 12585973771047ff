//! `Coroutine`: a body driven by hand, with `send`, `throw` and `close`, without a loop.
//!
//! It guarantees what a Python coroutine object does. `send` runs to the next suspension, `throw`
//! raises an error at the await where it is suspended, `close` asks it to end. It is for the study
//! of suspension; programs use tasks.

use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::panics::drop_quietly;
use crate::task::cell::TaskCell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;
use std::task::Poll;

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
/// A body that was never started is not entered by `throw` either. Dropping an unstarted one is no
/// error. (Python warns `coroutine '…' was never awaited`. In Rust the compiler warns, with
/// `unused_must_use`.)
#[doc(alias("types.CoroutineType"))]
pub struct Coroutine<T: 'static> {
    cell: Rc<TaskCell>,
    /// Was thrown, but no await took it. The next `send` throws it again.
    untaken: Option<Error>,
    value: PhantomData<fn() -> T>,
}

/// What a coroutine has done.
#[derive(Debug)]
pub enum Step<T> {
    /// It is suspended at an await.
    Suspended,
    /// It is finished, with a value (`StopIteration` in Python) or with an error.
    Returned(Result<T>),
}

impl<T: 'static> Coroutine<T> {
    /// Makes a coroutine of a body, and does not start it.
    pub fn new<F: Future<Output: Outcome<Value = T>> + 'static>(body: F) -> Self {
        let name = Some("coroutine".into());
        let cell = TaskCell::new::<T>(None, Location::caller(), name, Some(Box::pin(body)));
        Self { cell, untaken: None, value: PhantomData }
    }

    /// Runs it to its next suspension, or to its end (`coro.send(None)`). After the end, this
    /// returns the [`Error::Runtime`] `cannot reuse already awaited coroutine`.
    #[doc(alias("coroutine.send"))]
    pub fn send(&mut self) -> Step<T> {
        let thrown = self.untaken.take();
        self.resume(thrown)
    }

    /// Raises `error` at the await where it is suspended, and runs on from there (`coro.throw`). If
    /// it was never started, it is not entered, and ends with the error. The await of a foreign
    /// future cannot raise: the error then waits for the next await that can.
    #[doc(alias("coroutine.throw"))]
    pub fn throw(&mut self, error: Error) -> Step<T> {
        if !self.cell.started.replace(true) && self.cell.has_body() {
            drop_quietly(self.cell.body.take());
            return Step::Returned(Err(error));
        }
        self.resume(Some(error))
    }

    /// Ends it (`coro.close`): raises [`Error::CoroutineExit`] where it is suspended, so that it
    /// can clean up. If it was never started, it is only dropped. If it is finished, this does
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Runtime`] if it awaits again instead of ending; it is dropped then. Any other error
    /// with which it ends, except `CoroutineExit`, which is the expected one.
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
        let polled = self.cell.drive(body, thrown);
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
