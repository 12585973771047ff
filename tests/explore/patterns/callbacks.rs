//! Lessons 06 to 10: callbacks, errors, and what they start.

mod lesson_06 {
    use super::super::{check, holds, runs};
    use looplab::explore::World;
    use looplab::{EventLoop, Result, Task, sleep};
    use std::time::Duration;

    fn stop_then_read(task: &Task<()>) -> Result<()> {
        looplab::stop()?;
        task.result()
    }

    // Explored:
    #[test]
    fn a_callback_that_stops_first_stops_in_every_case() {
        let program = |_: &World, lp: &EventLoop| {
            let task = lp.create_task(async { sleep(Duration::from_millis(5)).await });
            task.add_done_callback(stop_then_read);
            lp.run_forever()?;
            check(task.done(), "stopped by other code")
        };
        holds(runs(program).cancels().pairs().allow_reports("Exception in callback"));
    }
}

mod lesson_07 {
    use super::super::{SIGTERM, check, ended_by_signal, holds, runs};
    use looplab::explore::World;
    use looplab::{EventLoop, Result, Task, create_task, sleep};
    use std::{cell::OnceCell, rc::Rc, time::Duration};

    async fn cleanup() -> Result<&'static str> {
        sleep(Duration::from_millis(20)).await?;
        Ok("clean")
    }

    fn on_signal(cleaning: &OnceCell<Task<&'static str>>) {
        cleaning.get_or_init(|| {
            let task = create_task(cleanup());
            task.add_done_callback(|_| looplab::stop());
            task
        });
    }

    // Explored:
    fn program(_: &World, lp: &EventLoop) -> Result<()> {
        let cleaning = Rc::new(OnceCell::new());
        let place = cleaning.clone();
        ended_by_signal(lp, move || on_signal(&place), || lp.run_forever())?;
        let task = cleaning.get().expect("a signal came, or the minute is over");
        check(task.cancelled() || task.result()? == "clean", "the cleanup did not end")
    }

    #[test]
    fn one_cleanup_is_completed_and_stops_the_loop() {
        holds(runs(program).signals([SIGTERM]).cancels().pairs());
    }
}

mod lesson_08 {
    use super::super::{SIGTERM, check, holds, runs};
    use looplab::explore::World;
    use looplab::{Error, EventLoop, Result, yield_now};

    // Explored:

    /// Each signal leaves the loop by an error, and the program runs it again.
    fn program(_: &World, lp: &EventLoop) -> Result<()> {
        lp.add_signal_handler(SIGTERM, || Err::<(), _>(Error::Exit(3)))?;
        let steps = lp.create_task(async {
            for _ in 0..5 {
                yield_now().await?;
            }
            Ok(())
        });
        while let Err(error) = lp.run_until_complete(&steps) {
            check(matches!(error, Error::Exit(3)), "another error came out of the loop")?;
        }
        lp.remove_signal_handler(SIGTERM)?;
        // Signals in the last turn are queued still, and leave the next runs.
        while let Err(error) = lp.run_once() {
            check(matches!(error, Error::Exit(3)), "another error came out of the loop")?;
        }
        Ok(())
    }

    #[test]
    fn an_error_that_leaves_the_loop_loses_no_entry() {
        holds(runs(program).signals([SIGTERM]).pairs());
    }
}

mod lesson_09 {
    use super::super::{check, holds, runs};
    use looplab::explore::World;
    use looplab::{Error, EventLoop, Result, Task, sleep};
    use std::{cell::RefCell, rc::Rc, time::Duration};

    type Log = Rc<RefCell<Vec<String>>>;

    fn read_and_stop(log: &Log, task: &Task<()>) -> Result<()> {
        // Not `task.result()?`: the `?` would leave before the stop (lesson 06).
        if let Err(error) = task.result() {
            log.borrow_mut().push(format!("seen: {error}"));
        }
        looplab::stop()
    }

    // Explored:
    fn program(_: &World, lp: &EventLoop) -> Result<()> {
        let log = Log::default();
        let seen = log.clone();
        let task = lp.create_task(async {
            sleep(Duration::from_millis(5)).await?;
            Err::<(), _>(Error::msg("boom"))
        });
        task.add_done_callback(move |task| read_and_stop(&seen, task));
        lp.run_forever()?;
        check(log.borrow().len() == 1, "the error was not seen")
    }

    #[test]
    fn a_done_callback_sees_every_end() {
        holds(runs(program).cancels().pairs());
    }
}

mod lesson_10 {
    use super::super::{check, holds, runs};
    use looplab::explore::World;
    use looplab::{Error, EventLoop, ExceptionContext, Result, sleep, yield_now};
    use std::cell::{Cell, OnceCell};
    use std::rc::Rc;
    use std::time::Duration;

    async fn cleanup() -> Result<()> {
        yield_now().await?;
        Err(Error::msg("the cleanup failed too"))
    }

    fn on_error(cause: &OnceCell<Error>, lp: &EventLoop, context: &ExceptionContext) {
        let error = context.error().cloned().unwrap_or_else(|| Error::msg(context.message()));
        if lp.is_closed() || cause.set(error).is_err() {
            lp.default_exception_handler(context); // too late, or ending already
            return;
        }
        lp.create_task(cleanup()).add_done_callback(|_| looplab::stop());
    }

    // Explored:
    fn program(_: &World, lp: &EventLoop) -> Result<()> {
        let cause = Rc::new(OnceCell::new());
        let first = cause.clone();
        lp.set_exception_handler(Some(move |lp: &EventLoop, context: &ExceptionContext| {
            on_error(&first, lp, context);
        }));
        lp.create_task(async {
            sleep(Duration::from_millis(5)).await.and(Err::<(), Error>(Error::msg("boom")))
        });
        let minute = lp.call_later(Duration::from_secs(60), looplab::stop)?;
        lp.run_forever()?;
        minute.cancel();
        // If the task was cancelled, nothing failed.
        let cause = cause.get().map(Error::to_string);
        check(cause.is_none_or(|text| text == "boom"), "another error was taken for the cause")
    }

    #[test]
    fn the_first_error_is_the_cause_and_the_loop_stops() {
        holds(runs(program).cancels().pairs());
    }

    #[test]
    fn a_task_that_is_destroyed_at_the_close_makes_no_cleanup() -> Result<()> {
        let lp = EventLoop::new()?;
        let cause = Rc::new(OnceCell::new());
        let (first, calls) = (cause.clone(), Rc::new(Cell::new(0)));
        let called = calls.clone();
        lp.set_exception_handler(Some(move |lp: &EventLoop, context: &ExceptionContext| {
            called.set(called.get() + 1);
            on_error(&first, lp, context);
        }));
        lp.create_task(async { sleep(Duration::from_secs(1)).await });
        lp.run_once()?;
        lp.close()?;
        check(calls.get() == 1 && cause.get().is_none(), "a cleanup was made, or another error reported")
    }
}
