//! `Semaphore` and `BoundedSemaphore`: so many at a time, in the order of asking.
//!
//! They promise fairness: a release with somebody in line hands the permit over at once, so the value stays where it is
//! and no newcomer can take it. They promise that no permit is lost: one that was handed to a waiter which is cancelled
//! goes back, and on to the next. They do not know who holds a permit; whoever has one may release it, and a plain
//! semaphore lets anybody release more than was ever acquired.

use super::waiters::{Home, Waiters, count};
use crate::error::{Error, Result};
use crate::trace::Place;
use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

/// What both kinds are.
struct Permits {
    value: Cell<usize>,
    /// What the value may not exceed, if it is bounded.
    bound: Option<usize>,
    waiters: Waiters,
    home: Home,
}

impl Permits {
    fn new(value: usize, bound: Option<usize>) -> Rc<Self> {
        Rc::new(Self { value: Cell::new(value), bound, waiters: Waiters::default(), home: Home::default() })
    }

    /// Whether a newcomer would have to wait: nothing is left, or others come first.
    fn locked(&self) -> bool {
        self.value.get() == 0 || !self.waiters.is_free()
    }

    async fn acquire(&self, place: Place) -> Result<()> {
        if !self.locked() {
            self.value.set(self.value.get() - 1);
            return Ok(());
        }
        let waiter = self.home.waiter(self, "semaphore", place, None)?;
        let give_back = |woken| {
            if woken {
                self.put_back();
            }
            self.hand_out();
        };
        self.waiters.wait(waiter, give_back).await?;
        // While this one was woken but had not run, permits may have come back that nobody could be given.
        self.hand_out();
        Ok(())
    }

    fn release(&self) -> Result<()> {
        if self.bound.is_some_and(|bound| self.value.get() >= bound) {
            return Err(Error::Value("BoundedSemaphore released too many times".into()));
        }
        self.put_back();
        self.hand_to_next();
        Ok(())
    }

    fn put_back(&self) {
        // Nobody can hold so many permits that this matters; it keeps a wild loop of releases from a panic.
        self.value.set(self.value.get().saturating_add(1));
    }

    /// Hands one permit to the first who waits; whether there was anybody. It is taken off the value here and not in the
    /// waiter's step, so that nobody can come between.
    fn hand_to_next(&self) -> bool {
        let anybody = self.waiters.any_pending();
        if anybody {
            self.value.set(self.value.get() - 1);
            self.waiters.wake_pending(1);
        }
        anybody
    }

    fn hand_out(&self) {
        while self.value.get() > 0 && self.hand_to_next() {}
    }
}

/// The methods that both have, written once.
macro_rules! semaphore_methods {
    () => {
        /// Whether [`acquire`](Self::acquire) would have to wait (`Semaphore.locked`): because no permit is left, or because
        /// others wait already.
        ///
        /// ```
        /// # use looplab::sync::{BoundedSemaphore, Semaphore};
        /// assert!(Semaphore::new(0).locked() && !BoundedSemaphore::new(1).locked());
        /// ```
        #[must_use]
        pub fn locked(&self) -> bool {
            self.0.locked()
        }

        /// Waits for a permit (`async with semaphore`), which is released when it is dropped.
        ///
        /// Fails as [`acquire`](Self::acquire) does.
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
            let (permits, place) = (self.0.clone(), Location::caller());
            async move {
                permits.acquire(place).await?;
                Ok(Permit(permits))
            }
        }

        /// Waits for a permit, to be given back with [`release`](Self::release) (`Semaphore.acquire`). If there is one and
        /// nobody waits, this does not suspend.
        ///
        /// Fails with [`Error::Cancelled`] if the task is cancelled while it waits; it has no permit then. Fails with
        /// [`Error::Runtime`] if it would have to wait on another loop than the one it was first waited for on, and with
        /// [`Error::NoRunningLoop`] without one.
        ///
        /// ```
        /// # use looplab::{EventLoop, sync::Semaphore};
        /// let one = Semaphore::new(1);
        /// EventLoop::new()?.run_until_complete(one.acquire())?;
        /// assert!(one.locked());
        /// # Ok::<(), looplab::Error>(())
        /// ```
        #[track_caller]
        pub fn acquire(&self) -> impl Future<Output = Result<()>> + use<> {
            let (permits, place) = (self.0.clone(), Location::caller());
            async move { permits.acquire(place).await }
        }
    };
}

