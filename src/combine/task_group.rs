//! Task groups: children that end before the scope in which they were made.
//!
//! It promises what asyncio's `TaskGroup` does, as of 3.15: the scope is left only when every child is done; the first
//! failure cancels the other children and, if it is still running, the body; all failures come out together as
//! [`Error::Group`]; a cancellation of the parent cancels the children; and the count of `cancelling()` is afterwards
//! what it would be without the group. A cancelled child is no failure.
//!
//! Children are asked to cancel in the order in which they were made, where asyncio leaves that to a set. The children
//! own what they use: a scope that could be dropped half-way cannot lend.
//!
//! ```text
//!             1 scope            3 the body ends            5 no child is left
//!   the group ──▶ ENTERED ──────────────▶ EXITING ──────────────────▶ FINISHED
//!                    │ 2 a child fails       │ 4 a child fails, or the parent is cancelled
//!                    └───▶ ABORTING: children (and in 2 the parent) are cancelled ───▶ EXITING, as above
//! ```

use crate::drop_guard::DropGuard;
use crate::error::{Error, Result, catch};
use crate::event_loop::get_running_loop;
use crate::outcome::Outcome;
use crate::panics::{Apart, Guarded};
use crate::task::done_callback::{CallbackId, add_done_callback};
use crate::task::spawn::TaskBuilder;
use crate::task::{Future, Task, TaskRef, current_task};
use crate::trace::Place;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::panic::Location;
use std::rc::Rc;
use std::task::Poll;

/// A group of tasks, as the body of its scope and its children see it (`asyncio.TaskGroup`). Cloning gives another
/// handle of the same group.
///
/// ```
/// use looplab::{Error, EventLoop, TaskGroup, sleep};
/// use std::time::Duration;
/// let lp = EventLoop::new()?;
/// let ended = lp.run_until_complete(TaskGroup::scope(|group| async move {
///     let slow = group.create_task(sleep(Duration::from_secs(3600)));
///     group.create_task(async { Err::<(), _>(Error::msg("boom")) });
///     slow.await                                          // cancelled, because its sibling failed
/// }));
/// let Err(Error::Group(errors)) = ended else { panic!("a failure is a group") };
/// assert_eq!(errors[0].to_string(), "boom");
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.TaskGroup")]
#[derive(Clone)]
pub struct TaskGroup(Rc<GroupInner>);

struct GroupInner {
    parent: TaskRef,
    place: Place,
    /// Those that are not done, by number, which is the order in which they were made.
    children: RefCell<BTreeMap<u64, (TaskRef, CallbackId)>>,
    errors: RefCell<Apart<Vec<Error>>>,
    /// The first of the errors that leave the loop: it comes out by itself.
    base_error: RefCell<Option<Error>>,
    exiting: Cell<bool>,
    aborting: Cell<bool>,
    /// The group has cancelled its parent, and has to take that back.
    cancelled_parent: Cell<bool>,
    /// What the scope's end waits on.
    all_done: RefCell<Option<Future<()>>>,
}

impl TaskGroup {
    /// Runs a body that makes children in a group, and waits until all of them are done
    /// (`async with asyncio.TaskGroup() as group`). The body runs in this task; it gets the group, to
    /// [`create_task`](Self::create_task) on. Groups may be nested.
    ///
    /// If nothing fails, the body's value is returned. The first child that fails cancels the others, and the body if it
    /// is still running; a body that fails cancels the children. A panic of the body counts as its failure. While
    /// children clean up, new ones may be made only before the first failure.
    ///
    /// Dropped half-way it cannot wait: it cancels the children at once, and reports what they fail with then.
    ///
    /// # Errors
    /// [`Error::Group`] with every failure of children and body, in order, cancellations not among them;
    /// [`Error::CoroutineExit`] by itself if the body was closed and nothing else failed;
    /// [`Error::Cancelled`] if the parent was cancelled and nothing failed; [`Error::Exit`] or
    /// [`Error::KeyboardInterrupt`] by itself if there was one; [`Error::Runtime`] outside of a task.
    ///
    /// ```
    /// use looplab::{EventLoop, TaskGroup};
    /// let lp = EventLoop::new()?;
    /// let sum = lp.run_until_complete(TaskGroup::scope(async |group| {
    ///     let (one, two) = (group.create_task(async { Ok(1) }), group.create_task(async { Ok(2) }));
    ///     Ok(one.await? + two.await?)
    /// }))?;
    /// assert_eq!(sum, 3);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias("asyncio.TaskGroup", "TaskGroup"))]
    #[track_caller]
    pub fn scope<B, F>(body: B) -> impl std::future::Future<Output = Result<<F::Output as Outcome>::Value>>
    where
        B: FnOnce(Self) -> F,
        F: std::future::Future<Output: Outcome>,
    {
        let place = Location::caller();
        async move {
            let group = Self::enter(place)?;
            let _leave = DropGuard::new(|| group.0.leave());
            let outcome = {
                let mut body = Box::pin(async { body(group.clone()).await.into_result() });
                // A panic of the body is its error, so that the children end before the scope does.
                poll_fn(|cx| catch(|| body.as_mut().poll(cx)).unwrap_or_else(|panic| Poll::Ready(Err(panic))))
                    .await
            };
            group.exit(outcome).await
        }
    }

