//! Nested groups, children that come late or too late, and errors that leave the loop.

use super::{after, cancelling, cleanup, ended, fails};
use looplab::{Coroutine, Error, Step, Task, TaskGroup, get_running_loop, sleep, yield_now};
use support::{Lab, forever, ms, say};

#[test]
fn nested_groups_end_from_the_inside_out() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let outcome = TaskGroup::scope(async |outer| {
            outer.create_task(cleanup(inside.clone(), "outer child", 0, None));
            let inner = TaskGroup::scope(async |inner| {
                inner.create_task(cleanup(inside, "inner child", 0, None));
                inner.create_task(fails("boom", 0))
            });
            inner.await
        });
        say!(log, "{}, cancelling {}", ended(&outcome.await), cancelling());
        yield_now().await?;
        log.say("goes on");
        Ok(())
    });
    assert_eq!(
        lines,
        [
            "4 inner child Cancelled",
            "4 inner child cleaned up",
            "7 outer child Cancelled",
            "7 outer child cleaned up",
            "9 Group[Group[boom]], cancelling 0",
            "10 goes on",
            "11 returned ()"
        ]
    );
}

/// A group with a child that fails in five milliseconds, around a group with a child that cleans up.
fn an_inner_group_that_is_cancelled(lab: &Lab, inner_failure: Option<&'static str>) -> Vec<String> {
    let log = lab.log.clone();
    lab.run(async move {
        let inside = log.clone();
        let outcome = TaskGroup::scope(async |outer| {
            outer.create_task(fails(if inner_failure.is_some() { "outer" } else { "boom" }, 5));
            let inner = TaskGroup::scope(async |inner| {
                inner.create_task(cleanup(inside.clone(), "inner child", 0, inner_failure))
            });
            let outcome = inner.await;
            say!(inside, "inner {}, cancelling {}", ended(&outcome), cancelling());
            outcome
        });
        say!(log, "{}, cancelling {}", ended(&outcome.await), cancelling());
        yield_now().await?;
        log.say("goes on");
        Ok(())
    })
}

#[test]
fn a_failure_in_the_outer_group_cancels_the_inner_one() {
    let lab = Lab::reporting();
    let lines = an_inner_group_that_is_cancelled(&lab, None);
    assert_eq!(
        lines,
        [
            "7 inner child Cancelled",
            "7 inner child cleaned up",
            "9 inner Cancelled, cancelling 1",
            "9 Group[boom], cancelling 0",
            "10 goes on",
            "11 returned ()"
        ]
    );
}

#[test]
fn failures_in_both_groups_are_kept_apart() {
    let lab = Lab::reporting();
    let lines = an_inner_group_that_is_cancelled(&lab, Some("inner"));
    assert_eq!(
        lines,
        [
            "7 inner child Cancelled",
            "9 inner Group[inner], cancelling 1",
            "9 Group[outer, Group[inner]], cancelling 0",
            "10 goes on",
            "11 returned ()"
        ]
    );
}

#[test]
fn new_children_may_be_made_while_the_group_waits_for_the_last_ones() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        TaskGroup::scope(async |group| {
            let siblings = group.clone();
            let first = async move {
                sleep(ms(5)).await?;
                let log = inside.clone();
                siblings.create_task(async move {
                    sleep(ms(5)).await?;
                    log.say("second ends");
                    Ok(())
                });
                inside.say("first ends");
                Ok(())
            };
            group.create_task(first)
        })
        .await?;
        log.say("left");
        Ok(())
    });
    assert_eq!(lines, ["4 first ends", "7 second ends", "9 left", "10 returned ()"]);
}

#[test]
fn a_group_that_shuts_down_or_has_finished_takes_no_more_children() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (inside, mut kept) = (log.clone(), None);
        let never = || async { unreachable!("it was refused") };
        let outcome = TaskGroup::scope(async |group| {
            let siblings = group.clone();
            group.create_task(async move {
                let waited = forever().await;
                let refused = siblings.create_task(never());
                inside.say(refused.result().unwrap_err());
                waited
            });
            kept = Some(group.clone());
            group.create_task(fails("boom", 0))
        });
        assert!(outcome.await.is_err());
        let refused = kept.unwrap().create_task(never());
        log.say(refused.result().unwrap_err());
        let group = TaskGroup::scope(async |group| {
            say!(log, "{group:?}");
            group.create_task(after(1, ()));
            say!(log, "{group:?}");
            Ok(group)
        })
        .await?;
        let refused = group.create_task(never());
        log.say(refused.result().unwrap_err());
        Ok(())
    });
    assert_eq!(
        lines,
        [
            "4 TaskGroup <TaskGroup tasks=1 errors=1 cancelling> is shutting down",
            "6 TaskGroup <TaskGroup cancelling> is finished",
            "6 <TaskGroup entered>",
            "6 <TaskGroup tasks=1 entered>",
            "11 TaskGroup <TaskGroup entered> is finished",
            "12 returned ()"
        ]
    );
}

#[test]
fn outside_of_a_task_there_is_no_group() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        get_running_loop()?.call_soon(move || {
            let mut by_hand = Coroutine::new(TaskGroup::scope(|_| async { unreachable!("no task") }));
            let Step::<()>::Returned(outcome) = by_hand.send() else { panic!("it cannot wait") };
            log.say(ended(&outcome));
        })?;
        yield_now().await
    });
    assert_eq!(lines, ["2 TaskGroup <TaskGroup> cannot determine the parent task", "3 returned ()"]);
}

#[test]
fn what_leaves_the_loop_comes_out_by_itself() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let body = async move {
        let inside = log.clone();
        let outcome = TaskGroup::scope(async |group| {
            group.create_task(cleanup(inside, "sibling", 0, Some("sibling failed")));
            group.create_task(async {
                sleep(ms(5)).await?;
                Err::<(), _>(Error::Exit(3))
            });
            Ok(())
        });
        let outcome = outcome.await;
        say!(log, "main {}, cancelling {}", ended(&outcome), cancelling());
        outcome
    };
    let main = Task::builder().name("main").spawn_on(&lab.lp, body);
    let run = || {
        let outcome = lab.lp.run_until_complete(&main);
        let mut lines = lab.log.take();
        lines.push(format!("{} raised {}", lab.lp.turns(), ended(&outcome)));
        lines
    };
    let mut lines = run();
    lines.extend(run());
    // The callback of the run that was left is still queued, and holds the task.
    drop(main);
    lab.lp.close().unwrap();
    lines.extend(lab.log.take());
    assert_eq!(
        lines,
        [
            "4 raised 3",
            "6 sibling Cancelled",
            "8 main 3, cancelling 1",
            "8 raised 3",
            "- REPORT Task exception was never retrieved (main): 3"
        ]
    );
}

#[test]
fn an_exit_of_the_body_cancels_the_children_first() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let outcome = TaskGroup::scope(async |group| {
            group.create_task(cleanup(inside, "child", 5, Some("child failed")));
            yield_now().await?;
            Err::<(), _>(Error::Exit(4))
        });
        let outcome = outcome.await;
        say!(log, "main {}, cancelling {}", ended(&outcome), cancelling());
        outcome
    });
    assert_eq!(lines, ["3 child Cancelled", "7 main 4, cancelling 0", "7 raised 4"]);
}
