//! `cancellable`: a foreign future at whose await a cancellation is delivered.
//!
//! It guarantees that the await ends with the cancellation, and that the foreign future is dropped
//! with it. It does not change how the future is woken.

use crate::error::Result;
use crate::event_loop::get_running_loop;
use crate::task::Join;
use crate::trace::Place;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Wraps a future of another crate, so that a cancellation is delivered at its await.
///
/// A task that awaits such a future can be cancelled, but no error can be thrown there: the request
/// waits for the next await of looplab's. In the wrapper, the await ends with
/// [`Error::Cancelled`](crate::Error::Cancelled), and the foreign future is dropped. (asyncio can
/// throw at every await.)
///
/// ```
/// use looplab::{Error, EventLoop, cancellable, create_task, yield_now};
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async {
///     let task = create_task(async { cancellable(std::future::pending::<()>()).await });
///     yield_now().await?;
///     task.cancel();
///     assert!(matches!(task.await, Err(Error::Cancelled(_))));
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[track_caller]
pub fn cancellable<F: IntoFuture>(foreign: F) -> Cancellable<F::IntoFuture> {
    Cancellable { foreign: Box::pin(foreign.into_future()), place: Location::caller(), waiting: None }
}

/// A foreign future that can be cancelled. Created by [`cancellable`].
#[must_use = "futures do nothing unless awaited"]
pub struct Cancellable<F> {
    foreign: Pin<Box<F>>,
    place: Place,
    /// From the first suspension on, awaits a future that never completes: a cancellation is thrown
    /// there.
    waiting: Option<Join<()>>,
}

impl<F: Future> Future for Cancellable<F> {
    type Output = Result<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(waiting) = &mut self.waiting
            && let Poll::Ready(interrupted) = Pin::new(waiting).poll(cx)
        {
            interrupted?;
        }
        if let Poll::Ready(output) = self.foreign.as_mut().poll(cx) {
            self.waiting = None;
            return Poll::Ready(Ok(output));
        }
        if self.waiting.is_none() {
            let never = crate::Future::of_kind(&get_running_loop()?, "cancellable", self.place);
            let waiting = self.waiting.insert(never.into_future());
            ready!(Pin::new(waiting).poll(cx))?;
        }
        Poll::Pending
    }
}

impl<F> fmt::Debug for Cancellable<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<cancellable at {}:{}>", self.place.file(), self.place.line())
    }
}
