//! A coroutine driven by hand: `send`, `throw` and `close` without a loop.
//!
//! It promises what a Python coroutine object does, one resumption a call: `send` runs to the next suspension, `throw`
//! raises an error at the await where it is suspended, `close` asks it to end. It is for looking at suspension itself; a
//! task is what runs one for real.

use crate::error::{Error, Result};
use crate::event_loop::EventLoop;
use crate::outcome::Outcome;
use crate::panics::{catch, drop_quietly};
use crate::task::TaskRef;
use crate::task::cell::Body;
use crate::task::context::{EnterGuard, StepContext, Stepping};
use crate::task::future_core::{FutureCore, Woken};
use crate::trace::On;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

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
pub struct Coroutine<T: 'static> {
    cell: Rc<CoroutineCell<T>>,
}

/// Where a coroutine came to.
#[derive(Debug)]
pub enum Step<T> {
    /// It is suspended at an await.
    Suspended,
    /// It is finished (`StopIteration` with a value, or the error that came out).
    Returned(Result<T>),
}

struct CoroutineCell<T: 'static> {
    context: StepContext,
    body: RefCell<Option<Pin<Box<dyn Body<T>>>>>,
    started: Cell<bool>,
    /// Thrown, but not taken by any await yet.
    untaken: RefCell<Option<Error>>,
}

impl<T: 'static> Coroutine<T> {
    /// Takes a body, and does not start it.
    pub fn new<F>(body: F) -> Self
    where
        F: Future<Output: Outcome<Value = T>> + 'static,
    {
        Self {
            cell: Rc::new(CoroutineCell {
                context: StepContext::default(),
                body: RefCell::new(Some(Box::pin(body))),
                started: Cell::new(false),
                untaken: RefCell::new(None),
            }),
        }
    }

    /// Runs it to its next suspension, or to its end (`coro.send(None)`). After the end it answers with the
    /// [`Error::Runtime`] `cannot reuse already awaited coroutine`.
    pub fn send(&mut self) -> Step<T> {
        let thrown = self.cell.untaken.borrow_mut().take();
        self.resume(thrown)
    }

    /// Raises `error` at the await where it is suspended, and runs on from there (`coro.throw`). One that never started
    /// ends with the error and is not entered. An await of a future that is not looplab's cannot raise; the error then
    /// waits for the next one that can.
    pub fn throw(&mut self, error: Error) -> Step<T> {
        if !self.cell.started.replace(true) {
            let body = self.cell.body.borrow_mut().take();
            if body.is_some() {
                drop_quietly(body);
                return Step::Returned(Err(error));
            }
        }
        self.resume(Some(error))
    }

    /// Ends it (`coro.close`): raises [`Error::CoroutineExit`] where it is suspended, so that it can clean up; one that
    /// never started is only dropped. Closing a finished one does nothing.
    ///
    /// # Errors
    /// [`Error::Runtime`] if it awaits again instead of ending; it is dropped then. What else it ends with, except for
    /// `CoroutineExit` and a cancellation... those mean that it obeyed.
    pub fn close(&mut self) -> Result<()> {
        if !self.cell.started.get() || self.cell.body.borrow().is_none() {
            let body = self.cell.body.borrow_mut().take();
            drop_quietly(body);
            return Ok(());
        }
        match self.resume(Some(Error::CoroutineExit)) {
            Step::Suspended => {
                let body = self.cell.body.borrow_mut().take();
                drop_quietly(body);
                Err(Error::Runtime("coroutine ignored GeneratorExit".into()))
            }
            Step::Returned(Ok(_) | Err(Error::CoroutineExit)) => Ok(()),
            Step::Returned(Err(error)) => Err(error),
        }
    }

    fn resume(&mut self, thrown: Option<Error>) -> Step<T> {
        let cell = &self.cell;
        let Some(mut body) = cell.body.borrow_mut().take() else {
            return Step::Returned(Err(Error::Runtime("cannot reuse already awaited coroutine".into())));
        };
        cell.started.set(true);
        let entered = EnterGuard::new(cell.clone(), Waker::noop().data());
        let thrown = thrown.map(Box::new).or_else(|| cell.context.take_refused());
        cell.context.begin(thrown);
        let mut cx = Context::from_waker(Waker::noop());
        let polled =
            catch(|| body.as_mut().poll_body(&mut cx)).unwrap_or_else(|panic| Poll::Ready(Err(panic)));
        let step = match polled {
            Poll::Ready(outcome) => Step::Returned(match catch(|| drop(body)) {
                Ok(()) => outcome,
                Err(panic) => {
                    drop_quietly(outcome);
                    Err(panic)
                }
            }),
            Poll::Pending => {
                *cell.body.borrow_mut() = Some(body);
                Step::Suspended
            }
        };
        *cell.untaken.borrow_mut() = cell.context.end().map(|error| *error);
        drop(entered);
        step
    }
}

impl<T: 'static> Woken for CoroutineCell<T> {
    /// Nobody is woken: the hand that drives it decides when.
    fn wakeup(self: Rc<Self>, _: &EventLoop, _: Option<On>) {}
}

impl<T: 'static> Stepping for CoroutineCell<T> {
    fn context(&self) -> &StepContext {
        &self.context
    }

    fn task(self: Rc<Self>) -> Option<TaskRef> {
        None
    }

    fn task_core(&self) -> Option<&FutureCore> {
        None
    }
}

impl<T> Drop for Coroutine<T> {
    fn drop(&mut self) {
        // The body may hold registrations that hold the cell: taking it out breaks the ring.
        let body = self.cell.body.borrow_mut().take();
        drop_quietly(body);
    }
}

impl<T: 'static> fmt::Debug for Coroutine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let finished = self.cell.body.try_borrow().is_ok_and(|body| body.is_none());
        let state = match (finished, self.cell.started.get()) {
            (true, _) => "finished",
            (false, true) => "suspended",
            (false, false) => "not started",
        };
        write!(f, "<Coroutine {state}>")
    }
}
