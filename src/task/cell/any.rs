//! A task whose type nobody asks for.

use super::super::context::{Stepping, is_some};
use super::super::future_core::AnyFuture;
use super::TaskCell;
use crate::event_loop::TaskKey;
use std::any::type_name;
use std::rc::Rc;

/// A task, whatever its type.
pub(crate) trait TypedTask: AnyFuture + crate::event_loop::AnyTask + Stepping {
    /// Its key on its loop, as long as it is not done.
    fn key(&self) -> Option<TaskKey>;
    fn name(&self) -> Rc<str>;
    fn set_name(&self, name: Rc<str>);
    fn cancelling(&self) -> u32;
    fn uncancel(&self) -> u32;
    /// Whether a cancellation was requested that no await has delivered yet. For the task itself, during its step.
    fn cancel_undelivered(&self) -> bool;
}

impl<T: 'static> TypedTask for TaskCell<T> {
    fn key(&self) -> Option<TaskKey> {
        self.key.get()
    }

    fn name(&self) -> Rc<str> {
        self.given_name().unwrap_or_else(|| format!("Task-{}", self.number).into())
    }

    fn set_name(&self, name: Rc<str>) {
        let before = self.rare().name.replace(Some(name.clone()));
        drop(before);
        if let Some(lp) = self.core.event_loop().filter(|_| !self.core.done()) {
            let (task, place) = (self.core.id(), self.core.place());
            lp.0.task_named(task, &name, type_name::<T>(), None, place);
        }
    }

    fn cancelling(&self) -> u32 {
        self.cancels.get()
    }

    fn uncancel(&self) -> u32 {
        self.cancels.set(self.cancels.get().saturating_sub(1));
        if self.cancels.get() == 0 {
            // Since 3.13: a request that was not delivered yet is withdrawn with the last count.
            drop(self.take_must_cancel());
        }
        self.cancels.get()
    }

    fn cancel_undelivered(&self) -> bool {
        self.rare.get().is_some_and(|rare| is_some(&rare.must_cancel)) || self.context.has_untaken()
    }
}
