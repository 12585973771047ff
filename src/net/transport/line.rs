//! Those who wait for one thing: that a transport may be written to again, that it is closed, that a server is.
//!
//! It promises that all who wait when it happens go on in the next turn, in the order in which they came; that giving up
//! harms nobody else; and that no borrow is held while they are woken.

use crate::error::Result;
use crate::event_loop::get_running_loop;
use crate::task::Future as Waiter;
use crate::trace::Place;
use std::cell::RefCell;

#[derive(Default)]
pub(in crate::net) struct Line(RefCell<Vec<Waiter<()>>>);

impl Line {
    /// Waits until [`wake`](Self::wake), and gives what that was told.
    pub(in crate::net) async fn wait(&self, kind: &'static str, place: Place) -> Result<()> {
        let waiter = Waiter::of_kind(&get_running_loop()?, kind, place);
        self.0.borrow_mut().push(waiter.clone());
        let stands = Stands(self, waiter);
        (&stands.1).await
    }

    /// Wakes all who wait now.
    pub(in crate::net) fn wake(&self, outcome: &Result<()>) {
        let waiters = self.0.borrow().clone();
        for waiter in waiters.iter().filter(|waiter| !waiter.done()) {
            let told = match outcome {
                Ok(()) => waiter.set_result(()),
                Err(error) => waiter.set_error(error.clone()),
            };
            // A closed loop has nobody who could go on.
            drop(told);
        }
    }
}

/// One waiter's place in the line.
struct Stands<'a>(&'a Line, Waiter<()>);

impl Drop for Stands<'_> {
    fn drop(&mut self) {
        // Who gives up has no use for the error, and nobody else is to hear of it.
        let _ = self.1.error();
        self.0.0.borrow_mut().retain(|waiter| *waiter != self.1);
    }
}
