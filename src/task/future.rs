//! `Future`: a result that is set by hand.

use super::cancel;
use super::done_callback::{CallbackId, add_done_callback};
use super::future_core::{AnyFuture, FutureCore, FutureOf, Holder, downcast, downcast_rc};
use super::leaf::Leaf;
use crate::error::{Error, Result};
use crate::event_loop::{Dependant, EventLoop};
use crate::in_place::rc_in_place;
use crate::outcome::Outcome;
use crate::panics::drop_quietly;
use crate::trace::{Done, Place};
use std::any::{Any, type_name};
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::sync::Arc;

pub(crate) struct FutureCell<T: 'static> {
    core: FutureCore,
    /// A reader's `clone`, which is user code, runs on the borrowed value. Only taking the value fails meanwhile.
    value: RefCell<Option<T>>,
}

/// A result that is set by hand (`asyncio.Future`). Cloning gives another handle of the same future.
///
/// Made by [`EventLoop::create_future`]. Awaiting one that is done does not suspend. A failure that is never read is
/// reported when the last handle is dropped.
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
#[doc(alias = "asyncio.Future")]
pub struct Future<T: 'static>(pub(crate) Rc<FutureCell<T>>);

/// The methods of futures and tasks.
macro_rules! future_methods {
    () => {
        /// Returns whether it is done: it has a result, failed, or was cancelled (`Future.done`).
        #[doc(alias("Future.done", "Task.done"))]
        #[must_use]
        pub fn done(&self) -> bool {
            self.0.core.done()
        }

        /// Returns whether it ended cancelled (`Future.cancelled`). The request to cancel a task does not count.
        #[doc(alias("Future.cancelled", "Task.cancelled"))]
        #[must_use]
        pub fn cancelled(&self) -> bool {
            self.0.core.cancelled()
        }

        /// Cancels it as [`cancel`](Self::cancel), with a message for the readers of the error.
        #[doc(alias("Future.cancel", "Task.cancel"))]
        pub fn cancel_msg(&self, message: impl Into<Arc<str>>) -> bool {
            cancel::cancel(self.0.clone(), &Some(message.into()))
        }

        /// Returns its number among the tasks and futures of its loop, in order of creation.
        #[must_use]
        pub fn id(&self) -> u64 {
            self.0.core.id
        }

        /// Removes a done callback, and returns how many were removed (`Future.remove_done_callback`). One that is queued
        /// already cannot be removed.
        #[doc(alias("Future.remove_done_callback", "Task.remove_done_callback"))]
        pub fn remove_done_callback(&self, id: CallbackId) -> usize {
            let removed = self.0.core.waiters.remove(id.0);
            let count = usize::from(removed.is_some());
            drop_quietly(removed);
            count
        }

        /// Returns the loop that it belongs to, if that still exists (`Future.get_loop`).
        #[doc(alias("Future.get_loop", "Task.get_loop", "get_loop"))]
        #[must_use]
        pub fn event_loop(&self) -> Option<EventLoop> {
            self.0.core.event_loop()
        }

        pub(crate) fn any_future(&self) -> Rc<dyn AnyFuture> {
            self.0.clone()
        }
    };
}

pub(super) use future_methods;

impl EventLoop {
    /// Makes a future whose result is set by hand (`loop.create_future`). Still made on a closed loop, as in asyncio.
    #[doc(alias = "loop.create_future")]
    #[must_use]
    #[track_caller]
    pub fn create_future<T: 'static>(&self) -> Future<T> {
        Future::of_kind(self, "future", Location::caller())
    }
}

