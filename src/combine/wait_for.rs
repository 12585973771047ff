//! `wait_for`: waits for one body, task or future, for a limited time.
//!
//! It guarantees asyncio's `wait_for` as of 3.12. A body runs in the caller's task, so it costs no
//! turn. When the time is over, the target is cancelled, and the error comes only after the target
//! is done.
//!
//! So it does not guarantee to end in time: a target may take long to clean up. A target that
//! swallows the cancellation makes it return a value. To ask a task to end and then wait for a
//! limited time, use [`wait`](crate::wait).

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

/// Waits for a body, task or future, for `timeout` at most (`asyncio.wait_for`). `None` is no
/// limit.
///
/// A body runs in this task, and its time begins at the first poll. When the time is over, the
/// target is cancelled. Once the target is done, this fails with [`Error::TimedOut`], or gives the
/// value or the error with which the target ended instead. To give up the wait and leave a task
/// running, wrap it in [`shield`](crate::shield). With a zero `timeout`, a target that is done
/// gives its result, and any other is cancelled: a body does not even begin.
///
/// If the waiting task is cancelled, so is the target, and a result that arrived in the same turn
/// is lost. Dropping it half-way drops a body; a task or future continues.
///
/// # A body that borrows
///
/// A body may become a task, so it must own what it uses. The compiler says of a read into a buffer of the caller that
/// ``borrowed value does not live long enough``:
///
/// ```compile_fail,E0597
/// # use looplab::{Result, net::TcpStream, wait_for};
/// # use std::time::Duration;
/// async fn first(stream: TcpStream) -> Result<usize> {
///     let mut buffer = [0; 1024];
///     wait_for(stream.read(&mut buffer), Duration::from_secs(5)).await
/// }
/// ```
///
/// Such a body goes into [`timeout`](crate::timeout()), which never makes a task of it:
///
/// ```
/// # use looplab::{Result, net::TcpStream, timeout};
/// # use std::time::Duration;
/// async fn first(stream: TcpStream) -> Result<usize> {
///     let mut buffer = [0; 1024];
///     timeout(Duration::from_secs(5), stream.read(&mut buffer)).await
/// }
/// ```
///
/// # Errors
/// [`Error::TimedOut`]; the error of the target; [`Error::Cancelled`] if the waiter or the target
/// was cancelled; [`Error::Runtime`] if the target belongs to another loop and is not done
/// ([`Error::Value`] for a zero `timeout`), or outside of a task; [`Error::NoRunningLoop`] without
/// a running loop.
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

/// Takes the result of a target that is done, or cancels it. A body becomes a task, because only a
/// task can be cancelled.
async fn at_once<A: EnsureFuture>(target: A, place: Place) -> Result<<A as EnsureFuture>::Value> {
    let target = {
        // No handle of the loop lives across an await: a task must not keep the loop alive that
        // keeps the task.
        let lp = get_running_loop()?;
        let target = target.ensure(&lp, place)?.reported();
        if target.future().core().done() {
            return target.take();
        }
        // Another loop may never end the cancellation. asyncio waits for it nevertheless.
        target.of_loop(&lp)?
    };
    cancel_and_wait(target.future(), place).await?;
    match target.take() {
        Err(Error::Cancelled(_)) => Err(Error::TimedOut),
        outcome => outcome,
    }
}

/// Cancels a target and waits until it is done.
///
/// Alternative: await the target itself. Problem: a cancellation of the waiter would be forwarded,
/// and end with the target.
async fn cancel_and_wait(on: Rc<dyn AnyFuture>, place: Place) -> Result<()> {
    let waiter = Future::of_kind(&get_running_loop()?, "wait_for", place);
    let woken = waiter.clone();
    let _callback = DoneCallback::new(on.clone(), place, "wait_for", move || release(&woken));
    cancel::cancel(on, &None);
    waiter.await
}
