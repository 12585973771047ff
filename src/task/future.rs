//! `Future`: a result that somebody will set.

use super::cancel;
use super::future_core::{AnyFuture, Begin, CancelMessage, FutureCore, FutureOf, Holder, complete};
use super::handles::{CallbackId, add_done_callback};
use super::join::Join;
use crate::error::{Error, Result};
use crate::event_loop::{Dependant, EventLoop, ExceptionContext, FutureInfo, report};
use crate::outcome::Outcome;
use crate::panics::drop_quietly;
use crate::trace::{Done, Place};
use std::any::{Any, type_name};
use std::cell::RefCell;
use std::fmt;
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::sync::Arc;

pub(crate) struct FutureCell<T: 'static> {
    core: FutureCore,
    outcome: RefCell<Option<Result<T>>>,
}

/// A result that somebody will set (`asyncio.Future`). Cloning gives another handle of the same future.
///
/// Made by [`EventLoop::create_future`]. Leaf one that is done does not suspend. A failure that nobody reads is
/// reported when the last handle goes.
///
/// ```
/// # use looplab::EventLoop;
/// let lp = EventLoop::new()?;
/// let answer = lp.create_future();
/// let setter = answer.clone();
/// lp.call_soon(move || setter.set_result(42))?;
/// assert_eq!(lp.run_until_complete(&answer)?, 42);
/// # Ok::<(), looplab::Error>(())
/// ```
pub struct Future<T: 'static>(Rc<FutureCell<T>>);

impl<T: 'static> Future<T> {
    pub(crate) fn on(lp: &EventLoop, place: Place) -> Self {
        Self::of_kind(lp, "future", place)
    }

    /// One that a combinator waits on, shown under the combinator's name.
    pub(crate) fn of_kind(lp: &EventLoop, kind: &'static str, place: Place) -> Self {
        Self(Rc::new(FutureCell { core: FutureCore::future(lp, kind, place), outcome: RefCell::new(None) }))
    }

    /// Shows who holds what this future waits for.
    pub(crate) fn held_by(self, holder: Option<&Holder>) -> Self {
        if let Some(holder) = holder {
            self.0.core.set_holder(holder.clone());
        }
        self
    }

    /// A handle of this future.
    pub(crate) fn of(cell: Rc<FutureCell<T>>) -> Self {
        Self(cell)
    }

    pub(crate) fn cell(&self) -> &Rc<FutureCell<T>> {
        &self.0
    }

    /// Sets the result and queues everyone who waits (`Future.set_result`). May be called between two runs.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if it is done; the value is dropped. [`Error::Closed`] if somebody waits and the loop is
    /// closed; the future is done then.
    pub fn set_result(&self, value: T) -> Result<()> {
        self.settle(Ok(value))
    }

    /// Sets the error (`Future.set_exception`).
    ///
    /// # Errors
    /// As [`set_result`](Self::set_result).
    pub fn set_error(&self, error: Error) -> Result<()> {
        self.settle(Err(error))
    }

    fn settle(&self, outcome: Result<T>) -> Result<()> {
        if self.done() {
            drop_quietly(outcome);
            return Err(Error::InvalidState("invalid state"));
        }
        let error = outcome.as_ref().err().cloned();
        *self.0.outcome.borrow_mut() = Some(outcome);
        match error {
            None => complete(&self.0, Done::Ok, None),
            Some(error) => complete(&self.0, Done::Err, Some(&error)),
        }
    }

    /// Takes the outcome of one that is done.
    pub(crate) fn take(self) -> Result<T> {
        if self.cancelled() {
            return Err(self.0.core.cancelled_error());
        }
        self.0.core.retrieved();
        // A reader's `clone`, which is user code, may be under way on it: then it cannot be taken, and that is no panic.
        let taken = self.0.outcome.try_borrow_mut().ok().and_then(|mut outcome| outcome.take());
        taken.unwrap_or(Err(self.0.core.no_result()))
    }

    /// Cancels it at once (`Future.cancel`); false if it is done. Everyone who waits gets [`Error::Cancelled`].
    pub fn cancel(&self) -> bool {
        cancel::cancel(self.0.clone(), &None)
    }

    /// As [`cancel`](Self::cancel), with a message.
    pub fn cancel_msg(&self, message: impl Into<Arc<str>>) -> bool {
        cancel::cancel(self.0.clone(), &Some(message.into()))
    }

    /// Whether it is done: set, failed or cancelled (`Future.done`).
    #[must_use]
    pub fn done(&self) -> bool {
        self.0.core.done()
    }

    /// Whether it was cancelled (`Future.cancelled`).
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.0.core.cancelled()
    }

    /// The result of one that is done (`Future.result`).
    ///
    /// # Errors
    /// [`Error::InvalidState`] if it is not; else its error, or its [`Error::Cancelled`].
    pub fn result(&self) -> Result<T>
    where
        T: Clone,
    {
        self.0.outcome()
    }

    /// Its error (`Future.exception`): `None` if it has a result.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if it is not done; its [`Error::Cancelled`] if it was cancelled.
    pub fn error(&self) -> Result<Option<Error>> {
        if self.cancelled() {
            return Err(self.0.core.cancelled_error());
        }
        self.0.core.retrieved();
        match &*self.0.outcome.borrow() {
            Some(outcome) => Ok(outcome.as_ref().err().cloned()),
            None => Err(Error::InvalidState("Exception is not set.")),
        }
    }

    /// Runs `callback` with this future once it is done, in the turn after (`Future.add_done_callback`). Callbacks and
    /// awaiters run in order of registration; on a future that is done it is queued at once. If the loop is closed before
    /// that, or is closed already, the callback is dropped.
    #[track_caller]
    pub fn add_done_callback<F, R>(&self, callback: F) -> CallbackId
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        let place = Location::caller();
        if !self.done() {
            let weak: Weak<FutureCell<T>> = Rc::downgrade(&self.0);
            self.0.core.end_with_loop(weak);
        }
        add_done_callback(self.0.clone(), place, type_name::<F>(), move |object| {
            let future = object.downcast::<FutureCell<T>>().ok().map(Future);
            future.map_or(Ok(()), |future| callback(&future).into_result().map(drop))
        })
    }

    /// Removes a done callback; how many were removed (`Future.remove_done_callback`). One that is queued already cannot
    /// be removed.
    pub fn remove_done_callback(&self, id: CallbackId) -> usize {
        let removed = self.0.core.remove_waiter(id.key());
        let count = usize::from(removed.is_some());
        drop_quietly(removed);
        count
    }

    /// Its number among the tasks and futures of its loop.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.core.id()
    }

    /// The loop that it belongs to, if that still exists (`Future.get_loop`).
    #[must_use]
    pub fn event_loop(&self) -> Option<EventLoop> {
        self.0.core.event_loop()
    }
}

