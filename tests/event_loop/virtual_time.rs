//! Virtual time and stepping: time moves only when nothing is ready, waiting for nothing is an error, and `run_once`
//! makes exactly one turn.

use looplab::{Clock, Error, EventLoop, Result, Task, get_running_loop, sleep};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;
use support::{Lab, again, role, say, says, watchdog, words};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A loop in virtual time without a recorder, whose hook tells `asleep` when it is about to sleep for real.
fn telling_when_it_sleeps(asleep: std::sync::mpsc::Sender<()>) -> Result<EventLoop> {
    EventLoop::builder()
        .clock(Clock::virtual_time())
        .on_park(move || {
            let _ = asleep.send(());
        })
        .build()
}

// ---- time ----

#[test]
fn time_stands_still_while_anything_is_ready() -> Result<()> {
    let lab = Lab::new();
    let began = lab.time();
    fn chain(left: u32, at: std::time::Instant) -> Result<()> {
        let lp = get_running_loop()?;
        assert_eq!(lp.time(), at);
        if left == 0 {
            return Ok(());
        }
        lp.call_soon(move || chain(left - 1, at)).map(drop)
    }
    lab.call_later(10 * MS, move || chain(100, began + 10 * MS))?;
    lab.call_later(20 * MS, looplab::stop)?;
    lab.run_forever()?;
    assert_eq!((lab.turns(), lab.time()), (102, began + 20 * MS));
    Ok(())
}

#[test]
fn time_jumps_exactly_to_the_next_deadline() -> Result<()> {
    let lab = Lab::new();
    for delay in [HOUR, 3 * MS, Duration::from_nanos(1), 500 * HOUR] {
        let (lp, when) = (lab.clone(), lab.time() + delay);
        lab.call_later(delay, move || {
            assert_eq!(lp.time(), when);
            say("on time");
        })?;
    }
    while lab.run_once()? {}
    assert_eq!(words().len(), 4);
    Ok(())
}

#[test]
fn a_program_makes_the_same_trace_in_every_run() -> Result<()> {
    let trace = || -> Result<Vec<String>> {
        let lab = Lab::new();
        lab.call_later(2 * MS, says("timer"))?;
        lab.run_until_complete(async {
            let slow = looplab::create_task(async { sleep(HOUR).await });
            sleep(5 * MS).await?;
            slow.cancel();
            slow.await.or(Ok(()))
        })?;
        Ok(lab.take())
    };
    let first = trace()?;
    assert!(first.len() > 30, "{first:?}");
    assert_eq!(trace()?, first);
    Ok(())
}

#[test]
fn every_virtual_clock_of_a_process_starts_at_the_same_instant() {
    let (first, second) = (Lab::new(), Lab::new());
    assert_eq!(first.time(), second.time());
    let elsewhere = std::thread::spawn(|| Lab::new().time()).join().expect("no panic");
    assert_eq!(first.time(), elsewhere);
}

#[test]
fn the_environment_chooses_the_clock_of_a_loop_that_does_not_say() {
    match role().as_deref() {
        Some("virtual") => {
            let _dog = watchdog();
            let lp = EventLoop::new().expect("a loop");
            return lp.run_until_complete(sleep(1000 * HOUR)).expect("no time at all");
        }
        Some("sundial") => {
            let error = EventLoop::new().unwrap_err();
            let text = "LOOPLAB_CLOCK=sundial names no clock; the known ones are: monotonic, virtual";
            assert!(matches!(&error, Error::Value(value) if **value == *text), "{error:?}");
            // A builder that names its clock does not look at the environment.
            EventLoop::builder().clock(Clock::monotonic()).build().expect("a loop");
            return;
        }
        _ => {}
    }
    for clock in ["virtual", "sundial"] {
        support::Process::start(again!(clock).env("LOOPLAB_CLOCK", clock)).end().fine();
    }
}

const SECOND: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a sleep of a second takes on the running loop, and in which order two timers come.
async fn still_right() -> Result<()> {
    let lp = get_running_loop()?;
    let began = lp.time();
    let log = Rc::new(RefCell::new(Vec::new()));
    for seconds in [2, 1] {
        let log = log.clone();
        lp.call_later(seconds * SECOND, move || log.borrow_mut().push(seconds))?;
    }
    sleep(3 * SECOND).await?;
    assert_eq!(lp.time() - began, 3 * SECOND);
    assert_eq!(*log.borrow(), [1, 2]);
    Ok(())
}

