//! The leaves: what every future embeds that waits on an [`AnyFuture`], or yields.
//!
//! A leaf registers with what it waits on, and is noted in the context of who polls it; it takes back both when it is done
//! or dropped, wherever that happens. So it holds both. (Rejected: to hold neither, and to look for the context where the leaf
//! is registered. Once `on` is done it is registered nowhere, and a leaf that is dropped outside of its task's step leaves its
//! note behind.)

use super::context::{Current, LeafWait, StepContext, Stepping, Thrown, current, look_at_current};
use super::future_core::{AnyFuture, FutureCore, Waiter};
use crate::error::{Error, Result};
use std::rc::Rc;
use std::task::{Context, Poll};

/// One leaf's part: it waits on `on`.
pub(crate) struct Leaf<A: AnyFuture + ?Sized> {
    on: Rc<A>,
    state: LeafState,
}

#[derive(Default)]
enum LeafState {
    #[default]
    Nowhere,
    /// Registered with what it waits on, and with who polls it.
    Registered { with: Rc<dyn Stepping>, key: u64 },
    /// Registered only with what it waits on: polled outside of any step.
    Alone { key: u64 },
    /// It refused to wait, and its error comes in the next step of the context with this id.
    Refused { with: u64, since: u64 },
}

impl<A: AnyFuture + ?Sized> Leaf<A> {
    pub(crate) fn new(on: Rc<A>) -> Self {
        Self { on, state: LeafState::Nowhere }
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
        if !matches!(self.state, LeafState::Nowhere)
            && let Some(error) = self.state.thrown()
            && let Some(error) = self.throw(*error)
        {
            return Poll::Ready(Err(error));
        }
        if self.on.core().done() {
            self.release();
            return Poll::Ready(Ok(()));
        }
        if matches!(self.state, LeafState::Nowhere) || !self.state.is_polled_again(cx) {
            self.wait(cx);
        }
        Poll::Pending
    }

    /// What is thrown here, unless what it waits on was cancelled itself: that one is kept.
    #[cold]
    fn throw(&mut self, error: Error) -> Option<Error> {
        let refused = matches!(self.state, LeafState::Refused { .. });
        if !refused && self.on.error().is_some_and(|own| own.is_cancelled()) {
            return None;
        }
        if !refused && self.on.core().done() {
            // asyncio has read the outcome by now, and throws the cancellation in its place. What was refused is not read.
            self.on.core().retrieved();
        }
        self.release();
        Some(error)
    }

    /// Registers with what is not done yet, or refuses to wait.
    fn wait(&mut self, cx: &Context<'_>) {
        self.release();
        let core = self.on.core();
        let Some(Current { stepping, waker }) = current() else {
            self.state = LeafState::Alone { key: core.add_waiter(Waiter::Waker(cx.waker().clone())) };
            return;
        };
        let task = stepping.task_core();
        if let Some(error) = task.and_then(|task| refusal(&stepping, task, core)) {
            self.state = stepping.context().refuse(error);
            return;
        }
        let own_waker = waker == cx.waker().data();
        let waiter = if own_waker && task.is_some() {
            Waiter::Step(stepping.clone())
        } else {
            Waiter::Waker(cx.waker().clone())
        };
        let key = core.add_waiter(waiter);
        stepping.context().note(key, self.on.clone().as_any_future(), own_waker);
        self.state = LeafState::Registered { with: stepping, key };
    }

    /// Takes the registration back: the leaf is done, or is dropped.
    #[inline]
    pub(crate) fn release(&mut self) {
        if !matches!(self.state, LeafState::Nowhere) {
            self.leave();
        }
    }

    fn leave(&mut self) {
        match std::mem::take(&mut self.state) {
            LeafState::Registered { with, key } => {
                with.context().forget(key);
                self.on.core().drop_waiter(key);
            }
            LeafState::Alone { key } => self.on.core().drop_waiter(key),
            LeafState::Nowhere | LeafState::Refused { .. } => {}
        }
    }
}

impl<A: AnyFuture + ?Sized> Drop for Leaf<A> {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}

impl LeafState {
    /// The injected error, if the leaf was pending in an earlier step of the current one.
    #[inline]
    fn thrown(&self) -> Thrown {
        let (with, since) = match self {
            // Nearly always there is nothing, and who is the current one need not be asked.
            Self::Registered { with, .. } if !with.context().has_untaken() => return None,
            Self::Registered { with, key } => (with.context().id, *key),
            Self::Refused { with, since } => (*with, *since),
            Self::Nowhere | Self::Alone { .. } => return None,
        };
        look_at_current(|context, _| context.take_injected(with, since)).flatten()
    }

    /// Whether it is registered already just as it is polled now.
    #[inline]
    fn is_polled_again(&self, cx: &Context<'_>) -> bool {
        let Self::Registered { with, key } = self else { return false };
        let id = with.context().id;
        let again = |context: &StepContext, waker| {
            context.id == id && waker == cx.waker().data() && context.is_polled_again(*key)
        };
        look_at_current(again).unwrap_or_default()
    }
}

impl StepContext {
    /// Notes that a leaf waits on `on`.
    #[inline]
    fn note(&self, key: u64, on: Rc<dyn AnyFuture>, own_waker: bool) {
        self.waits.borrow_mut().insert(key, LeafWait { on, seen: self.number.get(), own_waker });
    }

    /// Keeps what a leaf refuses with for the next step.
    #[cold]
    fn refuse(&self, error: Error) -> LeafState {
        self.refused.set(Some(Box::new(error)));
        LeafState::Refused { with: self.id, since: self.number.get() }
    }
}

/// A bare yield: pending once, and the next step is queued at the end of this one.
#[derive(Default)]
pub(crate) struct Yielding(Option<Yielded>);

/// In which step it yielded; the context's id is 0 if nobody's step it was.
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
            let error = look_at_current(|context, _| context.take_injected(with, since)).flatten();
            return Poll::Ready(match error {
                None => Ok(()),
                Some(error) => Err(*error),
            });
        }
        let current = look_at_current(|context, waker| {
            let own_waker = waker == cx.waker().data();
            if own_waker {
                context.wake();
            }
            (Yielded { with: context.id, since: context.number.get() }, own_waker)
        });
        let (yielded, woken) = current.unwrap_or_default();
        if !woken {
            cx.waker().wake_by_ref();
        }
        self.0 = Some(yielded);
        Poll::Pending
    }
}

/// Why `current`, which has the core `task`, may not wait on what has the core `on`, if it may not: asyncio's two errors,
/// thrown in the next step.
#[inline]
fn refusal(current: &Rc<dyn Stepping>, task: &FutureCore, on: &FutureCore) -> Option<Error> {
    if std::ptr::eq(task, on) || !task.has_the_loop_of(on) { Some(refused(current, task, on)) } else { None }
}

#[cold]
fn refused(current: &Rc<dyn Stepping>, task: &FutureCore, on: &FutureCore) -> Error {
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
fn loop_of(core: &FutureCore) -> String {
    core.event_loop().map_or_else(|| "a loop that is gone".to_owned(), |lp| format!("loop {}", lp.0.id()))
}
