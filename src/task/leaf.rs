//! The leaves: what every future embeds that waits on an [`AnyFuture`].
//!
//! A leaf registers with what it waits on, and in the step context that it is polled in. It removes both when it is done
//! or dropped, wherever that happens, so it holds both.
//!
//! Alternative: to hold neither, and look for the context where the leaf is registered. Problem: a future that is done has
//! no registrations, and a leaf that is dropped outside of its task's step would leave its wait in the context.

use super::cell::TaskCell;
use super::context::StepId;
use super::future_core::{AnyFuture, FutureCore, FutureOf, Waiter};
use super::step::{current, look_at_current};
use crate::error::{Error, Result};
use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Waits until a future is done. Fails if an error is thrown here.
pub(crate) struct Leaf {
    on: Rc<dyn AnyFuture>,
    /// The task or coroutine in whose step it waits; `None` outside of a step.
    waits_in: Option<Rc<TaskCell>>,
    /// The key of its registration, or the number of the step in which it refused to wait; 0 before it is polled.
    key: u64,
}

impl Leaf {
    pub(crate) fn new(on: Rc<dyn AnyFuture>) -> Self {
        Self { on, waits_in: None, key: 0 }
    }

    /// Ready with `Ok` once the future is done, with `Err` if something is thrown here.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // Nearly always nothing is thrown.
        if let Some(cell) = &self.waits_in
            && cell.context.throws()
            && let Some(error) = self.take_thrown()
        {
            return Poll::Ready(Err(error));
        }
        if self.on.core().done() {
            // What is done has no waiters any more.
            if let Some(cell) = self.waits_in.take() {
                cell.context.remove_wait(self.key);
            }
            self.key = 0;
            return Poll::Ready(Ok(()));
        }
        if self.key == 0 || !self.is_polled_again(cx) {
            self.wait(cx);
        }
        Poll::Pending
    }

    /// Takes the error to be thrown here, if the leaf has waited since an earlier step of the current cell. If what it
    /// waits on was cancelled itself, the leaf keeps that cancellation, and the thrown one is dropped.
    #[cold]
    fn take_thrown(&mut self) -> Option<Error> {
        let cell = self.waits_in.as_ref()?;
        let since = StepId { context: cell.context.id, number: self.key };
        let error = *look_at_current(|current| current.context.take_thrown(since)).flatten()?;
        let core = self.on.core();
        if !refuses(cell, core) {
            if core.error().is_some_and(|own| own.is_cancelled()) {
                return None;
            }
            if core.done() {
                // asyncio has read the outcome by now, and throws the cancellation in its place. What was refused is not
                // read.
                core.mark_retrieved();
            }
        }
        self.release();
        Some(error)
    }

    /// Whether it is registered already just as it is polled now.
    #[inline]
    fn is_polled_again(&self, cx: &Context<'_>) -> bool {
        let Some(cell) = &self.waits_in else { return false };
        look_at_current(|current| Rc::ptr_eq(current, cell)).unwrap_or_default()
            && cell.context.is_own_waker(cx)
            && cell.context.renew_wait(self.key)
    }

    /// Registers with what is not done yet, or refuses to wait: then its error is thrown in the next step.
    fn wait(&mut self, cx: &Context<'_>) {
        self.release();
        let core = self.on.core();
        self.waits_in = current();
        let own_waker = self.waits_in.as_ref().is_some_and(|cell| cell.context.is_own_waker(cx));
        let waiter = match &self.waits_in {
            Some(cell) if refuses(cell, core) => {
                cell.context.refused.set(Some(refusal(cell, core)));
                self.key = cell.context.step().number;
                return;
            }
            Some(cell) if own_waker && cell.is_task() => Waiter::Step(cell.clone()),
            _ => Waiter::Waker(cx.waker().clone()),
        };
        self.key = core.add_waiter(waiter);
        if let Some(cell) = &self.waits_in {
            cell.context.add_wait(self.key, self.on.clone(), own_waker);
        }
    }

    /// Removes the registration: the leaf is done, or is dropped.
    #[inline]
    pub(crate) fn release(&mut self) {
        if self.key != 0 {
            self.unregister();
        }
    }

    fn unregister(&mut self) {
        if let Some(cell) = self.waits_in.take() {
            cell.context.remove_wait(self.key);
        }
        self.on.core().drop_waiter(self.key);
        self.key = 0;
    }
}

impl Drop for Leaf {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<await {}>", self.on.core())
    }
}

/// Awaits a [`Task`](crate::Task) or a [`Future`](crate::Future); made by awaiting one.
#[must_use = "futures do nothing unless awaited"]
pub struct Join<T: 'static> {
    leaf: Leaf,
    source: Option<Rc<dyn Any>>,
    read: fn(&dyn Any) -> Result<T>,
}

/// Awaits a [`TaskRef`](crate::TaskRef); made by awaiting one.
pub type JoinRef = Join<()>;

impl<T: 'static> Join<T> {
    pub(crate) fn new(future: FutureOf<T>) -> Self {
        Self { leaf: Leaf::new(future.future), source: future.source, read: future.read }
    }
}

impl<T: 'static> Future for Join<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        ready!(self.leaf.poll(cx))?;
        Poll::Ready(match &self.source {
            Some(source) => (self.read)(&**source),
            None => (self.read)(&*self.leaf.on),
        })
    }
}

impl<T: 'static> fmt::Debug for Join<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.leaf.fmt(f)
    }
}

/// Whether a task may not wait on a future: it is the task itself, or is of another loop.
#[inline]
fn refuses(cell: &TaskCell, on: &FutureCore) -> bool {
    cell.is_task() && (std::ptr::eq(&cell.core, on) || !cell.core.lp.ptr_eq(&on.lp))
}

/// Returns asyncio's error for a task that may not wait on `on`.
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
