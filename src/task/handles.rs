//! The handles of a task: [`Task`] knows its type, [`TaskRef`] does not.
//!
//! They promise that dropping one does not cancel: the loop keeps its tasks. When the last handle of a failed task goes
//! and nobody has read the failure, it is reported.

use super::cancel;
use super::cell::{TaskCell, TypedTask};
use super::future_core::{AnyFuture, Waiter};
use super::join::{Join, JoinRef};
use super::spawn::TaskBuilder;
use crate::error::{Error, Result};
use crate::event_loop::{Callback, Entry, EventLoop, PushInfo, TaskInfo, TaskKey, WhenDone, running};
use crate::outcome::Outcome;
use crate::panics::drop_quietly;
use crate::trace::{EntryKind, Place};
use std::any::{Any, type_name};
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

/// Names one registered done callback, to remove it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackId(u64);

impl CallbackId {
    pub(crate) fn key(self) -> u64 {
        self.0
    }
}

/// A task: a body that the loop runs step by step (`asyncio.Task`). Cloning gives another handle of the same task.
///
/// Leaf it (`task.await`, or `(&task).await` to keep the handle) gives its result; if the awaiting task is
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
pub struct Task<T: 'static>(Rc<TaskCell<T>>);

/// A task whose type is not known here: what [`all_tasks`](crate::all_tasks) and [`current_task`](crate::current_task) give.
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
pub struct TaskRef(Rc<dyn TypedTask>);

/// The methods that both handles have, written once.
macro_rules! handle_methods {
    () => {
        /// Whether it is done: returned, failed or cancelled (`Task.done`).
        #[must_use]
        pub fn done(&self) -> bool {
            self.0.core().done()
        }

        /// Whether it ended cancelled (`Task.cancelled`). A request alone does not count.
        #[must_use]
        pub fn cancelled(&self) -> bool {
            self.0.core().cancelled()
        }

        /// Requests cancellation (`Task.cancel`): [`Error::Cancelled`] is thrown at the await where the task is
        /// suspended, in one of the next turns. The task may clean up, pass it on with `?`, or swallow it. False if it
        /// is done. May be called at any time.
        pub fn cancel(&self) -> bool {
            cancel::cancel(self.0.clone().as_any_future(), &None)
        }

        /// As [`cancel`](Self::cancel), with a message for whoever reads the error.
        pub fn cancel_msg(&self, message: impl Into<Arc<str>>) -> bool {
            cancel::cancel(self.0.clone().as_any_future(), &Some(message.into()))
        }

        /// How many cancellations were requested and not taken back (`Task.cancelling`).
        #[must_use]
        pub fn cancelling(&self) -> u32 {
            self.0.cancelling()
        }

        /// Takes one request back, and returns how many are left (`Task.uncancel`). At zero a request that was not
        /// delivered yet is withdrawn, as since Python 3.13.
        pub fn uncancel(&self) -> u32 {
            self.0.uncancel()
        }

        /// Its name: the one it was given, or `Task-N` (`Task.get_name`).
        #[must_use]
        pub fn name(&self) -> Rc<str> {
            self.0.name()
        }

        /// Gives it a name (`Task.set_name`).
        pub fn set_name(&self, name: impl Into<Rc<str>>) {
            self.0.set_name(name.into());
        }

        /// Its number among the tasks and futures of its loop, in order of creation.
        #[must_use]
        pub fn id(&self) -> u64 {
            self.0.core().id()
        }

        /// Where it was made.
        #[must_use]
        pub fn spawned_at(&self) -> Place {
            self.0.core().place()
        }

        /// Its error (`Task.exception`): `None` if it returned a value.
        ///
        /// # Errors
        /// [`Error::InvalidState`] if it is not done; its [`Error::Cancelled`] if it was cancelled.
        pub fn error(&self) -> Result<Option<Error>> {
            if !self.done() {
                return Err(Error::InvalidState("Exception is not set."));
            }
            self.0.core().retrieved();
            match self.0.error() {
                Some(error) if self.cancelled() => Err(error),
                error => Ok(error),
            }
        }

        /// Removes a done callback; how many were removed (`Task.remove_done_callback`). One that is queued already
        /// cannot be removed.
        pub fn remove_done_callback(&self, id: CallbackId) -> usize {
            let removed = self.0.core().remove_waiter(id.0);
            let count = usize::from(removed.is_some());
            drop_quietly(removed);
            count
        }

        /// The loop that it belongs to, if that still exists (`Task.get_loop`).
        #[must_use]
        pub fn event_loop(&self) -> Option<EventLoop> {
            self.0.core().event_loop()
        }
    };
}

