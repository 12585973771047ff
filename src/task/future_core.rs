//! The core of a future: what a `Future`, a task, a sleep and a gathering have in common.
//!
//! It guarantees that the state changes once, and that completing pushes all waiters in order of registration. No user
//! code runs meanwhile: waiting tasks and done callbacks go to the ready queue. It does not know the future's value.
//!
//! Alternative: completing through `call_soon(wake)`. Problem: a turn more than asyncio takes.
//!
//! ```text
//!             1 set_result / a body returns      ──▶ OK
//!   PENDING ──2 set_error / a body fails         ──▶ ERR
//!             3 cancel() / a body ends cancelled ──▶ CANCELLED        (no arrow leads back, and none across)
//! ```

use super::keyed_list::{KeyedList, next_key};
use crate::error::{Error, Result};
use crate::event_loop::{
    AnyTask, Callback, Dependant, Dependence, EventLoop, ExceptionContext, FutureInfo, Inner, call, report,
};
use crate::panics::drop_quietly;
use crate::trace::{Done, On, Place};
use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;

/// The message of a cancellation.
pub(crate) type CancelMessage = Option<Arc<str>>;

/// Anything that can be waited on and cancelled. The walk of `cancel` calls the last four methods.
pub(crate) trait AnyFuture: Any {
    fn core(&self) -> &FutureCore;
    /// Says what cancelling it begins with.
    fn begin_cancel(&self, _message: &CancelMessage) -> Begin {
        Begin::Complete
    }
    /// Decides whether it accepts, after all futures that it forwarded to have answered; `accepted` if one of them did.
    fn end_cancel(&self, accepted: bool, _message: &CancelMessage) -> bool {
        accepted
    }
    /// Queues it, because it waits on itself through others and nothing else will; false if it cannot be queued.
    fn break_circle(self: Rc<Self>) -> bool {
        false
    }
}

/// What cancelling one future begins with.
pub(crate) enum Begin {
    /// It completes at once as cancelled, if it is not done.
    Complete,
    /// It is decided: whether the request was accepted.
    Decided(bool),
    /// Cancel these first, then call [`AnyFuture::end_cancel`].
    Forward(Vec<Rc<dyn AnyFuture>>),
    /// The walk came back to a task that it is just asking.
    Circle,
}

/// A future whose outcome is read as a `T`.
#[derive(Clone)]
pub struct FutureOf<T> {
    pub(crate) future: Rc<dyn AnyFuture>,
    /// What the outcome is read from, if that is not the future itself: the children of a gathering.
    pub(crate) source: Option<Rc<dyn Any>>,
    pub(crate) read: fn(&dyn Any) -> Result<T>,
}

impl<T> FutureOf<T> {
    pub(super) fn new(future: Rc<dyn AnyFuture>, read: fn(&dyn Any) -> Result<T>) -> Self {
        Self { future, source: None, read }
    }

    /// Returns the outcome of one that is done, and marks it as retrieved.
    pub(crate) fn outcome(&self) -> Result<T> {
        match &self.source {
            Some(source) => (self.read)(&**source),
            None => (self.read)(&*self.future),
        }
    }

    /// Returns what gives the future back while it is alive.
    pub(crate) fn downgrade(&self) -> impl Fn() -> Option<Self> + use<T> {
        let (future, read) = (Rc::downgrade(&self.future), self.read);
        let source = self.source.as_ref().map(Rc::downgrade);
        move || {
            let source = source.as_ref().map(|source| source.upgrade().ok_or(())).transpose().ok()?;
            Some(Self { future: future.upgrade()?, source, read })
        }
    }
}

/// Returns a source as the type that it was made of, for the function that reads it.
pub(crate) fn downcast<A: 'static>(source: &dyn Any) -> &A {
    source.downcast_ref().expect("a source is read by the function that was given with it")
}

/// Returns a finished future as the type that it was made of, for its done callback.
pub(crate) fn downcast_rc<A: 'static>(done: Rc<dyn Any>) -> Rc<A> {
    done.downcast().expect("a done callback gets the future that it was registered with")
}

pub(crate) struct FutureCore {
    /// Dangling if it belongs to no loop: a task that could not be made, or a coroutine driven by hand.
    pub(super) lp: Weak<Inner>,
    /// Its number among the tasks and futures of its loop.
    pub(crate) id: u64,
    pub(super) kind: &'static str,
    pub(crate) place: Place,
    is_task: bool,
    pub(super) state: Cell<Option<Done>>,
    /// It failed, and its error was not read yet.
    unretrieved: Cell<bool>,
    pub(super) waiters: KeyedList<Waiter>,
    /// What few futures have. Boxed, so that it costs the others a pointer only.
    extras: OnceCell<Box<FutureExtras>>,
}

#[derive(Default)]
pub(super) struct FutureExtras {
    /// What it failed with.
    error: RefCell<Option<Error>>,
    /// The message of its cancellation.
    message: RefCell<CancelMessage>,
    /// The holder of what it waits for, which a lock keeps up to date.
    pub(super) holder: OnceCell<Holder>,
    /// Ends its callbacks with its loop.
    dependence: OnceCell<Dependence>,
}

