//! Lessons 42, 45 and 47: what of an application's end needs no socket.

mod lesson_42 {
    use super::super::{breaks, check, holds, main_task};
    use looplab::explore::Explore;
    use looplab::{Error, Result, ReturnWhen, create_task, gather, sleep, wait};
    use std::time::Duration;

    async fn request(seconds: u64) -> Result<&'static str> {
        sleep(Duration::from_secs(seconds)).await?;
        Ok("answered")
    }

    // Explored:
    fn explored() -> Explore {
        main_task(async |_| {
            let in_flight = [create_task(request(2)), create_task(request(3600))];
            let (done, left) =
                wait(in_flight, ReturnWhen::AllCompleted, Some(Duration::from_secs(5))).await?;
            left.iter().for_each(|task| _ = task.cancel());
            let outcomes = gather(left).return_exceptions().await?;
            let cancelled = outcomes.iter().all(|ended| matches!(ended, Err(Error::Cancelled(_))));
            check(
                cancelled && done.len() + outcomes.len() == 2,
                "a request was neither answered nor cancelled",
            )
        })
    }

    #[test]
    fn what_the_deadline_leaves_is_cancelled_and_awaited() {
        holds(explored().stops().cancel("Task").pairs());
    }

    #[test]
    fn a_cancelled_wait_leaves_the_requests_to_the_sweep() {
        breaks(explored().cancel("main"), "cancel:main#1@3.1", "left behind: the task Task");
    }
}

mod lesson_45 {
    use super::super::{check, holds, main_task};
    use looplab::explore::Explore;
    use looplab::{Error, Result, ReturnWhen, Task, sleep, wait};
    use std::time::Duration;

    // Explored:

    /// The lesson's own, which says what came of it.
    async fn end(task: &Task<()>) -> Result<&'static str> {
        task.cancel();
        wait([task.clone()], ReturnWhen::AllCompleted, None).await?;
        match task.result() {
            Err(Error::Cancelled(_)) => Ok("ended"),
            Err(_) => Ok("had failed"),
            Ok(()) => Ok("had returned"),
        }
    }

    fn explored(fails: bool) -> Explore {
        main_task(async move |world| {
            let guard = world.guard();
            let job = Task::builder().name("job").spawn(async move {
                let _guard = guard;
                sleep(Duration::from_secs(if fails { 1 } else { 60 })).await?;
                Err(Error::msg("no answer"))
            });
            sleep(Duration::from_secs(2)).await?;
            let said = end(&job).await?;
            check(said == if fails && !job.cancelled() { "had failed" } else { "ended" }, "it said otherwise")
        })
    }

    #[test]
    fn a_context_ends_its_job_and_does_not_fail_for_it() {
        for fails in [false, true] {
            holds(explored(fails).stops().cancel("job").pairs());
        }
    }
}

mod lesson_47 {
    use super::super::{SIGTERM, holds, main_task};
    use looplab::{get_running_loop, sleep, sync::Event, yield_now};
    use std::time::Duration;

    // Explored:
    #[test]
    fn an_event_is_set_once_however_many_signals_come() {
        let program = main_task(async |_| {
            let stop = Event::new();
            let (set, minute) = (stop.clone(), stop.clone());
            let lp = get_running_loop()?;
            lp.add_signal_handler(SIGTERM, move || set.set())?;
            let minute = lp.call_later(Duration::from_secs(60), move || minute.set())?;
            stop.wait().await?; // serving
            for _ in 0..5 {
                yield_now().await?; // the shutdown
            }
            sleep(Duration::from_secs(1)).await?;
            minute.cancel();
            lp.remove_signal_handler(SIGTERM).map(drop)
        });
        holds(program.stops().signals([SIGTERM]).pairs());
    }
}
