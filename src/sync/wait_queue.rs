//! `WaitQueue`: the futures of the tasks that wait for one thing, in the order of their arrival; and
//! `LoopBound`, the loop that a primitive belongs to (asyncio's `mixins._LoopBoundMixin`).
//!
//! It guarantees that no wake-up is lost: a waiter whose wait fails or is dropped calls the
//! hand-over function of its caller. No borrow is held while a waiter is woken, because a waker may
//! be user code. A call wakes no waiter that arrives meanwhile. Waking and leaving cost a binary
//! search in a queue of any length.
//!
//! A queue does not handle which loop may wait; see [`LoopBound`].
//!
//! Alternative: a callback or a waker for each waiter. Problem: a future is an ordinary await,
//! which the trace shows and a cancellation ends. Its states are the three that the rules need:
//! pending, woken, cancelled.

use crate::drop_guard::DropGuard;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Inner, get_running_loop};
use crate::task::Future as Waiter;
use crate::trace::Place;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::rc::{Rc, Weak};

/// A queue of waiters. It is used by the primitives here, by `as_completed`, and by streams and
/// servers.
#[derive(Default)]
pub(crate) struct WaitQueue {
    /// Sorted by key.
    waiters: RefCell<VecDeque<(u64, Waiter<()>)>>,
    next_key: Cell<u64>,
    /// The number of waiters at the front that are known to be done. Without it, n calls that each
    /// search for the first pending waiter would look at n² waiters.
    done: Cell<usize>,
    /// The number of waiters that were woken and have not left the queue yet.
    woken: Cell<usize>,
}

impl WaitQueue {
    /// Waits on the running loop until it is woken.
    pub(crate) async fn wait(&self, kind: &'static str, place: Place) -> Result<()> {
        let waiter = Waiter::of_kind(&get_running_loop()?, kind, place);
        self.wait_or(waiter, |_| ()).await
    }

    /// Pushes `waiter` and waits until it is woken.
    ///
    /// If the wait fails or is dropped, `hand_over` is called after the waiter has left the queue.
    /// The waiter is cancelled by then, unless it had been woken: another waiter must take its
    /// wake-up.
    ///
    /// The waiter is an argument, so that no handle of the loop lives across the await. A task must
    /// not keep the loop alive that keeps the task.
    pub(crate) async fn wait_or(
        &self,
        waiter: Waiter<()>,
        hand_over: impl FnOnce(&Waiter<()>),
    ) -> Result<()> {
        let key = self.push(waiter.clone());
        let abandon = DropGuard::new(|| {
            self.remove(key);
            // A dropped wait leaves its waiter pending.
            waiter.cancel();
            // An error that it was woken with must not be reported as never retrieved.
            let _ = waiter.error();
            hand_over(&waiter);
        });
        (&waiter).await?;
        abandon.disarm();
        self.remove(key);
        Ok(())
    }

    /// Wakes the first waiter, which stays in the queue until its task's next step. If it is done
    /// already, this does nothing: that step wakes the next one.
    pub(crate) fn wake_first(&self) {
        if self.first_pending().is_some_and(|(index, _)| index == 0) {
            self.wake_next(1);
        }
    }

    /// Wakes the first `n` pending waiters. Each stays in the queue until its task's next step.
    pub(crate) fn wake_next(&self, n: usize) {
        self.wake_up_to(n, |index| {
            self.woken.set(self.woken.get() + 1);
            Some(self.waiters.borrow()[index].1.clone())
        });
    }

    /// Removes the first `n` pending waiters, and the cancelled ones before them, and wakes the
    /// former. A queue that is woken in this way must not be woken by
    /// [`wake_next`](Self::wake_next).
    pub(crate) fn pop_and_wake(&self, n: usize) {
        self.wake_up_to(n, |index| {
            self.done.set(0);
            self.waiters.borrow_mut().drain(..=index).next_back().map(|(_, waiter)| waiter)
        });
    }

    /// Removes all waiters and wakes them with `outcome`.
    pub(crate) fn wake_all(&self, outcome: &Result<()>) {
        self.done.set(0);
        self.woken.set(0);
        for (_, waiter) in self.waiters.take().into_iter().filter(|(_, waiter)| !waiter.done()) {
            wake(&waiter, outcome.clone());
        }
    }

    fn wake_up_to(&self, n: usize, next: impl Fn(usize) -> Option<Waiter<()>>) {
        let end = self.next_key.get();
        for _ in 0..n {
            let Some((index, _)) = self.first_pending().filter(|(_, key)| *key < end) else { return };
            next(index).iter().for_each(|waiter| wake(waiter, Ok(())));
        }
    }

    /// Returns the first waiter, woken or not.
    pub(crate) fn first(&self) -> Option<Waiter<()>> {
        self.waiters.borrow().front().map(|(_, waiter)| waiter.clone())
    }

    /// Returns whether a waiter is still pending.
    pub(crate) fn any_pending(&self) -> bool {
        self.first_pending().is_some()
    }

