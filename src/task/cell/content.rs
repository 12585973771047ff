//! What a task holds: first its body, then its outcome.

use crate::error::Result;
use crate::outcome::Outcome;
use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A body: any future whose output is an [`Outcome`] of the task's type.
pub(crate) trait Body<T> {
    fn poll_body(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>>;
}

impl<F> Body<<F::Output as Outcome>::Value> for F
where
    F: Future<Output: Outcome>,
{
    fn poll_body(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<<F::Output as Outcome>::Value>> {
        self.poll(cx).map(Outcome::into_result)
    }
}

pub(super) type BoxedBody<T> = Pin<Box<dyn Body<T>>>;

/// In one place, for it never holds both. It is empty during a step, which has the body, and when the outcome was taken.
pub(super) struct Content<T>(RefCell<Held<T>>);

enum Held<T> {
    Nothing,
    Body(BoxedBody<T>),
    Outcome(Result<T>),
}

impl<T> Content<T> {
    pub(super) fn empty() -> Self {
        Self(RefCell::new(Held::Nothing))
    }

    #[inline]
    pub(super) fn put_body(&self, body: BoxedBody<T>) {
        let before = self.0.replace(Held::Body(body));
        drop(before);
    }

    #[inline]
    pub(super) fn take_body(&self) -> Option<BoxedBody<T>> {
        match self.take(|held| matches!(held, Held::Body(_))) {
            Held::Body(body) => Some(body),
            _ => None,
        }
    }

    pub(super) fn has_body(&self) -> bool {
        matches!(*self.0.borrow(), Held::Body(_))
    }

    #[inline]
    pub(super) fn put_outcome(&self, outcome: Result<T>) {
        let before = self.0.replace(Held::Outcome(outcome));
        drop(before);
    }

    /// None if there is none, or while a reader's `clone`, which is user code, is under way on it.
    pub(super) fn take_outcome(&self) -> Option<Result<T>> {
        match self.take(|held| matches!(held, Held::Outcome(_))) {
            Held::Outcome(outcome) => Some(outcome),
            _ => None,
        }
    }

    #[inline]
    fn take(&self, wanted: fn(&Held<T>) -> bool) -> Held<T> {
        match self.0.try_borrow_mut() {
            Ok(mut held) if wanted(&held) => std::mem::replace(&mut *held, Held::Nothing),
            _ => Held::Nothing,
        }
    }

    /// Looks at the outcome, if there is one.
    #[inline]
    pub(super) fn outcome<R>(&self, look: impl FnOnce(&Result<T>) -> R) -> Option<R> {
        match &*self.0.borrow() {
            Held::Outcome(outcome) => Some(look(outcome)),
            _ => None,
        }
    }
}
