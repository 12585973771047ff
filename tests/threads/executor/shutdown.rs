//! How a pool ends: the loop's default one and those of a program's own, by a call or with their last handle; and the
//! threads that end because they have no work.

use super::{Gate, HOUR, begin, blocking, finish_jobs, hear_at_once, loop_with, thread_name, turn, until};
use looplab::{Clock, Error, EventLoop, Executor, Result, create_task, get_running_loop};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvError, Sender, channel};
use std::thread;
use std::time::Duration;
use support::{child, logged, report};

const MS: Duration = Duration::from_millis(1);

/// A value of the thread that calls it hears the thread's end: the sender goes with the thread's locals.
fn keep_until_the_thread_ends(sender: Sender<()>) {
    thread_local! { static KEPT: RefCell<Vec<Sender<()>>> = const { RefCell::new(Vec::new()) } }
    KEPT.with_borrow_mut(|kept| kept.push(sender));
}

fn wait_for_the_threads_end(ended: &Receiver<()>) {
    assert_eq!(ended.recv(), Err(RecvError));
}

// ---- the default pool ----

#[test]
fn after_shutdown_default_executor_its_jobs_are_refused_and_own_executors_still_work() -> Result<()> {
    let (lp, _dog) = loop_with(2)?;
    let before = lp.run_in_executor(blocking)?;
    lp.run_until_complete(lp.shutdown_default_executor(None))?;
    assert_eq!(before.result()?, 42);
    let refused = |lp: &EventLoop| lp.run_in_executor(|| unreachable!()).unwrap_err().to_string();
    assert_eq!(refused(&lp), "Executor shutdown has been called");
    let own = Executor::new(1);
    let job = lp.run_in(&own, blocking)?;
    assert_eq!(lp.run_until_complete(&job)?, 42);
    lp.set_default_executor(own);
    assert_eq!(refused(&lp), "Executor shutdown has been called", "another one does not help");
    Ok(())
}

#[test]
fn shutdown_default_executor_waits_for_the_threads_while_the_loop_goes_on() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (pool, gate) = (Executor::new(2), Gate::new());
    lp.set_default_executor(pool.clone());
    let job = begin(&lp, &pool, &gate, ())?;
    let queued = lp.run_in(&pool, || ())?;
    lp.run_until_complete(async move {
        let shutdown = create_task(get_running_loop()?.shutdown_default_executor(None));
        for _ in 0..10 {
            looplab::yield_now().await?;
        }
        assert!(!shutdown.done());
        gate.open();
        shutdown.await
    })?;
    assert_eq!((job.done(), queued.done(), pool.threads()), (true, true, 0));
    Ok(())
}

#[test]
fn shutdown_default_executor_may_be_called_again_and_every_call_waits() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (pool, gate) = (Executor::new(2), Gate::new());
    lp.set_default_executor(pool.clone());
    begin(&lp, &pool, &gate, ())?;
    let calls = [(); 3].map(|()| lp.create_task(lp.shutdown_default_executor(None)));
    turn(&lp)?;
    // One that is cancelled changes nothing for the others.
    calls[0].cancel();
    assert!(matches!(lp.run_until_complete(&calls[0]), Err(Error::Cancelled(_))));
    assert!(!calls[1].done() && !calls[2].done());
    gate.open();
    lp.run_until_complete(&calls[1])?;
    lp.run_until_complete(&calls[2])?;
    lp.run_until_complete(lp.shutdown_default_executor(None))?;
    finish_jobs(&lp)?;
    assert_eq!(pool.threads(), 0);
    Ok(())
}

#[test]
fn without_a_default_executor_its_shutdown_takes_no_turn() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    lp.run_until_complete(lp.shutdown_default_executor(Some(HOUR)))?;
    assert_eq!(lp.turns(), 2, "the task's only step, and the end of the run");
    assert!(lp.run_in_executor(|| ()).is_err());
    Ok(())
}

#[test]
fn its_timeout_is_honoured_and_the_jobs_that_still_run_are_named() {
    let ended = child!(|| {
        logged();
        for (clock, timeout) in [
            (Clock::monotonic(), Duration::ZERO),
            (Clock::monotonic(), 5 * MS),
            (Clock::virtual_time(), 5 * MS),
        ] {
            let lp = EventLoop::builder().clock(clock).build().expect("a loop");
            let (pool, gate) = (Executor::builder().threads(1).name("pool").build(), Gate::new());
            lp.set_default_executor(pool.clone());
            let job = begin(&lp, &pool, &gate, 1).expect("open");
            let queued = lp.run_in(&pool, || 2).expect("open");
            let shutdown = lp.shutdown_default_executor(Some(timeout));
            lp.run_until_complete(shutdown).expect("a timeout is no error");
            report(format!("{} {}", job.done(), pool.threads()));
            // Nothing was interrupted, and what comes still arrives.
            gate.open();
            report(lp.run_until_complete(&job).expect("no error"));
            report(lp.run_until_complete(&queued).expect("no error"));
            pool.shutdown(true, false).expect("not on its thread");
            lp.close().expect("it does not run");
        }
        for line in logged() {
            report(line);
        }
    });
    let lines = ended.fine();
    assert_eq!(lines[..9], ["false 1", "1", "2"].repeat(3));
    let text = |seconds| {
        format!(
            "WARN The executor did not finish joining its threads within {seconds} seconds; \
             still running: begin::{{closure}} (tests/threads/executor.rs:"
        )
    };
    for (line, seconds) in lines[9..].iter().zip(["0", "0.005", "0.005"]) {
        assert!(line.starts_with(&text(seconds)) && line.ends_with(") on pool_0"), "{line}");
    }
    assert_eq!(lines.len(), 9 + 3, "{lines:?}");
}