impl<T: 'static> Task<T> {
    handle_methods!();

    pub(crate) fn new(cell: Rc<TaskCell<T>>) -> Self {
        Self(cell)
    }

    pub(crate) fn key(&self) -> Option<TaskKey> {
        self.0.key()
    }

    pub(crate) fn cell(&self) -> &Rc<TaskCell<T>> {
        &self.0
    }

    /// Runs `callback` with this task once it is done, in the turn after (`Task.add_done_callback`). Callbacks and
    /// awaiters run in order of registration; on a task that is done it is queued at once.
    ///
    /// ```
    /// # use looplab::EventLoop;
    /// let lp = EventLoop::new()?;
    /// let task = lp.create_task(async { Ok(1) })?;
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
    /// let task = lp.create_task(async { Ok(1) })?;
    /// task.add_done_callback(looplab::stop);              // right: |_| looplab::stop()
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn add_done_callback<F, R>(&self, callback: F) -> CallbackId
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        self.add_done_callback_at(Location::caller(), callback)
    }

    pub(crate) fn add_done_callback_at<F, R>(&self, place: Place, callback: F) -> CallbackId
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        add_done_callback(self.0.clone(), place, type_name::<F>(), move |object| {
            let task = object.downcast::<TaskCell<T>>().ok().map(Task);
            task.map_or(Ok(()), |task| callback(&task).into_result().map(drop))
        })
    }

    /// The result of a task that is done (`Task.result`).
    ///
    /// # Errors
    /// [`Error::InvalidState`] if it is not done; else what it failed with, or its [`Error::Cancelled`].
    pub fn result(&self) -> Result<T>
    where
        T: Clone,
    {
        super::future_core::FutureOf::outcome(&*self.0)
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
        super::join::done(self.0.clone()).await?;
        self.take()
    }

    /// Takes the value of a task that is done. An error is shared: others may still want to read it.
    pub(crate) fn take(self) -> Result<T> {
        self.0.core().retrieved();
        if let Some(error) = self.0.error() {
            return Err(error);
        }
        self.0.take_outcome().unwrap_or(Err(self.0.core().no_result()))
    }

    /// The handle without its type.
    #[must_use]
    pub fn to_ref(&self) -> TaskRef {
        TaskRef(self.0.clone())
    }
}

impl Task<()> {
    /// Options for a task: its name.
    #[must_use]
    pub fn builder() -> TaskBuilder {
        TaskBuilder::default()
    }
}

impl TaskRef {
    handle_methods!();

    pub(crate) fn new(task: Rc<dyn TypedTask>) -> Self {
        Self(task)
    }

    pub(crate) fn info(&self) -> TaskInfo {
        TaskInfo { id: self.id(), name: self.name().to_string(), place: self.spawned_at() }
    }

    pub(crate) fn as_any_future(&self) -> Rc<dyn AnyFuture> {
        self.0.clone().as_any_future()
    }

    pub(crate) fn key(&self) -> Option<TaskKey> {
        self.0.key()
    }

    pub(crate) fn cancel_undelivered(&self) -> bool {
        self.0.cancel_undelivered()
    }

    /// The number of its last step.
    pub(crate) fn step_number(&self) -> u64 {
        self.0.context().number()
    }

