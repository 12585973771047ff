//! `Future`: asyncio's rules, one test each. The arrows are those of `src/task/future_core.rs`.
//!
//! CPython's `set_exception(StopIteration)` has no counterpart: Rust has no exception that means "finished". What a
//! failed future reports when it is dropped unread is in `reports.rs`.

use looplab::{Error, EventLoop, Future, Task, create_task, gather, get_running_loop, yield_now};
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use support::{Guard, Lab, failure, say, show};

#[test]
fn a_result_can_be_set_once() {
    // arrow 1
    let lab = Lab::reporting();
    let future = lab.lp.create_future();
    assert!(!future.done() && !future.cancelled());
    future.set_result(1).unwrap();
    assert!(future.done() && !future.cancelled());
    assert_eq!(failure(future.set_result(2)), "invalid state");
    assert_eq!(failure(future.set_error(Error::msg("late"))), "invalid state");
    assert!(!future.cancel());
    assert_eq!(future.result().unwrap(), 1);
    assert!(future.error().unwrap().is_none());
}

#[test]
fn an_error_can_be_set_once() {
    // arrow 2
    let lab = Lab::reporting();
    let future = lab.lp.create_future::<i32>();
    future.set_error(Error::msg("boom")).unwrap();
    assert!(future.done() && !future.cancelled());
    assert_eq!(failure(future.set_result(2)), "invalid state");
    assert_eq!(failure(future.set_error(Error::msg("late"))), "invalid state");
    assert!(!future.cancel());
    assert_eq!(failure(future.result()), "boom");
    assert_eq!(future.error().unwrap().unwrap().to_string(), "boom");
}

#[test]
fn a_cancelled_future_stays_cancelled() {
    // arrow 3
    let lab = Lab::reporting();
    let future = lab.lp.create_future();
    assert!(future.cancel_msg("first"));
    assert!(!future.cancel_msg("second"));
    assert!(future.done() && future.cancelled());
    assert_eq!(failure(future.set_result(2)), "invalid state");
    assert_eq!(failure(future.set_error(Error::msg("late"))), "invalid state");
    // The message is kept for every reader.
    for _ in 0..2 {
        assert_eq!(failure(future.result()), "Cancelled(first)");
        assert_eq!(failure(future.error()), "Cancelled(first)");
    }
}

#[test]
fn a_pending_future_has_no_result_and_no_error() {
    let lab = Lab::reporting();
    let future = lab.lp.create_future::<i32>();
    assert!(matches!(future.result(), Err(Error::InvalidState("Result is not set."))));
    assert!(matches!(future.error(), Err(Error::InvalidState("Exception is not set."))));
}

#[test]
fn cancelling_without_a_message_gives_an_empty_cancellation() {
    let lab = Lab::reporting();
    let future = lab.lp.create_future::<()>();
    assert!(future.cancel());
    assert!(matches!(future.result(), Err(Error::Cancelled(None))));
}

#[test]
fn cancelling_a_failed_future_silences_its_report() {
    let lab = Lab::reporting();
    let future = lab.lp.create_future::<()>();
    future.set_error(Error::msg("unread")).unwrap();
    assert!(!future.cancel());
    drop(future);
    assert!(lab.log.take().is_empty());
}

#[test]
fn callbacks_and_awaiters_run_one_turn_later_in_order_of_registration() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let future = get_running_loop()?.create_future();
        let callback = |name: &'static str| {
            let log = log.clone();
            future.add_done_callback(move |_| log.say(name));
        };
        let waiter = |name: &'static str| {
            let (log, future) = (log.clone(), future.clone());
            create_task(async move {
                say!(log, "{name} {}", future.await?);
                Ok(())
            })
        };
        callback("callback 1");
        let (first, second) = (waiter("task 1"), waiter("task 2"));
        yield_now().await?;
        callback("callback 2");
        let third = waiter("task 3");
        yield_now().await?;
        future.set_result("v")?;
        callback("callback 3");
        log.say("set");
        gather([first, second, third]).await.map(drop)
    });
    let told = ["3 set", "4 callback 1", "4 task 1 v", "4 task 2 v", "4 callback 2", "4 task 3 v"];
    assert_eq!(lines[..6], told);
    assert_eq!(lines[6..], ["4 callback 3", "7 returned ()"]);
}

