//! Lesson 14: what the second signal means.

mod lesson_14 {
    use super::super::{SIGTERM, breaks, check, ended_by_signal, holds, runs};
    use looplab::explore::World;
    use looplab::{Error, EventLoop, Result, Task, create_task, sleep, sync::Event, wait_for};
    use std::{cell::OnceCell, rc::Rc, time::Duration};

    #[derive(Default)]
    struct Ending {
        cleanup: OnceCell<Task<&'static str>>,
        hurry: Event,
    }

    async fn cleanup(hurry: Event) -> Result<&'static str> {
        match wait_for(hurry.wait(), Duration::from_secs(60)).await {
            Err(Error::TimedOut) => Ok("properly"),
            hurried => hurried.map(|_| "in a hurry"),
        }
    }

    fn on_signal(ending: &Ending) {
        if ending.cleanup.get().is_some() {
            ending.hurry.set();
        }
        ending.cleanup.get_or_init(|| {
            let task = create_task(cleanup(ending.hurry.clone()));
            task.add_done_callback(|_| looplab::stop());
            task
        });
    }

    // Explored:
    fn program(_: &World, lp: &EventLoop) -> Result<()> {
        let ending = Rc::new(Ending::default());
        let signalled = ending.clone();
        ended_by_signal(lp, move || on_signal(&signalled), || lp.run_forever())?;
        let ended = ending.cleanup.get().expect("a signal came").result()?;
        let hurried = ending.hurry.is_set() && ended == "in a hurry";
        check(hurried || ended == "properly", "the cleanup did not end")
    }

    #[test]
    fn one_cleanup_is_completed_whenever_the_second_signal_comes() {
        holds(runs(program).signals([SIGTERM]).pairs());
    }

    /// A second signal that cancels: right once the cleanup has begun.
    fn cancels(_: &World, lp: &EventLoop) -> Result<()> {
        let cleaning: Rc<OnceCell<Task<()>>> = Rc::default();
        let place = cleaning.clone();
        let on_signal = move || {
            if let Some(task) = place.get() {
                task.cancel();
            }
            place.get_or_init(|| {
                let task = create_task(async {
                    let _hurried = sleep(Duration::from_secs(60)).await;
                    Ok(())
                });
                task.add_done_callback(|_| looplab::stop());
                task
            });
        };
        ended_by_signal(lp, on_signal, || lp.run_forever())?;
        check(cleaning.get().is_some_and(|task| !task.cancelled()), "the cleanup has not begun")
    }

    #[test]
    fn a_cancel_before_the_first_step_leaves_the_cleanup_unbegun() {
        let explore = runs(cancels).signals([SIGTERM]).pairs();
        breaks(explore, "signal:SIGTERM@1,signal:SIGTERM@1", "the cleanup has not begun");
    }
}
