//! Tasks that cancel themselves, and tasks that await themselves.

use looplab::{Error, Task, create_task, current_task, get_running_loop, yield_now};
use support::{Lab, failure, say, swallow};

#[test]
fn cancelling_oneself_and_returning_loses_the_value() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let task = create_task(async {
            assert!(current_task().unwrap().cancel_msg("self"));
            Ok(5)
        });
        say!(log, "{} {}", failure((&task).await), task.cancelled());
        Ok(())
    });
    assert_eq!(lines, ["3 Cancelled(self) true", "4 returned ()"]);
}

#[test]
fn cancelling_oneself_and_raising_raises() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let task = create_task(async {
            current_task().unwrap().cancel_msg("self");
            Err::<(), _>(Error::msg("v"))
        });
        say!(log, "{} {}", failure((&task).await), task.cancelled());
        Ok(())
    });
    assert_eq!(lines, ["3 v false", "4 returned ()"]);
}

#[test]
fn cancelling_oneself_is_not_delivered_where_a_done_future_is_awaited() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let done = get_running_loop()?.create_future();
        done.set_result(7)?;
        let said = log.clone();
        let task = create_task(async move {
            current_task().unwrap().cancel_msg("self");
            say!(said, "got {}", done.await?);
            let thrown = yield_now().await;
            say!(said, "yield {}", failure(thrown.clone()));
            thrown
        });
        say!(log, "awaiter {}", failure(task.await));
        Ok(())
    });
    let told = ["2 got 7", "3 yield Cancelled(self)", "4 awaiter Cancelled(self)", "5 returned ()"];
    assert_eq!(lines, told);
}

#[test]
fn cancelling_oneself_is_delivered_at_the_next_pending_await() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (pending, said) = (get_running_loop()?.create_future::<()>(), log.clone());
        let task = create_task(async move {
            current_task().unwrap().cancel_msg("self");
            let thrown = (&pending).await;
            say!(said, "await {} {}", failure(thrown.clone()), pending.cancelled());
            thrown
        });
        say!(log, "awaiter {}", failure(task.await));
        Ok(())
    });
    let told = ["3 await Cancelled(self) true", "4 awaiter Cancelled(self)", "5 returned ()"];
    assert_eq!(lines, told);
}

#[test]
fn cancelling_oneself_goes_to_the_task_awaited_next_and_that_may_swallow_it() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let inner = create_task(swallow(log.clone(), "inner", "swallowed"));
        let said = log.clone();
        let task = create_task(async move {
            current_task().unwrap().cancel_msg("self");
            say!(said, "body {}", inner.await?);
            Ok(1)
        });
        say!(log, "awaiter {} {}", (&task).await?, task.cancelled());
        Ok(())
    });
    assert_eq!(lines, ["3 inner Cancelled(self)", "4 body swallowed", "5 awaiter 1 false", "6 returned ()"]);
}

#[test]
fn awaiting_ones_own_task_is_an_error() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let task = Task::builder().name("me").spawn(async move {
            // Not once, but each time, and through each kind of handle.
            for _ in 0..2 {
                say!(log, "{}", failure(current_task().unwrap().await));
            }
            say!(log, "{}", failure(current_task().unwrap().downcast::<i32>().unwrap().await));
            say!(log, "{}", failure(current_task().unwrap().downcast::<i32>().unwrap().into_output().await));
            Ok(5)
        });
        assert_eq!(task.await?, 5);
        Ok(())
    });
    let text = "Task cannot await on itself: me";
    let told: Vec<String> = (3..7).map(|turn| format!("{turn} {text}")).collect();
    assert_eq!(lines, [&told[..], &["8 returned ()".to_owned()]].concat());
}

#[test]
fn a_cancel_comes_before_the_error_of_awaiting_oneself() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let task = create_task(async move {
            say!(log, "{}", failure(current_task().unwrap().await));
            Ok(())
        });
        yield_now().await?;
        assert!(task.cancel_msg("c"));
        task.await
    });
    assert_eq!(lines, ["3 Cancelled(c)", "5 returned ()"]);
}