/// The number of the task that holds a lock; shared with the futures that wait for the lock.
pub(crate) type Holder = Rc<Cell<Option<u64>>>;

pub(crate) enum Waiter {
    /// A task that waits through its own waker: its step is pushed.
    Step(Rc<dyn AnyTask>),
    /// Anything else that polls futures: `join!`, `FuturesUnordered`, another executor.
    Waker(Waker),
    Callback(Rc<dyn Callback>),
}

impl FutureCore {
    #[inline]
    pub(crate) fn future(lp: &EventLoop, kind: &'static str, place: Place) -> Self {
        let id = lp.0.next_object();
        lp.0.future_made(id, kind, Some(place));
        Self::new(Rc::downgrade(&lp.0), On::Future(id), kind, place)
    }

    #[inline]
    pub(super) fn new(lp: Weak<Inner>, on: On, kind: &'static str, place: Place) -> Self {
        let (On::Task(id) | On::Future(id)) = on;
        Self {
            lp,
            id,
            kind,
            place,
            is_task: matches!(on, On::Task(_)),
            state: Cell::new(None),
            unretrieved: Cell::new(false),
            waiters: KeyedList::default(),
            extras: OnceCell::new(),
        }
    }

    /// Makes it the core of another future of its loop, as if it was new. The owner knows that nothing waits.
    #[inline]
    pub(crate) fn renew(&mut self, lp: &EventLoop, kind: &'static str, place: Place) {
        let id = lp.0.next_object();
        (self.id, self.kind, self.place) = (id, kind, place);
        *self.state.get_mut() = None;
        *self.unretrieved.get_mut() = false;
        self.waiters = KeyedList::default();
        if self.extras.get().is_some() {
            self.extras = OnceCell::new();
        }
        lp.0.future_made(id, kind, Some(place));
    }

    /// Names it for the trace.
    #[inline]
    pub(crate) fn on(&self) -> On {
        if self.is_task { On::Task(self.id) } else { On::Future(self.id) }
    }

    pub(super) fn extras(&self) -> &FutureExtras {
        self.extras.get_or_init(Box::default)
    }

    pub(crate) fn holder(&self) -> Option<u64> {
        self.extras.get()?.holder.get()?.get()
    }

    #[inline]
    pub(crate) fn event_loop(&self) -> Option<EventLoop> {
        self.lp.upgrade().map(EventLoop)
    }

    /// Whether it belongs to no loop.
    pub(crate) fn has_no_loop(&self) -> bool {
        self.lp.ptr_eq(&Weak::new())
    }

    /// Registers its owner as a dependant of the loop, once.
    pub(crate) fn end_with_loop(&self, owner: Weak<dyn Dependant>) {
        let dependence = &self.extras().dependence;
        if dependence.get().is_none()
            && let Some(made) = self.event_loop().and_then(|lp| lp.add_dependant(owner))
        {
            let _ = dependence.set(made);
        }
    }

    /// Drops what its callbacks own, because the loop is closed and they will never run. They stay registered, so that
    /// completing the future still fails.
    pub(crate) fn forget_callbacks(&self) {
        let callbacks = self.waiters.filter_map(|_, waiter| match waiter {
            Waiter::Callback(callback) => Some(callback.clone()),
            Waiter::Step(_) | Waiter::Waker(_) => None,
        });
        callbacks.iter().for_each(|callback| callback.forget());
    }
}

/// The state.
impl FutureCore {
    #[inline]
    pub(crate) fn done(&self) -> bool {
        self.state.get().is_some()
    }

    #[inline]
    pub(crate) fn cancelled(&self) -> bool {
        self.state.get() == Some(Done::Cancelled)
    }

    /// Returns the error that it failed or was cancelled with. This does not count as reading.
    pub(crate) fn error(&self) -> Option<Error> {
        match self.state.get()? {
            Done::Ok => None,
            Done::Err => self.extras.get()?.error.borrow().clone(),
            Done::Cancelled => Some(self.cancelled_error()),
        }
    }

    /// Marks it as retrieved, and fails with its error.
    #[inline]
    pub(crate) fn check_error(&self) -> Result<()> {
        self.mark_retrieved();
        match self.state.get() {
            Some(Done::Ok) => Ok(()),
            _ => self.error().map_or(Ok(()), Err),
        }
    }

    /// Marks it as retrieved, and returns the error that it failed with (`exception()`). Fails if it was cancelled.
    pub(crate) fn exception(&self) -> Result<Option<Error>> {
        if !self.done() {
            return Err(Error::InvalidState("Exception is not set."));
        }
        self.mark_retrieved();
        match self.error() {
            Some(error) if self.cancelled() => Err(error),
            error => Ok(error),
        }
    }

    /// Takes the error that it failed with.
    pub(crate) fn take_error(&self) -> Option<Error> {
        self.extras.get()?.error.take()
    }

