//! `sync::Condition`: a notification reaches a waiter, and a wait ends with the lock held.

use crate::stage::{
    all_done, is_bound_to_its_first_loop, new_loop, plays, poll_once, runs, say, turns, waits_for,
};
use looplab::sync::{Condition, Lock};
use looplab::{Error, Task, create_task};
use std::cell::Cell;
use std::rc::Rc;

/// Takes the lock and waits.
fn waiter(condition: &Condition, name: &'static str) -> Task<()> {
    let condition = condition.clone();
    create_task(async move {
        let _guard = condition.lock().await?;
        say(format!("{name} waits"));
        let waited = condition.wait().await;
        match &waited {
            Ok(()) => say(format!("{name} notified, locked {}", condition.locked())),
            Err(error) => say(format!("{name} cancelled {error}, locked {}", condition.locked())),
        }
        waited
    })
}

#[test]
fn wait_releases_the_lock_waits_and_takes_the_lock_again() {
    let program = async {
        let condition = Condition::new();
        let a = waiter(&condition, "a");
        turns(1).await?;
        say(format!("locked {}", condition.locked()));
        condition.acquire().await?;
        condition.notify(1)?;
        say("notified, keeps the lock");
        turns(2).await?;
        condition.release()?;
        say("released");
        a.await?;
        say(format!("locked {}", condition.locked()));
        Ok(())
    };
    plays(
        program,
        &[
            "2 a waits",
            "2 locked false",
            "2 notified, keeps the lock",
            "4 released",
            "5 a notified, locked true",
            "6 locked false",
        ],
    );
}

#[test]
fn notify_wakes_the_first_n_and_notify_all_wakes_all_in_order() {
    let program = async {
        let condition = Condition::new();
        let tasks = ["a", "b", "c"].map(|name| waiter(&condition, name));
        turns(1).await?;
        {
            let _guard = condition.lock().await?;
            condition.notify(2)?;
            say("notify 2");
        }
        turns(3).await?;
        {
            let _guard = condition.lock().await?;
            condition.notify_all()?;
            say("notify all");
        }
        all_done(tasks.into()).await
    };
    plays(
        program,
        &[
            "2 a waits",
            "2 b waits",
            "2 c waits",
            "2 notify 2",
            "3 a notified, locked true",
            "3 b notified, locked true",
            "5 notify all",
            "6 c notified, locked true",
        ],
    );
}

#[test]
fn wait_swallows_cancels_until_it_has_the_lock_and_raises_the_last_one() {
    let program = async {
        let condition = Condition::new();
        let a = waiter(&condition, "a");
        turns(1).await?;
        condition.acquire().await?;
        for message in ["one", "two", "three"] {
            a.cancel_msg(message);
            say(message);
            turns(2).await?;
        }
        say(format!("done {}", a.done()));
        condition.release()?;
        say("released");
        all_done(vec![a.clone()]).await?;
        say(format!("cancelled {} {}", a.cancelled(), a.cancelling()));
        Ok(())
    };
    plays(
        program,
        &[
            "2 a waits",
            "2 one",
            "4 two",
            "6 three",
            "8 done false",
            "8 released",
            "9 a cancelled three, locked true",
            "11 cancelled true 3",
        ],
    );
}

#[test]
fn a_waiter_that_is_notified_and_then_cancelled_passes_the_notification_on() {
    let program = async {
        let condition = Condition::new();
        let (a, b) = (waiter(&condition, "a"), waiter(&condition, "b"));
        turns(1).await?;
        {
            let _guard = condition.lock().await?;
            condition.notify(1)?;
            a.cancel_msg("x");
            say("a notified and cancelled");
        }
        turns(6).await?;
        say(format!("b done {}", b.done()));
        Ok(())
    };
    plays(
        program,
        &[
            "2 a waits",
            "2 b waits",
            "2 a notified and cancelled",
            "3 a cancelled x, locked true",
            "4 b notified, locked true",
            "8 b done true",
        ],
    );
}