impl<T: 'static> AnyFuture for FutureCell<T> {
    fn core(&self) -> &FutureCore {
        &self.core
    }

    fn error(&self) -> Option<Error> {
        let failure = self.outcome.borrow().as_ref().and_then(|outcome| outcome.as_ref().err().cloned());
        failure.or_else(|| self.core.cancellation())
    }

    fn begin_cancel(self: Rc<Self>, message: &CancelMessage) -> Begin {
        cancel_now(self, message)
    }

    fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }

    fn as_any_future(self: Rc<Self>) -> Rc<dyn AnyFuture> {
        self
    }
}

/// A pending future's callbacks may hold the future itself, and then nobody but the loop can end them.
impl<T: 'static> Dependant for FutureCell<T> {
    fn loop_closed(&self) {
        self.core.forget_callbacks();
    }
}

/// What cancelling a plain future means.
pub(crate) fn cancel_now(future: Rc<dyn AnyFuture>, message: &CancelMessage) -> Begin {
    // Asking counts as reading, as in asyncio: a failed future that was to be cancelled is not reported.
    future.core().retrieved();
    if future.core().done() {
        return Begin::Decided(false);
    }
    future.core().set_message(message.clone());
    let error = future.core().cancelled_error();
    if let Err(closed) = complete(&future, Done::Cancelled, Some(&error)) {
        log_error!("nobody can be told that future {} is cancelled: {closed}", future.core().id());
    }
    Begin::Decided(true)
}

impl<T: Clone + 'static> FutureOf<T> for FutureCell<T> {
    fn outcome(&self) -> Result<T> {
        if self.core.cancelled() {
            return Err(self.core.cancelled_error());
        }
        self.core.retrieved();
        let outcome = self.outcome.borrow().clone();
        outcome.unwrap_or_else(|| Err(self.core.no_result()))
    }
}

/// Reports a failure that was never read, and drops the outcome.
impl<T> Drop for FutureCell<T> {
    fn drop(&mut self) {
        match self.outcome.get_mut().take() {
            None => {}
            Some(Err(error)) if self.core.is_unretrieved() => {
                let context = ExceptionContext::new("Future exception was never retrieved");
                let info = FutureInfo { id: self.core.id(), place: self.core.place() };
                report(self.core.event_loop(), context.with_error(error).with_future(info));
            }
            Some(Ok(value)) => drop_quietly(value),
            Some(Err(error)) => drop_quietly(error),
        }
    }
}

impl<T: 'static> Clone for Future<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Two handles are equal if they are handles of the same future (`is` in Python).
impl<T: 'static> PartialEq for Future<T> {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: 'static> Eq for Future<T> {}

impl<T: 'static> fmt::Debug for Future<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.done(), self.cancelled(), self.0.core.failed()) {
            (false, ..) => "pending",
            (true, true, _) => "cancelled",
            (true, false, true) => "failed",
            (true, false, false) => "finished",
        };
        let place = self.0.core.place();
        write!(f, "<Future {state} created at {}:{}>", place.file(), place.line())
    }
}

impl<T: Clone + 'static> IntoFuture for Future<T> {
    type Output = Result<T>;
    type IntoFuture = Join<T>;
    fn into_future(self) -> Join<T> {
        Join::new(self.0)
    }
}

impl<T: Clone + 'static> IntoFuture for &Future<T> {
    type Output = Result<T>;
    type IntoFuture = Join<T>;
    fn into_future(self) -> Join<T> {
        Join::new(self.0.clone())
    }
}
