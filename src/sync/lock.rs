//! `Lock`: mutual exclusion, in the order of arrival.
//!
//! It guarantees fairness: while a task waits, no newcomer can take a lock that was released,
//! although no task holds it until the woken waiter's step. A waiter that is cancelled after it was
//! woken wakes the next one. As in asyncio, a lock does not belong to a task: any code may release
//! it, and a task that acquires it twice waits for itself.
//!
//! ```text
//!   UNLOCKED ──1 acquire, no waiter comes before──▶ LOCKED ──2 release──▶ UNLOCKED, the first waiter is woken
//!   UNLOCKED, one is woken ──3 its step: it acquires───────────▶ LOCKED
//!   UNLOCKED, one is woken ──4 its step, but it was cancelled──▶ UNLOCKED, the next is woken
//! ```

use super::wait_queue::{LoopBound, WaitQueue};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Inner};
use crate::task::{Holder, TaskRef, current_task};
use crate::trace::Place;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::num::NonZeroU64;
use std::panic::Location;
use std::rc::{Rc, Weak};

/// Mutual exclusion between tasks (`asyncio.Lock`). A clone is another handle of the same lock.
///
/// `async with lock:` is [`lock`](Self::lock), whose guard releases the lock when it is dropped.
/// [`acquire`](Self::acquire) and [`release`](Self::release) are asyncio's methods of the same
/// names.
///
/// ```
/// use looplab::{EventLoop, create_task, sync::Lock, yield_now};
/// use std::{cell::Cell, rc::Rc};
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async {
///     let (lock, inside) = (Lock::new(), Rc::new(Cell::new(0)));
///     let visit = || {
///         let (lock, inside) = (lock.clone(), inside.clone());
///         create_task(async move {
///             let _guard = lock.lock().await?;
///             assert_eq!(inside.replace(1), 0);
///             yield_now().await?;
///             inside.set(0);
///             Ok(())
///         })
///     };
///     let (first, second) = (visit(), visit());
///     first.await?;
///     second.await
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.Lock")]
#[derive(Clone, Default)]
pub struct Lock(Rc<LockInner>);

#[derive(Default)]
struct LockInner {
    hold: RefCell<Option<Hold>>,
    /// The task of `hold`; the waiters' futures share it, for snapshots.
    holder: Holder,
    last_hold: Cell<u64>,
    waiters: WaitQueue,
    bound: LoopBound,
}

/// One acquisition of the lock.
struct Hold {
    /// Distinguishes the acquisitions, so that a guard never releases a later one.
    number: u64,
    /// The task that acquired it. Alternative: a handle of the task. Problem: it would delay the
    /// report of a failure.
    task: Option<(Weak<Inner>, NonZeroU64)>,
}

impl Lock {
    /// Creates an unlocked lock (`asyncio.Lock()`). Needs no loop.
    ///
    /// ```
    /// assert!(!looplab::sync::Lock::new().locked());
    /// ```
    #[doc(alias("asyncio.Lock", "Lock"))]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns whether the lock is held (`Lock.locked`). It is not between a release and the step
    /// of the woken waiter.
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Lock};
    /// let lock = Lock::new();
    /// EventLoop::new()?.run_until_complete(lock.acquire())?;
    /// assert!(lock.locked());
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Lock.locked")]
    #[must_use]
    pub fn locked(&self) -> bool {
        self.0.hold.borrow().is_some()
    }

    /// Returns the task that acquired the lock. Returns `None` if that task is done, or if no task
    /// was running. asyncio has no such method.
    ///
    /// ```
    /// # use looplab::{EventLoop, Task, current_task, sync::Lock};
    /// let lp = EventLoop::new()?;
    /// lp.run_until_complete(async {
    ///     let lock = Lock::new();
    ///     let _guard = lock.lock().await?;
    ///     assert_eq!(lock.owner(), current_task());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[must_use]
    pub fn owner(&self) -> Option<TaskRef> {
        let (lp, key) = self.0.hold.borrow().as_ref().and_then(|hold| hold.task.clone())?;
        lp.upgrade().map(EventLoop)?.task(key)
    }

    /// Acquires the lock, and releases it when the guard is dropped (`async with lock`). Waits and
    /// fails as [`acquire`](Self::acquire) does.
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Lock};
    /// let lp = EventLoop::new()?;
    /// lp.run_until_complete(async {
    ///     let lock = Lock::new();
    ///     let guard = lock.lock().await?;
    ///     assert!(lock.locked());
    ///     drop(guard);
    ///     assert!(!lock.locked());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn lock(&self) -> impl Future<Output = Result<LockGuard>> + use<> {
        let (lock, place) = (self.clone(), Location::caller());
        async move { lock.guard_at(place).await }
    }

    /// Acquires the lock, to be [released](Self::release) by hand (`Lock.acquire`). Waits while it
    /// is held or other tasks wait; otherwise this does not suspend.
    ///
    /// Fails with [`Error::Cancelled`] if the task is cancelled while it waits; it does not hold
    /// the lock then. A wait fails with [`Error::Runtime`] on another loop than the first
    /// wait's, and with [`Error::NoRunningLoop`] without a running loop.
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Lock};
    /// let lp = EventLoop::new()?;
    /// lp.run_until_complete(async {
    ///     let lock = Lock::new();
    ///     lock.acquire().await?;
    ///     lock.release()
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Lock.acquire")]
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<()>> + use<> {
        let (lock, place) = (self.clone(), Location::caller());
        async move { lock.acquire_at(place).await.map(drop) }
    }

    /// Releases the lock and wakes the first waiter (`Lock.release`). Any code may call it, at any
    /// time on the loop's thread. The guard of this acquisition does nothing afterwards.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the lock is not held.
    ///
    /// ```
    /// # use looplab::sync::Lock;
    /// assert_eq!(Lock::new().release().unwrap_err().to_string(), "Lock is not acquired.");
    /// ```
    #[doc(alias = "Lock.release")]
    pub fn release(&self) -> Result<()> {
        // Arrow 2.
        if self.0.hold.take().is_none() {
            return Err(Error::Runtime("Lock is not acquired.".into()));
        }
        self.0.holder.set(None);
        self.0.waiters.wake_first();
        Ok(())
    }

    pub(super) async fn guard_at(&self, place: Place) -> Result<LockGuard> {
        let number = self.acquire_at(place).await?;
        Ok(LockGuard { lock: self.clone(), number })
    }

    /// Takes arrow 1, or waits and takes arrow 3. Returns the number of the hold.
    async fn acquire_at(&self, place: Place) -> Result<u64> {
        let LockInner { holder, waiters, bound, .. } = &*self.0;
        if !self.locked() && waiters.is_free() {
            return Ok(self.hold());
        }
        let waiter = bound.waiter(self, "lock", place)?.held_by(Some(holder));
        let wake_next = |_: &_| {
            // Arrow 4, also for a waiter that was not woken: a release that finds a cancelled
            // waiter in front wakes none, and relies on this step.
            if !self.locked() {
                waiters.wake_first();
            }
        };
        waiters.wait_or(waiter, wake_next).await?;
        // Arrow 3.
        Ok(self.hold())
    }

    fn hold(&self) -> u64 {
        let number = self.0.last_hold.get() + 1;
        self.0.last_hold.set(number);
        let task = current_task();
        self.0.holder.set(task.as_ref().map(TaskRef::id));
        let task = task.and_then(|task| Some((Rc::downgrade(&task.event_loop()?.0), task.key()?)));
        let old = self.0.hold.replace(Some(Hold { number, task }));
        drop(old);
        number
    }

    /// Returns the number of the current hold.
    pub(super) fn number(&self) -> Option<u64> {
        self.0.hold.borrow().as_ref().map(|hold| hold.number)
    }

    /// Acquires the lock again under the number of an earlier hold, so that the guard of that hold
    /// stays valid. A cancellation does not end this; the last one is returned once the lock is
    /// held.
    pub(super) async fn acquire_again(&self, number: u64, place: Place) -> Result<()> {
        let mut cancelled = Ok(());
        while let Err(error) = self.acquire_at(place).await {
            if !error.is_cancelled() {
                // The lock is bound to another loop: another attempt would fail as well.
                return Err(error);
            }
            cancelled = Err(error);
        }
        if let Some(hold) = &mut *self.0.hold.borrow_mut() {
            hold.number = number;
        }
        cancelled
    }
}

