//! Callbacks: the entries of the ready queue and the timer heap that are not a task's step.
//!
//! Each is a [`Callback`]: a [`Header`], and a function of one of few forms. A cancelled callback never calls its function;
//! cancelling drops the function at once, with no borrow held. A callback does not know which queue it is in, and the turn
//! decides what an error means.
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
use super::ready::{Entry, Failed};
use crate::error::{Error, Result};
use crate::observe::names::{is_own, shorten};
use crate::outcome::Outcome;
use crate::panics::drop_quietly;
use crate::trace::{EntryKind, Place};
use std::any::{Any, type_name_of_val};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// A function that the loop calls, and its header: the target of a [`Handle`](super::Handle), a reader, a signal handler, a
/// done callback.
pub(crate) trait Callback: Entry {
    fn header(&self) -> &Header;

    /// Calls the function. An error is what user code returned; a panic is an error too.
    fn call(&self, lp: &EventLoop) -> Result<()>;

    /// Drops what the function owns, because the callback was cancelled.
    fn discard(&self);

    /// Drops what the function owns, because the loop is closed. A registered one does nothing here: `close` cancels it
    /// later.
    fn forget(&self) {}

    /// Takes the future whose completion queues this callback.
    fn bind(&self, _future: Rc<dyn Any>) {}

    /// Marks the callback as cancelled and drops what its function owns; false if it was marked before.
    fn cancel(&self) -> bool {
        let first = self.header().mark_cancelled();
        self.discard();
        first
    }
}

/// What all callbacks have.
pub(crate) struct Header {
    /// The number of its handle.
    pub(crate) id: u64,
    pub(crate) kind: EntryKind,
    pub(crate) place: Place,
    /// The full path of its function, or a name that looplab gives.
    name: &'static str,
    cancelled: Cell<bool>,
    /// Whether it is on the timer heap. Not maintained after a cancellation.
    pub(super) on_heap: Cell<bool>,
}

impl Header {
    pub(crate) fn new(id: u64, kind: EntryKind, place: Place, name: &'static str) -> Self {
        Self { id, kind, place, name, cancelled: Cell::new(false), on_heap: Cell::new(false) }
    }

    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    /// Marks the callback as cancelled and leaves its function alone; false if it was marked before.
    pub(crate) fn mark_cancelled(&self) -> bool {
        !self.cancelled.replace(true)
    }

    /// Names the function for a reader.
    pub(crate) fn label(&self) -> String {
        shorten(self.name)
    }
}

impl<C: Callback + 'static> Entry for C {
    fn handle(&self) -> u64 {
        self.header().id
    }

    fn kind(&self) -> EntryKind {
        self.header().kind
    }

    fn label(&self) -> String {
        self.header().label()
    }

    fn place(&self) -> Place {
        self.header().place
    }

    fn is_own(&self) -> bool {
        is_own(self.header().name)
    }

    fn is_cancelled(&self) -> bool {
        self.header().is_cancelled()
    }

    fn run(self: Rc<Self>, lp: &EventLoop) -> Result<(), Box<Failed>> {
        if self.header().is_cancelled() {
            return Ok(());
        }
        self.call(lp).map_err(|error| Failed::new(self, error))
    }

    fn loop_closed(&self) {
        self.forget();
    }
}

/// A function that is called once: `call_soon`, `call_later`.
pub(crate) struct Once<F: 'static> {
    header: Header,
    function: Cell<Option<F>>,
}

impl<F> Once<F> {
    pub(crate) fn new(header: Header, function: F) -> Self {
        Self { header, function: Cell::new(Some(function)) }
    }
}

impl<R: Outcome, F: FnOnce() -> R> Callback for Once<F> {
    fn header(&self) -> &Header {
        &self.header
    }

    #[inline]
    fn call(&self, _: &EventLoop) -> Result<()> {
        match self.function.take() {
            Some(function) => call(function),
            None => Ok(()),
        }
    }

    fn discard(&self) {
        drop_quietly(self.function.take());
    }

    fn forget(&self) {
        self.discard();
    }
}

impl<F> Drop for Once<F> {
    #[inline]
    fn drop(&mut self) {
        if let Some(function) = self.function.get_mut().take() {
            drop_quietly(function);
        }
    }
}

/// A function that is called again and again: a reader, a writer, a signal handler.
///
/// It is out of its slot during a call, so it may remove itself. It is put back unless it was discarded meanwhile.
pub(crate) struct Repeated<F: 'static> {
    header: Header,
    slot: RefCell<Option<F>>,
    discarded: Cell<bool>,
}

impl<F> Repeated<F> {
    pub(crate) fn new(header: Header, function: F) -> Self {
        Self { header, slot: RefCell::new(Some(function)), discarded: Cell::new(false) }
    }

    fn take(&self) -> Option<F> {
        self.slot.borrow_mut().take()
    }
}

impl<R: Outcome, F: FnMut() -> R> Callback for Repeated<F> {
    fn header(&self) -> &Header {
        &self.header
    }

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
    header: Header,
    function: Cell<Option<F>>,
    future: Cell<Option<Rc<dyn Any>>>,
}

impl<F> WhenDone<F> {
    pub(crate) fn new(header: Header, function: F) -> Self {
        Self { header, function: Cell::new(Some(function)), future: Cell::new(None) }
    }
}

impl<R: Outcome, F: FnOnce(Rc<dyn Any>) -> R> Callback for WhenDone<F> {
    fn header(&self) -> &Header {
        &self.header
    }

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
    ) -> Rc<dyn Callback> {
        self.named_once(place, type_name_of_val(&function), function)
    }

    /// Makes a callback as [`once`](Self::once), under a name of looplab's.
    pub(crate) fn named_once<R: Outcome>(
        &self,
        place: Place,
        name: &'static str,
        function: impl FnOnce() -> R + 'static,
    ) -> Rc<dyn Callback> {
        let id = self.0.next_handle();
        Rc::new(Once::new(Header::new(id, EntryKind::Callback, place, name), function))
    }

    /// Makes a callback that calls a function of the user's again and again.
    pub(crate) fn repeated<R: Outcome>(
        &self,
        kind: EntryKind,
        place: Place,
        function: impl FnMut() -> R + 'static,
    ) -> Rc<dyn Callback> {
        let (id, name) = (self.0.next_handle(), type_name_of_val(&function));
        Rc::new(Repeated::new(Header::new(id, kind, place, name), function))
    }
}

/// Calls user code; a panic in it becomes an error.
pub(crate) fn call<R: Outcome>(function: impl FnOnce() -> R) -> Result<()> {
    // Alternative: `error::catch`. Problem: its `Result` in a `Result` costs instructions for each entry.
    let caught = catch_unwind(AssertUnwindSafe(|| function().into_result().map(drop)));
    caught.unwrap_or_else(|payload| Err(Error::from_panic(payload)))
}
