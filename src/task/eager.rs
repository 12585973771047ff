//! Eager tasks: the first step is made inside of the call that makes the task.
//!
//! They guarantee CPython's `eager_start`: the task is the current one during that step, and the outer task is again
//! afterwards. It is among `all_tasks` from its first moment. One that ends in the step is done when the call returns and
//! has used no turn. One that is suspended is from there on like any other. On a loop that does not run, a task is queued.

use super::cell::TaskCell;
use crate::event_loop::{Entry, EventLoop};
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

impl EventLoop {
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

    /// Tells whether a task that is made now makes its first step at once.
    #[inline]
    pub(super) fn starts_eagerly(&self, own: Option<TaskFactory>) -> bool {
        let eager = own.map_or_else(|| self.0.tasks.eager.get(), |own| own == TaskFactory::Eager);
        eager && self.is_running()
    }
}

impl TaskCell {
    /// Makes the first step inside of what runs now.
    #[cold]
    pub(super) fn start_eagerly(self: Rc<Self>, lp: &EventLoop) {
        let outer = lp.0.begin_eager_step(self.core.id());
        let stepped = self.run(lp);
        lp.0.end_eager_step(outer);
        if let Err(failed) = stepped {
            // Alternative: only the task's outcome. Problem: a caller that drops the handle would lose the exit.
            lp.0.request_exit(failed.error);
        }
    }
}
