//! Making tasks, and finding them again.
//!
//! Every call answers with a [`Task`], as asyncio's do. A body that cannot become a task is dropped, and the answer is a task
//! that has failed already. Alternative: a `Result`, as asyncio raises. Problem: most calls are made on a running loop, where
//! nothing can fail, and each of them would need a `?` beside the one of its await.

use super::cell::{RunState, TaskCell};
use super::handles::{Task, TaskRef};
use super::step;
use crate::error::{Error, Result};
use crate::event_loop::{Entry, EventLoop, running};
use crate::outcome::{Outcome, ValueOf};
use crate::panics::drop_quietly;
use crate::trace::Place;
use std::any::type_name;
use std::num::NonZeroU64;
use std::panic::Location;
use std::rc::Rc;

/// How tasks begin: what `loop.set_task_factory` chooses in asyncio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskFactory {
    /// The first step is queued (no factory).
    #[default]
    Queued,
    /// The first step is made at once, if the loop runs (`asyncio.eager_task_factory`).
    #[doc(alias("asyncio.eager_task_factory", "eager_task_factory"))]
    Eager,
}

/// Options for a task; made by [`Task::builder`].
///
/// ```
/// use looplab::{EventLoop, Task};
/// let lp = EventLoop::new()?;
/// let task = Task::builder().name("worker").spawn_on(&lp, async { Ok(5) });
/// assert_eq!(&*task.name(), "worker");
/// assert_eq!(lp.run_until_complete(&task)?, 5);
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TaskBuilder {
    name: Option<Rc<str>>,
    /// How it begins, if not as the loop's factory says.
    factory: Option<TaskFactory>,
}

impl Task<()> {
    /// Returns the options for a task: its name, and how it begins.
    #[must_use]
    pub fn builder() -> TaskBuilder {
        TaskBuilder::default()
    }
}

/// A body with options, not yet a task; made by [`TaskBuilder::prepare`], taken wherever a body is.
#[derive(Debug)]
pub struct Prepared<F> {
    pub(crate) options: TaskBuilder,
    pub(crate) body: F,
}

/// Awaited directly, it is its body: no task is made, so the options are unused.
impl<F: Future> IntoFuture for Prepared<F> {
    type Output = F::Output;
    type IntoFuture = F;

    fn into_future(self) -> F {
        self.body
    }
}

impl TaskBuilder {
    /// Sets the name, instead of `Task-N`.
    #[must_use]
    pub fn name(mut self, name: impl Into<Rc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Makes the first step at once, inside of this call (`create_task(coro, eager_start=True)`). A body that never
    /// suspends is done when the call returns, without a turn of the loop. If the loop does not run, the step is queued.
    ///
    /// The body runs before the caller has the handle, and inside of the caller's own step. If it fails with an error that
    /// leaves the loop, the run ends once the caller is suspended or returns. (In asyncio, `create_task` raises it.)
    ///
    /// ```
    /// use looplab::{EventLoop, Task};
    /// let lp = EventLoop::new()?;
    /// lp.run_until_complete(async {
    ///     let task = Task::builder().eager().spawn(async { Ok("at once") });
    ///     assert_eq!(task.result()?, "at once");
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "eager_start")]
    #[must_use]
    pub fn eager(mut self) -> Self {
        self.factory = Some(TaskFactory::Eager);
        self
    }

    /// Queues the first step, whatever the loop's factory says (`create_task(coro, eager_start=False)`).
    #[doc(alias = "eager_start")]
    #[must_use]
    pub fn queued(mut self) -> Self {
        self.factory = Some(TaskFactory::Queued);
        self
    }

    /// Makes the task on the running loop, as [`create_task`] does.
    #[doc(alias("asyncio.create_task", "create_task"))]
    #[track_caller]
    pub fn spawn<F: Future<Output: Outcome> + 'static>(self, body: F) -> Task<ValueOf<F>> {
        self.create_at(Location::caller(), running().as_ref().ok_or(Error::NoRunningLoop), body)
    }

    /// Makes the task on a loop that need not run, as [`EventLoop::create_task`] does.
    #[track_caller]
    pub fn spawn_on<F: Future<Output: Outcome> + 'static>(self, lp: &EventLoop, body: F) -> Task<ValueOf<F>> {
        self.create_at(Location::caller(), Ok(lp), body)
    }

    /// Makes the task, or one that has failed with the reason why it cannot be made.
    pub(crate) fn create_at<F: Future<Output: Outcome> + 'static>(
        self,
        place: Place,
        lp: Result<&EventLoop>,
        body: F,
    ) -> Task<ValueOf<F>> {
        let spawned = match lp {
            Ok(lp) => spawn(lp, place, &self, body),
            Err(error) => {
                drop_quietly(body);
                Err(error)
            }
        };
        spawned.unwrap_or_else(|error| {
            let task = TaskCell::new::<ValueOf<F>>(None, place, self.name, None);
            // No error of a task that cannot be made leaves a loop.
            let _ = task.finish(None, Err(error));
            Task::new(task)
        })
    }

    /// Returns the body with these options, for `run_until_complete`, `gather` and others that make tasks of bodies.
    #[must_use]
    pub fn prepare<F: Future<Output: Outcome> + 'static>(self, body: F) -> Prepared<F> {
        Prepared { options: self, body }
    }
}

