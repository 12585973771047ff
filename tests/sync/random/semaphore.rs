//! No permit is lost or made up, and it goes to the task that asked first.

use super::crew::{Crew, Part, grows, parts};
use looplab::sleep;
use looplab::sync::{BoundedSemaphore, Semaphore};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

proptest! {
    #[test]
    fn under_random_cancellations_no_permit_is_lost_and_the_order_is_that_of_asking(
        parts in parts(),
        permits in 1..4_usize,
    ) {
        let (semaphore, inside) = (BoundedSemaphore::new(permits), Rc::new(Cell::new(0)));
        let served = Rc::new(RefCell::new(Vec::new()));
        let (the_semaphore, the_served) = (semaphore.clone(), served.clone());
        let member = move |crew: Crew, me: usize, part: Part| {
            let (semaphore, inside, served) = (semaphore.clone(), inside.clone(), served.clone());
            async move {
                for _ in 0..part.rounds {
                    crew.go(&part.before).await?;
                    let ticket = crew.ticket();
                    if crew.waits(me, &part, semaphore.acquire()).await?.is_none() {
                        continue;
                    }
                    served.borrow_mut().push(ticket);
                    inside.set(inside.get() + 1);
                    assert!(inside.get() <= permits, "{} of {permits}", inside.get());
                    let stayed = crew.go(&part.inside).await;
                    inside.set(inside.get() - 1);
                    semaphore.release()?;
                    stayed?;
                    crew.go(&part.after).await?;
                }
                Ok(())
            }
        };
        Crew::works(parts, member, move |crew| async move {
            crew.done().await?;
            assert!(grows(&the_served.borrow()), "{:?}", the_served.borrow());
            assert_eq!(format!("{the_semaphore:?}"), format!("<BoundedSemaphore [unlocked, value:{permits}]>"));
            Ok(())
        });
    }

    #[test]
    fn under_random_cancellations_permits_from_outside_reach_the_waiters(parts in parts()) {
        let semaphore = Semaphore::new(0);
        let (given, taken, waiting) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let ours = (semaphore.clone(), given.clone(), taken.clone(), waiting.clone());
        let member = move |crew: Crew, me: usize, part: Part| {
            let semaphore = semaphore.clone();
            let (given, taken, waiting) = (given.clone(), taken.clone(), waiting.clone());
            async move {
                for _ in 0..part.rounds {
                    crew.go(&part.before).await?;
                    if part.role < 2 {
                        for _ in 0..=part.role {
                            given.set(given.get() + 1);
                            semaphore.release();
                        }
                        crew.go(&part.inside).await?;
                    } else {
                        waiting.set(waiting.get() + 1);
                        let got = crew.waits(me, &part, semaphore.acquire()).await;
                        waiting.set(waiting.get() - 1);
                        if got?.is_some() {
                            taken.set(taken.get() + 1);
                        }
                    }
                    crew.go(&part.after).await?;
                }
                Ok(())
            }
        };
        Crew::works(parts, member, move |crew| async move {
            let (semaphore, given, taken, waiting) = ours;
            sleep(Duration::from_secs(1)).await?;
            let left = given.get() - taken.get();
            match (left, waiting.get()) {
                (0, 0) => assert_eq!(format!("{semaphore:?}"), "<Semaphore [locked]>"),
                (0, n) => assert_eq!(format!("{semaphore:?}"), format!("<Semaphore [locked, waiters:{n}]>")),
                (_, n) => {
                    assert_eq!(n, 0, "{left} permits are there");
                    assert_eq!(format!("{semaphore:?}"), format!("<Semaphore [unlocked, value:{left}]>"));
                }
            }
            for _ in 0..100 {
                semaphore.release();
            }
            crew.done().await
        });
    }
}