    /// Returns whether a newcomer is next. Cancelled waiters do not come before it, woken ones do.
    pub(crate) fn is_free(&self) -> bool {
        self.woken.get() == 0 && !self.any_pending()
    }

    /// Returns the number of waiters, including those that are done but have not left yet.
    pub(crate) fn len(&self) -> usize {
        self.waiters.borrow().len()
    }

    /// Writes `, waiters:2`, or nothing for an empty queue.
    pub(super) fn fmt_len(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            0 => Ok(()),
            n => write!(f, ", waiters:{n}"),
        }
    }

    fn push(&self, waiter: Waiter<()>) -> u64 {
        let key = self.next_key.get();
        self.next_key.set(key + 1);
        self.waiters.borrow_mut().push_back((key, waiter));
        key
    }

    fn remove(&self, key: u64) {
        let mut waiters = self.waiters.borrow_mut();
        let found = waiters.binary_search_by(|(other, _)| {
            look();
            other.cmp(&key)
        });
        let removed = found.ok().and_then(|index| {
            self.done.set(self.done.get() - usize::from(index < self.done.get()));
            waiters.remove(index)
        });
        drop(waiters);
        if let Some((_, waiter)) = removed {
            let was_woken = waiter.done() && !waiter.cancelled();
            self.woken.set(self.woken.get() - usize::from(was_woken));
        }
    }

    /// Returns the index and the key of the first pending waiter.
    fn first_pending(&self) -> Option<(usize, u64)> {
        let waiters = self.waiters.borrow();
        let is_pending = |index: &usize| {
            look();
            !waiters[*index].1.done()
        };
        let index = (self.done.get()..waiters.len()).find(is_pending);
        self.done.set(index.unwrap_or(waiters.len()));
        index.map(|index| (index, waiters[index].0))
    }
}

fn wake(waiter: &Waiter<()>, outcome: Result<()>) {
    let woken = match outcome {
        Ok(()) => waiter.set_result(()),
        Err(error) => waiter.set_error(error),
    };
    match woken {
        // The tasks of a closed loop have ended, so no task waits here.
        Ok(()) | Err(Error::Closed) => {}
        Err(error) => log_error!("a waiter could not be woken: {error}"),
    }
}

/// Binds a primitive to the loop of its first wait. Since Python 3.10, uses that do not wait do not
/// bind.
///
/// The reference is weak, but it keeps the allocation: no later loop can have the same address.
#[derive(Default)]
pub(super) struct LoopBound(OnceCell<Weak<Inner>>);

impl LoopBound {
    /// Returns the running loop.
    ///
    /// # Errors
    /// [`Error::Runtime`] if `primitive` is bound to another loop, [`Error::NoRunningLoop`] without
    /// a running loop.
    pub(super) fn running_loop(&self, primitive: &dyn Debug) -> Result<EventLoop> {
        let lp = get_running_loop()?;
        let bound = self.0.get_or_init(|| Rc::downgrade(&lp.0));
        if std::ptr::eq(bound.as_ptr(), Rc::as_ptr(&lp.0)) {
            return Ok(lp);
        }
        Err(Error::Runtime(format!("{primitive:?} is bound to a different event loop").into()))
    }

    /// Creates a future on the running loop, to wait for `primitive`. Fails as
    /// [`running_loop`](Self::running_loop).
    pub(super) fn waiter(
        &self,
        primitive: &dyn Debug,
        kind: &'static str,
        place: Place,
    ) -> Result<Waiter<()>> {
        Ok(Waiter::of_kind(&self.running_loop(primitive)?, kind, place))
    }
}

/// Counts the waiters that are looked at, for the tests below.
fn look() {
    #[cfg(test)]
    tests::LOOKS.with(|looks| looks.set(looks.get() + 1));
}

#[cfg(test)]
mod tests {
    //! The cost is counted in waiters that are looked at, never by the clock.

    use super::*;
    use crate::sync::{Condition, Event, Lock, Queue, Semaphore};
    use crate::{EventLoop, Task, as_completed, create_task, yield_now};
    use std::future::poll_fn;
    use std::task::Poll;

    thread_local! { pub(super) static LOOKS: Cell<usize> = const { Cell::new(0) } }

    /// Asserts that ten times as many waiters cost about ten times as many looks, not a hundred
    /// times.
    #[track_caller]
    fn is_not_quadratic<F>(program: impl Fn(usize) -> F)
    where
        F: Future<Output = Result<()>> + 'static,
    {
        let looks = |n| {
            LOOKS.set(0);
            EventLoop::new().and_then(|lp| lp.run_until_complete(program(n))).unwrap();
            LOOKS.get()
        };
        let (few, many) = (looks(100), looks(1_000));
        assert!(few >= 100 && many < 20 * few, "100 waiters cost {few} looks, 1,000 cost {many}");
    }

