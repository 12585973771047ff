//! `Barrier`: tasks wait for each other.
//!
//! It guarantees that no task passes before the last one arrives. The last passes at once, the
//! others in the next turn. A task that is cancelled while it waits leaves, and does not break the
//! barrier. As in asyncio, a task may be cancelled after the last one has arrived, and numbers are
//! not unique after a cancellation.
//!
//! It is built on a [`Condition`], as asyncio's is, and wakes in the condition's order. No task
//! holds the lock across a suspension, so the lock costs no turns.
//!
//! ```text
//!              1 the last task arrives                3 the last task leaves
//!   FILLING ───────────────────────────▶ DRAINING ──────────────────────────────▶ FILLING
//!      │ 2 reset() while tasks wait ───▶ RESETTING ──3 ───────────────────────────▶ FILLING
//!      └ 4 abort(), from any state ────▶ BROKEN ─────5 reset() of an empty one ───▶ FILLING   (otherwise to RESETTING)
//! ```

use super::condition::Condition;
use crate::drop_guard::DropGuard;
use crate::error::{Error, Result};
use crate::trace::Place;
use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

/// A meeting point of a fixed number of tasks (`asyncio.Barrier`). A clone is another handle of the
/// same barrier.
///
/// ```
/// use looplab::{EventLoop, create_task, sync::Barrier};
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async {
///     let barrier = Barrier::new(2)?;
///     let other = create_task(barrier.wait());
///     assert_eq!(barrier.wait().await? + other.await?, 1);       // one was number 0, the other number 1
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.Barrier")]
#[derive(Clone)]
pub struct Barrier(Rc<BarrierInner>);

struct BarrierInner {
    changed: Condition,
    parties: usize,
    state: Cell<BarrierState>,
    /// The number of tasks that have arrived and not left.
    count: Cell<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BarrierState {
    Filling,
    Draining,
    Resetting,
    Broken,
}

impl Barrier {
    /// Creates a barrier for a number of tasks (`asyncio.Barrier(parties)`). Needs no loop.
    ///
    /// # Errors
    /// [`Error::Value`] for zero.
    ///
    /// ```
    /// assert_eq!(looplab::sync::Barrier::new(0).unwrap_err().to_string(), "parties must be >= 1");
    /// ```
    #[doc(alias("asyncio.Barrier", "Barrier"))]
    pub fn new(parties: usize) -> Result<Self> {
        if parties == 0 {
            return Err(Error::Value("parties must be >= 1".into()));
        }
        let (state, count) = (Cell::new(BarrierState::Filling), Cell::new(0));
        Ok(Self(Rc::new(BarrierInner { changed: Condition::new(), parties, state, count })))
    }

    /// Waits until `parties` tasks have arrived (`Barrier.wait`; `async with barrier`). Returns the
    /// number of tasks that were there before this one. The last task does not suspend. A task that
    /// arrives while the tasks before it still leave waits for the next round.
    ///
    /// Fails with [`Error::BrokenBarrier`] if the barrier is or becomes broken or reset, and with
    /// [`Error::Cancelled`] if the task is cancelled. Fails with [`Error::Runtime`] on another loop
    /// than the first wait's, and with [`Error::NoRunningLoop`] without a running loop.
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Barrier};
    /// let barrier = Barrier::new(1)?;
    /// assert_eq!(EventLoop::new()?.run_until_complete(barrier.wait())?, 0);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Barrier.wait")]
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<usize>> + use<> {
        let (barrier, place) = (self.0.clone(), Location::caller());
        async move { barrier.wait(place).await }
    }

    /// Empties the barrier (`Barrier.reset`): the waiting tasks get [`Error::BrokenBarrier`], and
    /// it can be used again. The await acquires the barrier's lock, which no task holds for longer
    /// than a step.
    ///
    /// ```
    /// # use looplab::{EventLoop, create_task, sync::Barrier, yield_now};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let barrier = Barrier::new(2)?;
    ///     let waiting = create_task(barrier.wait());
    ///     yield_now().await?;
    ///     barrier.reset().await?;
    ///     assert_eq!(waiting.await.unwrap_err().to_string(), "Abort or reset of barrier");
    ///     assert!(!barrier.broken());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Barrier.reset")]
    #[track_caller]
    pub fn reset(&self) -> impl Future<Output = Result<()>> + use<> {
        self.change(|count| if count > 0 { BarrierState::Resetting } else { BarrierState::Filling })
    }

    /// Breaks the barrier (`Barrier.abort`): tasks that wait, or arrive before a
    /// [`reset`](Self::reset), get [`Error::BrokenBarrier`].
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Barrier};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let barrier = Barrier::new(2)?;
    ///     barrier.abort().await?;
    ///     assert!(barrier.broken());
    ///     assert_eq!(barrier.wait().await.unwrap_err().to_string(), "Barrier aborted");
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Barrier.abort")]
    #[track_caller]
    pub fn abort(&self) -> impl Future<Output = Result<()>> + use<> {
        self.change(|_| BarrierState::Broken)
    }

    /// Returns the number of tasks that open the barrier (`Barrier.parties`).
    ///
    /// ```
    /// assert_eq!(looplab::sync::Barrier::new(3)?.parties(), 3);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Barrier.parties")]
    #[must_use]
    pub fn parties(&self) -> usize {
        self.0.parties
    }

    /// Returns the number of tasks that wait (`Barrier.n_waiting`). It is 0 while tasks leave.
    ///
    /// ```
    /// assert_eq!(looplab::sync::Barrier::new(3)?.n_waiting(), 0);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Barrier.n_waiting")]
    #[must_use]
    pub fn n_waiting(&self) -> usize {
        if self.0.state.get() == BarrierState::Filling { self.0.count.get() } else { 0 }
    }

    /// Returns whether the barrier was aborted, and not reset since (`Barrier.broken`).
    ///
    /// ```
    /// assert!(!looplab::sync::Barrier::new(3)?.broken());
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Barrier.broken")]
    #[must_use]
    pub fn broken(&self) -> bool {
        self.0.state.get() == BarrierState::Broken
    }

    /// Sets the state that `next` returns for the number of tasks inside, and notifies them.
    #[track_caller]
    fn change(&self, next: fn(usize) -> BarrierState) -> impl Future<Output = Result<()>> + use<> {
        let (barrier, place) = (self.0.clone(), Location::caller());
        async move {
            let _guard = barrier.changed.guard_at(place).await?;
            barrier.state.set(next(barrier.count.get()));
            barrier.changed.notify_all()
        }
    }
}