/// Writes `<Lock [locked, waiters:1, owner:'Task-2']>`.
impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Lock [{}", if self.locked() { "locked" } else { "unlocked" })?;
        self.0.waiters.fmt_len(f)?;
        if let Some(owner) = self.owner() {
            write!(f, ", owner:'{}'", owner.name())?;
        }
        f.write_str("]>")
    }
}

/// Holds a lock until it is dropped. Created by [`Lock::lock`] and
/// [`Condition::lock`](super::Condition::lock).
///
/// It releases its own acquisition only. It does nothing after a release by hand, or after a
/// [`Condition::wait`](super::Condition::wait) was dropped, even if another task holds the lock by
/// then. (asyncio's `async with` releases that task's lock, or raises.)
///
/// ```
/// use looplab::{EventLoop, sync::Lock};
/// EventLoop::new()?.run_until_complete(async {
///     let lock = Lock::new();
///     {
///         let _guard = lock.lock().await?;
///         assert!(lock.locked());
///     }
///     assert!(!lock.locked());
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[must_use = "the lock is released when the guard is dropped"]
pub struct LockGuard {
    lock: Lock,
    number: u64,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if self.lock.number() == Some(self.number) {
            // The lock is held, so this cannot fail.
            let _ = self.lock.release();
        }
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<guard of {:?}>", self.lock)
    }
}