/// A number of permits that tasks take and give back (`asyncio.Semaphore`). Cloning gives another handle of the same
/// semaphore.
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
#[derive(Clone)]
pub struct Semaphore(Rc<Permits>);

impl Semaphore {
    /// One with `value` permits (`asyncio.Semaphore(value)`). asyncio's `Semaphore initial value must be >= 0` is said by
    /// the type. Needs no loop.
    ///
    /// ```
    /// assert!(looplab::sync::Semaphore::new(0).locked());
    /// ```
    #[must_use]
    pub fn new(value: usize) -> Self {
        Self(Permits::new(value, None))
    }

    semaphore_methods!();

    /// Gives a permit: to the first in line, if there is one (`Semaphore.release`). Anybody may, at any time on the loop's
    /// thread, and more often than was acquired; see [`BoundedSemaphore`].
    ///
    /// ```
    /// # use looplab::sync::Semaphore;
    /// let gate = Semaphore::new(0);
    /// gate.release();
    /// assert!(!gate.locked());
    /// ```
    pub fn release(&self) {
        // Only a bound can refuse.
        let _ = self.0.release();
    }
}

/// One permit (`asyncio.Semaphore()`).
impl Default for Semaphore {
    fn default() -> Self {
        Self::new(1)
    }
}

/// A semaphore that notices when more is released than was acquired (`asyncio.BoundedSemaphore`). Cloning gives another
/// handle of the same semaphore.
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
#[derive(Clone)]
pub struct BoundedSemaphore(Rc<Permits>);

impl BoundedSemaphore {
    /// One with `value` permits and never more (`asyncio.BoundedSemaphore(value)`). Needs no loop.
    ///
    /// ```
    /// assert!(!looplab::sync::BoundedSemaphore::new(2).locked());
    /// ```
    #[must_use]
    pub fn new(value: usize) -> Self {
        Self(Permits::new(value, Some(value)))
    }

    semaphore_methods!();

    /// Gives a permit back: to the first in line, if there is one (`BoundedSemaphore.release`).
    ///
    /// # Errors
    /// [`Error::Value`] if all permits are there already.
    ///
    /// ```
    /// # use looplab::sync::BoundedSemaphore;
    /// assert!(BoundedSemaphore::new(1).release().is_err());
    /// ```
    pub fn release(&self) -> Result<()> {
        self.0.release()
    }
}

/// One permit (`asyncio.BoundedSemaphore()`).
impl Default for BoundedSemaphore {
    fn default() -> Self {
        Self::new(1)
    }
}

/// A permit of a semaphore, released when it is dropped; made by [`Semaphore::permit`] and
/// [`BoundedSemaphore::permit`].
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
pub struct Permit(Rc<Permits>);

impl Drop for Permit {
    fn drop(&mut self) {
        if let Err(error) = self.0.release() {
            // A destructor has nobody to hand it to; where asyncio's `async with` raises, this is the trace of a bug.
            log_error!("{error}");
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<permit of {:?}>", self.0)
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `<Semaphore [unlocked, value:2]>`, `<BoundedSemaphore [locked, waiters:1]>`.
impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.bound.is_some() { "BoundedSemaphore" } else { "Semaphore" };
        write!(f, "<{name} [")?;
        if self.locked() {
            f.write_str("locked")?;
        } else {
            write!(f, "unlocked, value:{}", self.value.get())?;
        }
        count(f, &self.waiters)?;
        f.write_str("]>")
    }
}
