//! What a task holds: first its body, then its outcome.

use crate::error::Result;
use crate::outcome::Outcome;
use crate::panics::drop_quietly;
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

/// In one place, for it never holds both. During a step, which has the body, it is empty, and so it is when the outcome was
/// taken.
pub(super) struct Content<T: 'static>(RefCell<Held<T>>);

enum Held<T: 'static> {
    Body(Option<BoxedBody<T>>),
    Outcome(Result<T>),
}

impl<T> Content<T> {
    pub(super) fn empty() -> Self {
        Self(RefCell::new(Held::Body(None)))
    }

    #[inline]
    pub(super) fn put_body(&self, body: BoxedBody<T>) {
        if let Held::Body(place) = &mut *self.0.borrow_mut() {
            // It is empty, so nothing of the user's is dropped under the borrow.
            *place = Some(body);
        }
    }

    /// None if there is none, or while a reader's `clone`, which is user code, is under way on the outcome.
    #[inline]
    pub(super) fn take_body(&self) -> Option<BoxedBody<T>> {
        match &mut *self.0.try_borrow_mut().ok()? {
            Held::Body(body) => body.take(),
            Held::Outcome(_) => None,
        }
    }

    pub(super) fn has_body(&self) -> bool {
        matches!(*self.0.borrow(), Held::Body(Some(_)))
    }

    #[inline]
    pub(super) fn put_outcome(&self, outcome: Result<T>) {
        let before = self.0.replace(Held::Outcome(outcome));
        drop(before);
    }

    /// None if there is none, or while a reader's `clone` is under way on it.
    pub(super) fn take_outcome(&self) -> Option<Result<T>> {
        let mut held = self.0.try_borrow_mut().ok()?;
        match std::mem::replace(&mut *held, Held::Body(None)) {
            Held::Outcome(outcome) => Some(outcome),
            body => {
                *held = body;
                None
            }
        }
    }

    /// Drops what there is.
    #[inline]
    pub(super) fn discard(&mut self) {
        match std::mem::replace(self.0.get_mut(), Held::Body(None)) {
            Held::Body(None) => {}
            Held::Body(Some(body)) => drop_quietly(body),
            Held::Outcome(Ok(value)) => drop_quietly(value),
            Held::Outcome(Err(error)) => drop_quietly(error),
        }
    }

    /// Looks at the outcome, if there is one.
    #[inline]
    pub(super) fn outcome<R>(&self, look: impl FnOnce(&Result<T>) -> R) -> Option<R> {
        match &*self.0.borrow() {
            Held::Outcome(outcome) => Some(look(outcome)),
            Held::Body(_) => None,
        }
    }
}
