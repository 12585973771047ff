//! `wait_for`: asyncio's rules as of 3.12, one test each. The turns and the counts of `cancelling()` are
//! those of CPython 3.13. What 3.11 and earlier do otherwise (a task and a waiter of its own, a value that wins over a
//! cancellation) has no counterpart.

use looplab::{
    Coroutine, Error, EventLoop, Result, ReturnWhen, Step, Task, all_tasks, create_task, current_task,
    get_running_loop, shield, sleep, wait, wait_for, yield_now,
};
use std::cell::Cell;
use std::rc::Rc;
use support::{Guard, HOUR, Lab, forever, ms, pass_on, say, show, swallow};

fn cancelling() -> u32 {
    current_task().unwrap().cancelling()
}

/// An outcome as the logs show it.
fn ended<T: std::fmt::Debug>(outcome: &Result<T>) -> String {
    outcome.as_ref().map_or_else(show, |value| format!("{value:?}"))
}

async fn all_done<T: 'static>(task: &Task<T>) -> Result<()> {
    wait([task.clone()], ReturnWhen::AllCompleted, None).await.map(drop)
}

#[test]
fn wait_for_of_a_body_runs_in_the_callers_task_and_costs_no_turn() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let this = current_task();
        wait_for(async move { Ok(current_task() == this) }, HOUR).await
    });
    assert_eq!(lines, ["2 returned true"]);
}

#[test]
fn wait_for_of_a_task_or_a_future_costs_no_turn_more_than_awaiting_it() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        log.say(wait_for(create_task(async { Ok(1) }), HOUR).await?);
        let lp = get_running_loop()?;
        let future = lp.create_future();
        let setter = future.clone();
        lp.call_soon(move || setter.set_result(2))?;
        log.say(wait_for(&future, HOUR).await?);
        let done = lp.create_future();
        done.set_result(3)?;
        log.say(wait_for(done, HOUR).await?);
        Ok(())
    });
    assert_eq!(lines, ["3 1", "5 2", "5 3", "6 returned ()"]);
}

#[test]
fn on_timeout_it_cancels_and_waits_until_the_cancellation_is_finished() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (lp, inside) = (get_running_loop()?, log.clone());
        let began = lp.time();
        let task = create_task(async move {
            let waited = forever().await;
            sleep(ms(50)).await?;
            inside.say("cleaned up");
            waited
        });
        let outcome = wait_for(&task, ms(10)).await;
        let after = (lp.time() - began).as_millis();
        let (cancelled, count) = (task.cancelled(), cancelling());
        say!(log, "{} after {after} ms, task cancelled {cancelled}, cancelling {count}", ended(&outcome));
        Ok(())
    });
    assert_eq!(
        lines,
        ["6 cleaned up", "7 timed out after 60 ms, task cancelled true, cancelling 0", "8 returned ()"]
    );
}

#[test]
fn a_child_that_returns_a_value_at_the_timeout_gives_that_value() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let of_a_task = wait_for(create_task(swallow(log.clone(), "child", "late value")), ms(1)).await?;
        Ok((of_a_task, wait_for(swallow(log, "body", "late value"), ms(1)).await?))
    });
    assert_eq!(
        lines,
        ["4 child Cancelled", "7 body Cancelled", "8 returned (\"late value\", \"late value\")"]
    );
}

#[test]
fn a_child_that_fails_at_the_timeout_gives_that_error() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let task = create_task(async move {
            swallow(log, "child", ()).await?;
            Err::<(), _>(Error::msg("cleanup failed"))
        });
        wait_for(task, ms(1)).await
    });
    assert_eq!(lines, ["4 child Cancelled", "6 raised cleanup failed"]);
}

#[test]
fn a_future_is_cancelled_at_the_timeout() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let future = get_running_loop()?.create_future::<()>();
        let outcome = wait_for(&future, ms(1)).await;
        say!(log, "{}, cancelled {}", ended(&outcome), future.cancelled());
        Ok(())
    });
    assert_eq!(lines, ["3 timed out, cancelled true", "4 returned ()"]);
}

#[test]
fn a_result_and_a_cancellation_of_the_waiter_in_one_turn_are_a_cancellation() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let future = get_running_loop()?.create_future();
        let (waited, inside) = (future.clone(), log.clone());
        let worker = create_task(async move {
            let outcome = wait_for(waited, HOUR).await;
            say!(inside, "{}, cancelling {}", ended(&outcome), cancelling());
            outcome
        });
        yield_now().await?;
        future.set_result("lost")?;
        worker.cancel();
        all_done(&worker).await?;
        say!(log, "cancelled {}", worker.cancelled());
        Ok(())
    });
    assert_eq!(lines, ["3 Cancelled, cancelling 1", "5 cancelled true", "6 returned ()"]);
}

