//! `sync::Lock`: one at a time, in the order of asking, and no hand-over is lost.

use crate::stage::{
    all_done, is_bound_to_its_first_loop, new_loop, plays, poll_once, runs, say, turns, waits_for,
};
use looplab::sync::Lock;
use looplab::{Error, Result, Task, create_task, current_task, get_running_loop, sleep, yield_now};
use std::time::Duration;
use support::watchdog;

/// Asks for the lock, keeps it for some turns, and releases it.
fn taker(lock: &Lock, name: &'static str, keep: usize) -> Task<()> {
    let lock = lock.clone();
    create_task(async move {
        say(format!("{name} asks"));
        if let Err(error) = lock.acquire().await {
            say(format!("{name} cancelled"));
            return Err(error);
        }
        say(format!("{name} has it"));
        turns(keep).await?;
        lock.release()?;
        say(format!("{name} released, locked {}", lock.locked()));
        Ok(())
    })
}

async fn taken() -> Result<Lock> {
    let lock = Lock::new();
    lock.acquire().await?;
    Ok(lock)
}

#[test]
fn acquire_goes_through_at_once_if_it_is_unlocked_and_has_no_waiters() {
    let program = async {
        let lock = Lock::new();
        say("asks");
        lock.acquire().await?;
        say("has it");
        assert!(lock.locked());
        Ok(())
    };
    plays(program, &["1 asks", "1 has it"]);
}

#[test]
fn a_lock_is_fair_and_a_newcomer_queues_behind_all() {
    let program = async {
        let lock = taken().await?;
        let mut tasks: Vec<_> = ["0", "1", "2"].map(|name| taker(&lock, name, 1)).into();
        turns(1).await?;
        lock.release()?;
        say(format!("released, locked {}", lock.locked()));
        tasks.push(taker(&lock, "new", 1));
        all_done(tasks).await
    };
    plays(
        program,
        &[
            "2 0 asks",
            "2 1 asks",
            "2 2 asks",
            "2 released, locked false",
            "3 0 has it",
            "3 new asks",
            "4 0 released, locked false",
            "5 1 has it",
            "6 1 released, locked false",
            "7 2 has it",
            "8 2 released, locked false",
            "9 new has it",
            "10 new released, locked false",
        ],
    );
}

#[test]
fn release_leaves_it_unlocked_until_the_woken_waiter_runs_and_no_other_task_can_barge_in_between() {
    let program = async {
        let lock = taken().await?;
        let a = taker(&lock, "a", 0);
        turns(1).await?;
        lock.release()?;
        say(format!("main asks, locked {}", lock.locked()));
        lock.acquire().await?;
        say("main has it");
        a.await
    };
    plays(
        program,
        &[
            "2 a asks",
            "2 main asks, locked false",
            "3 a has it",
            "3 a released, locked false",
            "4 main has it",
        ],
    );
}

#[test]
fn waiters_that_are_all_cancelled_do_not_hold_a_newcomer_up() {
    let program = async {
        let lock = taken().await?;
        let a = taker(&lock, "a", 1);
        turns(1).await?;
        a.cancel();
        lock.release()?;
        say(format!("main asks: {lock:?}"));
        lock.acquire().await?;
        say("main has it");
        lock.release()?;
        turns(2).await?;
        say(format!("{lock:?}"));
        Ok(())
    };
    plays(
        program,
        &[
            "2 a asks",
            "2 main asks: <Lock [unlocked, waiters:1]>",
            "2 main has it",
            "3 a cancelled",
            "4 <Lock [unlocked]>",
        ],
    );
}

#[test]
fn a_waiter_cancelled_after_being_woken_passes_the_wake_up_on() {
    let program = async {
        let lock = taken().await?;
        let (a, b) = (taker(&lock, "a", 1), taker(&lock, "b", 1));
        turns(1).await?;
        lock.release()?;
        a.cancel();
        say("released, a cancelled");
        all_done(vec![a, b]).await?;
        say(format!("locked {}", lock.locked()));
        Ok(())
    };
    plays(
        program,
        &[
            "2 a asks",
            "2 b asks",
            "2 released, a cancelled",
            "3 a cancelled",
            "4 b has it",
            "5 b released, locked false",
            "7 locked false",
        ],
    );
}

