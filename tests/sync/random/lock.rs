//! No hand-over of a lock is lost, and it goes to the task that asked first.

use super::crew::{Crew, Part, grows, parts};
use looplab::sync::Lock;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

proptest! {
    #[test]
    fn under_random_cancellations_no_hand_over_is_lost_and_the_order_is_that_of_asking(parts in parts()) {
        let (lock, inside) = (Lock::new(), Rc::new(Cell::new(false)));
        let served = Rc::new(RefCell::new(Vec::new()));
        let (the_lock, the_served) = (lock.clone(), served.clone());
        let member = move |crew: Crew, me: usize, part: Part| {
            let (lock, inside, served) = (lock.clone(), inside.clone(), served.clone());
            async move {
                for _ in 0..part.rounds {
                    crew.go(&part.before).await?;
                    let ticket = crew.ticket();
                    let Some(guard) = crew.waits(me, &part, lock.lock()).await? else { continue };
                    served.borrow_mut().push(ticket);
                    assert!(!inside.replace(true), "two hold the lock");
                    let stayed = crew.go(&part.inside).await;
                    inside.set(false);
                    drop(guard);
                    stayed?;
                    crew.go(&part.after).await?;
                }
                Ok(())
            }
        };
        Crew::works(parts, member, move |crew| async move {
            crew.done().await?;
            assert!(grows(&the_served.borrow()), "{:?}", the_served.borrow());
            assert_eq!(format!("{the_lock:?}"), "<Lock [unlocked]>");
            Ok(())
        });
    }
}
