//! Waiting for several of looplab's futures at once, with the tools of the `futures` crate.

use super::{started, without_turns};
use futures::future::{Either, join_all, select};
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, join, select_biased};
use looplab::{Future, Result, create_task, get_running_loop, sleep, yield_now};
use std::pin::pin;
use support::{HOUR, Lab, failure, ms, say, show};

/// Three futures of `lab`'s loop.
fn three(lab: &Lab) -> [Future<u32>; 3] {
    std::array::from_fn(|_| lab.lp.create_future())
}

fn outcome(result: &Result<u32>) -> String {
    result.as_ref().map_or_else(show, u32::to_string)
}

#[test]
fn join_goes_on_when_the_last_is_done_whatever_their_order() {
    let lab = Lab::reporting();
    let [a, b, c] = three(&lab);
    let (x, y, z) = (a.clone(), b.clone(), c.clone());
    let task = started(&lab, async move {
        let (x, y, z) = join!(x.into_future(), y.into_future(), z.into_future());
        Ok(x? + y? + z?)
    });
    for future in [c, a, b] {
        assert!(!task.done());
        future.set_result(1).unwrap();
        lab.turn();
    }
    assert_eq!(lab.lp.run_until_complete(&task).unwrap(), 3);
}

#[test]
fn a_task_that_joins_waits_for_all_of_them() {
    let (lab, trace) = Lab::traced();
    let [a, b, c] = three(&lab);
    let (x, y, z) = (a.clone(), b, c);
    let task = started(&lab, async move {
        let _ = join!(x.into_future(), y.into_future(), z.into_future());
        Ok(())
    });
    assert_eq!(trace.take().last().unwrap(), "task waits for future#1, future#2, future#3");
    a.set_result(1).unwrap();
    lab.turn();
    assert_eq!(trace.take().last().unwrap(), "task waits for future#2, future#3");
    task.cancel();
    lab.lp.run_until_complete(&task).unwrap();
}

#[test]
fn what_it_waits_for_is_told_in_the_order_in_which_it_came_to_them() {
    let (lab, trace) = Lab::traced();
    let [a, b, c] = three(&lab);
    let (first, then, second, d) = (a.clone(), c, b, lab.lp.create_future::<u32>());
    let task = started(&lab, async move {
        let one_after_the_other = async {
            first.await?;
            d.await
        };
        let _ = join!(one_after_the_other, second.into_future(), then.into_future());
        Ok(())
    });
    a.set_result(1).unwrap();
    lab.turn();
    assert_eq!(trace.take().last().unwrap(), "task waits for future#2, future#3, future#4");
    task.cancel();
    let asked = [
        "cancel task",
        "future#2 cancelled",
        "queue task.wakeup",
        "future#3 cancelled",
        "future#4 cancelled",
    ];
    assert_eq!(trace.take(), asked);
    lab.lp.run_until_complete(&task).unwrap();
}

#[test]
fn a_cancel_reaches_all_that_are_joined() {
    let (lab, trace) = Lab::traced();
    let [a, b, c] = three(&lab);
    let (x, y, z) = (a.clone(), b.clone(), c.clone());
    let log = lab.log.clone();
    let task = started(&lab, async move {
        let (x, y, z) = join!(x.into_future(), y.into_future(), z.into_future());
        say!(log, "{} {} {}", outcome(&x), outcome(&y), outcome(&z));
        yield_now().await?;
        Ok("swallowed")
    });
    b.set_result(5).unwrap();
    lab.turn();
    trace.take();
    assert!(task.cancel_msg("c"));
    assert!(a.cancelled() && !b.cancelled() && c.cancelled());
    let asked = ["cancel task", "future#1 cancelled", "queue task.wakeup", "future#3 cancelled"];
    assert_eq!(trace.take(), asked);
    // Each of them tells its own cancellation, and nothing is left to be thrown at the yield.
    assert_eq!(lab.lp.run_until_complete(&task).unwrap(), "swallowed");
    assert_eq!(lab.log.take(), ["3 Cancelled(c) 5 Cancelled(c)"]);
}

