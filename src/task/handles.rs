//! The handles of a task: [`Task`] knows its type, [`TaskRef`] does not.
//!
//! They guarantee that dropping one does not cancel: the loop keeps its tasks. When the last handle of a failed task is
//! dropped and the failure was not read, it is reported.

use super::cancel;
#[cfg(feature = "explore")]
use super::cell::RunState;
use super::cell::TaskCell;
use super::done_callback::{CallbackId, add_done_callback};
use super::future::future_methods;
use super::future_core::{AnyFuture, FutureOf, downcast, downcast_rc};
use super::leaf::Leaf;
use crate::error::{Error, Result};
#[cfg(feature = "explore")]
use crate::event_loop::AnyTask;
use crate::event_loop::{EventLoop, TaskInfo};
use crate::outcome::Outcome;
use crate::panics::drop_quietly;
use crate::trace::Place;
use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

/// A task: a body that the loop runs step by step (`asyncio.Task`). Cloning gives another handle of the same task.
///
/// Awaiting it (`task.await`, or `(&task).await` to keep the handle) gives its result; if the awaiting task is
/// cancelled meanwhile, so is this one. Its result can be awaited any number of times, as Python's can, which needs
/// `T: Clone`; see [`into_output`](Self::into_output) for other types.
///
/// ```
/// use looplab::{EventLoop, create_task, yield_now};
/// let lp = EventLoop::new()?;
/// let sum = lp.run_until_complete(async {
///     let one = create_task(async { yield_now().await?; Ok(1) });
///     let two = create_task(async { Ok(2) });
///     Ok((&one).await? + two.await?)
/// })?;
/// assert_eq!(sum, 3);
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.Task")]
pub struct Task<T: 'static>(pub(super) Rc<TaskCell>, PhantomData<fn() -> T>);

/// A task whose type is not known: what [`all_tasks`](crate::all_tasks) and [`current_task`](crate::current_task) return.
///
/// ```
/// use looplab::{EventLoop, Task, current_task};
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(Task::builder().name("main").prepare(async {
///     assert_eq!(&*current_task().unwrap().name(), "main");
///     Ok(())
/// }))?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone)]
pub struct TaskRef(Rc<TaskCell>);

/// The methods of both handles.
macro_rules! task_methods {
    () => {
        future_methods!();

        /// Requests cancellation (`Task.cancel`): [`Error::Cancelled`] is thrown at the await where the task is
        /// suspended, in one of the next turns. The task may clean up, pass it on with `?`, or swallow it. False if it
        /// is done. May be called at any time.
        #[doc(alias = "Task.cancel")]
        pub fn cancel(&self) -> bool {
            cancel::cancel(self.0.clone(), &None)
        }

        /// Returns how many cancellations were requested and not taken back (`Task.cancelling`).
        #[doc(alias = "Task.cancelling")]
        #[must_use]
        pub fn cancelling(&self) -> u32 {
            self.0.cancels.get()
        }

        /// Takes one request back, and returns how many are left (`Task.uncancel`). At zero a request that was not
        /// delivered yet is withdrawn, as since Python 3.13.
        #[doc(alias = "Task.uncancel")]
        pub fn uncancel(&self) -> u32 {
            self.0.uncancel()
        }

        /// Returns its name: the one that it was given, or `Task-N` (`Task.get_name`).
        #[doc(alias("Task.get_name", "get_name"))]
        #[must_use]
        pub fn name(&self) -> Rc<str> {
            self.0.name()
        }

        /// Gives it a name (`Task.set_name`).
        #[doc(alias = "Task.set_name")]
        pub fn set_name(&self, name: impl Into<Rc<str>>) {
            self.0.set_name(name.into());
        }

        /// Returns where it was made.
        #[must_use]
        pub fn spawned_at(&self) -> Place {
            self.0.core.place
        }

        /// Returns its error (`Task.exception`): `None` if it returned a value.
        ///
        /// # Errors
        /// [`Error::InvalidState`] if it is not done; its [`Error::Cancelled`] if it was cancelled.
        #[doc(alias("Task.exception", "exception"))]
        pub fn error(&self) -> Result<Option<Error>> {
            self.0.core.exception()
        }

        pub(crate) fn key(&self) -> Option<NonZeroU64> {
            self.0.key.get()
        }
    };
}

impl<T: 'static> Task<T> {
    task_methods!();

    pub(super) fn new(cell: Rc<TaskCell>) -> Self {
        Self(cell, PhantomData)
    }

    pub(crate) fn future_of(&self) -> FutureOf<T>
    where
        T: Clone,
    {
        FutureOf::new(self.0.clone(), |source| downcast::<TaskCell>(source).outcome())
    }

    /// Runs `callback` with this task once it is done, in the turn after (`Task.add_done_callback`). Callbacks and
    /// awaiters run in order of registration; on a task that is done it is queued at once.
    ///
    /// ```
    /// # use looplab::EventLoop;
    /// let lp = EventLoop::new()?;
    /// let task = lp.create_task(async { Ok(1) });
    /// task.add_done_callback(|task| {
    ///     println!("{:?}", task.result());
    ///     looplab::stop()
    /// });
    /// lp.run_forever()?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    ///
    /// A function that does not take the task, which Python calls and then reports, does not compile:
    ///
    /// ```compile_fail,E0593
    /// # use looplab::EventLoop;
    /// let lp = EventLoop::new()?;
    /// let task = lp.create_task(async { Ok(1) });
    /// task.add_done_callback(looplab::stop);              // right: |_| looplab::stop()
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Task.add_done_callback")]
    #[track_caller]
    pub fn add_done_callback<F: FnOnce(&Self) -> R + 'static, R: Outcome>(&self, callback: F) -> CallbackId {
        self.add_done_callback_at(Location::caller(), type_name::<F>(), callback)
    }

    pub(crate) fn add_done_callback_at<R: Outcome>(
        &self,
        place: Place,
        name: &'static str,
        callback: impl FnOnce(&Self) -> R + 'static,
    ) -> CallbackId {
        add_done_callback(self.0.clone(), place, name, move |done| {
            callback(&Self::new(downcast_rc(done))).into_result().map(drop)
        })
    }

    /// The result of a task that is done (`Task.result`).
    ///
    /// # Errors
    /// [`Error::InvalidState`] if it is not done; else what it failed with, or its [`Error::Cancelled`].
    #[doc(alias = "Task.result")]
    pub fn result(&self) -> Result<T>
    where
        T: Clone,
    {
        self.0.outcome()
    }

    /// Awaits the task and takes its value out, which needs no `Clone`. Other handles find [`Error::InvalidState`]
    /// afterwards.
    ///
    /// # Errors
    /// What the task failed with; [`Error::InvalidState`] if the value was taken before.
    ///
    /// ```
    /// # use looplab::{EventLoop, create_task};
    /// struct Unique;
    /// let lp = EventLoop::new()?;
    /// let _unique: Unique = lp.run_until_complete(async { create_task(async { Ok(Unique) }).into_output().await })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub async fn into_output(self) -> Result<T> {
        let mut leaf = Leaf::new(self.0.clone());
        poll_fn(|cx| leaf.poll(cx)).await?;
        self.take()
    }

    pub(crate) fn take(self) -> Result<T> {
        self.0.take_outcome()
    }

    /// Returns the handle without its type.
    #[must_use]
    pub fn to_ref(&self) -> TaskRef {
        TaskRef(self.0.clone())
    }
}

