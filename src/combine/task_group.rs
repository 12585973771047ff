//! Task groups: children that end before the scope in which they were made.
//!
//! A group guarantees what asyncio's `TaskGroup` does, as of 3.15. The scope is left only when every child is done. The first
//! failure cancels the other children, and the parent if it is still in the scope. All failures are returned together as
//! [`Error::Group`]. A cancellation of the parent cancels the children. The count of `cancelling()` is afterwards what it
//! would be without the group. A cancelled child is no failure, and a group that is cancelled itself ends without one.
//!
//! Children are asked to cancel in the order in which they were made, where asyncio leaves that to a set. The children
//! own what they use: a scope that could be dropped half-way cannot lend.
//!
//! ```text
//!             1 scope            3 the body ends            5 no child is left
//!   the group ──▶ ENTERED ──────────────▶ EXITING ──────────────────▶ FINISHED
//!                    │ 2 a child fails,      │ 4 the same, or the parent is cancelled
//!                    │   or `cancel`         │
//!                    └───▶ ABORTING: children (and in 2 the parent) are cancelled ───▶ EXITING, as above
//! ```

use crate::drop_guard::DropGuard;
use crate::error::{Error, Result, catch};
use crate::event_loop::get_running_loop;
use crate::outcome::{Outcome, ValueOf};
use crate::panics::{Apart, Guarded};
use crate::task::done_callback::DoneCallback;
use crate::task::spawn::TaskBuilder;
use crate::task::{Future, Task, TaskRef, current_task};
use crate::trace::Place;
use std::cell::{Cell, OnceCell, RefCell};
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
#[derive(Clone, Default)]
pub struct TaskGroup(Rc<GroupInner>);

#[derive(Default)]
struct GroupInner {
    /// The task in which the scope runs. Empty until the group is entered.
    parent: OnceCell<TaskRef>,
    /// `cancel` was called before that.
    cancel_on_enter: Cell<bool>,
    /// Those that are not done, by number, which is the order in which they were made.
    children: RefCell<BTreeMap<u64, (TaskRef, DoneCallback)>>,
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
    ///
    /// If [`cancel`](Self::cancel) has cut the body off, there is no value, and the scope fails with [`Error::Runtime`].
    /// Where that may happen, use [`run`](Self::run).
    #[doc(alias("asyncio.TaskGroup", "TaskGroup"))]
    #[track_caller]
    pub fn scope<B, F>(body: B) -> impl std::future::Future<Output = Result<ValueOf<F>>>
    where
        B: FnOnce(Self) -> F,
        F: std::future::Future<Output: Outcome>,
    {
        let place = Location::caller();
        async move {
            let group = Self::new();
            let value = group.run_at(place, body).await?;
            value.ok_or_else(|| group.misused("was cancelled before its body returned"))
        }
    }

