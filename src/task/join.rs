//! Leaf: the futures that wait on a task or a future.

use super::TaskRef;
use super::future_core::{AnyFuture, FutureOf};
use super::leaf::Leaf;
use crate::error::Result;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Awaits a [`Task`](crate::Task) or a [`Future`](crate::Future); made by awaiting one.
#[must_use = "futures do nothing unless awaited"]
pub struct Join<T: 'static>(Leaf<dyn FutureOf<T>>);

impl<T: 'static> Join<T> {
    pub(crate) fn new(source: Rc<dyn FutureOf<T>>) -> Self {
        Self(Leaf::new(source))
    }
}

impl<T: 'static> Future for Join<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        ready!(self.0.poll(cx))?;
        Poll::Ready(self.0.on().outcome())
    }
}

impl<T: 'static> fmt::Debug for Join<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<await {} {}>", self.0.on().core().kind(), self.0.on().core().id())
    }
}

/// Awaits a [`TaskRef`]; made by awaiting one.
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct JoinRef {
    task: TaskRef,
    done: Done,
}

impl JoinRef {
    pub(crate) fn new(task: TaskRef) -> Self {
        Self { done: done(task.as_any_future()), task }
    }
}

impl Future for JoinRef {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(Pin::new(&mut self.done).poll(cx))?;
        Poll::Ready(outcome_of(&self.task))
    }
}

/// The outcome of a task that is done, without its value.
pub(crate) fn outcome_of(task: &TaskRef) -> Result<()> {
    task.error()?.map_or(Ok(()), Err)
}

/// Awaits that something is done, whatever came of it.
pub(crate) struct Done(Leaf<dyn AnyFuture>);

pub(crate) fn done(on: Rc<dyn AnyFuture>) -> Done {
    Done(Leaf::new(on))
}

impl Future for Done {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll(cx)
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<await {} {}>", self.0.on().core().kind(), self.0.on().core().id())
    }
}
