//! The leaves: what every future embeds that waits on an [`AnyFuture`], or yields.
//!
//! A leaf registers with what it waits on, and in the step context that it is polled in. It removes both when it is done
//! or dropped, wherever that happens, so it holds both.
//!
//! Alternative: to hold neither, and look for the context where the leaf is registered. Problem: a future that is done has
//! no registrations, and a leaf that is dropped outside of its task's step would leave its wait in the context.

use super::cell::TaskCell;
use super::context::{StepId, Thrown};
use super::current::{Current, current, look_at_current};
use super::future_core::{AnyFuture, FutureCore, Waiter};
use crate::error::{Error, Result};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Waits until a future is done. Fails if an error is thrown here.
pub(crate) struct Leaf {
    on: Rc<dyn AnyFuture>,
    state: LeafState,
}

#[derive(Default)]
enum LeafState {
    #[default]
    Unregistered,
    /// Registered with what it waits on, and in the context of what polls it.
    Registered { with: Rc<TaskCell>, key: u64 },
    /// Registered only with what it waits on: polled outside of any step.
    Alone { key: u64 },
    /// It refused to wait in this step, and its error is thrown in the next one.
    Refused(StepId),
}

impl Leaf {
    pub(crate) fn new(on: Rc<dyn AnyFuture>) -> Self {
        Self { on, state: LeafState::Unregistered }
    }

    pub(crate) fn on(&self) -> &Rc<dyn AnyFuture> {
        &self.on
    }

    /// Ready with `Ok` once the future is done, with `Err` if something is thrown here.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let registered = !matches!(self.state, LeafState::Unregistered);
        if registered
            && let Some(error) = self.state.take_thrown()
            && let Some(error) = self.throw(*error)
        {
            return Poll::Ready(Err(error));
        }
        if self.on.core().done() {
            self.release();
            return Poll::Ready(Ok(()));
        }
        if !registered || !self.state.is_polled_again(cx) {
            self.wait(cx);
        }
        Poll::Pending
    }

    /// Returns the error to be thrown here; `None` if what it waits on was cancelled itself, which is kept.
    #[cold]
    fn throw(&mut self, error: Error) -> Option<Error> {
        let refused = matches!(self.state, LeafState::Refused(_));
        if !refused && self.on.core().error().is_some_and(|own| own.is_cancelled()) {
            return None;
        }
        if !refused && self.on.core().done() {
            // asyncio has read the outcome by now, and throws the cancellation in its place. What was refused is not read.
            self.on.core().mark_retrieved();
        }
        self.release();
        Some(error)
    }

    /// Registers with what is not done yet, or refuses to wait.
    fn wait(&mut self, cx: &Context<'_>) {
        self.release();
        let core = self.on.core();
        let Some(Current { cell, waker, .. }) = current() else {
            self.state = LeafState::Alone { key: core.add_waiter(Waiter::Waker(cx.waker().clone())) };
            return;
        };
        if let Some(error) = refusal(&cell, core) {
            self.state = LeafState::Refused(cell.context.refuse(error));
            return;
        }
        let own_waker = waker == cx.waker().data();
        let waiter = if own_waker && cell.is_task() {
            Waiter::Step(cell.clone())
        } else {
            Waiter::Waker(cx.waker().clone())
        };
        let key = core.add_waiter(waiter);
        cell.context.add_wait(key, self.on.clone(), own_waker);
        self.state = LeafState::Registered { with: cell, key };
    }

    /// Removes the registration: the leaf is done, or is dropped.
    #[inline]
    pub(crate) fn release(&mut self) {
        if !matches!(self.state, LeafState::Unregistered) {
            self.unregister();
        }
    }

    fn unregister(&mut self) {
        match std::mem::take(&mut self.state) {
            LeafState::Unregistered | LeafState::Refused(_) => {}
            LeafState::Registered { with, key } => {
                with.context.remove_wait(key);
                self.on.core().drop_waiter(key);
            }
            LeafState::Alone { key } => self.on.core().drop_waiter(key),
        }
    }
}

impl Drop for Leaf {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}

impl Future for Leaf {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Self::poll(&mut self, cx)
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<await {}>", self.on.core())
    }
}

impl LeafState {
    /// Takes the thrown error, if the leaf was pending in an earlier step of the current context.
    #[inline]
    fn take_thrown(&self) -> Thrown {
        let since = match self {
            // Nearly always nothing is thrown, and the current context need not be looked up.
            Self::Registered { with, .. } if !with.context.throws() => return None,
            Self::Registered { with, key } => StepId { context: with.context.id, number: *key },
            Self::Refused(step) => *step,
            Self::Unregistered | Self::Alone { .. } => return None,
        };
        look_at_current(|context, _| context.take_thrown(since)).flatten()
    }

    /// Whether it is registered already just as it is polled now.
    #[inline]
    fn is_polled_again(&self, cx: &Context<'_>) -> bool {
        let Self::Registered { with, key } = self else { return false };
        look_at_current(|context, waker| {
            std::ptr::eq(context, &with.context) && waker == cx.waker().data() && context.renew_wait(*key)
        })
        .unwrap_or_default()
    }
}

/// A bare yield: pending once, and the next step is queued at the end of this one.
#[derive(Default)]
pub(crate) struct Yielding {
    /// The step that it yielded in; of context 0 outside of any step.
    yielded: Option<StepId>,
}

impl Yielding {
    /// Pending the first time. Then ready with `Ok`, or with `Err` if something is thrown here.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(since) = self.yielded.take() {
            let thrown = look_at_current(|context, _| context.take_thrown(since)).flatten();
            return Poll::Ready(thrown.map_or(Ok(()), |error| Err(*error)));
        }
        let current = look_at_current(|context, waker| {
            let own_waker = waker == cx.waker().data();
            if own_waker {
                context.woken.set(true);
            }
            (context.step(), own_waker)
        });
        let (step, woken) = current.unwrap_or_default();
        if !woken {
            cx.waker().wake_by_ref();
        }
        self.yielded = Some(step);
        Poll::Pending
    }
}

/// Returns asyncio's error if a task may not wait on `on`. It is thrown in the next step.
#[inline]
fn refusal(cell: &TaskCell, on: &FutureCore) -> Option<Error> {
    let task = &cell.core;
    let refuses = cell.is_task() && (std::ptr::eq(task, on) || !task.has_the_loop_of(on));
    refuses.then(|| refused(cell, on))
}

#[cold]
fn refused(cell: &TaskCell, on: &FutureCore) -> Error {
    let (task, name) = (&cell.core, cell.name());
    let text = if std::ptr::eq(task, on) {
        format!("Task cannot await on itself: {name}")
    } else {
        let (ours, theirs) = (loop_of(task), loop_of(on));
        format!("Task {name} of {ours} got Future {on} of {theirs} attached to a different loop")
    };
    Error::Runtime(text.into())
}

/// Names the loop of a future, for an error.
fn loop_of(core: &FutureCore) -> String {
    core.event_loop().map_or_else(|| "a loop that is gone".to_owned(), |lp| format!("loop {}", lp.0.id()))
}