    /// Returns the error of a cancellation: the same message for every reader.
    pub(crate) fn cancelled_error(&self) -> Error {
        Error::Cancelled(self.message())
    }

    pub(super) fn message(&self) -> CancelMessage {
        self.extras.get()?.message.borrow().clone()
    }

    /// Says why there is no result to read.
    pub(crate) fn no_result(&self) -> Error {
        Error::InvalidState(if self.done() {
            "the result was taken by into_output"
        } else {
            "Result is not set."
        })
    }

    #[inline]
    pub(crate) fn set_message(&self, message: CancelMessage) {
        if message.is_some() || self.extras.get().is_some() {
            *self.extras().message.borrow_mut() = message;
        }
    }

    /// Marks the outcome as retrieved. A request to cancel marks it as well, as in asyncio.
    #[inline]
    pub(crate) fn mark_retrieved(&self) {
        self.unretrieved.set(false);
    }

    /// Takes an error that was never read, for a report by the destructor of the core's owner.
    #[inline]
    pub(crate) fn take_unretrieved(&mut self) -> Option<Error> {
        if *self.unretrieved.get_mut() { self.take_error() } else { None }
    }

    /// Reports a failure of a future that was never read, because its owner is dropped.
    pub(crate) fn report_unretrieved(&mut self, message: &'static str) {
        if let Some(error) = self.take_unretrieved() {
            let info = FutureInfo { id: self.id, place: self.place };
            let context = ExceptionContext::new(message).with_error(error).with_future(info);
            report(self.event_loop(), context);
        }
    }
}

/// The waiters.
impl FutureCore {
    /// Registers a waiter and returns the key to remove it with.
    #[inline]
    pub(super) fn add_waiter(&self, waiter: Waiter) -> u64 {
        let key = next_key();
        self.waiters.push(key, waiter);
        key
    }

    #[inline]
    pub(crate) fn drop_waiter(&self, key: u64) {
        let removed = self.waiters.remove(key);
        // A step is nothing of the user's.
        if !matches!(removed, None | Some(Waiter::Step(_))) {
            drop_quietly(removed);
        }
    }

    /// Drops all waiters without waking any.
    pub(crate) fn drop_waiters(&self) {
        self.waiters.drain(drop_quietly);
    }

    /// Completes it as [`complete_on`](Self::complete_on), on its loop if that still exists.
    ///
    /// # Errors
    /// As [`complete_on`](Self::complete_on).
    pub(crate) fn complete(&self, state: Done, owner: impl Fn() -> Rc<dyn Any>) -> Result<()> {
        self.complete_on(self.event_loop().as_ref(), state, owner)
    }

    /// Arrows 1 and 3: completes it, and queues all waiters. `owner` returns the future, for its done callbacks.
    ///
    /// # Errors
    /// [`Error::Closed`] if something waits and the loop is closed; the state has changed then, as in asyncio.
    pub(crate) fn complete_on(
        &self,
        lp: Option<&EventLoop>,
        state: Done,
        owner: impl Fn() -> Rc<dyn Any>,
    ) -> Result<()> {
        self.state.set(Some(state));
        if let Some(lp) = lp.filter(|lp| lp.0.traced.get()) {
            lp.0.completed(self.on(), state, self.error().as_ref());
        }
        if self.waiters.is_empty() {
            return Ok(());
        }
        let Some(lp) = lp.filter(|lp| !lp.is_closed()) else {
            self.drop_waiters();
            return Err(Error::Closed);
        };
        self.waiters.drain(|waiter| waiter.notify(lp, Some(self.on()), &owner));
        Ok(())
    }

    /// Arrow 2.
    ///
    /// # Errors
    /// As [`complete`](Self::complete).
    pub(crate) fn fail(&self, error: Error, owner: impl Fn() -> Rc<dyn Any>) -> Result<()> {
        *self.extras().error.borrow_mut() = Some(error);
        self.unretrieved.set(true);
        self.complete(Done::Err, owner)
    }
}

impl Waiter {
    /// Queues or wakes it, because the future that `owner` returns is complete.
    #[inline]
    fn notify(self, lp: &EventLoop, cause: Option<On>, owner: impl Fn() -> Rc<dyn Any>) {
        match self {
            Self::Step(task) => task.wake(lp, cause),
            Self::Waker(waker) => {
                // A foreign waker that panics must not cost the others their wake-up.
                if let Err(error) = call(|| waker.wake()) {
                    let context = ExceptionContext::new("Exception in a waker").with_error(error);
                    report(Some(lp.clone()), context);
                }
            }
            Self::Callback(callback) => {
                callback.bind(owner());
                lp.0.enqueue(callback, cause);
            }
        }
    }
}

impl Drop for FutureCore {
    #[inline]
    fn drop(&mut self) {
        if !self.waiters.is_empty() {
            self.drop_waiters();
        }
        if self.extras.get().is_some() {
            drop_quietly(self.take_error());
        }
    }
}

/// `task 5`: its kind and number.
impl fmt::Display for FutureCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

impl<T> fmt::Debug for FutureOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.future.core())
    }
}