    /// Makes a group that is not entered (`asyncio.TaskGroup()`), for [`run`](Self::run). Another part of the program may
    /// hold it before, to [`cancel`](Self::cancel) whatever will run in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a body in this group (`async with group`), as [`scope`](Self::scope) does in a new one. A group runs one body.
    ///
    /// Returns `None` if [`cancel`](Self::cancel) has cut the body off. In Python such a body just ends.
    ///
    /// # Errors
    /// Those of [`scope`](Self::scope); [`Error::Runtime`] if the group was entered before.
    ///
    /// ```
    /// use looplab::{EventLoop, TaskGroup, sleep};
    /// use std::time::Duration;
    /// let lp = EventLoop::new()?;
    /// let group = TaskGroup::new();
    /// let switch = group.clone();
    /// lp.call_soon(move || switch.cancel())?;
    /// let value = lp.run_until_complete(async move {
    ///     group.run(async |_| sleep(Duration::from_secs(3600)).await).await
    /// })?;
    /// assert_eq!(value, None);                            // cut off, and no error
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias("asyncio.TaskGroup", "TaskGroup"))]
    #[track_caller]
    pub fn run<B, F>(&self, body: B) -> impl std::future::Future<Output = Result<Option<ValueOf<F>>>>
    where
        B: FnOnce(Self) -> F,
        F: std::future::Future<Output: Outcome>,
    {
        self.run_at(Location::caller(), body)
    }

    async fn run_at<B, F>(&self, place: Place, body: B) -> Result<Option<ValueOf<F>>>
    where
        B: FnOnce(Self) -> F,
        F: std::future::Future<Output: Outcome>,
    {
        self.enter()?;
        let _leave = DropGuard::new(|| self.0.leave());
        let outcome = {
            let mut body = Box::pin(async { body(self.clone()).await.into_result() });
            // A panic of the body is its error, so that the children end before the scope does.
            poll_fn(|cx| catch(|| body.as_mut().poll(cx)).unwrap_or_else(|panic| Poll::Ready(Err(panic))))
                .await
        };
        self.exit(place, outcome).await
    }

    fn enter(&self) -> Result<()> {
        if self.0.parent.get().is_some() {
            return Err(self.misused("has already been entered"));
        }
        get_running_loop()?;
        let parent = current_task().ok_or_else(|| self.misused("cannot determine the parent task"))?;
        self.0.parent.get_or_init(|| parent);
        if self.0.cancel_on_enter.get() {
            self.cancel();
        }
        Ok(())
    }

    /// Cancels the group (`TaskGroup.cancel`, since Python 3.15): its children that are not done, and the body if it is
    /// still running. The scope then ends without [`Error::Cancelled`].
    ///
    /// Before the group is entered, this cancels it at its entry. May be called at any time and more than once; once the
    /// scope has ended it does nothing. The body is cut off at its next suspension, and may clean up there.
    ///
    /// ```
    /// use looplab::{EventLoop, TaskGroup, sleep};
    /// use std::time::Duration;
    /// let lp = EventLoop::new()?;
    /// lp.run_until_complete(TaskGroup::scope(|group| async move {
    ///     group.create_task(sleep(Duration::from_secs(3600)));
    ///     group.cancel();                                  // what it was for is done
    ///     Ok(())
    /// }))?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "TaskGroup.cancel")]
    pub fn cancel(&self) {
        let group = &*self.0;
        let Some(parent) = group.parent.get() else { return group.cancel_on_enter.set(true) };
        let over = group.exiting.get() && !group.has_children();
        if over || group.aborting.get() {
            return;
        }
        group.abort();
        if !group.cancelled_parent.replace(true) {
            parent.cancel();
        }
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
    pub fn create_task<F>(&self, body: F) -> Task<ValueOf<F>>
    where
        F: std::future::Future<Output: Outcome> + 'static,
    {
        Task::builder().spawn_in(self, body)
    }

    fn check_open(&self) -> Result<()> {
        let state = if self.0.parent.get().is_none() {
            "has not been entered"
        } else if self.0.exiting.get() && !self.0.has_children() {
            "is finished"
        } else if self.0.aborting.get() {
            "is shutting down"
        } else {
            return Ok(());
        };
        Err(self.misused(state))
    }

    fn misused(&self, what: &str) -> Error {
        Error::Runtime(format!("TaskGroup {self:?} {what}").into())
    }

    fn adopt(&self, child: TaskRef, place: Place) {
        let (group, number) = (self.0.clone(), child.id());
        let child_done = move || group.child_done(number);
        let callback = DoneCallback::new(child.any_future(), place, "task group", child_done);
        // An eager child may have cancelled the group before it was one of its children.
        let late = self.0.aborting.get() && !child.done();
        self.0.children.borrow_mut().insert(number, (child.clone(), callback));
        if late {
            child.cancel();
        }
    }

    /// Arrows 3 to 5.
    async fn exit<T: 'static>(&self, place: Place, outcome: Result<T>) -> Result<Option<T>> {
        let group = &*self.0;
        group.exiting.set(true);
        let (mut cancellation, mut last_request) = (None, None);
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
            match group.wait_for_children(place).await {
                Ok(()) => {}
                // More requests while the group is aborting do not end the wait.
                Err(error) if error.is_cancelled() => {
                    if !group.aborting.get() {
                        cancellation = Some(error.clone());
                        group.abort();
                    }
                    last_request = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if group.cancelled_parent.get() && group.base_error.borrow().is_none() {
            group.cancelled_parent.set(false);
            if group.parent().uncancel() == 0 {
                // Only the group has cancelled the parent.
                cancellation = None;
            } else {
                // A request from outside is left. It may have come together with the group's own.
                cancellation = cancellation.or(last_request);
            }
        }
        group.verdict(outcome, cancellation)
    }
}

impl GroupInner {
    /// Returns the task of the scope, which has been entered.
    fn parent(&self) -> &TaskRef {
        self.parent.get().expect("only an entered group has children and an end")
    }

    fn has_children(&self) -> bool {
        !self.children.borrow().is_empty()
    }

    async fn wait_for_children(&self, place: Place) -> Result<()> {
        let all_done = Future::of_kind(&get_running_loop()?, "task group", place);
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
            self.parent().cancel();
        }
        Ok(())
    }

    /// Ends the scope; children that are left, because it was dropped half-way, are cancelled and run on without it.
    fn leave(&self) {
        self.exiting.set(true);
        // A closed loop ends its tasks itself.
        let open = self.parent().event_loop().is_some_and(|lp| !lp.is_closed());
        for (child, callback) in self.children.take().into_values() {
            drop(callback);
            if open {
                child.cancel();
            }
        }
        if self.cancelled_parent.replace(false) {
            self.parent().uncancel();
        }
    }

    /// Returns what comes out of the scope once every child is done: the body's value, or `None` for a body that was cut off.
    fn verdict<T: 'static>(&self, outcome: Result<T>, cancellation: Option<Error>) -> Result<Option<T>> {
        self.cancelled_parent.set(false);
        let outcome = outcome.map(Guarded::new);
        if let Some(error) = self.base_error.borrow_mut().take() {
            return Err(error);
        }
        let mut errors = self.errors.take();
        let only_closed = errors.is_empty() && matches!(outcome, Err(Error::CoroutineExit));
        match (outcome, cancellation) {
            (_, Some(cancellation)) if errors.is_empty() => return Err(cancellation),
            (Ok(value), _) if errors.is_empty() => return Ok(Some(value.into_inner())),
            (Err(error), _) if !error.is_cancelled() => errors.push(error),
            _ if errors.is_empty() => return Ok(None),
            _ => {}
        }
        if self.parent().cancelling() > 0 {
            // The failures come first, but the parent was cancelled from outside: it will hear of that at its next
            // suspension, and its count stays what it was.
            self.parent().uncancel();
            self.parent().cancel();
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
    pub fn spawn_in<F>(self, group: &TaskGroup, body: F) -> Task<ValueOf<F>>
    where
        F: std::future::Future<Output: Outcome> + 'static,
    {
        let place = Location::caller();
        let lp = group.check_open().and_then(|()| group.0.parent().event_loop().ok_or(Error::Closed));
        let child = self.create_at(place, lp.as_ref().map_err(Error::clone), body);
        // A task that could not be made belongs to no loop. An eager one may be done, and is a child all the same.
        if child.event_loop().is_some() {
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
        f.write_str(match self.0.parent.get() {
            _ if self.0.aborting.get() => " cancelling>",
            Some(_) => " entered>",
            None => ">",
        })
    }
}
