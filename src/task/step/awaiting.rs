//! The leaves: what every future embeds that waits on an [`Awaitable`], or yields.
//!
//! A leaf registers with what it waits on, and is noted in the stepper of who polls it; it takes back both when it is done
//! or dropped. One that waits through its task's own waker, as nearly all do, holds no reference to that task: while its
//! `on` is pending the task is found where the leaf is registered, and afterwards it is the current one.

use super::super::head::{Awaitable, Head, Waiter};
use super::{Current, Registered, Stepper, Stepping, Thrown, current, look_at_current};
use crate::error::{Error, Result};
use std::rc::Rc;
use std::task::{Context, Poll};

/// One leaf's part: it waits on `on`.
pub(crate) struct Awaiting<A: Awaitable + ?Sized> {
    on: Rc<A>,
    place: Place,
}

#[derive(Default)]
enum Place {
    #[default]
    Nowhere,
    /// Registered through its task's own waker, in the stepper with this id.
    Own { with: u64, key: u64 },
    /// Registered through another waker, or by a coroutine that is driven by hand.
    Other { with: Rc<dyn Stepping>, key: u64 },
    /// Registered only with what it waits on: polled outside of any step.
    Alone { key: u64 },
    /// It refused to wait, and its error comes in the next step of the stepper with this id.
    Refused { with: u64, since: u64 },
}

impl<A: Awaitable + ?Sized> Awaiting<A> {
    pub(crate) fn new(on: Rc<A>) -> Self {
        Self { on, place: Place::Nowhere }
    }

    /// What it waits on.
    pub(crate) fn on(&self) -> &Rc<A> {
        &self.on
    }

    /// Waits no more; what it waited on.
    pub(crate) fn end(mut self) -> Rc<A> {
        self.release();
        self.on.clone()
    }

    /// Ready with `Ok` once it is done, with `Err` if something is thrown here.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !matches!(self.place, Place::Nowhere)
            && let Some(error) = self.place.thrown()
            && let Some(error) = self.throw(*error)
        {
            return Poll::Ready(Err(error));
        }
        if self.on.head().done() {
            self.release();
            return Poll::Ready(Ok(()));
        }
        if matches!(self.place, Place::Nowhere) || !self.place.is_polled_again(cx) {
            self.wait(cx);
        }
        Poll::Pending
    }

    /// What is thrown here, unless what it waits on was cancelled itself: that one is kept.
    #[cold]
    fn throw(&mut self, error: Error) -> Option<Error> {
        let refused = matches!(self.place, Place::Refused { .. });
        if !refused && self.on.error().is_some_and(|own| own.is_cancelled()) {
            return None;
        }
        if self.on.head().done() {
            // asyncio has read the outcome by now, and throws the cancellation in its place.
            self.on.head().retrieved();
        }
        self.release();
        Some(error)
    }

    /// Registers with what is not done yet, or refuses to wait.
    fn wait(&mut self, cx: &Context<'_>) {
        self.release();
        let head = self.on.head();
        let Some(Current { stepping, waker }) = current() else {
            self.place = Place::Alone { key: head.add_waiter(Waiter::Waker(cx.waker().clone())) };
            return;
        };
        let task = stepping.task_head();
        if let Some(error) = task.and_then(|task| refusal(&stepping, task, head)) {
            self.place = stepping.stepper().refuse(error);
            return;
        }
        let own_waker = waker == cx.waker().data();
        let on = self.on.clone().as_awaitable();
        self.place = if own_waker && task.is_some() {
            let key = head.add_waiter(Waiter::Step(stepping.clone()));
            Place::Own { with: stepping.stepper().note(key, on, own_waker), key }
        } else {
            let key = head.add_waiter(Waiter::Waker(cx.waker().clone()));
            stepping.stepper().note(key, on, own_waker);
            Place::Other { with: stepping, key }
        };
    }

    /// Takes the registration back: the leaf is done, or is dropped.
    #[inline]
    pub(crate) fn release(&mut self) {
        match self.place {
            Place::Nowhere => {}
            Place::Own { with, key } if self.on.head().done() => {
                self.place = Place::Nowhere;
                // A leaf that is dropped in nobody's step, or in another's, leaves its note behind: it counts no more after
                // the task's next step, and goes in one of its later waits, or with the task.
                look_at_current(|stepper, _| stepper.forget_own(with, key));
            }
            _ => self.leave(),
        }
    }

    fn leave(&mut self) {
        match std::mem::take(&mut self.place) {
            Place::Own { key, .. } => {
                if let Some(Waiter::Step(waiting)) = self.on.head().remove_waiter(key) {
                    waiting.forget(key);
                }
            }
            Place::Other { with, key } => {
                with.stepper().forget(key);
                drop(self.on.head().remove_waiter(key));
            }
            Place::Alone { key } => drop(self.on.head().remove_waiter(key)),
            Place::Nowhere | Place::Refused { .. } => {}
        }
    }
}

