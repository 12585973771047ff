//! Cancelling a job: one that waits never runs, one that runs is not interrupted, and its result is dropped.

use super::{Gate, begin, finish_jobs, loop_with, thread_name, turn};
use looplab::{Error, EventLoop, ExceptionContext, Executor, Future, Result, to_thread};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use support::{Counted, Drops};

#[test]
fn a_queued_job_that_is_cancelled_never_runs() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (pool, gate, drops) = (Executor::new(1), Gate::new(), Drops::default());
    let first = begin(&lp, &pool, &gate, ())?;
    let guard = drops.guard();
    let queued = lp.run_in(&pool, move || unreachable!("cancelled: {}", size_of_val(&guard)))?;
    assert!(queued.cancel());
    assert_eq!(pool.queued(), 1, "the pool learns of it one turn later, as in asyncio");
    turn(&lp)?;
    assert_eq!((pool.queued(), lp.snapshot().jobs.len()), (0, 1));
    assert_eq!(drops.count(), 0, "the thread that receives the job drops it, as in asyncio");
    gate.open();
    lp.run_until_complete(&first)?;
    pool.shutdown(true, false)?;
    assert_eq!((queued.cancelled(), drops.count()), (true, 1));
    Ok(())
}

#[test]
fn a_queued_job_that_is_cancelled_costs_one_entry_and_one_turn() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (pool, gate) = (Executor::new(1), Gate::new());
    begin(&lp, &pool, &gate, ())?;
    let queued = lp.run_in(&pool, || unreachable!("cancelled"))?;
    assert!(queued.cancel());
    for entries in [1, 0] {
        assert_eq!(lp.snapshot().ready.len(), entries);
        turn(&lp)?;
    }
    gate.open();
    finish_jobs(&lp)
}

#[test]
fn between_a_cancellation_and_the_next_turn_a_thread_may_still_take_the_job() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (pool, gate) = (Executor::new(1), Gate::new());
    begin(&lp, &pool, &gate, ())?;
    let (begun, has_begun) = channel();
    let queued = lp.run_in(&pool, move || begun.send(()))?;
    assert!(queued.cancel());
    gate.open();
    has_begun.recv().expect("it runs");
    finish_jobs(&lp)?;
    assert!(queued.cancelled());
    Ok(())
}

#[test]
fn a_running_job_is_not_interrupted_and_its_result_is_dropped() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (pool, gate, drops) = (Executor::new(1), Gate::new(), Drops::default());
    let job: Future<Counted> = begin(&lp, &pool, &gate, drops.guard())?;
    assert!(job.cancel());
    turn(&lp)?;
    assert_eq!((pool.running().len(), lp.snapshot().jobs.len()), (1, 1), "it goes on");
    gate.open();
    finish_jobs(&lp)?;
    assert_eq!(drops.count(), 1);
    assert!(job.cancelled());
    Ok(())
}

#[test]
fn a_task_that_is_cancelled_cancels_the_job_that_it_awaits() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (gate, (begun, has_begun)) = (Gate::new(), channel());
    let pass = gate.clone();
    lp.run_in_executor(move || {
        let _ = begun.send(());
        pass.pass();
    })?;
    has_begun.recv().expect("it begins");
    let task = lp.create_task(async { to_thread(|| unreachable!("cancelled")).await.map(|()| 0) });
    turn(&lp)?;
    assert_eq!(lp.snapshot().jobs.len(), 2);
    task.cancel();
    assert!(matches!(lp.run_until_complete(&task), Err(Error::Cancelled(_))));
    assert_eq!(lp.snapshot().jobs.len(), 1);
    gate.open();
    finish_jobs(&lp)
}

#[test]
fn a_destructor_of_a_dropped_result_that_panics_is_reported_and_the_loop_goes_on() -> Result<()> {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("tick");
        }
    }
    let (lp, _dog) = loop_with(1)?;
    let reports = Rc::new(RefCell::new(Vec::new()));
    let seen = reports.clone();
    lp.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| {
        seen.borrow_mut().push(context.error().map(ToString::to_string));
    }));
    let (pool, gate) = (Executor::new(1), Gate::new());
    let (pass, (begun, has_begun)) = (gate.clone(), channel());
    let job = lp.run_in(&pool, move || {
        let _ = begun.send(());
        pass.pass();
        Bomb
    })?;
    has_begun.recv().expect("it begins");
    job.cancel();
    gate.open();
    finish_jobs(&lp)?;
    assert_eq!(*reports.borrow(), [Some("tick".to_owned())]);
    let after = lp.run_in(&pool, thread_name)?;
    assert_eq!(lp.run_until_complete(&after)?, "looplab_0");
    Ok(())
}
