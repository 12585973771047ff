//! Making tasks, and finding them again.

use super::cell::{Making, TaskCell};
use super::{Future, Task, TaskRef, context};
use crate::error::{Error, Result};
use crate::event_loop::{AnyTask, EventLoop, TaskKey, running};
use crate::outcome::Outcome;
use crate::trace::Place;
use std::panic::Location;
use std::rc::Rc;

/// Options for a task; made by [`Task::builder`].
///
/// ```
/// use looplab::{EventLoop, Task};
/// let lp = EventLoop::new()?;
/// let task = Task::builder().name("worker").spawn_on(&lp, async { Ok(5) })?;
/// assert_eq!(&*task.name(), "worker");
/// assert_eq!(lp.run_until_complete(&task)?, 5);
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TaskBuilder {
    name: Option<Rc<str>>,
}

/// A body with options, not yet a task; made by [`TaskBuilder::prepare`], taken wherever a body is.
#[derive(Debug)]
pub struct Prepared<F> {
    pub(crate) name: Option<Rc<str>>,
    pub(crate) body: F,
}

/// Awaited where it stands, it is its body: no task is made, so nothing bears the name.
impl<F: std::future::Future> IntoFuture for Prepared<F> {
    type Output = F::Output;
    type IntoFuture = F;

    fn into_future(self) -> F {
        self.body
    }
}

impl TaskBuilder {
    /// The name, instead of `Task-N`.
    #[must_use]
    pub fn name(mut self, name: impl Into<Rc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Makes the task on the running loop, as [`create_task`] does.
    #[track_caller]
    pub fn spawn<F>(self, body: F) -> Task<<F::Output as Outcome>::Value>
    where
        F: std::future::Future<Output: Outcome> + 'static,
    {
        spawn_here(Making { place: Location::caller(), name: self.name, report_destroyed: true }, body)
    }

    /// Makes the task on a loop that need not run.
    ///
    /// # Errors
    /// [`Error::Closed`] after `close`; the body is dropped.
    #[track_caller]
    pub fn spawn_on<F>(self, lp: &EventLoop, body: F) -> Result<Task<<F::Output as Outcome>::Value>>
    where
        F: std::future::Future<Output: Outcome> + 'static,
    {
        let making = Making { place: Location::caller(), name: self.name, report_destroyed: true };
        TaskCell::spawn(lp, making, body).map(Task::new)
    }

    /// The body with these options, for `run_until_complete`, `gather` and whatever else makes tasks of bodies.
    #[must_use]
    pub fn prepare<F>(self, body: F) -> Prepared<F>
    where
        F: std::future::Future<Output: Outcome> + 'static,
    {
        Prepared { name: self.name, body }
    }
}

impl EventLoop {
    /// Makes a task of a body and queues its first step (`loop.create_task`). May be called at any time; the task runs
    /// when the loop does.
    ///
    /// # Errors
    /// [`Error::Closed`] after `close`; the body is dropped.
    ///
    /// ```
    /// # use looplab::EventLoop;
    /// let lp = EventLoop::new()?;
    /// let task = lp.create_task(async { Ok("done") })?;
    /// assert_eq!(lp.run_until_complete(&task)?, "done");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn create_task<F>(&self, body: F) -> Result<Task<<F::Output as Outcome>::Value>>
    where
        F: std::future::Future<Output: Outcome> + 'static,
    {
        self.create_task_at(Location::caller(), body)
    }

    /// The same where the caller of a function of looplab is the place to show.
    pub(crate) fn create_task_at<F>(
        &self,
        place: Place,
        body: F,
    ) -> Result<Task<<F::Output as Outcome>::Value>>
    where
        F: std::future::Future<Output: Outcome> + 'static,
    {
        let making = Making { place, name: None, report_destroyed: true };
        TaskCell::spawn(self, making, body).map(Task::new)
    }

    /// A future that somebody will set (`loop.create_future`). Still made on a closed loop, as in asyncio.
    #[must_use]
    #[track_caller]
    pub fn create_future<T: 'static>(&self) -> Future<T> {
        Future::on(self, Location::caller())
    }

    /// The tasks of this loop that are not done, in order of creation (`asyncio.all_tasks(loop)`).
    #[must_use]
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        self.0.tasks.list().into_iter().filter_map(reveal).collect()
    }

    /// The task with this key, if it is not done.
    pub(crate) fn task(&self, key: TaskKey) -> Option<TaskRef> {
        self.0.tasks.get(key).and_then(reveal)
    }
}

fn reveal(task: Rc<dyn AnyTask>) -> Option<TaskRef> {
    task.reveal().downcast().ok().map(|task| *task)
}

/// Makes a task on the running loop (`asyncio.create_task`). Without one the task has failed already with
/// [`Error::NoRunningLoop`], so that a single `?` behind its await is enough.
///
/// ```
/// use looplab::{EventLoop, create_task};
/// EventLoop::new()?.run_until_complete(async { create_task(async { Ok(()) }).await })?;
/// assert!(create_task(async { Ok(()) }).error()?.is_some());
/// # Ok::<(), looplab::Error>(())
/// ```
#[track_caller]
pub fn create_task<F>(body: F) -> Task<<F::Output as Outcome>::Value>
where
    F: std::future::Future<Output: Outcome> + 'static,
{
    spawn_here(Making { place: Location::caller(), name: None, report_destroyed: true }, body)
}

fn spawn_here<F>(making: Making, body: F) -> Task<<F::Output as Outcome>::Value>
where
    F: std::future::Future<Output: Outcome> + 'static,
{
    match running() {
        Some(lp) => {
            let (place, name) = (making.place, making.name.clone());
            TaskCell::spawn(&lp, making, body).unwrap_or_else(|error| {
                TaskCell::failed(error, Making { place, name, report_destroyed: true })
            })
        }
        None => TaskCell::failed(Error::NoRunningLoop, making),
    }
    .into()
}

/// The task that is in its step now (`asyncio.current_task`); `None` in a callback and outside of a loop.
///
/// ```
/// assert!(looplab::current_task().is_none());
/// ```
#[must_use]
pub fn current_task() -> Option<TaskRef> {
    context::current_task()
}

/// The tasks of the running loop that are not done, in order of creation (`asyncio.all_tasks`); empty without one.
///
/// ```
/// assert!(looplab::all_tasks().is_empty());
/// ```
#[must_use]
pub fn all_tasks() -> Vec<TaskRef> {
    running().map(|lp| lp.all_tasks()).unwrap_or_default()
}
