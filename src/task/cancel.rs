//! Cancelling: forwarding a request down to what is waited on.
//!
//! It guarantees CPython's rules for chains of any length. A plain future is cancelled at once. A task forwards the
//! request to what it waits on, and remembers it only if nothing there accepts. A gathering forwards it to its children.
//!
//! In CPython that is a recursion, which dies on a chain of 20,000 tasks. Here it is a walk with a stack of its own, in
//! the same order. Two tasks that await each other are noticed by a mark: the task that closes the circle is queued.

use super::future_core::{AnyFuture, Begin, CancelMessage};
use crate::trace::Done;
use std::rc::Rc;

struct Frame {
    future: Rc<dyn AnyFuture>,
    forward_to: std::vec::IntoIter<Rc<dyn AnyFuture>>,
    accepted: bool,
}

/// Requests cancellation of `root`, and returns whether it was accepted.
pub(crate) fn cancel(root: Rc<dyn AnyFuture>, message: &CancelMessage) -> bool {
    let mut frames = Vec::new();
    let answer = begin(&mut frames, root, message);
    walk(frames, answer, message)
}

/// Forwards a request that `future` has accepted already.
pub(super) fn forward(
    future: Rc<dyn AnyFuture>,
    forward_to: Vec<Rc<dyn AnyFuture>>,
    message: &CancelMessage,
) {
    walk(vec![Frame { future, forward_to: forward_to.into_iter(), accepted: false }], false, message);
}

/// Asks what the last frame forwards to, one after the other, until no frame is left. `answer` is the last one's answer.
fn walk(mut frames: Vec<Frame>, mut answer: bool, message: &CancelMessage) -> bool {
    while let Some(mut frame) = frames.pop() {
        frame.accepted |= answer;
        answer = match frame.forward_to.next() {
            Some(next) => {
                frames.push(frame);
                begin(&mut frames, next, message)
            }
            None => frame.future.end_cancel(frame.accepted, message),
        };
    }
    answer
}

/// Begins with one future; false if it has not accepted so far.
fn begin(frames: &mut Vec<Frame>, future: Rc<dyn AnyFuture>, message: &CancelMessage) -> bool {
    match future.begin_cancel(message) {
        Begin::Complete => complete(&future, message),
        Begin::Decided(accepted) => accepted,
        Begin::Circle => {
            // The last task on the way is the one to be queued; a gathering after it cannot be.
            let _ = frames.iter().rev().any(|frame| frame.future.clone().break_circle());
            false
        }
        Begin::Forward(to) => {
            frames.push(Frame { future, forward_to: to.into_iter(), accepted: false });
            false
        }
    }
}

fn complete(future: &Rc<dyn AnyFuture>, message: &CancelMessage) -> bool {
    let core = future.core();
    // Asking counts as reading, as in asyncio: a failed future that was to be cancelled is not reported.
    core.mark_retrieved();
    if core.done() {
        return false;
    }
    core.set_message(message.clone());
    if let Err(closed) = core.complete(Done::Cancelled, || future.clone()) {
        log_error!("future {} is cancelled, but its waiters are not woken: {closed}", core.id);
    }
    true
}
