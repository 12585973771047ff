//! `TaskGroup`: asyncio's rules, one test each. The turns and the counts of `cancelling()` are those of
//! CPython 3.13, but for the room `own`. The arrows are those of `src/combine/task_group.rs`.
//!
//! Here are the failures of children and body. Rooms of their own have: cancellation from outside (`cancelled`), the group's
//! own (`cancel`), nested groups and late children (`nested`), and what only looplab has (`own`).

mod cancel;
mod cancelled;
mod nested;
mod own;

use looplab::{
    Coroutine, Error, Result, ReturnWhen, Step, Task, TaskGroup, current_task, get_running_loop, sleep, wait,
    yield_now,
};
use support::{HOUR, Lab, Log, forever, ms, pass_on, say, swallow};

pub(crate) fn cancelling() -> u32 {
    current_task().unwrap().cancelling()
}

/// An error as the logs show it, with what is in a group.
pub(crate) fn show(error: &Error) -> String {
    match error {
        Error::Group(errors) => format!("Group[{}]", errors.iter().map(show).collect::<Vec<_>>().join(", ")),
        other => support::show(other),
    }
}

pub(crate) fn ended<T: std::fmt::Debug>(outcome: &Result<T>) -> String {
    outcome.as_ref().map_or_else(show, |value| format!("{value:?}"))
}

pub(crate) async fn after<T>(n: u64, value: T) -> Result<T> {
    sleep(ms(n)).await?;
    Ok(value)
}

pub(crate) async fn fails(text: &'static str, n: u64) -> Result<()> {
    if n > 0 {
        sleep(ms(n)).await?;
    }
    Err(Error::msg(text))
}

/// Waits to be cancelled, takes its time to clean up, and fails then with `text`, if there is one.
pub(crate) async fn cleanup(log: Log, name: &'static str, n: u64, text: Option<&'static str>) -> Result<()> {
    let waited = forever().await;
    say!(log, "{name} {}", ended(&waited));
    if n > 0 {
        sleep(ms(n)).await?;
    }
    match text {
        Some(text) => Err(Error::msg(text)),
        None => {
            say!(log, "{name} cleaned up");
            waited
        }
    }
}

pub(crate) async fn all_done<T: 'static>(task: &Task<T>) -> Result<()> {
    wait([task.clone()], ReturnWhen::AllCompleted, None).await.map(drop)
}

#[test]
fn a_body_that_is_closed_ends_the_scope_with_that_alone_unless_a_child_failed() {
    let lab = Lab::reporting();
    lab.run(async {
        let scope = |fails: bool| {
            Coroutine::new(TaskGroup::scope(async move |group| {
                let child = async move {
                    match sleep(HOUR).await {
                        Err(_) if fails => Err(Error::msg("child")),
                        ended => ended,
                    }
                };
                group.create_task(child);
                get_running_loop()?.create_future::<()>().await
            }))
        };
        for fails in [false, true] {
            let mut body = scope(fails);
            assert!(matches!(body.send(), Step::Suspended));
            yield_now().await?;
            assert!(matches!(body.throw(Error::CoroutineExit), Step::Suspended));
            for _turn in 0..2 {
                yield_now().await?;
            }
            let Step::Returned(Err(error)) = body.send() else { panic!("it ends") };
            let closed = "the coroutine was closed";
            assert_eq!(
                show(&error),
                if fails { format!("Group[child, {closed}]") } else { closed.to_owned() }
            );
        }
        Ok(())
    });
}

#[test]
fn an_empty_group_costs_no_turn() {
    // arrows 1, 3 and 5
    let lab = Lab::reporting();
    let lines = lab.run(TaskGroup::scope(|_| async {}));
    assert_eq!(lines, ["2 returned ()"]);
}

#[test]
fn the_scope_ends_when_every_child_is_done() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (one, two) = TaskGroup::scope(async |group| {
            let one = group.create_task(after(20, 1));
            let two = group.create_task(after(10, 2));
            log.say("body ends");
            Ok((one, two))
        })
        .await?;
        say!(log, "{} {}, cancelling {}", one.result()?, two.result()?, cancelling());
        Ok(())
    });
    assert_eq!(lines, ["1 body ends", "9 1 2, cancelling 0", "10 returned ()"]);
}

#[test]
fn a_group_of_children_that_return_at_once_costs_three_turns() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        TaskGroup::scope(|group| async move {
            group.create_task(async {});
            group.create_task(async {})
        })
        .await?;
        log.say("left");
        Ok(())
    });
    assert_eq!(lines, ["4 left", "5 returned ()"]);
}

#[test]
fn the_first_failure_cancels_the_siblings_and_the_body_and_comes_out_as_a_group() {
    // arrow 2
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let outcome = TaskGroup::scope(async |group| {
            group.create_task(cleanup(inside.clone(), "sibling", 5, None));
            group.create_task(fails("boom", 0));
            let waited = forever().await;
            say!(inside, "body {}, cancelling {}", ended(&waited), cancelling());
            waited
        });
        say!(log, "{}, cancelling {}", ended(&outcome.await), cancelling());
        yield_now().await?;
        log.say("goes on");
        Ok(())
    });
    assert_eq!(
        lines,
        [
            "4 sibling Cancelled",
            "4 body Cancelled, cancelling 1",
            "6 sibling cleaned up",
            "8 Group[boom], cancelling 0",
            "9 goes on",
            "10 returned ()"
        ]
    );
}

