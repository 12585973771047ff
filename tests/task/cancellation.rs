//! Cancellation: asyncio's rules, with the turns that CPython 3.13 takes. The arrows are those of
//! `src/task/cell.rs`.
//!
//! A line of a log reads `turn text`. Rooms of their own have: tasks that cancel or await themselves (`oneself`), the
//! count of requests (`uncancel`), and chains and rings of tasks (`chains`).

mod chains;
mod oneself;
mod uncancel;

use looplab::{Error, EventLoop, ReturnWhen, Task, create_task, get_running_loop, sleep, wait, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use support::{Guard, HOUR, Lab, failure, forever, pass_on, say, show, swallow};

#[test]
fn cancel_before_the_first_step_never_runs_the_body() {
    // arrow 7
    let lab = Lab::reporting();
    let (log, drops) = (lab.log.clone(), Rc::new(Cell::new(0)));
    let guard = Guard(drops.clone());
    let lines = lab.run(async move {
        let task = create_task(async move {
            let _guard = guard;
            unreachable!("cancelled before its first step");
        });
        let said = log.clone();
        task.add_done_callback(move |_| log.say("callback"));
        say!(said, "{}", task.cancel_msg("why"));
        assert_eq!(drops.get(), 0, "the body goes in the task's own step");
        say!(said, "awaiter {}", failure((&task).await));
        assert_eq!((task.cancelled(), drops.get()), (true, 1));
        Ok(())
    });
    assert_eq!(lines, ["1 true", "3 callback", "3 awaiter Cancelled(why)", "4 returned ()"]);
}

#[test]
fn cancel_while_waiting_reaches_the_body_one_turn_later_and_its_awaiter_two() {
    // arrows 4, 5, 3
    let (lab, trace) = Lab::traced();
    let log = lab.log.clone();
    let main = Task::builder().name("main").prepare(async move {
        let inner = log.clone();
        let task = Task::builder().name("task").spawn(async move {
            let thrown = sleep(HOUR).await;
            say!(inner, "body {}", show(thrown.as_ref().unwrap_err()));
            thrown
        });
        yield_now().await?;
        assert!(task.cancel_msg("why"));
        say!(log, "awaiter {}", failure(task.await));
        Ok(())
    });
    lab.lp.run_until_complete(main).unwrap();
    assert_eq!(lab.log.take(), ["3 body Cancelled(why)", "4 awaiter Cancelled(why)"]);
    let begin = ["new main", "queue main.step", "turn 1", "step main", "new task", "queue task.step"];
    let begin = [&begin[..], &["queue main.step", "turn 2", "step task", "task waits for sleep#3"]].concat();
    let cancel =
        ["step main", "cancel task", "sleep#3 cancelled", "queue task.wakeup", "main waits for task"];
    let deliver = ["turn 3", "step task", "timer cancelled", "task cancelled", "queue main.wakeup"];
    let end = ["turn 4", "step main", "main ok", "queue done callback", "turn 5"];
    assert_eq!(trace.take(), [&begin[..], &cancel, &deliver, &end].concat());
}

#[test]
fn two_cancels_before_delivery_are_delivered_once_with_the_first_message() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let said = log.clone();
        let task = create_task(async move {
            let mut thrown = 0;
            for _ in 0..4 {
                if let Err(error) = sleep(HOUR).await {
                    say!(said, "body {}", show(&error));
                    thrown += 1;
                }
            }
            Ok(thrown)
        });
        yield_now().await?;
        say!(log, "{} {} {}", task.cancel_msg("m1"), task.cancel_msg("m2"), task.cancelling());
        say!(log, "awaiter {} {}", (&task).await?, task.cancelling());
        assert!(!task.cancelled());
        Ok(())
    });
    assert_eq!(lines[..2], ["2 true true 2", "3 body Cancelled(m1)"]);
    assert!(lines[2].ends_with("awaiter 1 2"), "{lines:?}");
}

#[test]
fn two_cancels_at_a_bare_yield_are_delivered_once_with_the_last_message() {
    // At a yield there is no future that could keep the first one.
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let said = log.clone();
        let task = create_task(async move {
            for _ in 0..3 {
                if let Err(error) = yield_now().await {
                    say!(said, "body {}", show(&error));
                }
            }
            Ok(())
        });
        yield_now().await?;
        say!(log, "{} {} {}", task.cancel_msg("m1"), task.cancel_msg("m2"), task.cancelling());
        task.await
    });
    assert_eq!(lines, ["2 true true 2", "3 body Cancelled(m2)", "7 returned ()"]);
}

#[test]
fn a_body_that_swallows_it_goes_on_and_is_not_cancelled() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let said = log.clone();
        let task = create_task(async move {
            swallow(said.clone(), "body", ()).await?;
            yield_now().await?;
            said.say("goes on");
            yield_now().await?;
            Ok(3)
        });
        yield_now().await?;
        assert!(task.cancel_msg("m"));
        say!(log, "{} {} {}", (&task).await?, task.cancelled(), task.cancelling());
        Ok(())
    });
    assert_eq!(lines, ["3 body Cancelled(m)", "4 goes on", "6 3 false 1", "7 returned ()"]);
}

