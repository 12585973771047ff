//! No notification is lost, and a wait ends with the lock held.

use super::crew::{Crew, Part, grows, parts};
use looplab::sleep;
use looplab::sync::Condition;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

proptest! {
    #[test]
    fn under_random_cancellations_no_notification_is_lost(parts in parts()) {
        let (condition, tokens) = (Condition::new(), Rc::new(Cell::new(0)));
        let (made, taken, waiting) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let ours = (condition.clone(), tokens.clone(), made.clone(), taken.clone(), waiting.clone());
        let member = move |crew: Crew, me: usize, part: Part| {
            let (condition, tokens) = (condition.clone(), tokens.clone());
            let (made, taken, waiting) = (made.clone(), taken.clone(), waiting.clone());
            async move {
                for _ in 0..part.rounds {
                    crew.go(&part.before).await?;
                    let Some(guard) = crew.waits(me, &part, condition.lock()).await? else { continue };
                    if part.role < 2 {
                        made.set(made.get() + 1);
                        tokens.set(tokens.get() + 1);
                        condition.notify(1)?;
                        crew.go(&part.inside).await?;
                    } else {
                        waiting.set(waiting.get() + 1);
                        let got = crew.waits(me, &part, condition.wait_for(|| tokens.get() > 0)).await;
                        waiting.set(waiting.get() - 1);
                        if got?.is_some() {
                            assert!(condition.locked());
                            tokens.set(tokens.get() - 1);
                            taken.set(taken.get() + 1);
                        }
                    }
                    drop(guard);
                    crew.go(&part.after).await?;
                }
                Ok(())
            }
        };
        Crew::works(parts, member, move |crew| async move {
            let (condition, tokens, made, taken, waiting) = ours;
            sleep(Duration::from_secs(1)).await?;
            assert!(tokens.get() == 0 || waiting.get() == 0, "{tokens:?} there and {waiting:?} wait");
            assert_eq!(made.get(), taken.get() + tokens.get());
            assert!(!condition.locked());
            tokens.set(tokens.get() + 1000);
            {
                let _guard = condition.lock().await?;
                condition.notify_all()?;
            }
            crew.done().await?;
            assert_eq!(format!("{condition:?}"), "<Condition [unlocked]>");
            Ok(())
        });
    }

    #[test]
    fn under_random_cancellations_the_first_waiter_is_notified_first_and_has_the_lock(parts in parts()) {
        let (condition, inside) = (Condition::new(), Rc::new(Cell::new(false)));
        let served = Rc::new(RefCell::new(Vec::new()));
        let (the_condition, the_served) = (condition.clone(), served.clone());
        let member = move |crew: Crew, _: usize, part: Part| {
            let (condition, inside, served) = (condition.clone(), inside.clone(), served.clone());
            async move {
                for _ in 0..part.rounds {
                    crew.go(&part.before).await?;
                    let guard = condition.lock().await?;
                    assert!(!inside.replace(true), "two hold the lock");
                    if part.role < 2 {
                        condition.notify(part.role + 1)?;
                    } else {
                        inside.set(false);
                        let ticket = crew.ticket();
                        let waited = condition.wait().await;
                        assert!(condition.locked() && !inside.get(), "two hold the lock");
                        if waited.is_ok() {
                            served.borrow_mut().push(ticket);
                        } else if !part.stubborn {
                            return waited;
                        }
                        inside.set(true);
                    }
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
            // As often as there are waits: some come to wait only after others were notified.
            for _ in 0..50 {
                sleep(Duration::from_millis(10)).await?;
                let _guard = the_condition.lock().await?;
                the_condition.notify_all()?;
            }
            crew.done().await?;
            assert!(grows(&the_served.borrow()), "{:?}", the_served.borrow());
            assert_eq!(format!("{the_condition:?}"), "<Condition [unlocked]>");
            Ok(())
        });
    }
}
