//! `Coroutine`: what a Python coroutine object does when it is driven by hand, one resumption a call.

use looplab::{Coroutine, Error, EventLoop, Result, Step, cancellable, current_task, sleep, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use support::{Guard, Lab, Log, OnDrop, failure, say, show, watchdog};

/// Yields for ever; says what is thrown, swallows it or passes it on, and says goodbye.
async fn lesson(log: Log, swallows: bool) -> Result<u32> {
    log.say("started");
    let _goodbye = OnDrop({
        let log = log.clone();
        move || log.say("destructor")
    });
    loop {
        if let Err(error) = yield_now().await {
            say!(log, "thrown {}", show(&error));
            return if swallows { Ok(123) } else { Err(error) };
        }
    }
}

/// What a step came to, in a word.
fn word<T: std::fmt::Debug>(step: Step<T>) -> String {
    match step {
        Step::Suspended => "suspended".to_owned(),
        Step::Returned(Ok(value)) => format!("returned {value:?}"),
        Step::Returned(Err(error)) => format!("raised {}", show(&error)),
    }
}

/// Waits `n` times; counts what is thrown at it.
async fn stubborn(n: u32, thrown: Rc<Cell<u32>>) {
    for _ in 0..n {
        if yield_now().await.is_err() {
            thrown.set(thrown.get() + 1);
        }
    }
}

#[test]
fn send_runs_to_the_next_suspension_and_a_swallowed_throw_returns_the_value() {
    let log = Log::default();
    let mut coroutine = Coroutine::new(lesson(log.clone(), true));
    assert_eq!(log.take(), Vec::<String>::new(), "nothing runs before the first send");
    assert_eq!(word(coroutine.send()), "suspended");
    assert_eq!(word(coroutine.send()), "suspended");
    assert_eq!(log.take(), ["- started"]);
    assert_eq!(word(coroutine.throw(Error::cancelled())), "returned 123");
    assert_eq!(log.take(), ["- thrown Cancelled", "- destructor"]);
    assert_eq!(word(coroutine.send()), "raised cannot reuse already awaited coroutine");
}

#[test]
fn a_throw_that_is_passed_on_comes_back() {
    let log = Log::default();
    let mut coroutine = Coroutine::new(lesson(log.clone(), false));
    coroutine.send();
    assert_eq!(word(coroutine.throw(Error::msg("mine"))), "raised mine");
    assert_eq!(log.take(), ["- started", "- thrown mine", "- destructor"]);
}

#[test]
fn a_throw_into_one_that_never_started_does_not_enter_it() {
    let drops = Rc::new(Cell::new(0));
    let guard = Guard(drops.clone());
    let mut coroutine = Coroutine::new(async move {
        let _guard = guard;
        unreachable!("never started");
    });
    assert_eq!(word(coroutine.throw(Error::cancelled())), "raised Cancelled");
    assert_eq!(drops.get(), 1, "but it is dropped");
    for _ in 0..2 {
        assert_eq!(
            word(coroutine.throw(Error::cancelled())),
            "raised cannot reuse already awaited coroutine"
        );
        assert_eq!(word(coroutine.send()), "raised cannot reuse already awaited coroutine");
    }
}

#[test]
fn close_throws_where_it_is_suspended_and_may_be_repeated() {
    let log = Log::default();
    let mut coroutine = Coroutine::new(lesson(log.clone(), false));
    coroutine.send();
    coroutine.close().unwrap();
    assert_eq!(log.take(), ["- started", "- thrown the coroutine was closed", "- destructor"]);
    coroutine.close().unwrap();
    assert_eq!(word(coroutine.send()), "raised cannot reuse already awaited coroutine");
}

#[test]
fn a_body_may_answer_close_with_a_value() {
    let mut coroutine = Coroutine::new(lesson(Log::default(), true));
    coroutine.send();
    coroutine.close().unwrap();
}

#[test]
fn close_of_one_that_never_started_only_drops_it() {
    let drops = Rc::new(Cell::new(0));
    let guard = Guard(drops.clone());
    let mut coroutine = Coroutine::new(async move {
        let _guard = guard;
        unreachable!("never started");
    });
    coroutine.close().unwrap();
    assert_eq!(drops.get(), 1);
    assert_eq!(word(coroutine.send()), "raised cannot reuse already awaited coroutine");
}

#[test]
fn close_that_awaits_again_is_an_error() {
    let (thrown, drops) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (guard, seen) = (Guard(drops.clone()), thrown.clone());
    let mut coroutine = Coroutine::new(async move {
        let _guard = guard;
        stubborn(10, seen).await;
    });
    coroutine.send();
    assert_eq!(failure(coroutine.close()), "coroutine ignored GeneratorExit");
    // It is dropped, so that it cannot go on.
    assert_eq!((thrown.get(), drops.get()), (1, 1));
    coroutine.close().unwrap();
}

#[test]
fn close_gives_back_any_other_error() {
    for (error, text) in [(Error::msg("other"), "other"), (Error::cancelled(), "Cancelled")] {
        let mut coroutine = Coroutine::new(async move { yield_now().await.or(Err::<(), _>(error)) });
        coroutine.send();
        assert_eq!(failure(coroutine.close()), text);
        coroutine.close().unwrap();
    }
}

#[test]
fn after_the_end_it_cannot_be_used_again() {
    let mut coroutine = Coroutine::new(async { Ok(1) });
    assert_eq!(word(coroutine.send()), "returned 1");
    for _ in 0..2 {
        assert_eq!(word(coroutine.send()), "raised cannot reuse already awaited coroutine");
        assert_eq!(word(coroutine.throw(Error::msg("x"))), "raised cannot reuse already awaited coroutine");
    }
    coroutine.close().unwrap();
}

#[test]
fn a_throw_is_delivered_once() {
    let thrown = Rc::new(Cell::new(0));
    let mut coroutine = Coroutine::new(stubborn(4, thrown.clone()));
    coroutine.send();
    assert_eq!(word(coroutine.throw(Error::msg("x"))), "suspended");
    assert_eq!(word(coroutine.send()), "suspended");
    assert_eq!(word(coroutine.send()), "suspended");
    assert_eq!(word(coroutine.send()), "returned ()");
    assert_eq!(thrown.get(), 1);
}

/// Pending once, without a waker and without looplab's help.
async fn foreign() {
    let mut polled = false;
    std::future::poll_fn(
        move |_| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

#[test]
fn an_error_thrown_where_no_await_can_take_it_is_kept_for_the_next_that_can() {
    let mut coroutine = Coroutine::new(async {
        foreign().await;
        yield_now().await
    });
    assert_eq!(word(coroutine.send()), "suspended");
    // The foreign future is done; the yield behind it is polled for the first time, so nothing is thrown there yet.
    assert_eq!(word(coroutine.throw(Error::msg("kept"))), "suspended");
    assert_eq!(word(coroutine.send()), "raised kept");
}

#[test]
fn an_error_that_no_await_ever_takes_is_not_thrown() {
    let mut coroutine = Coroutine::new(async {
        foreign().await;
        Ok(5)
    });
    coroutine.send();
    assert_eq!(word(coroutine.throw(Error::msg("kept"))), "returned 5");
}

#[test]
fn one_that_is_dropped_half_way_runs_its_destructors_once() {
    let log = Log::default();
    let mut coroutine = Coroutine::new(lesson(log.clone(), true));
    coroutine.send();
    drop(coroutine);
    // Nothing is thrown: that is what close is for.
    assert_eq!(log.take(), ["- started", "- destructor"]);
}

#[test]
fn one_that_is_dropped_while_it_waits_for_a_future_drops_its_reference() {
    let lab = Lab::reporting();
    let (future, drops) = (lab.lp.create_future::<()>(), Rc::new(Cell::new(0)));
    let (awaited, guard) = (future.clone(), Guard(drops.clone()));
    let mut coroutine = Coroutine::new(async move {
        let _guard = guard;
        awaited.await
    });
    assert_eq!(word(coroutine.send()), "suspended");
    drop(coroutine);
    assert_eq!(drops.get(), 1);
    // Nothing is registered any more, so a closed loop has nothing to wake.
    lab.lp.close().unwrap();
    future.set_result(()).unwrap();
}

#[test]
fn it_waits_for_a_future_of_a_loop_that_does_not_run() {
    let lab = Lab::reporting();
    let future = lab.lp.create_future();
    let awaited = future.clone();
    let mut coroutine = Coroutine::new(async move { awaited.await });
    assert_eq!(word(coroutine.send()), "suspended");
    assert_eq!(word(coroutine.send()), "suspended");
    future.set_result(7).unwrap();
    assert!(lab.lp.snapshot().ready.is_empty(), "nobody is woken but by hand");
    assert_eq!(word(coroutine.send()), "returned 7");
}

#[test]
fn throwing_into_it_does_not_cancel_what_it_waits_for() {
    let lab = Lab::reporting();
    let future = lab.lp.create_future::<()>();
    let awaited = future.clone();
    let mut coroutine = Coroutine::new(async move { awaited.await });
    coroutine.send();
    assert_eq!(word(coroutine.throw(Error::cancelled())), "raised Cancelled");
    assert!(!future.done());
}

#[test]
fn a_cancelled_future_keeps_its_own_error_against_a_throw() {
    let lab = Lab::reporting();
    let future = lab.lp.create_future::<()>();
    let awaited = future.clone();
    let mut coroutine = Coroutine::new(async move { awaited.await });
    coroutine.send();
    future.cancel_msg("its own");
    assert_eq!(word(coroutine.throw(Error::msg("thrown"))), "raised Cancelled(its own)");
}

#[test]
fn a_panic_in_it_comes_back_as_an_error() {
    let mut coroutine = Coroutine::new(async {
        yield_now().await?;
        if true {
            panic!("oops");
        }
        Ok(())
    });
    coroutine.send();
    assert_eq!(word(coroutine.send()), "raised Panic(oops)");
    assert_eq!(word(coroutine.send()), "raised cannot reuse already awaited coroutine");
}

#[test]
fn what_needs_a_running_loop_fails_without_one() {
    let _watchdog = watchdog();
    let mut sleeping = Coroutine::new(sleep(Duration::from_secs(1)));
    assert_eq!(word(sleeping.send()), "raised no running event loop");
    let mut waiting = Coroutine::new(async { cancellable(foreign()).await });
    assert_eq!(word(waiting.send()), "raised no running event loop");
}

#[test]
fn one_that_drives_another_is_not_disturbed_by_it() {
    let log = Log::default();
    let inner_log = log.clone();
    let mut outer = Coroutine::new(async move {
        let mut inner = Coroutine::new(lesson(inner_log, true));
        yield_now().await?;
        inner.send();
        let thrown = yield_now().await;
        // What was thrown into the outer one was thrown at its own await.
        say!(log, "outer {}", failure(thrown));
        Ok(word(inner.throw(Error::msg("for the inner"))))
    });
    outer.send();
    outer.send();
    assert_eq!(word(outer.throw(Error::msg("for the outer"))), "returned \"returned 123\"");
}

#[test]
fn one_that_is_driven_inside_a_task_sees_that_task_as_current() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let mut coroutine = Coroutine::new(async {
            let before = current_task().unwrap();
            yield_now().await?;
            Ok(before == current_task().unwrap())
        });
        assert!(matches!(coroutine.send(), Step::Suspended));
        // Its suspension is its own: the task went on.
        say!(log, "{}", word(coroutine.send()));
        assert_eq!(current_task().map(|task| task.cancelling()), Some(0));
        Ok(())
    });
    assert_eq!(lines, ["1 returned true", "2 returned ()"]);
}

#[test]
fn cancelling_the_task_that_drives_it_does_not_throw_into_it() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let mut coroutine = Coroutine::new(stubborn(2, Rc::default()));
        coroutine.send();
        current_task().unwrap().cancel();
        assert_eq!(word(coroutine.send()), "suspended");
        assert_eq!(word(coroutine.send()), "returned ()");
        yield_now().await
    });
    assert_eq!(lines, ["3 raised Cancelled"]);
}

#[test]
fn it_shows_how_far_it_is() {
    let mut coroutine = Coroutine::new(yield_now());
    assert_eq!(format!("{coroutine:?}"), "<Coroutine not started>");
    coroutine.send();
    assert_eq!(format!("{coroutine:?}"), "<Coroutine suspended>");
    coroutine.send();
    assert_eq!(format!("{coroutine:?}"), "<Coroutine finished>");
}

#[test]
fn outside_of_a_task_there_is_no_current_task_in_it() {
    let _lp = EventLoop::new().unwrap();
    let mut coroutine = Coroutine::new(async { Ok(current_task().is_none()) });
    assert_eq!(word(coroutine.send()), "returned true");
}
