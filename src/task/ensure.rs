//! What can be run, gathered or waited for: a body, a task, or a future (`asyncio.ensure_future`).

use super::cell::{Making, TaskCell};
use super::future::FutureCell;
use super::future_core::{AnyFuture, FutureOf};
use super::spawn::Prepared;
use super::{Future, Task, TaskRef};
use crate::error::{Error, Result};
use crate::event_loop::EventLoop;
use crate::outcome::Outcome;
use crate::trace::Place;
use std::panic::Location;
use std::rc::Rc;

/// A body, which becomes a task; or a task or future, which is taken as it is (`asyncio.ensure_future`).
///
/// Implemented for every `std::future::Future` whose output is an [`Outcome`], and for [`Task`], [`Future`],
/// [`Shield`](crate::Shield) and their references. It cannot be implemented elsewhere.
pub trait EnsureFuture: sealed::Ensure {}

impl<A: sealed::Ensure> EnsureFuture for A {}

pub(crate) mod sealed {
    use super::{EventLoop, Place, Result};

    pub trait Ensure {
        type Value: 'static;
        #[doc(hidden)]
        fn ensure(self, lp: &EventLoop, place: Place) -> Result<super::Ensured<Self::Value>>;
    }
}

/// What became of it.
pub enum Ensured<T: 'static> {
    /// A task that was just made: nobody else has its handle, so its value may be taken.
    #[doc(hidden)]
    New(Task<T>),
    /// A task or future that others hold too.
    #[doc(hidden)]
    Shared(Shared<T>),
}

/// Something that others hold too: its value is cloned.
#[allow(missing_debug_implementations, reason = "Ensured shows it")]
pub struct Shared<T>(pub(crate) Rc<dyn FutureOf<T>>);

impl<T: 'static> std::fmt::Debug for Ensured<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let awaitable = self.awaitable();
        write!(f, "<{} {}>", awaitable.core().kind(), awaitable.core().id())
    }
}

impl<T: 'static> Ensured<T> {
    pub(crate) fn awaitable(&self) -> Rc<dyn AnyFuture> {
        match self {
            Self::New(task) => task.cell().clone(),
            Self::Shared(shared) => shared.0.clone(),
        }
    }

    /// A task made of a body is one like any other: its destruction while pending is reported. (`run_until_complete` and
    /// `gather` do not ask for that, as in asyncio.)
    pub(crate) fn reported(self) -> Self {
        if let Self::New(task) = &self {
            task.cell().report_destroyed();
        }
        self
    }

    /// Refuses what belongs to another loop, for a caller whose counterpart in asyncio does.
    pub(crate) fn of_loop(self, lp: &EventLoop) -> Result<Self> {
        let awaitable = self.awaitable();
        if awaitable.core().belongs_to(lp) || awaitable.core().has_no_loop() {
            return Ok(self);
        }
        let text = "The future belongs to a different loop than the one specified as the loop argument";
        Err(Error::Value(text.into()))
    }

    /// The outcome of one that is done.
    pub(crate) fn take(self) -> Result<T> {
        match self {
            Self::New(task) => task.take(),
            Self::Shared(shared) => shared.0.outcome(),
        }
    }

    /// As something whose value is cloned.
    pub(crate) fn share(self) -> Rc<dyn FutureOf<T>>
    where
        T: Clone,
    {
        match self {
            Self::New(task) => task.cell().clone(),
            Self::Shared(shared) => shared.0,
        }
    }
}

impl<F> sealed::Ensure for F
where
    F: std::future::Future<Output: Outcome> + 'static,
{
    type Value = <F::Output as Outcome>::Value;

    fn ensure(self, lp: &EventLoop, place: Place) -> Result<Ensured<Self::Value>> {
        // Nobody else can have a handle, so its destruction is no loss that somebody would want to hear of.
        let making = Making { place, name: None, report_destroyed: false };
        TaskCell::spawn(lp, making, self).map(|cell| Ensured::New(Task::new(cell)))
    }
}

impl<F> sealed::Ensure for Prepared<F>
where
    F: std::future::Future<Output: Outcome> + 'static,
{
    type Value = <F::Output as Outcome>::Value;

    fn ensure(self, lp: &EventLoop, place: Place) -> Result<Ensured<Self::Value>> {
        let making = Making { place, name: self.name, report_destroyed: false };
        TaskCell::spawn(lp, making, self.body).map(|cell| Ensured::New(Task::new(cell)))
    }
}

