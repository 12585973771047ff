//! What is being polled on this thread now. Every leaf asks for it.
//!
//! It guarantees that a guard's drop restores what was polled before. A coroutine that is driven by hand is polled inside of
//! a task's step, and so are the tasks of a loop that is closed there.

use super::cell::TaskCell;
use super::context::StepContext;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::rc::Rc;

#[derive(Clone)]
pub(super) struct Current {
    /// What is polled: a task, or a coroutine.
    pub(super) cell: Rc<TaskCell>,
    /// The data pointer of the waker that it is polled with, which tells its own waker from any other.
    pub(super) waker: *const (),
    /// The innermost task around it, if it is polled inside of one.
    outer_task: Option<Rc<TaskCell>>,
}

thread_local! {
    /// Each guard clears it, so it needs no destructor. Without one, reading it is a plain load.
    static CURRENT: RefCell<ManuallyDrop<Option<Current>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Makes a cell the current one while the guard lives.
pub(super) struct EnterGuard {
    /// Boxed, because there nearly always is none.
    outer: Option<Box<Current>>,
}

impl EnterGuard {
    /// `waker` is the data pointer of the waker that the cell is polled with.
    #[inline]
    pub(super) fn new(cell: Rc<TaskCell>, waker: *const ()) -> Self {
        match replace(Some(Current { cell, waker, outer_task: None })) {
            None => Self { outer: None },
            Some(outer) => Self::inside(outer),
        }
    }

    #[cold]
    fn inside(outer: Current) -> Self {
        CURRENT.with_borrow_mut(|current| {
            if let Some(current) = &mut **current {
                current.outer_task = outer.task();
            }
        });
        Self { outer: Some(Box::new(outer)) }
    }
}

impl Drop for EnterGuard {
    #[inline]
    fn drop(&mut self) {
        drop(replace(self.outer.take().map(|outer| *outer)));
    }
}

impl Current {
    fn task(&self) -> Option<Rc<TaskCell>> {
        if self.cell.is_task() { Some(self.cell.clone()) } else { self.outer_task.clone() }
    }
}

#[inline]
fn replace(by: Option<Current>) -> Option<Current> {
    ManuallyDrop::into_inner(CURRENT.replace(ManuallyDrop::new(by)))
}

#[inline]
pub(super) fn current() -> Option<Current> {
    CURRENT.with_borrow(|current| Option::clone(current))
}

/// Calls `look` with the context and the waker of the current cell. It must not run user code.
#[inline]
pub(super) fn look_at_current<R>(look: impl FnOnce(&StepContext, *const ()) -> R) -> Option<R> {
    CURRENT.with_borrow(|current| current.as_ref().map(|current| look(&current.cell.context, current.waker)))
}

/// Returns the task that is in its step now. A coroutine that it drives by hand does not hide it.
pub(super) fn current_task() -> Option<Rc<TaskCell>> {
    CURRENT.with_borrow(|current| current.as_ref().and_then(Current::task))
}
