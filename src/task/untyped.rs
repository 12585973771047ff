//! A task whose type is not known, as something that can be run, gathered or waited for: its value is `()`.

use super::TaskRef;
use super::future_core::{AnyFuture, Begin, CancelMessage, FutureCore, FutureOf};
use crate::error::{Error, Result};
use std::any::Any;
use std::rc::Rc;

/// Stands for a task and leaves everything but the value to it.
pub(crate) struct Untyped {
    task: TaskRef,
    on: Rc<dyn AnyFuture>,
}

impl Untyped {
    pub(crate) fn of(task: &TaskRef) -> Self {
        Self { on: task.as_any_future(), task: task.clone() }
    }
}

impl AnyFuture for Untyped {
    fn core(&self) -> &FutureCore {
        self.on.core()
    }

    fn error(&self) -> Option<Error> {
        self.on.error()
    }

    fn begin_cancel(self: Rc<Self>, message: &CancelMessage) -> Begin {
        self.on.clone().begin_cancel(message)
    }

    fn end_cancel(self: Rc<Self>, accepted: bool, message: &CancelMessage) -> bool {
        self.on.clone().end_cancel(accepted, message)
    }

    fn break_circle(self: Rc<Self>) -> bool {
        self.on.clone().break_circle()
    }

    fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
        self.on.clone().into_any()
    }

    /// The task itself: a gathering that is dropped leaves its callbacks, and they need what outlives it.
    fn as_any_future(self: Rc<Self>) -> Rc<dyn AnyFuture> {
        self.on.clone().as_any_future()
    }
}

impl FutureOf<()> for Untyped {
    fn outcome(&self) -> Result<()> {
        super::join::outcome_of(&self.task)
    }
}