    /// Creates `n` tasks that wait.
    async fn waiting<F>(n: usize, wait: impl Fn() -> F) -> Result<Vec<Task<F::Output>>>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let tasks = (0..n).map(|_| wait()).map(|wait| create_task(async { Ok(wait.await) })).collect();
        yield_now().await?;
        Ok(tasks)
    }

    async fn all_done<T: 'static>(tasks: Vec<Task<T>>) -> Result<()> {
        while !tasks.iter().all(Task::done) {
            yield_now().await?;
        }
        Ok(())
    }

    async fn cancels_last_first<F>(n: usize, wait: impl Fn() -> F) -> Result<()>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let tasks = waiting(n, wait).await?;
        for task in tasks.iter().rev() {
            task.cancel();
        }
        all_done(tasks).await
    }

    #[test]
    fn n_releases_of_a_semaphore_with_n_waiters_are_not_quadratic() {
        is_not_quadratic(|n| async move {
            let gate = Semaphore::new(0);
            let tasks = waiting(n, || gate.acquire()).await?;
            (0..n).for_each(|_| gate.release());
            all_done(tasks).await
        });
    }

    #[test]
    fn n_notifications_of_n_waiters_are_not_quadratic() {
        is_not_quadratic(|n| async move {
            let changed = Condition::new();
            let waits = || {
                let changed = changed.clone();
                async move {
                    let _guard = changed.lock().await?;
                    changed.wait().await
                }
            };
            let tasks = waiting(n, waits).await?;
            {
                let _guard = changed.lock().await?;
                (0..n).try_for_each(|_| changed.notify(1))?;
            }
            all_done(tasks).await
        });
    }

    #[test]
    fn cancelling_n_waiters_last_first_is_not_quadratic() {
        is_not_quadratic(|n| async move {
            let event = Event::new();
            cancels_last_first(n, || event.wait()).await
        });
        is_not_quadratic(|n| async move {
            let lock = Lock::new();
            lock.acquire().await?;
            cancels_last_first(n, || lock.acquire()).await
        });
        is_not_quadratic(|n| async move {
            let gate = Semaphore::new(0);
            cancels_last_first(n, || gate.acquire()).await
        });
        is_not_quadratic(|n| async move {
            let queue = Queue::<u8>::new(0);
            cancels_last_first(n, || queue.get()).await
        });
        is_not_quadratic(|n| async move {
            let lp = get_running_loop()?;
            let futures: Vec<_> = (0..n).map(|_| lp.create_future::<()>()).collect();
            let awaits: Vec<_> = as_completed(&futures).map(create_task).collect();
            yield_now().await?;
            assert!(awaits.iter().rev().all(Task::cancel));
            all_done(awaits).await
        });
    }

    #[test]
    fn n_putters_of_a_full_queue_are_not_quadratic() {
        is_not_quadratic(|n| async move {
            let queue = Queue::new(1);
            queue.put_nowait(0)?;
            let tasks = waiting(n, || queue.put(1)).await?;
            for _ in 0..=n {
                queue.get().await?;
            }
            all_done(tasks).await
        });
    }

    #[test]
    fn asking_n_times_whether_n_cancelled_waiters_come_first_is_not_quadratic() {
        is_not_quadratic(|n| async move {
            let gate = Semaphore::new(0);
            let tasks = waiting(n, || gate.acquire()).await?;
            for task in &tasks {
                task.cancel();
            }
            gate.release();
            assert!((0..n).all(|_| !gate.locked()));
            all_done(tasks).await
        });
    }

    async fn wait(queue: Rc<WaitQueue>) -> Result<()> {
        queue.wait("test", std::panic::Location::caller()).await
    }

    #[test]
    fn waiters_that_were_woken_all_together_leave_the_later_ones_in_the_queue() -> Result<()> {
        EventLoop::new()?.run_until_complete(async {
            let queue = Rc::new(WaitQueue::default());
            let first = create_task(wait(queue.clone()));
            yield_now().await?;
            queue.wake_all(&Ok(()));
            let mut second = std::pin::pin!(wait(queue.clone()));
            assert!(poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx).is_pending())).await);
            first.await?;
            assert_eq!(queue.len(), 1);
            queue.wake_all(&Err(Error::msg("lost")));
            assert_eq!(second.await.unwrap_err().to_string(), "lost");
            Ok(())
        })
    }

    #[test]
    fn waiters_may_be_cancelled_in_any_order() -> Result<()> {
        EventLoop::new()?.run_until_complete(async {
            let queue = Rc::new(WaitQueue::default());
            let tasks: Vec<_> = (0..5).map(|_| create_task(wait(queue.clone()))).collect();
            yield_now().await?;
            for place in [4, 0, 2] {
                tasks[place].cancel();
            }
            yield_now().await?;
            yield_now().await?;
            assert_eq!(queue.len(), 2);
            queue.wake_all(&Ok(()));
            let mut ended = Vec::new();
            for task in tasks {
                ended.push(task.await.is_ok());
            }
            assert_eq!(ended, [false, true, false, true, false]);
            Ok(())
        })
    }
}