#[test]
fn ten_sleeps_of_the_longest_duration_take_thirty_years_each_and_what_comes_after_is_right() -> Result<()> {
    let _dog = watchdog();
    let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
    lp.run_until_complete(async {
        let lp = get_running_loop()?;
        for _ in 0..10 {
            let began = lp.time();
            sleep(Duration::MAX).await?;
            assert_eq!(lp.time() - began, 30 * YEAR);
        }
        still_right().await
    })
}

#[test]
fn deadlines_of_centuries_come_in_order_and_what_comes_after_is_right() -> Result<()> {
    let _dog = watchdog();
    let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
    let (began, log) = (lp.time(), Rc::new(RefCell::new(Vec::new())));
    for years in [400, 240, 200] {
        let log = log.clone();
        lp.call_at(began + years * YEAR, move || {
            let lp = get_running_loop()?;
            log.borrow_mut().push((years, lp.time() - began));
            if years == 400 { looplab::stop() } else { Ok(()) }
        })?;
    }
    lp.run_forever()?;
    // In virtual time an instant is cut to 250 years from now.
    assert_eq!(*log.borrow(), [(200, 200), (240, 240), (400, 250)].map(|(years, at)| (years, at * YEAR)));
    lp.run_until_complete(still_right())
}

// ---- nothing can wake the loop ----

