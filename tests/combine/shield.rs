//! `shield`: asyncio's rules, one test each. The turns and the counts of `cancelling()` are those of
//! CPython 3.15, but for the last section.

use looplab::{
    Coroutine, Error, EventLoop, Result, ReturnWhen, Step, Task, create_task, current_task, gather,
    get_running_loop, shield, sleep, wait, wait_for, yield_now,
};
use std::cell::Cell;
use std::rc::Rc;
use support::{Guard, HOUR, Lab, ms, pass_on, say, show, swallow};

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
fn what_is_done_is_not_shielded_again_and_costs_no_turn() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let lp = get_running_loop()?;
        let [value, failed, cancelled] = std::array::from_fn(|_| lp.create_future());
        value.set_result(1)?;
        failed.set_error(Error::msg("failed"))?;
        cancelled.cancel_msg("m");
        let outer = shield(value);
        say!(log, "done {}, cancel {}, {}", outer.done(), outer.cancel(), outer.await?);
        log.say(ended(&shield(failed).await));
        log.say(ended(&shield(cancelled).await));
        Ok(())
    });
    assert_eq!(lines, ["1 done true, cancel false, 1", "1 failed", "1 Cancelled(m)", "2 returned ()"]);
}

#[test]
fn the_outcome_of_the_inner_one_comes_one_turn_later_than_without_a_shield() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let work = move || {
            let log = inside.clone();
            async move {
                log.say("work");
                Ok(1)
            }
        };
        log.say(shield(create_task(work())).await?);
        log.say(create_task(work()).await?);
        log.say(ended(&shield(async { Err::<(), _>(Error::msg("boom")) }).await));
        Ok(())
    });
    assert_eq!(lines, ["2 work", "4 1", "5 work", "6 1", "9 boom", "10 returned ()"]);
}

#[test]
fn a_body_starts_at_the_call_not_at_the_await() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let outer = shield(async move { inside.say("work") });
        yield_now().await?;
        log.say("awaits");
        outer.await
    });
    assert_eq!(lines, ["2 work", "2 awaits", "5 returned ()"]);
}

#[test]
fn cancelling_the_waiter_does_not_reach_the_inner_one() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (inside, waiter) = (log.clone(), log.clone());
        let inner = create_task(async move {
            sleep(ms(10)).await?;
            inside.say("work done");
            Ok("v")
        });
        let shielded = shield(&inner);
        let worker = create_task(async move {
            let outcome = shielded.await;
            say!(waiter, "{}, cancelling {}", ended(&outcome), cancelling());
            outcome
        });
        yield_now().await?;
        worker.cancel_msg("outside");
        all_done(&worker).await?;
        let (cancelled, count) = (worker.cancelled(), inner.cancelling());
        say!(log, "cancelled {cancelled}, inner done {}, cancelling {count}", inner.done());
        inner.await
    });
    assert_eq!(
        lines,
        [
            "3 Cancelled(outside), cancelling 1",
            "5 cancelled true, inner done false, cancelling 0",
            "7 work done",
            "9 returned \"v\""
        ]
    );
}

#[test]
fn cancelling_the_inner_one_cancels_the_waiter_without_the_message() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inner = create_task(pass_on(log.clone(), "inner"));
        let outer = shield(&inner);
        yield_now().await?;
        inner.cancel_msg("inside");
        let outcome = (&outer).await;
        let (cancelled, count) = (outer.cancelled(), cancelling());
        say!(log, "{}, outer cancelled {cancelled}, cancelling {count}", ended(&outcome));
        Ok(())
    });
    assert_eq!(
        lines,
        ["3 inner Cancelled(inside)", "5 Cancelled, outer cancelled true, cancelling 0", "6 returned ()"]
    );
}

