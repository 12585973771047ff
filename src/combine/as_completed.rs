//! `as_completed`: several at once, given in the order in which they end.
//!
//! It guarantees asyncio's `as_completed`. Everything starts at the call, and each await gives what
//! ended next. A timeout fails the awaits that are left, and cancels nothing. Bodies start in the
//! order of the arguments, which asyncio leaves to a set.
//!
//! What has ended is in a queue, first in, first out. A waiter that is cancelled after it was woken
//! passes the wake-up on. An await that is cancelled or dropped does not count, so nothing that
//! ended is lost. (CPython since 3.14 does not count an await that fails in any way. Without a
//! running loop every await fails, and a loop over them never ends.)

use super::wait::distinct;
use crate::error::{Error, Result};
use crate::event_loop::{TimerHandle, get_running_loop, running};
use crate::sync::wait_queue::WaitQueue;
use crate::task::Future;
use crate::task::done_callback::DoneCallback;
use crate::task::ensure::{EnsureFuture, Ensured};
use crate::trace::Place;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Runs several bodies, tasks or futures at once, and gives their outcomes in the order in which
/// they end (`asyncio.as_completed`). Bodies become tasks now. Several handles of one future count
/// once.
///
/// It is an iterator of awaitables, one for each argument. [`next_done`](AsCompleted::next_done)
/// also says which one ended. Dropping it, or leaving the `for` loop, cancels nothing: the rest
/// runs on, and failures that are never read are reported. An await that is cancelled or dropped
/// half-way takes no result: the iterator gives one awaitable more.
///
/// Without a running loop the first await fails with [`Error::NoRunningLoop`]. If an argument
/// belongs to another loop, it fails with [`Error::Value`], which CPython raises at the call.
/// Neither suspends, and no await comes after it.
///
/// ```
/// use looplab::{Clock, EventLoop, as_completed, sleep};
/// use std::time::Duration;
/// async fn after(seconds: u64) -> looplab::Result<u64> {
///     sleep(Duration::from_secs(seconds)).await?;
///     Ok(seconds)
/// }
/// let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
/// lp.run_until_complete(async {
///     let mut order = Vec::new();
///     for next in as_completed([after(3), after(1), after(2)]) {
///         order.push(next.await?);
///     }
///     assert_eq!(order, [1, 2, 3]);
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.as_completed")]
#[track_caller]
pub fn as_completed<I>(several: I) -> AsCompleted<<I::Item as EnsureFuture>::Value>
where
    I: IntoIterator<Item: EnsureFuture>,
{
    let place = Location::caller();
    let Some(lp) = running() else { return AsCompleted::failed(place, Error::NoRunningLoop) };
    let ensured: Result<Vec<_>> =
        several.into_iter().map(|one| Ok(one.ensure(&lp, place)?.of_loop(&lp)?.reported())).collect();
    match ensured {
        Ok(several) => AsCompleted::start(place, several),
        Err(error) => AsCompleted::failed(place, error),
    }
}

/// Several at once, in the order in which they end. Created by [`as_completed`].
#[must_use = "they run, but are not awaited"]
pub struct AsCompleted<T: 'static>(Rc<Several<T>>);

/// One that ended: its place among the arguments, and its handle.
type One<T> = (usize, Ensured<T>);

struct Several<T: 'static> {
    place: Place,
    /// The number of awaits that are left.
    left: Cell<usize>,
    /// The pending ones, by their places among the arguments.
    todo: RefCell<BTreeMap<usize, (Ensured<T>, DoneCallback)>>,
    /// The ended ones that were not awaited yet; an error for one that was pending at the timeout.
    /// If none could be started, the only value is that error.
    done: RefCell<VecDeque<Result<One<T>>>>,
    waiters: WaitQueue,
    timer: RefCell<Option<TimerHandle>>,
}