    fn enter(place: Place) -> Result<Self> {
        get_running_loop()?;
        let Some(parent) = current_task() else {
            return Err(Error::Runtime("TaskGroup <TaskGroup> cannot determine the parent task".into()));
        };
        Ok(Self(Rc::new(GroupInner {
            parent,
            place,
            children: RefCell::default(),
            errors: RefCell::default(),
            base_error: RefCell::default(),
            exiting: Cell::new(false),
            aborting: Cell::new(false),
            cancelled_parent: Cell::new(false),
            all_done: RefCell::default(),
        })))
    }

    /// Makes a child (`TaskGroup.create_task`). From the body, from other children, or from callbacks; also while the
    /// group waits for its last children. For a name see [`TaskBuilder::spawn_in`].
    ///
    /// Once the group is shutting down or finished, the body is dropped. The task is no child then, and has failed
    /// already with [`Error::Runtime`]. On a closed loop that is [`Error::Closed`].
    ///
    /// ```
    /// use looplab::{EventLoop, TaskGroup};
    /// let lp = EventLoop::new()?;
    /// let group = lp.run_until_complete(TaskGroup::scope(|group| async move { Ok(group) }))?;
    /// let error = group.create_task(async { Ok(()) }).result().unwrap_err();
    /// assert_eq!(error.to_string(), "TaskGroup <TaskGroup entered> is finished");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "TaskGroup.create_task")]
    #[track_caller]
    pub fn create_task<F>(&self, body: F) -> Task<<F::Output as Outcome>::Value>
    where
        F: std::future::Future<Output: Outcome> + 'static,
    {
        Task::builder().spawn_in(self, body)
    }

    fn check_open(&self) -> Result<()> {
        let state = if self.0.exiting.get() && self.0.children.borrow().is_empty() {
            "finished"
        } else if self.0.aborting.get() {
            "shutting down"
        } else {
            return Ok(());
        };
        Err(Error::Runtime(format!("TaskGroup {self:?} is {state}").into()))
    }

    fn adopt(&self, child: TaskRef, place: Place) {
        let (group, number) = (self.0.clone(), child.id());
        let id =
            add_done_callback(child.any_future(), place, "task group", move |_| group.child_done(number));
        self.0.children.borrow_mut().insert(number, (child, id));
    }

    /// Arrows 3 to 5.
    async fn exit<T: 'static>(&self, outcome: Result<T>) -> Result<T> {
        let group = &*self.0;
        group.exiting.set(true);
        let mut cancellation = None;
        if let Err(error) = &outcome {
            if error.leaves_the_loop() {
                group.base_error.borrow_mut().get_or_insert_with(|| error.clone());
            }
            if error.is_cancelled() {
                cancellation = Some(error.clone());
            }
            if !group.aborting.get() {
                group.abort();
            }
        }
        while group.has_children() {
            match group.wait_for_children().await {
                Ok(()) => {}
                // More requests while the group is aborting change nothing: it has to wait all the same.
                Err(error) if error.is_cancelled() => {
                    if !group.aborting.get() {
                        cancellation = Some(error);
                        group.abort();
                    }
                }
                Err(error) => return Err(error),
            }
        }
        group.verdict(outcome, cancellation)
    }
}

impl GroupInner {
    fn has_children(&self) -> bool {
        !self.children.borrow().is_empty()
    }

    async fn wait_for_children(&self) -> Result<()> {
        let all_done = Future::of_kind(&get_running_loop()?, "task group", self.place);
        *self.all_done.borrow_mut() = Some(all_done.clone());
        let ended = all_done.await;
        self.all_done.borrow_mut().take();
        ended
    }