#[test]
fn a_body_that_raises_another_error_fails_with_that() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let task = create_task(async { forever().await.or(Err::<(), _>(Error::msg("v"))) });
        yield_now().await?;
        task.cancel();
        say!(log, "{} {} {}", failure((&task).await), task.cancelled(), task.cancelling());
        Ok(())
    });
    assert_eq!(lines, ["4 v false 1", "5 returned ()"]);
}

#[test]
fn a_body_that_raises_cancelled_itself_is_cancelled() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let task = create_task(async { Err::<(), _>(Error::Cancelled(Some("mine".into()))) });
        say!(log, "{} {} {}", failure((&task).await), task.cancelled(), task.cancelling());
        Ok(())
    });
    assert_eq!(lines, ["3 Cancelled(mine) true 0", "4 returned ()"]);
}

#[test]
fn a_result_is_lost_if_the_cancel_comes_in_the_same_turn() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (future, said) = (get_running_loop()?.create_future(), log.clone());
        let awaited = future.clone();
        let task = create_task(async move {
            let thrown = awaited.await;
            say!(said, "body {}", failure(thrown.clone()));
            thrown
        });
        yield_now().await?;
        future.set_result(1)?;
        say!(log, "{}", task.cancel_msg("late"));
        say!(log, "awaiter {} {}", failure(task.await), future.cancelled());
        Ok(())
    });
    let told = ["2 true", "3 body Cancelled(late)", "4 awaiter Cancelled(late) false", "5 returned ()"];
    assert_eq!(lines, told);
}

#[test]
fn an_error_is_lost_and_silenced_if_the_cancel_comes_in_the_same_turn() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (future, said) = (get_running_loop()?.create_future::<()>(), log.clone());
        let awaited = future.clone();
        let task = create_task(async move {
            say!(said, "body {}", failure(awaited.await));
            Ok(())
        });
        yield_now().await?;
        future.set_error(Error::msg("lost"))?;
        drop(future);
        assert!(task.cancel_msg("late"));
        task.await
    });
    assert_eq!(lines, ["3 body Cancelled(late)", "5 returned ()"]);
}

#[test]
fn a_cancel_that_came_before_the_result_wins() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let future = get_running_loop()?.create_future::<i32>();
        let awaited = future.clone();
        let task = create_task(async move { awaited.await });
        yield_now().await?;
        assert!(task.cancel_msg("first"));
        say!(log, "{}", failure(future.set_result(1)));
        say!(log, "awaiter {} {}", failure(task.await), future.cancelled());
        Ok(())
    });
    assert_eq!(lines, ["2 invalid state", "4 awaiter Cancelled(first) true", "5 returned ()"]);
}

#[test]
fn a_cancelled_outer_task_goes_on_with_the_value_if_the_inner_swallows_it() {
    let (lab, trace) = Lab::traced();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inner = Task::builder().name("inner").spawn(swallow(log.clone(), "inner", 9));
        let (awaited, said) = (inner.clone(), log.clone());
        let outer = Task::builder().name("outer").spawn(async move {
            let value = awaited.await?;
            say!(said, "outer goes on {value}");
            Ok(value)
        });
        yield_now().await?;
        yield_now().await?;
        assert!(outer.cancel_msg("down"));
        say!(log, "awaiter {} {} {}", (&outer).await?, outer.cancelled(), outer.cancelling());
        assert_eq!((inner.cancelled(), inner.cancelling()), (false, 1));
        Ok(())
    });
    let told = ["4 inner Cancelled(down)", "5 outer goes on 9", "6 awaiter 9 false 1", "7 returned ()"];
    assert_eq!(lines, told);
    // All of the forwarding happens in the one call.
    let trace = trace.take();
    let asked = trace.iter().position(|line| line == "cancel outer").unwrap();
    let walk = ["cancel outer", "cancel inner", "future#4 cancelled", "queue inner.wakeup"];
    assert_eq!(trace[asked..asked + 4], walk);
}

#[test]
fn a_cancelled_chain_ends_from_the_inside_one_task_a_turn() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inner = create_task(pass_on(log.clone(), "inner"));
        let (awaited, said) = (inner.clone(), log.clone());
        let outer = create_task(async move {
            let thrown = awaited.await;
            say!(said, "outer {}", failure(thrown.clone()));
            thrown
        });
        yield_now().await?;
        yield_now().await?;
        assert!(outer.cancel_msg("down"));
        say!(log, "awaiter {}", failure((&outer).await));
        assert!(outer.cancelled() && inner.cancelled());
        Ok(())
    });
    assert_eq!(
        lines[..3],
        ["4 inner Cancelled(down)", "5 outer Cancelled(down)", "6 awaiter Cancelled(down)"]
    );
}

