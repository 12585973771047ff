//! The task cell: a body, its step context, and its outcome. It does not know the type of its value.
//!
//! It guarantees CPython's `Task`: a step for each time that it is woken; a cancellation that is thrown at the await where
//! it is suspended; a task that was cancelled before its first step never runs; the body is dropped while the task is
//! still the current one, before its result is set. The steps themselves are in `step`.
//!
//! ```text
//!               1 create_task
//!   QUEUED (first step) ──2 runs──▶ RUNNING ──3 returns / fails / ends cancelled──▶ DONE
//!     │ 7 cancelled before             │ ▲
//!     │   its first step: the body     │ └──5 wakeup / thrown───┐
//!     └──▶ is dropped, DONE            └──4 suspends──▶ WAITING ┴──6 close(): body dropped, never DONE
//!                                      └──4' yields──▶ QUEUED
//! ```

use super::context::StepContext;
use super::future_core::{AnyFuture, Begin, CancelMessage, FutureCore};
use super::keyed_list::next;
use crate::error::Result;
use crate::event_loop::{AnyTask, EventLoop, ExceptionContext, TaskInfo, TaskWaker, report, running};
use crate::in_place::{is_some, rc_in_place};
use crate::outcome::Outcome;
use crate::panics::drop_quietly;
use crate::trace::{Done, On, Place};
use std::any::{Any, TypeId, type_name};
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::mem::needs_drop;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

/// A body: any future whose output is an [`Outcome`]. Its value is boxed.
pub(crate) trait Body {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Box<dyn Any>>>;
}

impl<F: Future<Output: Outcome>> Body for F {
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Box<dyn Any>>> {
        match Future::poll(self, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(outcome) => {
                Poll::Ready(outcome.into_result().map(|value| -> Box<dyn Any> { Box::new(value) }))
            }
        }
    }
}

/// A task, or a coroutine that is driven by hand: that one has no loop and is never queued.
pub(crate) struct TaskCell {
    pub(super) core: FutureCore,
    pub(crate) context: StepContext,
    /// Empty during a step, and when it is done.
    pub(crate) body: Cell<Option<Pin<Box<dyn Body>>>>,
    /// A reader's `clone`, which is user code, runs on the borrowed value. It may read the task again or drop it, and only
    /// taking the value fails meanwhile.
    pub(super) value: RefCell<Option<Box<dyn Any>>>,
    /// Whether dropping the value runs code.
    value_needs_drop: bool,
    /// Returns the type of the value, and its name.
    pub(super) value_type: fn() -> (TypeId, &'static str),
    pub(super) handle: u64,
    /// Its key in the loop's table, until it is done.
    pub(super) key: Cell<Option<NonZeroU64>>,
    /// The N of `Task-N`; 0 if it was given a name.
    number: u64,
    pub(super) state: Cell<RunState>,
    pub(crate) started: Cell<bool>,
    /// How many cancellations were requested and not taken back.
    pub(super) cancels: Cell<u32>,
    /// A cancellation is to be thrown in the next step. Its message is the core's.
    pub(super) must_cancel: Cell<bool>,
    /// A walk of `cancel` is asking it.
    pub(super) asked: Cell<bool>,
    /// Whether its destruction while pending is worth a report.
    pub(super) report_destroyed: Cell<bool>,
    /// The number under which it waits for a future that is not looplab's.
    pub(super) foreign: OnceCell<NonZeroU64>,
    pub(super) extras: OnceCell<Box<TaskExtras>>,
}

/// What the loop does with a task, and what waking it does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RunState {
    /// It is in the ready queue for its first step, or for one after a yield.
    Step,
    /// It is in the ready queue because what it waited on is done.
    Wakeup,
    Running,
    /// It was woken during its own step, so its next step is queued at the end of this one.
    Woken,
    /// Its step has ended, and the trace does not show yet how.
    Stepped,
    /// It is suspended, and the trace shows what it waits on.
    Waiting,
}

/// What few tasks have. Boxed, so that it costs the others a pointer only.
#[derive(Default)]
pub(super) struct TaskExtras {
    name: RefCell<Option<Rc<str>>>,
    /// The task in whose step a coroutine is polled.
    pub(super) driver: RefCell<Option<Rc<TaskCell>>>,
    /// Its waker, while a clone of the lent one exists.
    pub(super) waker: Cell<Option<Box<TaskWaker>>>,
}