impl EventLoop {
    /// Makes a task of a body and queues its first step (`loop.create_task`). May be called at any time; the task runs
    /// when the loop does. On a closed loop the body is dropped, and the task has failed already with
    /// [`Error::Closed`]. A failure that nothing reads is reported.
    ///
    /// ```
    /// # use looplab::EventLoop;
    /// let lp = EventLoop::new()?;
    /// let task = lp.create_task(async { Ok("done") });
    /// assert_eq!(lp.run_until_complete(&task)?, "done");
    /// lp.close()?;
    /// assert_eq!(lp.create_task(async { Ok(()) }).result().unwrap_err().to_string(), "Event loop is closed");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "loop.create_task")]
    #[track_caller]
    pub fn create_task<F: Future<Output: Outcome> + 'static>(&self, body: F) -> Task<ValueOf<F>> {
        TaskBuilder::default().create_at(Location::caller(), Ok(self), body)
    }

    /// Makes a task as [`create_task`](Self::create_task), for a caller of looplab that was called at `place`.
    pub(crate) fn create_task_at<F: Future<Output: Outcome> + 'static>(
        &self,
        place: Place,
        body: F,
    ) -> Result<Task<ValueOf<F>>> {
        spawn(self, place, &TaskBuilder::default(), body)
    }

    /// Chooses how the tasks of this loop begin (`loop.set_task_factory`), also those that `gather`, `TaskGroup` and a
    /// server make. A task's own [`TaskBuilder::eager`](crate::TaskBuilder::eager) or
    /// [`TaskBuilder::queued`](crate::TaskBuilder::queued) comes first.
    ///
    /// A factory of one's own, which asyncio takes, has no counterpart: a task's body has a type of its own.
    ///
    /// ```
    /// use looplab::{EventLoop, TaskFactory, create_task};
    /// let lp = EventLoop::new()?;
    /// lp.set_task_factory(TaskFactory::Eager);
    /// lp.run_until_complete(async {
    ///     assert!(create_task(async { Ok(()) }).done());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "loop.set_task_factory")]
    pub fn set_task_factory(&self, factory: TaskFactory) {
        self.0.tasks.eager.set(factory == TaskFactory::Eager);
    }

    /// Returns how the tasks of this loop begin (`loop.get_task_factory`).
    #[doc(alias("loop.get_task_factory", "get_task_factory"))]
    #[must_use]
    pub fn task_factory(&self) -> TaskFactory {
        if self.0.tasks.eager.get() { TaskFactory::Eager } else { TaskFactory::Queued }
    }

    /// Lists the tasks of this loop that are not done, in order of creation (`asyncio.all_tasks(loop)`).
    #[doc(alias = "asyncio.all_tasks")]
    #[must_use]
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        self.0.tasks.list().into_iter().filter_map(|task| TaskRef::of_any(task)).collect()
    }

    /// Returns the task with this key, if it is not done.
    pub(crate) fn task(&self, key: NonZeroU64) -> Option<TaskRef> {
        self.0.tasks.get(key).and_then(|task| TaskRef::of_any(task))
    }
}

