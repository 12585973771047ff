//! The task itself: a body that is polled step by step, and what comes of it.
//!
//! It promises CPython's `Task`: a step for each time it is woken; a cancellation that is thrown at the await where it
//! is suspended; a task that was cancelled before its first step never runs; the body is dropped while the task is still
//! the current one, before its result is set.
//!
//! ```text
//!               1 create_task
//!   QUEUED (first step) ──2 runs──▶ RUNNING ──3 returns / fails / ends cancelled──▶ DONE
//!     │ 7 cancelled before             │ ▲
//!     │   its first step: the body     │ └──5 wakeup / thrown───┐
//!     └──▶ is dropped, DONE            └──4 suspends──▶ WAITING ┴──6 close(): body dropped, never DONE
//!                                      └──4' yields──▶ QUEUED
//! ```

mod any;
mod content;
mod resident;

pub(crate) use any::TypedTask;
pub(crate) use content::Body;

use super::cancel;
use super::context::{EnterGuard, StepContext, Stepping};
use super::future_core::{AnyFuture, Begin, CancelMessage, FutureCore, FutureOf, Woken, complete};
use super::{Task, TaskRef};
use crate::error::{Error, Result};
use crate::event_loop::{Entry, EventLoop, PushInfo, TaskKey, TaskWaker};
use crate::outcome::Outcome;
use crate::panics::{catch, drop_quietly};
use crate::trace::{Done, On, Place, Wait};
use content::Content;
use std::any::{Any, type_name};
use std::cell::{Cell, OnceCell, RefCell};
use std::num::NonZeroU64;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

/// The kind of a wait for a future that is not looplab's.
const FOREIGN: &str = "foreign";

/// Whether and why the task stands in the ready queue.
#[derive(Clone, Copy, PartialEq)]
enum Queued {
    No,
    Step,
    Wakeup,
}

pub(crate) struct TaskCell<T: 'static> {
    core: FutureCore,
    context: StepContext,
    content: Content<T>,
    handle: u64,
    key: Cell<Option<TaskKey>>,
    /// Gives it its name, if nobody has given it another: `Task-N`, written out when somebody asks.
    number: u64,
    queued: Cell<Queued>,
    started: Cell<bool>,
    /// Suspended, and its wait told to the trace.
    parked: Cell<bool>,
    cancels: Cell<u32>,
    /// It is being asked in a walk of `cancel`.
    asked: Cell<bool>,
    /// Whether its destruction while pending is worth a report.
    report_destroyed: Cell<bool>,
    /// The number under which it waits for a future that is not looplab's.
    foreign: OnceCell<NonZeroU64>,
    rare: OnceCell<Box<Rare>>,
}

/// What few tasks have: boxed, so that it costs the many a pointer only.
#[derive(Default)]
struct Rare {
    name: RefCell<Option<Rc<str>>>,
    /// A cancellation to be thrown in the next step.
    must_cancel: Cell<Option<CancelMessage>>,
    /// Its waker, while somebody keeps a clone of the lent one.
    waker: Cell<Option<Box<TaskWaker>>>,
}

impl<T> TaskCell<T> {
    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    fn given_name(&self) -> Option<Rc<str>> {
        self.rare.get()?.name.borrow().clone()
    }
}

/// How a task is to be made.
pub(crate) struct Making {
    pub(crate) place: Place,
    pub(crate) name: Option<Rc<str>>,
    pub(crate) report_destroyed: bool,
}