#[test]
fn a_callback_added_by_a_callback_waits_for_the_next_turn() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let future = get_running_loop()?.create_future();
        future.add_done_callback(move |future: &Future<i32>| {
            log.say("outer");
            future.add_done_callback(move |_| log.say("inner"));
        });
        future.set_result(1)?;
        yield_now().await?;
        yield_now().await
    });
    assert_eq!(lines, ["2 outer", "3 inner", "4 returned ()"]);
}

#[test]
fn a_done_callback_gets_the_future() {
    let lab = Lab::reporting();
    let (log, future) = (lab.log.clone(), lab.lp.create_future());
    let same = future.clone();
    future.add_done_callback(move |done| {
        assert!(*done == same);
        log.say(done.result().unwrap());
    });
    future.set_result("value").unwrap();
    lab.turn();
    assert_eq!(lab.log.take(), ["1 value"]);
}

#[test]
fn removing_a_callback_tells_how_many_went() {
    let lab = Lab::reporting();
    let (log, future) = (lab.log.clone(), lab.lp.create_future());
    let removed = future.add_done_callback(|_| unreachable!("removed"));
    assert_eq!(future.remove_done_callback(removed), 1);
    assert_eq!(future.remove_done_callback(removed), 0);

    // What is queued already cannot be removed.
    let queued = future.add_done_callback(move |_| log.say("queued"));
    future.set_result(()).unwrap();
    assert_eq!(future.remove_done_callback(queued), 0);
    lab.turn();
    assert_eq!(lab.log.take(), ["1 queued"]);
}

#[test]
fn a_callback_cannot_remove_one_that_is_queued_with_it() {
    let lab = Lab::reporting();
    let (log, future) = (lab.log.clone(), lab.lp.create_future());
    let second = Rc::new(Cell::new(None));
    let (second_of, said) = (second.clone(), log.clone());
    future.add_done_callback(move |future: &Future<()>| {
        say!(said, "removed {}", future.remove_done_callback(second_of.get().unwrap()));
    });
    second.set(Some(future.add_done_callback(move |_| log.say("second"))));
    future.set_result(()).unwrap();
    lab.turn();
    assert_eq!(lab.log.take(), ["1 removed 0", "1 second"]);
}

#[test]
fn removing_a_callback_drops_what_it_owns() {
    let lab = Lab::reporting();
    let future = lab.lp.create_future::<()>();
    let drops = Rc::new(Cell::new(0));
    let guard = Guard(drops.clone());
    let id = future.add_done_callback(move |_| drop(guard));
    assert_eq!((future.remove_done_callback(id), drops.get()), (1, 1));
}

#[test]
fn a_failing_callback_is_reported_and_the_others_run() {
    let lab = Lab::reporting();
    let (log, future) = (lab.log.clone(), lab.lp.create_future());
    future.add_done_callback(|_| Err::<(), _>(Error::msg("no")));
    future.add_done_callback(|_| panic!("oops"));
    future.add_done_callback(move |_| log.say("third"));
    future.set_result(()).unwrap();
    lab.turn();
    let lines = lab.log.take();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, error) in lines.iter().zip(["no", "Panic(oops)"]) {
        assert!(line.starts_with("1 REPORT Exception in callback ") && line.ends_with(error), "{line}");
    }
    assert_eq!(lines[2], "1 third");
}

#[test]
fn awaiting_a_done_future_does_not_suspend() {
    let (lab, trace) = Lab::traced();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let future = get_running_loop()?.create_future();
        future.set_result(1)?;
        say!(log, "{}", (&future).await? + future.await?);
        Ok(())
    });
    assert_eq!(lines, ["1 2", "2 returned ()"]);
    let steps: Vec<String> = trace.take().into_iter().filter(|line| line.starts_with("step")).collect();
    assert_eq!(steps.len(), 1, "{steps:?}");
}