#[test]
fn cancelling_the_waiter_cancels_what_it_waits_for() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let child = create_task(pass_on(log.clone(), "child"));
        let waited = child.clone();
        let worker = create_task(async move { wait_for(waited, HOUR).await });
        yield_now().await?;
        worker.cancel_msg("outside");
        all_done(&worker).await?;
        let (cancelled, counts) = (worker.cancelled(), (worker.cancelling(), child.cancelling()));
        say!(log, "cancelled {cancelled} {}, cancelling {} {}", child.cancelled(), counts.0, counts.1);
        Ok(())
    });
    assert_eq!(
        lines,
        ["3 child Cancelled(outside)", "6 cancelled true true, cancelling 1 1", "7 returned ()"]
    );
}

#[test]
fn a_target_that_is_cancelled_from_elsewhere_gives_a_cancellation() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let child = create_task(forever());
        let target = child.clone();
        get_running_loop()?.call_later(ms(1), move || assert!(target.cancel_msg("elsewhere")))?;
        let outcome = wait_for(child, HOUR).await;
        say!(log, "{}, cancelling {}", ended(&outcome), cancelling());
        Ok(())
    });
    assert_eq!(lines, ["5 Cancelled(elsewhere), cancelling 0", "6 returned ()"]);
}

#[test]
fn without_a_timeout_it_waits_as_long_as_it_takes() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let body = async {
            sleep(HOUR).await?;
            Ok(1)
        };
        wait_for(body, None).await
    });
    assert_eq!(lines, ["4 returned 1"]);
}

#[test]
fn with_no_time_at_all_a_target_that_is_done_gives_its_outcome() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let lp = get_running_loop()?;
        let [value, failed, cancelled] = std::array::from_fn(|_| lp.create_future());
        value.set_result(1)?;
        failed.set_error(Error::msg("failed"))?;
        cancelled.cancel_msg("m");
        for done in [value, failed, cancelled] {
            log.say(ended(&wait_for(done, ms(0)).await));
        }
        Ok(())
    });
    assert_eq!(lines, ["1 1", "1 failed", "1 Cancelled(m)", "2 returned ()"]);
}

#[test]
fn with_no_time_at_all_a_body_is_not_begun() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let outcome = wait_for(async { unreachable!("it is not begun") }, ms(0)).await;
        let outcome: Result<()> = outcome;
        say!(log, "{}, cancelling {}, tasks {}", ended(&outcome), cancelling(), all_tasks().len());
        Ok(())
    });
    assert_eq!(lines, ["4 timed out, cancelling 0, tasks 1", "5 returned ()"]);
}

#[test]
fn with_no_time_at_all_a_running_task_is_cancelled_and_awaited() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (passes, swallows, fails) = (log.clone(), log.clone(), log.clone());
        let makers: [Box<dyn FnOnce() -> Task<&'static str>>; 3] = [
            Box::new(|| create_task(async { pass_on(passes, "passes").await.map(|()| "") })),
            Box::new(|| create_task(swallow(swallows, "swallows", "value"))),
            Box::new(|| {
                create_task(async {
                    swallow(fails, "fails", ()).await?;
                    Err(Error::msg("boom"))
                })
            }),
        ];
        for make in makers {
            let task = make();
            yield_now().await?;
            log.say(ended(&wait_for(&task, ms(0)).await));
        }
        Ok(())
    });
    assert_eq!(
        lines,
        [
            "3 passes Cancelled",
            "5 timed out",
            "7 swallows Cancelled",
            "9 \"value\"",
            "11 fails Cancelled",
            "13 boom",
            "14 returned ()"
        ]
    );
}

#[test]
fn with_no_time_at_all_the_waiter_can_be_cancelled_while_the_target_cleans_up() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (inside, waiter) = (log.clone(), log.clone());
        let task = create_task(async move {
            let waited = forever().await;
            sleep(HOUR).await?;
            inside.say("target done");
            waited
        });
        yield_now().await?;
        let target = task.clone();
        let worker = create_task(async move {
            let outcome = wait_for(target, ms(0)).await;
            say!(waiter, "{}, cancelling {}", ended(&outcome), cancelling());
            outcome
        });
        yield_now().await?;
        yield_now().await?;
        worker.cancel_msg("outside");
        all_done(&worker).await?;
        say!(log, "target done {}, cancelling {}", task.done(), task.cancelling());
        all_done(&task).await
    });
    assert_eq!(
        lines,
        [
            "5 Cancelled(outside), cancelling 1",
            "7 target done false, cancelling 1",
            "9 target done",
            "12 returned ()"
        ]
    );
}

