//! `wait`: waits until all, the first, or the first failure of several is done.
//!
//! It guarantees asyncio's `wait`, with its turns: it suspends even if all are done at the call. It
//! never cancels what it waits for, and never raises their errors. A timeout is no error. The
//! states at the wake-up decide what counts as done.

use crate::drop_guard::DropGuard;
use crate::error::{Error, Result};
use crate::event_loop::{TimerHandle, get_running_loop};
use crate::task::done_callback::DoneCallback;
use crate::task::future_core::AnyFuture;
use crate::task::{Future, Task, TaskRef};
use crate::trace::Place;
use std::cell::Cell;
use std::collections::HashSet;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

/// When [`wait`] is over (`return_when`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReturnWhen {
    /// When all are done.
    #[doc(alias("asyncio.ALL_COMPLETED", "ALL_COMPLETED"))]
    #[default]
    AllCompleted,
    /// When the first is done.
    #[doc(alias("asyncio.FIRST_COMPLETED", "FIRST_COMPLETED"))]
    FirstCompleted,
    /// When the first fails (a cancellation does not count), or all are done.
    #[doc(alias("asyncio.FIRST_EXCEPTION", "FIRST_EXCEPTION"))]
    FirstException,
}

/// A handle that [`wait`] can wait for: [`Task`], [`TaskRef`], [`Future`], or a reference to one.
///
/// It cannot be implemented elsewhere, because other crates cannot name what its method returns.
#[allow(private_interfaces)]
pub trait Waitable: Clone {
    #[doc(hidden)]
    fn waited(&self) -> Rc<dyn AnyFuture>;
}

#[allow(private_interfaces)]
impl<T: 'static> Waitable for Task<T> {
    fn waited(&self) -> Rc<dyn AnyFuture> {
        self.any_future()
    }
}

#[allow(private_interfaces)]
impl<T: 'static> Waitable for Future<T> {
    fn waited(&self) -> Rc<dyn AnyFuture> {
        self.any_future()
    }
}

#[allow(private_interfaces)]
impl Waitable for TaskRef {
    fn waited(&self) -> Rc<dyn AnyFuture> {
        self.any_future()
    }
}

#[allow(private_interfaces)]
impl<W: Waitable> Waitable for &W {
    fn waited(&self) -> Rc<dyn AnyFuture> {
        W::waited(self)
    }
}

/// The done ones, and the pending ones.
pub type DoneAndPending<W> = (Vec<W>, Vec<W>);

/// Waits until all, the first, or the first failure of several is done, or until `timeout` has
/// passed (`asyncio.wait`). Returns the done ones and the pending ones, in the order of the
/// arguments.
///
/// It cancels nothing, even if it is cancelled itself, and reads no result: the done ones keep
/// their errors.
///
/// Awaiting fails with [`Error::Value`] if there is nothing to wait for, with [`Error::Cancelled`]
/// if the waiter is cancelled, and with [`Error::NoRunningLoop`] without a running loop.
///
/// ```
/// use looplab::{EventLoop, ReturnWhen, create_task, sleep, wait};
/// use std::time::Duration;
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async {
///     let quick = create_task(async { Ok(1) });
///     let slow = create_task(async { sleep(Duration::from_secs(3600)).await?; Ok(2) });
///     let (done, pending) = wait([quick.clone(), slow.clone()], ReturnWhen::FirstCompleted, None).await?;
///     assert_eq!((done, pending), (vec![quick], vec![slow]));
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.wait")]
#[track_caller]
pub fn wait<I>(
    several: I,
    when: ReturnWhen,
    timeout: Option<Duration>,
) -> impl std::future::Future<Output = Result<DoneAndPending<I::Item>>>
where
    I: IntoIterator<Item: Waitable>,
{
    let (several, place) = (distinct(several, I::Item::waited), Location::caller());
    async move {
        if several.is_empty() {
            return Err(Error::Value("Set of Tasks/Futures is empty.".into()));
        }
        let futures = several.iter().map(Waitable::waited).collect();
        wait_until(when, timeout, place, futures).await?;
        Ok(several.into_iter().partition(|one| one.waited().core().done()))
    }
}

/// Keeps each future once, at its first place: combinators count handles of the same future as one.
pub(super) fn distinct<T>(
    several: impl IntoIterator<Item = T>,
    future: impl Fn(&T) -> Rc<dyn AnyFuture>,
) -> Vec<T> {
    let mut seen = HashSet::new();
    several.into_iter().filter(|one| seen.insert(std::ptr::from_ref(future(one).core()))).collect()
}

/// Waits until enough of `futures` are done (`_wait`).
async fn wait_until(
    when: ReturnWhen,
    timeout: Option<Duration>,
    place: Place,
    futures: Vec<Rc<dyn AnyFuture>>,
) -> Result<()> {
    let (waiter, timer) = {
        // No handle of the loop lives across an await: a task must not keep the loop alive that
        // keeps the task.
        let lp = get_running_loop()?;
        let waiter = Future::of_kind(&lp, "wait", place);
        let set_timer = |timeout| {
            let (woken, over) = (waiter.clone(), lp.0.clock.deadline(timeout));
            lp.set_timer_named(place, "wait", over, move || release(&woken))
        };
        let timer = timeout.map(set_timer).transpose()?;
        (waiter, timer)
    };
    let left = Rc::new(Cell::new(futures.len()));
    let callbacks = futures.into_iter().map(|future| {
        let (left, waiter, timer, watched) = (left.clone(), waiter.clone(), timer.clone(), future.clone());
        DoneCallback::new(future, place, "wait", move || {
            left.set(left.get() - 1);
            // As in asyncio, the error of the last one is not looked at, so it does not count as
            // read.
            let enough = left.get() == 0
                || match when {
                    ReturnWhen::AllCompleted => false,
                    ReturnWhen::FirstCompleted => true,
                    ReturnWhen::FirstException => matches!(watched.core().exception(), Ok(Some(_))),
                };
            if !enough {
                return Ok(());
            }
            timer.iter().for_each(TimerHandle::cancel);
            release(&waiter)
        })
    });
    // Dropped in reverse order: the timer ends first (`finally` in asyncio's `_wait`).
    let _callbacks: Vec<_> = callbacks.collect();
    let _timer = DropGuard::new(|| timer.iter().for_each(TimerHandle::cancel));
    (&waiter).await
}

/// Completes a waiter, if it is not done.
pub(super) fn release(waiter: &Future<()>) -> Result<()> {
    if waiter.done() { Ok(()) } else { waiter.set_result(()) }
}