impl<T: 'static> TaskCell<T> {
    /// Arrow 1: makes the task and queues its first step.
    pub(crate) fn spawn<F>(lp: &EventLoop, making: Making, body: F) -> Result<Rc<Self>>
    where
        F: Future<Output: Outcome<Value = T>> + 'static,
    {
        if let Err(closed) = lp.0.check_open() {
            drop_quietly(body);
            return Err(closed);
        }
        let id = lp.0.next_object();
        let task = Rc::new(Self::new(
            FutureCore::task(lp.downgrade(), id, making.place),
            lp.0.next_handle(),
            making,
        ));
        task.content.put_body(Box::pin(body));
        task.key.set(Some(lp.0.tasks.insert(task.clone())));
        // Set before the trace tells of the task: it is queued from its first moment on.
        task.queued.set(Queued::Step);
        if lp.0.is_traced() {
            let (name, parent) = (task.name(), super::context::current_task().map(|task| task.id()));
            lp.0.task_named(id, &name, type_name::<F>(), parent, task.core.place());
        }
        task.clone().enqueue(lp, Queued::Step, None);
        Ok(task)
    }

    /// A task that failed before it could be made, on no loop.
    pub(crate) fn failed(error: Error, making: Making) -> Rc<Self> {
        let task = Rc::new(Self::new(FutureCore::task(Weak::new(), 0, making.place), 0, making));
        // What leaves a loop has none to leave here.
        let _ = task.finish(Err(error));
        task
    }

    #[inline]
    fn new(core: FutureCore, handle: u64, making: Making) -> Self {
        Self {
            core,
            context: StepContext::default(),
            content: Content::empty(),
            handle,
            key: Cell::new(None),
            number: if making.name.is_some() { 0 } else { next_number() },
            queued: Cell::new(Queued::No),
            started: Cell::new(false),
            parked: Cell::new(false),
            cancels: Cell::new(0),
            asked: Cell::new(false),
            report_destroyed: Cell::new(making.report_destroyed),
            foreign: OnceCell::new(),
            rare: making.name.map_or_else(OnceCell::new, |name| {
                OnceCell::from(Box::new(Rare { name: RefCell::new(Some(name)), ..Rare::default() }))
            }),
        }
    }

    #[inline]
    fn enqueue(self: Rc<Self>, lp: &EventLoop, why: Queued, cause: Option<On>) {
        let before = self.queued.get();
        lp.0.deliver_sent();
        if self.queued.get() != before {
            // Another thread had woken this very task before.
            return;
        }
        self.queued.set(why);
        lp.0.enqueue(Entry::Step(self), PushInfo { cause, ..PushInfo::CALL_SOON });
    }

    /// Arrow 2 (or 5): one step.
    fn run_step(self: &Rc<Self>, lp: &EventLoop) -> Result<()> {
        self.queued.set(Queued::No);
        self.parked.set(false);
        let Some(mut body) = self.content.take_body() else { return Ok(()) };
        // A cancellation comes before what a leaf refused with: asyncio replaces the one with the other.
        let refused = self.context.take_refused();
        let due = self.take_must_cancel();
        let thrown = due.map(|message| Box::new(Error::Cancelled(message))).or(refused);

        let kept = self.rare.get().and_then(|rare| rare.waker.take());
        let lent = kept.or_else(|| self.key.get().map(|key| lp.0.lend_waker(key)));
        let waker = lent.as_ref().map_or(Waker::noop(), |lent| lent.waker());
        let entered = EnterGuard::new(self.clone(), waker.data());
        self.context.begin(thrown.clone());
        lp.0.step_began(self.core.id(), thrown.as_deref());

        let polled = if self.started.replace(true) || thrown.is_none() {
            let mut cx = Context::from_waker(waker);
            catch(|| body.as_mut().poll_body(&mut cx)).unwrap_or_else(|panic| Poll::Ready(Err(panic)))
        } else {
            // Arrow 7: an exception thrown into a coroutine that never started comes straight back out of it.
            Poll::Ready(Err(thrown.map_or_else(Error::cancelled, |error| *error)))
        };
        let ended = match polled {
            Poll::Ready(outcome) => {
                // The body is dropped while its task is still the current one, and before its result is set.
                let dropped = catch(|| drop(body));
                Some(match dropped {
                    Ok(()) => outcome,
                    Err(panic) => replaced(outcome, panic),
                })
            }
            Poll::Pending => {
                self.content.put_body(body);
                None
            }
        };
        self.end_step(lp, entered, lent);
        match ended {
            Some(outcome) => self.finish(outcome),
            None => {
                self.suspend(lp);
                Ok(())
            }
        }
    }

    /// Gives the lent waker back, or keeps it while somebody has a clone of it: so the loop knows, at each end of a step,
    /// whether anybody is left who could wake it.
    #[inline]
    fn end_step(&self, lp: &EventLoop, entered: EnterGuard, lent: Option<Box<TaskWaker>>) {
        let untaken = self.context.end();
        drop(entered);
        if let Some(kept) = lent.and_then(|lent| lp.0.give_back(lent)) {
            self.rare().waker.set(Some(kept));
        }
        // An injected cancellation that no leaf took is to be thrown later. (Another error was a leaf's own, and that
        // leaf is gone.)
        if let Some(error) = untaken
            && let Error::Cancelled(message) = *error
        {
            self.rare().must_cancel.set(Some(message));
        }
    }

    /// Arrow 4: the step ended at an await.
    fn suspend(self: &Rc<Self>, lp: &EventLoop) {
        if self.context.was_woken() || self.context.has_refused() {
            return self.clone().enqueue(lp, Queued::Step, None);
        }
        if !self.context.waits_on_something() && self.foreign.get().is_none() {
            let number = || NonZeroU64::new(lp.0.next_object()).unwrap_or(NonZeroU64::MIN);
            let id = *self.foreign.get_or_init(number);
            lp.0.future_made(id.get(), FOREIGN, None);
        }
        self.parked.set(true);
        if lp.0.is_traced() {
            lp.0.suspended(self.core.id(), &self.describe_waits());
        }
        // A cancellation requested during the step is delivered here, at the first real suspension after it.
        if let Some(message) = self.take_must_cancel() {
            // Unless somebody accepts, `end_cancel` remembers it again.
            self.asked.set(true);
            cancel::forward(self.clone(), self.context.waits(), &message);
        }
    }

    /// A cancellation is to be thrown in the next step. Its message stays the task's, whatever the body makes of it: a
    /// gathering whose children swallow its cancellation ends with the message of the last one.
    fn must_cancel(&self, message: &CancelMessage) {
        self.rare().must_cancel.set(Some(message.clone()));
        self.core.set_message(message.clone());
    }

    #[inline]
    fn take_must_cancel(&self) -> Option<CancelMessage> {
        self.rare.get()?.must_cancel.take()
    }

    fn describe_waits(&self) -> Vec<Wait> {
        let waits = self.context.describe_waits();
        match self.foreign.get() {
            Some(id) if waits.is_empty() => {
                vec![Wait { on: On::Future(id.get()), kind: FOREIGN, place: None, holder: None }]
            }
            _ => waits,
        }
    }

    /// Arrow 3: sets the outcome. The error is one that leaves the loop.
    fn finish(self: &Rc<Self>, outcome: Result<T>) -> Result<()> {
        let due = self.take_must_cancel();
        // A request that came too late to be thrown still wins over a value, but not over an error.
        let (outcome, lost) = match (outcome, due) {
            (Ok(value), Some(message)) => (Err(Error::Cancelled(message)), Some(value)),
            (outcome, _) => (outcome, None),
        };
        let (state, error) = match &outcome {
            Ok(_) => (Done::Ok, None),
            Err(Error::Cancelled(message)) => {
                self.core.set_message(message.clone());
                (Done::Cancelled, outcome.as_ref().err().cloned())
            }
            Err(error) => (Done::Err, Some(error.clone())),
        };
        self.content.put_outcome(outcome);
        let kept_by_loop = match (self.core.event_loop(), self.key.take()) {
            (Some(lp), Some(key)) => lp.0.tasks.remove(key),
            _ => None,
        };
        let completed = complete(self, state, error.as_ref());
        drop(kept_by_loop);
        // Its destructor is the user's code: it comes last, when the task is done.
        drop_quietly(lost);
        if let Err(error) = completed {
            log_error!("nobody can be told that {} is done: {error}", self.name());
        }
        match error {
            Some(error) if error.leaves_the_loop() => Err(error),
            _ => Ok(()),
        }
    }

    /// Its destruction while pending is worth a report after all.
    pub(crate) fn report_destroyed(&self) {
        self.report_destroyed.set(true);
    }

    pub(crate) fn take_outcome(&self) -> Option<Result<T>> {
        self.content.take_outcome()
    }
}