#[test]
fn within_its_timeout_nothing_is_logged_and_no_thread_is_left() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (pool, (kept, ended)) = (Executor::new(1), channel());
    lp.set_default_executor(pool.clone());
    lp.run_in_executor(move || keep_until_the_thread_ends(kept))?;
    lp.run_until_complete(lp.shutdown_default_executor(Some(HOUR)))?;
    assert_eq!(pool.threads(), 0);
    assert!(ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected), "it has really ended");
    assert!(lp.snapshot().jobs.is_empty());
    Ok(())
}

#[test]
fn set_default_executor_changes_where_later_jobs_go() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (gate, (begun, has_begun)) = (Gate::new(), channel());
    let pass = gate.clone();
    let first = lp.run_in_executor(move || {
        let _ = begun.send(());
        pass.pass();
        thread_name()
    })?;
    let queued = lp.run_in_executor(thread_name)?;
    has_begun.recv().expect("it begins");
    lp.set_default_executor(Executor::builder().name("other").build());
    let later = lp.run_in_executor(thread_name)?;
    assert_eq!(lp.run_until_complete(&later)?, "other_0");
    gate.open();
    assert_eq!(lp.run_until_complete(&first)?, "looplab_0");
    assert_eq!(lp.run_until_complete(&queued)?, "looplab_0", "the one before keeps what it has");
    Ok(())
}

// ---- own pools ----

#[test]
fn after_shutdown_a_pool_takes_no_jobs_and_does_what_it_has() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (pool, gate) = (Executor::new(1), Gate::new());
    let running = begin(&lp, &pool, &gate, 1)?;
    let queued = lp.run_in(&pool, || 2)?;
    pool.shutdown(false, false)?;
    let refused = lp.run_in(&pool, || unreachable!()).unwrap_err();
    assert_eq!(refused.to_string(), "cannot schedule new futures after shutdown");
    gate.open();
    assert_eq!((lp.run_until_complete(&running)?, lp.run_until_complete(&queued)?), (1, 2));
    pool.shutdown(true, false)?;
    pool.shutdown(true, true)?;
    assert_eq!(pool.threads(), 0);
    assert!(lp.snapshot().jobs.is_empty(), "a refused job leaves no trace");
    Ok(())
}

#[test]
fn shutdown_with_cancel_cancels_what_has_not_begun() -> Result<()> {
    for elsewhere in [false, true] {
        let (lp, _dog) = loop_with(1)?;
        let (pool, gate) = (Executor::new(1), Gate::new());
        let running = begin(&lp, &pool, &gate, 1)?;
        let queued = [(); 3].map(|()| lp.run_in(&pool, || unreachable!("cancelled")));
        let queued = queued.into_iter().collect::<Result<Vec<_>>>()?;
        let shut = pool.clone();
        match elsewhere {
            false => pool.shutdown(false, true)?,
            true => thread::spawn(move || shut.shutdown(false, true)).join().expect("no panic")?,
        }
        assert_eq!(pool.queued(), 0);
        // Those that never run are not shown as running until their end arrives.
        let begun: Vec<_> = lp.snapshot().jobs.iter().map(|job| job.running).collect();
        assert_eq!(begun, [true, false, false, false]);
        for job in &queued {
            assert!(matches!(lp.run_until_complete(job), Err(Error::Cancelled(None))));
        }
        assert_eq!((lp.snapshot().jobs.len(), pool.running().len()), (1, 1));
        gate.open();
        assert_eq!(lp.run_until_complete(&running)?, 1);
    }
    Ok(())
}

