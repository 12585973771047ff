//! `run` and `Runner`: asyncio.run's life cycle, rule by rule. What Ctrl-C does is in `ctrl_c.rs`.

mod life_cycle;
mod signals;
mod sweep;

use looplab::{Clock, Error, EventLoop, ExceptionContext, Result, Runner};
use looplab::{create_task, get_running_loop, run, sleep, yield_now};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread;
use support::{Drops, HOUR, Log, child, failure, forever, ms, report, say, show, watchdog};

/// A runner in virtual time; what it reports is in the log, as `REPORT message (task): error`.
pub(crate) fn runner(log: &Log) -> Runner {
    on(Runner::builder(), log)
}

pub(crate) fn on(builder: looplab::RunnerBuilder, log: &Log) -> Runner {
    let mut runner = builder.event_loop(EventLoop::builder().clock(Clock::virtual_time())).build();
    let log = log.clone();
    let report = move |_: &EventLoop, context: &ExceptionContext| {
        let task = context.task().map(|task| format!(" ({})", task.name)).unwrap_or_default();
        let error = context.error().map(|error| format!(": {}", show(error))).unwrap_or_default();
        say!(log, "REPORT {}{task}{error}", context.message());
    };
    runner.get_loop().expect("a loop").set_exception_handler(Some(report));
    runner
}

#[test]
fn run_gives_the_value_of_main() {
    let _dog = watchdog();
    struct NotClone(u32);
    let value = run(async {
        yield_now().await?;
        Ok(NotClone(7))
    });
    assert_eq!(value.unwrap().0, 7);
}

#[test]
fn run_fails_with_what_main_fails_with() {
    let _dog = watchdog();
    assert_eq!(failure(run(async { Err::<(), _>(Error::msg("boom")) })), "boom");
    assert_eq!(failure(run(async { Err::<(), _>(Error::cancelled()) })), "Cancelled");
    assert_eq!(failure(run::<_>(async { panic!("at the disco") as () })), "Panic(at the disco)");
    assert!(matches!(run(async { Err::<(), _>(Error::Exit(3)) }), Err(Error::Exit(3))));
}

#[test]
fn run_closes_its_loop() {
    let _dog = watchdog();
    let lp = run(async { get_running_loop() }).unwrap();
    assert!(lp.is_closed());
    // Main's step and the stop, and the two shutdowns with as many each: as in asyncio.
    assert_eq!(lp.turns(), 6);
    assert!(get_running_loop().is_err());
}

#[test]
fn run_is_refused_inside_of_a_running_loop_and_main_is_dropped() {
    let _dog = watchdog();
    let (drops, begun) = (Drops::default(), Rc::new(Cell::new(false)));
    let (guard, begins) = (drops.guard(), begun.clone());
    let outer = run(async move {
        let refused = run(async move {
            begins.set(true);
            drop(guard);
        });
        let lp = get_running_loop()?;
        let before = lp.turns();
        yield_now().await?;
        Ok((failure(refused), lp.turns() - before))
    });
    let text = "asyncio.run() cannot be called from a running event loop".to_owned();
    assert_eq!(outer.unwrap(), (text, 1));
    assert_eq!((begun.get(), drops.count()), (false, 1));
}

#[test]
fn a_runners_run_is_refused_inside_of_a_running_loop() {
    let _dog = watchdog();
    let mut runner = Runner::new();
    let refused = EventLoop::new().unwrap().run_until_complete(async move {
        let refused = runner.run(async {});
        Ok((runner, refused))
    });
    let (mut runner, refused) = refused.unwrap();
    assert_eq!(failure(refused), "Runner.run() cannot be called from a running event loop");
    runner.run(async {}).expect("outside it is fine");
}

#[test]
fn a_runner_made_inside_of_a_running_loop_fails_only_when_it_is_closed() {
    let _dog = watchdog();
    let closed = run(async {
        let mut runner = Runner::new();
        let lp = runner.get_loop()?;
        Ok((failure(runner.close()), lp.is_closed(), runner.close().is_ok()))
    });
    let text = "Cannot run the event loop while another loop is running".to_owned();
    assert_eq!(closed.unwrap(), (text, true, true));
}

