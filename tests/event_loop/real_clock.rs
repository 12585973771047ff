//! The real clock: no timer is early, and a wait costs one turn. How late a timer is depends on the machine and is not asked.

use looplab::{EventLoop, Result, get_running_loop, sleep, timeout};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use support::watchdog;

/// Delays that are whole milliseconds, parts of one, and something of both: the system's poll counts whole ones.
const DELAYS: [Duration; 6] = [
    Duration::from_micros(50),
    Duration::from_micros(300),
    Duration::from_millis(1),
    Duration::from_micros(1700),
    Duration::from_millis(3),
    Duration::from_micros(4999),
];

#[test]
fn a_chain_of_timers_costs_one_turn_each_and_none_is_early() -> Result<()> {
    let _watchdog = watchdog();
    let lp = EventLoop::new()?;
    /// The turn of each callback, and whether it came early.
    type Log = Rc<RefCell<Vec<(u64, bool)>>>;
    let log = Log::default();

    fn next(left: usize, early: bool, log: &Log) -> Result<()> {
        let lp = get_running_loop()?;
        log.borrow_mut().push((lp.turns(), early));
        if left == 0 {
            lp.stop();
            return Ok(());
        }
        let (delay, log) = (DELAYS[left % DELAYS.len()], log.clone());
        let due = Instant::now() + delay;
        lp.call_later(delay, move || next(left - 1, Instant::now() < due, &log)).map(drop)
    }

    let chain = log.clone();
    lp.call_soon(move || next(60, false, &chain))?;
    lp.run_forever()?;
    assert_eq!(*log.borrow(), (1..=61).map(|turn| (turn, false)).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn each_sleep_of_a_task_costs_two_turns_and_none_is_short() -> Result<()> {
    let _watchdog = watchdog();
    let lp = EventLoop::new()?;
    let turns = lp.run_until_complete(async {
        let mut turns = Vec::new();
        for delay in DELAYS.repeat(5) {
            let (began, before) = (Instant::now(), get_running_loop()?.turns());
            sleep(delay).await?;
            assert!(began.elapsed() >= delay, "a sleep of {delay:?} took {:?}", began.elapsed());
            turns.push(get_running_loop()?.turns() - before);
        }
        Ok(turns)
    })?;
    // The timer is due in the first; in the second the task goes on.
    assert_eq!(turns, [2; 30]);
    Ok(())
}

/// A loop that is never idle looks at its timers every few microseconds, so it would find one that is due too soon.
#[test]
fn no_timer_is_early_in_a_loop_that_never_sleeps() -> Result<()> {
    let _watchdog = watchdog();
    let lp = EventLoop::new()?;
    let left = Rc::new(Cell::new(0));
    let early = Rc::new(RefCell::new(Vec::new()));

    fn spin(left: &Rc<Cell<usize>>) -> Result<()> {
        let (lp, left) = (get_running_loop()?, left.clone());
        if left.get() == 0 {
            lp.stop();
            return Ok(());
        }
        lp.call_soon(move || spin(&left)).map(drop)
    }

    for delay in (1..=40).map(|n| Duration::from_micros(977 * n)) {
        let (due, of, early) = (lp.time() + delay, left.clone(), early.clone());
        left.set(left.get() + 1);
        lp.call_at(due, move || {
            let before = due.saturating_duration_since(Instant::now());
            early.borrow_mut().extend((!before.is_zero()).then_some(before));
            of.set(of.get() - 1);
        })?;
    }
    let of = left.clone();
    lp.call_soon(move || spin(&of))?;
    lp.run_forever()?;
    assert_eq!((left.get(), early.take()), (0, vec![]));
    Ok(())
}

#[test]
fn a_timeout_is_not_over_before_its_time() -> Result<()> {
    let _watchdog = watchdog();
    let lp = EventLoop::new()?;
    for delay in DELAYS {
        let began = Instant::now();
        let error = lp.run_until_complete(timeout(delay, sleep(Duration::from_secs(3600)))).unwrap_err();
        assert!(matches!(error, looplab::Error::TimedOut), "{error:?}");
        assert!(began.elapsed() >= delay, "a timeout of {delay:?} took {:?}", began.elapsed());
    }
    Ok(())
}
