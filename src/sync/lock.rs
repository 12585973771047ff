//! `Lock`: one at a time, in the order of asking.
//!
//! It promises fairness: a lock that is released is not free for a newcomer while somebody waits, although nobody holds
//! it until the woken waiter goes on. It promises that no hand-over is lost: a waiter that is cancelled after it was
//! woken wakes the next. It does not belong to a task, as asyncio's does not: anybody may release it, and a task that
//! asks for what it holds waits for itself. [`Lock::owner`] only says who took it.
//!
//! ```text
//!   UNLOCKED ──1 acquire, and nobody comes before──▶ LOCKED ──2 release──▶ UNLOCKED, the first in line is woken
//!   UNLOCKED, one is woken ──3 its step: it acquires───────────▶ LOCKED
//!   UNLOCKED, one is woken ──4 its step, but it was cancelled──▶ UNLOCKED, the next is woken
//! ```

use super::waiters::{Home, Waiters, count};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Inner, TaskKey};
use crate::task::{Holder, TaskRef, current_task};
use crate::trace::Place;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::{Rc, Weak};

/// Mutual exclusion between tasks (`asyncio.Lock`). Cloning gives another handle of the same lock.
///
/// `async with lock:` is [`lock`](Self::lock), whose guard releases when it is dropped; [`acquire`](Self::acquire) and
/// [`release`](Self::release) are there to be called by hand, as in asyncio.
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
#[derive(Clone, Default)]
pub struct Lock(Rc<State>);

#[derive(Default)]
struct State {
    hold: RefCell<Option<Hold>>,
    /// The task of `hold`, for those who wait.
    holder: Holder,
    holds: Cell<u64>,
    waiters: Waiters,
    home: Home,
}

/// One holding of the lock.
struct Hold {
    /// Tells it from those before and after, so that a guard never ends another's.
    number: u64,
    /// Which task took it. A key and not a handle: a handle would put off the report of a task that failed.
    task: Option<(Weak<Inner>, TaskKey)>,
}

impl Lock {
    /// An unlocked one (`asyncio.Lock()`). Needs no loop.
    ///
    /// ```
    /// assert!(!looplab::sync::Lock::new().locked());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether somebody holds it (`Lock.locked`). False between a release and the step of the waiter that it woke.
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Lock};
    /// let lock = Lock::new();
    /// EventLoop::new()?.run_until_complete(lock.acquire())?;
    /// assert!(lock.locked());
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[must_use]
    pub fn locked(&self) -> bool {
        self.0.hold.borrow().is_some()
    }

    /// The task that took it, as long as that task is not done. `None` too if it was taken outside of any task. asyncio's
    /// locks do not know their owner.
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

    /// Waits until the lock is free for this task, and takes it (`async with lock`). It is released when the guard is
    /// dropped.
    ///
    /// Fails as [`acquire`](Self::acquire) does.
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

    /// Waits until the lock is free for this task, and takes it (`Lock.acquire`). Whoever does must
    /// [`release`](Self::release) it. If it is free and nobody waits, this does not suspend.
    ///
    /// Fails with [`Error::Cancelled`] if the task is cancelled while it waits: it does not hold the lock then. Fails
    /// with [`Error::Runtime`] if it would have to wait on another loop than the one it was first waited for on, and with
    /// [`Error::NoRunningLoop`] without one.
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
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<()>> + use<> {
        let (lock, place) = (self.clone(), Location::caller());
        async move { lock.acquire_at(place).await.map(drop) }
    }

    /// Releases it and wakes the first in line (`Lock.release`). Anybody may, at any time on the loop's thread. The guard
    /// of a lock that was released by hand does nothing more.
    ///
    /// # Errors
    /// [`Error::Runtime`] if nobody holds it.
    ///
    /// ```
    /// # use looplab::sync::Lock;
    /// assert_eq!(Lock::new().release().unwrap_err().to_string(), "Lock is not acquired.");
    /// ```
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

    /// Arrow 1, or a wait and arrow 3; the number of the hold.
    async fn acquire_at(&self, place: Place) -> Result<u64> {
        let state = &*self.0;
        if !self.locked() && state.waiters.is_free() {
            return Ok(self.hold());
        }
        let waiter = state.home.waiter(self, "lock", place, Some(&state.holder))?;
        let pass_on = |_| {
            // Arrow 4. The wake-up need not have been this waiter's own: a release finds a cancelled waiter at the
            // head of the line and leaves the rest to its step, which is this.
            if !self.locked() {
                state.waiters.wake_first();
            }
        };
        state.waiters.wait(waiter, pass_on).await?;
        // Arrow 3.
        Ok(self.hold())
    }

    fn hold(&self) -> u64 {
        let number = self.0.holds.get() + 1;
        self.0.holds.set(number);
        let task = current_task();
        self.0.holder.set(task.as_ref().map(TaskRef::id));
        let by = task.and_then(|task| Some((task.event_loop()?.downgrade(), task.key()?)));
        let before = self.0.hold.replace(Some(Hold { number, task: by }));
        drop(before);
        number
    }

    /// The number of the present hold, if the lock is held.
    pub(super) fn number(&self) -> Option<u64> {
        self.0.hold.borrow().as_ref().map(|hold| hold.number)
    }

    /// Takes the lock again for one who gave it up for a while: the hold has its old number, so that its guard is good.
    /// A cancellation does not end this; the last one is handed back when the lock is held.
    pub(super) async fn acquire_again(&self, number: u64, place: Place) -> Result<()> {
        let mut cancelled = Ok(());
        loop {
            match self.acquire_at(place).await {
                Ok(_) => break,
                Err(error) if error.is_cancelled() => cancelled = Err(error),
                // It belongs to another loop: trying again would not help.
                Err(error) => return Err(error),
            }
        }
        if let Some(hold) = &mut *self.0.hold.borrow_mut() {
            hold.number = number;
        }
        cancelled
    }

    pub(super) fn waiters(&self) -> &Waiters {
        &self.0.waiters
    }
}

/// `<Lock [locked, waiters:1, owner:'Task-2']>`.
impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Lock [{}", if self.locked() { "locked" } else { "unlocked" })?;
        count(f, self.waiters())?;
        if let Some(owner) = self.owner() {
            write!(f, ", owner:'{}'", owner.name())?;
        }
        f.write_str("]>")
    }
}

/// Holds a lock until it is dropped; made by [`Lock::lock`] and [`Condition::lock`](super::Condition::lock).
///
/// It holds what it took and nothing else: if the lock is released by hand, or given up by a
/// [`Condition::wait`](super::Condition::wait) that was dropped, dropping the guard does nothing, whoever holds the lock
/// by then. (asyncio's `async with` releases another's lock there, or raises.)
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
            // It is held, so this cannot fail.
            let _ = self.lock.release();
        }
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<guard of {:?}>", self.lock)
    }
}
