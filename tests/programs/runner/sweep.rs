//! How a runner ends what is left: asyncio's way, and until it is quiet.

use super::{on, runner};
use looplab::{Error, Result, Runner, Task, TaskRef};
use looplab::{create_task, get_running_loop, run, sleep, to_thread, yield_now};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;
use support::{
    Drops, HOUR, Log, OnDrop, capture_log, failure, forever, ms, pass_on, say, show, swallow, watchdog,
};

fn spawn(name: &str, body: impl Future<Output = Result<()>> + 'static) -> TaskRef {
    Task::builder().name(name).spawn(body).to_ref()
}

#[test]
fn the_order_is_cancel_gather_report_pool_close() {
    let (log, _dog) = (Log::default(), watchdog());
    let mut runner = runner(&log);
    let lp = runner.get_loop().unwrap();
    let (said, go, job_ends) = (log.clone(), channel(), log.clone());
    let (release, released) = go;
    let main = async move {
        spawn("first", pass_on(said.clone(), "first"));
        spawn("second", async move {
            let ended = forever().await;
            said.say("second cleans up");
            yield_now().await?;
            said.say("second has cleaned up");
            ended.map_err(|_| Error::msg("and failed"))
        });
        let job = get_running_loop()?.run_in_executor(move || released.recv().is_ok())?;
        job.add_done_callback(move |job| say!(job_ends, "job ends: {:?}", job.result()));
        yield_now().await
    };
    runner.run(main).unwrap();
    // The job ends only while its pool is shut down: from then on the loop refuses jobs.
    let (ends, open) = (log.clone(), lp.clone());
    lp.call_soon(move || waits_for_the_shutdown(open, ends, release)).unwrap();
    runner.close().unwrap();
    ends_with_close(&log.take(), lp.is_closed());
}

/// Asks turn after turn whether the pool takes jobs still; when it does not, lets the job end.
fn waits_for_the_shutdown(
    lp: looplab::EventLoop,
    log: Log,
    release: std::sync::mpsc::Sender<()>,
) -> Result<()> {
    match lp.run_in_executor(|| ()) {
        Ok(_) => lp.clone().call_soon(move || waits_for_the_shutdown(lp, log, release)).map(drop),
        Err(error) => {
            say!(log, "pool: {error}");
            release.send(()).map_err(Error::other)
        }
    }
}

fn ends_with_close(lines: &[String], closed: bool) {
    let lines: Vec<&str> =
        lines.iter().filter_map(|line| line.split_once(' ')).map(|(_, text)| text).collect();
    let expected = [
        "first Cancelled",
        "second cleans up",
        "second has cleaned up",
        "REPORT unhandled exception during asyncio.run() shutdown (second): and failed",
        "pool: Executor shutdown has been called",
        "job ends: Ok(true)",
    ];
    assert_eq!((lines, closed), (expected.to_vec(), true));
}

#[test]
fn every_task_is_cancelled_once_in_order_of_creation() {
    let (log, _dog) = (Log::default(), watchdog());
    let tasks = Rc::new(RefCell::new(Vec::new()));
    let (said, kept) = (log.clone(), tasks.clone());
    let mut runner = runner(&log);
    let main = async move {
        for name in ["a", "b", "c"] {
            kept.borrow_mut().push(create_task(pass_on(said.clone(), name)));
        }
        yield_now().await
    };
    runner.run(main).unwrap();
    runner.close().unwrap();
    assert_eq!(log.take(), ["4 a Cancelled", "4 b Cancelled", "4 c Cancelled"]);
    assert!(tasks.borrow().iter().all(|task| task.cancelled() && task.cancelling() == 1));
}

#[test]
fn a_task_that_swallows_its_cancellation_is_waited_for_without_limit() {
    let (log, _dog) = (Log::default(), watchdog());
    let mut runner = runner(&log);
    let lp = runner.get_loop().unwrap();
    let said = log.clone();
    let main = async move {
        create_task(async move {
            swallow(said.clone(), "task", ()).await?;
            sleep(20 * HOUR).await?;
            said.say("task ends");
            Ok(())
        });
        yield_now().await
    };
    runner.run(main).unwrap();
    let began = lp.time();
    runner.close().unwrap();
    assert_eq!(log.take(), ["4 task Cancelled", "6 task ends"]);
    assert_eq!(lp.time() - began, 20 * HOUR);
}

/// On a real clock it would hang the exit, as in asyncio.
#[test]
fn a_task_that_swallows_and_can_never_end_is_named_in_virtual_time_and_the_loop_is_closed() {
    let (log, _dog) = (Log::default(), watchdog());
    let mut runner = runner(&log);
    let lp = runner.get_loop().unwrap();
    let main = async {
        spawn("stubborn", async {
            let _ = forever().await;
            forever().await
        });
        yield_now().await
    };
    runner.run(main).unwrap();
    let deadlock = failure(runner.close());
    assert!(deadlock.contains("; stubborn waits for future"), "{deadlock}");
    assert!(lp.is_closed());
    assert_eq!(log.take(), ["- REPORT Task was destroyed but it is pending! (stubborn)"]);
}

