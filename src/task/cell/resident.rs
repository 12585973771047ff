//! A task as its loop sees it, and its end: what is reported of it when nobody is left to ask.

use super::super::TaskRef;
use super::super::context::EnterGuard;
use super::super::future_core::Woken;
use super::{Queued, TaskCell, TypedTask};
use crate::error::Result;
use crate::event_loop::{AnyTask, EventLoop, ExceptionContext, TaskInfo, report};
use crate::panics::drop_quietly;
use crate::trace::{EntryKind, Place, TaskEntry, TaskState};
use std::any::Any;
use std::rc::Rc;

impl<T: 'static> AnyTask for TaskCell<T> {
    fn id(&self) -> u64 {
        self.core.id()
    }

    fn handle(&self) -> u64 {
        self.handle
    }

    fn place(&self) -> Place {
        self.core.place()
    }

    fn kind(&self) -> EntryKind {
        if self.queued.get() == Queued::Wakeup { EntryKind::Wakeup } else { EntryKind::Step }
    }

    fn label(&self) -> String {
        let word = if self.queued.get() == Queued::Wakeup { "wakeup" } else { "step" };
        format!("{}.{word}", self.name())
    }

    fn step(self: Rc<Self>, lp: &EventLoop) -> Result<()> {
        self.run_step(lp)
    }

    fn wake(self: Rc<Self>, lp: &EventLoop) {
        self.wakeup(lp, None);
    }

    /// Arrow 6.
    fn abandon(self: Rc<Self>, lp: &EventLoop) {
        self.key.set(None);
        if self.report_destroyed.get() {
            let context = ExceptionContext::new("Task was destroyed but it is pending!");
            lp.call_exception_handler(&context.with_task(self.info()));
        }
        let body = self.content.take_body();
        // It is not polled: this is nobody's waker (null is that of `Waker::noop`).
        let entered = EnterGuard::new(self.clone(), std::ptr::dangling());
        drop_quietly(body);
        drop(entered);
        self.core.drop_waiters();
    }

    fn entry(&self) -> TaskEntry {
        let state = match self.parked.get() {
            _ if self.queued.get() != Queued::No => TaskState::Queued,
            false => TaskState::Running,
            true => TaskState::Waiting(self.describe_waits()),
        };
        TaskEntry { id: self.core.id(), name: self.name().to_string(), state, place: Some(self.core.place()) }
    }

    fn reveal(self: Rc<Self>) -> Box<dyn Any> {
        Box::new(TaskRef::new(self))
    }
}

impl<T> TaskCell<T> {
    fn info(&self) -> TaskInfo {
        let name = self.given_name().map_or_else(|| format!("Task-{}", self.number), |name| name.to_string());
        TaskInfo { id: self.core.id(), name, place: self.core.place() }
    }
}

/// Reports a failure that was never read, and drops the body or the outcome.
impl<T> Drop for TaskCell<T> {
    #[inline]
    fn drop(&mut self) {
        if self.core.is_unretrieved() {
            self.report_unread();
        }
        self.content.discard();
    }
}

impl<T> TaskCell<T> {
    #[cold]
    fn report_unread(&self) {
        let Some(Err(error)) = self.content.take_outcome() else { return };
        let context = ExceptionContext::new("Task exception was never retrieved");
        report(self.core.event_loop(), context.with_error(error).with_task(self.info()));
    }
}
