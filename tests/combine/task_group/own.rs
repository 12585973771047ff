//! Task groups, looplab's own: an order that asyncio leaves to a set, and what only Rust has.

use super::{cancelling, cleanup, ended, fails};
use looplab::{Error, Task, TaskGroup, sleep, yield_now};
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use support::{Guard, HOUR, Lab, Log, OnDrop, forever, ms, pass_on, say, swallow};

#[test]
fn children_are_cancelled_in_the_order_in_which_they_were_made() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let outcome = TaskGroup::scope(async |group| {
            for name in ["a", "b", "c", "d"] {
                group.create_task(pass_on(log.clone(), name));
            }
            yield_now().await?;
            Err::<(), _>(Error::msg("body"))
        });
        assert!(outcome.await.is_err());
        Ok(())
    });
    assert_eq!(lines[..4], ["3 a Cancelled", "3 b Cancelled", "3 c Cancelled", "3 d Cancelled"]);
}

#[test]
fn a_body_may_borrow_and_its_value_is_returned() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let mut seen = Vec::new();
        TaskGroup::scope(async |group| {
            let child = group.create_task(async { Ok(1) });
            seen.push(child.await?);
            Ok(())
        })
        .await?;
        Ok(seen)
    });
    assert_eq!(lines, ["4 returned [1]"]);
}

#[test]
fn panics_of_children_and_of_the_body_are_failures_of_the_group() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inside = log.clone();
        let outcome = TaskGroup::scope(async |group| {
            group.create_task(cleanup(inside, "sibling", 5, None));
            group.create_task(async { panic!("child") });
            swallow(Log::default(), "body", ()).await?;
            if group.create_task(async {}).result().is_err() {
                panic!("body");
            }
            Ok(())
        });
        let outcome = outcome.await;
        say!(log, "{}, cancelling {}", ended(&outcome), cancelling());
        Ok(())
    });
    let told = ["4 sibling Cancelled", "6 sibling cleaned up"];
    assert_eq!(lines[..2], told);
    assert_eq!(lines[2], "8 Group[Panic(child), Panic(body)], cancelling 0");
}

#[test]
fn a_scope_that_is_dropped_half_way_cancels_its_children_and_reports_what_they_fail_with() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (inside, mut kept) = (log.clone(), None);
        let mut running = Box::pin(TaskGroup::scope(async |group| {
            group.create_task(cleanup(inside.clone(), "a", 5, None));
            Task::builder().name("b").spawn_in(&group, cleanup(inside, "b", 5, Some("b failed")));
            kept = Some(group);
            forever().await
        }));
        poll_fn(|cx| {
            assert!(running.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        yield_now().await?;
        drop(running);
        let refused = kept.unwrap().create_task(async {});
        log.say(refused.result().unwrap_err());
        sleep(ms(10)).await?;
        say!(log, "cancelling {}", cancelling());
        Ok(())
    });
    assert_eq!(
        lines,
        [
            "2 TaskGroup <TaskGroup entered> is finished",
            "3 a Cancelled",
            "3 b Cancelled",
            "5 a cleaned up",
            "5 REPORT Task exception was never retrieved (b): b failed",
            "7 cancelling 0",
            "8 returned ()"
        ]
    );
}

#[test]
fn a_scope_that_is_dropped_after_a_failure_takes_its_request_back() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let mut running = Box::pin(TaskGroup::scope(async |group| {
            group.create_task(fails("boom", 0));
            forever().await
        }));
        poll_fn(|cx| {
            assert!(running.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert!(sleep(HOUR).await.unwrap_err().is_cancelled());
        assert_eq!(cancelling(), 1);
        drop(running);
        assert_eq!(cancelling(), 0);
        yield_now().await
    });
    assert_eq!(lines, ["6 returned ()"]);
}

#[test]
fn a_refused_body_is_dropped_and_so_is_a_body_that_was_cancelled_before_it_began() {
    let lab = Lab::reporting();
    let dropped = Rc::new(Cell::new(0));
    let body = |guard: Guard| async move {
        drop(guard);
        unreachable!("it never runs")
    };
    let seen = dropped.clone();
    lab.run(async move {
        let mut kept = None;
        let outcome = TaskGroup::scope(async |group| {
            group.create_task(body(Guard(seen.clone())));
            kept = Some(group);
            Err::<(), _>(Error::msg("body"))
        });
        assert!(outcome.await.is_err());
        assert_eq!(seen.get(), 1);
        let refused = kept.unwrap().create_task(body(Guard(seen.clone())));
        assert!(refused.result().is_err());
        assert_eq!(seen.get(), 2);
        Ok(())
    });
    assert_eq!(dropped.get(), 2);
}

#[test]
fn a_loop_that_is_closed_ends_a_group_without_cancelling() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let inside = log.clone();
    let main = async move {
        let dropped = OnDrop(move || inside.say("child dropped"));
        TaskGroup::scope(async |group| {
            Task::builder().name("child").spawn_in(&group, async move {
                let _dropped = dropped;
                forever().await
            });
            forever().await
        })
        .await
    };
    let main = Task::builder().name("main").spawn_on(&lab.lp, main);
    lab.turn();
    lab.turn();
    lab.lp.close().unwrap();
    let told = [
        "- REPORT Task was destroyed but it is pending! (main)",
        "- REPORT Task was destroyed but it is pending! (child)",
        "- child dropped",
    ];
    assert_eq!((lab.log.take(), main.cancelling()), (told.map(str::to_owned).to_vec(), 0));
}