    /// As [`Task::add_done_callback`], without the type.
    #[track_caller]
    pub fn add_done_callback<F, R>(&self, callback: F) -> CallbackId
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        let (place, task) = (Location::caller(), Rc::downgrade(&self.0));
        add_done_callback(self.0.clone().as_any_future(), place, type_name::<F>(), move |_object| {
            let task = task.upgrade().map(TaskRef);
            task.map_or(Ok(()), |task| callback(&task).into_result().map(drop))
        })
    }

    /// The handle with its type, if that is `T`.
    #[must_use]
    pub fn downcast<T: 'static>(&self) -> Option<Task<T>> {
        self.0.clone().into_any().downcast::<TaskCell<T>>().ok().map(Task)
    }
}

/// Registers a done callback, which gets the finished object. `name` names it for a reader.
pub(crate) fn add_done_callback<F, R>(
    owner: Rc<dyn AnyFuture>,
    place: Place,
    name: &'static str,
    function: F,
) -> CallbackId
where
    F: FnOnce(Rc<dyn Any>) -> R + 'static,
    R: Outcome,
{
    let core = owner.core();
    // A task that could not be made has no loop: its callbacks are for the running one.
    let lp = if core.has_no_loop() { running() } else { core.event_loop() };
    let h = lp.as_ref().map_or(0, |lp| lp.0.next_handle());
    let callback = Callback::new(h, EntryKind::DoneCallback, place, name, WhenDone::new(function));
    let callback: Rc<Callback> = Rc::new(callback);
    let lp = lp.filter(|lp| !lp.is_closed());
    if !core.done() {
        if lp.is_none() {
            // It will never run. It stays registered, so that completing the future reports that.
            callback.function.forget();
        }
        return CallbackId(core.add_waiter(Waiter::Callback(callback)));
    }
    if let Some(lp) = lp {
        let cause = Some(core.on());
        callback.function.bind(owner.into_any());
        lp.0.enqueue(Entry::Callback(callback), PushInfo { cause, ..PushInfo::CALL_SOON });
    }
    CallbackId(0)
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
        Self(self.0.clone())
    }
}

impl<T: 'static> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ref().fmt(f)
    }
}

/// `<Task pending name='Task-1' created at file:line>`, as Python shows a task.
impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.done(), self.cancelled()) {
            (false, _) => "pending",
            (true, true) => "cancelled",
            (true, false) => "finished",
        };
        let place = self.spawned_at();
        write!(f, "<Task {state} name='{}' created at {}:{}>", self.name(), place.file(), place.line())
    }
}

/// Two handles are equal if they are handles of the same task (`is` in Python).
impl PartialEq for TaskRef {
    fn eq(&self, other: &Self) -> bool {
        Rc::as_ptr(&self.0).cast::<()>() == Rc::as_ptr(&other.0).cast::<()>()
    }
}

impl Eq for TaskRef {}

impl std::hash::Hash for TaskRef {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Rc::as_ptr(&self.0).cast::<()>().hash(state);
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

impl<T: Clone + 'static> IntoFuture for Task<T> {
    type Output = Result<T>;
    type IntoFuture = Join<T>;
    fn into_future(self) -> Join<T> {
        Join::new(self.0)
    }
}

impl<T: Clone + 'static> IntoFuture for &Task<T> {
    type Output = Result<T>;
    type IntoFuture = Join<T>;
    fn into_future(self) -> Join<T> {
        Join::new(self.0.clone())
    }
}

impl IntoFuture for TaskRef {
    type Output = Result<()>;
    type IntoFuture = JoinRef;
    fn into_future(self) -> JoinRef {
        JoinRef::new(self)
    }
}

impl IntoFuture for &TaskRef {
    type Output = Result<()>;
    type IntoFuture = JoinRef;
    fn into_future(self) -> JoinRef {
        JoinRef::new(self.clone())
    }
}
