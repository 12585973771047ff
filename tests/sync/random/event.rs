//! A set wakes all tasks that wait, in the next turn and in order.

use super::crew::{Crew, Part, grows, parts};
use crate::stage::turns;
use looplab::sleep;
use looplab::sync::Event;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

proptest! {
    #[test]
    fn under_random_cancellations_every_set_wakes_all_waiters_in_the_next_turn_and_in_order(parts in parts()) {
        let event = Event::new();
        // The turn of each set, and what is due to the tasks that waited then.
        let sets = Rc::new(RefCell::new(Vec::new()));
        let (woken, waiting) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
        let (the_event, the_woken, the_waiting) = (event.clone(), woken.clone(), waiting.clone());
        let member = move |crew: Crew, me: usize, part: Part| {
            let (event, sets) = (event.clone(), sets.clone());
            let (woken, waiting) = (woken.clone(), waiting.clone());
            async move {
                let turn = || looplab::get_running_loop().map(|lp| lp.turns());
                for _ in 0..part.rounds {
                    crew.go(&part.before).await?;
                    if part.role == 0 {
                        if !event.is_set() {
                            sets.borrow_mut().push(turn()?);
                        }
                        event.set();
                    }
                    crew.go(&part.inside).await?;
                    if part.role <= 1 {
                        event.clear();
                    } else if !event.is_set() {
                        let (ticket, before) = (crew.ticket(), sets.borrow().len());
                        waiting.set(waiting.get() + 1);
                        let waited = crew.waits(me, &part, event.wait()).await;
                        waiting.set(waiting.get() - 1);
                        if waited?.is_some() && let Some(set) = sets.borrow().get(before) {
                            assert_eq!(turn()?, set + 1, "the turn after the first set since it waits");
                            woken.borrow_mut().push((before, ticket));
                        }
                    }
                    crew.go(&part.after).await?;
                }
                Ok(())
            }
        };
        Crew::works(parts, member, move |crew| async move {
            // Longer than all naps together: what is not over by then waits for the last set.
            sleep(Duration::from_secs(1)).await?;
            let left = the_waiting.get();
            the_event.set();
            turns(1).await?;
            assert_eq!(the_waiting.get(), 0, "{left} waited");
            crew.done().await?;
            let woken = the_woken.borrow();
            for set in 0..=woken.iter().map(|(set, _)| *set).max().unwrap_or(0) {
                let tickets: Vec<u64> = woken.iter().filter(|(of, _)| *of == set).map(|(_, ticket)| *ticket).collect();
                assert!(grows(&tickets), "{tickets:?}");
            }
            Ok(())
        });
    }
}
