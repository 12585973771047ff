//! One turn, in the order of CPython's `BaseEventLoop._run_once`.

use looplab::trace::{Event, Record};
use looplab::{Clock, Error, EventLoop, Result, get_running_loop};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;
use support::{Lab, OnDrop, say, says, watchdog, words};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn a_turn_runs_what_was_ready_calls_of_threads_among_it_then_io_then_due_timers() -> Result<()> {
    let lab = Lab::new();
    let (ours, mut theirs) = UnixStream::pair()?;
    theirs.write_all(b"x")?;
    // In the reverse order, which must not matter.
    lab.call_later(Duration::ZERO, says("timer"))?;
    lab.add_reader(&ours, says("io"))?;
    let remote = lab.remote();
    std::thread::spawn(move || remote.call_soon(says("thread"))).join().expect("no panic")?;
    lab.call_soon(says("ready"))?;
    lab.stop();
    lab.clear();
    lab.run_forever()?;
    lab.is("run
        turn 1 | select 0 ready | polled a:r | +h2 io a | due h1 | batch 4
            | run h4 | 'thread' | run h3 | 'ready' | run h2 | 'io' | run h1 | 'timer'
        unstop | end");
    Ok(())
}

#[test]
fn what_a_callback_schedules_waits_for_the_next_turn_and_a_poll_lies_between() -> Result<()> {
    let lab = Lab::new();
    let (ours, mut theirs) = UnixStream::pair()?;
    lab.add_reader(&ours, says("io"))?;
    let _stays_open = theirs.try_clone()?;
    lab.call_soon(move || {
        theirs.write_all(b"x")?;
        let lp = get_running_loop()?;
        lp.call_later(Duration::ZERO, says("timer"))?;
        lp.call_soon(says("soon"))
    })?;
    lab.clear();
    assert!(lab.run_once()?);
    lab.is("run
        turn 1 | select 0 ready | batch 1 | run h2 | timer h3 0ns | +h4
        end");
    assert!(lab.run_once()?);
    lab.is("run
        turn 2 | select 0 ready | polled a:r | +h1 io a | due h3 | batch 3
            | run h4 | 'soon' | run h1 | 'io' | run h3 | 'timer'
        end");
    Ok(())
}

#[test]
fn the_batch_is_frozen_before_its_first_callback_runs() -> Result<()> {
    let lab = Lab::new();
    lab.call_soon(|| {
        say("a");
        get_running_loop()?.call_soon(says("c"))
    })?;
    lab.call_soon(|| {
        say("b");
        get_running_loop()?.call_soon(looplab::stop)
    })?;
    lab.clear();
    lab.run_forever()?;
    lab.is("run
        turn 1 | select 0 ready | batch 2 | run h1 | 'a' | +h3 | run h2 | 'b' | +h4
        turn 2 | select 0 ready | batch 2 | run h3 | 'c' | run h4 | stop
        unstop | end");
    Ok(())
}

#[test]
fn a_callback_that_reschedules_itself_runs_once_per_turn_and_starves_neither_io_nor_timers() -> Result<()> {
    let lab = Lab::in_real_time();
    let (ours, mut theirs) = UnixStream::pair()?;
    theirs.write_all(b"x")?;
    lab.add_reader(&ours, says("io"))?;
    lab.call_later(Duration::from_millis(3), looplab::stop)?;
    fn again() -> Result<()> {
        say("again");
        get_running_loop()?.call_soon(again).map(drop)
    }
    lab.call_soon(again)?;
    lab.run_forever()?;
    let count = |word| words().iter().filter(|said| *said == word).count() as u64;
    assert_eq!(count("again"), lab.turns());
    assert_eq!(count("io"), lab.turns());
    Ok(())
}

#[test]
fn the_poll_does_not_wait_while_something_is_ready_or_the_loop_stops_and_else_until_the_first_timer()
-> Result<()> {
    let lab = Lab::new();
    lab.call_later(HOUR, looplab::stop)?;
    lab.call_later(HOUR / 2, says("half"))?;
    lab.call_soon(says("ready"))?;
    lab.clear();
    lab.run_forever()?;
    lab.is("run
        turn 1 | select 0 ready | batch 1 | run h3 | 'ready'
        turn 2 | select 1800s timer h2 | due h2 | batch 1 | run h2 | 'half'
        turn 3 | select 1800s timer h1 | due h1 | batch 1 | run h1 | stop
        unstop | end");
    lab.call_later(HOUR, says("too late"))?;
    lab.stop();
    lab.clear();
    lab.run_forever()?;
    lab.is("run | turn 4 | select 0 stopping | batch 0 | unstop | end");
    Ok(())
}

#[test]
fn no_poll_waits_longer_than_a_day() -> Result<()> {
    let lab = Lab::new();
    lab.call_later(2 * DAY + HOUR, looplab::stop)?;
    lab.clear();
    lab.run_forever()?;
    lab.is("run
        turn 1 | select 86400s cap h1 | batch 0
        turn 2 | select 86400s cap h1 | batch 0
        turn 3 | select 3600s timer h1 | due h1 | batch 1 | run h1 | stop
        unstop | end");
    Ok(())
}

#[test]
fn an_idle_loop_polls_for_ever_and_another_thread_ends_that() -> Result<()> {
    let _dog = watchdog();
    let (asleep, woken) = std::sync::mpsc::channel();
    let polls = Rc::new(RefCell::new(Vec::new()));
    let seen = polls.clone();
    let lp = EventLoop::builder()
        .clock(Clock::monotonic())
        .observer(move |record: &Record<'_>| {
            if let Event::Select { timeout, .. } = record.event {
                seen.borrow_mut().push(timeout);
            }
        })
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
    thread.join().expect("no panic")?;
    // The call arrives during the poll and is queued behind it: it runs in the same turn.
    assert_eq!(*polls.borrow(), [None]);
    assert_eq!(lp.turns(), 1);
    Ok(())
}

#[test]
fn a_cancelled_handle_in_the_ready_queue_still_makes_the_poll_return_at_once() -> Result<()> {
    let lab = Lab::new();
    let timer = lab.call_later(HOUR, says("timer"))?;
    lab.call_soon(says("never"))?.cancel();
    lab.clear();
    assert!(lab.run_once()?);
    lab.is("run | turn 1 | select 0 ready | batch 1 | skip h2 | end");
    assert_eq!(lab.time() + HOUR, timer.when(), "no time has passed");
    Ok(())
}

#[test]
fn cancelled_timers_at_the_head_are_dropped_before_the_wait_is_chosen() -> Result<()> {
    let lab = Lab::new();
    lab.call_later(HOUR, says("never"))?.cancel();
    lab.call_later(HOUR, says("never"))?.cancel();
    lab.call_later(2 * HOUR, looplab::stop)?;
    lab.call_later(3 * HOUR, says("never"))?.cancel();
    lab.clear();
    lab.run_forever()?;
    lab.is("run
        turn 1 | drop h1 h2 | select 7200s timer h3 | due h3 | batch 1 | run h3 | stop
        unstop | end");
    assert_eq!(lab.snapshot().timers.len(), 1, "the one behind the head stays until it comes to it");
    Ok(())
}

#[test]
fn a_cancelled_timer_that_is_due_behind_a_live_one_is_queued_and_skipped() -> Result<()> {
    let lab = Lab::new();
    lab.call_later(HOUR, looplab::stop)?;
    lab.call_later(HOUR, says("never"))?.cancel();
    lab.clear();
    lab.run_forever()?;
    lab.is("run
        turn 1 | select 3600s timer h1 | due h1 | due h2 | batch 2 | run h1 | stop | skip h2
        unstop | end");
    Ok(())
}

#[test]
fn the_reader_of_a_descriptor_comes_before_its_writer() -> Result<()> {
    let lab = Lab::new();
    let (ours, mut theirs) = UnixStream::pair()?;
    theirs.write_all(b"x")?;
    lab.add_writer(&ours, says("writer"))?;
    lab.add_reader(&ours, says("reader"))?;
    lab.clear();
    lab.run_once()?;
    lab.is("run
        turn 1 | select for ever idle | polled a:rw | +h2 io a | +h1 io a | batch 2
            | run h2 | 'reader' | run h1 | 'writer'
        end");
    Ok(())
}

#[test]
fn a_callback_cancels_what_comes_after_it_in_the_same_turn() -> Result<()> {
    let lab = Lab::new();
    let (ours, mut theirs) = UnixStream::pair()?;
    theirs.write_all(b"x")?;
    let handles: Rc<RefCell<Vec<looplab::Handle>>> = Rc::default();
    let timer: Rc<RefCell<Option<looplab::TimerHandle>>> = Rc::default();
    let (later, due, fd) = (handles.clone(), timer.clone(), ours.as_raw_fd());
    lab.call_soon(move || {
        later.borrow().iter().for_each(looplab::Handle::cancel);
        due.borrow().iter().for_each(looplab::TimerHandle::cancel);
        get_running_loop()?.remove_reader(&fd)
    })?;
    handles.borrow_mut().push(lab.call_soon(says("never"))?);
    *timer.borrow_mut() = Some(lab.call_later(Duration::ZERO, says("never"))?);
    lab.add_reader(&ours, says("never"))?;
    lab.clear();
    lab.run_once()?;
    lab.is("run
        turn 1 | select 0 ready | polled a:r | +h4 io a | due h3 | batch 4
            | run h1 | cancel h2 | cancel h3 | no reader a | cancel h4 | skip h2 | skip h4 | skip h3
        end");
    Ok(())
}

#[test]
fn an_error_that_leaves_the_loop_leaves_the_rest_of_the_turn_queued_in_order() -> Result<()> {
    let lab = Lab::new();
    for word in ["a", "b"] {
        lab.call_soon(says(word))?;
    }
    lab.call_soon(|| {
        get_running_loop()?.call_soon(says("e"))?;
        Err::<(), _>(Error::Exit(3))
    })?;
    lab.call_soon(says("c"))?;
    lab.call_later(Duration::ZERO, says("d"))?;
    lab.clear();
    assert!(matches!(lab.run_forever(), Err(Error::Exit(3))));
    lab.is("run
        turn 1 | select 0 ready | due h5 | batch 5
            | run h1 | 'a' | run h2 | 'b' | run h3 | +h6 | failed: 3
        end");
    lab.stop();
    lab.clear();
    lab.run_forever()?;
    lab.is("run
        turn 2 | select 0 ready | batch 3 | run h4 | 'c' | run h5 | 'd' | run h6 | 'e'
        unstop | end");
    Ok(())
}

#[test]
fn an_error_of_a_callback_does_not_disturb_its_turn() -> Result<()> {
    let lab = Lab::new();
    lab.set_exception_handler(Some(|_: &EventLoop, _: &looplab::ExceptionContext| say("told")));
    lab.call_soon(|| Err::<(), _>(Error::msg("boom")))?;
    lab.call_soon(|| panic!("aua"))?;
    lab.call_soon(says("goes on"))?;
    lab.clear();
    lab.run_once()?;
    lab.is("run
        turn 1 | select 0 ready | batch 3
            | run h1 | reported | 'told' | failed: boom | run h2 | reported | 'told' | failed: aua | run h3 | 'goes on'
        end");
    Ok(())
}

#[test]
fn a_timer_is_never_early_and_one_that_is_due_right_now_runs_in_this_turn() -> Result<()> {
    let lab = Lab::in_real_time();
    let when = lab.time() + Duration::from_millis(2);
    let lp = lab.clone();
    lab.call_at(when, move || {
        assert!(lp.time() >= when, "early by {:?}", when - lp.time());
        looplab::stop()
    })?;
    lab.run_forever()?;

    // In virtual time "right now" can be hit exactly (CPython needs the clock's resolution to be sure of it).
    let lab = Lab::new();
    let now = lab.time();
    lab.call_at(now, looplab::stop)?;
    lab.run_forever()?;
    assert_eq!((lab.turns(), lab.time()), (1, now));
    Ok(())
}

#[test]
fn a_callback_may_change_every_structure_of_the_loop() -> Result<()> {
    let lab = Lab::new();
    let (ours, mut theirs) = UnixStream::pair()?;
    theirs.write_all(b"x")?;
    let fd = ours.try_clone()?;
    let lp = lab.clone();
    // Everything that is called here is called from a callback, from a reader, and from destructors.
    let change = Rc::new(move || -> Result<()> {
        lp.call_soon(|| ())?.cancel();
        lp.call_later(Duration::ZERO, || ())?.cancel();
        lp.add_reader(&fd, || ())?;
        lp.add_writer(&fd, || ())?;
        lp.remove_writer(&fd)?;
        lp.remove_reader(&fd)?;
        lp.set_exception_handler(Some(|_: &EventLoop, _: &looplab::ExceptionContext| ()));
        lp.create_task(async { Ok(()) }).cancel();
        lp.remote().call_soon(|| ())?;
        assert_eq!(lp.snapshot().turn, lp.turns());
        say("changed");
        Ok(())
    });
    let in_callback = change.clone();
    lab.call_soon(move || in_callback())?;
    let in_destructor = change.clone();
    let guard = OnDrop(move || in_destructor().expect("a destructor in a turn"));
    lab.call_soon(move || drop(guard))?;
    let in_destructor = change.clone();
    let guard = OnDrop(move || in_destructor().expect("a destructor of a cancelled callback"));
    let cancelled = lab.call_soon(move || drop(guard))?;
    lab.call_soon(move || cancelled.cancel())?;
    let mut reading = ours.try_clone()?;
    lab.add_reader(&ours, move || {
        reading.read_exact(&mut [0])?;
        change()
    })?;
    lab.run_once()?;
    lab.run_once()?;
    assert_eq!(words(), ["changed"; 4]);
    Ok(())
}

/// Every event comes right after the state has changed, so a snapshot taken then shows the change.
#[test]
fn a_snapshot_in_an_observer_is_the_truth_after_the_event() -> Result<()> {
    let _dog = watchdog();
    let seen = Rc::new(Cell::new(0));
    let count = seen.clone();
    let lp = EventLoop::builder()
        .clock(Clock::virtual_time())
        .observer(move |record: &Record<'_>| {
            let now = record.snapshot();
            match record.event {
                Event::Turn { n } => assert_eq!(now.turn, n),
                Event::Push { q, h, .. } | Event::Due { q, h, .. } => {
                    assert_eq!(now.ready.last().map(|entry| (entry.q, entry.h)), Some((q, h)));
                    assert!(now.timers.iter().all(|timer| timer.h != h));
                }
                Event::Timer { h, when, .. } => {
                    assert!(now.timers.iter().any(|timer| (timer.h, timer.when) == (h, when)));
                }
                Event::Batch { n } => assert_eq!((now.batch_left, now.ready.len()), (n, n)),
                Event::Run { q, .. } | Event::Skip { q, .. } => {
                    assert!(now.ready.iter().all(|entry| entry.q > q));
                }
                Event::TimersDropped { handles } => {
                    assert!(now.timers.iter().all(|timer| !handles.contains(&timer.h)));
                }
                Event::Stop { .. } => assert!(now.stopping),
                Event::Unstop => assert!(!now.stopping),
                Event::Registered { fd, h, .. } => {
                    assert!(now.io.iter().any(|io| io.fd == fd && (io.reader == Some(h))));
                }
                Event::Unregistered { fd, .. } => assert!(now.io.iter().all(|io| io.fd != fd)),
                _ => return,
            }
            count.set(count.get() + 1);
        })
        .build()?;
    let (ours, _theirs) = UnixStream::pair()?;
    lp.call_later(HOUR, || ())?.cancel();
    lp.call_soon(|| ())?.cancel();
    lp.add_reader(&ours, || ())?;
    lp.remove_reader(&ours)?;
    lp.call_later(2 * HOUR, looplab::stop)?;
    lp.run_forever()?;
    // 2 timers, 1 push, 2 for the reader; turn 1: turn, drop, batch, skip; turn 2: turn, due, batch, run, stop; unstop.
    assert_eq!(seen.get(), 15, "an observer that panicked is not called any more");
    Ok(())
}
