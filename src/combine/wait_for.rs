//! Waiting for one thing, and no longer than that.
//!
//! It promises asyncio's `wait_for` as of 3.12: the wait takes place in the caller's task, so it costs no turn; what is
//! waited for is cancelled when the time is over, and the error comes only when that cancellation is finished. What it
//! does not promise follows from that: a body that takes long to clean up makes it late, and one that swallows the
//! cancellation makes it return a value. Two-stage shutdowns, which ask and then wait for a bounded time, use
//! [`wait`](crate::wait).

use super::wait::release;
use crate::error::{Error, Result};
use crate::event_loop::get_running_loop;
use crate::outcome::Outcome;
use crate::task::cancel;
use crate::task::done_callback::DoneCallback;
use crate::task::ensure::EnsureFuture;
use crate::task::future_core::AnyFuture;
use crate::trace::Place;
use crate::{Future, Timeout};
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

/// Waits for a body, task or future, for `timeout` at most (`asyncio.wait_for`); `None` for no limit.
///
/// A body runs inside this task; its time begins at the first poll. When the time is over, what is waited for is
/// cancelled; when *that* is finished this fails with [`Error::TimedOut`], or gives the value or the error that came
/// instead. To give up waiting and leave a task running, wrap it in [`shield`](crate::shield). With a zero `timeout` it
/// gives the result of what is done, and cancels everything else: a body is not even begun then.
///
/// If the waiting task is cancelled, so is what it waits for, and a result that arrived in the same turn is lost to it.
/// Dropped half-way, it drops a body; a task or future that was given goes on.
///
/// # Errors
/// [`Error::TimedOut`]; what the target fails with; [`Error::Cancelled`] if the waiter or the target was cancelled;
/// [`Error::Runtime`] if the target is of another loop and not done ([`Error::Value`] without time to wait), or outside of
/// a task; [`Error::NoRunningLoop`] without a loop.
///
/// ```
/// use looplab::{Clock, Error, EventLoop, create_task, sleep, wait_for};
/// use std::time::Duration;
/// let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
/// lp.run_until_complete(async {
///     let slow = create_task(sleep(Duration::from_secs(60)));
///     assert!(matches!(wait_for(&slow, Duration::from_secs(1)).await, Err(Error::TimedOut)));
///     assert!(slow.cancelled());
///     assert_eq!(wait_for(async { Ok(7) }, Duration::from_secs(1)).await?, 7);
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.wait_for")]
#[track_caller]
pub fn wait_for<A>(
    target: A,
    timeout: impl Into<Option<Duration>>,
) -> impl std::future::Future<Output = Result<<A as EnsureFuture>::Value>>
where
    A: EnsureFuture + IntoFuture<Output: Outcome<Value = <A as EnsureFuture>::Value>>,
{
    let (timeout, place) = (timeout.into(), Location::caller());
    async move {
        match timeout {
            Some(Duration::ZERO) => at_once(target, place).await,
            timeout => Timeout::after(timeout)?.enter(place, target).await,
        }
    }
}

/// Without any time to wait. The target becomes a task, if it is none, because it has to be one to be cancelled.
async fn at_once<A: EnsureFuture>(target: A, place: Place) -> Result<<A as EnsureFuture>::Value> {
    let target = {
        // No handle of the loop lives across an await: a task must not keep the loop alive that keeps the task.
        let lp = get_running_loop()?;
        let target = target.ensure(&lp, place)?.reported();
        if target.future().core().done() {
            return target.take();
        }
        // On another loop the end of the cancellation may never come: asyncio waits for it all the same.
        target.of_loop(&lp)?
    };
    cancel_and_wait(target.future(), place).await?;
    match target.take() {
        Err(Error::Cancelled(_)) => Err(Error::TimedOut),
        outcome => outcome,
    }
}

/// Cancels, and waits until that is finished. Through a future of its own: a wait on the target itself would hand a
/// cancellation of the waiter on to it, and would end only when it does.
async fn cancel_and_wait(on: Rc<dyn AnyFuture>, place: Place) -> Result<()> {
    let waiter = Future::of_kind(&get_running_loop()?, "wait_for", place);
    let woken = waiter.clone();
    let _callback = DoneCallback::new(on.clone(), place, "wait_for", move || release(&woken));
    cancel::cancel(on, &None);
    waiter.await
}