impl TaskCell {
    /// Makes a task whose value is a `T`. On no loop it is a coroutine, or, without a body, a task that fails at once.
    #[inline]
    pub(crate) fn new<T: 'static>(
        lp: Option<&EventLoop>,
        place: Place,
        name: Option<Rc<str>>,
        body: Option<Pin<Box<dyn Body>>>,
    ) -> Rc<Self> {
        let (lp, id, handle) = match lp {
            Some(lp) => (Rc::downgrade(&lp.0), lp.0.next_object(), lp.0.next_handle()),
            None => (Weak::new(), 0, 0),
        };
        let number = if name.is_some() { 0 } else { next_number() };
        let extras = name.map_or_else(OnceCell::new, |name| {
            let name = RefCell::new(Some(name));
            OnceCell::from(Box::new(TaskExtras { name, ..TaskExtras::default() }))
        });
        rc_in_place(|| Self {
            core: FutureCore::new(lp, On::Task(id), "task", place),
            context: StepContext::new(),
            body: Cell::new(body),
            value: RefCell::new(None),
            value_needs_drop: needs_drop::<T>(),
            value_type: || (TypeId::of::<T>(), type_name::<T>()),
            handle,
            key: Cell::new(None),
            number,
            state: Cell::new(RunState::Stepped),
            started: Cell::new(false),
            cancels: Cell::new(0),
            must_cancel: Cell::new(false),
            asked: Cell::new(false),
            report_destroyed: Cell::new(true),
            foreign: OnceCell::new(),
            extras,
        })
    }

    /// Whether it is a task, not a coroutine.
    pub(super) fn is_task(&self) -> bool {
        !self.core.has_no_loop()
    }

    pub(super) fn extras(&self) -> &TaskExtras {
        self.extras.get_or_init(Box::default)
    }

    pub(super) fn name(&self) -> Rc<str> {
        let given = self.extras.get().and_then(|extras| extras.name.borrow().clone());
        given.unwrap_or_else(|| format!("Task-{}", self.number).into())
    }

    pub(super) fn set_name(&self, name: Rc<str>) {
        let before = self.extras().name.replace(Some(name.clone()));
        drop(before);
        if let Some(lp) = self.core.event_loop().filter(|_| !self.core.done()) {
            lp.0.task_named(self.core.id, &name, (self.value_type)().1, None, self.core.place);
        }
    }

    pub(super) fn info(&self) -> TaskInfo {
        TaskInfo { id: self.core.id, name: self.name().to_string(), place: self.core.place }
    }

    pub(crate) fn has_body(&self) -> bool {
        is_some(&self.body)
    }
}

/// The outcome.
impl TaskCell {
    /// Returns the outcome of one that is done, and marks it as retrieved.
    pub(super) fn outcome<T: Clone + 'static>(&self) -> Result<T> {
        self.core.check_error()?;
        let value = self.value.borrow();
        value.as_ref().and_then(|value| value.downcast_ref()).cloned().ok_or_else(|| self.core.no_result())
    }

    /// Takes the value of one that is done. An error is shared: others may still want to read it.
    pub(super) fn take_outcome<T: 'static>(&self) -> Result<T> {
        self.core.check_error()?;
        let value = self.value.try_borrow_mut().ok().and_then(|mut value| value.take());
        let value = value.and_then(|value| value.downcast().ok());
        value.map(|value| *value).ok_or_else(|| self.core.no_result())
    }
}

/// Cancellation.
impl TaskCell {
    /// Notes a cancellation to be thrown in the next step. Its message stays the task's, whatever the body makes of it: a
    /// gathering whose children swallow its cancellation ends with the message of the last one.
    pub(super) fn note_cancel(&self, message: CancelMessage) {
        self.must_cancel.set(true);
        self.core.set_message(message);
    }

    /// Whether a cancellation was requested that no await has delivered yet. For the task itself, during its step.
    pub(super) fn cancel_undelivered(&self) -> bool {
        self.must_cancel.get() || self.context.throws()
    }

    pub(super) fn uncancel(&self) -> u32 {
        self.cancels.set(self.cancels.get().saturating_sub(1));
        if self.cancels.get() == 0 {
            // Since 3.13: a request that was not delivered yet is withdrawn with the last count.
            self.must_cancel.set(false);
        }
        self.cancels.get()
    }
}

impl AnyFuture for TaskCell {
    fn core(&self) -> &FutureCore {
        &self.core
    }

    fn begin_cancel(&self, message: &CancelMessage) -> Begin {
        self.core.mark_retrieved();
        if self.core.done() || (self.key.get().is_none() && !self.has_body()) {
            return Begin::Decided(false);
        }
        if self.asked.get() {
            return Begin::Circle;
        }
        self.cancels.set(self.cancels.get() + 1);
        if let Some(lp) = self.core.event_loop() {
            lp.0.cancel_requested(self.core.id);
        }
        let waits = match self.state.get() {
            RunState::Running | RunState::Woken => Vec::new(),
            _ => self.context.waits(),
        };
        if waits.is_empty() {
            self.note_cancel(message.clone());
            return Begin::Decided(true);
        }
        self.asked.set(true);
        Begin::Forward(waits)
    }

    fn end_cancel(&self, accepted: bool, message: &CancelMessage) -> bool {
        self.asked.set(false);
        if !accepted {
            self.note_cancel(message.clone());
        }
        true
    }

    fn break_circle(self: Rc<Self>) -> bool {
        if let Some(lp) = self.core.event_loop().filter(|lp| !lp.is_closed()) {
            self.wake(&lp, None);
        }
        true
    }
}

/// Reports a failure that was never read, and drops the body or the value.
impl Drop for TaskCell {
    #[inline]
    fn drop(&mut self) {
        if let Some(error) = self.core.take_unretrieved() {
            let context = ExceptionContext::new("Task exception was never retrieved");
            // A task that could not be made belongs to no loop: the running one reports it.
            let lp = if self.core.has_no_loop() { running() } else { self.core.event_loop() };
            report(lp, context.with_error(error).with_task(self.info()));
        }
        if let Some(body) = self.body.get_mut().take() {
            drop_quietly(body);
        }
        if self.value_needs_drop {
            drop_quietly(self.value.get_mut().take());
        }
    }
}

/// `<Task pending name='Task-1' created at file:line>`, as Python shows a task.
impl fmt::Debug for TaskCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FutureCore { state, place, .. } = &self.core;
        let state = match state.get() {
            None => "pending",
            Some(Done::Ok | Done::Err) => "finished",
            Some(Done::Cancelled) => "cancelled",
        };
        write!(f, "<Task {state} name='{}' created at {}:{}>", self.name(), place.file(), place.line())
    }
}

/// Returns the next number for a name. They count on this thread, so names do not depend on other threads.
fn next_number() -> u64 {
    thread_local! { static LAST: Cell<u64> = const { Cell::new(0) } }
    next(&LAST)
}