#[test]
fn a_release_that_finds_a_cancelled_waiter_first_in_line_is_not_lost() {
    let program = async {
        let lock = taken().await?;
        let (a, b) = (taker(&lock, "a", 1), taker(&lock, "b", 1));
        turns(1).await?;
        a.cancel();
        lock.release()?;
        say("a cancelled, released");
        all_done(vec![a, b]).await?;
        say(format!("locked {}", lock.locked()));
        Ok(())
    };
    plays(
        program,
        &[
            "2 a asks",
            "2 b asks",
            "2 a cancelled, released",
            "3 a cancelled",
            "4 b has it",
            "5 b released, locked false",
            "7 locked false",
        ],
    );
}

#[test]
fn a_waiter_cancelled_while_the_lock_is_held_leaves_the_others_in_line() {
    let program = async {
        let lock = taken().await?;
        let (a, b) = (taker(&lock, "a", 1), taker(&lock, "b", 1));
        turns(1).await?;
        a.cancel();
        turns(2).await?;
        say("now");
        lock.release()?;
        all_done(vec![a, b]).await
    };
    let said = ["2 a asks", "2 b asks", "3 a cancelled", "4 now", "5 b has it", "6 b released, locked false"];
    plays(program, &said);
}

#[test]
fn releasing_an_unlocked_lock_is_an_error() {
    let error = Lock::new().release().unwrap_err();
    assert!(matches!(error, Error::Runtime(_)));
    assert_eq!(error.to_string(), "Lock is not acquired.");
}

#[test]
fn a_lock_is_bound_to_the_loop_of_its_first_blocking_use() {
    let lock = Lock::new();
    // Not blocking, so on any loop, and without one too.
    for _ in 0..2 {
        new_loop().run_until_complete(lock.acquire()).unwrap();
        lock.release().unwrap();
    }
    new_loop().run_until_complete(lock.acquire()).unwrap();
    is_bound_to_its_first_loop("<Lock [locked, waiters:1]>", move || lock.acquire());
}