#[test]
fn a_waiter_that_is_cancelled_while_it_takes_the_lock_again_passes_the_notification_on() {
    let program = async {
        let condition = Condition::new();
        let (a, b) = (waiter(&condition, "a"), waiter(&condition, "b"));
        turns(1).await?;
        condition.acquire().await?;
        condition.notify(1)?;
        turns(2).await?;
        a.cancel_msg("x");
        say("a notified, then cancelled");
        turns(1).await?;
        condition.release()?;
        say("released");
        turns(6).await?;
        say(format!("b done {}", b.done()));
        Ok(())
    };
    plays(
        program,
        &[
            "2 a waits",
            "2 b waits",
            "4 a notified, then cancelled",
            "5 released",
            "6 a cancelled x, locked true",
            "7 b notified, locked true",
            "11 b done true",
        ],
    );
}

#[test]
fn spurious_wake_ups_are_allowed() {
    let program = async {
        let condition = Condition::new();
        let (a, b) = (waiter(&condition, "a"), waiter(&condition, "b"));
        turns(1).await?;
        a.cancel_msg("x");
        say("a cancelled");
        turns(6).await?;
        say(format!("b done {}", b.done()));
        Ok(())
    };
    plays(
        program,
        &[
            "2 a waits",
            "2 b waits",
            "2 a cancelled",
            "3 a cancelled x, locked true",
            "4 b notified, locked true",
            "8 b done true",
        ],
    );
}

#[test]
fn waiting_and_notifying_need_the_lock() {
    runs(async {
        let condition = Condition::new();
        let errors = [
            condition.notify(1).unwrap_err(),
            condition.notify_all().unwrap_err(),
            condition.wait().await.unwrap_err(),
            condition.release().unwrap_err(),
        ];
        assert!(errors.iter().all(|error| matches!(error, Error::Runtime(_))));
        assert_eq!(
            errors.map(|error| error.to_string()),
            [
                "cannot notify on un-acquired lock",
                "cannot notify on un-acquired lock",
                "cannot wait on un-acquired lock",
                "Lock is not acquired."
            ]
        );
        Ok(())
    });
}

#[test]
fn wait_for_waits_until_its_predicate_is_true_and_not_at_all_if_it_is() {
    let program = async {
        let (condition, n) = (Condition::new(), Rc::new(Cell::new(0)));
        let (theirs, count) = (condition.clone(), n.clone());
        let a = create_task(async move {
            let _guard = theirs.lock().await?;
            theirs.wait_for(|| count.get() >= 2).await?;
            say("enough");
            Ok(())
        });
        turns(1).await?;
        for _ in 0..3 {
            {
                let _guard = condition.lock().await?;
                n.set(n.get() + 1);
                condition.notify(1)?;
                say(n.get());
            }
            turns(2).await?;
        }
        a.await?;
        say("asks");
        condition.wait_for(|| true).await?;
        say("true at once");
        Ok(())
    };
    plays(program, &["2 1", "4 2", "5 enough", "6 3", "8 asks", "8 true at once"]);
}

#[test]
fn conditions_may_share_a_lock() {
    let program = async {
        let lock = Lock::new();
        let (x, y) = (Condition::with_lock(&lock), Condition::with_lock(&lock));
        let (_a, b) = (waiter(&x, "x"), waiter(&y, "y"));
        turns(1).await?;
        {
            let _guard = y.lock().await?;
            x.notify(1)?;
            say("notified x under the lock of y");
        }
        turns(3).await?;
        say(format!("y done {}", b.done()));
        Ok(())
    };
    plays(
        program,
        &[
            "2 x waits",
            "2 y waits",
            "2 notified x under the lock of y",
            "3 x notified, locked true",
            "5 y done false",
        ],
    );
}

#[test]
fn a_condition_is_bound_to_the_loop_of_its_first_blocking_use() {
    let condition = Condition::new();
    new_loop().run_until_complete(condition.acquire()).unwrap();
    condition.release().unwrap();
    is_bound_to_its_first_loop("<Condition [locked, waiters:1]>", move || {
        let condition = condition.clone();
        async move {
            condition.acquire().await?;
            condition.wait().await
        }
    });
}

