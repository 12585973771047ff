//! Lessons 28 and 29: a job beside the application.

mod lesson_28 {
    use super::super::{check, holds};
    use looplab::explore::{Explore, World};
    use looplab::{Error, Result, ReturnWhen, Task, create_task, sleep, wait};
    use std::{cell::RefCell, rc::Rc, time::Duration};

    type Log = Rc<RefCell<Vec<&'static str>>>;

    async fn heartbeat(log: Log) -> Result<()> {
        let ended = loop {
            let slept = sleep(Duration::from_secs(1)).await;
            if slept.is_err() {
                break slept;
            }
        };
        log.borrow_mut().push("goodbye");
        ended
    }

    async fn end(job: Task<()>) -> Result<()> {
        job.cancel();
        let mut asked = Ok(());
        while !job.done() {
            let waited = wait([job.clone()], ReturnWhen::AllCompleted, None).await;
            asked = asked.and(waited.map(drop)); // an error is the cancellation of this task
        }
        asked?;
        match job.result() {
            Err(Error::Cancelled(_)) => Ok(()),
            ended => ended, // it had failed: that is the application's matter
        }
    }

    // Explored:

    /// The page's application, with a minute of three heartbeats.
    fn program(world: &World) -> Result<()> {
        let log = Log::default();
        let (read, begun) = (log.clone(), Rc::new(RefCell::new(false)));
        let began = begun.clone();
        world.finally(move || match &read.borrow()[..] {
            [] => check(!*begun.borrow(), "nothing was closed"),
            [.., last] => check(*last == "closed", "the job said goodbye after the close"),
        });
        world.main(async move {
            *began.borrow_mut() = true;
            let job = create_task(heartbeat(log.clone()));
            let served = sleep(Duration::from_secs(3)).await;
            let ended = end(job).await;
            log.borrow_mut().push("closed");
            served.and(ended)
        })
    }

    #[test]
    fn the_job_ends_before_the_close_whichever_is_cancelled() {
        holds(Explore::new(program).stops().cancels().pairs());
    }
}

mod lesson_29 {
    use super::super::{check, holds, main_task};
    use looplab::{Error, Result, Task, all_tasks, create_task, sleep, wait_for};
    use std::time::Duration;

    async fn job() -> Result<()> {
        loop {
            sleep(Duration::from_secs(60)).await?;
        }
    }

    async fn start_job() -> Result<Task<()>> {
        Ok(create_task(job()))
    }

    // Explored:
    #[test]
    fn a_startup_with_a_deadline_ends_and_leaves_no_task() {
        let program = main_task(async |_| {
            let deadline = Duration::from_secs(10);
            let endless = wait_for(job(), deadline).await;
            check(matches!(endless, Err(Error::TimedOut | Error::Cancelled(_))), "the hook returned")?;
            check(all_tasks().len() == 1, "the startup left a task")?;
            let started = wait_for(start_job(), deadline).await?;
            started.cancel();
            check(matches!(started.await, Err(Error::Cancelled(_))), "the job did not end")
        });
        holds(program.stops().cancels().pairs());
    }
}