#[test]
fn awaiting_a_cancelled_task_cancels_the_awaiter_unless_it_catches() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let gone = create_task(forever());
        yield_now().await?;
        gone.cancel_msg("gone");
        yield_now().await?;
        yield_now().await?;
        let (one, other, said) = (gone.clone(), gone, log.clone());
        let passes = create_task(async move { one.await });
        let catches = create_task(async move {
            say!(said, "caught {}", failure(other.await));
            Ok(())
        });
        wait([passes.clone(), catches.clone()], ReturnWhen::AllCompleted, None).await?;
        say!(log, "{} {}", passes.cancelled(), catches.cancelled());
        Ok(())
    });
    // CPython gives its message to the first reader only; here everyone reads it (docs/differences.md).
    assert_eq!(lines, ["5 caught Cancelled(gone)", "7 true false", "8 returned ()"]);
}

#[test]
fn the_message_is_kept_for_every_reader() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    lab.run(async move {
        let task = create_task(forever());
        yield_now().await?;
        task.cancel_msg("why");
        for _ in 0..2 {
            say!(log, "{}", failure((&task).await));
        }
        assert_eq!(failure(task.result()), "Cancelled(why)");
        assert_eq!(failure(task.error()), "Cancelled(why)");
        assert_eq!(failure(task.to_ref().await), "Cancelled(why)");
        assert_eq!(failure(task.to_ref().error()), "Cancelled(why)");
        assert_eq!(failure(task.into_output().await), "Cancelled(why)");
        Ok(())
    });
    assert_eq!(lab.log.take(), Vec::<String>::new());
}

/// The number of a loop, as its `Debug` shows it.
fn number_of(lp: &EventLoop) -> String {
    let shown = format!("{lp:?}");
    let number = shown.strip_prefix("EventLoop { number: ").and_then(|rest| rest.split(',').next());
    number.unwrap().to_owned()
}

#[test]
fn awaiting_a_future_of_another_loop_is_an_error_that_names_the_task_and_both_loops() {
    let lab = Lab::reporting();
    let (log, elsewhere) = (lab.log.clone(), EventLoop::new().unwrap());
    let (future, done) = (elsewhere.create_future::<i32>(), elsewhere.create_future());
    done.set_result(3).unwrap();
    let awaited = future.clone();
    let main = Task::builder().name("main").prepare(async move {
        say!(log, "{}", failure(awaited.await));
        say!(log, "{}", done.await?); // no suspension, so its loop is not checked
        Ok(())
    });
    lab.lp.run_until_complete(main).unwrap();
    let numbers = [&lab.lp, &elsewhere].map(number_of);
    let [ours, theirs] = numbers;
    let refused = format!(
        "2 Task main of loop {ours} got Future future 1 of loop {theirs} attached to a different loop"
    );
    assert_eq!(lab.log.take(), [&refused, "2 3"]);
    assert!(!future.done(), "it was not touched");
}

#[test]
fn cleaning_up_may_await() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let said = log.clone();
        let task = create_task(async move {
            let thrown = pass_on(said.clone(), "cleanup").await;
            yield_now().await?;
            said.say("cleaned");
            thrown
        });
        yield_now().await?;
        task.cancel_msg("m");
        say!(log, "awaiter {}", failure(task.await));
        Ok(())
    });
    let told = ["3 cleanup Cancelled(m)", "4 cleaned", "5 awaiter Cancelled(m)", "6 returned ()"];
    assert_eq!(lines, told);
}

#[test]
fn a_second_cancel_interrupts_the_cleaning_up() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let said = log.clone();
        let task = create_task(async move {
            swallow(said.clone(), "first", ()).await?;
            let second = yield_now().await;
            say!(said, "second {}", failure(second.clone()));
            second
        });
        yield_now().await?;
        task.cancel_msg("a");
        yield_now().await?;
        assert!(task.cancel_msg("b"));
        say!(log, "awaiter {}", failure(task.await));
        Ok(())
    });
    let told = ["3 first Cancelled(a)", "4 second Cancelled(b)", "5 awaiter Cancelled(b)", "6 returned ()"];
    assert_eq!(lines, told);
}

#[test]
fn cancelling_both_the_future_and_the_task_delivers_once_a_await() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (future, said) = (get_running_loop()?.create_future::<()>(), log.clone());
        let awaited = future.clone();
        let task = create_task(async move {
            for _ in 0..2 {
                say!(said, "body {}", failure((&awaited).await));
            }
            Ok(())
        });
        yield_now().await?;
        say!(log, "{} {}", future.cancel_msg("inner"), task.cancel_msg("outer"));
        (&task).await?;
        assert_eq!((task.cancelled(), task.cancelling()), (false, 1));
        Ok(())
    });
    // The second await is of a future that is cancelled already: no suspension.
    assert_eq!(lines, ["2 true true", "3 body Cancelled(inner)", "3 body Cancelled(inner)", "5 returned ()"]);
}

#[test]
fn cancelling_a_sleeper_takes_its_timer_away() {
    let lab = Lab::reporting();
    lab.run(async move {
        let task = create_task(sleep(HOUR));
        yield_now().await?;
        let lp = get_running_loop()?;
        let cancelled = |lp: &EventLoop| lp.snapshot().timers.iter().filter(|timer| !timer.cancelled).count();
        assert_eq!(cancelled(&lp), 1);
        task.cancel();
        assert_eq!(failure(task.await), "Cancelled");
        assert_eq!(cancelled(&lp), 0);
        Ok(())
    });
}
