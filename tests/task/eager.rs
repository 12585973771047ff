//! Eager tasks: the first step is made by the call that makes the task. What CPython prints is in the corpus (`eager-01` to
//! `eager-17`); here are the events, and what only Rust has.

use looplab::{
    Clock, Error, EventLoop, Result, Task, TaskFactory, all_tasks, create_task, current_task, gather,
    get_running_loop, sleep, yield_now,
};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use support::{Lab, forever, ms, say};

fn eager<T: 'static>(body: impl Future<Output = Result<T>> + 'static) -> Task<T> {
    Task::builder().eager().spawn(body)
}

#[test]
fn the_whole_trace_of_a_task_that_is_done_at_once() -> Result<()> {
    let lab = Lab::new();
    lab.run_until_complete(async {
        let task = eager(async {
            support::say("inside");
            Ok(5)
        });
        support::say("outside");
        assert_eq!(task.result()?, 5);
        Ok(())
    })?;
    lab.is("task t1 | +h1 step t1
        run
        turn 1 | select 0 ready | batch 1
            | run h1 | step t1 | task t2 | step t2 | 'inside' | t2 ok | 'outside' | t1 ok | +h2 done
        turn 2 | select 0 ready | batch 1 | run h2 | stop
        unstop | end");
    Ok(())
}

#[test]
fn the_whole_trace_of_a_task_that_is_suspended() -> Result<()> {
    let lab = Lab::new();
    lab.run_until_complete(async {
        let task = eager(async {
            yield_now().await?;
            sleep(ms(5)).await
        });
        support::say("outside");
        task.await
    })?;
    lab.is("task t1 | +h1 step t1
        run
        turn 1 | select 0 ready | batch 1
            | run h1 | step t1 | task t2 | step t2 | +h3 step t2 | 'outside' | park t1 task
        turn 2 | select 0 ready | batch 1 | run h3 | step t2 | sleep f3 | timer h4 5ms | park t2 sleep
        turn 3 | select 5ms timer h4 | due h4 | batch 1 | run h4 | f3 ok | +h3 wakeup t2
        turn 4 | select 0 ready | batch 1 | run h3 | step t2 | t2 ok | +h1 wakeup t1
        turn 5 | select 0 ready | batch 1 | run h1 | step t1 | t1 ok | +h2 done
        turn 6 | select 0 ready | batch 1 | run h2 | stop
        unstop | end");
    Ok(())
}

#[test]
fn the_timer_of_a_sleep_in_an_eager_step_is_the_eager_tasks() -> Result<()> {
    use looplab::trace::{Event, Record};
    use std::cell::RefCell;
    let timers = Rc::new(RefCell::new(Vec::new()));
    let seen = timers.clone();
    let observer = move |record: &Record<'_>| {
        if let Event::Timer { task, .. } = record.event {
            seen.borrow_mut().push(task);
        }
    };
    let lp = EventLoop::builder().clock(Clock::virtual_time()).observer(observer).build()?;
    lp.run_until_complete(async {
        let task = eager(sleep(ms(1)));
        sleep(ms(2)).await?;
        task.await
    })?;
    assert_eq!(*timers.borrow(), [Some(2), Some(1)]);
    Ok(())
}

#[test]
fn the_caller_is_the_current_task_again_whatever_the_eager_step_did() {
    let lines = Lab::reporting().run(async {
        let name = || current_task().map(|task| task.name());
        let outer = name();
        let panics = eager(async { if all_tasks().len() == 2 { panic!("inside") } else { Ok(()) } });
        assert_eq!(name(), outer);
        assert!(matches!(panics.result(), Err(Error::Panic(_))));
        let nested = eager(async move {
            let inner = name();
            eager(forever());
            assert_eq!(name(), inner);
            Ok(())
        });
        nested.result()?;
        assert_eq!(name(), outer);
        assert_eq!(all_tasks().len(), 2, "the caller, and the one that is suspended");
        Ok(())
    });
    assert_eq!(lines, ["2 returned ()"]);
}

#[test]
fn what_the_body_holds_is_dropped_before_the_call_returns() {
    let lines = Lab::reporting().run(async {
        let held = Rc::new(());
        let inside = held.clone();
        let task = eager(async move {
            let _inside = inside;
            Ok(())
        });
        assert_eq!(Rc::strong_count(&held), 1);
        task.await
    });
    assert_eq!(lines, ["2 returned ()"]);
}

#[test]
fn an_error_that_leaves_the_loop_ends_the_run_once_the_caller_is_suspended() -> Result<()> {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let task = lab.create_task(async move {
        let exits = eager(async { Err::<(), _>(Error::Exit(3)) });
        say!(log, "made, done: {}", exits.done());
        yield_now().await?;
        say!(log, "in the next run");
        assert!(matches!(exits.await, Err(Error::Exit(3))));
        Ok(())
    });
    assert!(matches!(lab.run_forever(), Err(Error::Exit(3))));
    assert_eq!(lab.log.take(), ["1 made, done: true"]);
    lab.run_until_complete(&task)?;
    assert_eq!(lab.log.take(), ["2 in the next run"]);
    Ok(())
}

#[test]
fn a_waker_of_another_crate_that_is_called_in_the_eager_step_makes_one_more() {
    let lines = Lab::reporting().run(async {
        let mut polls = 0;
        let task = eager(poll_fn(move |cx| {
            polls += 1;
            if polls == 3 {
                return Poll::Ready(Ok(polls));
            }
            let waker = cx.waker().clone();
            if polls == 1 {
                waker.wake();
            } else {
                std::thread::spawn(move || waker.wake()).join().expect("no panic");
            }
            Poll::Pending
        }));
        assert!(!task.done());
        task.await
    });
    assert_eq!(lines, ["5 returned 3"]);
}

#[test]
fn a_failure_at_once_that_nothing_reads_is_reported() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let task = Task::builder().eager().name("worker").spawn(async { Err::<(), _>(Error::msg("boom")) });
        say!(log, "made");
        drop(task);
        say!(log, "dropped");
        Ok(())
    });
    assert_eq!(
        lines,
        [
            "1 made",
            "1 REPORT Task exception was never retrieved (worker): boom",
            "1 dropped",
            "2 returned ()"
        ]
    );
}