#[test]
fn shutdown_with_cancel_on_the_thread_of_the_running_loop_ends_the_jobs_at_once() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (pool, gate, seen) = (Executor::new(1), Gate::new(), Rc::new(RefCell::new(Vec::new())));
    begin(&lp, &pool, &gate, ())?;
    let queued = lp.run_in(&pool, || unreachable!("cancelled"))?;
    let (shut, saw, turns) = (pool.clone(), seen.clone(), lp.clone());
    queued.add_done_callback(move |job| saw.borrow_mut().push((turns.turns(), job.cancelled())));
    let (saw, turns) = (seen.clone(), lp.clone());
    lp.run_until_complete(async move {
        let now = turns.turns();
        shut.shutdown(false, true)?;
        saw.borrow_mut().push((now, queued.cancelled()));
        // It is done, so that awaiting it does not suspend.
        assert!(matches!(queued.await, Err(Error::Cancelled(None))));
        assert_eq!(turns.turns(), now);
        Ok(())
    })?;
    let now = seen.borrow()[0].0;
    assert_eq!(*seen.borrow(), [(now, true), (now + 1, true)]);
    assert_eq!(lp.snapshot().jobs.len(), 1);
    gate.open();
    finish_jobs(&lp)
}

#[test]
fn shutdown_that_waits_returns_when_the_threads_have_ended() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (pool, gate, (kept, ended)) = (Executor::new(2), Gate::new(), channel());
    for kept in [kept.clone(), kept] {
        let gate = gate.clone();
        lp.run_in(&pool, move || {
            keep_until_the_thread_ends(kept);
            gate.pass();
        })?;
    }
    let waiters = [(); 2].map(|()| {
        let pool = pool.clone();
        thread::spawn(move || pool.shutdown(true, false))
    });
    gate.open();
    for waiter in waiters {
        waiter.join().expect("no panic")?;
    }
    wait_for_the_threads_end(&ended);
    assert_eq!(pool.threads(), 0);
    Ok(())
}

#[test]
fn a_job_that_would_wait_for_its_own_thread_is_refused() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let pool = Executor::new(2);
    let own = pool.clone();
    let job = lp.run_in(&pool, move || own.shutdown(true, false))?;
    let error = lp.run_until_complete(&job)?.unwrap_err();
    assert_eq!(error.to_string(), "cannot join current thread");
    assert!(lp.run_in(&pool, || ()).is_err(), "it is shut down all the same");
    // A thread of another pool is nothing special.
    let (first, second) = (Executor::new(1), Executor::new(1));
    lp.run_in(&second, || ())?;
    let job = lp.run_in(&first, move || second.shutdown(true, false))?;
    lp.run_until_complete(&job)?
}

#[test]
fn when_the_last_handle_goes_the_queue_is_worked_off_and_the_threads_end() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (pool, gate, (kept, ended)) = (Executor::new(1), Gate::new(), channel());
    begin(&lp, &pool, &gate, ())?;
    lp.run_in(&pool, move || keep_until_the_thread_ends(kept))?;
    let last = lp.run_in(&pool, || 3)?;
    drop(pool);
    gate.open();
    assert_eq!(lp.run_until_complete(&last)?, 3);
    wait_for_the_threads_end(&ended);
    Ok(())
}

#[test]
fn a_job_may_own_the_last_handle_of_its_own_pool() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (pool, gate, (kept, ended)) = (Executor::new(1), Gate::new(), channel());
    let (own, pass) = (pool.clone(), gate.clone());
    let job = lp.run_in(&pool, move || {
        keep_until_the_thread_ends(kept);
        pass.pass();
        drop(own);
        "on its own"
    })?;
    drop(pool);
    gate.open();
    assert_eq!(lp.run_until_complete(&job)?, "on its own");
    wait_for_the_threads_end(&ended);
    Ok(())
}

// ---- threads without work ----

#[test]
fn an_idle_thread_is_retired_and_another_is_started_when_it_is_needed() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let pool = Executor::builder().threads(4).keep_alive(MS).build();
    for n in 0..3 {
        let job = lp.run_in(&pool, thread_name)?;
        assert_eq!(lp.run_until_complete(&job)?, format!("looplab_{n}"));
        until(|| pool.threads() == 0);
    }
    pool.shutdown(true, false)
}

/// The pool may have one thread only: a job that counts on the one that gives up just now would wait for ever.
#[test]
fn a_job_that_comes_while_a_thread_gives_up_is_not_lost() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    for keep_alive in [Duration::ZERO, Duration::from_micros(20)] {
        let pool = Executor::builder().threads(1).keep_alive(keep_alive).build();
        for n in 0_u32..400 {
            let job = lp.run_in(&pool, move || n)?;
            assert_eq!(hear_at_once(&lp, &job)?, n);
            // Some come at once, some a little later, when the thread is about to give up.
            (0..n % 100).for_each(|_| std::hint::spin_loop());
        }
        assert!(pool.threads() <= 1);
    }
    Ok(())
}

#[test]
fn a_keep_alive_beyond_all_clocks_is_for_ever() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let pool = Executor::builder().threads(1).keep_alive(Duration::MAX).build();
    for _ in 0..3 {
        let job = lp.run_in(&pool, thread_name)?;
        assert_eq!(lp.run_until_complete(&job)?, "looplab_0");
    }
    pool.shutdown(true, false)?;
    assert_eq!(pool.threads(), 0);
    Ok(())
}
