//! `sync::Barrier`: no task goes on before all are there, and none breaks it by being cancelled.

use crate::stage::{
    all_done, is_bound_to_its_first_loop, new_loop, plays, poll_once, runs, say, turns, waits_for,
};
use looplab::sync::Barrier;
use looplab::{Error, Result, Task, create_task};

async fn comes(barrier: Barrier, name: &'static str) -> Result<()> {
    match barrier.wait().await {
        Ok(index) => say(format!("{name} is {index}")),
        Err(Error::BrokenBarrier(text)) => say(format!("{name}: {text}")),
        Err(error) => {
            say(format!("{name} cancelled"));
            return Err(error);
        }
    }
    Ok(())
}

fn party(barrier: &Barrier, name: &'static str) -> Task<()> {
    create_task(comes(barrier.clone(), name))
}

fn parties<const N: usize>(barrier: &Barrier, names: [&'static str; N]) -> Vec<Task<()>> {
    names.map(|name| party(barrier, name)).into()
}

fn say_state(barrier: &Barrier) {
    say(format!("waiting {}, broken {}", barrier.n_waiting(), barrier.broken()));
}

#[test]
fn all_go_on_in_the_turn_after_the_last_has_come_with_the_numbers_from_zero() {
    let program = async {
        let barrier = Barrier::new(3)?;
        let mut tasks = parties(&barrier, ["a", "b"]);
        turns(1).await?;
        say_state(&barrier);
        tasks.push(party(&barrier, "c"));
        all_done(tasks).await?;
        say_state(&barrier);
        Ok(())
    };
    plays(
        program,
        &["2 waiting 2, broken false", "3 c is 2", "4 a is 0", "4 b is 1", "6 waiting 0, broken false"],
    );
}

#[test]
fn cancelling_a_waiter_before_the_barrier_fills_just_removes_it() {
    let program = async {
        let barrier = Barrier::new(3)?;
        let (a, b) = (party(&barrier, "a"), party(&barrier, "b"));
        turns(1).await?;
        say_state(&barrier);
        a.cancel();
        turns(3).await?;
        say_state(&barrier);
        let mut tasks = parties(&barrier, ["c", "d"]);
        tasks.push(b);
        all_done(tasks).await?;
        say_state(&barrier);
        Ok(())
    };
    // The numbers count those inside when each came, so that after a cancellation one can be given twice: as in asyncio.
    plays(
        program,
        &[
            "2 waiting 2, broken false",
            "3 a cancelled",
            "5 waiting 1, broken false",
            "6 d is 2",
            "7 b is 1",
            "7 c is 1",
            "9 waiting 0, broken false",
        ],
    );
}

#[test]
fn cancelling_a_waiter_after_the_barrier_filled_cancels_only_that_one() {
    let program = async {
        let barrier = Barrier::new(3)?;
        let mut tasks = parties(&barrier, ["a", "b"]);
        turns(1).await?;
        tasks.push(party(&barrier, "c"));
        turns(1).await?;
        tasks[0].cancel();
        say("a cancelled");
        all_done(tasks).await?;
        say_state(&barrier);
        all_done(parties(&barrier, ["d", "e", "f"])).await
    };
    plays(
        program,
        &[
            "3 c is 2",
            "3 a cancelled",
            "4 a cancelled",
            "4 b is 1",
            "6 waiting 0, broken false",
            "7 f is 2",
            "8 d is 0",
            "8 e is 1",
        ],
    );
}

#[test]
fn reset_fails_the_waiters_and_the_barrier_is_as_new() {
    let program = async {
        let barrier = Barrier::new(3)?;
        let tasks = parties(&barrier, ["a", "b"]);
        turns(1).await?;
        barrier.reset().await?;
        say("reset");
        say_state(&barrier);
        all_done(tasks).await?;
        say_state(&barrier);
        all_done(parties(&barrier, ["c", "d", "e"])).await
    };
    plays(
        program,
        &[
            "2 reset",
            "2 waiting 0, broken false",
            "3 a: Abort or reset of barrier",
            "3 b: Abort or reset of barrier",
            "5 waiting 0, broken false",
            "6 e is 2",
            "7 c is 0",
            "7 d is 1",
        ],
    );
}

#[test]
fn who_comes_while_a_reset_is_under_way_belongs_to_the_next_filling() {
    let program = async {
        let barrier = Barrier::new(3)?;
        let mut tasks = parties(&barrier, ["a", "b"]);
        turns(1).await?;
        barrier.reset().await?;
        tasks.extend(parties(&barrier, ["c", "d", "e"]));
        all_done(tasks).await
    };
    plays(
        program,
        &[
            "3 a: Abort or reset of barrier",
            "3 b: Abort or reset of barrier",
            "3 e is 2",
            "4 c is 0",
            "4 d is 1",
        ],
    );
}

#[test]
fn abort_breaks_it_for_waiters_and_newcomers_until_a_reset() {
    let program = async {
        let barrier = Barrier::new(3)?;
        let tasks = parties(&barrier, ["a", "b"]);
        turns(1).await?;
        barrier.abort().await?;
        say_state(&barrier);
        all_done(tasks).await?;
        comes(barrier.clone(), "late").await?;
        barrier.reset().await?;
        say_state(&barrier);
        all_done(parties(&barrier, ["c", "d", "e"])).await
    };
    plays(
        program,
        &[
            "2 waiting 0, broken true",
            "3 a: Abort or reset of barrier",
            "3 b: Abort or reset of barrier",
            "5 late: Barrier aborted",
            "5 waiting 0, broken false",
            "6 e is 2",
            "7 c is 0",
            "7 d is 1",
        ],
    );
}

#[test]
fn who_comes_while_a_filling_leaves_waits_for_the_next() {
    let program = async {
        let barrier = Barrier::new(2)?;
        let _a = party(&barrier, "a");
        turns(1).await?;
        let (_b, c) = (party(&barrier, "b"), party(&barrier, "c"));
        turns(3).await?;
        say_state(&barrier);
        comes(barrier, "d").await?;
        c.await
    };
    plays(program, &["3 b is 1", "4 a is 0", "5 waiting 1, broken false", "5 d is 1", "6 c is 0"]);
}

#[test]
fn a_barrier_of_one_never_suspends() {
    let program = async {
        let barrier = Barrier::new(1)?;
        say("comes");
        comes(barrier.clone(), "a").await?;
        comes(barrier, "b").await
    };
    plays(program, &["1 comes", "1 a is 0", "1 b is 0"]);
}

#[test]
fn a_barrier_of_none_is_an_error() {
    let error = Barrier::new(0).unwrap_err();
    assert!(matches!(error, Error::Value(_)));
    assert_eq!(error.to_string(), "parties must be >= 1");
    assert_eq!(Barrier::new(4).unwrap().parties(), 4);
}

#[test]
fn the_parties_of_a_closed_loop_have_left_the_barrier() {
    let (first, barrier) = (new_loop(), Barrier::new(2).unwrap());
    let waits = barrier.clone();
    let _party = first.create_task(async move { waits.wait().await.map(drop) });
    first.run_once().unwrap();
    assert_eq!(barrier.n_waiting(), 1);
    first.close().unwrap();
    assert_eq!(barrier.n_waiting(), 0);
    let refused = new_loop().run_until_complete(barrier.wait()).unwrap_err().to_string();
    assert!(refused.ends_with("is bound to a different event loop"), "{refused}");
}

#[test]
fn a_barrier_is_bound_to_the_loop_of_its_first_blocking_use() {
    let barrier = Barrier::new(1).unwrap();
    for _ in 0..2 {
        assert_eq!(new_loop().run_until_complete(barrier.wait()).unwrap(), 0);
    }
    let barrier = Barrier::new(3).unwrap();
    // It is the condition inside that finds out, as in asyncio.
    let shown = "<Condition [locked, waiters:1]>";
    is_bound_to_its_first_loop(shown, move || {
        let barrier = barrier.clone();
        async move { barrier.wait().await.map(drop) }
    });
}

#[test]
fn a_wait_that_is_dropped_only_leaves() {
    runs(async {
        let barrier = Barrier::new(2)?;
        let mine = barrier.clone();
        assert!(poll_once(async move { mine.wait().await.map(drop) }).await.is_none());
        assert_eq!(format!("{barrier:?}"), "<Barrier [filling, waiters:0/2]>");
        // And one that is dropped when the barrier has filled: the next filling is not held up.
        let mut wait = Box::pin(barrier.wait());
        assert!(futures::poll!(&mut wait).is_pending());
        assert_eq!(format!("{barrier:?}"), "<Barrier [filling, waiters:1/2]>");
        assert_eq!(barrier.wait().await?, 1);
        assert_eq!(format!("{barrier:?}"), "<Barrier [draining, waiters:0/2]>");
        drop(wait);
        assert_eq!(format!("{barrier:?}"), "<Barrier [filling, waiters:0/2]>");
        let other = create_task(barrier.wait());
        turns(1).await?;
        assert_eq!((barrier.wait().await?, other.await?), (1, 0));
        Ok(())
    });
}

#[test]
fn it_says_what_state_it_is_in() {
    runs(async {
        let barrier = Barrier::new(2)?;
        let task = create_task(barrier.wait());
        turns(1).await?;
        barrier.reset().await?;
        assert_eq!(format!("{barrier:?}"), "<Barrier [resetting, waiters:0/2]>");
        barrier.abort().await?;
        assert_eq!(format!("{barrier:?}"), "<Barrier [broken]>");
        assert!(matches!(task.await, Err(Error::BrokenBarrier(_))));
        Ok(())
    });
}

#[test]
fn a_snapshot_shows_the_waiters_at_a_barrier() {
    runs(async {
        let barrier = Barrier::new(2)?;
        let task = Task::builder().name("waiter").spawn(barrier.wait());
        turns(1).await?;
        assert_eq!(waits_for("waiter"), ["barrier"]);
        barrier.wait().await?;
        task.await.map(drop)
    });
}