#[test]
fn a_task_made_during_the_sweep_is_not_cancelled_and_dies_pending() {
    let (log, _dog) = (Log::default(), watchdog());
    let mut runner = runner(&log);
    let late = Rc::new(RefCell::new(None));
    let (said, keep) = (log.clone(), late.clone());
    let main = async move {
        create_task(async move {
            let ended = forever().await;
            *keep.borrow_mut() = Some(spawn("late", pass_on(said, "late")));
            ended
        });
        yield_now().await
    };
    runner.run(main).unwrap();
    runner.close().unwrap();
    assert_eq!(log.take(), ["- REPORT Task was destroyed but it is pending! (late)"]);
    let late = late.borrow().clone().expect("it was made");
    assert_eq!((late.done(), late.cancelling()), (false, 0));
}

#[test]
fn with_a_job_on_the_pool_a_task_made_during_the_sweep_may_finish() {
    let (log, _dog) = (Log::default(), watchdog());
    let (begin, begun) = channel();
    let (release, released) = channel();
    let said = log.clone();
    let ended = run(async move {
        create_task(to_thread(move || {
            begin.send(()).expect("main waits for it");
            released.recv()
        }));
        create_task(async move {
            let ended = forever().await;
            create_task(async move {
                // The sweep and one shutdown take three turns behind it. The job is what keeps the loop turning.
                for _ in 0..100 {
                    yield_now().await?;
                }
                said.say("late has finished");
                release.send(()).map_err(Error::other)
            });
            ended
        });
        yield_now().await?;
        // One that is only queued would be taken back.
        begun.recv().map_err(Error::other)
    });
    ended.unwrap();
    assert_eq!(log.take().len(), 1);
}

#[test]
fn only_failures_are_reported_each_with_its_error_and_task() {
    let (log, _dog) = (Log::default(), watchdog());
    let mut runner = runner(&log);
    let main = async {
        spawn("cancelled", forever());
        spawn("failed", async { forever().await.map_err(|_| Error::msg("cleanup")) });
        spawn("panicked", async { forever().await.map_err(|_| panic!("oh")) });
        spawn("swallowed", async { forever().await.or(Ok(())) });
        yield_now().await
    };
    runner.run(main).unwrap();
    runner.close().unwrap();
    let message = "REPORT unhandled exception during asyncio.run() shutdown";
    let expected = [format!("- {message} (failed): cleanup"), format!("- {message} (panicked): Panic(oh)")];
    assert_eq!(log.take(), expected);
}

#[test]
fn pending_timers_are_dropped_in_silence() {
    let (log, _dog) = (Log::default(), watchdog());
    let mut runner = runner(&log);
    let drops = Drops::default();
    let guard = drops.guard();
    runner.run(async move { get_running_loop()?.call_later(HOUR, move || drop(guard)).map(drop) }).unwrap();
    assert_eq!(drops.count(), 0);
    runner.close().unwrap();
    assert_eq!((drops.count(), log.take()), (1, vec![]));
}

#[test]
fn the_jobs_of_the_pool_are_waited_for() {
    let _dog = watchdog();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (seen, (begin, begun)) = (done.clone(), channel());
    run(async move {
        create_task(to_thread(move || {
            begin.send(()).expect("main waits for it");
            (0..1000).for_each(|_| std::thread::yield_now());
            seen.store(true, std::sync::atomic::Ordering::SeqCst);
        }));
        yield_now().await?;
        begun.recv().map_err(Error::other)
    })
    .unwrap();
    assert!(done.load(std::sync::atomic::Ordering::SeqCst));
}

#[test]
fn what_a_task_leaves_the_sweep_with_leaves_close_and_the_loop_is_closed_all_the_same() {
    let (log, _dog) = (Log::default(), watchdog());
    let mut runner = runner(&log);
    let lp = runner.get_loop().unwrap();
    let main = async {
        spawn("leaver", async { forever().await.map_err(|_| Error::Exit(5)) });
        spawn("other", forever());
        yield_now().await
    };
    runner.run(main).unwrap();
    assert!(matches!(runner.close(), Err(Error::Exit(5))));
    assert!(lp.is_closed());
    runner.close().expect("it is closed already");
}

#[test]
fn destructors_that_run_at_the_end_see_a_closed_loop() {
    let _dog = watchdog();
    let seen = Rc::new(Cell::new(None));
    let sees = seen.clone();
    run(async move {
        let lp = get_running_loop()?;
        let inner = lp.clone();
        let guard = OnDrop(move || sees.set(Some(inner.call_soon(|| ()).is_err())));
        lp.call_later(HOUR, move || drop(guard)).map(drop)
    })
    .unwrap();
    assert_eq!(seen.get(), Some(true));
}

fn quiet(log: &Log, limit: Duration) -> Runner {
    on(Runner::builder().sweep_until_quiet(limit), log)
}