impl TaskRef {
    task_methods!();

    pub(super) fn new(cell: Rc<TaskCell>) -> Self {
        Self(cell)
    }

    /// Returns the handle of a task that the loop knows.
    pub(super) fn of_any(task: Rc<dyn Any>) -> Option<Self> {
        task.downcast().ok().map(Self)
    }

    pub(crate) fn info(&self) -> TaskInfo {
        self.0.info()
    }

    /// Tells whether it waits at an await that has not succeeded. After a success its wakeup is queued.
    #[cfg(feature = "explore")]
    pub(crate) fn is_suspended(&self) -> bool {
        self.0.state.get() == RunState::Waiting
    }

    /// Throws an error at the await where the task is suspended, in its next step. Returns false if it is not suspended.
    ///
    /// The await of a future that is not looplab's takes no error: the task is polled once more, and the error is lost.
    #[cfg(feature = "explore")]
    pub(crate) fn throw(&self, lp: &EventLoop, error: Error) -> bool {
        let suspended = self.is_suspended();
        if suspended {
            drop_quietly(self.0.context.refused.replace(Some(Box::new(error))));
            self.0.clone().wake(lp, None);
        }
        suspended
    }

    pub(crate) fn cancel_undelivered(&self) -> bool {
        self.0.cancel_undelivered()
    }

    /// Returns the number of its last step.
    pub(crate) fn step_number(&self) -> u64 {
        self.0.context.step().number
    }

    /// Reads the outcome of a task whose value is ignored.
    pub(crate) fn future_of(&self) -> FutureOf<()> {
        FutureOf::new(self.0.clone(), |source| downcast::<TaskCell>(source).core.check_error())
    }

    /// Runs `callback` as [`Task::add_done_callback`] does, without the type.
    #[track_caller]
    pub fn add_done_callback<F: FnOnce(&Self) -> R + 'static, R: Outcome>(&self, callback: F) -> CallbackId {
        let name = type_name::<F>();
        add_done_callback(self.0.clone(), Location::caller(), name, move |done| {
            callback(&Self(downcast_rc(done))).into_result().map(drop)
        })
    }

    /// Returns the handle with its type, if that is `T`.
    #[must_use]
    pub fn downcast<T: 'static>(&self) -> Option<Task<T>> {
        ((self.0.value_type)().0 == TypeId::of::<T>()).then(|| Task::new(self.0.clone()))
    }
}

/// So that `|| create_task(f())` is a callback.
impl<T: 'static> Outcome for Task<T> {
    type Value = Self;
    fn into_result(self) -> Result<Self> {
        Ok(self)
    }
}

impl<T: 'static> crate::outcome::sealed::Sealed for Task<T> {}

impl<T: 'static> Clone for Task<T> {
    fn clone(&self) -> Self {
        Self::new(self.0.clone())
    }
}

impl<T: 'static> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Two handles are equal if they are handles of the same task (`is` in Python).
impl PartialEq for TaskRef {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TaskRef {}

impl std::hash::Hash for TaskRef {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Rc::as_ptr(&self.0).hash(state);
    }
}

impl<T: 'static> PartialEq for Task<T> {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: 'static> Eq for Task<T> {}

impl<T: 'static> std::hash::Hash for Task<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Rc::as_ptr(&self.0).hash(state);
    }
}
