//! Done callbacks: what runs in the turn after a future is done.
//!
//! It guarantees that a callback gets the finished future, and that one on a loop that is closed is dropped. It does not
//! know the future's type: the callback gets an `Rc<dyn Any>`.

use super::future_core::{AnyFuture, Waiter};
use crate::event_loop::{Callback, EventLoop, Header, WhenDone, running};
use crate::outcome::Outcome;
use crate::trace::{EntryKind, Place};
use std::any::Any;
use std::rc::Rc;

/// Names one registered done callback, to remove it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackId(pub(crate) u64);

/// Registers a done callback, which gets the finished future. `name` names it for a reader.
pub(crate) fn add_done_callback<R: Outcome>(
    future: Rc<dyn AnyFuture>,
    place: Place,
    name: &'static str,
    function: impl FnOnce(Rc<dyn Any>) -> R + 'static,
) -> CallbackId {
    let core = future.core();
    // A task that could not be made has no loop: its callbacks are for the running one.
    let lp = if core.has_no_loop() { running() } else { core.event_loop() };
    let h = lp.as_ref().map_or(0, |lp| lp.0.next_handle());
    let header = Header::new(h, EntryKind::DoneCallback, place, name);
    register(&future, Rc::new(WhenDone::new(header, function)), lp.as_ref())
}

/// Registers a done callback, or queues it if the future is done already.
pub(super) fn register(
    future: &Rc<dyn AnyFuture>,
    callback: Rc<dyn Callback>,
    lp: Option<&EventLoop>,
) -> CallbackId {
    let core = future.core();
    let lp = lp.filter(|lp| !lp.is_closed());
    if !core.done() {
        if lp.is_none() {
            // It will never run. It stays registered, so that completing the future reports that.
            callback.forget();
        }
        return CallbackId(core.add_waiter(Waiter::Callback(callback)));
    }
    if let Some(lp) = lp {
        callback.bind(future.clone());
        lp.0.enqueue(callback, Some(core.on()));
    }
    CallbackId(0)
}

/// A done callback of looplab's own that is removed when this is dropped.
pub(crate) struct DoneCallback {
    future: Rc<dyn AnyFuture>,
    id: CallbackId,
}

impl DoneCallback {
    pub(crate) fn new<R: Outcome>(
        future: Rc<dyn AnyFuture>,
        place: Place,
        name: &'static str,
        function: impl FnOnce() -> R + 'static,
    ) -> Self {
        let id = add_done_callback(future.clone(), place, name, move |_| function());
        Self { future, id }
    }
}

impl Drop for DoneCallback {
    fn drop(&mut self) {
        self.future.core().drop_waiter(self.id.0);
    }
}
