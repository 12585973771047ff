//! Cancelling: forwarding a request down to what is waited on.
//!
//! It promises CPython's rules, for chains of any length: a plain future is cancelled at once; a task hands the request
//! to what it waits on and remembers it only if nothing there accepts; a gathering hands it to its children. In CPython
//! that is a recursion, which dies on a chain of 20,000 tasks; here it is a walk with a stack of its own, in the same
//! order. A chain that comes back to itself (two tasks that await each other) is noticed by a mark, and the task that
//! closes the circle gets the cancellation itself.

use super::future_core::{AnyFuture, Begin, CancelMessage};
use std::rc::Rc;

struct Frame {
    of: Rc<dyn AnyFuture>,
    to: std::vec::IntoIter<Rc<dyn AnyFuture>>,
    accepted: bool,
}

/// Requests cancellation of `root`; whether it was accepted.
pub(crate) fn cancel(root: Rc<dyn AnyFuture>, message: &CancelMessage) -> bool {
    walk(Vec::new(), Some(root), message)
}

/// Hands a request that `of` has accepted already on to what it waits on now.
pub(crate) fn forward(of: Rc<dyn AnyFuture>, to: Vec<Rc<dyn AnyFuture>>, message: &CancelMessage) {
    walk(vec![Frame { of, to: to.into_iter(), accepted: false }], None, message);
}

fn walk(mut frames: Vec<Frame>, mut next: Option<Rc<dyn AnyFuture>>, message: &CancelMessage) -> bool {
    loop {
        let answer = match next.take() {
            Some(object) => match object.clone().begin_cancel(message) {
                Begin::Decided(accepted) => accepted,
                Begin::Circle => {
                    // The last task on the way is the one to be queued; a gathering behind it cannot be.
                    let _ = frames.iter().rev().any(|frame| frame.of.clone().break_circle());
                    false
                }
                Begin::Forward(to) => {
                    frames.push(Frame { of: object, to: to.into_iter(), accepted: false });
                    false
                }
            },
            None => false,
        };
        let Some(frame) = frames.last_mut() else { return answer };
        frame.accepted |= answer;
        next = frame.to.next();
        while next.is_none() {
            let Some(Frame { of, accepted, .. }) = frames.pop() else { return false };
            let answer = of.end_cancel(accepted, message);
            match frames.last_mut() {
                None => return answer,
                Some(frame) => {
                    frame.accepted |= answer;
                    next = frame.to.next();
                }
            }
        }
    }
}