#[test]
fn a_deadlock_is_an_error_that_names_the_waiting_tasks_and_where_they_wait() -> Result<()> {
    let lab = Lab::new();
    let never = lab.create_future::<()>();
    let made = line!() - 1;
    let waiting = never.clone();
    let first = Task::builder().name("first").spawn_on(&lab, async move { waiting.await });
    let _second = Task::builder().name("second").spawn_on(&lab, async move { first.await });
    let second_waits = line!() - 2;
    let error = lab.run_forever().unwrap_err();
    assert!(matches!(error, Error::Deadlock(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!(
            "deadlock: nothing is ready, no timer is set, and nothing is registered that could wake the loop; \
             first waits for future at tests/event_loop/virtual_time.rs:{made}; \
             second waits for task first at tests/event_loop/virtual_time.rs:{second_waits}"
        )
    );
    // The loop can go on as soon as there is something to do.
    assert!(!lab.is_running());
    never.set_result(())?;
    lab.call_later(MS, looplab::stop)?;
    lab.run_forever()
}

#[test]
fn a_deadlock_names_the_owner_of_the_lock_that_is_waited_for() -> Result<()> {
    let lab = Lab::new();
    let (lock, never) = (looplab::sync::Lock::new(), lab.create_future::<()>());
    let (held, wanted) = (lock.clone(), lock);
    let _holder = Task::builder().name("holder").spawn_on(&lab, async move {
        let _guard = held.lock().await?;
        never.await
    });
    let _waiter = Task::builder().name("waiter").spawn_on(&lab, async move { wanted.acquire().await });
    let place = format!("{}:{}", file!(), line!() - 1);
    let error = lab.run_forever().unwrap_err().to_string();
    assert!(error.ends_with(&format!("; waiter waits for lock at {place}, held by holder")), "{error}");
    Ok(())
}

#[test]
fn a_deadlock_names_twenty_tasks_and_says_how_many_more_there_are() -> Result<()> {
    for (tasks, end) in [(20, None), (21, Some("; and 1 more")), (100, Some("; and 80 more"))] {
        let lab = Lab::new();
        lab.set_exception_handler(Some(|_: &EventLoop, _: &looplab::ExceptionContext| ()));
        let never = lab.create_future::<()>();
        for _ in 0..tasks {
            let never = never.clone();
            lab.create_task(async move { never.await });
        }
        let error = lab.run_forever().unwrap_err().to_string();
        assert_eq!(error.matches("waits for future at").count(), 20);
        assert_eq!(error.find("; and ").map(|at| &error[at..]), end, "{error}");
    }
    Ok(())
}

#[test]
fn a_loop_with_nothing_at_all_is_a_deadlock_too() {
    let lab = Lab::new();
    let error = lab.run_forever().unwrap_err();
    assert!(error.to_string().ends_with("registered that could wake the loop"), "{error}");
    lab.is("run | turn 1 | select for ever idle | end");
}

#[test]
fn run_until_complete_of_a_future_that_is_never_set_is_a_deadlock() {
    let lab = Lab::new();
    let future = lab.create_future::<()>();
    assert!(matches!(lab.run_until_complete(&future), Err(Error::Deadlock(_))));
    assert!(!future.done());
}

#[test]
fn while_a_remote_is_held_it_is_no_deadlock_and_the_loop_really_sleeps() -> Result<()> {
    let _dog = watchdog();
    let (asleep, woken) = channel();
    let lp = telling_when_it_sleeps(asleep)?;
    let (remote, began) = (lp.remote(), lp.time());
    let thread = std::thread::spawn(move || {
        woken.recv().expect("the loop goes to sleep");
        remote.stop()
    });
    lp.run_forever()?;
    thread.join().expect("no panic")?;
    assert_eq!(lp.time(), began, "no deadline was passed");
    // The last remote is gone with its thread.
    assert!(matches!(lp.run_forever(), Err(Error::Deadlock(_))));
    Ok(())
}

#[test]
fn a_downgraded_remote_does_not_count_and_does_all_that_a_remote_does() -> Result<()> {
    let _dog = watchdog();
    let (asleep, woken) = channel();
    let lp = telling_when_it_sleeps(asleep)?;
    let kept = lp.remote().downgrade();
    let (again, copy) = (kept.downgrade(), kept.clone());
    assert!(matches!(lp.run_forever(), Err(Error::Deadlock(_))));
    assert!(!lp.run_once()?, "and there is nothing to wait for");
    while woken.try_recv().is_ok() {}
    // While another one counts, the loop sleeps, and the downgraded one wakes it.
    let counted = lp.remote();
    let thread = std::thread::spawn(move || {
        woken.recv().expect("the loop goes to sleep");
        copy.spawn(|| async { sleep(MS).await })?;
        again.call_soon(looplab::stop)
    });
    lp.run_forever()?;
    thread.join().expect("no panic")?;
    drop(counted);
    assert!(matches!(lp.run_forever(), Err(Error::Deadlock(_))));
    lp.close()?;
    assert!(matches!(kept.stop(), Err(Error::Closed)));
    Ok(())
}

#[test]
fn while_a_descriptor_is_registered_it_is_no_deadlock_and_the_loop_really_polls() -> Result<()> {
    let _dog = watchdog();
    let (asleep, woken) = channel();
    let lp = telling_when_it_sleeps(asleep)?;
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let fd = ours.try_clone()?;
    lp.add_reader(&fd, move || {
        ours.read_exact(&mut [0])?;
        looplab::stop()
    })?;
    let thread = std::thread::spawn(move || {
        woken.recv().expect("the loop goes to sleep");
        theirs.write_all(b"x").map(|()| theirs)
    });
    lp.run_forever()?;
    let _theirs = thread.join().expect("no panic")?;
    assert!(lp.remove_reader(&fd)?);
    assert!(matches!(lp.run_forever(), Err(Error::Deadlock(_))));
    Ok(())
}

/// What comes from outside takes real time; an hour of virtual time must not pass before it.
#[test]
fn while_a_descriptor_is_registered_time_passes_as_on_the_wall() -> Result<()> {
    let _dog = watchdog();
    let (asleep, woken) = channel();
    let lp = telling_when_it_sleeps(asleep)?;
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let fd = ours.try_clone()?;
    let log = Rc::new(RefCell::new(Vec::new()));
    let (first, second) = (log.clone(), log.clone());
    lp.call_later(HOUR, move || {
        first.borrow_mut().push("an hour later");
        looplab::stop()
    })?;
    lp.add_reader(&fd, move || {
        ours.read_exact(&mut [0])?;
        second.borrow_mut().push("from outside");
        Ok(())
    })?;
    let thread = std::thread::spawn(move || {
        woken.recv().expect("the loop goes to sleep");
        theirs.write_all(b"x").map(|()| theirs)
    });
    let began = lp.time();
    lp.call_later(MS, || ())?; // one that is reached on the wall, with the poll's whole milliseconds
    while log.borrow().is_empty() {
        lp.run_once()?;
    }
    assert_eq!(*log.borrow(), ["from outside"]);
    assert!(lp.time() < began + HOUR);
    // With nothing registered the hour passes at once.
    lp.remove_reader(&fd)?;
    lp.run_forever()?;
    assert_eq!(lp.time(), began + HOUR);
    let _theirs = thread.join().expect("no panic")?;
    Ok(())
}

#[test]
fn a_descriptor_that_is_ready_comes_before_any_deadline() -> Result<()> {
    let lab = Lab::new();
    let (ours, mut theirs) = UnixStream::pair()?;
    theirs.write_all(b"x")?;
    let fd = ours.try_clone()?;
    lab.add_reader(&ours, move || {
        say("io");
        get_running_loop()?.remove_reader(&fd).map(drop)
    })?;
    lab.call_later(MS, looplab::stop)?;
    lab.clear();
    lab.run_once()?;
    lab.is("run
        turn 1 | select 1ms timer h2 | polled a:r | +h1 io a | batch 1 | run h1 | 'io'
        end");
    Ok(())
}

// ---- one turn at a time ----

#[test]
fn run_once_makes_exactly_one_turn_and_tells_whether_anything_is_left() -> Result<()> {
    let lab = Lab::new();
    lab.call_soon(|| {
        say("first");
        get_running_loop()?.call_soon(says("second"))
    })?;
    lab.call_later(HOUR, says("third"))?;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(lab.run_once()?);
    }
    assert_eq!(answers, [true, true, false, false]);
    assert_eq!(words(), ["first", "second", "third"]);
    assert_eq!(lab.turns(), 4);
    Ok(())
}

#[test]
fn run_once_on_a_stopping_loop_makes_its_turn_clears_the_flag_and_is_false() -> Result<()> {
    let lab = Lab::new();
    lab.call_soon(|| {
        looplab::stop()?;
        get_running_loop()?.call_soon(says("left"))
    })?;
    lab.clear();
    assert!(!lab.run_once()?);
    lab.is("run | turn 1 | select 0 ready | batch 1 | run h1 | stop | +h2 | unstop | end");
    // Also when the request came before.
    lab.stop();
    lab.call_soon(says("too"))?;
    lab.clear();
    assert!(!lab.run_once()?);
    lab.is("run | turn 2 | select 0 ready | batch 2 | run h2 | 'left' | run h3 | 'too' | unstop | end");
    assert!(!lab.snapshot().stopping);
    Ok(())
}

#[test]
fn run_once_with_nothing_to_wait_for_does_not_wait_and_is_false() -> Result<()> {
    for lab in [Lab::new(), Lab::in_real_time()] {
        assert!(!lab.run_once()?);
        let cancelled = lab.call_later(HOUR, says("never"))?;
        cancelled.cancel();
        assert!(!lab.run_once()?, "a cancelled timer is nothing to wait for");
        assert_eq!(lab.turns(), 2);
        assert!(!lab.snapshot().stopping);
    }
    Ok(())
}

#[test]
fn run_once_waits_for_a_timer_as_any_turn_does() -> Result<()> {
    let lab = Lab::in_real_time();
    lab.call_later(MS, says("timer"))?;
    lab.clear();
    while lab.run_once()? {}
    assert_eq!(words(), ["timer"]);
    assert!(lab.take().iter().any(|line| line.starts_with("select") && line.ends_with("timer h1")));
    Ok(())
}

#[test]
fn run_once_is_true_while_a_descriptor_is_registered() -> Result<()> {
    let lab = Lab::new();
    let (ours, mut theirs) = UnixStream::pair()?;
    theirs.write_all(b"x")?;
    lab.add_reader(&ours, says("io"))?;
    assert!(lab.run_once()?);
    lab.remove_reader(&ours)?;
    assert!(!lab.run_once()?);
    assert_eq!(words(), ["io"]);
    Ok(())
}

#[test]
fn run_once_gives_the_error_that_leaves_the_loop_and_keeps_the_rest() -> Result<()> {
    let lab = Lab::new();
    lab.call_soon(|| Err::<(), _>(Error::Exit(4)))?;
    lab.call_soon(says("rest"))?;
    assert!(matches!(lab.run_once(), Err(Error::Exit(4))));
    assert!(!lab.is_running());
    assert!(!lab.run_once()?);
    assert_eq!(words(), ["rest"]);
    Ok(())
}

#[test]
fn a_whole_program_can_be_stepped() -> Result<()> {
    let lab = Lab::new();
    let steps = Rc::new(Cell::new(0));
    let seen = steps.clone();
    let task = lab.create_task(async move {
        for _ in 0..3 {
            sleep(HOUR).await?;
            seen.set(seen.get() + 1);
        }
        Ok("done")
    });
    while lab.run_once()? {}
    assert_eq!((task.result()?, steps.get()), ("done", 3));
    // The first step, and for each sleep the timer and the wake-up.
    assert_eq!(lab.turns(), 1 + 3 * 2);
    Ok(())
}

#[test]
fn next_deadline_tells_an_embedding_program_how_long_it_may_sleep() -> Result<()> {
    let lab = Lab::new();
    assert_eq!(lab.next_deadline(), None);
    lab.call_later(3 * MS, || ())?;
    let sooner = lab.call_later(MS, || ())?;
    assert_eq!(lab.next_deadline(), Some(MS));
    lab.call_soon(|| ())?;
    assert_eq!(lab.next_deadline(), Some(Duration::ZERO));
    lab.run_once()?;
    assert_eq!(lab.next_deadline(), Some(MS));
    lab.stop();
    assert_eq!(lab.next_deadline(), Some(Duration::ZERO));
    lab.run_once()?;
    lab.run_once()?;
    assert_eq!((lab.time(), lab.next_deadline()), (sooner.when(), Some(2 * MS)));
    Ok(())
}
