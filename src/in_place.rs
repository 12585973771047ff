//! Values that stay where they are: one that is built in its `Rc`, and one that is looked at in its
//! cell.

use std::cell::Cell;
use std::rc::Rc;

/// Allocates an `Rc` and then builds its value in it.
///
/// Alternative: `Rc::new`, which allocates after the value exists. Problem: a large value is built on the stack and copied.
/// The copy reads in large pieces what was written in small ones just before, and the processor stalls.
#[inline]
pub(crate) fn rc_in_place<T>(build: impl FnOnce() -> T) -> Rc<T> {
    Rc::new_cyclic(|_| build())
}

/// Tells whether a cell holds a value, for one that is not `Copy`. It compiles to a look at it.
#[inline]
pub(crate) fn is_some<T>(cell: &Cell<Option<T>>) -> bool {
    let content = cell.take();
    let is_some = content.is_some();
    cell.set(content);
    is_some
}