impl<T: Clone + 'static> sealed::Ensure for &Task<T> {
    type Value = T;

    fn ensure(self, _: &EventLoop, _: Place) -> Result<Ensured<T>> {
        Ok(shared(self.cell().clone()))
    }
}

impl<T: Clone + 'static> sealed::Ensure for Task<T> {
    type Value = T;

    fn ensure(self, lp: &EventLoop, place: Place) -> Result<Ensured<T>> {
        (&self).ensure(lp, place)
    }
}

impl<T: Clone + 'static> sealed::Ensure for &Future<T> {
    type Value = T;

    fn ensure(self, _: &EventLoop, _: Place) -> Result<Ensured<T>> {
        let cell: Rc<FutureCell<T>> = self.cell().clone();
        Ok(shared(cell))
    }
}

impl<T: Clone + 'static> sealed::Ensure for Future<T> {
    type Value = T;

    fn ensure(self, lp: &EventLoop, place: Place) -> Result<Ensured<T>> {
        (&self).ensure(lp, place)
    }
}

impl sealed::Ensure for &TaskRef {
    type Value = ();

    fn ensure(self, _: &EventLoop, _: Place) -> Result<Ensured<()>> {
        Ok(shared(Rc::new(super::untyped::Untyped::of(self))))
    }
}

impl sealed::Ensure for TaskRef {
    type Value = ();

    fn ensure(self, lp: &EventLoop, place: Place) -> Result<Ensured<()>> {
        (&self).ensure(lp, place)
    }
}

/// What others hold too, of whichever loop.
pub(crate) fn shared<T: 'static>(source: Rc<dyn FutureOf<T>>) -> Ensured<T> {
    Ensured::Shared(Shared(source))
}

impl EventLoop {
    /// Runs until `target` is done, and returns its outcome (`loop.run_until_complete`). A body becomes a task; a task or
    /// future (or a reference to one) is taken as it is, and need not be new.
    ///
    /// Whatever else waits stays, and goes on in the next run. Leaf takes asyncio's turns: a body that returns at
    /// once takes two, its step and the callback that ends the run.
    ///
    /// # Errors
    /// What the target failed with; [`Error::StoppedBeforeComplete`] if something else stopped the loop first (keep a
    /// handle and run it again: nothing is lost); and all of [`run_forever`](Self::run_forever)'s.
    ///
    /// ```
    /// # use looplab::EventLoop;
    /// let lp = EventLoop::new()?;
    /// assert_eq!(lp.run_until_complete(async { Ok("done") })?, "done");
    /// assert_eq!(lp.turns(), 2);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn run_until_complete<A: EnsureFuture>(&self, target: A) -> Result<A::Value> {
        let place = Location::caller();
        self.0.check_runnable()?;
        let target = target.ensure(self, place)?.of_loop(self)?;
        let awaitable = target.awaitable();
        if let Err(error) = self.run_until(&awaitable, place) {
            // What left the loop is the new task's own error, as a rule: it counts as read. Others may read a shared one.
            if let Ensured::New(_) = target {
                awaitable.core().retrieved();
            }
            return Err(error);
        }
        target.take()
    }

    /// Runs until `target` is done, and leaves its outcome in it.
    pub(crate) fn run_until(&self, target: &Rc<dyn AnyFuture>, place: Place) -> Result<()> {
        if target.core().has_no_loop() {
            // A task that could not be made has failed already, and no loop will ever tell of it.
            return Ok(());
        }
        // The request to stop is tied to this run. (In asyncio it is not: one that is queued in the turn in which
        // something else stops the loop ends the *next* run.)
        let (run, watched) = (self.0.this_run(), Rc::downgrade(target));
        let name = "run_until_complete";
        let id = super::handles::add_done_callback(target.clone(), place, name, move |_| {
            // The queue holds the target, as in asyncio: if an error leaves the loop in this very turn, this callback runs
            // in the next run and reads the error of a task that may have no other handle left.
            let lp = crate::event_loop::get_running_loop()?;
            let leaves = watched.upgrade().is_some_and(|target| {
                // Looking at the error counts as reading it, as in asyncio.
                target.core().retrieved();
                target.error().is_some_and(|error| error.leaves_the_loop())
            });
            if lp.0.this_run() == run && !leaves {
                lp.stop();
            }
            Ok(())
        });
        let result = self.run_forever();
        target.core().drop_waiter(id.key());
        result?;
        if target.core().done() { Ok(()) } else { Err(Error::StoppedBeforeComplete) }
    }
}