#[test]
fn a_cancel_of_oneself_reaches_all_that_are_joined_next() {
    let lab = Lab::reporting();
    let [a, b, _] = three(&lab);
    let (x, y) = (a.clone(), b.clone());
    let lines = lab.run(async move {
        looplab::current_task().unwrap().cancel_msg("self");
        let (x, y) = join!(x.into_future(), y.into_future());
        assert_eq!((outcome(&x), outcome(&y)), ("Cancelled(self)".to_owned(), "Cancelled(self)".to_owned()));
        Ok(())
    });
    assert_eq!(lines, ["3 returned ()"]);
    assert!(a.cancelled() && b.cancelled());
}

#[test]
fn what_came_in_the_turn_of_the_cancel_is_kept_if_another_could_be_cancelled() {
    let lab = Lab::reporting();
    let [a, b, _] = three(&lab);
    let (x, y, log) = (a.clone(), b, lab.log.clone());
    let task = started(&lab, async move {
        let (x, y) = join!(x.into_future(), y.into_future());
        say!(log, "{} {}", outcome(&x), outcome(&y));
        Ok(())
    });
    a.set_result(1).unwrap();
    assert!(task.cancel());
    lab.lp.run_until_complete(&task).unwrap();
    assert_eq!(lab.log.take(), ["2 1 Cancelled"]);
}

#[test]
fn what_came_in_the_turn_of_the_cancel_is_lost_if_nothing_else_was_pending() {
    let lab = Lab::reporting();
    let [a, b, _] = three(&lab);
    let (x, y, log) = (a.clone(), b.clone(), lab.log.clone());
    let task = started(&lab, async move {
        let (x, y) = join!(x.into_future(), y.into_future());
        say!(log, "{} {}", outcome(&x), outcome(&y));
        Ok(())
    });
    a.set_result(1).unwrap();
    b.set_result(2).unwrap();
    assert!(task.cancel());
    lab.lp.run_until_complete(&task).unwrap();
    // One request, one delivery: the first that is polled takes it.
    assert_eq!(lab.log.take(), ["2 Cancelled 2"]);
}

#[test]
fn joined_tasks_run_at_the_same_time_and_a_cancel_goes_down_to_each() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let child = |name: &'static str| {
            let log = log.clone();
            create_task(async move {
                let thrown = sleep(HOUR).await;
                say!(log, "{name} {}", failure(thrown.clone()));
                thrown
            })
        };
        let (one, two) = (child("one"), child("two"));
        let joiner = create_task(async move { join!(one.into_future(), two.into_future()).0 });
        yield_now().await?;
        yield_now().await?;
        assert!(joiner.cancel_msg("down"));
        joiner.await
    });
    assert_eq!(lines, ["4 one Cancelled(down)", "4 two Cancelled(down)", "7 raised Cancelled(down)"]);
}

#[test]
fn futures_unordered_gives_them_in_the_order_of_completion() {
    let lab = Lab::reporting();
    let [a, b, c] = three(&lab);
    let (all, log) = (three_names(&[&a, &b, &c]), lab.log.clone());
    let task = started(&lab, async move {
        let mut all: FuturesUnordered<_> = all.into_iter().collect();
        while let Some((name, value)) = all.next().await {
            say!(log, "{name} {}", outcome(&value));
        }
        Ok(())
    });
    b.set_result(2).unwrap();
    lab.turn();
    c.set_result(3).unwrap();
    lab.turn();
    a.set_result(1).unwrap();
    lab.lp.run_until_complete(&task).unwrap();
    assert_eq!(lab.log.take(), ["2 b 2", "3 c 3", "4 a 1"]);
}

/// Each future with its name.
fn three_names(
    futures: &[&Future<u32>; 3],
) -> Vec<impl std::future::Future<Output = (char, Result<u32>)> + use<>> {
    ['a', 'b', 'c']
        .into_iter()
        .zip(futures)
        .map(|(name, f)| f.into_future().map(move |r| (name, r)))
        .collect()
}

