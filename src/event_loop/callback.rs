//! Callbacks: the entries of the ready queue and the timer heap that are not a task's step, and the handles that cancel them.
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
//! Cancelling a handle that has run (or runs right now) only sets the mark. Dropping a handle does not cancel.

use super::ready::{Entry, Failed};
use super::{EventLoop, Inner};
use crate::error::{Error, Result};
use crate::observe::names::{is_own, shorten};
use crate::outcome::{Drained, Outcome};
use crate::panics::{Guarded, drop_quietly};
use crate::trace::{EntryKind, Place};
use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::time::Instant;

/// A function that the loop calls, and its header: the target of a [`Handle`], a reader, a signal handler, a
/// done callback.
pub(crate) trait Callback: Entry {
    fn header(&self) -> &Header;

    /// Calls the function. An error is what user code returned; a panic is an error too.
    fn call(&self, lp: &EventLoop) -> Result<()>;

    /// Drops what the function owns, because the callback was cancelled. One that owns nothing of the user's does nothing.
    fn discard(&self) {}

    /// Drops what the function owns, because the loop is closed. A registered one does nothing here: `close` cancels it
    /// later.
    fn forget(&self) {
        self.discard();
    }

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
    /// Whether its last call has returned [`Drained`], until the reactor has asked.
    pub(super) drained: Cell<bool>,
}

impl Header {
    pub(crate) fn new(id: u64, kind: EntryKind, place: Place, name: &'static str) -> Self {
        let new = || Cell::new(false);
        Self { id, kind, place, name, cancelled: new(), on_heap: new(), drained: new() }
    }

    /// Marks the callback as cancelled and leaves its function alone; false if it was marked before.
    pub(crate) fn mark_cancelled(&self) -> bool {
        !self.cancelled.replace(true)
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
        shorten(self.header().name)
    }

    fn place(&self) -> Place {
        self.header().place
    }

    fn is_own(&self) -> bool {
        is_own(self.header().name)
    }

    fn is_cancelled(&self) -> bool {
        self.header().cancelled.get()
    }

    fn run(self: Rc<Self>, lp: &EventLoop) -> Result<(), Box<Failed>> {
        if self.header().cancelled.get() {
            return Ok(());
        }
        self.call(lp).map_err(|error| Failed::new(self, error))
    }

    fn loop_closed(&self) {
        self.forget();
    }
}

/// A function that is called once: `call_soon`, `call_later`.
///
/// Alternative: its function guarded, as the others' is. Problem: a call of another thread costs 9 % more instructions.
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
        self.function.take().map_or(Ok(()), call)
    }

    fn discard(&self) {
        drop_quietly(self.function.take());
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
/// It is out of its cell during a call, so it may remove itself. It is put back unless it was cancelled meanwhile.
pub(crate) struct Repeated<F: 'static> {
    header: Header,
    function: Cell<Option<Guarded<F>>>,
}

impl<R: Outcome, F: FnMut() -> R> Callback for Repeated<F> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn call(&self, _: &EventLoop) -> Result<()> {
        let Some(mut function) = self.function.take() else { return Ok(()) };
        self.header.drained.set(false);
        let result = call(|| {
            let value = function().into_result()?;
            self.header.drained.set(Drained::is_said_by(&value));
            Ok(())
        });
        if !self.header.cancelled.get() {
            self.function.set(Some(function));
        }
        result
    }

    fn discard(&self) {
        drop(self.function.take());
    }

    fn forget(&self) {}
}

/// A done callback: it waits for its future first, and then for its turn. It is taken back before it is queued, or never.
///
/// The future is bound when it is done. A callback that owned it before would keep it alive for ever.
pub(crate) struct WhenDone<F: 'static> {
    header: Header,
    function: Cell<Option<Guarded<F>>>,
    future: Cell<Option<Rc<dyn Any>>>,
}

impl<F> WhenDone<F> {
    pub(crate) fn new(header: Header, function: F) -> Self {
        Self { header, function: Cell::new(Some(Guarded::new(function))), future: Cell::new(None) }
    }
}

impl<R: Outcome, F: FnOnce(Rc<dyn Any>) -> R> Callback for WhenDone<F> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn call(&self, _: &EventLoop) -> Result<()> {
        match (self.function.take(), self.future.take()) {
            (Some(function), Some(future)) => call(|| function.into_inner()(future)),
            _ => Ok(()),
        }
    }

    fn discard(&self) {
        drop(self.function.take());
        drop(self.future.take());
    }

    fn bind(&self, future: Rc<dyn Any>) {
        self.future.set(Some(future));
    }
}