#[test]
fn the_outer_one_can_be_cancelled_by_its_handle() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let mut lines = lab.run(async move {
        let inner = Task::builder().name("inner").spawn(swallow(log.clone(), "inner", 1));
        let outer = shield(&inner);
        let (first, again, done) = (outer.cancel(), outer.cancel(), outer.done());
        say!(log, "cancel {first}, again {again}, done {done} {}", outer.cancelled());
        log.say(ended(&outer.await));
        say!(log, "inner done {}", inner.done());
        Ok(())
    });
    lab.lp.close().unwrap();
    lines.extend(lab.log.take());
    assert_eq!(
        lines,
        [
            "1 cancel true, again false, done true true",
            "1 Cancelled",
            "1 inner done false",
            "2 returned ()",
            "- REPORT Task was destroyed but it is pending! (inner)"
        ]
    );
}

#[test]
fn a_failure_after_the_waiter_was_cancelled_is_reported_once() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let late = async {
            sleep(ms(10)).await?;
            Err::<(), _>(Error::msg("too late"))
        };
        let outer = shield(Task::builder().name("inner").prepare(late));
        yield_now().await?;
        outer.cancel();
        assert!((&outer).await.is_err());
        sleep(ms(20)).await?;
        log.say("end");
        Ok(())
    });
    let told = "5 REPORT Task exception was never retrieved (inner): too late";
    assert_eq!(lines, [told, "7 end", "8 returned ()"]);
}

#[test]
fn a_failure_without_a_waiter_is_reported_once() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        drop(shield(async { Err::<(), _>(Error::msg("unheard")) }));
        for _ in 0..3 {
            yield_now().await?;
        }
        log.say("end");
        Ok(())
    });
    // As in CPython: the outer future's done callback holds it until it has run, a turn after the error is set.
    assert_eq!(lines, ["4 REPORT Future exception was never retrieved: unheard", "4 end", "5 returned ()"]);
}

#[test]
fn a_shield_can_be_shielded_and_gathered_and_waited_for() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let work = || {
            create_task(async {
                sleep(ms(1)).await?;
                Ok(7)
            })
        };
        say!(log, "twice {}", shield(shield(work())).await?);
        let inner = work();
        say!(log, "both {:?}", gather([shield(&inner), shield(&inner)]).await?);
        wait_for(shield(work()), HOUR).await
    });
    assert_eq!(lines, ["7 twice 7", "13 both [7, 7]", "19 returned 7"]);
}

#[test]
fn a_gathering_that_only_its_shield_holds_is_waited_for() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let child = |n: i32| async move {
            yield_now().await?;
            Ok(n)
        };
        log.say(format!("{:?}", shield(gather([child(1), child(2)])).await?));
        let all = shield(gather([child(3), child(4)]).return_exceptions());
        log.say(format!("{:?}", wait_for(all, HOUR).await?));
        Ok(())
    });
    assert_eq!(lines, ["6 [1, 2]", "11 [Ok(3), Ok(4)]", "12 returned ()"]);
}

#[test]
fn two_shields_of_one_task_are_cancelled_apart() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inner = create_task(async {
            sleep(ms(1)).await?;
            Ok(7)
        });
        let (one, other) = (shield(&inner), shield(&inner));
        yield_now().await?;
        one.cancel();
        say!(log, "{}, {}", other.await?, one.cancelled());
        Ok(())
    });
    assert_eq!(lines, ["7 7, true", "8 returned ()"]);
}

#[test]
fn a_failure_in_the_turn_in_which_the_waiter_was_cancelled_is_reported_too() {
    // Before 3.14 CPython marks it as read, and it is lost.
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let future = get_running_loop()?.create_future::<()>();
        let outer = shield(&future);
        outer.cancel();
        future.set_error(Error::msg("at the same time"))?;
        drop((outer, future));
        yield_now().await?;
        log.say("end");
        Ok(())
    });
    let told = "2 REPORT Future exception was never retrieved: at the same time";
    assert_eq!(lines, [told, "2 end", "3 returned ()"]);
}

// What follows is looplab's own: a deliberate difference, and what only Rust has.

