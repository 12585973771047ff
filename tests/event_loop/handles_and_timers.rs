//! Handles and timers: what cancelling means at each point of a handle's life, the order of timers, and when cancelled
//! ones leave the heap. The arrows are those of the diagram in `src/event_loop/callback.rs`.

use looplab::{Error, EventLoop, ExceptionContext, Handle, Result, TimerHandle, get_running_loop, sleep};
use std::cell::RefCell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;
use support::{Drops, Lab, OnDrop, child, logged, report, say, says, words};

const MS: Duration = Duration::from_millis(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs until nothing is left to do.
fn drain(lab: &Lab) -> Result<()> {
    while lab.run_once()? {}
    Ok(())
}

// ---- handles ----

#[test]
fn a_handle_runs_once() -> Result<()> {
    let lab = Lab::new();
    let handle = lab.call_soon(says("a"))?; // arrow 1
    drain(&lab)?; // arrow 3
    drain(&lab)?;
    assert!(!handle.cancelled());
    lab.is("+h1 | run | turn 1 | select 0 ready | batch 1 | run h1 | 'a' | end
        run | stop | turn 2 | select 0 stopping | batch 0 | unstop | end");
    Ok(())
}

#[test]
fn a_handle_cancelled_by_an_earlier_callback_of_its_turn_is_skipped() -> Result<()> {
    let lab = Lab::new();
    let slot: Rc<RefCell<Option<Handle>>> = Rc::default();
    let later = slot.clone();
    lab.call_soon(move || later.borrow().iter().for_each(Handle::cancel))?; // arrow 4
    *slot.borrow_mut() = Some(lab.call_soon(says("never"))?);
    lab.call_soon(says("goes on"))?;
    lab.clear();
    drain(&lab)?;
    lab.is("run
        turn 1 | select 0 ready | batch 3 | run h1 | cancel h2 | skip h2 | run h3 | 'goes on'
        end"); // arrow 5
    Ok(())
}

#[test]
fn a_timer_cancelled_in_the_turn_in_which_it_is_due_is_skipped() -> Result<()> {
    let lab = Lab::new();
    let slot: Rc<RefCell<Option<TimerHandle>>> = Rc::default();
    let later = slot.clone();
    lab.call_later(MS, move || later.borrow().iter().for_each(TimerHandle::cancel))?;
    *slot.borrow_mut() = Some(lab.call_later(MS, says("never"))?);
    lab.clear();
    drain(&lab)?;
    // It has left the heap already: a handle is cancelled, not a timer on the heap.
    lab.is("run
        turn 1 | select 1ms timer h1 | due h1 | due h2 | batch 2 | run h1 | cancel h2 | skip h2
        end"); // arrows 2, 4 and 5
    assert!(lab.snapshot().timers.is_empty());
    Ok(())
}

#[test]
fn a_cancelled_callback_is_dropped_at_once_and_once() -> Result<()> {
    let lab = Lab::new();
    let drops = Drops::default();
    let (guard, second) = (drops.guard(), drops.guard());
    let handle = lab.call_soon(move || drop(guard))?;
    let timer = lab.call_later(MS, move || drop(second))?;
    handle.cancel(); // arrow 4, in the ready queue
    assert_eq!((drops.count(), handle.cancelled()), (1, true));
    timer.cancel(); // arrow 4, on the heap
    assert_eq!((drops.count(), timer.cancelled()), (2, true));
    lab.clear();
    handle.cancel();
    timer.cancel();
    lab.is("");
    drain(&lab)?;
    assert_eq!(drops.count(), 2);
    Ok(())
}

#[test]
fn cancelling_after_it_has_run_only_sets_the_mark() -> Result<()> {
    let lab = Lab::new();
    let handle = lab.call_soon(says("a"))?;
    let timer = lab.call_later(MS, says("b"))?;
    drain(&lab)?;
    assert!(!handle.cancelled() && !timer.cancelled());
    handle.cancel();
    timer.cancel();
    assert!(handle.cancelled() && timer.cancelled());
    assert_eq!(words(), ["a", "b"]);
    // The heap does not count a cancelled timer that it does not have, so no live one is dropped in its stead.
    lab.call_later(MS, says("c"))?;
    drain(&lab)?;
    assert_eq!(words(), ["a", "b", "c"]);
    Ok(())
}

#[test]
fn a_callback_may_cancel_its_own_handle_while_it_runs_and_is_reported_if_it_then_fails() -> Result<()> {
    let lab = Lab::new();
    lab.set_exception_handler(Some(|_: &EventLoop, context: &ExceptionContext| {
        assert!(context.message().starts_with("Exception in callback "), "{}", context.message());
        say(context.error().expect("an error"));
    }));
    let slot: Rc<RefCell<Option<Handle>>> = Rc::default();
    let own = slot.clone();
    let handle = lab.call_soon(move || {
        own.borrow().iter().for_each(Handle::cancel);
        say("still here");
        Err::<(), _>(Error::msg("boom"))
    })?;
    *slot.borrow_mut() = Some(handle.clone());
    drain(&lab)?;
    assert!(handle.cancelled());
    assert_eq!(words(), ["still here", "boom"]);
    Ok(())
}

#[test]
fn dropping_a_handle_does_not_cancel() -> Result<()> {
    let lab = Lab::new();
    drop(lab.call_soon(says("a"))?);
    drop(lab.call_later(MS, says("b"))?);
    drain(&lab)?;
    assert_eq!(words(), ["a", "b"]);
    Ok(())
}

#[test]
fn a_handle_may_outlive_its_loop() -> Result<()> {
    let lab = Lab::new();
    let drops = Drops::default();
    let (guard, second) = (drops.guard(), drops.guard());
    let handle = lab.call_soon(move || drop(guard))?;
    let timer = lab.call_later(MS, move || drop(second))?;
    drop(lab);
    handle.cancel();
    timer.cancel();
    assert!(handle.cancelled() && timer.cancelled());
    assert_eq!(drops.count(), 2);
    Ok(())
}

#[test]
fn a_destructor_of_a_cancelled_callback_may_cancel_and_schedule() -> Result<()> {
    let lab = Lab::new();
    let second = lab.call_soon(says("never"))?;
    let lp = lab.clone();
    let guard = OnDrop(move || {
        second.cancel();
        lp.call_soon(says("scheduled")).expect("the loop is open");
    });
    let first = lab.call_soon(move || drop(guard))?;
    lab.clear();
    first.cancel();
    drain(&lab)?;
    lab.is("cancel h1 | +h3 | cancel h2
        run | turn 1 | select 0 ready | batch 3 | skip h1 | skip h2 | run h3 | 'scheduled' | end");
    Ok(())
}

#[test]
fn a_panic_in_the_destructor_of_a_cancelled_callback_is_logged_and_goes_no_further() {
    let ended = child!(|| {
        logged();
        let lp = EventLoop::new().expect("a loop");
        let guard = OnDrop(|| panic!("torn"));
        let handle = lp.call_soon(move || drop(guard)).expect("it is open");
        let guard = OnDrop(|| panic!("torn too"));
        let timer = lp.call_later(MS, move || drop(guard)).expect("it is open");
        handle.cancel();
        timer.cancel();
        logged().iter().for_each(report);
    });
    assert_eq!(ended.fine(), ["ERROR a destructor panicked: torn", "ERROR a destructor panicked: torn too"]);
}

fn named() {}

#[test]
fn a_handle_shows_its_callback_its_place_and_whether_it_is_cancelled() -> Result<()> {
    let lab = Lab::new();
    let handle = lab.call_soon(named)?;
    let place = format!("tests/event_loop/handles_and_timers.rs:{}", line!() - 1);
    assert_eq!(format!("{handle:?}"), format!("<Handle named created at {place}>"));
    handle.cancel();
    assert_eq!(format!("{handle:?}"), format!("<Handle cancelled named created at {place}>"));
    let timer = lab.call_later(MS, named)?;
    let place = format!("tests/event_loop/handles_and_timers.rs:{}", line!() - 1);
    assert_eq!(format!("{timer:?}"), format!("<TimerHandle named created at {place}>"));
    Ok(())
}

// ---- timers ----

#[test]
fn timers_run_in_the_order_of_their_deadlines() -> Result<()> {
    let lab = Lab::new();
    for (delay, word) in [(3, "c"), (1, "a"), (4, "d"), (2, "b")] {
        lab.call_later(MS * delay, says(word))?;
    }
    drain(&lab)?;
    assert_eq!(words(), ["a", "b", "c", "d"]);
    assert_eq!(lab.turns(), 4);
    Ok(())
}

/// In asyncio twelve such timers run in the order 0 2 6 11 10 9 8 5 7 4 1 3: its heap compares deadlines only.
#[test]
fn equal_deadlines_run_first_come_first_served() -> Result<()> {
    let lab = Lab::new();
    let when = lab.time() + MS;
    for n in 0..12 {
        lab.call_at(when, move || say(n))?;
    }
    drain(&lab)?;
    assert_eq!(words(), (0..12).map(|n: u32| n.to_string()).collect::<Vec<_>>());
    assert_eq!(lab.turns(), 1);
    Ok(())
}

#[test]
fn equal_deadlines_keep_their_order_when_the_heap_is_rebuilt() -> Result<()> {
    let lab = Lab::new();
    let when = lab.time() + MS;
    let timers = (0..120).map(|n| lab.call_at(when, move || say(n))).collect::<Result<Vec<_>>>()?;
    timers.iter().skip(1).step_by(2).for_each(TimerHandle::cancel);
    timers[2].cancel();
    lab.clear();
    drain(&lab)?;
    let live = (0..120).filter(|n| n % 2 == 0 && *n != 2);
    assert_eq!(words(), live.map(|n: u32| n.to_string()).collect::<Vec<_>>());
    assert!(lab.take().iter().any(|line| line.starts_with("drop h")), "it was rebuilt");
    Ok(())
}

#[test]
fn a_zero_delay_means_the_next_turn_behind_its_io_and_never_this_one() -> Result<()> {
    let lab = Lab::new();
    let (ours, mut theirs) = UnixStream::pair()?;
    theirs.write_all(b"x")?;
    let fd = ours.try_clone()?;
    lab.call_soon(move || {
        let lp = get_running_loop()?;
        lp.call_later(Duration::ZERO, says("timer"))?;
        lp.add_reader(&fd, says("io"))?;
        lp.call_soon(says("soon"))
    })?;
    lab.clear();
    lab.run_once()?;
    lab.run_once()?;
    lab.is("run
        turn 1 | select 0 ready | batch 1 | run h1 | timer h2 0ns | reader a h3 | +h4
        end
        run
        turn 2 | select 0 ready | polled a:r | +h3 io a | due h2 | batch 3
            | run h4 | 'soon' | run h3 | 'io' | run h2 | 'timer'
        end");
    drop(ours);
    Ok(())
}

#[test]
fn a_time_in_the_past_is_legal_and_runs_in_the_next_turn() -> Result<()> {
    let lab = Lab::new();
    lab.call_later(10 * MS, || ())?;
    drain(&lab)?;
    let when = lab.time() - 7 * MS;
    let timer = lab.call_at(when, says("late"))?;
    lab.call_later(Duration::ZERO, says("now"))?;
    lab.clear();
    drain(&lab)?;
    lab.is("run
        turn 2 | select 0 timer h2 | due h2 late 7ms | due h3 | batch 2 | run h2 | 'late' | run h3 | 'now'
        end");
    assert_eq!(timer.when(), when);
    Ok(())
}

#[test]
fn delays_of_more_than_thirty_years_are_cut_to_that_and_instants_are_kept() -> Result<()> {
    let lab = Lab::new();
    let (now, far) = (lab.time(), 30 * YEAR);
    for delay in [Duration::MAX, far + MS, Duration::from_secs(u64::MAX)] {
        let timer = lab.call_later(delay, says("never"))?;
        assert_eq!(timer.when(), now + far);
        timer.cancel();
    }
    assert_eq!(lab.call_later(far - MS, || ())?.when(), now + far - MS);
    lab.clear();
    lab.stop();
    lab.run_forever()?;
    // The three cancelled ones are behind the live one.
    lab.is("stop | run | turn 1 | select 0 stopping | batch 0 | unstop | end");
    // `call_at` takes what an `Instant` can hold, and the wait is still cut to a day.
    let when = now.checked_add(200 * YEAR).expect("an Instant can hold that");
    assert_eq!(lab.call_at(when, || ())?.when(), when);
    Ok(())
}

// ---- cancelled timers on the heap ----

/// `live` timers and as many cancelled ones behind them, all in the future.
fn timers(lab: &Lab, live: usize, cancelled: usize) -> Result<()> {
    for _ in 0..live {
        lab.call_later(YEAR, || ())?;
    }
    for _ in 0..cancelled {
        lab.call_later(YEAR, || ())?.cancel();
    }
    Ok(())
}

/// How many timers the heap has after one turn that does not wait.
fn kept(lab: &Lab) -> Result<usize> {
    lab.stop();
    lab.run_forever()?;
    Ok(lab.snapshot().timers.len())
}

#[test]
fn up_to_100_timers_the_heap_is_never_rebuilt_and_the_101st_does_it() -> Result<()> {
    let lab = Lab::new();
    timers(&lab, 10, 90)?;
    assert_eq!(kept(&lab)?, 100);
    timers(&lab, 1, 0)?;
    assert_eq!(kept(&lab)?, 11);
    Ok(())
}

#[test]
fn only_more_than_half_cancelled_rebuild_the_heap() -> Result<()> {
    let lab = Lab::new();
    timers(&lab, 60, 60)?;
    assert_eq!(kept(&lab)?, 120);
    timers(&lab, 0, 1)?;
    assert_eq!(kept(&lab)?, 60);
    // The count begins anew.
    timers(&lab, 0, 60)?;
    assert_eq!(kept(&lab)?, 120);
    timers(&lab, 0, 1)?;
    assert_eq!(kept(&lab)?, 60);
    Ok(())
}

/// In asyncio a cancelled timer that is popped because it is due is not counted off, so that after many of them the
/// heap is rebuilt too early, for ever.
#[test]
fn the_count_of_cancelled_timers_does_not_drift() -> Result<()> {
    let lab = Lab::new();
    lab.call_later(MS, || ())?;
    for _ in 0..60 {
        lab.call_later(MS, says("never"))?.cancel();
    }
    assert!(!lab.run_once()?, "the cancelled ones left with the live one");
    timers(&lab, 56, 45)?;
    assert_eq!(kept(&lab)?, 101);
    Ok(())
}

#[test]
fn a_timer_that_a_rebuild_has_dropped_may_be_cancelled_again() -> Result<()> {
    let lab = Lab::new();
    timers(&lab, 50, 0)?;
    let cancelled = (0..51).map(|_| lab.call_later(YEAR, || ())).collect::<Result<Vec<_>>>()?;
    cancelled.iter().for_each(TimerHandle::cancel);
    assert_eq!(kept(&lab)?, 50);
    cancelled.iter().for_each(TimerHandle::cancel);
    timers(&lab, 51, 0)?;
    assert_eq!(kept(&lab)?, 101);
    Ok(())
}

/// The turn in the destructor finds the timer due, or at the head, or has the heap rebuilt.
#[test]
fn a_destructor_of_a_cancelled_timer_may_run_the_loop() -> Result<()> {
    for (delay, live, cancelled, left) in [(Duration::ZERO, 1, 0, 1), (YEAR, 1, 1, 2), (2 * YEAR, 46, 60, 46)]
    {
        let lab = Lab::new();
        let lp = lab.clone();
        let guard = OnDrop(move || {
            lp.stop();
            lp.run_forever().expect("it is not running");
            say("made its turn");
        });
        let timer = lab.call_later(delay, move || drop(guard))?;
        timers(&lab, live, cancelled)?;
        timer.cancel();
        assert_eq!(words(), ["made its turn"]);
        assert_eq!(kept(&lab)?, left);
        lab.call_soon(|| ())?;
        assert!(lab.run_once()?, "live timers are left");
    }
    Ok(())
}

#[test]
fn a_timer_may_cancel_and_set_others_while_it_runs() -> Result<()> {
    let lab = Lab::new();
    let other = lab.call_later(2 * MS, says("never"))?;
    lab.call_later(MS, move || {
        other.cancel();
        get_running_loop()?.call_later(MS, says("set"))
    })?;
    drain(&lab)?;
    assert_eq!(words(), ["set"]);
    Ok(())
}

#[test]
fn a_sleep_that_is_cancelled_takes_its_timer_along() -> Result<()> {
    let lab = Lab::new();
    let task = lab.create_task(async { sleep(Duration::MAX).await });
    let other = task.clone();
    lab.call_later(MS, move || assert!(other.cancel_msg("long enough")))?;
    let error = lab.run_until_complete(&task).unwrap_err();
    assert_eq!(error.cancel_message(), Some("long enough"));
    assert!(lab.snapshot().timers.iter().all(|timer| timer.cancelled));
    assert!(!lab.run_once()?);
    Ok(())
}

/// In CPython they go from the end of the heap's array: 2, 3, 1.
#[test]
fn close_drops_timers_in_the_order_of_their_deadlines() -> Result<()> {
    let lab = Lab::new();
    for (hours, word) in [(3, "third"), (1, "first"), (2, "second"), (3, "fourth")] {
        let guard = OnDrop(move || say(word));
        lab.call_later(Duration::from_secs(hours * 3600), move || drop(guard))?;
    }
    lab.close()?;
    assert_eq!(words(), ["first", "second", "third", "fourth"]);
    Ok(())
}

/// In CPython a handle keeps its callback and the arguments for as long as it is kept itself.
#[test]
fn a_kept_handle_holds_nothing_of_a_callback_that_has_run() -> Result<()> {
    let lab = Lab::new();
    let drops = Drops::default();
    let (soon, later) = (drops.guard(), drops.guard());
    let handle = lab.call_soon(move || drop(soon))?;
    let timer = lab.call_later(MS, move || drop(later))?;
    drain(&lab)?;
    assert_eq!(drops.count(), 2);
    assert!(!handle.cancelled() && !timer.cancelled());
    Ok(())
}
