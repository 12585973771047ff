//! Callbacks: the entries of the ready queue and the timer heap that are not a task's step.
//!
//! Each is one [`Callback`]: a header, and a function in one of the forms of [`Function`]. A cancelled callback never calls
//! its function; cancelling drops the function at once, with no borrow held. A callback does not know which queue it is in,
//! and the turn decides what an error means.
//!
//! The life of a handle (the tests cite the numbers):
//!
//! ```text
//!            1 made                         5 cancelled before: skipped
//!   call_soon ──▶ QUEUED ──3 runs──▶ DONE        ▲
//!                   ▲   └──4 cancel()──▶ CANCELLED ┘
//!            2 due  │                     ▲
//!   call_later ──▶ ON THE HEAP ──4 cancel()┘
//! ```
//! Cancelling a handle that has run (or runs right now) only sets the mark.

use super::EventLoop;
use crate::error::{Error, Result};
use crate::observe::names::{is_own, shorten};
use crate::outcome::Outcome;
use crate::panics::drop_quietly;
use crate::trace::{EntryKind, Place};
use std::any::{Any, type_name_of_val};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// One thing that the loop calls: the target of a [`Handle`](super::Handle), a reader, a signal handler, a done callback.
pub(crate) struct Callback<F: Function + ?Sized = dyn Function> {
    /// The number of its handle.
    pub(crate) id: u64,
    pub(crate) kind: EntryKind,
    pub(crate) place: Place,
    /// The full path of its function, or a name that looplab gives.
    pub(crate) name: &'static str,
    cancelled: Cell<bool>,
    on_heap: Cell<bool>,
    pub(crate) function: F,
}

/// What a callback calls.
pub(crate) trait Function {
    /// Calls it. An error is what user code returned; a panic is an error too.
    fn call(&self, lp: &EventLoop) -> Result<()>;

    /// Drops what it owns, because its callback was cancelled.
    fn discard(&self);

    /// Drops what it owns, because the loop is closed. A registered one does nothing here: `close` cancels it later.
    fn forget(&self) {}

    /// Takes the future whose completion queues this callback.
    fn bind(&self, _future: Rc<dyn Any>) {}
}

impl<F: Function> Callback<F> {
    pub(crate) fn new(id: u64, kind: EntryKind, place: Place, name: &'static str, function: F) -> Self {
        Self { id, kind, place, name, cancelled: Cell::new(false), on_heap: Cell::new(false), function }
    }

    /// Makes the callback of a past wait one that is new.
    #[inline]
    pub(crate) fn renew(&mut self, id: u64, place: Place, name: &'static str) {
        (self.id, self.place, self.name) = (id, place, name);
        *self.cancelled.get_mut() = false;
    }
}

impl<F: Function + ?Sized> Callback<F> {
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    /// Marks it as cancelled and drops what its function owns; false if it was marked before.
    pub(crate) fn cancel(&self) -> bool {
        let first = self.mark_cancelled();
        self.function.discard();
        first
    }

    /// Marks it as cancelled and leaves its function alone; false if it was marked before.
    pub(crate) fn mark_cancelled(&self) -> bool {
        !self.cancelled.replace(true)
    }

    /// Whether it is on the timer heap. Not maintained after a cancellation.
    pub(super) fn on_heap(&self) -> &Cell<bool> {
        &self.on_heap
    }

    /// Tells whether looplab made it for itself.
    pub(crate) fn is_own(&self) -> bool {
        is_own(self.name)
    }

    /// Names the function for a reader.
    pub(crate) fn label(&self) -> String {
        shorten(self.name)
    }
}

/// A function that is called once: `call_soon`, `call_later`.
pub(crate) struct Once<F: 'static>(Cell<Option<F>>);

impl<F> Once<F> {
    pub(crate) fn new(function: F) -> Self {
        Self(Cell::new(Some(function)))
    }
}

impl<R: Outcome, F: FnOnce() -> R> Function for Once<F> {
    fn call(&self, _: &EventLoop) -> Result<()> {
        self.0.take().map_or(Ok(()), call)
    }

    fn discard(&self) {
        drop_quietly(self.0.take());
    }

    fn forget(&self) {
        self.discard();
    }
}

