//! Waiting for a descriptor: how a task sleeps until a socket is ready.
//!
//! It promises asyncio's turns: in turn T the poll queues this wait's entry, the entry runs in the same turn and queues
//! the task, and the task goes on in turn T+1. Nothing is read or written here: whoever waited makes its attempt when it
//! goes on, so a wait that is cancelled or dropped, even at that late moment, loses nothing.

use super::future::cancel_now;
use super::head::{Awaitable, Begin, Head, Message, complete};
use super::step::Awaiting;
use crate::error::{Error, Result};
use crate::event_loop::{About, Claim, Entry, EventLoop, Watch};
use crate::trace::{Direction, Done, EntryKind, Place};
use std::any::Any;
use std::cell::{Cell, RefCell};
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
    claim: RefCell<Option<Claim>>,
}

impl Readiness {
    /// Whether it waits, or has been woken and not polled since.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Begins to wait; false if another operation waits for this direction.
    pub(crate) fn begin(
        &mut self,
        watch: &Watch,
        direction: Direction,
        kind: &'static str,
        place: Place,
    ) -> Result<bool> {
        self.end();
        let lp = watch.event_loop()?;
        let Some(claim) = watch.claim(direction) else { return Ok(false) };
        let cell = Rc::new(ReadinessCell {
            head: Head::future(&lp, kind, place),
            handle: lp.0.next_handle(),
            cancelled: Cell::new(false),
            ran: Cell::new(false),
            claim: RefCell::new(Some(claim)),
        });
        // If that fails the cell goes, and the claim with it.
        watch.set(direction, cell.clone())?;
        self.waiting = Some(Awaiting::new(cell));
        Ok(true)
    }

    /// Ready when it was woken; `Err` if an error is thrown here, or the wait was cancelled.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(Ok(())) };
        let thrown = ready!(waiting.poll(cx));
        let cancelled = waiting.on().head().cancellation();
        self.end();
        Poll::Ready(thrown.and_then(|()| cancelled.map_or(Ok(()), Err)))
    }

    /// Takes the wait back.
    pub(crate) fn end(&mut self) {
        if let Some(mut waiting) = self.waiting.take() {
            waiting.release();
            let cell = waiting.on();
            let claim = cell.claim.borrow_mut().take();
            drop(claim);
            if !cell.ran.get()
                && let Some(lp) = cell.head.event_loop()
            {
                lp.0.cancel_entry(&**cell);
            }
        }
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.end();
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

    fn run(self: Rc<Self>, _: &EventLoop) -> Result<()> {
        self.ran.set(true);
        // It waits no more, so the next poll does not report it.
        let claim = self.claim.take();
        if let Some(claim) = &claim {
            claim.end_wait();
        }
        *self.claim.borrow_mut() = claim;
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
