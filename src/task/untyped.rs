//! A task whose type is not known, as something that can be run, gathered or waited for: its value is `()`.

use super::TaskRef;
use super::future_core::{Awaitable, Begin, Head, Message, Source};
use crate::error::{Error, Result};
use std::any::Any;
use std::rc::Rc;

/// Stands for a task and leaves everything but the value to it.
pub(crate) struct Untyped {
    task: TaskRef,
    on: Rc<dyn Awaitable>,
}

impl Untyped {
    pub(crate) fn of(task: &TaskRef) -> Self {
        Self { on: task.as_awaitable(), task: task.clone() }
    }
}

impl Awaitable for Untyped {
    fn head(&self) -> &Head {
        self.on.head()
    }

    fn error(&self) -> Option<Error> {
        self.on.error()
    }

    fn begin_cancel(self: Rc<Self>, message: &Message) -> Begin {
        self.on.clone().begin_cancel(message)
    }

    fn end_cancel(self: Rc<Self>, accepted: bool, message: &Message) -> bool {
        self.on.clone().end_cancel(accepted, message)
    }

    fn break_circle(self: Rc<Self>) -> bool {
        self.on.clone().break_circle()
    }

    fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
        self.on.clone().into_any()
    }

    fn as_awaitable(self: Rc<Self>) -> Rc<dyn Awaitable> {
        self
    }
}

impl Source<()> for Untyped {
    fn outcome(&self) -> Result<()> {
        super::join::outcome_of(&self.task)
    }
}
