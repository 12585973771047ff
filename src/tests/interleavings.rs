//! Runs a model of several threads in every order of their steps.
//!
//! A model is a function that makes one step after the other and asks for each which thread makes it. It is run again and
//! again, with another answer each time, until all answers were given. A state that was reached before is not left again.

use std::collections::HashSet;

#[derive(Default)]
pub(crate) struct Choices {
    /// The answers of this run, each with the number of possible ones.
    made: Vec<(usize, usize)>,
    next: usize,
    seen: HashSet<String>,
}

/// Calls `run` for all orders. Returns how many different states there were.
pub(crate) fn explore(mut run: impl FnMut(&mut Choices)) -> usize {
    let mut choices = Choices::default();
    loop {
        choices.next = 0;
        run(&mut choices);
        loop {
            match choices.made.pop() {
                None => return choices.seen.len(),
                Some((choice, options)) if choice + 1 < options => {
                    choices.made.push((choice + 1, options));
                    break;
                }
                Some(_) => {}
            }
        }
    }
}

impl Choices {
    /// Chooses one of several steps. `state` must tell all that the steps to come depend on. Returns `None` if it was
    /// reached before: then the rest of the run is known.
    pub(crate) fn choose<S>(&mut self, state: String, steps: Vec<S>) -> Option<S> {
        assert!(!steps.is_empty());
        if self.next == self.made.len() {
            if !self.seen.insert(state) {
                return None;
            }
            self.made.push((0, steps.len()));
        }
        let (choice, options) = self.made[self.next];
        assert_eq!(options, steps.len(), "the same choices lead to the same state");
        self.next += 1;
        steps.into_iter().nth(choice)
    }
}