impl<F> Drop for Once<F> {
    #[inline]
    fn drop(&mut self) {
        if let Some(function) = self.0.get_mut().take() {
            drop_quietly(function);
        }
    }
}

/// A function that is called again and again: a reader, a writer, a signal handler.
///
/// It is out of its slot during a call, so it may remove itself. It is put back unless it was discarded meanwhile.
pub(crate) struct Repeated<F: 'static> {
    slot: RefCell<Option<F>>,
    discarded: Cell<bool>,
}

impl<F> Repeated<F> {
    pub(crate) fn new(function: F) -> Self {
        Self { slot: RefCell::new(Some(function)), discarded: Cell::new(false) }
    }

    fn take(&self) -> Option<F> {
        self.slot.borrow_mut().take()
    }
}

impl<R: Outcome, F: FnMut() -> R> Function for Repeated<F> {
    fn call(&self, _: &EventLoop) -> Result<()> {
        let Some(mut function) = self.take() else { return Ok(()) };
        let result = call(&mut function);
        if self.discarded.get() {
            drop_quietly(function);
        } else {
            *self.slot.borrow_mut() = Some(function);
        }
        result
    }

    fn discard(&self) {
        self.discarded.set(true);
        drop_quietly(self.take());
    }
}

impl<F> Drop for Repeated<F> {
    fn drop(&mut self) {
        drop_quietly(self.slot.get_mut().take());
    }
}

/// A done callback: it waits for its future first, and then for its turn. It is taken back before it is queued, or never.
///
/// The future is bound when it is done. A callback that owned it before would keep it alive for ever.
pub(crate) struct WhenDone<F: 'static> {
    function: Cell<Option<F>>,
    future: Cell<Option<Rc<dyn Any>>>,
}

impl<F> WhenDone<F> {
    pub(crate) fn new(function: F) -> Self {
        Self { function: Cell::new(Some(function)), future: Cell::new(None) }
    }
}

impl<R: Outcome, F: FnOnce(Rc<dyn Any>) -> R> Function for WhenDone<F> {
    fn call(&self, _: &EventLoop) -> Result<()> {
        match (self.function.take(), self.future.take()) {
            (Some(function), Some(future)) => call(|| function(future)),
            _ => Ok(()),
        }
    }

    fn discard(&self) {
        drop_quietly(self.function.take());
        drop(self.future.take());
    }

    fn forget(&self) {
        self.discard();
    }

    fn bind(&self, future: Rc<dyn Any>) {
        self.future.set(Some(future));
    }
}

impl<F> Drop for WhenDone<F> {
    #[inline]
    fn drop(&mut self) {
        if let Some(function) = self.function.get_mut().take() {
            drop_quietly(function);
        }
    }
}

impl EventLoop {
    /// Makes a callback that calls a function of the user's once.
    pub(crate) fn once<R: Outcome>(
        &self,
        place: Place,
        function: impl FnOnce() -> R + 'static,
    ) -> Rc<Callback> {
        self.named_once(place, type_name_of_val(&function), function)
    }

    /// Makes a callback as [`once`](Self::once), under a name of looplab's.
    pub(crate) fn named_once<R: Outcome>(
        &self,
        place: Place,
        name: &'static str,
        function: impl FnOnce() -> R + 'static,
    ) -> Rc<Callback> {
        let id = self.0.next_handle();
        Rc::new(Callback::new(id, EntryKind::Callback, place, name, Once::new(function)))
    }

    /// Makes a callback that calls a function of the user's again and again.
    pub(crate) fn repeated<R: Outcome>(
        &self,
        kind: EntryKind,
        place: Place,
        function: impl FnMut() -> R + 'static,
    ) -> Rc<Callback> {
        let (id, name) = (self.0.next_handle(), type_name_of_val(&function));
        Rc::new(Callback::new(id, kind, place, name, Repeated::new(function)))
    }
}

/// Calls user code; a panic in it becomes an error.
pub(crate) fn call<R: Outcome>(function: impl FnOnce() -> R) -> Result<()> {
    // Alternative: `error::catch`. Problem: its `Result` in a `Result` costs instructions for each entry.
    let caught = catch_unwind(AssertUnwindSafe(|| function().into_result().map(drop)));
    caught.unwrap_or_else(|payload| Err(Error::from_panic(payload)))
}