impl BarrierInner {
    async fn wait(&self, place: Place) -> Result<usize> {
        let _guard = self.changed.guard_at(place).await?;
        self.wait_for(place, |state| !matches!(state, BarrierState::Draining | BarrierState::Resetting))
            .await?;
        if self.state.get() == BarrierState::Broken {
            return Err(Error::BrokenBarrier("Barrier aborted"));
        }
        let index = self.count.get();
        self.count.set(index + 1);
        let _leave = DropGuard::new(|| self.leave());
        if index + 1 == self.parties {
            self.state.set(BarrierState::Draining);
            self.changed.notify_all()?;
            return Ok(index);
        }
        self.wait_for(place, |state| state != BarrierState::Filling).await?;
        if matches!(self.state.get(), BarrierState::Broken | BarrierState::Resetting) {
            return Err(Error::BrokenBarrier("Abort or reset of barrier"));
        }
        Ok(index)
    }

    async fn wait_for(&self, place: Place, predicate: impl Fn(BarrierState) -> bool) -> Result<()> {
        self.changed.wait_for_at("barrier", place, || predicate(self.state.get())).await
    }

    /// Takes arrow 3 if this task is the last to leave.
    fn leave(&self) {
        self.count.set(self.count.get() - 1);
        if self.count.get() > 0 {
            return;
        }
        if matches!(self.state.get(), BarrierState::Resetting | BarrierState::Draining) {
            self.state.set(BarrierState::Filling);
        }
        self.changed.notify_unlocked(usize::MAX);
    }
}

/// Writes `<Barrier [filling, waiters:1/2]>`.
impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.0.state.get() {
            BarrierState::Filling => "filling",
            BarrierState::Draining => "draining",
            BarrierState::Resetting => "resetting",
            BarrierState::Broken => return f.write_str("<Barrier [broken]>"),
        };
        write!(f, "<Barrier [{state}, waiters:{}/{}]>", self.n_waiting(), self.parties())
    }
}
