//! `as_completed`: asyncio's rules, one test each. The turns and the counts of `cancelling()` are those of
//! CPython 3.13, but for the last section.

use looplab::{
    Coroutine, Error, EventLoop, Result, ReturnWhen, Step, Task, as_completed, create_task, current_task,
    gather, get_running_loop, sleep, timeout, wait, yield_now,
};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use support::{Guard, HOUR, Lab, forever, ms, say, show};

async fn after(n: u64) -> Result<u64> {
    sleep(ms(n)).await?;
    Ok(n)
}

async fn fails(n: u64) -> Result<u64> {
    sleep(ms(n)).await?;
    Err(Error::msg("boom"))
}

/// An outcome as the logs show it.
fn ended<T: std::fmt::Display>(outcome: &Result<T>) -> String {
    outcome.as_ref().map_or_else(show, T::to_string)
}

#[test]
fn what_ends_first_comes_first() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        for next in as_completed([3, 1, 2].map(|n| create_task(after(n)))) {
            log.say(next.await?);
        }
        Ok(())
    });
    assert_eq!(lines, ["6 1", "10 2", "14 3", "15 returned ()"]);
}

#[test]
fn what_ends_in_one_turn_comes_in_the_order_in_which_it_ended() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let lp = get_running_loop()?;
        let futures: [_; 3] = std::array::from_fn(|_| lp.create_future());
        let setters = futures.clone();
        lp.call_soon(move || [2, 0, 1].into_iter().try_for_each(|n: usize| setters[n].set_result(n)))?;
        for next in as_completed(&futures) {
            log.say(next.await?);
        }
        Ok(())
    });
    assert_eq!(lines, ["4 2", "4 0", "4 1", "5 returned ()"]);
}

#[test]
fn what_is_done_already_takes_two_turns_all_the_same() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let future = get_running_loop()?.create_future();
        future.set_result("done")?;
        for next in as_completed([future]) {
            log.say(next.await?);
        }
        Ok(())
    });
    assert_eq!(lines, ["3 done", "4 returned ()"]);
}

#[test]
fn what_is_given_twice_counts_once() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let task = create_task(after(1));
        let several = as_completed([&task, &task, &task]);
        let count = several.len();
        for next in several {
            next.await?;
        }
        Ok(count)
    });
    assert_eq!(lines, ["7 returned 1"]);
}

#[test]
fn nothing_gives_nothing() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        assert!(as_completed::<[Task<()>; 0]>([]).timeout(ms(1)).next().is_none());
        assert!(as_completed::<[Task<()>; 0]>([]).next_done().await?.is_none());
        Ok(())
    });
    assert_eq!(lines, ["2 returned ()"]);
}

#[test]
fn a_failure_comes_out_at_its_own_await_and_the_others_run_on() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        for next in as_completed([create_task(after(3)), create_task(fails(1)), create_task(after(2))]) {
            log.say(ended(&next.await));
        }
        Ok(())
    });
    assert_eq!(lines, ["6 boom", "10 2", "14 3", "15 returned ()"]);
}

#[test]
fn a_cancelled_one_comes_out_as_a_cancellation() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let waits = create_task(async { forever().await.map(|()| 0) });
        let cancelled = waits.clone();
        get_running_loop()?.call_soon(move || assert!(cancelled.cancel_msg("m")))?;
        for next in as_completed([waits, create_task(after(1))]) {
            let outcome = next.await;
            let count = current_task().unwrap().cancelling();
            let suffix = if outcome.is_err() { format!(", cancelling {count}") } else { String::new() };
            say!(log, "{}{suffix}", ended(&outcome));
        }
        Ok(())
    });
    assert_eq!(lines, ["5 Cancelled(m), cancelling 0", "9 1", "10 returned ()"]);
}

#[test]
fn on_timeout_every_await_that_is_left_fails_and_nothing_is_cancelled() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let tasks = [30, 5, 20].map(|n| create_task(after(n)));
        for next in as_completed(&tasks).timeout(ms(10)) {
            log.say(ended(&next.await));
        }
        log.say(tasks.iter().filter(|task| task.done()).count());
        wait(tasks.clone(), ReturnWhen::AllCompleted, None).await?;
        say!(log, "{} cancelled", tasks.iter().filter(|task| task.cancelled()).count());
        Ok(())
    });
    assert_eq!(lines, ["6 5", "8 timed out", "8 timed out", "8 1", "16 0 cancelled", "17 returned ()"]);
}

#[test]
fn the_timer_goes_with_the_last_one() {
    let lab = Lab::reporting();
    let (log, lp) = (lab.log.clone(), lab.lp.clone());
    let lines = lab.run(async move {
        let mut several = as_completed([create_task(after(1))]).timeout(HOUR);
        several.next_done().await?;
        say!(log, "timers {}", lp.snapshot().timers.iter().filter(|timer| !timer.cancelled).count());
        Ok(())
    });
    assert_eq!(lines, ["6 timers 0", "7 returned ()"]);
}

