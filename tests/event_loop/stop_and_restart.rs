//! Stopping and restarting: asyncio's rules for `run_forever`, `run_until_complete` and `stop`. The arrows are those of the diagram in `src/event_loop/run.rs`.

use looplab::trace::{Event, Life, Record};
use looplab::{Error, EventLoop, Result, get_running_loop, sleep, yield_now};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;
use support::{Lab, child, say, says, watchdog, words};

const MS: Duration = Duration::from_millis(1);

/// One turn that does not wait.
fn turn(lab: &Lab) -> Result<()> {
    lab.stop();
    lab.run_forever()
}

// ---- situations ----

#[test]
fn stop_before_run_makes_one_turn() -> Result<()> {
    let lab = Lab::new();
    let (ours, mut theirs) = UnixStream::pair()?;
    theirs.write_all(b"x")?;
    lab.add_reader(&ours, says("io"))?;
    lab.call_later(Duration::ZERO, says("due"))?;
    lab.call_later(50 * MS, says("not due"))?;
    lab.call_soon(|| {
        say("ready");
        get_running_loop()?.call_soon(says("next run"))
    })?;
    lab.clear();
    lab.stop(); // arrow 5
    lab.run_forever()?; // arrows 1 and 3
    lab.is("stop
        run
        turn 1 | select 0 ready | polled a:r | +h1 io a | due h2 | batch 3
            | run h4 | 'ready' | +h5 | run h1 | 'io' | run h2 | 'due'
        unstop | end");
    let state = lab.snapshot();
    assert_eq!((state.ready.len(), state.timers.len(), state.stopping), (1, 1, false));
    Ok(())
}

#[test]
fn stop_before_run_does_not_wait_for_timers_or_io() -> Result<()> {
    let lab = Lab::in_real_time();
    let (ours, _theirs) = UnixStream::pair()?;
    lab.add_reader(&ours, says("never"))?;
    lab.call_later(Duration::from_secs(3600), says("never"))?;
    lab.clear();
    lab.stop(); // arrow 5
    lab.run_forever()?;
    lab.is("stop | run | turn 1 | select 0 stopping | batch 0 | unstop | end");
    Ok(())
}

#[test]
fn stop_during_a_turn_lets_the_whole_batch_run() -> Result<()> {
    let lab = Lab::new();
    lab.call_soon(says("a"))?;
    lab.call_soon(looplab::stop)?;
    lab.call_soon(says("b"))?;
    lab.call_later(Duration::ZERO, says("c"))?;
    lab.clear();
    lab.run_forever()?;
    lab.is("run
        turn 1 | select 0 ready | due h4 | batch 4
            | run h1 | 'a' | run h2 | stop | run h3 | 'b' | run h4 | 'c'
        unstop | end"); // arrow 3
    Ok(())
}

#[test]
fn without_a_stop_a_turn_follows_the_turn() -> Result<()> {
    let lab = Lab::new();
    lab.call_soon(says("a"))?;
    lab.call_later(MS, looplab::stop)?;
    lab.clear();
    lab.run_forever()?;
    lab.is("run
        turn 1 | select 0 ready | batch 1 | run h1 | 'a'
        turn 2 | select 1ms timer h2 | due h2 | batch 1 | run h2 | stop
        unstop | end"); // arrow 2 behind turn 1, arrow 3 behind turn 2
    Ok(())
}

#[test]
fn stop_then_call_soon_in_the_same_callback_runs_first_in_the_next_run() -> Result<()> {
    let lab = Lab::new();
    lab.call_soon(|| {
        let lp = get_running_loop()?;
        lp.stop();
        lp.call_soon(says("x"))
    })?;
    lab.clear();
    lab.run_forever()?;
    lab.is("run | turn 1 | select 0 ready | batch 1 | run h1 | stop | +h2 | unstop | end");
    assert_eq!(lab.snapshot().ready.len(), 1);
    lab.call_soon(looplab::stop)?;
    lab.clear();
    lab.run_forever()?;
    lab.is("run | turn 2 | select 0 ready | batch 2 | run h2 | 'x' | run h3 | stop | unstop | end");
    Ok(())
}

#[test]
fn stop_twice_cuts_only_one_run_short() -> Result<()> {
    let lab = Lab::new();
    lab.stop();
    lab.stop();
    lab.run_forever()?;
    assert!(!lab.snapshot().stopping);
    lab.call_soon(|| {
        looplab::stop()?;
        looplab::stop()
    })?;
    lab.clear();
    lab.run_forever()?;
    lab.is("run | turn 2 | select 0 ready | batch 1 | run h1 | stop | stop | unstop | end");
    // Were a request left, this run would end before its timer.
    lab.call_later(MS, || {
        say("third run");
        looplab::stop()
    })?;
    lab.run_forever()?;
    assert_eq!(words(), ["third run"]);
    Ok(())
}

#[test]
fn io_made_readable_by_the_stopping_turn_is_delivered_in_the_next_run() -> Result<()> {
    let lab = Lab::new();
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let fd = ours.try_clone()?;
    lab.add_reader(&fd, move || {
        ours.read_exact(&mut [0])?;
        say("io");
        Ok(())
    })?;
    let _stays_open = theirs.try_clone()?;
    lab.call_soon(move || {
        theirs.write_all(b"x")?;
        looplab::stop()
    })?;
    lab.clear();
    lab.run_forever()?;
    lab.is("run | turn 1 | select 0 ready | batch 1 | run h2 | stop | unstop | end");
    lab.stop();
    lab.clear();
    lab.run_forever()?;
    lab.is("run
        turn 2 | select 0 stopping | polled a:r | +h1 io a | batch 1 | run h1 | 'io'
        unstop | end");
    Ok(())
}

#[test]
fn timers_not_yet_due_stay_across_runs_with_their_deadlines() -> Result<()> {
    let lab = Lab::new();
    let a = lab.call_later(10 * MS, says("a"))?;
    let b = lab.call_later(30 * MS, looplab::stop)?;
    let began = lab.time();
    for _ in 0..3 {
        lab.stop();
        lab.run_forever()?;
        let timers: Vec<_> = lab.snapshot().timers.iter().map(|timer| timer.when).collect();
        assert_eq!(timers, [a.when(), b.when()]);
    }
    lab.clear();
    lab.run_forever()?;
    lab.is("run
        turn 4 | select 10ms timer h1 | due h1 | batch 1 | run h1 | 'a'
        turn 5 | select 20ms timer h2 | due h2 | batch 1 | run h2 | stop
        unstop | end");
    assert_eq!(lab.time(), began + 30 * MS);
    Ok(())
}

/// asyncio's own is noticed only when something else wakes the loop (gh-124780).
#[test]
fn stop_from_another_thread_wakes_an_idle_loop() -> Result<()> {
    let _dog = watchdog();
    let (asleep, woken) = std::sync::mpsc::channel();
    let lp = EventLoop::builder()
        .clock(looplab::Clock::monotonic())
        .on_park(move || {
            let _ = asleep.send(());
        })
        .build()?;
    let remote = lp.remote();
    let thread = std::thread::spawn(move || {
        woken.recv().expect("the loop goes to sleep");
        remote.stop()
    });
    lp.run_forever()?;
    thread.join().expect("no panic")
}

#[test]
fn stop_on_a_stopped_loop_makes_the_next_run_return_after_one_turn() -> Result<()> {
    let lab = Lab::new();
    lab.stop(); // arrow 5
    let slow = lab.create_task(async { sleep(MS).await });
    let error = lab.run_until_complete(&slow).unwrap_err();
    assert!(matches!(error, Error::StoppedBeforeComplete));
    assert_eq!(error.to_string(), "Event loop stopped before Future completed.");
    assert_eq!(lab.turns(), 1);
    // Nothing is lost: the same task goes on.
    lab.run_until_complete(&slow)?;

    // Unless the future is done in that one turn.
    lab.stop();
    assert_eq!(lab.run_until_complete(async { Ok("at once") })?, "at once");
    let turns = lab.turns();
    lab.stop();
    assert_eq!(lab.run_until_complete(async { Ok("at once") })?, "at once");
    assert_eq!(lab.turns(), turns + 1);
    Ok(())
}

#[test]
fn an_error_out_of_a_run_clears_the_stop_flag() -> Result<()> {
    let lab = Lab::new();
    lab.call_soon(|| {
        looplab::stop()?;
        Err::<(), _>(Error::KeyboardInterrupt)
    })?;
    lab.clear();
    assert!(matches!(lab.run_forever(), Err(Error::KeyboardInterrupt)));
    lab.is(
        "run | turn 1 | select 0 ready | batch 1 | run h1 | stop | failed: KeyboardInterrupt | unstop | end",
    ); // arrow 4
    assert!(!lab.is_running() && !lab.snapshot().stopping && !lab.is_closed());
    lab.call_later(MS, looplab::stop)?;
    lab.run_forever()?;
    assert_eq!(lab.turns(), 2);
    Ok(())
}

/// The observer's panic is caught and logged, and so is the logger's.
#[test]
fn a_run_goes_on_if_the_observer_and_the_logger_panic_while_it_begins() {
    struct Panics;
    impl log::Log for Panics {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, _: &log::Record<'_>) {
            panic!("the logger");
        }
        fn flush(&self) {}
    }
    let ended = child!(|| {
        log::set_logger(&Panics).expect("there is none");
        log::set_max_level(log::LevelFilter::Error);
        let observer = |record: &Record<'_>| assert!(!matches!(record.event, Event::Loop(Life::Run)));
        let lp = EventLoop::builder().observer(observer).build().expect("a loop");
        assert!(!lp.run_once().expect("neither stops it"));
        assert!(!lp.is_running() && get_running_loop().is_err());
        EventLoop::new().and_then(|other| other.run_once()).expect("no other loop runs");
    });
    ended.fine();
}

#[test]
fn run_until_complete_of_a_done_future_takes_one_turn_in_which_what_is_ready_runs_too() -> Result<()> {
    let lab = Lab::new();
    let future = lab.create_future();
    future.set_result(5)?;
    lab.call_soon(says("ready"))?;
    lab.clear();
    assert_eq!(lab.run_until_complete(&future)?, 5);
    lab.is("+h2 done
        run
        turn 1 | select 0 ready | batch 2 | run h1 | 'ready' | run h2 | stop
        unstop | end");
    Ok(())
}

/// In asyncio the stop request of `first` is queued in the turn in which `first` stops the loop itself, and cuts the
/// next run short.
#[test]
fn the_stop_request_of_a_finished_run_until_complete_never_leaks_into_the_next_run() -> Result<()> {
    let lab = Lab::new();
    let first = async {
        looplab::stop()?;
        Ok("first")
    };
    assert_eq!(lab.run_until_complete(first)?, "first");
    assert_eq!(lab.turns(), 1);
    let second = async {
        sleep(MS).await?;
        Ok("second")
    };
    assert_eq!(lab.run_until_complete(second)?, "second");

    // Nor does the request to a run which ended by something else.
    let never = lab.create_future::<()>();
    lab.call_soon(looplab::stop)?;
    assert!(matches!(lab.run_until_complete(&never), Err(Error::StoppedBeforeComplete)));
    let setter = never.clone();
    lab.call_soon(move || setter.set_result(()))?;
    lab.run_until_complete(async { sleep(MS).await })?;
    Ok(())
}

#[test]
fn a_run_until_complete_that_was_stopped_goes_on_when_it_is_called_again() -> Result<()> {
    let lab = Lab::new();
    let task = lab.create_task(async {
        for n in 0..3 {
            say(n);
            looplab::stop()?;
            sleep(MS).await?;
        }
        Ok("done")
    });
    for _ in 0..3 {
        assert!(matches!(lab.run_until_complete(&task), Err(Error::StoppedBeforeComplete)));
    }
    assert_eq!(lab.run_until_complete(&task)?, "done");
    assert_eq!(words(), ["0", "1", "2"]);
    Ok(())
}

// ---- between two runs ----

#[test]
fn a_result_set_between_two_runs_wakes_the_task_in_the_next_run() -> Result<()> {
    let lab = Lab::new();
    let future = lab.create_future();
    let waiting = future.clone();
    lab.create_task(async move {
        say(waiting.await?);
        Ok(())
    });
    turn(&lab)?;
    lab.clear();
    future.set_result("between")?;
    turn(&lab)?;
    lab.is("f1 ok | +h1 wakeup t2 | stop
        run
        turn 2 | select 0 ready | batch 1 | run h1 | step t2 | 'between' | t2 ok
        unstop | end");
    Ok(())
}

#[test]
fn a_task_cancelled_between_two_runs_gets_it_in_the_next_run() -> Result<()> {
    let lab = Lab::new();
    let task = lab.create_task(async {
        let error = sleep(Duration::MAX).await.unwrap_err();
        say(error.cancel_message().unwrap_or_default());
        Err::<(), _>(error)
    });
    turn(&lab)?;
    assert!(task.cancel_msg("between"));
    turn(&lab)?;
    assert_eq!(words(), ["between"]);
    assert!(task.cancelled());
    Ok(())
}

#[test]
fn whatever_is_added_between_two_runs_belongs_to_the_next() -> Result<()> {
    let lab = Lab::new();
    turn(&lab)?;
    lab.call_soon(says("callback"))?;
    lab.call_later(Duration::ZERO, says("timer"))?;
    lab.create_task(async {
        say("task");
        Ok(())
    });
    turn(&lab)?;
    assert_eq!(words(), ["callback", "task", "timer"]);
    Ok(())
}

// ---- many runs ----

#[test]
fn a_thousand_runs_lose_no_callback_timer_reader_or_task() -> Result<()> {
    const RUNS: u64 = 1000;
    let lab = Lab::new();
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let counts: Rc<RefCell<[u64; 4]>> = Rc::default();
    let count = |which: usize| {
        let counts = counts.clone();
        move || counts.borrow_mut()[which] += 1
    };
    // Each is put there in one run and happens in the next: no run is long enough for both.
    let read = count(0);
    let fd = ours.try_clone()?;
    lab.add_reader(&fd, move || {
        ours.read_exact(&mut [0])?;
        read();
        Ok(())
    })?;
    for _ in 0..RUNS {
        theirs.write_all(b"x")?;
        lab.call_soon(count(1))?;
        lab.call_later(Duration::ZERO, count(2))?;
        let step = count(3);
        lab.create_task(async move {
            yield_now().await?;
            step();
            Ok(())
        });
        lab.stop();
        lab.run_forever()?;
    }
    assert_eq!(*counts.borrow(), [RUNS, RUNS, RUNS, RUNS - 1], "the last task is one step behind");
    lab.stop();
    lab.run_forever()?;
    assert_eq!(*counts.borrow(), [RUNS; 4]);
    assert_eq!(lab.turns(), RUNS + 1);
    assert!(lab.snapshot().tasks.is_empty());
    Ok(())
}
