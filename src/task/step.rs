//! Steps: how the loop runs a task, how it ends, and which one is polled on this thread now. The arrows are those of `cell`.
//!
//! It guarantees that no borrow is held while a body is polled or dropped, and that a panic in it becomes the outcome. After a
//! poll, what was polled before is the current one again. A coroutine that is driven by hand is polled inside of a task's
//! step, and so are the tasks of a loop that is closed there.

use super::cancel::forward;
use super::cell::{Body, RunState, TaskCell};
use super::future_core::AnyFuture;
use crate::error::{Error, Result, catch};
use crate::event_loop::{AnyTask, Entry, EventLoop, ExceptionContext, Failed};
use crate::in_place::is_some;
use crate::panics::drop_quietly;
use crate::trace::{Done, EntryKind, On, Place, TaskEntry, TaskState, Wait};
use std::any::Any;
use std::cell::RefCell;
use std::mem::{ManuallyDrop, replace};
use std::num::NonZeroU64;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The kind of a wait for a future that is not looplab's.
const FOREIGN: &str = "foreign";

thread_local! {
    /// What is polled: a task, or a coroutine. Each guard clears it, so it needs no destructor. Without one, reading it is
    /// a plain load.
    static CURRENT: RefCell<ManuallyDrop<Option<Rc<TaskCell>>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Makes a cell the current one while the guard lives.
struct EnterGuard {
    /// What the cell is polled inside of.
    outer: Option<Rc<TaskCell>>,
}

impl EnterGuard {
    /// `waker` is the data pointer of the waker that the cell is polled with.
    #[inline]
    fn new(cell: Rc<TaskCell>, waker: *const ()) -> Self {
        cell.context.waker.set(waker);
        Self { outer: replace_current(Some(cell)) }
    }
}

impl Drop for EnterGuard {
    #[inline]
    fn drop(&mut self) {
        let ended = replace_current(self.outer.take());
        drop(ended);
    }
}

#[inline]
fn replace_current(by: Option<Rc<TaskCell>>) -> Option<Rc<TaskCell>> {
    ManuallyDrop::into_inner(CURRENT.replace(ManuallyDrop::new(by)))
}

/// Returns the current cell.
#[inline]
pub(super) fn current() -> Option<Rc<TaskCell>> {
    look_at_current(Rc::clone)
}

/// Calls `look` with the current cell. It must not run user code.
#[inline]
pub(super) fn look_at_current<R>(look: impl FnOnce(&Rc<TaskCell>) -> R) -> Option<R> {
    CURRENT.with_borrow(|current| current.as_ref().map(look))
}

/// Returns the task that is in its step now. A coroutine that it drives by hand does not hide it.
pub(super) fn current_task() -> Option<Rc<TaskCell>> {
    let cell = current()?;
    if cell.is_task() { Some(cell) } else { cell.extras().driver.borrow().clone() }
}

impl Entry for TaskCell {
    fn handle(&self) -> u64 {
        self.handle
    }

    fn place(&self) -> Place {
        self.core.place
    }

    fn task(&self) -> Option<u64> {
        Some(self.core.id)
    }

    /// Tells a first step, or one after a yield, from a wakeup.
    fn kind(&self) -> EntryKind {
        if self.state.get() == RunState::Wakeup { EntryKind::Wakeup } else { EntryKind::Step }
    }

    fn label(&self) -> String {
        let word = if self.kind() == EntryKind::Wakeup { "wakeup" } else { "step" };
        format!("{}.{word}", self.name())
    }

    /// Arrow 2 (or 5): one step. It fails only with an error that leaves the loop.
    fn run(self: Rc<Self>, lp: &EventLoop) -> Result<(), Box<Failed>> {
        self.state.set(RunState::Running);
        let Some(body) = self.body.take() else { return Ok(()) };
        // A cancellation comes before what a leaf refused with: asyncio replaces the one with the other.
        let refused = self.context.refused.take();
        let cancelled = self.must_cancel.take().then(|| Box::new(self.core.cancelled_error()));
        let thrown = cancelled.or(refused);

        let own = self.extras.get().and_then(|extras| extras.waker.take());
        let lent = own.or_else(|| self.key.get().map(|key| lp.0.lend_waker(key)));
        let waker = lent.as_ref().map_or(Waker::noop(), |lent| &lent.waker);
        let began = |thrown: Option<&Error>| lp.0.step_began(self.core.id, thrown);
        let polled = self.resume(body, thrown, waker, began);
        // The loop gets its waker back. If a clone is left, the task keeps it, so the loop knows that it may be woken.
        if let Some(kept) = lent.and_then(|lent| lp.0.give_back(lent)) {
            self.extras().waker.set(Some(kept));
        }
        if let Some(Error::Cancelled(message)) = self.context.end().map(|error| *error) {
            // No leaf took it in this step. Another error came from a leaf that is gone.
            self.note_cancel(message);
        }
        match polled {
            Poll::Ready(outcome) => self.finish(Some(lp), outcome).map_err(|exit| Failed::new(self, exit)),
            Poll::Pending => {
                self.suspend(lp);
                Ok(())
            }
        }
    }
}

impl AnyTask for TaskCell {
    fn id(&self) -> u64 {
        self.core.id
    }

    /// Arrow 5.
    fn wake(self: Rc<Self>, lp: &EventLoop, cause: Option<On>) {
        match self.state.get() {
            RunState::Running => self.state.set(RunState::Woken),
            RunState::Stepped | RunState::Waiting => self.enqueue(lp, RunState::Wakeup, cause),
            // A task that is done is in the state of its last step.
            RunState::Step | RunState::Wakeup | RunState::Woken => {}
        }
    }

    /// Arrow 6.
    fn abandon(self: Rc<Self>, lp: &EventLoop) {
        self.key.set(None);
        if self.report_destroyed.get() {
            let context = ExceptionContext::new("Task was destroyed but it is pending!");
            lp.call_exception_handler(&context.with_task(self.info()));
        }
        let body = self.body.take();
        // It is not polled, so this pointer is no waker's (null is `Waker::noop`'s).
        let entered = EnterGuard::new(self.clone(), std::ptr::dangling());
        drop_quietly(body);
        drop(entered);
        self.core.drop_waiters();
    }

    fn entry(&self) -> TaskEntry {
        let state = match self.state.get() {
            RunState::Step | RunState::Wakeup => TaskState::Queued,
            RunState::Running | RunState::Woken | RunState::Stepped => TaskState::Running,
            RunState::Waiting => TaskState::Waiting(self.describe_waits()),
        };
        TaskEntry { id: self.core.id, name: self.name().to_string(), state, place: Some(self.core.place) }
    }
}

impl TaskCell {
    #[inline(always)]
    pub(super) fn enqueue(self: Rc<Self>, lp: &EventLoop, queued: RunState, cause: Option<On>) {
        let before = self.state.get();
        lp.0.deliver_sent();
        if self.state.get() != before {
            // Another thread had woken this very task before.
            return;
        }
        self.state.set(queued);
        lp.0.enqueue(self, cause);
    }

    /// Polls the body once as the current one, and drops it if it ended. The caller ends the step of the context.
    #[inline]
    fn resume(
        self: &Rc<Self>,
        mut body: Pin<Box<dyn Body>>,
        thrown: Option<Box<Error>>,
        waker: &Waker,
        began: impl FnOnce(Option<&Error>),
    ) -> Poll<Result<Box<dyn Any>>> {
        let _entered = EnterGuard::new(self.clone(), waker.data());
        self.context.begin(thrown.clone());
        began(thrown.as_deref());
        let polled = match thrown {
            // Arrow 7: an exception thrown into a coroutine that never started comes straight back out of it.
            Some(thrown) if !self.started.get() => Poll::Ready(Err(*thrown)),
            _ => {
                self.started.set(true);
                let mut cx = Context::from_waker(waker);
                catch(|| body.as_mut().poll(&mut cx)).unwrap_or_else(|panic| Poll::Ready(Err(panic)))
            }
        };
        let Poll::Ready(outcome) = polled else {
            self.body.set(Some(body));
            return Poll::Pending;
        };
        // The body is dropped while its task is still the current one, and before its result is set.
        Poll::Ready(match catch(|| drop(body)) {
            Ok(()) => outcome,
            Err(panic) => {
                drop_quietly(outcome);
                Err(panic)
            }
        })
    }

    /// Polls the body of a coroutine, in the step of the current task if there is one. The waker does nothing.
    pub(crate) fn drive(
        self: &Rc<Self>,
        body: Pin<Box<dyn Body>>,
        thrown: Option<Box<Error>>,
    ) -> Poll<Result<Box<dyn Any>>> {
        let driver = &self.extras().driver;
        driver.replace(current_task());
        let polled = self.resume(body, thrown, Waker::noop(), |_| ());
        drop(driver.take());
        polled
    }

    /// Arrow 4: the step ended at an await.
    fn suspend(self: &Rc<Self>, lp: &EventLoop) {
        let context = &self.context;
        if self.state.replace(RunState::Stepped) == RunState::Woken || is_some(&context.refused) {
            lp.0.yielded(self.core.id);
            return self.clone().enqueue(lp, RunState::Step, None);
        }
        if !context.has_waits() && self.foreign.get().is_none() {
            let number = || NonZeroU64::new(lp.0.next_object()).unwrap_or(NonZeroU64::MIN);
            let id = *self.foreign.get_or_init(number);
            lp.0.future_made(id.get(), FOREIGN, None);
        }
        self.state.set(RunState::Waiting);
        if lp.0.traced.get() {
            lp.0.suspended(self.core.id, &self.describe_waits());
        }
        // A cancellation requested during the step is delivered here, at the first real suspension after it.
        if self.must_cancel.take() {
            // If nothing accepts it, `end_cancel` notes it again.
            self.asked.set(true);
            forward(self.clone(), context.waits(), &self.core.message());
        }
    }

    /// Describes what it waits on, for the trace.
    fn describe_waits(&self) -> Vec<Wait> {
        let waits = self.context.waits();
        if let (true, Some(id)) = (waits.is_empty(), self.foreign.get()) {
            return vec![Wait { on: On::Future(id.get()), kind: FOREIGN, place: None, holder: None }];
        }
        let describe = |on: Rc<dyn AnyFuture>| {
            let core = on.core();
            Wait { on: core.on(), kind: core.kind, place: Some(core.place), holder: core.holder() }
        };
        waits.into_iter().map(describe).collect()
    }

    /// Arrow 3: sets the outcome. The error is one that leaves the loop.
    pub(super) fn finish(
        self: &Rc<Self>,
        lp: Option<&EventLoop>,
        mut outcome: Result<Box<dyn Any>>,
    ) -> Result<()> {
        let mut lost = None;
        if self.must_cancel.take() && outcome.is_ok() {
            // A request that came too late to be thrown still wins over a value, but not over an error.
            lost = replace(&mut outcome, Err(self.core.cancelled_error())).ok();
        }
        let kept_by_loop = lp.and_then(|lp| lp.0.tasks.remove(self.key.take()?));
        let mut exit = Ok(());
        let owner = || -> Rc<dyn Any> { self.clone() };
        let completed = match outcome {
            Ok(value) => {
                *self.value.borrow_mut() = Some(value);
                self.core.complete_on(lp, Done::Ok, owner)
            }
            Err(Error::Cancelled(message)) => {
                self.core.set_message(message);
                self.core.complete_on(lp, Done::Cancelled, owner)
            }
            Err(error) => {
                if error.leaves_the_loop() {
                    exit = Err(error.clone());
                }
                self.core.fail(error, owner)
            }
        };
        drop(kept_by_loop);
        // Its destructor is user code: it runs last, when the task is done.
        if let Some(lost) = lost {
            drop_quietly(lost);
        }
        if let Err(error) = completed {
            log_error!("{} is done, but its waiters are not woken: {error}", self.name());
        }
        exit
    }
}
