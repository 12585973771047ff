//! Waiting for a descriptor: how a task sleeps until a socket is ready.
//!
//! It takes asyncio's turns. In turn T the poll queues this wait's callback, and the callback runs
//! in the same turn and queues the task. The task continues in turn T+1. Nothing is read or written
//! here: the operation makes its attempt when it continues, so a wait that is cancelled or dropped,
//! even at that late moment, loses nothing.
//!
//! ```text
//!        begin            the callback runs            the operation goes on, or is dropped
//!   OVER ─────▶ WAITING ───────────────────▶ WOKEN ────────────────────────────────────────▶ OVER
//!                  └──the operation is cancelled or dropped: the callback, too────────────────▲
//! ```

use crate::error::{Error, Result};
use crate::event_loop::{Callback, EventLoop, Header, Registration, Watch};
use crate::task::future_core::{AnyFuture, FutureCore};
use crate::task::leaf::Leaf;
use crate::trace::{Direction, Done, EntryKind, Place};
use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// One direction of a socket, in which one operation at a time may wait. It keeps the wait for the next operation, which
/// then allocates nothing.
#[derive(Default)]
pub(crate) struct WaitSlot(Cell<Option<Rc<ReadyWait>>>);

/// A reader (or writer) that wakes one operation, and the future that it completes, in one allocation.
struct ReadyWait {
    header: Header,
    core: FutureCore,
    registration: Rc<Registration>,
    direction: Direction,
    state: Cell<WaitState>,
}

/// Where a wait is in the diagram above.
#[derive(Clone, Copy, PartialEq)]
enum WaitState {
    Waiting,
    Woken,
    Over,
}

/// The wait of one operation.
#[derive(Default)]
pub(crate) struct Readiness {
    waiting: Option<(Rc<ReadyWait>, Leaf)>,
}

impl WaitSlot {
    /// Tells whether an operation waits here. It does so until it has gone on: no other operation reads between the
    /// readiness and that moment.
    #[inline]
    pub(crate) fn is_taken(&self) -> bool {
        let wait = self.0.take();
        let taken = wait.as_ref().is_some_and(|wait| wait.state.get() != WaitState::Over);
        self.0.set(wait);
        taken
    }

    /// Returns a wait as if it was new: the one of before, unless something still holds it.
    #[inline]
    fn renewed(
        &self,
        (lp, watch): (&EventLoop, &Watch),
        direction: Direction,
        kind: &'static str,
        place: Place,
    ) -> Rc<ReadyWait> {
        let header = Header::new(lp.0.next_handle(), EntryKind::Io, place, kind);
        if let Some(mut wait) = self.0.take()
            // One that was cancelled, or was queued twice because a turn was interrupted, may be in the ready queue.
            && let Some(unused) = Rc::get_mut(&mut wait)
        {
            unused.core.renew(lp, kind, place);
            unused.header = header;
            return wait;
        }
        let core = FutureCore::future(lp, kind, place);
        let (registration, state) = (watch.registration().clone(), Cell::new(WaitState::Over));
        Rc::new(ReadyWait { header, core, registration, direction, state })
    }
}

impl Readiness {
    /// Whether it waits, or has been woken and not polled since.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Begins to wait in a slot that is free, on the loop that `watch` belongs to.
    pub(crate) fn begin(
        &mut self,
        cx: &mut Context<'_>,
        slot: &WaitSlot,
        (lp, watch): (&EventLoop, &Watch),
        direction: Direction,
        (kind, place): (&'static str, Place),
    ) -> Result<()> {
        let wait = slot.renewed((lp, watch), direction, kind, place);
        slot.0.set(Some(wait.clone()));
        wait.state.set(WaitState::Waiting);
        watch.set(lp, direction, wait.clone()).inspect_err(|_| wait.state.set(WaitState::Over))?;
        let leaf = Leaf::new(wait.clone());
        match self.waiting.insert((wait, leaf)).1.poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(_) => Err(Error::Runtime("a wait that has just begun is over".into())),
        }
    }

    /// Ready when it was woken; `Err` if an error is thrown here, or the wait was cancelled.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some((wait, leaf)) = &mut self.waiting else { return Poll::Ready(Ok(())) };
        let thrown = ready!(leaf.poll(cx));
        let cancelled = wait.core.error();
        self.end();
        Poll::Ready(match cancelled {
            None => thrown,
            Some(error) => thrown.and(Err(error)),
        })
    }

    /// Takes the wait back.
    #[inline]
    fn end(&mut self) {
        if let Some((wait, leaf)) = &mut self.waiting {
            leaf.release();
            wait.end();
            self.waiting = None;
        }
    }
}

impl Drop for Readiness {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}

impl ReadyWait {
    #[inline]
    fn end(&self) {
        if self.state.replace(WaitState::Over) == WaitState::Waiting
            && let Some(lp) = self.core.event_loop()
        {
            drop(lp.0.unset(&self.registration, self.direction));
            lp.0.cancel(self);
        }
    }
}

impl Callback for ReadyWait {
    fn header(&self) -> &Header {
        &self.header
    }

    fn call(&self, lp: &EventLoop) -> Result<()> {
        if self.state.get() != WaitState::Waiting {
            return Ok(());
        }
        self.state.set(WaitState::Woken);
        // It waits no more, so the next poll does not report it.
        drop(lp.0.unset(&self.registration, self.direction));
        if self.core.done() { Ok(()) } else { self.core.complete_on(Some(lp), Done::Ok, || Rc::new(())) }
    }

    /// It owns nothing of the user's.
    fn discard(&self) {}
}

impl AnyFuture for ReadyWait {
    fn core(&self) -> &FutureCore {
        &self.core
    }
}
