//! `TaskGroup::cancel`, as of CPython 3.15. The turns are those of the corpus (`group-27` to `group-37`), which CPython printed.

use super::{cancelling, cleanup, ended};
use looplab::{Error, Result, TaskGroup, create_task, sleep, yield_now};
use support::{Lab, forever, ms, pass_on, say};

#[test]
fn the_whole_trace_of_a_group_that_a_child_cancels() -> Result<()> {
    let lab = Lab::new();
    let cut_off = lab.run_until_complete(async {
        let group = TaskGroup::new();
        let value = group.run(async |group| {
            group.create_task(forever());
            let switch = group.clone();
            group.create_task(async move { switch.cancel() });
            forever().await
        });
        value.await
    })?;
    assert_eq!(cut_off, None);
    lab.is("task t1 | +h1 step t1
        run
        turn 1 | select 0 ready | batch 1
            | run h1 | step t1 | task t2 | +h3 step t2 | task t3 | +h5 step t3 | future f4 | park t1 future
        turn 2 | select 0 ready | batch 2
            | run h3 | step t2 | future f5 | park t2 future
            | run h5 | step t3
                | cancel t2 | f5 cancelled | +h3 wakeup t2 | cancel t3 | cancel t1 | f4 cancelled | +h1 wakeup t1
                | t3 cancelled | +h6 done
        turn 3 | select 0 ready | batch 3
            | run h3 | step t2 | t2 cancelled | +h4 done
            | run h1 | step t1 | task group f6 | park t1 task group
            | run h6
        turn 4 | select 0 ready | batch 1 | run h4 | f6 ok | +h1 wakeup t1
        turn 5 | select 0 ready | batch 1 | run h1 | step t1 | t1 ok | +h2 done
        turn 6 | select 0 ready | batch 1 | run h2 | stop
        unstop | end");
    Ok(())
}

#[test]
fn a_body_that_is_cut_off_has_no_value_and_the_scope_says_so() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let outcome = TaskGroup::scope(async |group| {
            create_task(async move { group.cancel() });
            pass_on(log.clone(), "body").await
        });
        say!(log, "{}, cancelling {}", ended(&outcome.await), cancelling());
        yield_now().await
    });
    assert_eq!(
        lines,
        [
            "3 body Cancelled",
            "3 TaskGroup <TaskGroup cancelling> was cancelled before its body returned, cancelling 0",
            "5 returned ()"
        ]
    );
}

#[test]
fn a_body_that_returns_before_it_is_cut_off_keeps_its_value() {
    let lines = Lab::reporting().run(TaskGroup::scope(async |group| {
        group.create_task(forever());
        group.cancel();
        Ok("value")
    }));
    assert_eq!(lines, ["5 returned \"value\""]);
}

#[test]
fn a_group_is_entered_once_and_its_state_is_shown() {
    let lab = Lab::reporting();
    let group = TaskGroup::new();
    assert_eq!(format!("{group:?}"), "<TaskGroup>");
    let error = group.create_task(async {}).result().unwrap_err();
    assert_eq!(error.to_string(), "TaskGroup <TaskGroup> has not been entered");
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let outcome = group.run(async |group| group.run(async |_| ()).await).await;
        say!(log, "{}", ended(&outcome));
        Ok(())
    });
    let text = "1 Group[TaskGroup <TaskGroup entered> has already been entered]";
    assert_eq!(lines, [text, "2 returned ()"]);
}

#[test]
fn a_group_that_was_cancelled_before_is_cut_off_at_its_first_suspension() {
    let lab = Lab::reporting();
    // Nothing runs yet, and the group has no loop.
    let group = TaskGroup::new();
    group.cancel();
    group.cancel();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let value = group.run(async |group| {
            say!(log, "{group:?}, cancelling {}", cancelling());
            pass_on(log.clone(), "body").await
        });
        let value = value.await?;
        say!(log, "{value:?}, cancelling {}", cancelling());
        group.cancel();
        yield_now().await
    });
    assert_eq!(
        lines,
        [
            "1 <TaskGroup cancelling>, cancelling 1",
            "2 body Cancelled",
            "2 None, cancelling 0",
            "4 returned ()"
        ]
    );
}

#[test]
fn a_request_from_outside_that_comes_with_the_groups_own_is_not_lost() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let task = create_task(TaskGroup::scope(async |group| {
            group.create_task(cleanup(inside, "child", 5, None));
            yield_now().await?;
            group.cancel();
            Ok(())
        }));
        sleep(ms(2)).await?;
        task.cancel_msg("outside");
        say!(log, "{:?}", task.await.map_err(|error| error.cancel_message().map(str::to_owned)));
        Ok(())
    });
    assert_eq!(
        lines,
        ["4 child Cancelled", "9 child cleaned up", "12 Err(Some(\"outside\"))", "13 returned ()"]
    );
}

#[test]
fn a_scope_that_was_dropped_is_not_cancelled_any_more() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let group = TaskGroup::new();
        let mut running = Box::pin(group.run(async |_| forever().await));
        std::future::poll_fn(|cx| {
            assert!(running.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(running);
        group.cancel();
        assert_eq!(cancelling(), 0);
        yield_now().await
    });
    assert_eq!(lines, ["3 returned ()"]);
}

#[test]
fn a_failure_comes_before_the_groups_own_cancellation() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let outcome = TaskGroup::scope(async |group| {
            group.create_task(async { forever().await.map_err(|_| Error::msg("while cleaning up")) });
            yield_now().await?;
            group.cancel();
            Ok(())
        });
        say!(log, "{}, cancelling {}", ended(&outcome.await), cancelling());
        Ok(())
    });
    assert_eq!(lines, ["5 Group[while cleaning up], cancelling 0", "6 returned ()"]);
}
