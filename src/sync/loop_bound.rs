//! `LoopBound`: the loop that a primitive belongs to (asyncio's `mixins._LoopBoundMixin`).

use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Inner, get_running_loop};
use crate::task::Future;
use crate::trace::Place;
use std::cell::OnceCell;
use std::fmt::Debug;
use std::rc::{Rc, Weak};

/// Binds a primitive to the loop of its first wait. Since Python 3.10, uses that do not wait do not
/// bind.
///
/// The reference is weak, but it keeps the allocation: no later loop can have the same address.
#[derive(Default)]
pub(super) struct LoopBound(OnceCell<Weak<Inner>>);

impl LoopBound {
    /// Returns the running loop.
    ///
    /// # Errors
    /// [`Error::Runtime`] if `primitive` is bound to another loop, [`Error::NoRunningLoop`] without
    /// a running loop.
    pub(super) fn running_loop(&self, primitive: &dyn Debug) -> Result<EventLoop> {
        let lp = get_running_loop()?;
        let bound = self.0.get_or_init(|| lp.downgrade());
        if std::ptr::eq(bound.as_ptr(), Rc::as_ptr(&lp.0)) {
            return Ok(lp);
        }
        Err(Error::Runtime(format!("{primitive:?} is bound to a different event loop").into()))
    }

    /// Creates a future on the running loop, to wait for `primitive`. Fails as
    /// [`running_loop`](Self::running_loop).
    pub(super) fn waiter(
        &self,
        primitive: &dyn Debug,
        kind: &'static str,
        place: Place,
    ) -> Result<Future<()>> {
        Ok(Future::of_kind(&self.running_loop(primitive)?, kind, place))
    }
}
