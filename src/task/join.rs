//! Awaiting: the future that waits on a task or a future, and reads its outcome.

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
