//! Hops: in how many turns `run_until_complete` is done, for what a body does. A turn too many or too few here is a
//! difference that programs can see.

use looplab::{
    Error, Result, ReturnWhen, TaskGroup, create_task, gather, get_running_loop, sleep, wait, wait_for,
    yield_now,
};
use std::time::Duration;
use support::{Lab, say};

const MS: Duration = Duration::from_millis(1);

fn turns_of<T: 'static>(body: impl Future<Output = Result<T>> + 'static) -> (Result<T>, u64) {
    let lab = Lab::new();
    let result = lab.run_until_complete(body);
    (result, lab.turns())
}

#[test]
fn a_body_that_returns_at_once_takes_2_turns() -> Result<()> {
    let lab = Lab::new();
    lab.run_until_complete(async { Ok(()) })?;
    lab.is("task t1 | +h1 step t1
        run
        turn 1 | select 0 ready | batch 1 | run h1 | step t1 | t1 ok | +h2 done
        turn 2 | select 0 ready | batch 1 | run h2 | stop
        unstop | end");
    Ok(())
}

#[test]
fn one_yield_takes_3_turns() -> Result<()> {
    let lab = Lab::new();
    lab.run_until_complete(async { yield_now().await })?;
    lab.is("task t1 | +h1 step t1
        run
        turn 1 | select 0 ready | batch 1 | run h1 | step t1 | +h1 step t1
        turn 2 | select 0 ready | batch 1 | run h1 | step t1 | t1 ok | +h2 done
        turn 3 | select 0 ready | batch 1 | run h2 | stop
        unstop | end");
    let (_, turns) = turns_of(async { sleep(Duration::ZERO).await });
    assert_eq!(turns, 3, "a sleep of nothing is a bare yield");
    Ok(())
}

#[test]
fn awaiting_an_immediate_child_task_takes_4_turns() -> Result<()> {
    let lab = Lab::new();
    lab.run_until_complete(async {
        let child = create_task(async { Ok(()) });
        child.add_done_callback(|_| say("before"));
        let (seen, result) = (child.clone(), (&child).await);
        seen.add_done_callback(|_| say("after"));
        result
    })?;
    lab.is("task t1 | +h1 step t1
        run
        turn 1 | select 0 ready | batch 1 | run h1 | step t1 | task t2 | +h3 step t2 | park t1 task
        turn 2 | select 0 ready | batch 1 | run h3 | step t2 | t2 ok | +h4 done | +h1 wakeup t1
        turn 3 | select 0 ready | batch 2 | run h4 | 'before' | run h1 | step t1 | +h5 done | t1 ok | +h2 done
        turn 4 | select 0 ready | batch 2 | run h5 | 'after' | run h2 | stop
        unstop | end");
    Ok(())
}

#[test]
fn awaiting_a_future_that_a_callback_sets_takes_4_turns() -> Result<()> {
    let lab = Lab::new();
    lab.run_until_complete(async {
        let lp = get_running_loop()?;
        let future = lp.create_future();
        let setter = future.clone();
        lp.call_soon(move || setter.set_result(()))?;
        future.await
    })?;
    lab.is("task t1 | +h1 step t1
        run
        turn 1 | select 0 ready | batch 1 | run h1 | step t1 | future f2 | +h3 | park t1 future
        turn 2 | select 0 ready | batch 1 | run h3 | f2 ok | +h1 wakeup t1
        turn 3 | select 0 ready | batch 1 | run h1 | step t1 | t1 ok | +h2 done
        turn 4 | select 0 ready | batch 1 | run h2 | stop
        unstop | end");
    Ok(())
}

#[test]
fn a_body_that_fails_takes_2_turns() {
    let (result, turns) = turns_of(async { Err::<(), _>(Error::msg("boom")) });
    assert_eq!(result.unwrap_err().to_string(), "boom");
    assert_eq!(turns, 2);
}

#[test]
fn a_body_that_raises_keyboard_interrupt_takes_1_turn_and_leaves_a_harmless_callback() -> Result<()> {
    let lab = Lab::new();
    let result = lab.run_until_complete(async { Err::<(), _>(Error::KeyboardInterrupt) });
    assert!(matches!(result, Err(Error::KeyboardInterrupt)));
    lab.is("task t1 | +h1 step t1
        run
        turn 1 | select 0 ready | batch 1 | run h1 | step t1 | t1 err | +h2 done | failed: KeyboardInterrupt
        end"); // arrow 4
    assert_eq!(lab.snapshot().ready.len(), 1);
    // It does not stop the next run.
    lab.run_until_complete(async { sleep(MS).await })?;
    Ok(())
}

#[test]
fn a_sleep_takes_2_turns_more_than_none() -> Result<()> {
    let lab = Lab::new();
    lab.run_until_complete(async { sleep(MS).await })?;
    lab.is("task t1 | +h1 step t1
        run
        turn 1 | select 0 ready | batch 1 | run h1 | step t1 | sleep f2 | timer h3 1ms | park t1 sleep
        turn 2 | select 1ms timer h3 | due h3 | batch 1 | run h3 | f2 ok | +h1 wakeup t1
        turn 3 | select 0 ready | batch 1 | run h1 | step t1 | t1 ok | +h2 done
        turn 4 | select 0 ready | batch 1 | run h2 | stop
        unstop | end");
    Ok(())
}

#[test]
fn waiting_for_a_done_future_takes_2_turns_more_than_none() {
    let (result, turns) = turns_of(async {
        let done = get_running_loop()?.create_future();
        done.set_result(())?;
        wait([done], ReturnWhen::AllCompleted, None).await
    });
    assert_eq!(result.map(|(done, pending)| (done.len(), pending.len())).ok(), Some((1, 0)));
    assert_eq!(turns, 2 + 2);
}

#[test]
fn gathering_two_immediate_bodies_takes_3_turns_more_than_none() {
    let (result, turns) = turns_of(async { gather([1, 2].map(|n| async move { Ok(n) })).await });
    assert_eq!(result.ok(), Some(vec![1, 2]));
    assert_eq!(turns, 2 + 3);
}

#[test]
fn awaiting_a_done_future_takes_no_turn() {
    let (result, turns) = turns_of(async {
        let done = get_running_loop()?.create_future();
        done.set_result(7)?;
        done.await
    });
    assert_eq!((result.ok(), turns), (Some(7), 2));
}

/// Before CPython 3.12 it took 3 turns.
#[test]
fn waiting_for_an_immediate_body_with_a_timeout_takes_no_turn() {
    let (result, turns) = turns_of(async { wait_for(async { Ok(7) }, Duration::from_secs(10)).await });
    assert_eq!((result.ok(), turns), (Some(7), 2));
}

#[test]
fn an_empty_task_group_takes_no_turn() {
    let (result, turns) = turns_of(async { TaskGroup::scope(|_| async { Ok(7) }).await });
    assert_eq!((result.ok(), turns), (Some(7), 2));
}
