//! What is being polled on this thread now. Every leaf asks for it.
//!
//! It guarantees that a guard's drop restores what was polled before. A coroutine that is driven by hand is polled inside of
//! a task's step, and so are the tasks of a loop that is closed there.

use super::cell::TaskCell;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::rc::Rc;

thread_local! {
    /// What is polled: a task, or a coroutine. Each guard clears it, so it needs no destructor. Without one, reading it is
    /// a plain load.
    static CURRENT: RefCell<ManuallyDrop<Option<Rc<TaskCell>>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Makes a cell the current one while the guard lives.
pub(super) struct EnterGuard {
    /// What the cell is polled inside of.
    outer: Option<Rc<TaskCell>>,
}

impl EnterGuard {
    /// `waker` is the data pointer of the waker that the cell is polled with.
    #[inline]
    pub(super) fn new(cell: Rc<TaskCell>, waker: *const ()) -> Self {
        cell.context.waker.set(waker);
        Self { outer: replace(Some(cell)) }
    }
}

impl Drop for EnterGuard {
    #[inline]
    fn drop(&mut self) {
        let ended = replace(self.outer.take());
        drop(ended);
    }
}

#[inline]
fn replace(by: Option<Rc<TaskCell>>) -> Option<Rc<TaskCell>> {
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