/// Arrow 1 of `cell`: makes a task and queues its first step, or makes that step if the task is eager.
pub(crate) fn spawn<F: Future<Output: Outcome> + 'static>(
    lp: &EventLoop,
    place: Place,
    options: &TaskBuilder,
    body: F,
) -> Result<Task<ValueOf<F>>> {
    if let Err(closed) = lp.0.check_open() {
        drop_quietly(body);
        return Err(closed);
    }
    let body = Box::pin(body);
    let task = TaskCell::new::<ValueOf<F>>(Some(lp), place, options.name.clone(), Some(body));
    task.key.set(Some(lp.0.tasks.insert(task.clone())));
    // Set before the trace shows the task: it is queued from its first moment on.
    task.state.set(RunState::Step);
    if lp.0.traced.get() {
        let parent = step::current_task().map(|task| task.core.id);
        lp.0.task_named(task.core.id, &task.name(), type_name::<F>(), parent, place);
    }
    let factory = options.factory.unwrap_or_else(|| lp.task_factory());
    if factory == TaskFactory::Eager && lp.is_running() {
        task.clone().start_eagerly(lp);
    } else {
        task.clone().enqueue(lp, RunState::Step, None);
    }
    Ok(Task::new(task))
}

impl TaskCell {
    /// Makes the first step inside of what runs now. The task is the current one during that step, and the outer task is
    /// again afterwards. A task that ends in the step is done when this returns, and has used no turn.
    #[cold]
    pub(super) fn start_eagerly(self: Rc<Self>, lp: &EventLoop) {
        let outer = lp.0.set_running_task(Some(self.core.id));
        let stepped = self.run(lp);
        lp.0.set_running_task(outer);
        if let Err(failed) = stepped {
            // Alternative: only the task's outcome. Problem: a caller that drops the handle would lose the exit.
            lp.0.request_exit(failed.error);
        }
    }
}

/// Makes a task on the running loop (`asyncio.create_task`). Without one the task has failed already with
/// [`Error::NoRunningLoop`], so that a single `?` after its await is enough.
///
/// ```
/// use looplab::{EventLoop, create_task};
/// EventLoop::new()?.run_until_complete(async { create_task(async { Ok(()) }).await })?;
/// assert!(create_task(async { Ok(()) }).error()?.is_some());
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.create_task")]
#[track_caller]
pub fn create_task<F: Future<Output: Outcome> + 'static>(body: F) -> Task<ValueOf<F>> {
    Task::builder().spawn(body)
}

/// Returns the task that is in its step now (`asyncio.current_task`); `None` in a callback and outside of a loop.
///
/// ```
/// assert!(looplab::current_task().is_none());
/// ```
#[doc(alias = "asyncio.current_task")]
#[must_use]
pub fn current_task() -> Option<TaskRef> {
    step::current_task().map(TaskRef::new)
}

/// Lists the tasks of the running loop that are not done, in order of creation (`asyncio.all_tasks`); empty without one.
///
/// ```
/// assert!(looplab::all_tasks().is_empty());
/// ```
#[doc(alias = "asyncio.all_tasks")]
#[must_use]
pub fn all_tasks() -> Vec<TaskRef> {
    running().map(|lp| lp.all_tasks()).unwrap_or_default()
}
