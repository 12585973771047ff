//! The step context: the state of one step, as the leaves that are awaited in it see it.
//!
//! This is where asyncio's "throw into the coroutine at its await" becomes Rust. It guarantees:
//!
//! - A leaf takes a thrown error only if it was pending in an *earlier* step. Awaiting what is done is no suspension, so
//!   nothing is delivered there.
//! - A leaf whose own outcome is a cancellation keeps that one, and the thrown one is dropped: two requests, one
//!   delivery, the first message.
//! - An error that no leaf took is returned at the end of the step.
//! - A task waits on the leaves of its last step. It also waits on those that were polled through another waker
//!   (`join!`, `FuturesUnordered`), which are polled only when they are woken.

use super::future_core::AnyFuture;
use super::keyed_list::{KeyedList, next_key};
use crate::error::Error;
use crate::in_place::is_some;
use std::cell::Cell;
use std::rc::Rc;
use std::task::Context;

pub(crate) struct StepContext {
    /// Differs from the id of every other context of this thread.
    pub(super) id: u64,
    /// The number of the step that it is in, or was in last. Steps and registrations are numbered by one counter: a
    /// registration with a smaller number is older than the step.
    number: Cell<u64>,
    /// The data pointer of the waker that it is polled with, which tells its own waker from any other.
    pub(super) waker: Cell<*const ()>,
    /// To be thrown at the await where it is suspended. Boxed: it is rare, and every task has the room for it.
    thrown: Cell<Option<Box<Error>>>,
    /// From a leaf that refused to wait, to be thrown in the next step (a task that awaits itself).
    pub(crate) refused: Cell<Option<Box<Error>>>,
    waits: KeyedList<LeafWait>,
}

/// What one leaf waits on.
struct LeafWait {
    on: Rc<dyn AnyFuture>,
    /// The step in which the leaf was polled last; [`EVERY_STEP`] if that was through another waker than the task's.
    polled_in: u64,
}

/// Stands for each step of a leaf that is polled only when it is woken.
const EVERY_STEP: u64 = u64::MAX;

/// Names a step of a context.
#[derive(Clone, Copy, Default)]
pub(super) struct StepId {
    pub(super) context: u64,
    pub(super) number: u64,
}

impl StepContext {
    #[inline]
    pub(super) fn new() -> Self {
        Self {
            id: next_key(),
            number: Cell::new(0),
            waker: Cell::new(std::ptr::null()),
            thrown: Cell::new(None),
            refused: Cell::new(None),
            waits: KeyedList::default(),
        }
    }

    /// Begins a step with an error to be thrown in it.
    #[inline]
    pub(super) fn begin(&self, thrown: Option<Box<Error>>) {
        self.number.set(next_key());
        self.thrown.set(thrown);
    }

    /// Ends the step, and returns the error if no leaf took it.
    #[inline]
    pub(crate) fn end(&self) -> Option<Box<Error>> {
        self.thrown.take()
    }

    /// Whether a leaf is polled with its own waker.
    #[inline]
    pub(super) fn is_own_waker(&self, cx: &Context<'_>) -> bool {
        self.waker.get() == cx.waker().data()
    }

    #[inline]
    pub(super) fn step(&self) -> StepId {
        StepId { context: self.id, number: self.number.get() }
    }

    /// Whether no leaf has taken yet what is to be thrown in this step.
    #[inline]
    pub(super) fn throws(&self) -> bool {
        is_some(&self.thrown)
    }

    /// Takes the error that is to be thrown in this step, for a leaf that has waited here since an earlier one.
    #[inline]
    pub(super) fn take_thrown(&self, since: StepId) -> Option<Box<Error>> {
        if self.id == since.context && since.number < self.number.get() { self.thrown.take() } else { None }
    }

    /// Notes that a leaf waits on `on`, under the key of its registration there.
    #[inline]
    pub(super) fn add_wait(&self, key: u64, on: Rc<dyn AnyFuture>, own_waker: bool) {
        let polled_in = if own_waker { self.number.get() } else { EVERY_STEP };
        self.waits.push(key, LeafWait { on, polled_in });
    }

    /// Notes that a leaf was polled again through the task's own waker; false if it is not registered like that.
    #[inline]
    pub(super) fn renew_wait(&self, key: u64) -> bool {
        let renew = |wait: &mut LeafWait| {
            let own_waker = wait.polled_in != EVERY_STEP;
            if own_waker {
                wait.polled_in = self.number.get();
            }
            own_waker
        };
        self.waits.update(key, renew).unwrap_or_default()
    }

    /// Removes a leaf's wait. The leaf holds what it waits on, so nothing of the user's is dropped here.
    #[inline]
    pub(super) fn remove_wait(&self, key: u64) {
        drop(self.waits.remove(key));
    }

    /// Lists what it waits on after its last step, in order of registration.
    pub(super) fn waits(&self) -> Vec<Rc<dyn AnyFuture>> {
        let last = self.number.get();
        self.waits.filter_map(|_, wait| (wait.polled_in >= last).then(|| wait.on.clone()))
    }

    #[inline]
    pub(super) fn has_waits(&self) -> bool {
        // Nearly always the first wait was registered in the last step.
        self.waits.first_key() > self.number.get() || !self.waits().is_empty()
    }
}
