//! What an observer does to its loop is in the trace.

use super::{replayed, traced};
use looplab::trace::{Event, Life, Record};
use looplab::{Clock, Error, EventLoop, Result, TimerHandle, get_running_loop, sleep};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use support::{again, role, watchdog};

const MS: Duration = Duration::from_millis(1);

/// Queues a callback in the middle of a turn, and stops the loop in the next.
fn two_calls(record: &Record<'_>) {
    match record.event {
        Event::Turn { n: 1 } => drop(get_running_loop().and_then(|lp| lp.call_soon(of_the_observer))),
        Event::Turn { n: 2 } => looplab::stop().expect("it runs"),
        _ => {}
    }
}

fn of_the_observer() {}

#[test]
fn what_an_observer_does_to_the_loop_is_in_the_trace_in_its_place() -> Result<()> {
    if role().is_some() {
        let lp = EventLoop::builder().clock(Clock::virtual_time()).observer(two_calls).build()?;
        return lp.run_forever();
    }
    let folder = tempfile::tempdir()?;
    let lines = replayed(&traced(&mut again!("child"), &folder.path().join("x.jsonl")));
    let lines = lines.iter().filter(|line| line["k"] != "file");
    let kinds: Vec<_> = lines.map(|line| line["e"].as_str().expect("a kind")).collect();
    let first_turn = ["turn", "def", "push", "sel", "polled", "batch", "run", "ret"];
    let second_turn = ["turn", "stop", "sel", "polled", "batch", "unstop", "loop"];
    assert_eq!(kinds[3..11], first_turn);
    assert_eq!(kinds[11..18], second_turn);
    let table = traced(&mut again!("child"), &folder.path().join("x.txt"));
    let rows: Vec<Vec<_>> = table.lines().skip(1).map(|row| row.split_whitespace().collect()).collect();
    assert!(rows[0][5].starts_with("of_the_observer@"), "{table}");
    assert_eq!(rows[1], ["2", "0.00", "0", "stopping", "0.00", "STOP"], "{table}");
    Ok(())
}

thread_local! {
    static TIMERS: RefCell<VecDeque<TimerHandle>> = const { RefCell::new(VecDeque::new()) };
}

/// Does one thing or another at each event.
fn meddle(lp: &EventLoop, count: u64) -> Result<()> {
    match count % 11 {
        0 => drop(lp.call_soon(|| ())?),
        1 => {
            TIMERS.with_borrow_mut(|timers| lp.call_later(MS, || ()).map(|timer| timers.push_back(timer)))?
        }
        2 => drop(lp.call_later(Duration::ZERO, || ())?),
        3 => drop(TIMERS.with_borrow_mut(VecDeque::pop_front).map(|timer| timer.cancel())),
        4 => drop(lp.create_task(async { sleep(Duration::ZERO).await })),
        5 => drop(looplab::all_tasks().into_iter().next_back().map(|task| task.cancel())),
        6 => lp.call_soon(|| ())?.cancel(),
        7 => drop(looplab::all_tasks().into_iter().next().map(|task| task.set_name("renamed"))),
        8 => drop(lp.create_future::<()>().cancel()),
        9 => drop(looplab::current_task().map(|task| task.cancel())),
        _ => {}
    }
    Ok(())
}

/// An error whose text is made with the help of the loop.
#[derive(Debug)]
struct Chatty;

impl fmt::Display for Chatty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(lp) = get_running_loop() {
            drop(lp.call_soon(|| ()));
        }
        f.write_str("chatty")
    }
}

impl std::error::Error for Chatty {}

/// A program of tasks, timers, futures and failures, with an observer that meddles at each event whose number `every` divides.
fn meddled(every: u64) -> Result<()> {
    let mut count = 0;
    let observer = move |record: &Record<'_>| {
        count += 1;
        let Ok(lp) = get_running_loop() else { return };
        if count < 200 && count % every == 0 && !matches!(record.event, Event::Loop(Life::End)) {
            meddle(&lp, count / every).expect("an open loop");
        }
        if count == 200 {
            lp.stop();
        }
    };
    let lp = EventLoop::builder().clock(Clock::virtual_time()).observer(observer).build()?;
    lp.set_exception_handler(Some(|_: &EventLoop, _: &looplab::ExceptionContext| ()));
    for i in 0..8 {
        lp.create_task(async move {
            looplab::timeout(2 * MS, async { sleep(i * MS).await }).await.or_else(|_| Ok(()))
        });
        lp.call_soon(|| Err::<(), _>(Error::other(Chatty)))?;
        lp.create_task(async move {
            sleep(i * MS).await?;
            Err::<(), _>(Error::other(Chatty))
        });
    }
    lp.call_later(50 * MS, looplab::stop)?;
    for _ in 0..3 {
        match lp.run_forever() {
            Ok(()) | Err(Error::Deadlock(_)) => {}
            Err(error) => return Err(error),
        }
    }
    TIMERS.take();
    lp.close()
}

#[test]
fn the_replay_of_a_loop_whose_observer_meddles_is_the_loops_own_state_at_every_event() -> Result<()> {
    if let Some(every) = role() {
        let _dog = watchdog();
        return meddled(every.parse().expect("a number"));
    }
    let folder = tempfile::tempdir()?;
    for every in [1, 3, 5] {
        let file = folder.path().join("x.jsonl");
        let mut command = again!(&every.to_string());
        let lines = replayed(&traced(command.env("LOOPLAB_TRACE_SNAPSHOTS", "1"), &file));
        let count = |kind| lines.iter().filter(|line| line["e"] == kind).count();
        assert!(count("snap") > 200 && count("run") > 40, "{} {}", count("snap"), count("run"));
    }
    Ok(())
}

#[test]
fn a_trace_goes_on_when_the_observer_has_panicked() -> Result<()> {
    if role().is_some() {
        let observer = |record: &Record<'_>| assert!(!matches!(record.event, Event::Turn { n: 2 }), "enough");
        let lp = EventLoop::builder().clock(Clock::virtual_time()).observer(observer).build()?;
        lp.run_until_complete(sleep(MS))?;
        return lp.close();
    }
    let folder = tempfile::tempdir()?;
    let lines = replayed(&traced(&mut again!("child"), &folder.path().join("x.jsonl")));
    assert!(lines.iter().any(|line| line["e"] == "turn" && line["n"] == 3));
    assert_eq!(lines.last().expect("lines")["ev"], "closed");
    Ok(())
}

#[test]
fn an_observer_may_close_the_loop_at_the_end_of_its_run() -> Result<()> {
    if role().is_some() {
        let observer = |record: &Record<'_>| {
            if let Event::Loop(Life::End) = record.event {
                get_running_loop().and_then(|lp| lp.close()).expect("no run is under way any more");
            }
        };
        let lp = EventLoop::builder().clock(Clock::virtual_time()).observer(observer).build()?;
        let _left = lp.create_task(async { sleep(MS).await });
        lp.call_soon(looplab::stop)?;
        lp.run_forever()?;
        assert!(lp.is_closed() && matches!(lp.run_forever(), Err(Error::Closed)));
        assert!(get_running_loop().is_err());
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let mut command = again!("child");
    let lines =
        replayed(&traced(command.env("LOOPLAB_TRACE_SNAPSHOTS", "1"), &folder.path().join("x.jsonl")));
    let lives: Vec<_> = lines.iter().filter(|line| line["e"] == "loop").map(|line| &line["ev"]).collect();
    assert_eq!(lives, ["new", "run", "end", "closed"]);
    Ok(())
}
