//! `Condition`: wait for a change that others make under a lock.
//!
//! It promises that a notification reaches somebody: a waiter that ends with an error instead passes one on, as asyncio
//! does since 3.13 (before, it was lost with a waiter that was cancelled after it had been notified). It promises that
//! `wait` ends with the lock held, when it is cancelled too. It does not promise that every end of a `wait` is a
//! notification meant for it: check the state again, or use `wait_for`.

use super::lock::{Lock, LockGuard};
use super::waiters::{Home, Waiters, count};
use crate::error::{Error, Result};
use crate::trace::Place;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

/// A lock, and a line of those who wait for what it guards to change (`asyncio.Condition`). Cloning gives another handle
/// of the same condition.
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
#[derive(Clone, Default)]
pub struct Condition(Rc<State>);

#[derive(Default)]
struct State {
    lock: Lock,
    waiters: Waiters,
    home: Home,
}

impl Condition {
    /// One with a lock of its own (`asyncio.Condition()`). Needs no loop.
    ///
    /// ```
    /// assert!(!looplab::sync::Condition::new().locked());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One on this lock, which several conditions may share (`asyncio.Condition(lock)`).
    ///
    /// ```
    /// # use looplab::sync::{Condition, Lock};
    /// let lock = Lock::new();
    /// let (not_empty, not_full) = (Condition::with_lock(&lock), Condition::with_lock(&lock));
    /// ```
    #[must_use]
    pub fn with_lock(lock: &Lock) -> Self {
        Self(Rc::new(State { lock: lock.clone(), ..State::default() }))
    }

    /// Whether the lock is held (`Condition.locked`).
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::{Condition, Lock}};
    /// let lock = Lock::new();
    /// EventLoop::new()?.run_until_complete(lock.acquire())?;
    /// assert!(Condition::with_lock(&lock).locked());
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[must_use]
    pub fn locked(&self) -> bool {
        self.0.lock.locked()
    }

    /// Takes the lock (`async with condition`): [`Lock::lock`].
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

    /// Takes the lock, to be released by hand (`Condition.acquire`): [`Lock::acquire`].
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
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<()>> + use<> {
        self.0.lock.acquire()
    }

    /// Releases the lock (`Condition.release`): [`Lock::release`].
    ///
    /// # Errors
    /// [`Error::Runtime`] if nobody holds it.
    ///
    /// ```
    /// # use looplab::sync::Condition;
    /// assert_eq!(Condition::new().release().unwrap_err().to_string(), "Lock is not acquired.");
    /// ```
    pub fn release(&self) -> Result<()> {
        self.0.lock.release()
    }

    /// Gives the lock up, waits until notified, and takes the lock again (`Condition.wait`). It may return although
    /// nobody notified this waiter; see [`wait_for`](Self::wait_for).
    ///
    /// Fails with [`Error::Runtime`] if the lock is not held, or on another loop than the one it was first waited for on.
    /// Fails with [`Error::Cancelled`] if the task is cancelled, and with the last of several requests; it has the lock
    /// again then, however long that takes.
    ///
    /// Nothing can be awaited while a future is *dropped* (by a `select!`, say): a `wait` that ends so does not have the
    /// lock again. A guard of that lock notices and releases nothing; code that goes on must take the lock again.
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Condition};
    /// let error = EventLoop::new()?.run_until_complete(Condition::new().wait()).unwrap_err();
    /// assert_eq!(error.to_string(), "cannot wait on un-acquired lock");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<()>> + use<> {
        let (condition, place) = (self.clone(), Location::caller());
        async move { condition.wait_at("condition", place).await }
    }

    /// Waits, and waits again, until `predicate` is true (`Condition.wait_for`). If it is true at once, this does not
    /// suspend. The lock is held whenever it is asked.
    ///
    /// Fails as [`wait`](Self::wait) does.
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
    #[track_caller]
    pub fn wait_for<P>(&self, predicate: P) -> impl Future<Output = Result<()>> + use<P>
    where
        P: FnMut() -> bool,
    {
        let (condition, place) = (self.clone(), Location::caller());
        async move { condition.wait_for_at("condition", place, predicate).await }
    }

    /// Wakes the first `n` who wait (`Condition.notify`). They go on when they have the lock, so release it soon.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the lock is not held.
    ///
    /// ```
    /// # use looplab::sync::Condition;
    /// assert_eq!(Condition::new().notify(1).unwrap_err().to_string(), "cannot notify on un-acquired lock");
    /// ```
    pub fn notify(&self, n: usize) -> Result<()> {
        if !self.locked() {
            return Err(Error::Runtime("cannot notify on un-acquired lock".into()));
        }
        self.0.waiters.wake_pending(n);
        Ok(())
    }

    /// Wakes all who wait (`Condition.notify_all`).
    ///
    /// # Errors
    /// As [`notify`](Self::notify).
    ///
    /// ```
    /// # use looplab::sync::Condition;
    /// assert_eq!(Condition::new().notify_all().unwrap_err().to_string(), "cannot notify on un-acquired lock");
    /// ```
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
        let State { lock, waiters, home } = &*self.0;
        let Some(hold) = lock.number() else {
            return Err(Error::Runtime("cannot wait on un-acquired lock".into()));
        };
        drop(home.running_loop(self)?);
        // Armed until all is well: whatever else ends this wait, it may have taken a notification with it. Passing one on
        // that never came is a spurious wake-up, which is allowed; losing one is not.
        let mut pass_on = PassOn(Some(self));
        lock.release()?;
        let waiter = home.waiter(self, kind, place, None)?;
        let notified = waiters.wait(waiter, |_| ()).await;
        // A cancellation that comes while the lock is taken again is the younger one, and the one to report.
        let outcome = lock.acquire_again(hold, place).await.and(notified);
        if outcome.is_ok() {
            pass_on.0 = None;
        }
        outcome
    }

    /// Notifies without asking for the lock: for whoever cleans up.
    pub(super) fn wake(&self, n: usize) {
        self.0.waiters.wake_pending(n);
    }
}

/// Notifies one other when it is dropped.
struct PassOn<'a>(Option<&'a Condition>);

impl Drop for PassOn<'_> {
    fn drop(&mut self) {
        if let Some(condition) = self.0 {
            condition.wake(1);
        }
    }
}

/// `<Condition [locked, waiters:1]>`.
impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Condition [{}", if self.locked() { "locked" } else { "unlocked" })?;
        count(f, &self.0.waiters)?;
        f.write_str("]>")
    }
}
