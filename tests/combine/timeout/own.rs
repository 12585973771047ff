//! Timeouts, looplab's own: a deliberate difference, and what only Rust has.

use super::{all_done, cancelling, ended};
use looplab::{
    Coroutine, Error, EventLoop, Step, Timeout, create_task, current_task, get_running_loop, sleep, timeout,
    yield_now,
};
use std::cell::Cell;
use std::rc::Rc;
use support::{Guard, HOUR, Lab, forever, ms, say, swallow};

#[test]
fn a_timeout_of_zero_does_not_eat_an_earlier_cancel() {
    // CPython: "2 timed out, cancelling 1" (gh-134471).
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        current_task().unwrap().cancel_msg("earlier");
        let outcome = timeout(ms(0), forever()).await;
        say!(log, "{}, cancelling {}", ended(&outcome), cancelling());
        outcome
    });
    assert_eq!(lines, ["2 Cancelled(earlier), cancelling 1", "3 raised Cancelled(earlier)"]);
}

#[test]
fn a_timeout_that_fires_while_an_earlier_cancel_is_on_its_way_through_a_task_does_not_eat_it() {
    // CPython: "7 timed out, cancelling 1", for the same reason.
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let slow = create_task(async {
            let waited = forever().await;
            sleep(HOUR).await?;
            waited
        });
        yield_now().await?;
        let worker = create_task(async move {
            current_task().unwrap().cancel_msg("earlier");
            let outcome = timeout(ms(10), slow).await;
            say!(log, "{}, cancelling {}", ended(&outcome), cancelling());
            outcome
        });
        all_done(&worker).await
    });
    assert_eq!(lines, ["7 Cancelled, cancelling 1", "10 returned ()"]);
}

#[test]
fn a_timeout_that_fires_after_an_earlier_cancel_was_delivered_is_a_timeout_as_in_cpython() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let worker = create_task(async move {
            current_task().unwrap().cancel();
            let body = async {
                swallow(log.clone(), "body", ()).await?;
                forever().await
            };
            say!(log, "{}, cancelling {}", ended(&timeout(ms(10), body).await), cancelling());
            Ok(())
        });
        worker.await
    });
    assert_eq!(lines, ["3 body Cancelled", "5 timed out, cancelling 1", "7 returned ()"]);
}

#[test]
fn a_body_may_borrow_and_may_return_nothing() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let mut seen = Vec::new();
        timeout(HOUR, async { seen.push(1) }).await?;
        timeout(HOUR, async {
            seen.push(2);
            Ok(())
        })
        .await?;
        Ok(seen)
    });
    assert_eq!(lines, ["2 returned [1, 2]"]);
}

#[test]
fn the_time_begins_at_the_first_poll_of_the_function_and_at_the_making_of_a_limit() {
    let lab = Lab::reporting();
    lab.run(async {
        let lp = get_running_loop()?;
        let began = lp.time();
        let (made, limit) = (timeout(ms(10), forever()), Timeout::after(ms(10))?);
        sleep(ms(7)).await?;
        assert!(matches!(limit.run(forever()).await, Err(Error::TimedOut)));
        assert_eq!(lp.time() - began, ms(10));
        assert!(matches!(made.await, Err(Error::TimedOut)));
        assert_eq!(lp.time() - began, ms(20));
        Ok(())
    });
}

#[test]
fn a_scope_that_is_dropped_half_way_takes_back_its_timer_and_its_request() {
    let lab = Lab::reporting();
    let (log, dropped) = (lab.log.clone(), Rc::new(Cell::new(0)));
    let guard = Guard(dropped.clone());
    let lp = lab.lp.clone();
    let lines = lab.run(async move {
        let mut running = Box::pin(timeout(ms(5), async move {
            let _guard = guard;
            forever().await
        }));
        std::future::poll_fn(|cx| {
            assert!(running.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        // Its time is over while the task waits elsewhere: it is the task that is cancelled.
        let waited = sleep(ms(50)).await;
        say!(log, "{}, cancelling {}", ended(&waited), cancelling());
        drop(running);
        say!(log, "dropped {}, cancelling {}", dropped.get(), cancelling());
        assert_eq!(lp.snapshot().timers.iter().filter(|timer| !timer.cancelled).count(), 0);
        yield_now().await
    });
    assert_eq!(lines, ["3 Cancelled, cancelling 1", "3 dropped 1, cancelling 0", "5 returned ()"]);
}

#[test]
fn a_panic_of_the_body_leaves_the_scope_and_becomes_the_tasks_error() {
    let lab = Lab::reporting();
    let limit = Timeout::at(None);
    let inside = limit.clone();
    let lines = lab.run(async move {
        let task = create_task(async move { inside.run(async { panic!("boom") }).await });
        assert_eq!(ended(&(&task).await), "Panic(boom)");
        assert_eq!(task.cancelling(), 0);
        Ok(())
    });
    assert_eq!(lines, ["4 returned ()"]);
    assert_eq!(format!("{limit:?}"), "<Timeout [finished]>");
}

#[test]
fn without_a_loop_there_is_no_time_to_measure() {
    assert!(matches!(Timeout::after(HOUR), Err(Error::NoRunningLoop)));
    let mut by_hand = Coroutine::new(timeout(HOUR, async { unreachable!("no loop") }));
    assert!(matches!(by_hand.send(), Step::<()>::Returned(Err(Error::NoRunningLoop))));
}

#[test]
fn a_limit_shows_its_state() {
    let lp = EventLoop::builder().clock(looplab::Clock::virtual_time()).build().unwrap();
    let limit = Timeout::at(lp.time() + HOUR);
    assert_eq!(format!("{limit:?}"), "<Timeout [created]>");
    let inside = limit.clone();
    let body = async move {
        assert_eq!(format!("{inside:?}"), "<Timeout [active]>");
        Ok(())
    };
    let scope = limit.clone();
    lp.run_until_complete(async move { scope.run(body).await }).unwrap();
    assert_eq!((format!("{limit:?}").as_str(), limit.expired()), ("<Timeout [finished]>", false));
    assert_eq!(limit.when(), Some(lp.time() + HOUR));
}
