//! Lessons 05, 11, 26, 27 and 37: orders in which a program ends.

mod lesson_05 {
    use super::super::{SIGTERM, ended_by_signal, holds, runs};
    use looplab::{EventLoop, Result, Signal, create_task, sleep};
    use std::time::Duration;

    fn on_signal() -> Result<()> {
        create_task(async { sleep(Duration::from_millis(20)).await }); // the cleanup
        looplab::stop()
    }

    fn finish(lp: &EventLoop) -> Result<()> {
        lp.add_signal_handler(Signal::SIGTERM, || println!("cleaning up already"))?;
        while let Some(task) = lp.all_tasks().first() {
            if let Err(error) = lp.run_until_complete(task) {
                println!("{}: {error}", task.name()); // and on to the next task
            }
        }
        Ok(())
    }

    // Explored:
    #[test]
    fn every_cleanup_is_finished_whatever_comes() {
        let program = |_: &_, lp: &EventLoop| {
            ended_by_signal(
                lp,
                || on_signal().expect("the loop runs"),
                || {
                    lp.run_forever()?;
                    finish(lp)
                },
            )
        };
        holds(runs(program).signals([SIGTERM]).cancels().pairs());
    }
}

mod lesson_11 {
    use super::super::{SIGTERM, breaks, check, ended_by_signal, holds, runs, worker};
    use looplab::explore::World;
    use looplab::{EventLoop, Result, Task, all_tasks, create_task, current_task, gather, sleep};
    use std::cell::OnceCell;
    use std::rc::Rc;
    use std::time::Duration;

    async fn shutdown() -> Result<()> {
        loop {
            let mut others = all_tasks();
            others.retain(|task| Some(task) != current_task().as_ref());
            if others.is_empty() {
                return Ok(());
            }
            others.iter().for_each(|task| _ = task.cancel());
            gather(others).return_exceptions().await?;
        }
    }

    fn on_signal(ending: &OnceCell<Task<()>>) {
        ending.get_or_init(|| {
            let task = create_task(shutdown());
            task.add_done_callback(|_| looplab::stop());
            task
        });
    }

    // Explored:

    /// Three workers: one needs time for its end, and one makes another task on its way out.
    fn program(world: &World, lp: &EventLoop) -> Result<()> {
        let ending = Rc::new(OnceCell::new());
        let own = ending.clone();
        let cleaned = [worker(world, Duration::from_millis(5)), worker(world, Duration::ZERO)];
        let late = world.clone();
        lp.create_task(async move {
            let ended = sleep(Duration::from_secs(3600)).await;
            worker(&late, Duration::from_millis(1));
            ended
        });
        ended_by_signal(lp, move || on_signal(&own), || lp.run_forever())?;
        check(ending.get().is_some_and(Task::done), "no shutdown was made, or it is not over")?;
        check(cleaned.iter().all(Task::cancelled), "a worker did not end cancelled")
    }

    #[test]
    fn a_second_signal_changes_nothing_and_late_tasks_end_too() {
        holds(runs(program).signals([SIGTERM]).pairs());
    }

    #[test]
    fn a_cancelled_worker_does_not_disturb_the_shutdown() {
        holds(runs(program).signals([SIGTERM]).cancel("worker").pairs());
    }

    /// The shutdown is a task, so code that cancels it ends it. The run is over then, and tasks are left.
    #[test]
    fn a_shutdown_that_is_cancelled_stops_early() {
        breaks(runs(program).cancels(), "cancel:Task#7@3", "a worker did not end cancelled");
    }
}

mod lesson_26 {
    use super::super::{SIGTERM, ended_by_signal, holds, runs};
    use looplab::explore::{World, WorldGuard};
    use looplab::{EventLoop, Result, sleep};
    use std::{cell::RefCell, rc::Rc, time::Duration};

    struct Lock(Rc<RefCell<Vec<&'static str>>>);

    impl Drop for Lock {
        fn drop(&mut self) {
            self.0.borrow_mut().push("let go");
        }
    }

    async fn worker(lock: Lock) -> Result<()> {
        let ended = sleep(Duration::from_secs(3600)).await;
        lock.0.borrow_mut().push("cleaned up");
        ended
    }

    // Explored:

    /// Is dropped after the worker, and leaks its guard if the lock was not let go before.
    struct After(Rc<RefCell<Vec<&'static str>>>, Option<WorldGuard>);

    impl Drop for After {
        fn drop(&mut self) {
            if self.0.borrow().last() != Some(&"let go") {
                std::mem::forget(self.1.take());
            }
        }
    }

    fn program(world: &World, lp: &EventLoop) -> Result<()> {
        let log = Rc::new(RefCell::new(Vec::new()));
        let both = (worker(Lock(log.clone())), After(log, Some(world.guard())));
        lp.create_task(async move {
            let (body, _after) = both;
            body.await
        });
        ended_by_signal(lp, || looplab::stop().expect("the loop runs"), || lp.run_forever())
    }

    #[test]
    fn a_destructor_releases_whenever_the_loop_is_stopped() {
        holds(
            runs(program).signals([SIGTERM]).cancels().pairs().allow_left("Task").allow_left("timer sleep"),
        );
    }
}

mod lesson_27 {
    use super::super::{check, holds, main_task, worker};
    use looplab::{Task, all_tasks, current_task, gather};
    use std::time::Duration;

    // Explored:
    #[test]
    fn a_task_that_cancels_all_others_is_not_among_them() {
        let program = main_task(async |world| {
            let workers = [worker(world, Duration::ZERO), worker(world, Duration::from_millis(1))];
            let mut others = all_tasks();
            others.retain(|task| Some(task) != current_task().as_ref());
            others.iter().for_each(|task| _ = task.cancel());
            gather(others).return_exceptions().await?;
            check(workers.iter().all(Task::cancelled), "a worker did not end cancelled")
        });
        holds(program.stops().cancel("worker").pairs());
    }
}

mod lesson_37 {
    use super::super::{SIGTERM, check, holds, runs};
    use looplab::explore::World;
    use looplab::{Error, EventLoop, Result, Signal, sleep};
    use std::time::Duration;

    async fn cleanup() -> Result<&'static str> {
        sleep(Duration::from_secs(1)).await?;
        Ok("clean")
    }

    fn finish(lp: &EventLoop) -> Result<&'static str> {
        lp.add_signal_handler(Signal::SIGTERM, || println!("cleaning up already"))?;
        let task = lp.create_task(cleanup());
        loop {
            match lp.run_until_complete(&task) {
                Err(Error::StoppedBeforeComplete) => {} // by a handler that was queued before
                ended => return ended,
            }
        }
    }

    // Explored:

    fn program(_: &World, lp: &EventLoop) -> Result<()> {
        lp.add_signal_handler(SIGTERM, looplab::stop)?;
        let minute = lp.call_later(Duration::from_secs(60), looplab::stop)?;
        lp.run_forever()?;
        let ended = finish(lp)?;
        minute.cancel();
        lp.remove_signal_handler(SIGTERM)?;
        check(ended == "clean", "the cleanup did not end")
    }

    #[test]
    fn a_cleanup_outside_is_completed_whenever_the_second_signal_comes() {
        holds(runs(program).signals([SIGTERM]).pairs());
    }
}