impl EventLoop {
    /// Makes a callback that calls a function once.
    pub(crate) fn named_once<R: Outcome>(
        &self,
        place: Place,
        name: &'static str,
        function: impl FnOnce() -> R + 'static,
    ) -> Rc<dyn Callback> {
        let header = Header::new(self.0.next_handle(), EntryKind::Callback, place, name);
        Rc::new(Once::new(header, function))
    }

    /// Makes a callback that calls a function again and again.
    pub(crate) fn named_repeated<R: Outcome>(
        &self,
        kind: EntryKind,
        place: Place,
        name: &'static str,
        function: impl FnMut() -> R + 'static,
    ) -> Rc<dyn Callback> {
        let header = Header::new(self.0.next_handle(), kind, place, name);
        Rc::new(Repeated { header, function: Cell::new(Some(Guarded::new(function))) })
    }
}

/// A handle of a queued callback, to cancel it with (`asyncio.Handle`). Dropping it does not
/// cancel.
///
/// ```
/// # use looplab::EventLoop;
/// let lp = EventLoop::new()?;
/// let handle = lp.call_soon(|| unreachable!("cancelled"))?;
/// handle.cancel();
/// assert!(handle.cancelled());
/// lp.stop();
/// lp.run_forever()?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.Handle")]
#[derive(Clone)]
pub struct Handle {
    pub(super) callback: Rc<dyn Callback>,
    pub(super) lp: Weak<Inner>,
}

impl Handle {
    /// Cancels the callback: it will not run, and is dropped now (`asyncio.Handle.cancel`).
    /// Idempotent. May be called at any time, also by an earlier callback of the same turn.
    #[doc(alias = "asyncio.Handle.cancel")]
    pub fn cancel(&self) {
        // A handle of the loop is held here, because the destructor that runs may drop the last
        // other one.
        match self.lp.upgrade().map(EventLoop) {
            Some(lp) => lp.0.cancel(&*self.callback),
            None => drop(self.callback.cancel()),
        }
    }

    /// Tells whether `cancel` was called (`asyncio.Handle.cancelled`).
    #[doc(alias = "asyncio.Handle.cancelled")]
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.callback.is_cancelled()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe("Handle", &*self.callback, f)
    }
}

/// A handle of a timer, to cancel it with (`asyncio.TimerHandle`). Dropping it does not cancel.
///
/// ```
/// # use looplab::EventLoop;
/// # use std::time::Duration;
/// let lp = EventLoop::new()?;
/// let timer = lp.call_later(Duration::from_secs(3600), || println!("an hour later"))?;
/// assert!(timer.when() > lp.time());
/// timer.cancel();
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.TimerHandle")]
#[derive(Clone)]
pub struct TimerHandle {
    callback: Rc<dyn Callback>,
    when: Instant,
    lp: Weak<Inner>,
}

impl TimerHandle {
    pub(crate) fn new(callback: Rc<dyn Callback>, when: Instant, lp: Weak<Inner>) -> Self {
        Self { callback, when, lp }
    }

    /// Cancels the timer: its callback will not run, and is dropped now
    /// (`asyncio.TimerHandle.cancel`). The entry stays on the heap until it comes to the head, or
    /// until more than half of over 100 timers are cancelled.
    #[doc(alias = "asyncio.TimerHandle.cancel")]
    pub fn cancel(&self) {
        // The timer is counted before its callback is dropped: a destructor may run the loop, and a
        // turn may drop the timer.
        if self.callback.header().mark_cancelled()
            && let Some(lp) = self.lp.upgrade().map(EventLoop)
        {
            lp.0.timer_cancelled(self.callback.header());
        }
        self.callback.discard();
    }

    /// Tells whether `cancel` was called (`asyncio.TimerHandle.cancelled`).
    #[doc(alias = "asyncio.TimerHandle.cancelled")]
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.callback.is_cancelled()
    }

    /// Returns the deadline on the loop's clock (`asyncio.TimerHandle.when`).
    #[doc(alias = "asyncio.TimerHandle.when")]
    #[must_use]
    pub fn when(&self) -> Instant {
        self.when
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe("TimerHandle", &*self.callback, f)
    }
}

fn describe(what: &str, callback: &dyn Callback, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let cancelled = if callback.is_cancelled() { "cancelled " } else { "" };
    let (label, place) = (callback.label(), callback.place());
    write!(f, "<{what} {cancelled}{label} created at {}:{}>", place.file(), place.line())
}

/// Calls user code; a panic in it becomes an error.
pub(crate) fn call<R: Outcome>(function: impl FnOnce() -> R) -> Result<()> {
    // Alternative: `error::catch`. Problem: its `Result` in a `Result` costs instructions for each entry.
    let caught = catch_unwind(AssertUnwindSafe(|| function().into_result().map(drop)));
    caught.unwrap_or_else(|payload| Err(Error::from_panic(payload)))
}
