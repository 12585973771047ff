//! `Barrier`: nobody goes on before all are there.
//!
//! It promises that nobody goes on before the last has come, that the last goes on at once and the others in the turn
//! after, and that a task which is cancelled while it waits only leaves: the barrier is not broken by it. It does not
//! promise that all of a filling go on: one that is cancelled after the last has come is cancelled, and the others go on.
//! Nor are the numbers it gives unique once somebody was cancelled, as they are not in asyncio.
//!
//! It is built on a [`Condition`], as asyncio's is. That costs nothing in turns (the lock is never held across a
//! suspension) and gives it the condition's order of wake-ups, spurious ones included.
//!
//! ```text
//!              1 the last one has come                3 the last one has left
//!   FILLING ───────────────────────────▶ DRAINING ──────────────────────────────▶ FILLING
//!      │ 2 reset() while some wait ────▶ RESETTING ──3 ───────────────────────────▶ FILLING
//!      └ 4 abort(), from any state ────▶ BROKEN ─────5 reset() while nobody is in ▶ FILLING   (else to RESETTING)
//! ```

use super::condition::Condition;
use crate::error::{Error, Result};
use crate::trace::Place;
use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

/// A meeting point of a fixed number of tasks (`asyncio.Barrier`). Cloning gives another handle of the same barrier.
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
#[derive(Clone)]
pub struct Barrier(Rc<State>);

struct State {
    changed: Condition,
    parties: usize,
    phase: Cell<Phase>,
    /// How many are inside: have come and not left.
    count: Cell<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Filling,
    Draining,
    Resetting,
    Broken,
}

impl Barrier {
    /// One for so many tasks (`asyncio.Barrier(parties)`). Needs no loop.
    ///
    /// # Errors
    /// [`Error::Value`] if there are none.
    ///
    /// ```
    /// assert_eq!(looplab::sync::Barrier::new(0).unwrap_err().to_string(), "parties must be >= 1");
    /// ```
    pub fn new(parties: usize) -> Result<Self> {
        if parties == 0 {
            return Err(Error::Value("parties must be >= 1".into()));
        }
        let (phase, count) = (Cell::new(Phase::Filling), Cell::new(0));
        Ok(Self(Rc::new(State { changed: Condition::new(), parties, phase, count })))
    }

    /// Waits until `parties` tasks have come (`Barrier.wait`; `async with barrier`), and gives this task's number: how
    /// many were there when it came, so 0 for the first. The last one does not suspend. Who comes while the tasks of the
    /// last filling still leave waits for the next.
    ///
    /// Fails with [`Error::BrokenBarrier`] if the barrier is broken or reset, before or meanwhile; with
    /// [`Error::Cancelled`] if the task is cancelled; with [`Error::Runtime`] on another loop than the one it was first
    /// waited for on; and with [`Error::NoRunningLoop`] without one.
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Barrier};
    /// let barrier = Barrier::new(1)?;
    /// assert_eq!(EventLoop::new()?.run_until_complete(barrier.wait())?, 0);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<usize>> + use<> {
        let (barrier, place) = (self.clone(), Location::caller());
        async move { barrier.wait_at(place).await }
    }

    /// Sends those who wait away with [`Error::BrokenBarrier`] and makes the barrier as new (`Barrier.reset`). It takes
    /// the barrier's lock, hence the await; nobody holds that for longer than a step.
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
    #[track_caller]
    pub fn reset(&self) -> impl Future<Output = Result<()>> + use<> {
        self.change(|state| {
            let inside = state.count.get() > 0;
            state.phase.set(if inside { Phase::Resetting } else { Phase::Filling });
        })
    }

    /// Breaks the barrier (`Barrier.abort`): those who wait, and all who come until a [`reset`](Self::reset), get
    /// [`Error::BrokenBarrier`].
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
    #[track_caller]
    pub fn abort(&self) -> impl Future<Output = Result<()>> + use<> {
        self.change(|state| state.phase.set(Phase::Broken))
    }

    /// How many tasks it takes (`Barrier.parties`).
    ///
    /// ```
    /// assert_eq!(looplab::sync::Barrier::new(3)?.parties(), 3);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[must_use]
    pub fn parties(&self) -> usize {
        self.0.parties
    }

    /// How many wait (`Barrier.n_waiting`): 0 while a filling's tasks leave.
    ///
    /// ```
    /// assert_eq!(looplab::sync::Barrier::new(3)?.n_waiting(), 0);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[must_use]
    pub fn n_waiting(&self) -> usize {
        if self.0.phase.get() == Phase::Filling { self.0.count.get() } else { 0 }
    }

    /// Whether it is broken (`Barrier.broken`): aborted, and not reset since.
    ///
    /// ```
    /// assert!(!looplab::sync::Barrier::new(3)?.broken());
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[must_use]
    pub fn broken(&self) -> bool {
        self.0.phase.get() == Phase::Broken
    }

    #[track_caller]
    fn change(&self, how: fn(&State)) -> impl Future<Output = Result<()>> + use<> {
        let (barrier, place) = (self.clone(), Location::caller());
        async move {
            let _guard = barrier.0.changed.guard_at(place).await?;
            how(&barrier.0);
            barrier.0.changed.notify_all()
        }
    }

    async fn wait_at(&self, place: Place) -> Result<usize> {
        let state = &*self.0;
        let _guard = state.changed.guard_at(place).await?;
        state.until(place, |phase| !matches!(phase, Phase::Draining | Phase::Resetting)).await?;
        if state.phase.get() == Phase::Broken {
            return Err(Error::BrokenBarrier("Barrier aborted"));
        }
        let index = state.count.get();
        let _inside = Inside::enter(state);
        if index + 1 == state.parties {
            state.phase.set(Phase::Draining);
            state.changed.notify_all()?;
            return Ok(index);
        }
        state.until(place, |phase| phase != Phase::Filling).await?;
        if matches!(state.phase.get(), Phase::Broken | Phase::Resetting) {
            return Err(Error::BrokenBarrier("Abort or reset of barrier"));
        }
        Ok(index)
    }
}

impl State {
    async fn until(&self, place: Place, phase: impl Fn(Phase) -> bool) -> Result<()> {
        self.changed.wait_for_at("barrier", place, || phase(self.phase.get())).await
    }
}

/// One task's stay in the barrier; it leaves when this is dropped, whatever the reason.
struct Inside<'a>(&'a State);

impl<'a> Inside<'a> {
    fn enter(state: &'a State) -> Self {
        state.count.set(state.count.get() + 1);
        Self(state)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let state = self.0;
        state.count.set(state.count.get() - 1);
        if state.count.get() > 0 {
            return;
        }
        if matches!(state.phase.get(), Phase::Resetting | Phase::Draining) {
            state.phase.set(Phase::Filling);
        }
        state.changed.wake(usize::MAX);
    }
}

/// `<Barrier [filling, waiters:1/2]>`.
impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.0.phase.get() {
            Phase::Filling => "filling",
            Phase::Draining => "draining",
            Phase::Resetting => "resetting",
            Phase::Broken => return f.write_str("<Barrier [broken]>"),
        };
        write!(f, "<Barrier [{phase}, waiters:{}/{}]>", self.n_waiting(), self.parties())
    }
}
