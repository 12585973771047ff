//! Waiting for a descriptor: how a task sleeps until a socket is ready.
//!
//! It takes asyncio's turns. In turn T the poll queues this wait's callback, and the callback runs
//! in the same turn and queues the task. The task continues in turn T+1. Nothing is read or written
//! here: the operation makes its attempt when it continues, so a wait that is cancelled or dropped,
//! even at that late moment, loses nothing.

use crate::error::{Error, Result};
use crate::event_loop::{Callback, Claim, EventLoop, Header, Watch};
use crate::task::future_core::{AnyFuture, FutureCore};
use crate::task::leaf::Leaf;
use crate::trace::{Direction, Done, EntryKind, Place};
use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A place to wait for a descriptor, used again and again by one operation, or by one direction of a stream.
#[derive(Default)]
pub(crate) struct Readiness {
    waiting: Option<(Rc<ReadyWait>, Leaf)>,
}

/// A reader (or writer) that wakes one operation, and the future that it completes, in one allocation.
struct ReadyWait {
    header: Header,
    core: FutureCore,
    ran: Cell<bool>,
    /// Held until the waiter has gone on. Between the readiness and that moment no other operation reads.
    claim: Claim,
}

/// Keeps the callback of a wait that is over for the next wait on the same socket, which then allocates nothing.
#[derive(Default)]
pub(crate) struct Spare(Cell<Option<Rc<ReadyWait>>>);

impl Spare {
    /// Returns a callback with the right to wait, as if it was new; `None` if another operation has that right.
    #[inline]
    fn renewed(
        &self,
        (lp, watch): (&EventLoop, &Watch),
        direction: Direction,
        kind: &'static str,
        place: Place,
    ) -> Option<Rc<ReadyWait>> {
        if let Some(mut spare) = self.0.take()
            // One that was cancelled, or was queued twice because a turn was interrupted, may be in the ready queue.
            && let Some(callback) = Rc::get_mut(&mut spare)
        {
            if !callback.claim.renew(direction) {
                return None;
            }
            callback.core.renew(lp, kind, place);
            callback.header = Header::new(lp.0.next_handle(), EntryKind::Io, place, kind);
            *callback.ran.get_mut() = false;
            return Some(spare);
        }
        let claim = watch.claim(direction)?;
        let core = FutureCore::future(lp, kind, place);
        let header = Header::new(lp.0.next_handle(), EntryKind::Io, place, kind);
        Some(Rc::new(ReadyWait { header, core, ran: Cell::new(false), claim }))
    }
}

impl Readiness {
    /// Whether it waits, or has been woken and not polled since.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Begins to wait, on the loop that `watch` belongs to; false if another operation waits for this direction.
    pub(crate) fn begin(
        &mut self,
        cx: &mut Context<'_>,
        (lp, watch, spare): (&EventLoop, &Watch, &Spare),
        direction: Direction,
        (kind, place): (&'static str, Place),
    ) -> Result<bool> {
        if self.is_waiting() {
            drop(self.end());
        }
        let Some(cell) = spare.renewed((lp, watch), direction, kind, place) else { return Ok(false) };
        // If that fails the cell goes, and the claim with it.
        watch.set(lp, direction, cell.clone())?;
        let leaf = Leaf::new(cell.clone());
        match self.waiting.insert((cell, leaf)).1.poll(cx) {
            Poll::Pending => Ok(true),
            Poll::Ready(_) => Err(Error::Runtime("a wait that has just begun is over".into())),
        }
    }

    /// Ready when it was woken; `Err` if an error is thrown here, or the wait was cancelled.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, spare: &Spare) -> Poll<Result<()>> {
        let Some((callback, leaf)) = &mut self.waiting else { return Poll::Ready(Ok(())) };
        let thrown = ready!(leaf.poll(cx));
        let cancelled = callback.core.error();
        spare.0.set(self.end());
        Poll::Ready(match cancelled {
            None => thrown,
            Some(error) => thrown.and(Err(error)),
        })
    }

    /// Takes the wait back and returns its callback.
    #[inline]
    fn end(&mut self) -> Option<Rc<ReadyWait>> {
        let (callback, leaf) = self.waiting.take()?;
        drop(leaf);
        callback.claim.release();
        if !callback.ran.get()
            && let Some(lp) = callback.core.event_loop()
        {
            lp.0.cancel(&*callback);
        }
        Some(callback)
    }
}

impl Drop for Readiness {
    #[inline]
    fn drop(&mut self) {
        // Else it does not wait.
        if self.is_waiting() {
            drop(self.end());
        }
    }
}

impl Callback for ReadyWait {
    fn header(&self) -> &Header {
        &self.header
    }

    fn call(&self, lp: &EventLoop) -> Result<()> {
        self.ran.set(true);
        // It waits no more, so the next poll does not report it.
        self.claim.end_wait(lp);
        if self.core.done() { Ok(()) } else { self.core.complete(Done::Ok, || Rc::new(())) }
    }

    /// It owns nothing of the user's.
    fn discard(&self) {}
}

impl AnyFuture for ReadyWait {
    fn core(&self) -> &FutureCore {
        &self.core
    }
}
