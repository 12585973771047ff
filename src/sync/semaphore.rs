//! `Semaphore` and `BoundedSemaphore`: a number of permits, in the order of arrival.
//!
//! They guarantee fairness: a release while a task waits hands the permit over at once, so no
//! newcomer can take it. They guarantee that no permit is lost: a waiter that is cancelled after it
//! got a permit returns it, and the next waiter gets it. They do not record which task holds a
//! permit, and a plain semaphore may be released more often than acquired.

use super::wait_queue::{LoopBound, WaitQueue};
use crate::error::{Error, Result};
use crate::task::Future as Waiter;
use crate::trace::Place;
use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

/// The state of either kind of semaphore.
#[derive(Default)]
struct SemaphoreInner {
    /// The permits that are left. A permit for a woken waiter is taken off here when it is woken,
    /// not in its step.
    value: Cell<usize>,
    /// The highest value of a bounded semaphore.
    max: Option<usize>,
    waiters: WaitQueue,
    bound: LoopBound,
}

impl SemaphoreInner {
    fn new(value: usize, max: Option<usize>) -> Rc<Self> {
        Rc::new(Self { value: Cell::new(value), max, ..Self::default() })
    }

    /// Returns whether a newcomer must wait: no permit is left, or other tasks come first.
    fn locked(&self) -> bool {
        self.value.get() == 0 || !self.waiters.is_free()
    }

    async fn acquire(&self, place: Place) -> Result<()> {
        if !self.locked() {
            self.value.set(self.value.get() - 1);
            return Ok(());
        }
        let waiter = self.bound.waiter(self, "semaphore", place)?;
        let hand_over = |waiter: &Waiter<()>| {
            if !waiter.cancelled() {
                self.put_back();
            }
            self.wake_while_permits_are_left();
        };
        self.waiters.wait_or(waiter, hand_over).await?;
        // Permits may have been released after this waiter was woken, while no waiter could be
        // given one.
        self.wake_while_permits_are_left();
        Ok(())
    }

    fn release(&self) -> Result<()> {
        if self.max.is_some_and(|max| self.value.get() >= max) {
            return Err(Error::Value("BoundedSemaphore released too many times".into()));
        }
        self.put_back();
        self.wake_next();
        Ok(())
    }

    fn put_back(&self) {
        // Saturating, so that an endless loop of releases does not panic.
        self.value.set(self.value.get().saturating_add(1));
    }

    /// Gives one permit to the first pending waiter (asyncio's `_wake_up_next`). Returns whether
    /// there was one.
    fn wake_next(&self) -> bool {
        let found = self.waiters.any_pending();
        if found {
            self.value.set(self.value.get() - 1);
            self.waiters.wake_next(1);
        }
        found
    }

    fn wake_while_permits_are_left(&self) {
        while self.value.get() > 0 && self.wake_next() {}
    }
}