/// Runs `main` and closes; how much virtual time the closing took.
fn close_after(mut runner: Runner, main: impl Future<Output = Result<()>> + 'static) -> Duration {
    runner.run(main).unwrap();
    let lp = runner.get_loop().unwrap();
    let began = lp.time();
    runner.close().unwrap();
    lp.time() - began
}

#[test]
fn until_quiet_cancels_also_what_is_made_meanwhile() {
    let (log, _dog) = (Log::default(), watchdog());
    let said = log.clone();
    let took = close_after(quiet(&log, HOUR), async move {
        create_task(async move {
            let ended = pass_on(said.clone(), "task").await;
            create_task(async move {
                let ended = pass_on(said.clone(), "late").await;
                create_task(pass_on(said, "later"));
                ended
            });
            ended
        });
        yield_now().await
    });
    let said = log.take();
    let texts: Vec<_> = said.iter().filter_map(|line| Some(line.split_once(' ')?.1)).collect();
    assert_eq!(texts, ["task Cancelled", "late Cancelled", "later Cancelled"]);
    assert_eq!(took, Duration::ZERO);
}

#[test]
fn until_quiet_does_not_disturb_a_cleanup_before_half_time() {
    let (log, _dog) = (Log::default(), watchdog());
    let said = log.clone();
    let took = close_after(quiet(&log, ms(1000)), async move {
        spawn("slow", async move {
            let ended = forever().await;
            say!(said, "cleanup: {:?}", sleep(ms(499)).await.map_err(|error| show(&error)));
            ended
        });
        // Others end meanwhile; that is no reason to ask anybody again.
        for delay in [100, 200, 300] {
            create_task(async move {
                let _ = forever().await;
                sleep(ms(delay)).await
            });
        }
        yield_now().await
    });
    let said = log.take();
    assert!(matches!(&said[..], [line] if line.ends_with("cleanup: Ok(())")), "{said:?}");
    assert_eq!(took, ms(499));
}

#[test]
fn until_quiet_asks_once_more_at_half_time() {
    let (log, _dog) = (Log::default(), watchdog());
    let said = log.clone();
    let took = close_after(quiet(&log, ms(1000)), async move {
        create_task(async move {
            swallow(said.clone(), "task", ()).await?;
            pass_on(said, "task").await
        });
        yield_now().await
    });
    assert_eq!(log.take().len(), 2);
    assert_eq!(took, ms(500));
}

#[test]
fn until_quiet_names_the_tasks_that_refuse_to_end_and_gives_up() {
    let (log, _dog) = (Log::default(), watchdog());
    let logged = capture_log();
    let took = close_after(quiet(&log, ms(1000)), async {
        for name in ["stubborn", "mule"] {
            spawn(name, async {
                loop {
                    let _ = forever().await;
                }
            });
        }
        spawn("polite", forever());
        yield_now().await
    });
    assert_eq!(took, ms(1000));
    assert_eq!(logged(), ["tasks refuse to end within 1 seconds: stubborn, mule"]);
    let destroyed = "- REPORT Task was destroyed but it is pending!";
    assert_eq!(log.take(), [format!("{destroyed} (stubborn)"), format!("{destroyed} (mule)")]);
}

#[test]
fn until_quiet_ends_also_when_tasks_make_tasks_for_ever() {
    let (log, _dog) = (Log::default(), watchdog());
    let logged = capture_log();
    let took = close_after(quiet(&log, ms(100)), async {
        async fn swallows_for(time: Duration) -> Result<()> {
            let lp = get_running_loop()?;
            let until = lp.time() + time;
            while lp.time() < until {
                let _ = sleep(until - lp.time()).await;
            }
            Ok(())
        }
        // Virtual time stands still while heads grow, so that begins at the deadline: with one that ends just then.
        spawn("last", swallows_for(ms(100)));
        spawn("hydra", async {
            swallows_for(ms(100)).await?;
            loop {
                spawn("head", async { Ok(()) });
                let _ = yield_now().await;
            }
        });
        yield_now().await
    });
    assert_eq!(took, ms(100));
    let logged = logged();
    assert!(logged[0].starts_with("tasks refuse to end within 0.1 seconds: hydra"), "{logged:?}");
}

#[test]
fn until_quiet_reports_failures_as_the_plain_sweep_does() {
    let (log, _dog) = (Log::default(), watchdog());
    let took = close_after(quiet(&log, HOUR), async {
        spawn("failed", async { forever().await.map_err(|_| Error::msg("cleanup")) });
        yield_now().await
    });
    let report = "- REPORT unhandled exception during asyncio.run() shutdown (failed): cleanup";
    assert_eq!((log.take(), took), (vec![report.to_owned()], Duration::ZERO));
}

#[test]
fn until_quiet_with_nothing_left_takes_no_turn_more() {
    let (log, _dog) = (Log::default(), watchdog());
    let mut runner = quiet(&log, HOUR);
    let lp = runner.get_loop().unwrap();
    runner.run(async {}).unwrap();
    runner.close().unwrap();
    assert_eq!(lp.turns(), 6);
}
