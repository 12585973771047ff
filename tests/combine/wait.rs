//! `wait`: asyncio's rules as of CPython 3.13, with its turns.

use looplab::{
    Error, EventLoop, Result, ReturnWhen, Task, TaskRef, create_task, get_running_loop, wait, yield_now,
};
use std::pin::pin;
use std::task::{Context, Waker};
use support::{HOUR, Lab, Log, failure, forever, ms, say, swallow};

use ReturnWhen::{AllCompleted, FirstCompleted, FirstException};

/// A child that yields `yields` times, says so, and returns or fails.
async fn child(log: Log, name: &'static str, yields: u32, outcome: Result<()>) -> Result<()> {
    for _ in 0..yields {
        yield_now().await?;
    }
    say!(log, "child {name}");
    outcome
}

#[test]
fn it_waits_for_all_and_gives_them_in_the_order_of_the_arguments() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (a, b) =
            (create_task(child(log.clone(), "a", 2, Ok(()))), create_task(child(log, "b", 0, Ok(()))));
        let (done, pending) = wait([a.clone(), b.clone()], AllCompleted, None).await?;
        assert_eq!((done, pending), (vec![a, b], vec![]));
        Ok(())
    });
    assert_eq!(lines, ["2 child b", "4 child a", "7 returned ()"]);
}

#[test]
fn waiting_for_a_done_future_takes_two_turns_more() {
    // There is no shortcut: the callback on a done future is queued as any other.
    let (lab, trace) = Lab::traced();
    let future = lab.lp.create_future();
    future.set_result(1).unwrap();
    let main = Task::builder().name("main").prepare(async move {
        let (done, pending) = wait([future.clone()], AllCompleted, None).await?;
        assert_eq!((done, pending), (vec![future], vec![]));
        Ok(())
    });
    lab.lp.run_until_complete(main).unwrap();
    let begin = ["future#1 ok", "new main", "queue main.step", "turn 1", "step main", "queue done callback"];
    let middle = ["main waits for wait#3", "turn 2", "wait#3 ok", "queue main.wakeup"];
    let end = ["turn 3", "step main", "main ok", "queue done callback", "turn 4"];
    assert_eq!(trace.take(), [&begin[..], &middle, &end].concat());
}

#[test]
fn first_completed_ends_with_the_first() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (a, b) =
            (create_task(child(log.clone(), "a", 5, Ok(()))), create_task(child(log, "b", 0, Ok(()))));
        let (done, pending) = wait([a.clone(), b.clone()], FirstCompleted, None).await?;
        assert_eq!((done, pending), (vec![b], vec![a]));
        Ok(())
    });
    assert_eq!(lines, ["2 child b", "5 returned ()"]);
}

#[test]
fn what_is_done_is_judged_by_the_state_at_the_wake_up() {
    // a finishes in turn 3, while b's callback has already decided that it is enough.
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (a, b) =
            (create_task(child(log.clone(), "a", 1, Ok(()))), create_task(child(log, "b", 0, Ok(()))));
        let (done, pending) = wait([a.clone(), b.clone()], FirstCompleted, None).await?;
        assert_eq!((done, pending), (vec![a, b], vec![]));
        Ok(())
    });
    assert_eq!(lines, ["2 child b", "3 child a", "5 returned ()"]);
}

#[test]
fn first_exception_ends_with_the_first_error() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let a = create_task(child(log.clone(), "a", 0, Ok(())));
        let b = create_task(child(log.clone(), "b", 1, Err(Error::msg("b"))));
        let c = create_task(forever());
        let (done, pending) = wait([a.clone(), b.clone(), c.clone()], FirstException, None).await?;
        assert_eq!((done, pending), (vec![a, b], vec![c.clone()]));
        c.cancel();
        Ok(())
    });
    // b's error was looked at, so it is not reported.
    assert_eq!(lines, ["2 child a", "3 child b", "6 returned ()"]);
}

#[test]
fn first_exception_does_not_count_a_cancelled_child() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (a, b) = (create_task(forever()), create_task(child(log, "b", 4, Ok(()))));
        yield_now().await?;
        a.cancel();
        let (done, pending) = wait([a, b], FirstException, None).await?;
        assert_eq!((done.len(), pending.len()), (2, 0));
        Ok(())
    });
    assert_eq!(lines, ["6 child b", "9 returned ()"]);
}

#[test]
fn it_never_raises_the_errors_of_what_it_waits_for() {
    // Nor does it read them: unread, this one is reported.
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let failing = Task::builder().name("a").spawn(child(log.clone(), "a", 0, Err(Error::msg("a"))));
        let (done, pending) = wait([failing], AllCompleted, None).await?;
        assert_eq!((done.len(), pending.len()), (1, 0));
        drop(done);
        log.say("after");
        Ok(())
    });
    let report = "4 REPORT Task exception was never retrieved (a): a";
    assert_eq!(lines, ["2 child a", report, "4 after", "5 returned ()"]);
}

#[test]
fn a_timeout_is_no_error_and_cancels_nothing() {
    let lab = Lab::reporting();
    let began = lab.lp.time();
    let lines = lab.run(async move {
        let slow = create_task(forever());
        let (done, pending) = wait([slow.clone()], AllCompleted, Some(ms(10))).await?;
        assert_eq!((done.len(), pending), (0, vec![slow.clone()]));
        assert_eq!((slow.cancelling(), slow.cancel()), (0, true));
        Ok(())
    });
    assert_eq!(lines, ["5 returned ()"]);
    assert_eq!(lab.lp.time() - began, ms(10));
}