#[test]
fn every_awaiter_gets_the_error() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let future = get_running_loop()?.create_future::<()>();
        let waiters = [1, 2].map(|n| {
            let (log, future) = (log.clone(), future.clone());
            create_task(async move {
                say!(log, "{n} {}", failure(future.await));
                Ok(())
            })
        });
        yield_now().await?;
        future.set_error(Error::msg("x"))?;
        gather(waiters).await.map(drop)
    });
    assert_eq!(lines, ["3 1 x", "3 2 x", "6 returned ()"]);
}

#[test]
fn cancelling_a_future_cancels_its_awaiter_unless_it_catches() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let future = get_running_loop()?.create_future::<()>();
        let awaited = future.clone();
        let task = create_task(async move { awaited.await });
        yield_now().await?;
        assert!(future.cancel_msg("gone"));
        say!(log, "{}", failure((&task).await));
        // The task itself was not asked.
        assert_eq!((task.cancelled(), task.cancelling()), (true, 0));
        Ok(())
    });
    assert_eq!(lines, ["4 Cancelled(gone)", "5 returned ()"]);
}

#[test]
fn a_result_set_between_two_runs_wakes_its_awaiter_first_thing_in_the_next() {
    let (lab, trace) = Lab::traced();
    let future = lab.lp.create_future();
    let awaited = future.clone();
    let task = Task::builder().name("waiter").spawn_on(&lab.lp, async move { awaited.await });
    lab.turn();
    trace.take();
    future.set_result(6).unwrap();
    assert_eq!(lab.lp.run_until_complete(&task).unwrap(), 6);
    assert_eq!(
        trace.take(),
        [
            "future#1 ok",
            "queue waiter.wakeup",
            "turn 2",
            "step waiter",
            "waiter ok",
            "queue done callback",
            "turn 3"
        ]
    );
}

/// Polls a future once and gives it back if it is pending.
struct PollOnce<'a, F>(Pin<&'a mut F>);

impl<F: std::future::Future> std::future::Future for PollOnce<'_, F> {
    type Output = bool;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        Poll::Ready(self.0.as_mut().poll(cx).is_ready())
    }
}

#[test]
fn an_await_that_was_dropped_wakes_no_task() {
    let (lab, trace) = Lab::traced();
    let (left, other) = (lab.lp.create_future::<()>(), lab.lp.create_future::<()>());
    let (given_up, awaited) = (left.clone(), other.clone());
    let task = Task::builder().name("t").spawn_on(&lab.lp, async move {
        {
            let waiting = pin!(given_up.into_future());
            assert!(!PollOnce(waiting).await);
        }
        awaited.await
    });
    let task = task;
    lab.turn();
    assert_eq!(trace.take()[3..], ["step t", "t waits for future#2"]);
    left.set_result(()).unwrap();
    lab.turn();
    assert_eq!(trace.take(), ["future#1 ok", "turn 2"]);
    other.set_result(()).unwrap();
    lab.lp.run_until_complete(&task).unwrap();
}

#[test]
fn setting_a_result_on_a_closed_loop_changes_the_state_and_says_closed() {
    let lab = Lab::reporting();
    let heard = lab.lp.create_future();
    heard.add_done_callback(|_| unreachable!("the loop is closed"));
    lab.lp.close().unwrap();
    assert_eq!(failure(heard.set_result(1)), "Event loop is closed");
    assert_eq!((heard.done(), heard.result().unwrap()), (true, 1));

    // Without anybody to tell there is nothing wrong; a future can still be made.
    let unheard = lab.lp.create_future();
    unheard.set_result(2).unwrap();
    assert_eq!(unheard.result().unwrap(), 2);
}

#[test]
fn a_future_outlives_its_loop() {
    let lab = Lab::reporting();
    let future = lab.lp.create_future();
    assert!(future.event_loop().is_some_and(|lp| lp == lab.lp));
    future.add_done_callback(|_| unreachable!("the loop is gone"));
    drop(lab);
    assert!(future.event_loop().is_none());
    assert_eq!(failure(future.set_result(())), "Event loop is closed");
    future.add_done_callback(|_| unreachable!("the loop is gone"));
    assert!(future.done());
}