    fn abort(&self) {
        self.aborting.set(true);
        let children: Vec<TaskRef> =
            self.children.borrow().values().map(|(child, _)| child.clone()).collect();
        for child in children.iter().filter(|child| !child.done()) {
            child.cancel();
        }
    }

    /// Arrows 2 and 4, and the last step to arrow 5.
    fn child_done(&self, number: u64) -> Result<()> {
        let child = self.children.borrow_mut().remove(&number);
        let Some((child, _)) = child else { return Ok(()) };
        let waiting = self.all_done.borrow().clone();
        if let Some(waiting) = waiting.filter(|waiting| !self.has_children() && !waiting.done()) {
            waiting.set_result(())?;
        }
        let Ok(Some(error)) = child.error() else { return Ok(()) };
        self.errors.borrow_mut().push(error.clone());
        if error.leaves_the_loop() {
            self.base_error.borrow_mut().get_or_insert(error);
        }
        if !self.aborting.get() && !self.cancelled_parent.get() {
            self.abort();
            self.cancelled_parent.set(true);
            self.parent.cancel();
        }
        Ok(())
    }

    /// Ends the scope; children that are left, because it was dropped half-way, are cancelled and run on without it.
    fn leave(&self) {
        self.exiting.set(true);
        let children = self.children.take();
        // A closed loop ends its tasks itself.
        let open = self.parent.event_loop().is_some_and(|lp| !lp.is_closed());
        for (child, id) in children.into_values() {
            child.remove_done_callback(id);
            if open {
                child.cancel();
            }
        }
        if self.cancelled_parent.replace(false) {
            self.parent.uncancel();
        }
    }

    /// Returns what comes out of the scope once every child is done.
    fn verdict<T: 'static>(&self, outcome: Result<T>, mut cancellation: Option<Error>) -> Result<T> {
        let by_group = self.cancelled_parent.replace(false);
        let outcome = outcome.map(Guarded::new);
        if let Some(error) = self.base_error.borrow_mut().take() {
            return Err(error);
        }
        if by_group && self.parent.uncancel() == 0 {
            // Only the group has cancelled the parent.
            cancellation = None;
        }
        let mut errors = self.errors.take();
        let only_closed = errors.is_empty() && matches!(outcome, Err(Error::CoroutineExit));
        match (outcome, cancellation) {
            (_, Some(cancellation)) if errors.is_empty() => return Err(cancellation),
            (Ok(value), _) if errors.is_empty() => return Ok(value.into_inner()),
            (Err(error), _) if !error.is_cancelled() => errors.push(error),
            _ => {}
        }
        if self.parent.cancelling() > 0 {
            // The failures come first, but the parent was cancelled from outside: it will hear of that at its next
            // suspension, and its count stays what it was.
            self.parent.uncancel();
            self.parent.cancel();
        }
        if only_closed {
            // As in 3.15: what closes the coroutine is to hear that it obeyed.
            return Err(Error::CoroutineExit);
        }
        Err(Error::Group(errors.take().into()))
    }
}

impl TaskBuilder {
    /// Makes the task as a child of a group, as [`TaskGroup::create_task`] does (`group.create_task(coro, name=…)`).
    ///
    /// ```
    /// use looplab::{EventLoop, Task, TaskGroup};
    /// let lp = EventLoop::new()?;
    /// lp.run_until_complete(TaskGroup::scope(|group| async move {
    ///     let child = Task::builder().name("child").spawn_in(&group, async { Ok(()) });
    ///     assert_eq!(&*child.name(), "child");
    ///     Ok(())
    /// }))?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias("group.create_task", "create_task"))]
    #[track_caller]
    pub fn spawn_in<F>(self, group: &TaskGroup, body: F) -> Task<<F::Output as Outcome>::Value>
    where
        F: std::future::Future<Output: Outcome> + 'static,
    {
        let place = Location::caller();
        let lp = group.check_open().and_then(|()| group.0.parent.event_loop().ok_or(Error::Closed));
        let child = self.create_at(place, lp.as_ref().map_err(Error::clone), body);
        // A task that could not be made is done already.
        if !child.done() {
            group.adopt(child.to_ref(), place);
        }
        child
    }
}

impl fmt::Debug for TaskGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (children, errors) = (self.0.children.borrow().len(), self.0.errors.borrow().len());
        f.write_str("<TaskGroup")?;
        if children > 0 {
            write!(f, " tasks={children}")?;
        }
        if errors > 0 {
            write!(f, " errors={errors}")?;
        }
        f.write_str(if self.0.aborting.get() { " cancelling>" } else { " entered>" })
    }
}
