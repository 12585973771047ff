//! Task groups whose parent is cancelled from outside, or by a timeout around them.

use super::{all_done, cancelling, cleanup, ended, fails};
use looplab::{Result, TaskGroup, create_task, sleep, timeout, yield_now};
use support::{Lab, forever, ms, say, swallow};

/// Runs `worker` as a task, cancels it when its children have begun, and waits for it.
fn cancelled_from_outside(lab: &Lab, worker: impl Future<Output = Result<()>> + 'static) -> Vec<String> {
    let log = lab.log.clone();
    lab.run(async move {
        let worker = create_task(worker);
        yield_now().await?;
        yield_now().await?;
        worker.cancel_msg("outside");
        all_done(&worker).await?;
        say!(log, "cancelled {}, cancelling {}", worker.cancelled(), worker.cancelling());
        Ok(())
    })
}

#[test]
fn cancelling_the_parent_in_the_body_cancels_the_children_and_comes_out() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = cancelled_from_outside(&lab, async move {
        let inside = log.clone();
        let outcome = TaskGroup::scope(async |group| {
            group.create_task(cleanup(inside, "child", 5, None));
            forever().await
        });
        let outcome = outcome.await;
        say!(log, "{}, cancelling {}", ended(&outcome), cancelling());
        outcome
    });
    assert_eq!(
        lines,
        [
            "5 child Cancelled",
            "7 child cleaned up",
            "9 Cancelled(outside), cancelling 1",
            "11 cancelled true, cancelling 1",
            "12 returned ()"
        ]
    );
}

#[test]
fn cancelling_the_parent_while_it_waits_for_children_does_the_same() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = cancelled_from_outside(&lab, async move {
        let inside = log.clone();
        let outcome = TaskGroup::scope(async |group| {
            group.create_task(cleanup(inside, "child", 5, None));
            Ok(())
        });
        let outcome = outcome.await;
        say!(log, "{}, cancelling {}", ended(&outcome), cancelling());
        outcome
    });
    assert_eq!(
        lines,
        [
            "5 child Cancelled",
            "7 child cleaned up",
            "9 Cancelled(outside), cancelling 1",
            "11 cancelled true, cancelling 1",
            "12 returned ()"
        ]
    );
}

#[test]
fn more_requests_while_the_group_aborts_do_not_end_the_wait() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let worker = create_task(async move {
            let inside = log.clone();
            let outcome = TaskGroup::scope(async |group| {
                group.create_task(cleanup(inside, "child", 50, None));
                Ok(())
            });
            let outcome = outcome.await;
            say!(log, "{}, cancelling {}", ended(&outcome), cancelling());
            outcome
        });
        yield_now().await?;
        yield_now().await?;
        worker.cancel_msg("first");
        sleep(ms(10)).await?;
        worker.cancel_msg("second");
        sleep(ms(10)).await?;
        worker.cancel_msg("third");
        all_done(&worker).await
    });
    assert_eq!(
        lines,
        ["5 child Cancelled", "13 child cleaned up", "15 Cancelled(first), cancelling 3", "18 returned ()"]
    );
}

#[test]
fn a_failure_beats_a_cancellation_from_outside_which_is_delivered_at_the_next_suspension() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = cancelled_from_outside(&lab, async move {
        let inside = log.clone();
        let outcome = TaskGroup::scope(async |group| {
            group.create_task(cleanup(inside, "child", 5, Some("child failed")));
            forever().await
        });
        say!(log, "{}, cancelling {}", ended(&outcome.await), cancelling());
        let yielded = yield_now().await;
        say!(log, "{}, cancelling {}", ended(&yielded), cancelling());
        yielded
    });
    assert_eq!(
        lines,
        [
            "5 child Cancelled",
            "9 Group[child failed], cancelling 1",
            "10 Cancelled, cancelling 1",
            "12 cancelled true, cancelling 1",
            "13 returned ()"
        ]
    );
}

#[test]
fn a_failure_and_a_cancellation_from_outside_in_one_turn_leave_a_count_of_one() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let worker = create_task(async move {
            let outcome = TaskGroup::scope(async |group| {
                group.create_task(fails("boom", 10));
                forever().await
            });
            say!(inside, "{}, cancelling {}", ended(&outcome.await), cancelling());
            let yielded = yield_now().await;
            say!(inside, "{}, cancelling {}", ended(&yielded), cancelling());
            yielded
        });
        sleep(ms(10)).await?;
        yield_now().await?;
        worker.cancel_msg("outside");
        all_done(&worker).await?;
        say!(log, "cancelled {}, cancelling {}", worker.cancelled(), worker.cancelling());
        Ok(())
    });
    assert_eq!(
        lines,
        [
            "7 Group[boom], cancelling 1",
            "8 Cancelled, cancelling 1",
            "10 cancelled true, cancelling 1",
            "11 returned ()"
        ]
    );
}

#[test]
fn a_request_that_was_swallowed_before_the_group_keeps_its_count() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let worker = create_task(async move {
            swallow(inside.clone(), "worker", ()).await?;
            let outcome = TaskGroup::scope(async |group| group.create_task(fails("boom", 0)));
            say!(inside, "{}, cancelling {}", ended(&outcome.await), cancelling());
            let yielded = yield_now().await;
            say!(inside, "{}, cancelling {}", ended(&yielded), cancelling());
            yielded
        });
        yield_now().await?;
        worker.cancel();
        all_done(&worker).await?;
        say!(log, "cancelled {}", worker.cancelled());
        Ok(())
    });
    assert_eq!(
        lines,
        [
            "3 worker Cancelled",
            "6 Group[boom], cancelling 1",
            "7 Cancelled, cancelling 1",
            "9 cancelled true",
            "10 returned ()"
        ]
    );
}

#[test]
fn a_timeout_around_a_group_cancels_the_children_and_is_a_timeout() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let group = TaskGroup::scope(async |group| group.create_task(cleanup(inside, "child", 5, None)));
        say!(log, "{}, cancelling {}", ended(&timeout(ms(10), group).await), cancelling());
        Ok(())
    });
    assert_eq!(
        lines,
        ["5 child Cancelled", "7 child cleaned up", "9 timed out, cancelling 0", "10 returned ()"]
    );
}

#[test]
fn a_failure_that_answers_the_timeout_beats_it_and_leaves_no_request_behind() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let group = TaskGroup::scope(async |group| {
            group.create_task(cleanup(inside, "child", 5, Some("child failed")))
        });
        say!(log, "{}, cancelling {}", ended(&timeout(ms(10), group).await), cancelling());
        yield_now().await?;
        log.say("goes on");
        Ok(())
    });
    assert_eq!(
        lines,
        ["5 child Cancelled", "9 Group[child failed], cancelling 0", "10 goes on", "11 returned ()"]
    );
}
