//! The leaves: what every future embeds that waits on an [`Awaitable`], or yields.
//!
//! A leaf registers with what it waits on, and is noted in the stepper of who polls it; it takes back both when it is done
//! or dropped, wherever that happens. So it holds both. (Rejected: to hold neither, and to look for the stepper where the leaf
//! is registered. Once `on` is done it is registered nowhere, and a leaf that is dropped outside of its task's step leaves its
//! note behind.)

use super::context::{Current, Registered, Stepper, Stepping, Thrown, current, look_at_current};
use super::future_core::{Awaitable, Head, Waiter};
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
    /// Registered with what it waits on, and with who polls it.
    Registered { with: Rc<dyn Stepping>, key: u64 },
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
        if !refused && self.on.head().done() {
            // asyncio has read the outcome by now, and throws the cancellation in its place. What was refused is not read.
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
        let waiter = if own_waker && task.is_some() {
            Waiter::Step(stepping.clone())
        } else {
            Waiter::Waker(cx.waker().clone())
        };
        let key = head.add_waiter(waiter);
        stepping.stepper().note(key, self.on.clone().as_awaitable(), own_waker);
        self.place = Place::Registered { with: stepping, key };
    }

    /// Takes the registration back: the leaf is done, or is dropped.
    #[inline]
    pub(crate) fn release(&mut self) {
        if !matches!(self.place, Place::Nowhere) {
            self.leave();
        }
    }

    fn leave(&mut self) {
        match std::mem::take(&mut self.place) {
            Place::Registered { with, key } => {
                with.stepper().forget(key);
                self.on.head().drop_waiter(key);
            }
            Place::Alone { key } => self.on.head().drop_waiter(key),
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
            // Nearly always there is nothing, and who is the current one need not be asked.
            Self::Registered { with, .. } if !with.stepper().has_untaken() => return None,
            Self::Registered { with, key } => (with.stepper().id, *key),
            Self::Refused { with, since } => (*with, *since),
            Self::Nowhere | Self::Alone { .. } => return None,
        };
        look_at_current(|stepper, _| stepper.take_injected(with, since)).flatten()
    }

    /// Whether it is registered already just as it is polled now.
    #[inline]
    fn is_polled_again(&self, cx: &Context<'_>) -> bool {
        let Self::Registered { with, key } = self else { return false };
        let id = with.stepper().id;
        let again = |stepper: &Stepper, waker| {
            stepper.id == id && waker == cx.waker().data() && stepper.is_polled_again(*key)
        };
        look_at_current(again).unwrap_or_default()
    }
}

impl Stepper {
    /// Notes that a leaf waits on `on`.
    #[inline]
    fn note(&self, key: u64, on: Rc<dyn Awaitable>, own_waker: bool) {
        self.waits.borrow_mut().insert(key, Registered { on, seen: self.number.get(), own_waker });
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
    if std::ptr::eq(task, on) || !task.has_the_loop_of(on) { Some(refused(current, task, on)) } else { None }
}

#[cold]
fn refused(current: &Rc<dyn Stepping>, task: &Head, on: &Head) -> Error {
    let name = current.clone().task().map(|task| task.name());
    let name = name.as_deref().unwrap_or_default();
    let text = if std::ptr::eq(task, on) {
        format!("Task cannot await on itself: {name}")
    } else {
        let (ours, theirs) = (loop_of(task), loop_of(on));
        let future = format!("Future {} {} of {theirs}", on.kind(), on.id());
        format!("Task {name} of {ours} got {future} attached to a different loop")
    };
    Error::Runtime(text.into())
}

/// Names the loop of a task or future, for an error.
fn loop_of(head: &Head) -> String {
    head.event_loop().map_or_else(|| "a loop that is gone".to_owned(), |lp| format!("loop {}", lp.0.id()))
}
