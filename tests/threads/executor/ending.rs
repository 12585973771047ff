//! The end of the loop: it does not wait for jobs, they do no harm when they come back, and what is lost is logged once.

use super::{Gate, begin, blocking, loop_with};
use looplab::{Error, Executor, Result};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{channel, sync_channel};
use support::{child, logged, report, watchdog};

#[test]
fn a_job_that_outlives_its_loop_is_harmless_and_the_loss_is_logged_once() {
    let ended = child!(|| {
        logged();
        let outlive = |function: fn() -> u32| -> Result<()> {
            let (lp, _dog) = loop_with(1)?;
            let (pool, gate, (begun, has_begun)) = (Executor::new(1), Gate::new(), channel());
            let pass = gate.clone();
            let job = lp.run_in(&pool, move || {
                let _ = begun.send(());
                pass.pass();
                function()
            })?;
            has_begun.recv().expect("it begins");
            lp.close()?;
            gate.open();
            pool.shutdown(true, false)?;
            report(format!("done: {}", job.done()));
            Ok(())
        };
        outlive(blocking).expect("no error");
        outlive(|| panic!("too late")).expect("no error");
        for line in logged() {
            report(line);
        }
    });
    let lines = ended.fine();
    assert_eq!(lines[..2], ["done: false", "done: false"]);
    assert_eq!(lines.len(), 4, "{lines:?}");
    for line in &lines[2..] {
        assert!(line.starts_with("WARN the result of a_job_that_outlives_its_loop"), "{line}");
        assert!(line.ends_with(") is lost: its loop is closed"), "{line}");
    }
}

/// The result is on its way already: in the inbox of a loop that does not look into it any more.
#[test]
fn a_result_that_the_loop_is_closed_upon_is_logged_as_lost_once() {
    let ended = child!(|| {
        logged();
        let (lp, _dog) = loop_with(1).expect("a loop");
        let pool = Executor::new(1);
        lp.run_in(&pool, blocking).expect("open");
        pool.shutdown(true, false).expect("not on its thread");
        lp.close().expect("it does not run");
        report(logged().len());
        report(&logged()[0]);
    });
    let lines = ended.fine();
    assert_eq!(lines[0], "1");
    assert!(
        lines[1].starts_with("WARN the result of blocking (tests/threads/executor/ending.rs:"),
        "{}",
        lines[1]
    );
}

#[test]
fn close_does_not_wait_for_jobs_and_those_in_the_queue_still_run() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (gate, (done, is_done)) = (Gate::new(), channel());
    let jobs = (0..3).map(|n| {
        let (gate, done) = (gate.clone(), done.clone());
        lp.run_in_executor(move || {
            gate.pass();
            done.send(n).expect("somebody hears");
        })
    });
    let jobs = jobs.collect::<Result<Vec<_>>>()?;
    lp.close()?;
    assert!(is_done.try_recv().is_err());
    gate.open();
    drop(done);
    assert_eq!(is_done.iter().collect::<Vec<_>>(), [0, 1, 2]);
    assert!(jobs.iter().all(|job| !job.done()), "nobody can be told");
    Ok(())
}

/// CPython joins the threads of its pools before it ends, and so can wait for ever.
#[test]
fn the_process_does_not_wait_for_jobs_at_its_end() {
    let ended = child!(|| {
        let (lp, _dog) = loop_with(1).expect("a loop");
        let (pool, never) = (Executor::new(1), Gate::new());
        begin(&lp, &pool, &never, ()).expect("open");
        report("main ended");
    });
    assert_eq!(ended.fine(), ["main ended"]);
}

#[test]
fn a_closed_loop_takes_no_jobs() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    lp.close()?;
    assert!(matches!(lp.run_in_executor(|| unreachable!()), Err(Error::Closed)));
    assert!(matches!(lp.run_in(&Executor::new(1), || unreachable!()), Err(Error::Closed)));
    Ok(())
}

#[test]
fn run_waits_for_the_jobs_of_its_default_pool() -> Result<()> {
    let _dog = watchdog();
    let ended = Arc::new(AtomicUsize::new(0));
    let (count, (last, gate)) = (ended.clone(), sync_channel::<()>(0));
    looplab::run(async move {
        let lp = looplab::get_running_loop()?;
        for _ in 0..20 {
            let count = count.clone();
            lp.run_in_executor(move || count.fetch_add(1, SeqCst))?;
        }
        let count = count.clone();
        lp.run_in_executor(move || {
            let _ = gate.recv();
            count.fetch_add(1, SeqCst)
        })?;
        drop(last); // only now, at the end of main, can the last one end
        Ok(())
    })?;
    assert_eq!(ended.load(SeqCst), 21);
    Ok(())
}