#[test]
fn a_runner_with_tasks_that_is_closed_inside_of_another_loop_fails_as_their_gathering() {
    let _dog = watchdog();
    let mut runner = Runner::new();
    let lp = runner.get_loop().unwrap();
    let task = lp.create_task(std::future::pending::<()>());
    let refused = run(async move { Ok(failure(runner.close())) });
    let text = "The future belongs to a different loop than the one specified as the loop argument";
    assert_eq!(refused.unwrap(), text);
    assert!(lp.is_closed() && !task.done(), "the loop is closed, and the task ends with it");
}

#[test]
fn a_closed_runner_is_closed_for_good() {
    let _dog = watchdog();
    let mut runner = Runner::new();
    runner.run(async {}).unwrap();
    runner.close().unwrap();
    assert_eq!(failure(runner.run(async {})), "Runner is closed");
    assert_eq!(failure(runner.get_loop().map(drop)), "Runner is closed");
    runner.close().expect("a second time does nothing");
}

#[test]
fn closing_a_runner_before_it_has_a_loop_does_nothing() {
    let _dog = watchdog();
    let mut runner = Runner::new();
    runner.close().unwrap();
    assert_eq!(runner.run(async { Ok(1) }).unwrap(), 1);
}

#[test]
fn a_runner_cannot_be_closed_by_its_own_loop_and_stays_open() {
    let log = Log::default();
    let (mut main, _dog) = (runner(&log), watchdog());
    let lp = main.get_loop().unwrap();
    let runner = Rc::new(RefCell::new(main));
    let inner = runner.clone();
    let refused = lp.run_until_complete(async move { Ok(failure(inner.borrow_mut().close())) });
    // In asyncio the attempt cancels the task that makes it; here as well, but it had not to wait any more.
    assert!(matches!(refused, Err(Error::Cancelled(_))), "{refused:?}");
    assert!(!lp.is_closed());
    assert_eq!(runner.borrow_mut().run(async { Ok(1) }).unwrap(), 1);
    runner.borrow_mut().close().unwrap();
    assert!(lp.is_closed());
}

#[test]
fn a_runner_that_is_dropped_is_closed() {
    let (log, _dog) = (Log::default(), watchdog());
    let mut runner = runner(&log);
    let lp = runner.get_loop().unwrap();
    let said = log.clone();
    let main = async move {
        create_task(support::pass_on(said, "task"));
        yield_now().await
    };
    runner.run(main).unwrap();
    drop(runner);
    assert!(lp.is_closed());
    assert_eq!(log.take(), ["4 task Cancelled"]);
}

#[test]
fn every_run_is_on_the_same_loop_and_what_is_left_over_goes_on_in_the_next() {
    let (log, _dog) = (Log::default(), watchdog());
    let mut runner = runner(&log);
    let said = log.clone();
    let first = runner.run(async move {
        create_task(async move {
            sleep(ms(10)).await?;
            said.say("task goes on");
            Ok(())
        });
        get_running_loop()
    });
    assert_eq!(log.take(), [""; 0]);
    let second = runner.run(async {
        sleep(ms(20)).await?;
        get_running_loop()
    });
    assert_eq!(log.take(), ["5 task goes on"]);
    assert_eq!(first.unwrap(), second.unwrap());
}

#[test]
fn a_runner_runs_whatever_can_be_awaited_as_a_new_task() {
    let mut runner = runner(&Log::default());
    let lp = runner.get_loop().unwrap();
    let done = lp.create_future();
    done.set_result("done").unwrap();
    assert_eq!((runner.run(done).unwrap(), lp.turns()), ("done", 2));
    let task = lp.create_task(async { sleep(ms(1)).await.map(|()| 1) });
    assert_eq!((runner.run(&task).unwrap(), lp.turns()), (1, 7));
    let cancelled = lp.create_future::<()>();
    let cancel = cancelled.clone();
    lp.call_soon(move || {
        cancel.cancel();
    })
    .unwrap();
    assert!(matches!(runner.run(cancelled), Err(Error::Cancelled(None))));
    assert_eq!(lp.turns(), 9);
}

#[test]
fn a_main_that_is_stopped_from_inside_goes_on_in_the_next_run() {
    let (log, _dog) = (Log::default(), watchdog());
    let mut runner = runner(&log);
    let said = log.clone();
    let stopped = runner.run(async move {
        looplab::stop()?;
        sleep(ms(10)).await?;
        said.say("main goes on");
        Ok(())
    });
    assert_eq!(failure(stopped), "Event loop stopped before Future completed.");
    runner.run(async { sleep(ms(20)).await }).unwrap();
    assert_eq!(log.take(), ["4 main goes on"]);
}