#[test]
fn two_handles_of_one_future_are_equal() {
    let lab = Lab::reporting();
    let (one, other) = (lab.lp.create_future::<i32>(), lab.lp.create_future::<i32>());
    assert!(one == one.clone() && one != other);
    assert_eq!((one.id(), other.id()), (1, 2));
    one.clone().set_result(3).unwrap();
    assert_eq!(one.result().unwrap(), 3);
}

#[test]
fn a_future_shows_its_state_and_where_it_was_made() {
    let lab = Lab::reporting();
    let futures: [Future<()>; 4] = std::array::from_fn(|_| lab.lp.create_future());
    let line = line!() - 1;
    futures[1].set_result(()).unwrap();
    futures[2].set_error(Error::msg("x")).unwrap();
    futures[3].cancel();
    for (future, state) in futures.iter().zip(["pending", "finished", "failed", "cancelled"]) {
        assert_eq!(format!("{future:?}"), format!("<Future {state} created at {}:{line}>", file!()));
    }
    futures[2].error().unwrap();
}

#[test]
fn a_refused_value_is_dropped_with_no_borrow_held() {
    struct Looks(Future<Looks>, Rc<Cell<u32>>);
    impl Drop for Looks {
        fn drop(&mut self) {
            // It uses the future that refuses it, and may.
            assert_eq!(show(&self.0.error().unwrap_err()), "Cancelled");
            self.0.cancel();
            self.1.set(self.1.get() + 1);
        }
    }
    let lab = Lab::reporting();
    let (future, drops) = (lab.lp.create_future(), Rc::new(Cell::new(0)));
    future.cancel();
    assert!(future.set_result(Looks(future.clone(), drops.clone())).is_err());
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_future_of_a_failed_run_can_be_read_again_and_again() {
    let lab = Lab::reporting();
    let future = lab.lp.create_future::<()>();
    future.set_error(Error::msg("x")).unwrap();
    for turns in [1, 2] {
        assert_eq!(failure(lab.lp.run_until_complete(&future)), "x");
        assert_eq!(lab.lp.turns(), turns);
    }
}

#[test]
fn a_future_of_another_loop_cannot_be_run() {
    let lab = Lab::reporting();
    let elsewhere = EventLoop::new().unwrap();
    let future = elsewhere.create_future::<()>();
    let text = "The future belongs to a different loop than the one specified as the loop argument";
    assert_eq!(failure(lab.lp.run_until_complete(&future)), text);
    assert_eq!(lab.lp.turns(), 0);
}

#[test]
fn an_await_that_a_callback_drops_drops_its_result_at_once() {
    let lab = Lab::reporting();
    let dropped = Rc::new(Cell::new(0));
    let count = dropped.clone();
    // Awaits one future after the other; each await is polled by the task, and dropped by the callback that sets its result.
    let before_each = lab.lp.run_until_complete(async move {
        let mut before_each = Vec::new();
        for _ in 0..5 {
            before_each.push(count.get());
            let future = get_running_loop()?.create_future();
            let awaited = Rc::new(Cell::new(Some((&future).into_future())));
            let (theirs, count) = (awaited.clone(), count.clone());
            get_running_loop()?.call_soon(move || {
                future.set_result(Rc::new(support::OnDrop(move || count.set(count.get() + 1))))?;
                drop((theirs.take(), future));
                Ok(())
            })?;
            poll_fn(|cx| {
                let Some(mut awaiting) = awaited.take() else { return Poll::Ready(()) };
                assert!(Pin::new(&mut awaiting).poll(cx).is_pending());
                awaited.set(Some(awaiting));
                Poll::Pending
            })
            .await;
        }
        Ok(before_each)
    });
    assert_eq!((before_each.unwrap(), dropped.get()), (vec![0, 1, 2, 3, 4], 5));
}