#[test]
fn several_can_be_awaited_at_once_first_come_first_served() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let several = as_completed([3, 1, 2].map(|n| create_task(after(n))));
        gather(several.zip(["a", "b", "c"]).map(|(next, name)| {
            let log = log.clone();
            async move {
                say!(log, "{name} {}", next.await?);
                Ok(())
            }
        }))
        .await
        .map(drop)
    });
    assert_eq!(lines, ["6 a 1", "11 b 2", "16 c 3", "19 returned ()"]);
}

#[test]
fn a_waiter_that_is_cancelled_after_it_was_woken_passes_the_wake_up_on() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let lp = get_running_loop()?;
        let (future, other) = (lp.create_future(), lp.create_future());
        let several = as_completed([&future, &other]);
        let waiters: Vec<_> = several
            .zip(["a", "b"])
            .map(|(next, name)| {
                let log = log.clone();
                create_task(async move {
                    let outcome = next.await;
                    say!(log, "{name} {}", ended(&outcome));
                    outcome.map(drop)
                })
            })
            .collect();
        yield_now().await?;
        future.set_result("f")?;
        yield_now().await?;
        waiters[0].cancel();
        wait(waiters, ReturnWhen::AllCompleted, None).await.map(drop)
    });
    assert_eq!(lines, ["4 a Cancelled", "5 b f", "8 returned ()"]);
}

#[test]
fn cancelling_the_waiter_cancels_nothing_else() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let task = create_task(after(5));
        let awaited = task.clone();
        let worker = create_task(async move {
            for next in as_completed([awaited]) {
                next.await?;
            }
            Ok(())
        });
        yield_now().await?;
        worker.cancel();
        wait([worker.clone()], ReturnWhen::AllCompleted, None).await?;
        let (cancelled, count) = (worker.cancelled(), task.cancelling());
        say!(log, "cancelled {cancelled}, the other done {} cancelling {count}", task.done());
        task.await
    });
    assert_eq!(lines, ["5 cancelled true, the other done false cancelling 0", "9 returned 5"]);
}

#[test]
fn asynchronously_it_tells_which_one_ended() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let mut several = as_completed([create_task(after(3)), create_task(fails(1)), create_task(after(2))]);
        while let Some((index, outcome)) = several.next_done().await? {
            say!(log, "{index} {}", ended(&outcome));
        }
        Ok(())
    });
    assert_eq!(lines, ["6 1 boom", "10 2 2", "14 0 3", "15 returned ()"]);
}

#[test]
fn asynchronously_a_timeout_is_the_error_of_the_wait() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let mut several = as_completed([30, 5].map(after)).timeout(ms(10));
        while let Some((index, outcome)) = several.next_done().await? {
            say!(log, "{index} {}", ended(&outcome));
        }
        Ok(())
    });
    assert_eq!(lines, ["6 1 5", "9 raised timed out"]);
}

#[test]
fn a_wait_that_times_out_gives_its_slot_back() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let mut several = as_completed([create_task(after(2))]);
        log.say(ended(&timeout(ms(1), several.next_done()).await.map(|_| "")));
        assert_eq!(several.len(), 1);
        while let Some((_, outcome)) = several.next_done().await? {
            log.say(outcome?);
        }
        Ok(())
    });
    assert_eq!(lines, ["4 timed out", "8 2", "9 returned ()"]);
}

#[test]
fn an_iterators_await_that_times_out_gives_its_slot_back() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        for next in as_completed([2, 4].map(|n| create_task(after(n)))) {
            log.say(ended(&timeout(ms(1), next).await));
        }
        Ok(())
    });
    let expected =
        ["4 timed out", "6 timed out", "8 2", "10 timed out", "12 timed out", "14 4", "15 returned ()"];
    assert_eq!(lines, expected);
}

#[test]
fn an_await_that_is_cancelled_after_it_was_woken_gives_its_slot_back() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let future = get_running_loop()?.create_future();
        let several = Rc::new(RefCell::new(as_completed([&future])));
        let next = several.borrow_mut().next().unwrap();
        let waiter = create_task(next);
        yield_now().await?;
        future.set_result("v")?;
        yield_now().await?;
        waiter.cancel();
        log.say(ended(&waiter.await));
        let next = several.borrow_mut().next().unwrap();
        log.say(next.await?);
        assert!(several.borrow_mut().next().is_none());
        Ok(())
    });
    assert_eq!(lines, ["5 Cancelled", "5 v", "6 returned ()"]);
}

// What follows is looplab's own: an order that asyncio leaves to a set, and what only Rust has.

#[test]
fn bodies_start_at_the_call_in_the_order_of_the_arguments() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let several = as_completed(["a", "b", "c"].map(|name| {
            let log = log.clone();
            async move {
                log.say(name);
                Ok(name)
            }
        }));
        yield_now().await?;
        log.say("awaits");
        let mut order = Vec::new();
        for next in several {
            order.push(next.await?);
        }
        Ok(order)
    });
    assert_eq!(lines, ["2 a", "2 b", "2 c", "2 awaits", "5 returned [\"a\", \"b\", \"c\"]"]);
}

