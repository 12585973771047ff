//! Waiting in line: what all the primitives have in common.
//!
//! Two small things. [`Waiters`] is a line of futures, one for each task that waits, first come first. All of `sync`
//! stands on its promise: a waiter that leaves the line unserved, cancelled or dropped, passes on the wake-up that had
//! come for it. Waking and leaving cost the same in a line of any length, but for a binary search. [`Home`] is the loop
//! that a primitive belongs to.
//!
//! (Rejected: a callback or a waker for each waiter. A future makes the wait an ordinary await, which the trace shows
//! and a cancellation ends, and its three states say all that the rules ask for: still waiting, woken, cancelled.)

#[cfg(test)]
mod tests;

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
pub(super) struct Waiters(RefCell<Line>);

/// The line itself, in the order of the waiters' numbers, so that leaving it is a binary search. The two counts keep
/// what is known: without them, n calls that each look for the first who still waits would look at n² waiters.
#[derive(Default)]
struct Line {
    waiters: VecDeque<Waiter>,
    /// How many at the front are known to be done.
    done: usize,
    /// How many have been woken and stand here until their task's next step.
    woken: usize,
}

impl Waiters {
    /// Adds `waiter` to the end of the line, and waits until it is woken. [`Home::waiter`] makes one.
    ///
    /// If the wait ends otherwise (an error is thrown here, or the future is dropped), `gave_up` is called after the
    /// waiter has left the line. Its argument says whether the waiter had been woken: then another one must be.
    ///
    /// The waiter is an argument, so that no handle of the loop lives across an await. A task must not keep the loop
    /// alive that keeps the task.
    pub(super) async fn wait(&self, waiter: Waiter, gave_up: impl FnOnce(bool)) -> Result<()> {
        self.0.borrow_mut().push(waiter.clone());
        let mut in_line = InLine { line: self, waiter, gave_up: Some(gave_up) };
        (&in_line.waiter).await?;
        in_line.gave_up = None;
        Ok(())
    }

    /// Takes the first `n` who still wait out of the line and wakes them.
    pub(super) fn release(&self, n: usize) {
        self.wake_up_to(n, Line::pop);
    }

    /// Wakes the first `n` who still wait; each stays in line until its task goes on.
    pub(super) fn wake_pending(&self, n: usize) {
        self.wake_up_to(n, |line| {
            let pending = line.first_pending().cloned();
            line.woken += usize::from(pending.is_some());
            pending
        });
    }

    /// Wakes up to `n`, one after the other. A waker that is not looplab's may do anything, so no borrow is held while it
    /// runs, and a waiter that comes to the line meanwhile is not meant.
    fn wake_up_to(&self, n: usize, next: fn(&mut Line) -> Option<Waiter>) {
        let newest = self.0.borrow().waiters.back().map(Waiter::id);
        for _ in 0..n {
            let mut line = self.0.borrow_mut();
            if line.first_pending().is_none_or(|first| Some(first.id()) > newest) {
                return;
            }
            let next = next(&mut line);
            drop(line);
            next.iter().for_each(wake);
        }
    }

    /// Wakes the first in line, who stays there until its task goes on. If that one is woken or cancelled already,
    /// nothing happens: its next step will see to the others.
    pub(super) fn wake_first(&self) {
        if self.0.borrow().waiters.front().is_some_and(|first| !first.done()) {
            self.wake_pending(1);
        }
    }

    /// Whether anybody still waits to be woken.
    pub(super) fn any_pending(&self) -> bool {
        self.0.borrow_mut().first_pending().is_some()
    }

    /// Whether nobody comes before a newcomer. Those who are cancelled do not count, those who are woken do.
    pub(super) fn is_free(&self) -> bool {
        let mut line = self.0.borrow_mut();
        line.woken == 0 && line.first_pending().is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.0.borrow().waiters.len()
    }

    fn remove(&self, waiter: &Waiter) {
        let left = self.0.borrow_mut().remove(waiter);
        drop(left);
    }
}

impl Line {
    /// Puts a newcomer at the end.
    fn push(&mut self, waiter: Waiter) {
        // An observer that hears of the new future may itself have put a later one in line.
        let place = self.waiters.partition_point(|other| other.id() < waiter.id());
        self.waiters.insert(place, waiter);
        self.done = self.done.min(place);
    }

    fn first_pending(&mut self) -> Option<&Waiter> {
        while let Some(waiter) = self.waiters.get(self.done) {
            looked_at_one();
            if !waiter.done() {
                return Some(waiter);
            }
            self.done += 1;
        }
        None
    }

    /// Takes the first out that still waits, and all before it.
    fn pop(&mut self) -> Option<Waiter> {
        self.first_pending()?;
        self.waiters.drain(..self.done);
        self.done = 0;
        self.waiters.pop_front()
    }

    fn remove(&mut self, waiter: &Waiter) -> Option<Waiter> {
        let id = waiter.id();
        let place = self.waiters.binary_search_by(|other| {
            looked_at_one();
            other.id().cmp(&id)
        });
        let place = place.ok()?;
        self.done -= usize::from(place < self.done);
        self.woken -= usize::from(waiter.done() && !waiter.cancelled());
        self.waiters.remove(place)
    }
}

/// Counts the waiters that are looked at, for the tests of what the line costs.
#[cfg(test)]
fn looked_at_one() {
    tests::LOOKS.with(|looks| looks.set(looks.get() + 1));
}

#[cfg(not(test))]
fn looked_at_one() {}

/// `waiters:2` after `before`, if there are any.
pub(super) fn count(f: &mut fmt::Formatter<'_>, waiters: &Waiters) -> fmt::Result {
    match waiters.len() {
        0 => Ok(()),
        n => write!(f, ", waiters:{n}"),
    }
}

fn wake(waiter: &Waiter) {
    match waiter.set_result(()) {
        // When a loop is closed its tasks end, so nobody waits who could miss this.
        Ok(()) | Err(Error::Closed) => {}
        Err(error) => log_error!("a waiter could not be woken: {error}"),
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

    /// Makes a waiter on the running loop, if that is the home of `who`. `holder` is the task that holds what is waited
    /// for, and a snapshot shows it.
    pub(super) fn waiter(
        &self,
        who: &dyn fmt::Debug,
        kind: &'static str,
        place: Place,
        holder: Option<&Holder>,
    ) -> Result<Waiter> {
        Ok(Waiter::of_kind(&self.running_loop(who)?, kind, place).held_by(holder))
    }
}
