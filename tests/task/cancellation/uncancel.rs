//! `cancelling` and `uncancel`: the count of requests, as since CPython 3.13.

use looplab::{Result, create_task, current_task, yield_now};
use support::{Lab, failure, swallow};

/// A body that cancels its own task twice and takes `taken_back` of that back before its first await.
async fn takes_back(taken_back: u32) -> Result<u32> {
    let me = current_task().unwrap();
    me.cancel_msg("a");
    me.cancel_msg("b");
    for _ in 0..taken_back {
        me.uncancel();
    }
    yield_now().await?;
    Ok(me.cancelling())
}

#[test]
fn uncancel_to_zero_withdraws_a_cancel_that_was_not_delivered() {
    let lab = Lab::reporting();
    lab.run(async {
        assert_eq!(failure(create_task(takes_back(0)).await), "Cancelled(b)");
        assert_eq!(failure(create_task(takes_back(1)).await), "Cancelled(b)");
        assert_eq!(create_task(takes_back(2)).await?, 0);
        assert_eq!(create_task(takes_back(3)).await?, 0, "it never goes below zero");
        Ok(())
    });
}

#[test]
fn uncancel_before_the_first_step_lets_the_body_run() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let task = create_task(async { Ok(1) });
        assert!(task.cancel());
        assert_eq!((task.cancelling(), task.uncancel()), (1, 0));
        task.await
    });
    assert_eq!(lines, ["4 returned 1"]);
}

#[test]
fn uncancel_does_not_call_back_what_went_through_a_future() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let task = create_task(swallow(log, "body", ()));
        yield_now().await?;
        task.cancel_msg("x");
        assert_eq!(task.uncancel(), 0);
        task.await
    });
    assert_eq!(lines, ["3 body Cancelled(x)", "5 returned ()"]);
}

#[test]
fn cancelling_a_finished_task_does_not_count() {
    let lab = Lab::reporting();
    lab.run(async {
        let task = create_task(yield_now());
        (&task).await?;
        assert_eq!((task.cancel(), task.cancelling(), task.uncancel()), (false, 0, 0));
        assert_eq!((task.to_ref().cancel_msg("m"), task.cancelled()), (false, false));
        Ok(())
    });
}
