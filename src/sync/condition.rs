//! `Condition`: waits for a change that other tasks make under a lock.
//!
//! It guarantees that no notification is lost: a waiter that ends with an error notifies another
//! one, as in asyncio since 3.13. It guarantees that `wait` ends with the lock held, even if it is
//! cancelled. It does not guarantee that `wait` ends only after a notification: check the state
//! again, or use `wait_for`.

use super::lock::{Lock, LockGuard};
use super::wait_queue::{LoopBound, WaitQueue};
use crate::drop_guard::DropGuard;
use crate::error::{Error, Result};
use crate::trace::Place;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

/// A lock, and a queue of tasks that wait for a change of what it guards (`asyncio.Condition`). A
/// clone is another handle of the same condition.
///
/// ```
/// use looplab::{EventLoop, create_task, sync::Condition};
/// use std::{cell::Cell, rc::Rc};
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async {
///     let (changed, apples) = (Condition::new(), Rc::new(Cell::new(0)));
///     let (theirs, basket) = (changed.clone(), apples.clone());
///     let eater = create_task(async move {
///         let _guard = theirs.lock().await?;
///         theirs.wait_for(|| basket.get() > 0).await?;
///         basket.set(basket.get() - 1);
///         Ok(())
///     });
///     {
///         let _guard = changed.lock().await?;
///         apples.set(1);
///         changed.notify(1)?;
///     }
///     eater.await?;
///     assert_eq!(apples.get(), 0);
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.Condition")]
#[derive(Clone, Default)]
pub struct Condition(Rc<ConditionInner>);

#[derive(Default)]
struct ConditionInner {
    lock: Lock,
    waiters: WaitQueue,
    bound: LoopBound,
}

impl Condition {
    /// Creates a condition with a lock of its own (`asyncio.Condition()`). Needs no loop.
    ///
    /// ```
    /// assert!(!looplab::sync::Condition::new().locked());
    /// ```
    #[doc(alias("asyncio.Condition", "Condition"))]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a condition on `lock`, which several conditions may share
    /// (`asyncio.Condition(lock)`).
    ///
    /// ```
    /// # use looplab::sync::{Condition, Lock};
    /// let lock = Lock::new();
    /// let (not_empty, not_full) = (Condition::with_lock(&lock), Condition::with_lock(&lock));
    /// ```
    #[doc(alias("asyncio.Condition", "Condition"))]
    #[must_use]
    pub fn with_lock(lock: &Lock) -> Self {
        Self(Rc::new(ConditionInner { lock: lock.clone(), ..ConditionInner::default() }))
    }

    /// Returns whether the lock is held (`Condition.locked`).
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::{Condition, Lock}};
    /// let lock = Lock::new();
    /// EventLoop::new()?.run_until_complete(lock.acquire())?;
    /// assert!(Condition::with_lock(&lock).locked());
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Condition.locked")]
    #[must_use]
    pub fn locked(&self) -> bool {
        self.0.lock.locked()
    }

    /// Acquires the lock, as [`Lock::lock`] does (`async with condition`).
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Condition};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let changed = Condition::new();
    ///     let _guard = changed.lock().await?;
    ///     changed.notify_all()
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn lock(&self) -> impl Future<Output = Result<LockGuard>> + use<> {
        self.0.lock.lock()
    }

    /// Acquires the lock, as [`Lock::acquire`] does (`Condition.acquire`).
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Condition};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let changed = Condition::new();
    ///     changed.acquire().await?;
    ///     changed.notify(1)?;
    ///     changed.release()
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Condition.acquire")]
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<()>> + use<> {
        self.0.lock.acquire()
    }

    /// Releases the lock, as [`Lock::release`] does (`Condition.release`).
    ///
    /// # Errors
    /// [`Error::Runtime`] if the lock is not held.
    ///
    /// ```
    /// # use looplab::sync::Condition;
    /// assert_eq!(Condition::new().release().unwrap_err().to_string(), "Lock is not acquired.");
    /// ```
    #[doc(alias = "Condition.release")]
    pub fn release(&self) -> Result<()> {
        self.0.lock.release()
    }

    /// Releases the lock, waits for a notification, and acquires the lock again (`Condition.wait`).
    /// It may return without a notification; see [`wait_for`](Self::wait_for).
    ///
    /// Fails with [`Error::Runtime`] if the lock is not held, or on another loop than the
    /// first wait's. Fails with [`Error::Cancelled`] if the task is cancelled; of several requests it
    /// returns the last. It holds the lock again then, however long that takes.
    ///
    /// A `wait` whose future is *dropped* (by a `select!`, say) does not hold the lock again,
    /// because a drop cannot wait. A guard of that lock then releases nothing, and code that
    /// continues must acquire the lock again.
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Condition};
    /// let error = EventLoop::new()?.run_until_complete(Condition::new().wait()).unwrap_err();
    /// assert_eq!(error.to_string(), "cannot wait on un-acquired lock");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Condition.wait")]
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<()>> + use<> {
        let (condition, place) = (self.clone(), Location::caller());
        async move { condition.wait_at("condition", place).await }
    }

    /// Waits until `predicate` returns true (`Condition.wait_for`). Does not suspend if it does so
    /// at once. The lock is held at each call of `predicate`. Fails as [`wait`](Self::wait) does.
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Condition};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let changed = Condition::new();
    ///     let _guard = changed.lock().await?;
    ///     changed.wait_for(|| true).await
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Condition.wait_for")]
    #[track_caller]
    pub fn wait_for<P>(&self, predicate: P) -> impl Future<Output = Result<()>> + use<P>
    where
        P: FnMut() -> bool,
    {
        let (condition, place) = (self.clone(), Location::caller());
        async move { condition.wait_for_at("condition", place, predicate).await }
    }

    /// Wakes the first `n` waiters (`Condition.notify`). They continue once they hold the lock, so
    /// release it soon.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the lock is not held.
    ///
    /// ```
    /// # use looplab::sync::Condition;
    /// assert_eq!(Condition::new().notify(1).unwrap_err().to_string(), "cannot notify on un-acquired lock");
    /// ```
    #[doc(alias = "Condition.notify")]
    pub fn notify(&self, n: usize) -> Result<()> {
        if !self.locked() {
            return Err(Error::Runtime("cannot notify on un-acquired lock".into()));
        }
        self.notify_unlocked(n);
        Ok(())
    }

    /// Wakes all waiters (`Condition.notify_all`).
    ///
    /// # Errors
    /// As [`notify`](Self::notify).
    ///
    /// ```
    /// # use looplab::sync::Condition;
    /// assert_eq!(Condition::new().notify_all().unwrap_err().to_string(), "cannot notify on un-acquired lock");
    /// ```
    #[doc(alias = "Condition.notify_all")]
    pub fn notify_all(&self) -> Result<()> {
        self.notify(usize::MAX)
    }

    pub(super) async fn guard_at(&self, place: Place) -> Result<LockGuard> {
        self.0.lock.guard_at(place).await
    }

    pub(super) async fn wait_for_at(
        &self,
        kind: &'static str,
        place: Place,
        mut predicate: impl FnMut() -> bool,
    ) -> Result<()> {
        while !predicate() {
            self.wait_at(kind, place).await?;
        }
        Ok(())
    }

    async fn wait_at(&self, kind: &'static str, place: Place) -> Result<()> {
        let ConditionInner { lock, waiters, bound } = &*self.0;
        let Some(hold) = lock.number() else {
            return Err(Error::Runtime("cannot wait on un-acquired lock".into()));
        };
        drop(bound.running_loop(self)?);
        // A wait that fails may have received a notification, so it always notifies another waiter.
        // A spurious wake-up is allowed, a lost one is not.
        let failed = DropGuard::new(|| self.notify_unlocked(1));
        lock.release()?;
        let waiter = bound.waiter(self, kind, place)?;
        let notified = waiters.wait_or(waiter, |_| ()).await;
        // A cancellation while the lock is acquired again is the later one, and therefore the one
        // to return.
        lock.acquire_again(hold, place).await.and(notified)?;
        failed.disarm();
        Ok(())
    }

    /// Wakes the first `n` waiters, also while the lock is not held.
    pub(super) fn notify_unlocked(&self, n: usize) {
        self.0.waiters.wake_next(n);
    }
}

/// Writes `<Condition [locked, waiters:1]>`.
impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Condition [{}", if self.locked() { "locked" } else { "unlocked" })?;
        self.0.waiters.fmt_len(f)?;
        f.write_str("]>")
    }
}
