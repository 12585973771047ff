//! The leaves: what every future embeds that waits on an [`AnyFuture`].
//!
//! A leaf registers with what it waits on, and in the step context that it is polled in. It removes both when it is done
//! or dropped, wherever that happens, so it holds both.
//!
//! Alternative: to hold neither, and look for the context where the leaf is registered. Problem: a future that is done has
//! no registrations, and a leaf that is dropped outside of its task's step would leave its wait in the context.

use super::cell::TaskCell;
use super::context::StepId;
use super::current::{current, look_at_current};
use super::future_core::{AnyFuture, FutureCore, Waiter};
use crate::error::{Error, Result};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Waits until a future is done. Fails if an error is thrown here.
pub(crate) struct Leaf {
    pub(super) on: Rc<dyn AnyFuture>,
    state: LeafState,
}

#[derive(Default)]
enum LeafState {
    #[default]
    Unregistered,
    /// Registered with what it waits on, and in the context of what polls it, if that is a step.
    Registered { with: Option<Rc<TaskCell>>, key: u64 },
    /// It refused to wait in this step, and its error is thrown in the next one.
    Refused(StepId),
}

impl Leaf {
    pub(crate) fn new(on: Rc<dyn AnyFuture>) -> Self {
        Self { on, state: LeafState::Unregistered }
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
            // What is done has no waiters any more.
            if let LeafState::Registered { with: Some(cell), key } = std::mem::take(&mut self.state) {
                cell.context.remove_wait(key);
            }
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
        let Some((cell, waker)) = current() else {
            let key = core.add_waiter(Waiter::Waker(cx.waker().clone()));
            self.state = LeafState::Registered { with: None, key };
            return;
        };
        if cell.is_task() && (std::ptr::eq(&cell.core, core) || !cell.core.lp.ptr_eq(&core.lp)) {
            cell.context.refused.set(Some(refusal(&cell, core)));
            self.state = LeafState::Refused(cell.context.step());
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
        self.state = LeafState::Registered { with: Some(cell), key };
    }

    /// Removes the registration: the leaf is done, or is dropped.
    #[inline]
    pub(crate) fn release(&mut self) {
        if !matches!(self.state, LeafState::Unregistered) {
            self.unregister();
        }
    }

    fn unregister(&mut self) {
        if let LeafState::Registered { with, key } = std::mem::take(&mut self.state) {
            if let Some(cell) = with {
                cell.context.remove_wait(key);
            }
            self.on.core().drop_waiter(key);
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
    fn take_thrown(&self) -> Option<Box<Error>> {
        let since = match self {
            // Nearly always nothing is thrown, and the current context need not be looked up.
            Self::Registered { with: Some(cell), .. } if !cell.context.throws() => return None,
            Self::Registered { with: Some(cell), key } => StepId { context: cell.context.id, number: *key },
            Self::Refused(step) => *step,
            Self::Unregistered | Self::Registered { with: None, .. } => return None,
        };
        look_at_current(|context, _| context.take_thrown(since)).flatten()
    }

    /// Whether it is registered already just as it is polled now.
    #[inline]
    fn is_polled_again(&self, cx: &Context<'_>) -> bool {
        let Self::Registered { with: Some(cell), key } = self else { return false };
        look_at_current(|context, waker| {
            std::ptr::eq(context, &cell.context) && waker == cx.waker().data() && context.renew_wait(*key)
        })
        .unwrap_or_default()
    }
}

/// Returns asyncio's error for a task that may not wait on `on`: it is itself, or is of another loop.
#[cold]
fn refusal(cell: &TaskCell, on: &FutureCore) -> Box<Error> {
    let name = cell.name();
    if std::ptr::eq(&cell.core, on) {
        return Box::new(Error::Runtime(format!("Task cannot await on itself: {name}").into()));
    }
    let [ours, theirs] = [&cell.core, on].map(|core| match core.event_loop() {
        Some(lp) => format!("loop {}", lp.0.id),
        None => "a loop that is gone".to_owned(),
    });
    let text = format!("Task {name} of {ours} got Future {on} of {theirs} attached to a different loop");
    Box::new(Error::Runtime(text.into()))
}
