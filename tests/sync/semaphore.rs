//! `sync::Semaphore` and `sync::BoundedSemaphore`: permits are handed over in order, and none is lost or made up.

use crate::stage::{is_bound_to_its_first_loop, new_loop, plays, poll_once, runs, say, turns, waits_for};
use looplab::sync::{BoundedSemaphore, Semaphore};
use looplab::{Error, Result, Task, create_task};

/// Takes a permit and keeps it.
fn keeper(semaphore: &Semaphore, name: &'static str) -> Task<()> {
    let semaphore = semaphore.clone();
    create_task(async move {
        let acquired = semaphore.acquire().await;
        match &acquired {
            Ok(()) => say(format!("{name} has one")),
            Err(_) => say(format!("{name} cancelled")),
        }
        acquired
    })
}

#[test]
fn acquire_does_not_suspend_while_there_are_permits_and_no_waiters() {
    let program = async {
        let semaphore = Semaphore::new(2);
        for _ in 0..2 {
            semaphore.acquire().await?;
            say(format!("{semaphore:?}"));
        }
        Ok(())
    };
    plays(program, &["1 <Semaphore [unlocked, value:1]>", "1 <Semaphore [locked]>"]);
}

#[test]
fn a_release_hands_the_permit_to_the_first_waiter_and_the_value_stays_zero() {
    let program = async {
        let semaphore = Semaphore::new(0);
        let _ab = ["a", "b"].map(|name| keeper(&semaphore, name));
        turns(1).await?;
        semaphore.release();
        say(format!("{semaphore:?}"));
        let _c = keeper(&semaphore, "c");
        turns(2).await?;
        for _ in 0..2 {
            semaphore.release();
            turns(2).await?;
        }
        Ok(())
    };
    plays(program, &["2 <Semaphore [locked, waiters:2]>", "3 a has one", "5 b has one", "7 c has one"]);
}

#[test]
fn a_newcomer_waits_behind_a_woken_waiter_even_if_a_permit_is_left() {
    let program = async {
        let semaphore = Semaphore::new(0);
        let a = keeper(&semaphore, "a");
        turns(1).await?;
        semaphore.release();
        semaphore.release();
        say(format!("locked {}", semaphore.locked()));
        semaphore.acquire().await?;
        say("main has one");
        a.await
    };
    plays(program, &["2 locked true", "3 a has one", "4 main has one"]);
}

#[test]
fn a_cancelled_owner_to_be_returns_its_permit_to_the_next() {
    let program = async {
        let semaphore = Semaphore::new(0);
        let (a, b) = (keeper(&semaphore, "a"), keeper(&semaphore, "b"));
        turns(1).await?;
        semaphore.release();
        a.cancel();
        say("released, a cancelled");
        turns(3).await?;
        say(format!("b {}", b.done()));
        Ok(())
    };
    plays(program, &["2 released, a cancelled", "3 a cancelled", "4 b has one", "5 b true"]);
}

#[test]
fn a_cancelled_owner_to_be_returns_its_permit_if_no_other_task_waits() {
    let program = async {
        let semaphore = Semaphore::new(0);
        let a = keeper(&semaphore, "a");
        turns(1).await?;
        semaphore.release();
        a.cancel();
        say(format!("{semaphore:?}"));
        turns(2).await?;
        say(format!("{semaphore:?}"));
        Ok(())
    };
    plays(
        program,
        &["2 <Semaphore [locked, waiters:1]>", "3 a cancelled", "4 <Semaphore [unlocked, value:1]>"],
    );
}

#[test]
fn as_many_are_woken_as_the_value_allows() {
    let program = async {
        let semaphore = Semaphore::new(0);
        let mut tasks: Vec<_> = ["a", "b"].map(|name| keeper(&semaphore, name)).into();
        turns(1).await?;
        for _ in 0..3 {
            semaphore.release();
        }
        say(format!("locked {}", semaphore.locked()));
        tasks.extend(["c", "d"].map(|name| keeper(&semaphore, name)));
        turns(4).await?;
        say(format!("{:?}", tasks.iter().map(Task::done).collect::<Vec<_>>()));
        Ok(())
    };
    plays(
        program,
        &["2 locked true", "3 a has one", "3 b has one", "3 c has one", "6 [true, true, true, false]"],
    );
}

#[test]
fn a_waiter_that_goes_on_wakes_as_many_newcomers_as_the_value_allows() {
    let program = async {
        let semaphore = Semaphore::new(0);
        let _a = keeper(&semaphore, "a");
        turns(1).await?;
        // They come after the releases, but before the woken waiter goes on.
        let tasks = ["b", "c", "d"].map(|name| keeper(&semaphore, name));
        for _ in 0..3 {
            semaphore.release();
        }
        say(format!("locked {}", semaphore.locked()));
        turns(4).await?;
        say(format!("{:?}", tasks.iter().map(Task::done).collect::<Vec<_>>()));
        Ok(())
    };
    plays(program, &["2 locked true", "3 a has one", "4 b has one", "4 c has one", "6 [true, true, false]"]);
}