#[test]
fn a_wait_that_is_refused_leaves_the_lock_held() {
    let _dog = support::watchdog();
    let (first, second, condition) = (new_loop(), new_loop(), Condition::new());
    let theirs = condition.clone();
    let task = async move {
        let _guard = theirs.lock().await?;
        theirs.wait().await
    };
    let waiting = first.create_task(task);
    first.run_once().unwrap();
    let theirs = condition.clone();
    let refused = async move {
        theirs.acquire().await?;
        let refused = theirs.wait().await;
        assert!(theirs.locked());
        refused
    };
    assert!(matches!(second.run_until_complete(refused), Err(Error::Runtime(_))));
    assert!(!waiting.done());
}

#[test]
fn the_guard_of_a_lock_is_good_again_after_a_wait() {
    runs(async {
        let condition = Condition::new();
        let a = waiter(&condition, "a");
        turns(1).await?;
        {
            let _guard = condition.lock().await?;
            condition.notify(1)?;
        }
        a.await?;
        assert!(!condition.locked(), "the waiter's guard released what the wait took again");
        Ok(())
    });
}

#[test]
fn a_wait_that_is_dropped_passes_the_notification_on_and_its_guard_releases_nothing() {
    let program = async {
        let condition = Condition::new();
        let mine = condition.clone();
        let quitter = create_task(async move {
            let guard = mine.lock().await?;
            let mut wait = Box::pin(mine.wait());
            assert!(futures::poll!(&mut wait).is_pending());
            turns(1).await?;
            say(format!("gives up: {mine:?}"));
            drop(wait);
            drop(guard);
            Ok(())
        });
        let b = waiter(&condition, "b");
        turns(1).await?;
        condition.acquire().await?;
        condition.notify(1)?;
        turns(2).await?;
        say(format!("still locked {}", condition.locked()));
        condition.release()?;
        all_done(vec![quitter, b]).await
    };
    plays(
        program,
        &[
            "2 b waits",
            "3 gives up: <Condition [locked, waiters:2]>",
            "4 still locked true",
            "5 b notified, locked true",
        ],
    );
}

#[test]
fn a_wait_that_is_dropped_before_it_is_notified_leaves_the_line_and_the_lock() {
    runs(async {
        let condition = Condition::new();
        condition.acquire().await?;
        assert!(poll_once(condition.wait()).await.is_none());
        assert_eq!(format!("{condition:?}"), "<Condition [unlocked]>");
        Ok(())
    });
}

#[test]
fn a_condition_shows_the_waiters_that_it_notified_until_their_next_step() {
    let program = async {
        let condition = Condition::new();
        let tasks = ["a", "b", "c"].map(|name| waiter(&condition, name));
        turns(1).await?;
        let guard = condition.lock().await?;
        condition.notify(2)?;
        assert_eq!(format!("{condition:?}"), "<Condition [locked, waiters:3]>");
        turns(1).await?;
        assert_eq!(format!("{condition:?}"), "<Condition [locked, waiters:1]>");
        condition.notify(1)?;
        drop(guard);
        all_done(tasks.into()).await
    };
    plays(
        program,
        &[
            "2 a waits",
            "2 b waits",
            "2 c waits",
            "4 a notified, locked true",
            "5 b notified, locked true",
            "6 c notified, locked true",
        ],
    );
}

#[test]
fn a_snapshot_shows_the_waiters_of_a_condition_and_of_its_lock() {
    runs(async {
        let condition = Condition::new();
        let mine = condition.clone();
        let task = Task::builder().name("waiter").spawn(async move {
            let _guard = mine.lock().await?;
            mine.wait().await
        });
        turns(1).await?;
        assert_eq!(waits_for("waiter"), ["condition"]);
        let guard = condition.lock().await?;
        condition.notify(1)?;
        turns(1).await?;
        assert_eq!(waits_for("waiter"), ["lock"]);
        drop(guard);
        task.await
    });
}
