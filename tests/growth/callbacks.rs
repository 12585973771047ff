//! Callbacks, timers and calls from another thread.

use crate::grows_with_the_number;
use looplab::{EventLoop, Result, TimerHandle};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const N: usize = 2_000;
const HOUR: Duration = Duration::from_secs(3600);

fn timers(lp: &EventLoop, n: usize) -> Result<Vec<TimerHandle>> {
    (0..n).map(|i| lp.call_later(HOUR + Duration::from_micros(i as u64), || ())).collect()
}

#[test]
fn callbacks_of_one_turn() {
    grows_with_the_number(N, |lp, n| {
        for _ in 0..n {
            lp.call_soon(|| ())?;
        }
        lp.run_once().map(drop)
    });
}

#[test]
fn cancelling_callbacks_newest_first() {
    grows_with_the_number(N, |lp, n| {
        let handles = (0..n).map(|_| lp.call_soon(|| ())).collect::<Result<Vec<_>>>()?;
        handles.iter().rev().for_each(looplab::Handle::cancel);
        lp.run_once().map(drop)
    });
}

#[test]
fn posts_from_another_thread() {
    grows_with_the_number(N, |lp, n| {
        let remote = lp.remote();
        let posting = std::thread::spawn(move || (0..n).try_for_each(|_| remote.call_soon(|| ()).map(drop)));
        posting.join().expect("no panic")?;
        lp.run_once().map(drop)
    });
}

#[test]
fn timers_that_fire() {
    grows_with_the_number(N, |lp, n| {
        let fired = Rc::new(Cell::new(0));
        for i in 0..n {
            let fired = fired.clone();
            lp.call_later(Duration::from_micros(i as u64), move || fired.set(fired.get() + 1))?;
        }
        while fired.get() < n {
            lp.run_once()?;
        }
        Ok(())
    });
}

#[test]
fn cancelling_timers_newest_first() {
    grows_with_the_number(N, |lp, n| {
        for timer in timers(lp, n)?.iter().rev() {
            timer.cancel();
            lp.run_once()?;
        }
        Ok(())
    });
}

#[test]
fn cancelling_timers_oldest_first() {
    grows_with_the_number(N, |lp, n| {
        for timer in &timers(lp, n)? {
            timer.cancel();
            lp.run_once()?;
        }
        Ok(())
    });
}

#[test]
fn a_snapshot() {
    grows_with_the_number(N, |lp, n| {
        let _timers = timers(lp, n)?;
        for _ in 0..n {
            lp.call_soon(|| ())?;
            drop(lp.create_task(std::future::pending::<Result<()>>()));
        }
        lp.run_once()?;
        let snapshot = lp.snapshot();
        assert!(snapshot.to_string().len() > n);
        Ok(())
    });
}