/// In CPython the first run's callback, still queued, stops the next run: there the shutdown takes two turns.
#[test]
fn a_stop_in_mains_last_turn_does_not_cut_the_shutdown_short() {
    let (log, _dog) = (Log::default(), watchdog());
    let mut runner = runner(&log);
    let lp = runner.get_loop().unwrap();
    runner.run(async { looplab::stop() }).unwrap();
    assert_eq!(lp.turns(), 1);
    runner.close().unwrap();
    assert_eq!(lp.turns(), 5);
}

#[test]
fn a_main_that_can_never_end_is_named_in_virtual_time() {
    let (log, _dog) = (Log::default(), watchdog());
    let deadlock = runner(&log).run(async { forever().await }).unwrap_err();
    assert!(matches!(&deadlock, Error::Deadlock(text) if text.contains("waits for future")), "{deadlock}");
}

#[test]
fn what_leaves_the_loop_out_of_main_leaves_run_and_the_rest_is_swept_all_the_same() {
    let (log, _dog) = (Log::default(), watchdog());
    let mut runner = runner(&log);
    let said = log.clone();
    let left = runner.run(async move {
        create_task(support::pass_on(said, "task"));
        yield_now().await?;
        Err::<(), _>(Error::Exit(3))
    });
    assert!(matches!(left, Err(Error::Exit(3))));
    runner.close().unwrap();
    assert_eq!(log.take(), ["3 task Cancelled"]);
}

#[test]
fn what_leaves_the_sweep_takes_the_place_of_what_main_failed_with() {
    let _dog = watchdog();
    let logged = support::capture_log();
    let drops = Drops::default();
    let guard = drops.guard();
    let left = run(async move {
        create_task(async move {
            let _guard = guard;
            sleep(HOUR).await.map_err(|_| Error::KeyboardInterrupt)
        });
        yield_now().await?;
        Err::<(), _>(Error::msg("main failed"))
    });
    assert!(matches!(left, Err(Error::KeyboardInterrupt)), "{left:?}");
    assert_eq!(drops.count(), 1);
    let lost = "the shutdown failed after the main task had failed with: main failed";
    assert!(logged().iter().any(|line| line == lost));
}

fn entries(folder: &str) -> usize {
    std::fs::read_dir(folder).expect("Linux's /proc").count()
}

/// In kilobytes.
fn resident_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux's /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is a process");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
#[cfg(target_os = "linux")]
fn runners_in_a_row_leave_no_descriptor_no_thread_and_no_memory_behind() {
    let ended = child!(|| {
        let one = |n: u64| {
            let mut runner = Runner::builder().sigterm(true).build();
            let sum = runner.run(async move {
                create_task(sleep(HOUR));
                let watched = get_running_loop()?.snapshot().signals.len();
                let square = looplab::to_thread(move || n * n).await?;
                Ok(square + watched as u64)
            });
            assert_eq!(sum.unwrap(), n * n + 1);
        };
        let row = |times| (1..=times).for_each(one);
        let threads = entries("/proc/self/task");
        row(50);
        let fds = entries("/proc/self/fd");
        // A handler that stayed would be a kilobyte or so each time, in each row. What the allocator keeps comes once.
        let grown = (0..4).map(|_| {
            let before = resident_memory();
            row(500);
            resident_memory().saturating_sub(before)
        });
        let mut grown = grown.inspect(|grown| eprintln!("{grown} kB more"));
        assert!(grown.any(|grown| grown < 256), "each row leaves memory behind");
        assert_eq!(fds, entries("/proc/self/fd"));
        // The system lists a thread for a moment after it was joined.
        while entries("/proc/self/task") != threads {
            thread::yield_now();
        }
        report("done");
    });
    assert_eq!(ended.fine(), ["done"]);
}

#[test]
fn a_runner_takes_its_loops_options() -> Result<()> {
    let _dog = watchdog();
    let mut runner = Runner::builder().event_loop(EventLoop::builder().debug(true)).build();
    assert!(runner.run(async { get_running_loop() })?.debug());
    runner.close()
}
