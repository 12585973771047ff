//! Lessons 20, 21 and 33 to 35: swallowed cancellations, goodbyes, shields, limits and groups.

mod lesson_20 {
    use super::super::{check, holds, main_task, worker};
    use looplab::explore::Explore;
    use looplab::{Error, Result, ReturnWhen, Runner, Signal, Task, sleep, wait};
    use std::{cell::Cell, rc::Rc, time::Duration};

    async fn end(worker: Task<()>) -> Result<()> {
        worker.cancel();
        let mut asked = Ok(());
        while !worker.done() {
            let waited = wait([worker.clone()], ReturnWhen::AllCompleted, None).await;
            asked = asked.and(waited.map(drop)); // an error is the cancellation of this task
        }
        asked?;
        match worker.result() {
            Err(Error::Cancelled(_)) => Ok(()),
            ended => ended,
        }
    }

    // Explored:

    /// Ends two workers in its cleanup, so there may be a request to this task already.
    fn explored() -> Explore {
        main_task(async |world| {
            let workers = [worker(world, Duration::from_millis(5)), worker(world, Duration::ZERO)];
            let served = sleep(Duration::from_millis(10)).await;
            let mut ended = Ok(());
            for worker in workers {
                ended = ended.and(end(worker).await);
            }
            served.and(ended)
        })
    }

    #[test]
    fn all_workers_are_ended_whenever_this_task_is_cancelled() {
        holds(explored().stops().cancels().pairs());
    }

    /// The same under a runner: the first Ctrl-C cancels this task, the second one interrupts, and the sweep does the rest.
    fn interrupted() -> Explore {
        Explore::new(|world| {
            let (inside, broken) = (world.clone(), Rc::new(Cell::new(Ok(()))));
            let found = broken.clone();
            world.finally(move || found.replace(Ok(())));
            world.runner(Runner::builder(), move |runner| {
                let workers = [worker(&inside, Duration::from_millis(5)), worker(&inside, Duration::ZERO)];
                let own = workers.clone();
                let ran = runner.run(async move {
                    let served = sleep(Duration::from_millis(10)).await;
                    let mut ended = Ok(());
                    for worker in own {
                        ended = ended.and(end(worker).await);
                    }
                    served.and(ended)
                });
                let closed = runner.close();
                // A second Ctrl-C may also come while the runner closes.
                let but_for_ctrl_c = |ended| match ended {
                    Err(Error::KeyboardInterrupt) => Ok(()),
                    ended => ended,
                };
                let ended = but_for_ctrl_c(ran).and(but_for_ctrl_c(closed));
                broken.set(ended.and(check(workers.iter().all(Task::cancelled), "a worker did not end")));
                Ok(())
            });
            Ok(())
        })
    }

    #[test]
    fn all_workers_are_ended_whenever_ctrl_c_comes_once_or_twice() {
        holds(interrupted().signals([Signal::SIGINT]).pairs());
        holds(interrupted().signals([Signal::SIGINT]).cancel("worker").pairs());
    }
}

mod lesson_21 {
    use super::super::{breaks, check, holds, main_task};
    use looplab::explore::Explore;
    use looplab::{Result, Task, gather, sleep, timeout, yield_now};
    use std::{cell::Cell, rc::Rc, time::Duration};

    async fn say_goodbye(said: Rc<Cell<bool>>) -> Result<()> {
        sleep(Duration::from_secs(1)).await?;
        said.set(true);
        Ok(())
    }

    async fn connection(said: Rc<Cell<bool>>) -> Result<()> {
        let ended = sleep(Duration::from_secs(3600)).await;
        let goodbye = timeout(Duration::from_secs(5), say_goodbye(said)).await;
        ended.and(goodbye)
    }

    // Explored:

    /// A main task that returns, and the sweep after it.
    fn explored(goodbye_counts: bool) -> Explore {
        main_task(async move |_| {
            let said = Rc::new(Cell::new(false));
            let task = Task::builder().name("connection").spawn(connection(said.clone()));
            yield_now().await?;
            task.cancel();
            gather([&task]).return_exceptions().await?;
            check(task.cancelled(), "it did not end cancelled")?;
            check(said.get() || !goodbye_counts, "it never said goodbye")
        })
    }

    #[test]
    fn it_ends_cancelled_whatever_becomes_of_the_goodbye() {
        holds(explored(false).stops().cancel("connection").pairs());
    }

