//! `shield`: a wait that does not forward a cancellation.
//!
//! It guarantees asyncio's `shield`. The inner body, task or future starts at the call. Cancelling
//! the waiter ends the wait and does not reach the inner one. Cancelling the inner one ends the
//! wait as cancelled. It costs one turn more than waiting directly, unless the inner one is done at
//! the call.
//!
//! It does not protect from the end of the loop: `close` destroys a shielded task.

use crate::error::{Error, Result, catch};
use crate::event_loop::{EventLoop, running};
use crate::task::done_callback::add_done_callback;
use crate::task::ensure::{EnsureFuture, Ensured};
use crate::task::future_core::{FutureOf, downcast};
use crate::task::{Future, Join, cancel};
use crate::trace::Place;
use std::any::Any;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Waits for a body, task or future, and does not forward a cancellation of the waiter to it
/// (`asyncio.shield`). A body becomes a task now, not at the await.
///
/// Keep a handle of the inner task, to wait for it after the cancellation. Dropping the shield does
/// not reach it either. If it fails after the wait is over, that failure is never read. It is
/// reported once, when the last handle is dropped: `Task exception was never retrieved`.
///
/// # Errors
/// Awaiting fails with the error of the inner one, and with [`Error::Cancelled`] if the waiter is
/// cancelled. If the inner one was cancelled, the error has no message, as in asyncio. Awaiting
/// fails with [`Error::Runtime`] if the inner one belongs to another loop and is not done, and with
/// [`Error::NoRunningLoop`] without a running loop.
///
/// ```
/// use looplab::{EventLoop, create_task, shield, yield_now};
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async {
///     let commit = create_task(async { yield_now().await?; Ok("committed") });
///     let shielded = shield(&commit);
///     let request = create_task(async move { shielded.await });
///     yield_now().await?;
///     request.cancel();
///     assert!(request.await.is_err());                    // the request is cancelled,
///     assert_eq!(commit.await?, "committed");             // and the commit is not
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.shield")]
#[track_caller]
pub fn shield<A: EnsureFuture<Value: Clone>>(inner: A) -> Shield<<A as EnsureFuture>::Value> {
    let place = Location::caller();
    let Some(lp) = running() else { return Shield(Err(Error::NoRunningLoop)) };
    Shield(inner.ensure(&lp, place).map(|inner| cover(inner.reported(), place)))
}

/// A wait that does not forward a cancellation. Created by [`shield`]. As a future, it can be
/// awaited by value or by reference, gathered, and given to [`wait_for`](crate::wait_for) and the
/// other combinators.
#[must_use = "what is shielded runs, but is not awaited"]
#[derive(Clone)]
pub struct Shield<T>(Result<FutureOf<T>>);

/// Makes the outer future. An inner one that is done is its own outer future.
fn cover<T: Clone + 'static>(inner: Ensured<T>, place: Place) -> FutureOf<T> {
    let inner = inner.share();
    if inner.future.core().done() {
        return inner;
    }
    // As in asyncio, the outer one belongs to the inner one's loop, whose turns end both. Without
    // that loop neither ends.
    let Some(lp) = inner.future.core().event_loop() else { return inner };
    let outer = Future::of_kind(&lp, "shield", place);
    // Weak, because the inner one holds both callbacks, one of them through the outer one.
    let (weak, waiting) = (inner.downgrade(), outer.clone());
    let pass_on = add_done_callback(inner.future.clone(), place, "shield", move |_| {
        weak().map_or(Ok(()), |inner| pass_on(&inner, &waiting))
    });
    let weak = Rc::downgrade(&inner.future);
    add_done_callback(outer.any_future(), place, "shield", move |_| {
        let inner = weak.upgrade().filter(|inner| !inner.core().done());
        if let Some(inner) = inner {
            inner.core().drop_waiter(pass_on.0);
        }
    });
    let Some(source) = inner.source else { return outer.future_of() };
    // A gathering's values are in its handle, and this may be the last one.
    let read = |source: &dyn Any| downcast::<(Future<T>, Rc<dyn Any>)>(source).0.result();
    FutureOf { future: outer.any_future(), source: Some(Rc::new((outer, source))), read }
}

/// Completes the outer future with the outcome of the inner one. If the outer one was cancelled,
/// the outcome is not read, so that a failure is reported. (Before 3.14, asyncio loses it if both
/// ended in the same turn.)
fn pass_on<T: 'static>(inner: &FutureOf<T>, outer: &Future<T>) -> Result<()> {
    if outer.cancelled() {
        return Ok(());
    }
    if inner.future.core().cancelled() {
        outer.cancel();
        return Ok(());
    }
    // The value is cloned, which is user code: a panic there must not leave the outer one pending.
    outer.settle(catch(|| inner.outcome()).unwrap_or_else(Err))
}

impl<T: Clone + 'static> Shield<T> {
    /// Ends the wait (`outer.cancel()`), and returns false if it is over. The inner one runs on. If
    /// it was done at the call of [`shield`], the wait is over.
    pub fn cancel(&self) -> bool {
        self.0.as_ref().is_ok_and(|source| cancel::cancel(source.future.clone(), &None))
    }

    /// Returns whether the wait is over.
    #[must_use]
    pub fn done(&self) -> bool {
        self.0.as_ref().map_or(true, |source| source.future.core().done())
    }

    /// Returns whether the wait was cancelled, from either side.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.0.as_ref().is_ok_and(|source| source.future.core().cancelled())
    }

    /// Returns the result, if the wait is over.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if it is not; otherwise the errors of awaiting it.
    pub fn result(&self) -> Result<T> {
        self.0.as_ref().map_err(Clone::clone)?.outcome()
    }
}

/// Awaits a [`Shield`]. Created by awaiting one.
#[must_use = "futures do nothing unless awaited"]
pub struct Shielded<T: 'static>(Result<Join<T>, Option<Error>>);

impl<T: 'static> std::future::Future for Shielded<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        match &mut self.0 {
            Ok(join) => Pin::new(join).poll(cx),
            Err(error) => Poll::Ready(Err(error.take().unwrap_or(Error::NoRunningLoop))),
        }
    }
}

impl<T: 'static> IntoFuture for Shield<T> {
    type Output = Result<T>;
    type IntoFuture = Shielded<T>;
    fn into_future(self) -> Shielded<T> {
        Shielded(self.0.map(Join::new).map_err(Some))
    }
}

impl<T: Clone + 'static> IntoFuture for &Shield<T> {
    type Output = Result<T>;
    type IntoFuture = Shielded<T>;
    fn into_future(self) -> Shielded<T> {
        self.clone().into_future()
    }
}

impl<T: 'static> EnsureFuture for Shield<T> {
    type Value = T;

    fn ensure(self, _: &EventLoop, _: Place) -> Result<Ensured<T>> {
        self.0.map(Ensured::Shared)
    }
}

impl<T: Clone + 'static> EnsureFuture for &Shield<T> {
    type Value = T;

    fn ensure(self, lp: &EventLoop, place: Place) -> Result<Ensured<T>> {
        self.clone().ensure(lp, place)
    }
}

impl<T: 'static> fmt::Debug for Shield<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(source) => write!(f, "<Shield of {}>", source.future.core()),
            Err(error) => write!(f, "<Shield failed: {error}>"),
        }
    }
}

impl<T: 'static> fmt::Debug for Shielded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(join) => join.fmt(f),
            Err(_) => f.write_str("<await of a failed shield>"),
        }
    }
}
