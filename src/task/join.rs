//! Awaiting: the futures that wait on a task or a future, and read its outcome.

use super::cell::TaskCell;
use super::future_core::FutureOf;
use super::leaf::Leaf;
use crate::error::Result;
use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Awaits a [`Task`](crate::Task) or a [`Future`](crate::Future); made by awaiting one.
#[must_use = "futures do nothing unless awaited"]
pub struct Join<T: 'static> {
    leaf: Leaf,
    source: Rc<dyn Any>,
    read: fn(&dyn Any) -> Result<T>,
}

impl<T: 'static> Join<T> {
    pub(crate) fn new(future: FutureOf<T>) -> Self {
        Self { leaf: Leaf::new(future.future), source: future.source, read: future.read }
    }
}

impl<T: 'static> Future for Join<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        ready!(self.leaf.poll(cx))?;
        Poll::Ready((self.read)(&*self.source))
    }
}

impl<T: 'static> fmt::Debug for Join<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.leaf.fmt(f)
    }
}

/// Awaits a [`TaskRef`](crate::TaskRef); made by awaiting one.
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct JoinRef {
    task: Rc<TaskCell>,
    done: Leaf,
}

impl JoinRef {
    pub(super) fn new(task: Rc<TaskCell>) -> Self {
        Self { done: Leaf::new(task.clone()), task }
    }
}

impl Future for JoinRef {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.done.poll(cx))?;
        Poll::Ready(self.task.exception()?.map_or(Ok(()), Err))
    }
}