#[test]
fn waiting_needs_a_running_loop() {
    let mut coroutine = looplab::Coroutine::new(async {
        let lock = taken().await?;
        lock.acquire().await
    });
    match coroutine.send() {
        looplab::Step::Returned(Err(error)) => assert_eq!(error.to_string(), "no running event loop"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wait_that_is_dropped_after_being_woken_passes_the_wake_up_on() {
    let program = async {
        let lock = taken().await?;
        let mine = lock.clone();
        let quitter = create_task(async move {
            assert!(poll_once(mine.acquire()).await.is_none());
            say(format!("gave up: {mine:?}"));
            // And once more, dropped a turn after it was polled and woken.
            let mut second = Box::pin(mine.acquire());
            assert!(futures::poll!(&mut second).is_pending());
            turns(1).await?;
            drop(second);
            say(format!("gave up: {mine:?}"));
            Ok(())
        });
        let b = taker(&lock, "b", 0);
        turns(1).await?;
        lock.release()?;
        say(format!("released: {lock:?}"));
        all_done(vec![quitter, b]).await
    };
    plays(
        program,
        &[
            "2 gave up: <Lock [locked, owner:'main']>",
            "2 b asks",
            "2 released: <Lock [unlocked, waiters:2]>",
            "3 gave up: <Lock [unlocked, waiters:1]>",
            "4 b has it",
            "4 b released, locked false",
        ],
    );
}

#[test]
fn a_guard_releases_the_lock_when_its_task_returns_fails_panics_or_is_cancelled() {
    runs(async {
        let lock = Lock::new();
        for end in 0..4 {
            let mine = lock.clone();
            let task = create_task(async move {
                let _guard = mine.lock().await?;
                yield_now().await?;
                match end {
                    0 => Ok(()),
                    1 => Err(Error::msg("failed")),
                    2 => std::panic::panic_any("on purpose"),
                    _ => sleep(Duration::from_secs(3600)).await,
                }
            });
            turns(1).await?;
            assert!(lock.locked());
            turns(1).await?;
            if end == 3 {
                assert!(lock.locked());
                task.cancel();
            }
            all_done(vec![task.clone()]).await?;
            assert_eq!(task.error().is_ok_and(|error| error.is_none()), end == 0);
            assert!(!lock.locked(), "after end {end}");
        }
        Ok(())
    });
}

#[test]
fn a_guard_whose_lock_was_released_by_hand_does_not_release_anothers() {
    runs(async {
        let lock = Lock::new();
        let guard = lock.lock().await?;
        lock.release()?;
        let another = lock.lock().await?;
        drop(guard);
        assert!(lock.locked());
        drop(another);
        assert!(!lock.locked());
        Ok(())
    });
}

#[test]
fn the_owner_is_the_task_that_took_it_until_it_is_released_or_the_task_is_done() {
    runs(async {
        let lock = Lock::new();
        assert!(lock.owner().is_none());
        let mine = lock.clone();
        let task = Task::builder().name("keeper").spawn(async move {
            mine.acquire().await?;
            yield_now().await
        });
        turns(1).await?;
        assert_eq!(lock.owner(), Some(task.to_ref()));
        assert_eq!(format!("{lock:?}"), "<Lock [locked, owner:'keeper']>");
        task.await?;
        assert!(lock.locked() && lock.owner().is_none());
        lock.release()?;
        let guard = lock.lock().await?;
        assert_eq!(lock.owner(), current_task());
        drop(guard);
        assert!(lock.owner().is_none());
        Ok(())
    });
}

#[test]
fn a_snapshot_shows_the_waiters_of_a_lock_and_their_places() {
    runs(async {
        let lock = taken().await?;
        let mine = lock.clone();
        let line = line!() + 1;
        let task = Task::builder().name("waiter").spawn(async move { mine.lock().await.map(drop) });
        turns(1).await?;
        assert_eq!(waits_for("waiter"), ["lock"]);
        let shown = get_running_loop()?.snapshot().to_string();
        assert!(shown.contains(&format!("waiting for lock at {}:{line}", file!())), "{shown}");
        lock.release()?;
        task.await
    });
}

#[test]
fn a_program_that_waits_for_a_lock_for_ever_is_reported() {
    let _dog = watchdog();
    let error = new_loop()
        .run_until_complete(async {
            let lock = taken().await?;
            lock.acquire().await
        })
        .unwrap_err();
    assert!(matches!(error, Error::Deadlock(_)) && error.to_string().contains("for lock at "), "{error}");
}

#[test]
fn tasks_that_hold_locks_and_wait_for_locks_end_quietly_when_the_loop_is_closed() {
    let _dog = watchdog();
    let lp = new_loop();
    let (lock, other) = (Lock::new(), Lock::new());
    for _ in 0..3 {
        let (lock, other) = (lock.clone(), other.clone());
        let task = async move {
            let _guard = lock.lock().await?;
            let _other = other.lock().await?;
            sleep(Duration::from_secs(3600)).await
        };
        lp.create_task(task);
    }
    lp.run_once().unwrap();
    assert!(lock.locked() && other.locked());
    lp.close().unwrap();
    assert_eq!(
        (format!("{lock:?}"), format!("{other:?}")),
        ("<Lock [unlocked]>".into(), "<Lock [unlocked]>".into())
    );
}

#[test]
fn several_waits_of_one_task_are_several_waiters() {
    let program = async {
        let lock = taken().await?;
        let mine = lock.clone();
        let task = create_task(async move {
            let both = futures::future::join(mine.lock(), async {
                let guard = mine.lock().await?;
                say("second");
                drop(guard);
                Ok::<(), Error>(())
            });
            let (first, second) = both.await;
            drop(first?);
            second
        });
        turns(1).await?;
        say(format!("{lock:?}"));
        lock.release()?;
        turns(2).await?;
        // The first future has its guard, and keeps it until the join is over: they block each other.
        say(format!("{}", lock.locked()));
        task.cancel();
        all_done(vec![task]).await?;
        say(format!("{lock:?}"));
        Ok(())
    };
    plays(program, &["2 <Lock [locked, waiters:2, owner:'main']>", "4 true", "7 <Lock [unlocked]>"]);
}

#[test]
fn a_snapshot_names_the_task_that_holds_the_lock_which_is_waited_for() {
    runs(async {
        let lock = Lock::new();
        let (first, second) = (lock.clone(), lock.clone());
        let keeper = Task::builder().name("keeper").spawn(async move {
            let _guard = first.lock().await?;
            sleep(Duration::from_secs(1)).await
        });
        let next = Task::builder().name("next").spawn(async move {
            let _guard = second.lock().await?;
            sleep(Duration::from_secs(1)).await
        });
        let last = Task::builder().name("last").spawn(async move { lock.acquire().await });
        turns(1).await?;
        let shown = || Ok::<_, Error>(get_running_loop()?.snapshot().to_string());
        assert_eq!(shown()?.matches(", held by keeper").count(), 2, "{}", shown()?);
        keeper.await?;
        turns(1).await?;
        assert_eq!(shown()?.matches(", held by next").count(), 1, "{}", shown()?);
        next.await?;
        last.await
    });
}