impl<A: Awaitable + ?Sized> Drop for Awaiting<A> {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}

impl Place {
    /// The injected error, if the leaf was pending in an earlier step of the current one.
    #[inline]
    fn thrown(&self) -> Thrown {
        let (with, since) = match self {
            Self::Own { with, key } => (*with, *key),
            Self::Other { with, key } => (with.stepper().id, *key),
            Self::Refused { with, since } => (*with, *since),
            Self::Nowhere | Self::Alone { .. } => return None,
        };
        look_at_current(|stepper, _| stepper.take_injected(with, since)).flatten()
    }

    /// Whether it is registered already just as it is polled now.
    #[inline]
    fn is_polled_again(&self, cx: &Context<'_>) -> bool {
        let (with, key) = match self {
            Self::Own { with, key } => (*with, *key),
            Self::Other { with, key } => (with.stepper().id, *key),
            _ => return false,
        };
        let again = |stepper: &Stepper, waker| {
            stepper.id == with && waker == cx.waker().data() && stepper.is_polled_again(key)
        };
        look_at_current(again).unwrap_or_default()
    }
}

impl Stepper {
    /// Notes that a leaf waits on `on`; the stepper's id.
    #[inline]
    fn note(&self, key: u64, on: Rc<dyn Awaitable>, own_waker: bool) -> u64 {
        let wait = Registered { on, seen: self.number.get(), own_waker };
        let stale = self.waits.borrow_mut().insert(key, wait);
        stale.let_go();
        self.id
    }

    /// Takes a note back if this is the stepper in which it was made.
    #[inline]
    fn forget_own(&self, with: u64, key: u64) {
        if self.id == with {
            self.forget(key);
        }
    }

    /// Keeps what a leaf refuses with for the next step.
    #[cold]
    fn refuse(&self, error: Error) -> Place {
        self.refused.set(Some(Box::new(error)));
        Place::Refused { with: self.id, since: self.number.get() }
    }
}

/// A bare yield: pending once, and the next step is queued at the end of this one.
#[derive(Default)]
pub(crate) struct Yielding(Option<Yielded>);

/// In which step it yielded; the stepper's id is 0 if nobody's step it was.
#[derive(Clone, Copy, Default)]
struct Yielded {
    with: u64,
    since: u64,
}

impl Yielding {
    /// Pending the first time. Then ready with `Ok`, or with `Err` if something is thrown here.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(Yielded { with, since }) = self.0.take() {
            let error = look_at_current(|stepper, _| stepper.take_injected(with, since)).flatten();
            return Poll::Ready(match error {
                None => Ok(()),
                Some(error) => Err(*error),
            });
        }
        let current = look_at_current(|stepper, waker| {
            let own_waker = waker == cx.waker().data();
            if own_waker {
                stepper.wake();
            }
            (Yielded { with: stepper.id, since: stepper.number.get() }, own_waker)
        });
        let (yielded, woken) = current.unwrap_or_default();
        if !woken {
            cx.waker().wake_by_ref();
        }
        self.0 = Some(yielded);
        Poll::Pending
    }
}

/// Why `current`, which has the head `task`, may not wait on what has the head `on`, if it may not: asyncio's two errors,
/// thrown in the next step.
#[inline]
fn refusal(current: &Rc<dyn Stepping>, task: &Head, on: &Head) -> Option<Error> {
    let itself = std::ptr::eq(task, on);
    if itself || !task.has_the_loop_of(on) { Some(refused(current, on, itself)) } else { None }
}

#[cold]
fn refused(current: &Rc<dyn Stepping>, on: &Head, itself: bool) -> Error {
    let name = current.clone().task().map(|task| task.name());
    let name = name.as_deref().unwrap_or_default();
    let text = if itself {
        format!("Task cannot await on itself: {name}")
    } else {
        format!("Task {name} got Future {} {} attached to a different loop", on.kind(), on.id())
    };
    Error::Runtime(text.into())
}
