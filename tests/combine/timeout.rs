//! `timeout`, `timeout_at` and `Timeout`: asyncio's rules, one test each. The turns and the counts of
//! `cancelling()` are those of CPython 3.13. The arrows are those of `src/combine/timeout.rs`. A deliberate difference and
//! what only Rust has stand in the room `own`.
//!
//! One rule has no counterpart: Python inserts a `TimeoutError` into the `__context__` of an error that replaces the
//! cancellation. Errors of Rust have no such chain.

mod own;

use looplab::{
    Coroutine, Error, Result, ReturnWhen, Step, Task, Timeout, all_tasks, create_task, current_task,
    get_running_loop, sleep, timeout, timeout_at, wait, yield_now,
};
use support::{HOUR, Lab, forever, ms, pass_on, say, show, swallow};

pub(crate) fn cancelling() -> u32 {
    current_task().unwrap().cancelling()
}

/// An outcome as the logs show it.
pub(crate) fn ended<T>(outcome: &Result<T>) -> String {
    outcome.as_ref().map_or_else(show, |_| "a value".to_owned())
}

pub(crate) async fn all_done<T: 'static>(task: &Task<T>) -> Result<()> {
    wait([task.clone()], ReturnWhen::AllCompleted, None).await.map(drop)
}

#[test]
fn a_timeout_costs_no_turn_and_no_task() {
    // arrows 1 and 2
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let this = current_task();
        timeout(HOUR, async {
            say!(log, "same task: {}, tasks: {}", current_task() == this, all_tasks().len());
        })
        .await
    });
    assert_eq!(lines, ["1 same task: true, tasks: 1", "2 returned ()"]);
}

#[test]
fn when_the_time_is_over_the_task_is_cancelled_and_the_scope_raises_timed_out() {
    // arrows 3 and 4
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let late = timeout(ms(10), async {
            let slept = sleep(HOUR).await;
            say!(log, "body {}, cancelling {}", ended(&slept), cancelling());
            slept
        });
        say!(log, "{}, cancelling {}", ended(&late.await), cancelling());
        sleep(ms(1)).await
    });
    assert_eq!(lines, ["3 body Cancelled, cancelling 1", "3 timed out, cancelling 0", "6 returned ()"]);
}

#[test]
fn a_past_deadline_expires_in_the_next_turn_and_a_later_one_through_a_timer() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let now = get_running_loop()?.time();
        assert!(matches!(timeout_at(now, forever()).await, Err(Error::TimedOut)));
        log.say("past");
        assert!(matches!(timeout_at(now + ms(5), forever()).await, Err(Error::TimedOut)));
        log.say("later");
        Ok(())
    });
    assert_eq!(lines, ["3 past", "5 later", "6 returned ()"]);
}

#[test]
fn timeout_zero_lets_the_body_run_to_its_first_suspension() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(timeout(ms(0), async move {
        log.say("runs");
        yield_now().await?;
        log.say("never");
        Ok(())
    }));
    assert_eq!(lines, ["1 runs", "3 raised timed out"]);
}

#[test]
fn a_body_without_suspension_never_expires() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let done = get_running_loop()?.create_future();
        done.set_result(7)?;
        let limit = Timeout::after(ms(0))?;
        let value = limit.run(done).await?;
        say!(log, "expired {}", limit.expired());
        yield_now().await?;
        Ok(value)
    });
    assert_eq!(lines, ["1 expired false", "3 returned 7"]);
}

#[test]
fn a_swallowed_cancellation_leaves_expired_and_no_error() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let limit = Timeout::after(ms(1))?;
        let value = limit
            .run(async {
                let value = swallow(log.clone(), "body", 5).await?;
                say!(log, "expired {}, cancelling {}", limit.expired(), cancelling());
                Ok(value)
            })
            .await?;
        say!(log, "expired {}, cancelling {}", limit.expired(), cancelling());
        yield_now().await?;
        Ok(value)
    });
    assert_eq!(
        lines,
        ["3 body Cancelled", "3 expired true, cancelling 1", "3 expired true, cancelling 0", "5 returned 5"]
    );
}

#[test]
fn a_timeout_and_an_external_cancel_in_the_same_turn_are_a_cancellation() {
    let lab = Lab::reporting();
    let mut lines = Vec::new();
    for cancel_comes_first in [true, false] {
        let log = lab.log.clone();
        lines.extend(lab.run(async move {
            let inside = log.clone();
            let worker = create_task(async move {
                let limit = Timeout::after(ms(1))?;
                let outcome = limit.run(forever()).await;
                let expired = limit.expired();
                say!(inside, "{}, cancelling {}, expired {expired}", ended(&outcome), cancelling());
                outcome
            });
            let task = worker.clone();
            if !cancel_comes_first {
                yield_now().await?;
            }
            get_running_loop()?
                .call_later(ms(1), move || task.cancel_msg("outside").then_some(()).unwrap())?;
            all_done(&worker).await?;
            say!(log, "cancelled {}", worker.cancelled());
            Ok(())
        }));
    }
    assert_eq!(
        lines,
        [
            "4 Cancelled(outside), cancelling 1, expired true",
            "6 cancelled true",
            "7 returned ()",
            "11 Cancelled, cancelling 1, expired true",
            "13 cancelled true",
            "14 returned ()"
        ]
    );
}

