//! What is being polled on this thread now. Every leaf asks for it.
//!
//! It guarantees that a guard's drop restores what was polled before. A coroutine that is driven by hand is polled inside of
//! a task's step, and so are the tasks of a loop that is closed there.

use super::cell::TaskCell;
use super::context::StepContext;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::rc::Rc;

struct Current {
    /// What is polled: a task, or a coroutine.
    cell: Rc<TaskCell>,
    /// The data pointer of the waker that it is polled with, which tells its own waker from any other.
    waker: *const (),
    /// What it is polled inside of. Boxed, because there nearly always is nothing.
    outer: Option<Box<Current>>,
}

thread_local! {
    /// Each guard clears it, so it needs no destructor. Without one, reading it is a plain load.
    static CURRENT: RefCell<ManuallyDrop<Option<Current>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Makes a cell the current one while the guard lives.
pub(super) struct EnterGuard(());

impl EnterGuard {
    /// `waker` is the data pointer of the waker that the cell is polled with.
    #[inline]
    pub(super) fn new(cell: Rc<TaskCell>, waker: *const ()) -> Self {
        if let Some(outer) = replace(Some(Current { cell, waker, outer: None })) {
            CURRENT.with_borrow_mut(|current| {
                let current = current.as_mut().expect("it was just entered");
                current.outer = Some(Box::new(outer));
            });
        }
        Self(())
    }
}

impl Drop for EnterGuard {
    #[inline]
    fn drop(&mut self) {
        let mut ended = replace(None);
        if let Some(outer) = ended.as_mut().and_then(|ended| ended.outer.take()) {
            replace(Some(*outer));
        }
        drop(ended);
    }
}

#[inline]
fn replace(by: Option<Current>) -> Option<Current> {
    ManuallyDrop::into_inner(CURRENT.replace(ManuallyDrop::new(by)))
}

/// Returns the current cell, and the data pointer of its waker.
#[inline]
pub(super) fn current() -> Option<(Rc<TaskCell>, *const ())> {
    CURRENT.with_borrow(|current| current.as_ref().map(|current| (current.cell.clone(), current.waker)))
}

/// Calls `look` with the context and the waker of the current cell. It must not run user code.
#[inline]
pub(super) fn look_at_current<R>(look: impl FnOnce(&StepContext, *const ()) -> R) -> Option<R> {
    CURRENT.with_borrow(|current| current.as_ref().map(|current| look(&current.cell.context, current.waker)))
}

/// Returns the task that is in its step now. A coroutine that it drives by hand does not hide it.
pub(super) fn current_task() -> Option<Rc<TaskCell>> {
    CURRENT.with_borrow(|current| {
        let mut all = std::iter::successors(current.as_ref(), |inner| inner.outer.as_deref());
        all.find(|current| current.cell.is_task()).map(|current| current.cell.clone())
    })
}