impl<T: 'static> Future<T> {
    future_methods!();

    /// Makes a future; one that a combinator waits on is shown under the combinator's name.
    pub(crate) fn of_kind(lp: &EventLoop, kind: &'static str, place: Place) -> Self {
        Self(rc_in_place(|| FutureCell {
            core: FutureCore::future(lp, kind, place),
            value: RefCell::new(None),
        }))
    }

    /// Lets the trace show the holder of what this future waits for.
    pub(crate) fn held_by(self, holder: Option<&Holder>) -> Self {
        if let Some(holder) = holder {
            let _ = self.0.core.extras().holder.set(holder.clone());
        }
        self
    }

    /// Sets the result and queues all waiters (`Future.set_result`). May be called between two runs.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if it is done; the value is dropped. [`Error::Closed`] if something waits and the loop is
    /// closed; the future is done then.
    #[doc(alias = "Future.set_result")]
    pub fn set_result(&self, value: T) -> Result<()> {
        self.settle(Ok(value))
    }

    /// Sets the error (`Future.set_exception`).
    ///
    /// # Errors
    /// As [`set_result`](Self::set_result).
    #[doc(alias("Future.set_exception", "set_exception"))]
    pub fn set_error(&self, error: Error) -> Result<()> {
        self.settle(Err(error))
    }

    /// Sets the result or the error.
    pub(crate) fn settle(&self, outcome: Result<T>) -> Result<()> {
        if self.done() {
            drop_quietly(outcome);
            return Err(Error::InvalidState("invalid state"));
        }
        let owner = || -> Rc<dyn Any> { self.0.clone() };
        match outcome {
            Ok(value) => {
                *self.0.value.borrow_mut() = Some(value);
                self.0.core.complete(Done::Ok, owner)
            }
            Err(error) => self.0.core.fail(error, owner),
        }
    }

    /// Awaits the future and takes its value out, which needs no `Clone` (an `io::Result` has none). Other handles get
    /// [`Error::InvalidState`] afterwards.
    ///
    /// # Errors
    /// What the future failed with; [`Error::InvalidState`] if the value was taken before.
    ///
    /// ```
    /// # use looplab::EventLoop;
    /// let lp = EventLoop::new()?;
    /// let text = lp.run_in_executor(|| std::fs::read_to_string("Cargo.toml"))?;
    /// let text: std::io::Result<String> = lp.run_until_complete(async move { text.into_output().await })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub async fn into_output(self) -> Result<T> {
        let mut leaf = Leaf::new(self.0.clone());
        poll_fn(|cx| leaf.poll(cx)).await?;
        self.take()
    }

    /// Takes the outcome of one that is done.
    pub(crate) fn take(self) -> Result<T> {
        let core = &self.0.core;
        if core.cancelled() {
            return Err(core.cancelled_error());
        }
        core.mark_retrieved();
        if let Some(error) = core.take_error() {
            return Err(error);
        }
        let value = self.0.value.try_borrow_mut().ok().and_then(|mut value| value.take());
        value.ok_or_else(|| core.no_result())
    }

    pub(crate) fn future_of(&self) -> FutureOf<T>
    where
        T: Clone,
    {
        FutureOf::new(self.0.clone(), |source| downcast::<FutureCell<T>>(source).outcome())
    }

    /// Cancels it at once (`Future.cancel`); false if it is done. All waiters get [`Error::Cancelled`].
    #[doc(alias = "Future.cancel")]
    pub fn cancel(&self) -> bool {
        cancel::cancel(self.0.clone(), &None)
    }

    /// Returns the result of one that is done (`Future.result`).
    ///
    /// # Errors
    /// [`Error::InvalidState`] if it is not; else its error, or its [`Error::Cancelled`].
    #[doc(alias = "Future.result")]
    pub fn result(&self) -> Result<T>
    where
        T: Clone,
    {
        self.0.outcome()
    }

    /// Returns its error (`Future.exception`): `None` if it has a result.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if it is not done; its [`Error::Cancelled`] if it was cancelled.
    #[doc(alias("Future.exception", "exception"))]
    pub fn error(&self) -> Result<Option<Error>> {
        match self.0.core.exception()? {
            // Its outcome was taken.
            None if self.0.value.borrow().is_none() => Err(Error::InvalidState("Exception is not set.")),
            error => Ok(error),
        }
    }

    /// Runs `callback` with this future once it is done, in the turn after (`Future.add_done_callback`). Callbacks and
    /// awaiters run in order of registration; on a future that is done it is queued at once. If the loop is closed before
    /// that, or is closed already, the callback is dropped.
    #[doc(alias = "Future.add_done_callback")]
    #[track_caller]
    pub fn add_done_callback<F: FnOnce(&Self) -> R + 'static, R: Outcome>(&self, callback: F) -> CallbackId {
        let place = Location::caller();
        if !self.done() {
            let weak: Weak<FutureCell<T>> = Rc::downgrade(&self.0);
            self.0.core.end_with_loop(weak);
        }
        add_done_callback(self.0.clone(), place, type_name::<F>(), move |done| {
            callback(&Self(downcast_rc(done))).into_result().map(drop)
        })
    }
}

impl<T: Clone + 'static> FutureCell<T> {
    fn outcome(&self) -> Result<T> {
        self.core.check_error()?;
        let value = self.value.borrow().clone();
        value.ok_or_else(|| self.core.no_result())
    }
}

impl<T: 'static> AnyFuture for FutureCell<T> {
    fn core(&self) -> &FutureCore {
        &self.core
    }
}

/// A pending future's callbacks may hold the future itself: then only the loop can end them.
impl<T: 'static> Dependant for FutureCell<T> {
    fn loop_closed(&self) {
        self.core.forget_callbacks();
    }
}

/// Reports a failure that was never read, and drops the value.
impl<T> Drop for FutureCell<T> {
    fn drop(&mut self) {
        self.core.report_unretrieved("Future exception was never retrieved");
        drop_quietly(self.value.get_mut().take());
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
        let FutureCore { state, place, .. } = &self.0.core;
        let state = match state.get() {
            None => "pending",
            Some(Done::Ok) => "finished",
            Some(Done::Err) => "failed",
            Some(Done::Cancelled) => "cancelled",
        };
        write!(f, "<Future {state} created at {}:{}>", place.file(), place.line())
    }
}