#[test]
fn dropping_a_shield_does_not_reach_the_inner_one() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let inner = create_task(async {
            sleep(ms(1)).await?;
            Ok("done")
        });
        let mut waiting = Box::pin(shield(&inner).into_future());
        std::future::poll_fn(|cx| {
            assert!(waiting.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(waiting);
        inner.await
    });
    assert_eq!(lines, ["6 returned \"done\""]);
}

#[test]
fn a_shielded_future_that_is_never_set_goes_with_its_last_handle() {
    let lab = Lab::reporting();
    let gone = Rc::new(Cell::new(0));
    let guard = Guard(gone.clone());
    lab.run(async move {
        let future = get_running_loop()?.create_future::<()>();
        future.add_done_callback(move |_| drop(guard));
        let (one, other) = (shield(&future), shield(&future));
        one.cancel();
        yield_now().await?;
        drop((future, one, other));
        Ok(())
    });
    assert_eq!(gone.get(), 1);
}

#[test]
fn a_shield_can_be_read_again_and_again() {
    let lab = Lab::reporting();
    lab.run(async {
        let outer = shield(async { Ok("value".to_owned()) });
        assert_eq!(show(&outer.result().unwrap_err()), "Result is not set.");
        let other = outer.clone();
        assert_eq!((&outer).await?, "value");
        assert_eq!((other.await?, outer.result()?), ("value".to_owned(), "value".to_owned()));
        assert!(outer.done() && !outer.cancelled() && !outer.cancel());
        Ok(())
    });
}

#[test]
fn what_is_shielded_has_one_callback() {
    let (lab, trace) = Lab::traced();
    lab.run(async move {
        let future = get_running_loop()?.create_future();
        let outer = shield(&future);
        trace.take();
        future.set_result(())?;
        assert_eq!(trace.take().iter().filter(|line| *line == "queue done callback").count(), 1);
        outer.await
    });
}

#[test]
fn without_its_loop_nothing_is_shielded() {
    let outer = shield(async { Ok(()) });
    assert!(matches!(outer.result(), Err(Error::NoRunningLoop)));
    assert!(outer.done() && !outer.cancel() && !outer.cancelled());
    let mut by_hand = Coroutine::new(async move { outer.await });
    assert!(matches!(by_hand.send(), Step::Returned(Err(Error::NoRunningLoop))));
}

#[test]
fn a_shield_of_another_loops_future_gives_its_value_at_once_or_is_refused_a_turn_later() {
    let (lab, elsewhere) = (Lab::reporting(), EventLoop::new().unwrap());
    let (done, pending) = (elsewhere.create_future(), elsewhere.create_future::<i32>());
    done.set_result(3).unwrap();
    let (log, awaited) = (lab.log.clone(), pending.clone());
    let lines = lab.run(async move {
        log.say(shield(done).await?);
        log.say(show(&shield(&awaited).await.unwrap_err()));
        log.say(show(&wait_for(shield(awaited), ms(1)).await.unwrap_err()));
        Ok(())
    });
    assert_eq!(lines[0], "1 3");
    assert!(lines[1].starts_with("2 Task ") && lines[1].contains("got Future shield"), "{}", lines[1]);
    assert!(lines[1].ends_with("attached to a different loop"), "{}", lines[1]);
    assert!(lines[2].starts_with("3 Task ") && lines[2].ends_with("to a different loop"), "{}", lines[2]);
    // The shield is a future of that loop, and ends there.
    pending.set_result(4).unwrap();
    assert_eq!(elsewhere.run_until_complete(&pending).unwrap(), 4);
}

#[test]
fn a_shield_of_a_future_whose_loop_is_gone_never_ends_and_is_refused() {
    let lab = Lab::reporting();
    let theirs = EventLoop::new().unwrap().create_future::<()>();
    let lines = lab.run(async move { shield(theirs).await });
    assert!(lines[0].contains(" of a loop that is gone attached to a different loop"), "{}", lines[0]);
}