#[test]
fn the_loops_factory_is_for_every_task_that_does_not_choose() -> Result<()> {
    let lab = Lab::reporting();
    assert_eq!(lab.task_factory(), TaskFactory::Queued);
    lab.set_task_factory(TaskFactory::Eager);
    assert_eq!(lab.task_factory(), TaskFactory::Eager);
    // The loop does not run, so this one is queued.
    let before = lab.create_task(async { Ok(()) });
    assert!(!before.done());
    lab.run_until_complete(async {
        assert!(create_task(async { Ok(()) }).done());
        assert!(!Task::builder().queued().spawn(async { Ok(()) }).done());
        let gathering = gather([1, 2].map(|n| async move { Ok(n) }));
        assert!(gathering.done());
        assert_eq!(gathering.await?, [1, 2]);
        get_running_loop()?.set_task_factory(TaskFactory::Queued);
        assert!(!create_task(async { Ok(()) }).done());
        assert!(!gather([async { Ok(()) }]).done());
        Ok(())
    })
}

#[test]
fn no_loop_and_a_closed_one_refuse_an_eager_task_as_any_other() -> Result<()> {
    let held = Rc::new(());
    assert!(matches!(eager(async { Ok(()) }).result(), Err(Error::NoRunningLoop)));
    let lp = EventLoop::new()?;
    lp.close()?;
    let inside = held.clone();
    let task = Task::builder().eager().spawn_on(&lp, async move {
        let _inside = inside;
        Ok(())
    });
    assert!(matches!(task.result(), Err(Error::Closed)));
    assert_eq!(Rc::strong_count(&held), 1, "its body was dropped");
    Ok(())
}
