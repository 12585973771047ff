//! The log for tests: what its assertions accept, and what they say.

use looplab::trace::Log;
use looplab::{Clock, Error, EventLoop, Result, Task, create_task, sleep};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

fn logged() -> Result<(EventLoop, Log)> {
    let log = Log::new();
    let lp = EventLoop::builder().clock(Clock::virtual_time()).observer(log.observer()).build()?;
    Ok((lp, log))
}

/// Two workers, one inside of the other's time.
fn nested() -> Result<(EventLoop, Log)> {
    let (lp, log) = logged()?;
    let noting = log.clone();
    lp.run_until_complete(async move {
        noting.note("+outer");
        let inner = noting.clone();
        create_task(async move {
            inner.note("+inner");
            sleep(Duration::from_secs(1)).await?;
            inner.note("-inner");
            Ok::<(), Error>(())
        })
        .await?;
        noting.note("-outer");
        Ok::<(), Error>(())
    })?;
    Ok((lp, log))
}

/// The text with which an assertion fails.
fn text(assertion: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(assertion)).expect_err("it fails");
    payload.downcast_ref::<String>().cloned().expect("a text")
}

#[test]
fn a_log_tells_what_ran_and_what_was_noted_turn_by_turn() -> Result<()> {
    let (_, log) = nested()?;
    let told = "  turn    1  Task.step | '+outer'\n  turn    2  Task.step | '+inner'\n  turn    3  sleep\n  \
                turn    4  Task.wakeup | '-inner'\n  turn    5  Task.wakeup | '-outer'\n  turn    6  run_until_complete";
    assert_eq!(log.to_string(), told);
    assert_eq!(log.notes(), ["+outer", "+inner", "-inner", "-outer"]);
    Ok(())
}

#[test]
fn order_counts_the_first_time_of_each() -> Result<()> {
    let (_, log) = nested()?;
    log.assert_order("+outer", "+inner");
    log.assert_order("sleep", "-inner");
    assert!(
        text(|| log.assert_order("-inner", "+inner"))
            .starts_with("`+inner` happened before `-inner`\n  turn    1")
    );
    assert!(
        text(|| log.assert_order("+outer", "+third")).starts_with("`+third` never happened\n  turn    1")
    );
    Ok(())
}

#[test]
fn each_beginning_needs_an_end_of_its_own() -> Result<()> {
    let (_, log) = nested()?;
    log.assert_each("+inner", "-inner");
    log.assert_each("+outer", "-outer");
    log.note("+inner");
    assert!(
        text(|| log.assert_each("+inner", "-inner"))
            .starts_with("`+inner` in turn 6 has no `-inner` after it\n")
    );
    log.note("-outer");
    assert!(
        text(|| log.assert_each("+outer", "-outer"))
            .starts_with("`-outer` in turn 6 has no `+outer` before it\n")
    );
    Ok(())
}

#[test]
fn turns_are_counted_over_all_runs() -> Result<()> {
    let (lp, log) = nested()?;
    log.assert_turns(6);
    lp.run_until_complete(async { Ok::<(), Error>(()) })?;
    log.assert_turns(8);
    assert!(text(|| log.assert_turns(9)).starts_with("the loop made 8 turns, not 9\n  turn    5"));
    Ok(())
}

#[test]
fn an_idle_loop_has_nothing_left() -> Result<()> {
    let (lp, log) = nested()?;
    log.assert_idle(&lp.snapshot());
    let task: Task<()> = lp.create_task(async { sleep(Duration::from_secs(1)).await });
    let said = text(|| log.assert_idle(&lp.snapshot()));
    assert!(said.starts_with("something is left on the loop\nturn 6, not running"), "{said}");
    lp.run_until_complete(task)?;
    log.assert_idle(&lp.snapshot());
    Ok(())
}

#[test]
fn two_logs_are_the_same_or_their_first_difference_is_shown() -> Result<()> {
    let ((_, one), (_, other)) = (nested()?, nested()?);
    one.assert_same(&other);
    other.note("late");
    let said = text(|| one.assert_same(&other));
    assert!(
        said.starts_with("the logs differ in turn 6\n") && said.ends_with("run_until_complete | 'late'"),
        "{said}"
    );
    Ok(())
}
