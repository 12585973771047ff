//! Waiting in line: what all the primitives have in common.
//!
//! Two small things. [`Waiters`] is a line of futures, one for each task that waits, first come first. Its promise is the
//! one that all of `sync` stands on: whoever leaves the line without having been served, cancelled or dropped, is told
//! whether a wake-up had come for it, so that the wake-up can be passed on. [`Home`] is the loop that a primitive
//! belongs to.
//!
//! (Rejected: a callback or a waker for each waiter. A future makes the wait an ordinary await, which the trace shows
//! and a cancellation ends, and its three states say all that the rules ask for: still waiting, woken, cancelled.)

use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Inner, get_running_loop};
use crate::task::Holder;
use crate::trace::Place;
use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::{Rc, Weak};

/// What stands in a line. One that was woken or cancelled is done, and stands there until its task's next step.
type Waiter = crate::task::Future<()>;

/// Those who wait, first come first.
#[derive(Default)]
pub(super) struct Waiters(RefCell<VecDeque<Waiter>>);

impl Waiters {
    /// Waits at the end of the line to be woken.
    ///
    /// If it ends otherwise (an error is thrown here, or the future is dropped), `gave_up` is called once the waiter has
    /// left the line, with whether it had been woken: then somebody else must be.
    pub(super) async fn wait(
        &self,
        lp: &EventLoop,
        kind: &'static str,
        place: Place,
        gave_up: impl FnOnce(bool),
    ) -> Result<()> {
        self.wait_held(lp, kind, place, None, gave_up).await
    }

    /// As [`wait`](Self::wait), and a snapshot shows who holds what is waited for.
    pub(super) async fn wait_held(
        &self,
        lp: &EventLoop,
        kind: &'static str,
        place: Place,
        holder: Option<&Holder>,
        gave_up: impl FnOnce(bool),
    ) -> Result<()> {
        let waiter = Waiter::of_kind(lp, kind, place).held_by(holder);
        self.0.borrow_mut().push_back(waiter.clone());
        let mut in_line = InLine { line: self, waiter, gave_up: Some(gave_up) };
        (&in_line.waiter).await?;
        in_line.gave_up = None;
        Ok(())
    }

    /// Takes the first `n` who still wait out of the line and wakes them.
    pub(super) fn release(&self, n: usize) {
        // All are chosen before the first is woken: a waker that is not looplab's may do anything, and who comes to the
        // line meanwhile is not meant.
        let mut chosen = Vec::new();
        while chosen.len() < n
            && let Some(waiter) = self.pop()
        {
            if !waiter.done() {
                chosen.push(waiter);
            }
        }
        chosen.iter().for_each(wake);
    }

    fn pop(&self) -> Option<Waiter> {
        self.0.borrow_mut().pop_front()
    }

    /// Wakes the first in line, who stays there until its task goes on. If that one is woken or cancelled already,
    /// nothing happens: its next step will see to the others.
    pub(super) fn wake_first(&self) {
        let first = self.0.borrow().front().cloned();
        first.iter().for_each(wake);
    }

    /// Wakes the first who still waits, who stays in line until its task goes on.
    pub(super) fn wake_pending(&self) {
        let pending = self.0.borrow().iter().find(|waiter| !waiter.done()).cloned();
        pending.iter().for_each(wake);
    }

    /// Whether anybody still waits to be woken.
    pub(super) fn any_pending(&self) -> bool {
        self.0.borrow().iter().any(|waiter| !waiter.done())
    }

    /// Whether nobody comes before a newcomer. Those who are cancelled do not count, those who are woken do.
    pub(super) fn is_free(&self) -> bool {
        self.0.borrow().iter().all(Waiter::cancelled)
    }

    pub(super) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    fn remove(&self, waiter: &Waiter) {
        let mut line = self.0.borrow_mut();
        // Whoever leaves stands near the front, as a rule.
        let found = line.iter().position(|other| other == waiter);
        let left = found.and_then(|index| line.remove(index));
        drop(line);
        drop(left);
    }
}

/// `waiters:2` after `before`, if there are any.
pub(super) fn count(f: &mut fmt::Formatter<'_>, waiters: &Waiters) -> fmt::Result {
    match waiters.len() {
        0 => Ok(()),
        n => write!(f, ", waiters:{n}"),
    }
}

fn wake(waiter: &Waiter) {
    if waiter.done() {
        return;
    }
    match waiter.set_result(()) {
        // When a loop is closed its tasks end, so nobody waits who could miss this.
        Ok(()) | Err(Error::Closed) => {}
        Err(error) => log::error!(target: "looplab", "a waiter could not be woken: {error}"),
    }
}

/// One waiter's stay in a line.
struct InLine<'a, F: FnOnce(bool)> {
    line: &'a Waiters,
    waiter: Waiter,
    gave_up: Option<F>,
}

impl<F: FnOnce(bool)> Drop for InLine<'_, F> {
    fn drop(&mut self) {
        self.line.remove(&self.waiter);
        let woken = self.waiter.done() && !self.waiter.cancelled();
        // If the future was dropped while it waited, nobody else will end it.
        self.waiter.cancel();
        if let Some(gave_up) = self.gave_up.take() {
            gave_up(woken);
        }
    }
}

/// The loop on which a primitive was first waited for; it can be waited for on no other (since Python 3.10). Uses that
/// do not wait do not count.
///
/// It is held weakly, but its allocation is kept, so that no later loop can be taken for it.
#[derive(Default)]
pub(super) struct Home(OnceCell<Weak<Inner>>);

impl Home {
    /// The running loop, if it is the home of `who`.
    pub(super) fn running_loop(&self, who: &dyn fmt::Debug) -> Result<EventLoop> {
        let lp = get_running_loop()?;
        let home = self.0.get_or_init(|| lp.downgrade());
        if std::ptr::eq(home.as_ptr(), Rc::as_ptr(&lp.0)) {
            return Ok(lp);
        }
        Err(Error::Runtime(format!("{who:?} is bound to a different event loop").into()))
    }
}