/// A number of permits that tasks acquire and release (`asyncio.Semaphore`). A clone is another
/// handle of the same semaphore.
///
/// ```
/// use looplab::{EventLoop, gather, sync::Semaphore, yield_now};
/// use std::{cell::Cell, rc::Rc};
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async {
///     let (two, inside) = (Semaphore::new(2), Rc::new(Cell::new(0)));
///     gather((0..5).map(|_| {
///         let (two, inside) = (two.clone(), inside.clone());
///         async move {
///             let _permit = two.permit().await?;
///             inside.set(inside.get() + 1);
///             assert!(inside.get() <= 2);
///             yield_now().await?;
///             inside.set(inside.get() - 1);
///             Ok(())
///         }
///     }))
///     .await?;
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.Semaphore")]
#[derive(Clone)]
pub struct Semaphore(Rc<SemaphoreInner>);

impl Semaphore {
    /// Creates a semaphore with `value` permits (`asyncio.Semaphore(value)`). Needs no loop. The
    /// type excludes asyncio's error `Semaphore initial value must be >= 0`.
    ///
    /// ```
    /// assert!(looplab::sync::Semaphore::new(0).locked());
    /// ```
    #[doc(alias("asyncio.Semaphore", "Semaphore"))]
    #[must_use]
    pub fn new(value: usize) -> Self {
        Self(SemaphoreInner::new(value, None))
    }

    /// Releases a permit, to the first waiter if there is one (`Semaphore.release`). It may be
    /// called at any time on the loop's thread, and more often than [`acquire`](Self::acquire); see
    /// [`BoundedSemaphore`].
    ///
    /// ```
    /// # use looplab::sync::Semaphore;
    /// let gate = Semaphore::new(0);
    /// gate.release();
    /// assert!(!gate.locked());
    /// ```
    #[doc(alias = "Semaphore.release")]
    pub fn release(&self) {
        // Only a bounded semaphore can fail here.
        let _ = self.0.release();
    }
}

/// A semaphore that must not be released more often than acquired (`asyncio.BoundedSemaphore`). A
/// clone is another handle of the same semaphore.
///
/// ```
/// use looplab::{EventLoop, sync::BoundedSemaphore};
/// EventLoop::new()?.run_until_complete(async {
///     let one = BoundedSemaphore::new(1);
///     one.acquire().await?;
///     one.release()?;
///     assert_eq!(one.release().unwrap_err().to_string(), "BoundedSemaphore released too many times");
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.BoundedSemaphore")]
#[derive(Clone)]
pub struct BoundedSemaphore(Rc<SemaphoreInner>);

impl BoundedSemaphore {
    /// Creates a semaphore with `value` permits, which is also the highest value
    /// (`asyncio.BoundedSemaphore(value)`). Needs no loop.
    ///
    /// ```
    /// assert!(!looplab::sync::BoundedSemaphore::new(2).locked());
    /// ```
    #[doc(alias("asyncio.BoundedSemaphore", "BoundedSemaphore"))]
    #[must_use]
    pub fn new(value: usize) -> Self {
        Self(SemaphoreInner::new(value, Some(value)))
    }

    /// Releases a permit, to the first waiter if there is one (`BoundedSemaphore.release`).
    ///
    /// # Errors
    /// [`Error::Value`] if no permit is acquired.
    ///
    /// ```
    /// # use looplab::sync::BoundedSemaphore;
    /// assert!(BoundedSemaphore::new(1).release().is_err());
    /// ```
    pub fn release(&self) -> Result<()> {
        self.0.release()
    }
}

/// Implements what both kinds have.
macro_rules! semaphore {
    ($($semaphore:ident)*) => {$(
        impl $semaphore {
            /// Returns whether [`acquire`](Self::acquire) would wait, because no permit is left or
            /// other tasks wait (`Semaphore.locked`).
            ///
            /// ```
            /// # use looplab::sync::{BoundedSemaphore, Semaphore};
            /// assert!(Semaphore::new(0).locked() && !BoundedSemaphore::new(1).locked());
            /// ```
            #[doc(alias = "Semaphore.locked")]
            #[must_use]
            pub fn locked(&self) -> bool {
                self.0.locked()
            }

            /// Acquires a permit, and releases it when it is dropped (`async with semaphore`).
            /// Waits and fails as [`acquire`](Self::acquire) does.
            ///
            /// ```
            /// # use looplab::{EventLoop, sync::BoundedSemaphore};
            /// EventLoop::new()?.run_until_complete(async {
            ///     let one = BoundedSemaphore::new(1);
            ///     {
            ///         let _permit = one.permit().await?;
            ///         assert!(one.locked());
            ///     }
            ///     assert!(!one.locked());
            ///     Ok(())
            /// })?;
            /// # Ok::<(), looplab::Error>(())
            /// ```
            #[track_caller]
            pub fn permit(&self) -> impl Future<Output = Result<Permit>> + use<> {
                let (semaphore, place) = (self.0.clone(), Location::caller());
                async move {
                    semaphore.acquire(place).await?;
                    Ok(Permit(semaphore))
                }
            }

            /// Acquires a permit, to be [released](Self::release) by hand (`Semaphore.acquire`).
            /// Does not suspend unless the semaphore is [locked](Self::locked).
            ///
            /// Fails with [`Error::Cancelled`] if the task is cancelled while it waits; it has no
            /// permit then. A wait fails with [`Error::Runtime`] on another loop than the
            /// first wait's, and with [`Error::NoRunningLoop`] without a running loop.
            ///
            /// ```
            /// # use looplab::{EventLoop, sync::Semaphore};
            /// let one = Semaphore::new(1);
            /// EventLoop::new()?.run_until_complete(one.acquire())?;
            /// assert!(one.locked());
            /// # Ok::<(), looplab::Error>(())
            /// ```
            #[doc(alias = "Semaphore.acquire")]
            #[track_caller]
            pub fn acquire(&self) -> impl Future<Output = Result<()>> + use<> {
                let (semaphore, place) = (self.0.clone(), Location::caller());
                async move { semaphore.acquire(place).await }
            }
        }

        /// Creates a semaphore with one permit.
        impl Default for $semaphore {
            fn default() -> Self {
                Self::new(1)
            }
        }

        impl fmt::Debug for $semaphore {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

semaphore!(Semaphore BoundedSemaphore);

/// A permit of a semaphore, which is released when it is dropped. Created by [`Semaphore::permit`]
/// and [`BoundedSemaphore::permit`].
///
/// ```
/// use looplab::{EventLoop, sync::Semaphore};
/// EventLoop::new()?.run_until_complete(async {
///     let one = Semaphore::new(1);
///     let permit = one.permit().await?;
///     assert!(one.locked());
///     drop(permit);
///     assert!(!one.locked());
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[must_use = "the permit is released when it is dropped"]
pub struct Permit(Rc<SemaphoreInner>);

impl Drop for Permit {
    fn drop(&mut self) {
        if let Err(error) = self.0.release() {
            // A destructor cannot return the error, which asyncio's `async with` raises.
            log_error!("{error}");
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<permit of {:?}>", self.0)
    }
}

/// Writes `<Semaphore [unlocked, value:2]>` or `<BoundedSemaphore [locked, waiters:1]>`.
impl fmt::Debug for SemaphoreInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.max.is_some() { "BoundedSemaphore" } else { "Semaphore" };
        write!(f, "<{name} [")?;
        if self.locked() {
            f.write_str("locked")?;
        } else {
            write!(f, "unlocked, value:{}", self.value.get())?;
        }
        self.waiters.fmt_len(f)?;
        f.write_str("]>")
    }
}