#[test]
fn a_shielded_task_outlives_the_timeout() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let task = create_task(async {
            sleep(ms(20)).await?;
            Ok("done")
        });
        let outcome = wait_for(shield(&task), ms(10)).await;
        say!(log, "{}, task done {}, cancelling {}", ended(&outcome), task.done(), task.cancelling());
        task.await
    });
    assert_eq!(lines, ["4 timed out, task done false, cancelling 0", "8 returned \"done\""]);
}

#[test]
fn outside_of_a_task_there_is_no_waiting() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        get_running_loop()?.call_soon(move || {
            let mut by_hand = Coroutine::new(wait_for(async { unreachable!("no task") }, HOUR));
            let Step::<()>::Returned(outcome) = by_hand.send() else { panic!("it cannot wait") };
            log.say(ended(&outcome));
        })?;
        yield_now().await
    });
    assert_eq!(lines, ["2 Timeout should be used inside a task", "3 returned ()"]);
}

// What follows is looplab's own.

#[test]
fn a_task_whose_type_is_not_known_can_be_waited_for() {
    let lab = Lab::reporting();
    lab.run(async {
        let task = create_task(async { Ok("a value") }).to_ref();
        wait_for(&task, HOUR).await?;
        wait_for(task, ms(0)).await?;
        let task = create_task(forever()).to_ref();
        assert!(matches!(wait_for(task, ms(1)).await, Err(Error::TimedOut)));
        Ok(())
    });
}

#[test]
fn dropping_the_wait_drops_a_body_and_leaves_a_task_alone() {
    let lab = Lab::reporting();
    let dropped = Rc::new(Cell::new(0));
    let guard = Guard(dropped.clone());
    let seen = dropped.clone();
    let lines = lab.run(async move {
        let task = create_task(async {
            sleep(ms(20)).await?;
            Ok("done")
        });
        let body = async move {
            let _guard = guard;
            forever().await
        };
        let mut waits = (Box::pin(wait_for(body, HOUR)), Box::pin(wait_for(&task, HOUR)));
        std::future::poll_fn(|cx| {
            assert!(waits.0.as_mut().poll(cx).is_pending() && waits.1.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(waits);
        assert_eq!(seen.get(), 1);
        task.await
    });
    assert_eq!(lines, ["6 returned \"done\""]);
    assert_eq!(dropped.get(), 1);
}

#[test]
fn dropping_a_wait_of_no_time_takes_its_callback_back() {
    let (lab, trace) = Lab::traced();
    let log = lab.log.clone();
    lab.run(async move {
        let slow = create_task(async {
            swallow(log, "slow", ()).await?;
            forever().await
        });
        yield_now().await?;
        let mut wait = Box::pin(wait_for(slow.clone(), ms(0)));
        std::future::poll_fn(|cx| {
            assert!(wait.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        yield_now().await?;
        drop(wait);
        slow.cancel();
        trace.take();
        yield_now().await?;
        yield_now().await?;
        assert!(slow.done() && slow.cancelling() == 2);
        assert!(!trace.take().contains(&"queue done callback".to_owned()));
        Ok(())
    });
}

#[test]
fn what_belongs_to_another_loop_or_to_none_is_refused() {
    let lab = Lab::reporting();
    let elsewhere = EventLoop::new().unwrap();
    let (theirs, done) = (elsewhere.create_future::<()>(), elsewhere.create_future());
    done.set_result(3).unwrap();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        log.say(ended(&wait_for(&theirs, ms(0)).await));
        let outcome = wait_for(&theirs, HOUR).await;
        assert!(ended(&outcome).ends_with("attached to a different loop"));
        for time in [ms(0), HOUR] {
            log.say(wait_for(&done, time).await?);
        }
        Ok(())
    });
    let text = "The future belongs to a different loop than the one specified as the loop argument";
    assert_eq!(lines, [&format!("1 {text}"), "2 3", "2 3", "3 returned ()"]);
    for time in [ms(0), HOUR] {
        let mut by_hand = Coroutine::new(wait_for(async { Ok(()) }, time));
        assert!(matches!(by_hand.send(), Step::Returned(Err(Error::NoRunningLoop))));
    }
}
