//! Tasks that wait for one event: that a transport may be written to again, that it is closed, that a server is.
//!
//! All that wait when it happens go on in the next turn, in the order in which they came. A wait that is given up harms no
//! other one, and costs the same in a line of any length, but for a search in a tree. No borrow is held while they are woken.

use crate::error::Result;
use crate::event_loop::get_running_loop;
use crate::task::Future as Waiter;
use crate::trace::Place;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// By number; the next one is one more than the last that waits. (The waiters' own numbers count on one loop, and several
/// loops of a thread may wait here.)
#[derive(Default)]
pub(in crate::net) struct Line(RefCell<BTreeMap<u64, Waiter<()>>>);

impl Line {
    /// Waits until [`wake`](Self::wake), and returns its outcome.
    pub(in crate::net) async fn wait(&self, kind: &'static str, place: Place) -> Result<()> {
        let waiter = Waiter::of_kind(&get_running_loop()?, kind, place);
        let number = self.push(waiter.clone());
        let stands = Stands { line: self, number, waiter };
        (&stands.waiter).await
    }

    fn push(&self, waiter: Waiter<()>) -> u64 {
        let mut line = self.0.borrow_mut();
        let number = line.last_key_value().map_or(0, |(last, _)| last + 1);
        line.insert(number, waiter);
        number
    }

    /// Wakes all that wait now.
    pub(in crate::net) fn wake(&self, outcome: &Result<()>) {
        let waiters = self.0.take();
        for waiter in waiters.into_values().filter(|waiter| !waiter.done()) {
            let woken = match outcome {
                Ok(()) => waiter.set_result(()),
                Err(error) => waiter.set_error(error.clone()),
            };
            // On a closed loop no task could go on.
            drop(woken);
        }
    }

    /// Removes a waiter, unless it was woken. Its number may be another's by then.
    fn remove(&self, number: u64, waiter: &Waiter<()>) {
        let mut line = self.0.borrow_mut();
        let removed = if line.get(&number) == Some(waiter) { line.remove(&number) } else { None };
        drop(line);
        drop(removed);
    }
}

/// One waiter's place in the line.
struct Stands<'a> {
    line: &'a Line,
    number: u64,
    waiter: Waiter<()>,
}

impl Drop for Stands<'_> {
    fn drop(&mut self) {
        // A wait that is given up has no use for the error, which must not be reported as unread.
        let _ = self.waiter.error();
        self.line.remove(self.number, &self.waiter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, EventLoop, create_task, yield_now};
    use std::panic::Location;
    use std::rc::Rc;

    fn waits(line: &Rc<Line>) -> impl Future<Output = Result<()>> + use<> {
        let (line, place) = (line.clone(), Location::caller());
        async move { line.wait("test", place).await }
    }

    #[test]
    fn a_waiter_that_was_woken_leaves_those_that_came_after_in_line() -> Result<()> {
        EventLoop::new()?.run_until_complete(async {
            let line = Rc::new(Line::default());
            let first = create_task(waits(&line));
            yield_now().await?;
            line.wake(&Ok(()));
            let mut second = std::pin::pin!(waits(&line));
            assert!(futures::poll!(&mut second).is_pending(), "it has the number that the first had");
            first.await?;
            line.wake(&Err(Error::msg("lost")));
            assert_eq!(second.await.unwrap_err().to_string(), "lost");
            Ok(())
        })
    }

    #[test]
    fn waiters_may_give_up_in_any_order() -> Result<()> {
        EventLoop::new()?.run_until_complete(async {
            let line = Rc::new(Line::default());
            let tasks: Vec<_> = (0..5).map(|_| create_task(waits(&line))).collect();
            yield_now().await?;
            for place in [4, 0, 2] {
                tasks[place].cancel();
            }
            yield_now().await?;
            yield_now().await?;
            assert_eq!(line.0.borrow().len(), 2);
            line.wake(&Ok(()));
            let mut ended = Vec::new();
            for task in tasks {
                ended.push(task.await.is_ok());
            }
            assert_eq!(ended, [false, true, false, true, false]);
            Ok(())
        })
    }
}