    #[test]
    fn a_second_cancellation_cuts_the_goodbye_short() {
        breaks(
            explored(true).stops().cancel("connection"),
            "cancel:connection#2@4.1",
            "it never said goodbye",
        );
    }
}

mod lesson_33 {
    use super::super::{check, holds, main_task};
    use looplab::explore::Explore;
    use looplab::{Error, Result, ReturnWhen, Task, create_task, shield, sleep, wait, yield_now};
    use std::{cell::Cell, rc::Rc, time::Duration};

    async fn request(committed: Rc<Cell<bool>>) -> Result<()> {
        let commit = create_task(commit(committed));
        let outcome = shield(&commit).await;
        while !commit.done() {
            // A second cancellation ends this wait, and not the commit.
            let _waited = wait([commit.clone()], ReturnWhen::AllCompleted, None).await;
        }
        outcome
    }

    // Explored:
    thread_local! {
        static BEGUN: Cell<bool> = const { Cell::new(false) };
        static FAILS: Cell<bool> = const { Cell::new(false) };
    }

    /// The page's commit, which may fail here.
    async fn commit(committed: Rc<Cell<bool>>) -> Result<()> {
        BEGUN.set(true);
        sleep(Duration::from_secs(1)).await?;
        committed.set(true);
        if FAILS.get() { Err(Error::msg("disk full")) } else { Ok(()) }
    }

    fn explored(fails: bool) -> Explore {
        main_task(async move |_| {
            BEGUN.set(false);
            FAILS.set(fails);
            let committed = Rc::new(Cell::new(false));
            let request = Task::builder().name("request").spawn(request(committed.clone()));
            yield_now().await?;
            request.cancel();
            wait([request.clone()], ReturnWhen::AllCompleted, None).await?;
            check(request.cancelled(), "the request did not end cancelled")?;
            check(committed.get() == BEGUN.get(), "the commit was cut short")
        })
    }

    #[test]
    fn a_commit_is_completed_however_often_the_request_is_cancelled() {
        holds(explored(false).stops().cancel("request").pairs());
    }

    #[test]
    fn a_commit_that_fails_does_not_replace_the_cancellation() {
        holds(explored(true).stops().cancel("request").pairs().allow_reports("never retrieved"));
    }
}

mod lesson_34 {
    use super::super::{check, holds, main_task};
    use looplab::{Error, Result, ReturnWhen, Task, get_running_loop, shield, sleep, wait, wait_for};
    use std::time::Duration;

    async fn stubborn() -> Result<()> {
        let ended = sleep(Duration::from_secs(3600)).await;
        sleep(Duration::from_secs(60)).await?; // a long cleanup
        ended
    }

    // Explored:
    #[test]
    fn a_hard_limit_is_kept_whatever_the_task_does() {
        let program = main_task(async |_| {
            let lp = get_running_loop()?;
            let began = lp.time();
            let task = Task::builder().name("stubborn").spawn(stubborn());
            let shielded = wait_for(shield(&task), Duration::from_secs(1)).await;
            check(matches!(shielded, Err(Error::TimedOut | Error::Cancelled(_))), "it returned")?;
            task.cancel();
            wait([task], ReturnWhen::AllCompleted, Some(Duration::from_secs(5))).await?;
            check(lp.time() - began <= Duration::from_secs(6), "it took longer than its limits")
        });
        holds(program.stops().cancels().pairs().allow_left("stubborn").allow_left("timer sleep"));
    }
}

mod lesson_35 {
    use super::super::{check, holds, main_task};
    use looplab::{Error, Result, TaskGroup, all_tasks, sleep, timeout};
    use std::time::Duration;

    async fn part(seconds: u64, fail: bool) -> Result<()> {
        sleep(Duration::from_secs(seconds)).await?;
        if fail { Err(Error::msg("broken")) } else { Ok(()) }
    }

    async fn whole(fail: bool) -> Result<()> {
        TaskGroup::scope(async |group| {
            group.create_task(part(1, fail));
            group.create_task(part(60, false));
            Ok(())
        })
        .await
    }

    // Explored:
    #[test]
    fn a_group_with_a_limit_leaves_no_task() {
        for fail in [true, false] {
            let program = main_task(async move |_| {
                let _ended = timeout(Duration::from_secs(10), whole(fail)).await;
                check(all_tasks().len() == 1, "a task of the group is left")
            });
            holds(program.stops().cancels().pairs());
        }
    }
}