impl<T: 'static> AsCompleted<T> {
    /// Makes one whose only await fails.
    fn failed(place: Place, error: Error) -> Self {
        let failed = Self::start(place, Vec::new());
        failed.0.left.set(1);
        failed.0.done.borrow_mut().push_back(Err(error));
        failed
    }

    fn start(place: Place, ensured: Vec<Ensured<T>>) -> Self {
        let several = Rc::new(Several {
            place,
            left: Cell::new(0),
            todo: RefCell::default(),
            done: RefCell::default(),
            waiters: WaitQueue::default(),
            timer: RefCell::default(),
        });
        for (index, one) in distinct(ensured.into_iter().enumerate(), |(_, one)| one.future()) {
            // Weak: when nothing can await them any more, the callbacks end.
            let weak = Rc::downgrade(&several);
            let ended = move || weak.upgrade().iter().for_each(|several| several.ended(index));
            let callback = DoneCallback::new(one.future(), place, "as_completed", ended);
            several.todo.borrow_mut().insert(index, (one, callback));
        }
        several.left.set(several.todo.borrow().len());
        Self(several)
    }

    /// Limits the time for all of them together, from now on (`as_completed(…, timeout=…)`). After
    /// that time, every await that is left fails with [`Error::TimedOut`], and what is pending runs
    /// on. Call it before anything else.
    ///
    /// ```
    /// use looplab::{Clock, Error, EventLoop, as_completed, create_task, sleep};
    /// use std::time::Duration;
    /// let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
    /// lp.run_until_complete(async {
    ///     let slow = create_task(sleep(Duration::from_secs(60)));
    ///     for next in as_completed([&slow]).timeout(Duration::from_secs(1)) {
    ///         assert!(matches!(next.await, Err(Error::TimedOut)));
    ///     }
    ///     assert!(!slow.done());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub fn timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        let several = &self.0;
        if let Some(timeout) = timeout.into()
            && !several.todo.borrow().is_empty()
        {
            let weak = Rc::downgrade(several);
            let time_out = move || weak.upgrade().iter().for_each(|several| several.time_out());
            let timer = get_running_loop().and_then(|lp| {
                lp.set_timer_named(several.place, "as_completed", lp.0.clock.deadline(timeout), time_out)
            });
            match timer {
                Ok(timer) => *several.timer.borrow_mut() = Some(timer),
                Err(error) => return Self::failed(several.place, error),
            }
        }
        self
    }

    /// Waits until the next one ends, and returns its place among the arguments and its outcome;
    /// `None` after the last. (`async for` over `as_completed` gives the tasks.)
    ///
    /// A wait that is cancelled or dropped loses nothing: the next call gives what this one would
    /// have given.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when the time is over; [`Error::Cancelled`] if the waiter is cancelled.
    ///
    /// ```
    /// use looplab::{EventLoop, as_completed, create_task, yield_now};
    /// let lp = EventLoop::new()?;
    /// lp.run_until_complete(async {
    ///     let slow = create_task(async { yield_now().await?; Ok("slow") });
    ///     let quick = create_task(async { Ok("quick") });
    ///     let mut ended = as_completed([slow, quick]);
    ///     while let Some((index, result)) = ended.next_done().await? {
    ///         println!("{index}: {}", result?);                    // 1: quick, then 0: slow
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub async fn next_done(&mut self) -> Result<Option<(usize, Result<T>)>> {
        let Some(several) = self.claim() else { return Ok(None) };
        let (index, one) = several.next().await?;
        Ok(Some((index, one.take())))
    }

    /// Counts an await. Returns what it waits for; `None` if no await is left.
    fn claim(&mut self) -> Option<Rc<Several<T>>> {
        let several = &self.0;
        several.left.set(several.left.get().checked_sub(1)?);
        Some(several.clone())
    }
}

impl<T: 'static> Iterator for AsCompleted<T> {
    type Item = Completed<T>;

    fn next(&mut self) -> Option<Completed<T>> {
        let several = self.claim()?;
        Some(Completed(Box::pin(async move { several.next().await?.1.take() })))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.left.get();
        (left, Some(left))
    }
}

impl<T: 'static> ExactSizeIterator for AsCompleted<T> {}

/// Awaits the next one that ends. Created by the iterator [`AsCompleted`]. The first await gets the
/// first one that ends, whichever of these is awaited.
#[must_use = "futures do nothing unless awaited"]
pub struct Completed<T>(Pin<Box<dyn std::future::Future<Output = Result<T>>>>);

impl<T> std::future::Future for Completed<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        self.0.as_mut().poll(cx)
    }
}

impl<T: 'static> Several<T> {
    /// Passes one that ended to the next await, unless the timeout came before.
    fn ended(&self, index: usize) {
        let ended = self.todo.borrow_mut().remove(&index);
        let Some((one, _)) = ended else { return };
        self.put(Ok((index, one)));
        if self.todo.borrow().is_empty() {
            self.stop_timer();
        }
    }

    /// Fails the awaits of all that are pending, and removes their callbacks.
    fn time_out(&self) {
        let (_ones, callbacks): (Vec<_>, Vec<_>) = self.todo.take().into_values().unzip();
        for callback in callbacks {
            drop(callback);
            self.put(Err(Error::TimedOut));
        }
    }

    fn put(&self, one: Result<One<T>>) {
        self.done.borrow_mut().push_back(one);
        self.waiters.pop_and_wake(1);
    }

    /// Waits until the next one ends, for an await that was counted.
    async fn next(self: Rc<Self>) -> Result<One<T>> {
        loop {
            let next = self.done.borrow_mut().pop_front();
            if let Some(next) = next {
                return next;
            }
            let waiter = Future::of_kind(&get_running_loop()?, "as_completed", self.place);
            let waited = self.waiters.wait_or(waiter, |waiter| self.abandoned(waiter)).await;
            if waited.as_ref().is_err_and(|error| !error.is_cancelled()) {
                // Only an await that is cancelled or dropped does not count.
                self.left.set(self.left.get() - 1);
            }
            waited?;
        }
    }

    /// Uncounts an await whose wait failed or was dropped. Another waiter takes its wake-up.
    fn abandoned(&self, waiter: &Future<()>) {
        self.left.set(self.left.get() + 1);
        if waiter.done() && !waiter.cancelled() && !self.done.borrow().is_empty() {
            self.waiters.pop_and_wake(1);
        }
    }

    fn stop_timer(&self) {
        self.timer.take().iter().for_each(TimerHandle::cancel);
    }
}

/// Cancels the timer when nothing can await them any more. The callbacks end with the entries of
/// `todo`.
impl<T: 'static> Drop for Several<T> {
    fn drop(&mut self) {
        self.stop_timer();
    }
}

impl<T: 'static> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.0.left.get();
        match self.0.done.borrow().front() {
            Some(Err(error)) if left > 0 && !matches!(error, Error::TimedOut) => {
                write!(f, "<AsCompleted failed: {error}>")
            }
            _ => write!(f, "<AsCompleted, {left} left>"),
        }
    }
}

impl<T> fmt::Debug for Completed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<await the next completed>")
    }
}