#[test]
fn a_timeout_of_zero_waits_for_one_poll() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let slow = create_task(forever());
        let (done, pending) = wait([slow.clone()], AllCompleted, Some(ms(0))).await?;
        assert_eq!((done.len(), pending.len(), slow.cancel()), (0, 1, true));
        Ok(())
    });
    assert_eq!(lines, ["4 returned ()"]);
}

#[test]
fn a_timer_that_was_not_needed_is_cancelled() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let a = create_task(child(log, "a", 1, Ok(())));
        let (done, pending) = wait([a], AllCompleted, Some(HOUR)).await?;
        assert_eq!((done.len(), pending.len()), (1, 0));
        assert!(get_running_loop()?.snapshot().timers.iter().all(|timer| timer.cancelled));
        Ok(())
    });
    assert_eq!(lines, ["3 child a", "6 returned ()"]);
}

#[test]
fn cancelling_the_waiter_leaves_the_children_alone() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (kept, said) = (create_task(swallow(log.clone(), "child", ())), log.clone());
        let waited = kept.clone();
        let waiter = create_task(async move {
            let thrown = wait([waited], AllCompleted, Some(HOUR)).await;
            say!(said, "waiter {}", failure(thrown.clone()));
            thrown.map(drop)
        });
        yield_now().await?;
        yield_now().await?;
        waiter.cancel_msg("m");
        say!(log, "awaiter {}", failure(waiter.await));
        assert_eq!((kept.done(), kept.cancelling()), (false, 0));
        assert!(get_running_loop()?.snapshot().timers.iter().all(|timer| timer.cancelled));
        // Its callback is gone: the child's end queues nothing.
        kept.cancel();
        yield_now().await?;
        assert!(kept.done() && get_running_loop()?.snapshot().ready.is_empty());
        Ok(())
    });
    let told = ["4 waiter Cancelled(m)", "5 awaiter Cancelled(m)", "6 child Cancelled", "7 returned ()"];
    assert_eq!(lines, told);
}

#[test]
fn a_cancel_in_the_turn_of_the_completion_wins() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (future, said) = (get_running_loop()?.create_future(), log.clone());
        let waited = future.clone();
        let waiter = create_task(async move {
            say!(said, "waiter {}", failure(wait([waited], AllCompleted, None).await));
            Ok(())
        });
        yield_now().await?;
        future.set_result(1)?;
        yield_now().await?;
        say!(log, "{}", waiter.cancel_msg("m"));
        waiter.await
    });
    assert_eq!(lines, ["3 true", "4 waiter Cancelled(m)", "6 returned ()"]);
}

#[test]
fn the_same_task_given_twice_counts_once() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let a = create_task(child(log, "a", 0, Ok(())));
        let (done, pending) = wait([a.clone(), a.clone()], AllCompleted, None).await?;
        assert_eq!((done, pending), (vec![a], vec![]));
        Ok(())
    });
    assert_eq!(lines, ["2 child a", "5 returned ()"]);
}

#[test]
fn there_must_be_something_to_wait_for() {
    let lab = Lab::reporting();
    let outcome = lab.lp.run_until_complete(wait(Vec::<Task<()>>::new(), AllCompleted, None));
    assert!(matches!(&outcome, Err(Error::Value(_))));
    assert_eq!((failure(outcome), lab.lp.turns()), ("Set of Tasks/Futures is empty.".to_owned(), 2));
}

#[test]
fn what_belongs_to_another_loop_is_judged_by_its_state_when_the_time_is_over() {
    let (lab, elsewhere) = (Lab::reporting(), EventLoop::new().unwrap());
    let (done, pending) = (elsewhere.create_future::<()>(), elsewhere.create_future());
    done.set_result(()).unwrap();
    let lines = lab.run(async move {
        let several = [done.clone(), pending.clone()];
        assert_eq!(wait(several, AllCompleted, Some(ms(1))).await?, (vec![done], vec![pending]));
        Ok(())
    });
    assert_eq!(lines, ["4 returned ()"]);
}

#[test]
fn untyped_tasks_of_different_types_can_be_waited_for() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let tasks: [TaskRef; 2] =
            [create_task(async { Ok(1) }).to_ref(), create_task(async { Ok("one") }).to_ref()];
        let (done, _) = wait(tasks.clone(), AllCompleted, None).await?;
        assert_eq!(done, tasks);
        Ok(())
    });
    assert_eq!(lines, ["5 returned ()"]);
}

#[test]
fn it_needs_a_running_loop() {
    let lab = Lab::reporting();
    let future = lab.lp.create_future::<()>();
    let waiting = pin!(wait([future], AllCompleted, None));
    let polled = waiting.poll(&mut Context::from_waker(Waker::noop()));
    let std::task::Poll::Ready(outcome) = polled else { panic!("pending") };
    assert_eq!(failure(outcome), "no running event loop");
}

#[test]
fn a_task_that_could_not_be_made_is_done_already() {
    let nowhere = create_task(async { Ok(()) });
    let lab = Lab::reporting();
    let lines = lab.run(async move {
        let (done, pending) = wait([nowhere], AllCompleted, None).await?;
        assert_eq!((failure(done[0].result()), pending.len()), ("no running event loop".to_owned(), 0));
        Ok(())
    });
    assert_eq!(lines, ["4 returned ()"]);
}

#[test]
fn the_waits_of_the_waiter_name_it() {
    let lab = Lab::reporting();
    let main =
        lab.lp.create_task(async { wait([create_task(forever())], AllCompleted, None).await.map(drop) });
    lab.turn();
    assert!(lab.lp.snapshot().to_string().contains(" waiting for wait at "));
    main.cancel();
}