#[test]
fn a_failure_while_the_body_has_ended_already_does_not_leave_a_request_behind() {
    // arrow 4
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let outcome = TaskGroup::scope(async |group| {
            group.create_task(cleanup(inside, "sibling", 0, None));
            group.create_task(fails("boom", 0))
        });
        say!(log, "{}, cancelling {}", ended(&outcome.await), cancelling());
        yield_now().await?;
        log.say("goes on");
        Ok(())
    });
    assert_eq!(
        lines,
        [
            "4 sibling Cancelled",
            "4 sibling cleaned up",
            "6 Group[boom], cancelling 0",
            "7 goes on",
            "8 returned ()"
        ]
    );
}

#[test]
fn an_error_of_the_body_cancels_the_children_and_joins_the_group() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let outcome = TaskGroup::scope(async |group| {
            group.create_task(cleanup(inside, "child", 5, Some("child failed")));
            yield_now().await?;
            Err::<(), _>(Error::msg("body failed"))
        });
        say!(log, "{}, cancelling {}", ended(&outcome.await), cancelling());
        Ok(())
    });
    assert_eq!(
        lines,
        ["3 child Cancelled", "7 Group[child failed, body failed], cancelling 0", "8 returned ()"]
    );
}

#[test]
fn a_body_that_fails_before_its_children_began_keeps_them_from_running() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let mut child = None;
        let outcome = TaskGroup::scope(async |group| {
            child = Some(group.create_task(async { unreachable!("it never runs") }));
            Err::<(), _>(Error::msg("body failed"))
        });
        let outcome = outcome.await;
        let child: Task<()> = child.unwrap();
        say!(log, "{}, child cancelled {}", ended(&outcome), child.cancelled());
        Ok(())
    });
    assert_eq!(lines, ["4 Group[body failed], child cancelled true", "5 returned ()"]);
}

#[test]
fn errors_that_children_raise_while_they_are_cancelled_are_added() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let outcome = TaskGroup::scope(async |group| {
            group.create_task(cleanup(inside.clone(), "a", 10, Some("a failed")));
            group.create_task(cleanup(inside.clone(), "b", 5, Some("b failed")));
            group.create_task(fails("first", 0))
        });
        let error = outcome.await.unwrap_err();
        log.say(show(&error));
        log.say(error);
        Ok(())
    });
    assert_eq!(
        lines,
        [
            "4 a Cancelled",
            "4 b Cancelled",
            "11 Group[first, b failed, a failed]",
            "11 unhandled errors in a TaskGroup (3 sub-exceptions)",
            "12 returned ()"
        ]
    );
}

#[test]
fn two_children_that_fail_in_one_turn_are_both_in_the_group() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let outcome = TaskGroup::scope(async |group| {
            group.create_task(fails("one", 0));
            group.create_task(fails("two", 0))
        });
        say!(log, "{}, cancelling {}", ended(&outcome.await), cancelling());
        Ok(())
    });
    assert_eq!(lines, ["4 Group[one, two], cancelling 0", "5 returned ()"]);
}

#[test]
fn a_child_that_is_cancelled_from_outside_is_no_failure_and_does_not_abort() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let (child, sibling) = TaskGroup::scope(async |group| {
            let child = group.create_task(pass_on(inside, "child"));
            let sibling = group.create_task(after(10, "value"));
            yield_now().await?;
            child.cancel_msg("outside");
            Ok((child, sibling))
        })
        .await?;
        say!(log, "{} {}, cancelling {}", child.cancelled(), sibling.result()?, cancelling());
        Ok(())
    });
    assert_eq!(lines, ["3 child Cancelled(outside)", "8 true value, cancelling 0", "9 returned ()"]);
}

#[test]
fn a_body_that_awaits_a_cancelled_child_is_cancelled_itself() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(TaskGroup::scope(async |group| {
        let child = group.create_task(pass_on(log.clone(), "child"));
        group.create_task(cleanup(log, "sibling", 0, None));
        yield_now().await?;
        child.cancel_msg("outside");
        child.await
    }));
    assert_eq!(
        lines,
        [
            "3 child Cancelled(outside)",
            "5 sibling Cancelled",
            "5 sibling cleaned up",
            "8 raised Cancelled(outside)"
        ]
    );
}

#[test]
fn a_body_that_swallows_the_groups_cancellation_does_not_change_the_outcome() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let outcome = TaskGroup::scope(async |group| {
            group.create_task(fails("boom", 0));
            swallow(inside.clone(), "body", ()).await?;
            say!(inside, "cancelling {}", cancelling());
            sleep(ms(5)).await?;
            inside.say("body ends");
            Ok(())
        });
        say!(log, "{}, cancelling {}", ended(&outcome.await), cancelling());
        Ok(())
    });
    assert_eq!(
        lines,
        ["4 body Cancelled", "4 cancelling 1", "6 body ends", "6 Group[boom], cancelling 0", "7 returned ()"]
    );
}

#[test]
fn an_error_of_the_body_in_answer_to_the_groups_cancellation_comes_last() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let outcome = TaskGroup::scope(async |group| {
            group.create_task(fails("child", 0));
            swallow(inside, "body", ()).await?;
            Err::<(), _>(Error::msg("body"))
        });
        say!(log, "{}, cancelling {}", ended(&outcome.await), cancelling());
        Ok(())
    });
    assert_eq!(lines, ["4 body Cancelled", "4 Group[child, body], cancelling 0", "5 returned ()"]);
}