impl<T: 'static> Woken for TaskCell<T> {
    /// Arrow 5.
    fn wakeup(self: Rc<Self>, lp: &EventLoop, cause: Option<On>) {
        if self.context.is_active() {
            self.context.wake();
        } else if self.queued.get() == Queued::No && !self.core.done() {
            self.enqueue(lp, Queued::Wakeup, cause);
        }
    }
}

impl<T: 'static> Stepping for TaskCell<T> {
    fn context(&self) -> &StepContext {
        &self.context
    }

    fn task(self: Rc<Self>) -> Option<TaskRef> {
        Some(TaskRef::new(self))
    }

    fn task_core(&self) -> Option<&FutureCore> {
        Some(&self.core)
    }
}

impl<T: 'static> AnyFuture for TaskCell<T> {
    fn core(&self) -> &FutureCore {
        &self.core
    }

    fn error(&self) -> Option<Error> {
        let failure = self.content.outcome(|outcome| outcome.as_ref().err().cloned()).flatten();
        failure.or_else(|| self.core.cancellation())
    }

    fn begin_cancel(self: Rc<Self>, message: &CancelMessage) -> Begin {
        self.core.retrieved();
        if self.core.done() || (self.key.get().is_none() && !self.content.has_body()) {
            return Begin::Decided(false);
        }
        if self.asked.get() {
            return Begin::Circle;
        }
        self.cancels.set(self.cancels.get() + 1);
        if let Some(lp) = self.core.event_loop() {
            lp.0.cancel_requested(self.core.id());
        }
        let waits = if self.context.is_active() { Vec::new() } else { self.context.waits() };
        if waits.is_empty() {
            self.must_cancel(message);
            return Begin::Decided(true);
        }
        self.asked.set(true);
        Begin::Forward(waits)
    }

    fn end_cancel(self: Rc<Self>, accepted: bool, message: &CancelMessage) -> bool {
        self.asked.set(false);
        if !accepted {
            self.must_cancel(message);
        }
        true
    }

    fn break_circle(self: Rc<Self>) -> bool {
        if let Some(lp) = self.core.event_loop().filter(|lp| !lp.is_closed()) {
            self.wakeup(&lp, None);
        }
        true
    }

    fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }

    fn as_any_future(self: Rc<Self>) -> Rc<dyn AnyFuture> {
        self
    }
}

impl<T: Clone + 'static> FutureOf<T> for TaskCell<T> {
    fn outcome(&self) -> Result<T> {
        self.core.retrieved();
        let outcome = self.content.outcome(Clone::clone);
        outcome.unwrap_or_else(|| Err(self.core.no_result()))
    }
}

/// The panic of a body's destructor in the place of the body's outcome.
#[cold]
fn replaced<T: 'static>(outcome: Result<T>, panic: Error) -> Result<T> {
    drop_quietly(outcome);
    Err(panic)
}

/// The next number for a name: they count on this thread, so that names do not depend on what other threads do.
fn next_number() -> u64 {
    thread_local! { static LAST: Cell<u64> = const { Cell::new(0) } }
    LAST.try_with(|last| {
        last.set(last.get() + 1);
        last.get()
    })
    .unwrap_or(0)
}

impl<T: 'static> From<Rc<TaskCell<T>>> for Task<T> {
    fn from(cell: Rc<TaskCell<T>>) -> Self {
        Task::new(cell)
    }
}
