//! What can be run, gathered or waited for: a body, a task, or a future (`asyncio.ensure_future`).

use super::done_callback;
use super::future::Future;
use super::future_core::{AnyFuture, FutureOf};
use super::handles::{Task, TaskRef};
use super::leaf::Join;
use super::spawn::{Prepared, TaskBuilder, spawn};
use crate::drop_guard::DropGuard;
use crate::error::{Error, Result};
use crate::event_loop::{Callback, EventLoop, Header};
use crate::in_place::rc_in_place;
use crate::outcome::{Outcome, ValueOf};
use crate::trace::{EntryKind, Place};
use std::panic::Location;
use std::rc::Rc;

/// A body, which becomes a task; or a task or future, which is taken as it is (`asyncio.ensure_future`).
///
/// Implemented for every `std::future::Future` whose output is an [`Outcome`], and for [`Task`], [`Future`],
/// [`Shield`](crate::Shield) and their references. It cannot be implemented elsewhere.
#[doc(alias("asyncio.ensure_future", "ensure_future"))]
pub trait EnsureFuture {
    /// The type of its value.
    type Value: 'static;
    #[doc(hidden)]
    fn ensure(self, lp: &EventLoop, place: Place) -> Result<Ensured<Self::Value>>;
}

/// What became of it. Other crates cannot name this type, so they cannot implement [`EnsureFuture`].
#[derive(Debug)]
pub enum Ensured<T: 'static> {
    /// A task that was just made: there is no other handle, so its value may be taken.
    New(Task<T>),
    /// A task or future that others hold too: its value is cloned.
    Shared(FutureOf<T>),
}

impl<T: 'static> Ensured<T> {
    pub(crate) fn future(&self) -> Rc<dyn AnyFuture> {
        match self {
            Self::New(task) => task.any_future(),
            Self::Shared(shared) => shared.future.clone(),
        }
    }

    /// Reports the task's destruction while pending, as for any task. (asyncio's `run_until_complete` and `gather`
    /// do not ask for that.)
    pub(crate) fn reported(self) -> Self {
        if let Self::New(task) = &self {
            task.0.report_destroyed.set(true);
        }
        self
    }

    /// Refuses what belongs to another loop, for a caller whose counterpart in asyncio does.
    pub(crate) fn of_loop(self, lp: &EventLoop) -> Result<Self> {
        if let Self::Shared(shared) = &self
            && !shared.future.core().has_no_loop()
            && shared.future.core().lp.as_ptr() != Rc::as_ptr(&lp.0)
        {
            let text = "The future belongs to a different loop than the one specified as the loop argument";
            return Err(Error::Value(text.into()));
        }
        Ok(self)
    }

    /// Returns the outcome of one that is done.
    pub(crate) fn take(self) -> Result<T> {
        match self {
            Self::New(task) => task.take(),
            Self::Shared(shared) => shared.outcome(),
        }
    }

    /// Returns it as a future whose value is cloned.
    pub(crate) fn share(self) -> FutureOf<T>
    where
        T: Clone,
    {
        match self {
            Self::New(task) => task.future_of(),
            Self::Shared(shared) => shared,
        }
    }
}

impl<F: std::future::Future<Output: Outcome> + 'static> EnsureFuture for F {
    type Value = ValueOf<F>;

    fn ensure(self, lp: &EventLoop, place: Place) -> Result<Ensured<Self::Value>> {
        Prepared { options: TaskBuilder::default(), body: self }.ensure(lp, place)
    }
}

impl<F: std::future::Future<Output: Outcome> + 'static> EnsureFuture for Prepared<F> {
    type Value = ValueOf<F>;

    fn ensure(self, lp: &EventLoop, place: Place) -> Result<Ensured<Self::Value>> {
        let task = spawn(lp, place, &self.options, self.body)?;
        // There is no other handle.
        task.0.report_destroyed.set(false);
        Ok(Ensured::New(task))
    }
}

/// Lets handles, of whichever loop, be awaited and be given wherever a body is.
macro_rules! handles {
    ($([$($bounds:tt)*] $handle:ty => $value:ty;)+) => {$(
        impl<$($bounds)*> EnsureFuture for $handle {
            type Value = $value;

            fn ensure(self, _: &EventLoop, _: Place) -> Result<Ensured<$value>> {
                Ok(Ensured::Shared(self.future_of()))
            }
        }

        impl<$($bounds)*> IntoFuture for $handle {
            type Output = Result<$value>;
            type IntoFuture = Join<$value>;

            fn into_future(self) -> Join<$value> {
                Join::new(self.future_of())
            }
        }
    )+};
}

handles! {
    [T: Clone + 'static] Task<T> => T;
    [T: Clone + 'static] &Task<T> => T;
    [T: Clone + 'static] Future<T> => T;
    [T: Clone + 'static] &Future<T> => T;
    [] TaskRef => ();
    [] &TaskRef => ();
}

impl EventLoop {
    /// Runs until `target` is done, and returns its outcome (`loop.run_until_complete`). A body becomes a task; a task or
    /// future (or a reference to one) is taken as it is, and need not be new.
    ///
    /// Everything else that waits stays, and goes on in the next run. Awaiting takes asyncio's turns: a body that returns at
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
    #[doc(alias = "loop.run_until_complete")]
    #[track_caller]
    pub fn run_until_complete<A: EnsureFuture>(&self, target: A) -> Result<A::Value> {
        let place = Location::caller();
        self.0.check_runnable()?;
        let target = target.ensure(self, place)?.of_loop(self)?;
        let future = target.future();
        if let Err(error) = self.run_until(&future, place) {
            // What left the loop is the new task's own error, as a rule: it counts as read. Others may read a shared one.
            if let Ensured::New(_) = target {
                future.core().mark_retrieved();
            }
            return Err(error);
        }
        target.take()
    }

    /// Runs until `target` is done, and leaves its outcome in it. The caller has checked that a run may begin.
    pub(crate) fn run_until(&self, target: &Rc<dyn AnyFuture>, place: Place) -> Result<()> {
        let core = target.core();
        if core.has_no_loop() {
            // A task that could not be made has failed already, and no loop will complete it.
            return Ok(());
        }
        let end = rc_in_place(|| RunEnd {
            header: Header::new(self.0.next_handle(), EntryKind::DoneCallback, place, "run_until_complete"),
            target: target.clone(),
            run: self.0.this_run(),
        });
        let id = done_callback::register(target, end, Some(self));
        let registered = DropGuard::new(|| core.drop_waiter(id.0));
        let result = self.run_turns();
        drop(registered);
        result?;
        if core.done() { Ok(()) } else { Err(Error::StoppedBeforeComplete) }
    }
}

/// Ends a run when its target is done (`_run_until_complete_cb`).
///
/// The queue holds the target, as in asyncio. If an error leaves the loop in this very turn, this runs in the next run, and
/// reads the error of a task that may have no other handle left. A target that is not done holds this only during the run.
struct RunEnd {
    header: Header,
    target: Rc<dyn AnyFuture>,
    /// The request to stop is tied to this run. (In asyncio it is not: one that is queued in the turn in which something
    /// else stops the loop ends the *next* run.)
    run: u64,
}

impl Callback for RunEnd {
    fn header(&self) -> &Header {
        &self.header
    }

    fn call(&self, lp: &EventLoop) -> Result<()> {
        // Looking at the error counts as reading it, as in asyncio.
        let core = self.target.core();
        core.mark_retrieved();
        let leaves = core.error().is_some_and(|error| error.leaves_the_loop());
        if lp.0.this_run() == self.run && !leaves {
            lp.stop();
        }
        Ok(())
    }
}