#[test]
fn values_need_not_be_clone() {
    struct Unique(u8);
    let lab = Lab::reporting();
    lab.run(async {
        let mut sum = 0;
        for next in as_completed([1, 2].map(|n| async move { Ok(Unique(n)) })) {
            sum += next.await?.0;
        }
        assert_eq!(sum, 3);
        Ok(())
    });
}

#[test]
fn dropping_an_await_loses_nothing() {
    let lab = Lab::reporting();
    lab.run(async {
        let mut several = as_completed([create_task(after(1)), create_task(after(2))]);
        // Polled once and dropped, both before and after the first has ended.
        for pause in [ms(0), ms(10)] {
            let mut wait = Box::pin(several.next_done());
            let first = poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await;
            drop(wait);
            assert!(first.is_pending() == pause.is_zero());
            sleep(ms(10)).await?;
        }
        let (index, outcome) = several.next_done().await?.unwrap();
        assert_eq!((index, outcome?), (1, 2));
        assert!(several.next_done().await?.is_none());
        Ok(())
    });
}

#[test]
fn an_iterators_await_that_is_dropped_half_way_gives_its_slot_back_and_one_never_polled_does_not() {
    let lab = Lab::reporting();
    lab.run(async {
        let mut several = as_completed([create_task(after(1)), create_task(after(2))]);
        drop(several.next());
        assert_eq!(several.len(), 1);
        let mut next = several.next().unwrap();
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut next).poll(cx))).await.is_pending());
        assert_eq!(several.len(), 0);
        drop(next);
        assert_eq!(several.next().unwrap().await?, 1);
        assert!(several.next().is_none());
        Ok(())
    });
}

#[test]
fn an_await_that_fails_counts_so_that_a_loop_over_them_ends() {
    let lab = Lab::reporting();
    let futures = [lab.lp.create_future::<()>(), lab.lp.create_future()];
    let kept = Rc::new(Cell::new(None));
    let put = kept.clone();
    lab.run(async move {
        put.set(Some(as_completed(&futures)));
        Ok(())
    });
    // No loop runs here, so that every await fails at once.
    let outcomes = kept.take().unwrap().take(10).map(|next| Coroutine::new(next).send());
    let failed = |step| matches!(step, Step::Returned(Err(Error::NoRunningLoop)));
    assert_eq!(outcomes.map(failed).collect::<Vec<_>>(), [true, true]);
}

#[test]
fn dropping_an_await_that_was_woken_wakes_the_next() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let future = get_running_loop()?.create_future();
        let other = get_running_loop()?.create_future();
        let mut several = as_completed([&future, &other]);
        let (mut first, second) = (several.next().unwrap(), several.next().unwrap());
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut first).poll(cx))).await.is_pending());
        let second = create_task(second);
        yield_now().await?;
        future.set_result("v")?;
        yield_now().await?;
        // The first was woken in this turn, and goes without looking.
        drop(first);
        second.await
    });
    assert_eq!(lines, ["6 returned \"v\""]);
}

#[test]
fn dropping_all_takes_the_callbacks_and_the_timer_back_and_cancels_nothing() {
    let (lab, trace) = Lab::traced();
    let lines = lab.run(async move {
        let task = create_task(after(1));
        drop(as_completed([&task]).timeout(HOUR));
        assert!(trace.take().contains(&"timer cancelled".to_owned()));
        sleep(ms(10)).await?;
        assert!(!trace.take().contains(&"queue done callback".to_owned()));
        task.await
    });
    assert_eq!(lines, ["7 returned 1"]);
}

#[test]
fn failures_that_are_never_awaited_are_reported() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let mut several = as_completed([1, 2].map(fails));
        assert!(several.next_done().await?.unwrap().1.is_err());
        sleep(ms(10)).await?;
        drop(several);
        Ok(())
    });
    assert!(lines[0].contains("REPORT Task exception was never retrieved"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn a_future_that_is_never_set_goes_with_its_last_handle() {
    let lab = Lab::reporting();
    let gone = Rc::new(Cell::new(0));
    let guard = Guard(gone.clone());
    lab.run(async move {
        let future = get_running_loop()?.create_future::<()>();
        future.add_done_callback(move |_| drop(guard));
        drop(as_completed([future]).timeout(HOUR));
        Ok(())
    });
    assert_eq!(gone.get(), 1);
}

#[test]
fn without_its_loop_the_first_await_fails() {
    let mut several = as_completed([after(1)]);
    let mut by_hand = Coroutine::new(several.next().unwrap());
    assert!(matches!(by_hand.send(), Step::Returned(Err(Error::NoRunningLoop))));
    assert!(several.next().is_none());

    let lab = Lab::reporting();
    let theirs = EventLoop::new().unwrap().create_future::<()>();
    let lines = lab.run(async move { as_completed([theirs]).next_done().await.map(|_| ()) });
    let text = "The future belongs to a different loop than the one specified as the loop argument";
    assert_eq!(lines, [format!("2 raised {text}")]);
}