#[test]
fn permits_without_a_waiter_go_to_newcomers_once_the_woken_waiter_has_run() {
    let program = async {
        let semaphore = Semaphore::new(0);
        let _a = keeper(&semaphore, "a");
        turns(1).await?;
        for _ in 0..3 {
            semaphore.release();
        }
        let _b = keeper(&semaphore, "b");
        semaphore.acquire().await?;
        say("main has one");
        turns(2).await?;
        say(format!("{semaphore:?}"));
        Ok(())
    };
    plays(program, &["3 a has one", "4 main has one", "5 b has one", "6 <Semaphore [locked]>"]);
}

#[test]
fn the_initial_value_is_one_unless_it_is_given_and_zero_is_allowed() {
    assert_eq!(format!("{:?}", Semaphore::default()), "<Semaphore [unlocked, value:1]>");
    assert_eq!(format!("{:?}", BoundedSemaphore::default()), "<BoundedSemaphore [unlocked, value:1]>");
    assert_eq!(format!("{:?}", Semaphore::new(0)), "<Semaphore [locked]>");
}

#[test]
fn a_plain_semaphore_may_be_released_more_often_than_it_was_acquired() {
    let semaphore = Semaphore::new(usize::MAX);
    semaphore.release();
    assert!(!semaphore.locked());
    let semaphore = Semaphore::new(0);
    semaphore.release();
    semaphore.release();
    assert_eq!(format!("{semaphore:?}"), "<Semaphore [unlocked, value:2]>");
}

#[test]
fn a_bounded_semaphore_released_too_many_times_is_an_error() {
    runs(async {
        let bounded = BoundedSemaphore::new(1);
        let too_often = |result: Result<()>| match result {
            Err(Error::Value(text)) => assert_eq!(&*text, "BoundedSemaphore released too many times"),
            other => panic!("{other:?}"),
        };
        too_often(bounded.release());
        bounded.acquire().await?;
        let waiting = create_task(bounded.acquire());
        turns(1).await?;
        bounded.release()?;
        waiting.await?;
        bounded.release()?;
        too_often(bounded.release());
        Ok(())
    });
}

#[test]
fn a_semaphore_is_bound_to_the_loop_of_its_first_blocking_use() {
    let semaphore = Semaphore::new(1);
    for _ in 0..2 {
        new_loop().run_until_complete(semaphore.permit()).map(drop).unwrap();
    }
    new_loop().run_until_complete(semaphore.acquire()).unwrap();
    is_bound_to_its_first_loop("<Semaphore [locked, waiters:1]>", move || semaphore.acquire());
    let bounded = BoundedSemaphore::new(0);
    is_bound_to_its_first_loop("<BoundedSemaphore [locked, waiters:1]>", move || bounded.acquire());
}

#[test]
fn a_permit_is_released_when_it_is_dropped() {
    runs(async {
        let (semaphore, bounded) = (Semaphore::new(1), BoundedSemaphore::new(1));
        let permits = (semaphore.permit().await?, bounded.permit().await?);
        assert!(semaphore.locked() && bounded.locked());
        drop(permits);
        assert!(!semaphore.locked() && !bounded.locked());
        Ok(())
    });
}

#[test]
fn a_wait_that_is_dropped_with_a_permit_in_hand_returns_it() {
    runs(async {
        let semaphore = Semaphore::new(0);
        let mut wait = Box::pin(semaphore.acquire());
        assert!(futures::poll!(&mut wait).is_pending());
        semaphore.release();
        assert_eq!(format!("{semaphore:?}"), "<Semaphore [locked, waiters:1]>");
        drop(wait);
        assert_eq!(format!("{semaphore:?}"), "<Semaphore [unlocked, value:1]>");
        semaphore.acquire().await?;
        assert!(poll_once(semaphore.acquire()).await.is_none());
        assert_eq!(format!("{semaphore:?}"), "<Semaphore [locked]>");
        Ok(())
    });
}

#[test]
fn a_snapshot_shows_the_waiters_of_a_semaphore() {
    runs(async {
        let semaphore = Semaphore::new(0);
        let task = Task::builder().name("waiter").spawn(semaphore.acquire());
        turns(1).await?;
        assert_eq!(waits_for("waiter"), ["semaphore"]);
        semaphore.release();
        task.await
    });
}