#[test]
fn a_cancel_reaches_all_of_futures_unordered() {
    // They are polled through wakers of their own, and only when they are woken; they are waited on all the same.
    let (lab, trace) = Lab::traced();
    let [a, b, c] = three(&lab);
    let (all, log) = (three_names(&[&a, &b, &c]), lab.log.clone());
    let task = started(&lab, async move {
        let mut all: FuturesUnordered<_> = all.into_iter().collect();
        while let Some((name, value)) = all.next().await {
            say!(log, "{name} {}", outcome(&value));
        }
        yield_now().await
    });
    b.set_result(2).unwrap();
    lab.turn();
    lab.log.take();
    trace.take();
    assert!(task.cancel_msg("c"));
    let asked = without_turns(trace.take());
    assert_eq!(asked, ["cancel task", "future#1 cancelled", "queue task.wakeup", "future#3 cancelled"]);
    lab.lp.run_until_complete(&task).unwrap();
    let mut told = lab.log.take();
    told.sort();
    assert_eq!(told, ["3 a Cancelled(c)", "3 c Cancelled(c)"]);
}

#[test]
fn many_at_once_are_all_heard() {
    // From 31 on `join_all` waits through wakers of its own.
    for count in [5, 30, 31, 100] {
        let lab = Lab::reporting();
        let futures: Vec<Future<usize>> = (0..count).map(|_| lab.lp.create_future()).collect();
        let awaited: Vec<_> = futures.iter().map(|future| future.into_future()).collect();
        let task = started(&lab, async move { join_all(awaited).await.into_iter().sum::<Result<usize>>() });
        for (n, future) in futures.iter().enumerate().rev() {
            future.set_result(n).unwrap();
            if n % 3 == 0 {
                lab.turn();
            }
        }
        assert_eq!(lab.lp.run_until_complete(&task).unwrap(), count * (count - 1) / 2);
    }
}

#[test]
fn the_loser_of_a_select_is_let_go() {
    let lab = Lab::reporting();
    let [a, b, _] = three(&lab);
    let (x, y) = (a.clone(), b.clone());
    let task = started(&lab, async move {
        let first = {
            let (x, y) = (pin!(x.into_future()), pin!(y.into_future()));
            match select(x, y).await {
                Either::Left((value, _)) => value?,
                Either::Right((value, _)) => value? + 10,
            }
        };
        yield_now().await?;
        yield_now().await?;
        Ok(first)
    });
    b.set_result(1).unwrap();
    lab.turn();
    assert!(task.cancel(), "it yields: the cancel is thrown there");
    assert!(!a.done(), "and not to the loser");
    assert_eq!(failure(lab.lp.run_until_complete(&task)), "Cancelled");
    a.set_result(1).unwrap();
    assert!(lab.lp.snapshot().ready.is_empty());
}

#[test]
fn a_timeout_made_of_select_leaves_no_timer() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let quick = create_task(async { Ok(1) });
        let value = match select(pin!(quick.into_future()), pin!(sleep(HOUR))).await {
            Either::Left((value, _)) => value,
            Either::Right(_) => unreachable!("an hour has not passed"),
        };
        assert!(get_running_loop()?.snapshot().timers.iter().all(|timer| timer.cancelled));
        value
    });
    assert_eq!(lines, ["4 returned 1"]);
}

#[test]
fn a_handle_polled_by_reference_counts_as_waited_on_until_the_next_step() {
    // asyncio has no counterpart: there an await is of one thing (docs/differences.md).
    for steps_later in [0, 1] {
        let lab = Lab::reporting();
        let [kept, _, next] = three(&lab);
        let (mut by_reference, awaited) = ((&kept).into_future(), next.clone());
        let task = started(&lab, async move {
            select_biased! {
                _ = (&mut by_reference).fuse() => unreachable!("nobody sets it"),
                slept = sleep(ms(1)).fuse() => slept?,
            }
            if steps_later == 1 {
                yield_now().await?;
            }
            let thrown = awaited.await;
            drop(by_reference);
            thrown
        });
        // The timer in turn 2, the step after it in turn 3, the yield in turn 4.
        while lab.lp.turns() < 3 + steps_later {
            lab.lp.run_once().unwrap();
        }
        assert!(task.cancel());
        assert!(next.cancelled());
        assert_eq!(kept.cancelled(), steps_later == 0);
        assert_eq!(failure(lab.lp.run_until_complete(&task)), "Cancelled");
    }
}