#[test]
fn an_external_cancel_before_the_time_is_over_passes() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let worker = create_task(async move {
            let limit = Timeout::after(HOUR)?;
            let outcome = limit.run(forever()).await;
            let expired = limit.expired();
            say!(log, "{}, cancelling {}, expired {expired}", ended(&outcome), cancelling());
            outcome
        });
        yield_now().await?;
        worker.cancel_msg("outside");
        worker.await
    });
    assert_eq!(lines, ["3 Cancelled(outside), cancelling 1, expired false", "5 raised Cancelled(outside)"]);
}

/// Two nested timeouts around a body that waits for ever.
fn nested(lab: &Lab, outer: u64, inner: u64) -> Vec<String> {
    let log = lab.log.clone();
    lab.run(async move {
        let (outer, inner) = (Timeout::after(ms(outer))?, Timeout::after(ms(inner))?);
        let outcome = outer.run(async {
            let outcome = inner.run(forever()).await;
            say!(log, "inner {}", ended(&outcome));
            outcome
        });
        say!(log, "outer {}", ended(&outcome.await));
        let expired = (outer.expired(), inner.expired());
        say!(log, "expired: outer {}, inner {}, cancelling {}", expired.0, expired.1, cancelling());
        Ok(())
    })
}

#[test]
fn of_nested_timeouts_the_one_that_fired_raises_and_the_other_has_not_expired() {
    let lab = Lab::reporting();
    let mut lines = nested(&lab, 1, 5);
    lines.extend(nested(&lab, 5, 1));
    assert_eq!(
        lines,
        [
            "3 inner Cancelled",
            "3 outer timed out",
            "3 expired: outer true, inner false, cancelling 0",
            "4 returned ()",
            "7 inner timed out",
            "7 outer timed out",
            "7 expired: outer false, inner true, cancelling 0",
            "8 returned ()"
        ]
    );
}

#[test]
fn of_nested_timeouts_that_fire_in_one_turn_the_outer_one_raises() {
    let lab = Lab::reporting();
    let lines = nested(&lab, 1, 1);
    assert_eq!(
        lines,
        [
            "3 inner Cancelled",
            "3 outer timed out",
            "3 expired: outer true, inner true, cancelling 0",
            "4 returned ()"
        ]
    );
}

#[test]
fn an_error_of_the_body_passes_and_so_does_one_that_replaces_the_cancellation() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let limit = Timeout::after(HOUR)?;
        let outcome = limit.run(async { Err::<(), _>(Error::msg("early")) }).await;
        say!(log, "{}, expired {}", ended(&outcome), limit.expired());

        let limit = Timeout::after(ms(1))?;
        let outcome = limit.run(async {
            swallow(log.clone(), "body", ()).await?;
            Err::<(), _>(Error::msg("late"))
        });
        let outcome = outcome.await;
        say!(log, "{}, expired {}, cancelling {}", ended(&outcome), limit.expired(), cancelling());
        Ok(())
    });
    assert_eq!(
        lines,
        ["1 early, expired false", "3 body Cancelled", "3 late, expired true, cancelling 0", "4 returned ()"]
    );
}

#[test]
fn a_result_that_arrived_in_the_same_turn_is_lost_to_the_timeout() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let future = get_running_loop()?.create_future();
        let setter = future.clone();
        get_running_loop()?.call_later(ms(1), move || setter.set_result(1))?;
        timeout(ms(1), future).await
    });
    assert_eq!(lines, ["4 raised timed out"]);
}

#[test]
fn the_body_may_await_while_it_cleans_up() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let lp = get_running_loop()?;
        let began = lp.time();
        let outcome = timeout(ms(1), async {
            let waited = forever().await;
            sleep(ms(50)).await?;
            log.say("cleaned up");
            waited
        });
        let outcome = outcome.await;
        say!(log, "{} ms", (lp.time() - began).as_millis());
        outcome
    });
    assert_eq!(lines, ["5 cleaned up", "5 51 ms", "6 raised timed out"]);
}

#[test]
fn a_request_that_was_swallowed_before_the_scope_does_not_disturb_it() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let worker = create_task(async move {
            swallow(log.clone(), "worker", ()).await?;
            let outcome = timeout(ms(1), forever()).await;
            say!(log, "{}, cancelling {}", ended(&outcome), cancelling());
            Ok(())
        });
        yield_now().await?;
        worker.cancel();
        worker.await
    });
    assert_eq!(lines, ["3 worker Cancelled", "5 timed out, cancelling 1", "7 returned ()"]);
}

