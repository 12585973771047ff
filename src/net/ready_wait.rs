//! Waiting for a descriptor: how a task sleeps until a socket is ready.
//!
//! It promises asyncio's turns: in turn T the poll queues this wait's entry, the entry runs in the same turn and queues
//! the task, and the task goes on in turn T+1. Nothing is read or written here: whoever waited makes its attempt when it
//! goes on, so a wait that is cancelled or dropped, even at that late moment, loses nothing.

use crate::error::{Error, Result};
use crate::event_loop::{About, Claim, Entry, EventLoop, Watch};
use crate::task::future::cancel_now;
use crate::task::future_core::{Awaitable, Begin, Head, Message, complete};
use crate::task::leaf::Awaiting;
use crate::trace::{Direction, Done, EntryKind, Place};
use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A place to wait for a descriptor, used again and again by one operation, or by one direction of a stream.
#[derive(Default)]
pub(crate) struct Readiness {
    waiting: Option<Awaiting<ReadinessCell>>,
}

/// A future and the reader (or writer) that sets it, in one.
struct ReadinessCell {
    head: Head,
    handle: u64,
    cancelled: Cell<bool>,
    ran: Cell<bool>,
    /// Given back when the waiter has gone on, and not before: between the readiness and that moment nobody else reads.
    claim: Claim,
}

/// The cell of a wait that is over, for the next one on the same socket, which then allocates nothing.
#[derive(Default)]
pub(crate) struct Spare(Cell<Option<Rc<ReadinessCell>>>);

impl Spare {
    /// A cell with the right to wait, as if it was new; `None` if another operation has that right.
    #[inline]
    fn renewed(
        &self,
        (lp, watch): (&EventLoop, &Watch),
        direction: Direction,
        kind: &'static str,
        place: Place,
    ) -> Option<Rc<ReadinessCell>> {
        if let Some(mut spare) = self.0.take()
            // One that was cancelled, or was queued twice because a turn was interrupted, may stand in the ready queue.
            && let Some(cell) = Rc::get_mut(&mut spare)
        {
            return cell.renew(lp, direction, kind, place).then_some(spare);
        }
        let claim = watch.claim(direction)?;
        Some(Rc::new(ReadinessCell {
            head: Head::future(lp, kind, place),
            handle: lp.0.next_handle(),
            cancelled: Cell::new(false),
            ran: Cell::new(false),
            claim,
        }))
    }
}

impl ReadinessCell {
    #[inline]
    fn renew(&mut self, lp: &EventLoop, direction: Direction, kind: &'static str, place: Place) -> bool {
        if !self.claim.renew(direction) {
            return false;
        }
        self.head.renew(lp, kind, place);
        self.handle = lp.0.next_handle();
        *self.cancelled.get_mut() = false;
        *self.ran.get_mut() = false;
        true
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
        match self.waiting.insert(Awaiting::new(cell)).poll(cx) {
            Poll::Pending => Ok(true),
            Poll::Ready(_) => Err(Error::Runtime("a wait that has just begun is over".into())),
        }
    }

    /// Ready when it was woken; `Err` if an error is thrown here, or the wait was cancelled.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, spare: &Spare) -> Poll<Result<()>> {
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(Ok(())) };
        let thrown = ready!(waiting.poll(cx));
        let cancelled = waiting.on().head.cancellation();
        spare.0.set(self.end());
        Poll::Ready(match cancelled {
            None => thrown,
            Some(error) => thrown.and(Err(error)),
        })
    }

    /// Takes the wait back; its cell.
    #[inline]
    fn end(&mut self) -> Option<Rc<ReadinessCell>> {
        let cell = self.waiting.take()?.end();
        cell.claim.release();
        if !cell.ran.get()
            && let Some(lp) = cell.head.event_loop()
        {
            lp.0.cancel_entry(&*cell);
        }
        Some(cell)
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

impl Entry for ReadinessCell {
    fn id(&self) -> u64 {
        self.handle
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    fn cancel(&self) -> bool {
        !self.cancelled.replace(true)
    }

    fn run(self: Rc<Self>, lp: &EventLoop) -> Result<()> {
        self.ran.set(true);
        // It waits no more, so the next poll does not report it.
        self.claim.end_wait(lp);
        if self.head.done() { Ok(()) } else { complete(&self, Done::Ok, None) }
    }

    fn about(&self) -> About {
        About {
            kind: EntryKind::Io,
            label: self.head.kind().to_owned(),
            task: None,
            place: Some(self.head.place()),
        }
    }
}

impl Awaitable for ReadinessCell {
    fn head(&self) -> &Head {
        &self.head
    }

    fn error(&self) -> Option<Error> {
        self.head.cancellation()
    }

    fn begin_cancel(self: Rc<Self>, message: &Message) -> Begin {
        cancel_now(self, message)
    }

    fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }

    fn as_awaitable(self: Rc<Self>) -> Rc<dyn Awaitable> {
        self
    }
}