#[test]
fn a_request_that_the_body_swallowed_wins_over_the_timeout() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let worker = create_task(async move {
            let outcome = timeout(ms(5), async {
                swallow(log.clone(), "body", ()).await?;
                forever().await
            });
            let outcome = outcome.await;
            say!(log, "{}, cancelling {}", ended(&outcome), cancelling());
            Ok(())
        });
        yield_now().await?;
        worker.cancel();
        worker.await
    });
    assert_eq!(lines, ["3 body Cancelled", "5 Cancelled, cancelling 1", "7 returned ()"]);
}

#[test]
fn the_cancellation_goes_down_to_a_task_that_the_body_awaits() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let child = create_task(pass_on(log.clone(), "child"));
        let outcome = timeout(ms(1), &child).await;
        let (cancelled, count) = (child.cancelled(), child.cancelling());
        say!(log, "{}, child cancelled {cancelled}, cancelling {count}", ended(&outcome));
        Ok(())
    });
    assert_eq!(
        lines,
        ["4 child Cancelled", "5 timed out, child cancelled true, cancelling 1", "6 returned ()"]
    );
}

#[test]
fn without_a_limit_nothing_expires() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let limit = Timeout::after(None)?;
        let body = async {
            say!(log, "when {}", limit.when().is_none());
            sleep(HOUR * 24 * 30).await
        };
        limit.run(body).await?;
        say!(log, "expired {}", limit.expired());
        Ok(())
    });
    assert_eq!(lines, ["1 when true", "32 expired false", "33 returned ()"]);
}

#[test]
fn a_limit_can_be_moved_by_the_body_and_from_outside() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let lp = get_running_loop()?;
        let start = lp.time();
        let passed = || (get_running_loop().unwrap().time() - start).as_millis();

        let limit = Timeout::after(ms(10))?;
        let body = async {
            limit.reschedule(start + ms(50))?;
            sleep(ms(30)).await
        };
        limit.run(body).await?;
        say!(log, "later: {} ms, expired {}", passed(), limit.expired());

        let limit = Timeout::after(HOUR)?;
        let mover = limit.clone();
        let to_the_past = move || mover.reschedule(get_running_loop()?.time());
        let body = async {
            get_running_loop()?.call_later(ms(5), to_the_past)?;
            forever().await
        };
        assert!(matches!(limit.run(body).await, Err(Error::TimedOut)));
        say!(log, "to the past: {} ms", passed());

        let limit = Timeout::after(ms(10))?;
        let body = async {
            limit.reschedule(None)?;
            sleep(HOUR).await
        };
        limit.run(body).await?;
        say!(log, "away: {} ms, when {}", passed(), limit.when().is_none());
        Ok(())
    });
    assert_eq!(
        lines,
        [
            "3 later: 30 ms, expired false",
            "6 to the past: 35 ms",
            "8 away: 3600035 ms, when true",
            "9 returned ()"
        ]
    );
}

#[test]
fn a_limit_cannot_be_moved_before_or_after_its_time() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let limit = Timeout::after(HOUR)?;
        let refused = |limit: &Timeout| say!(log, "{}", ended(&limit.reschedule(None)));
        refused(&limit);
        limit.run(async {}).await?;
        refused(&limit);
        let limit = Timeout::after(ms(1))?;
        let body = async {
            let waited = forever().await;
            refused(&limit);
            waited
        };
        assert!(matches!(limit.run(body).await, Err(Error::TimedOut)));
        refused(&limit);
        Ok(())
    });
    assert_eq!(
        lines,
        [
            "1 Timeout has not been entered",
            "1 Cannot change state of finished Timeout",
            "3 Cannot change state of expiring Timeout",
            "3 Cannot change state of expired Timeout",
            "4 returned ()"
        ]
    );
}

#[test]
fn a_limit_can_be_used_once() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let never = || async { unreachable!("the limit was used before") };
        let limit = Timeout::after(HOUR)?;
        limit.run(async {}).await?;
        say!(log, "{}", ended(&limit.run(never()).await));
        let limit = Timeout::after(HOUR)?;
        limit.run(limit.run(never())).await
    });
    assert_eq!(lines, ["1 Timeout has already been entered", "2 raised Timeout has already been entered"]);
}

#[test]
fn outside_of_a_task_there_is_no_timeout() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        get_running_loop()?.call_soon(move || {
            let mut by_hand = Coroutine::new(timeout(HOUR, async { unreachable!("no task") }));
            let Step::<()>::Returned(outcome) = by_hand.send() else { panic!("it cannot wait") };
            say!(log, "{}", ended(&outcome));
        })?;
        yield_now().await
    });
    assert_eq!(lines, ["2 Timeout should be used inside a task", "3 returned ()"]);
}

#[test]
fn the_timer_is_taken_back_at_the_end() {
    let lab = Lab::reporting();
    let (log, lp) = (lab.log.clone(), lab.lp.clone());
    let lines = lab.run(async move {
        timeout(HOUR, yield_now()).await?;
        say!(log, "timers {}", lp.snapshot().timers.iter().filter(|timer| !timer.cancelled).count());
        Ok(())
    });
    assert_eq!(lines, ["2 timers 0", "3 returned ()"]);
}
