//! looplab.

use crate::common::{Overdue, THREADS, WIDTH, begin_chains, chain_ended, far_delays, raise};
use looplab::{EventLoop, Executor, Future, TimerHandle, create_task, get_running_loop, sleep, yield_now};
use std::cell::Cell;
use std::hint::black_box;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn new_loop() -> EventLoop {
    EventLoop::new().expect("a loop")
}

/// A callback that queues itself again until `left` is 0. Each time a handle is made with which it could be cancelled.
fn hop(left: u32) -> looplab::Result<()> {
    let lp = get_running_loop()?;
    match left {
        0 if chain_ended() => lp.stop(),
        0 => {}
        left => drop(lp.call_soon(move || hop(left - 1))?),
    }
    Ok(())
}

pub(crate) fn hops_on(lp: &EventLoop, n: u32, width: u32) -> Duration {
    begin_chains(width);
    for _ in 0..width {
        lp.call_soon(move || hop(n / width)).expect("open");
    }
    let began = Instant::now();
    lp.run_forever().expect("runs");
    began.elapsed()
}

pub(crate) fn callback_hop(n: u32) -> Duration {
    hops_on(&new_loop(), n, WIDTH)
}

pub(crate) fn lone_callback_hop(n: u32) -> Duration {
    hops_on(&new_loop(), n, 1)
}

/// A descriptor is registered that is never ready: each turn makes the poll's system call.
pub(crate) fn polled_callback_hop(n: u32) -> Duration {
    let lp = new_loop();
    let (quiet, _peer) = UnixStream::pair().expect("a pair");
    lp.add_reader(&quiet, || ()).expect("open");
    let took = hops_on(&lp, n, 1);
    lp.remove_reader(&quiet).expect("open");
    took
}

fn yields(n: u32, tasks: u32) -> Duration {
    let lp = new_loop();
    let each = n / tasks;
    let body = move || async move {
        for _ in 0..each {
            yield_now().await?;
        }
        Ok(())
    };
    let tasks: Vec<_> = (0..tasks).map(|_| lp.create_task(body())).collect();
    let began = Instant::now();
    lp.run_until_complete(async move {
        for task in tasks {
            task.await?;
        }
        Ok(())
    })
    .expect("runs");
    began.elapsed()
}

pub(crate) fn task_hop(n: u32) -> Duration {
    yields(n, WIDTH)
}

pub(crate) fn lone_task_hop(n: u32) -> Duration {
    yields(n, 1)
}

pub(crate) fn spawn_await_on(lp: &EventLoop, n: u32) -> Duration {
    let body = async move {
        let began = Instant::now();
        for i in 0..n {
            black_box(create_task(async move { Ok(i) }).await?);
        }
        Ok(began.elapsed())
    };
    lp.run_until_complete(body).expect("runs")
}

pub(crate) fn spawn_await(n: u32) -> Duration {
    spawn_await_on(&new_loop(), n)
}

type Slot = Rc<Cell<Option<Future<u32>>>>;

/// Two tasks: each sets the future that the other awaits, and awaits a new one.
pub(crate) fn future_hop(n: u32) -> Duration {
    async fn side(n: u32, mine: Slot, theirs: Slot) -> looplab::Result<()> {
        let lp = get_running_loop()?;
        for i in 0..n / 2 {
            let future = lp.create_future();
            mine.set(Some(future.clone()));
            if let Some(other) = theirs.take() {
                other.set_result(i)?;
            }
            black_box(future.await?);
        }
        theirs.take().map_or(Ok(()), |other| other.set_result(0))
    }
    let lp = new_loop();
    let (a, b) = (Slot::default(), Slot::default());
    let other = lp.create_task(side(n, b.clone(), a.clone()));
    let began = Instant::now();
    lp.run_until_complete(side(n, a, b)).expect("runs");
    let took = began.elapsed();
    lp.run_until_complete(other).expect("runs");
    took
}

pub(crate) fn restart(n: u32) -> Duration {
    let lp = new_loop();
    let began = Instant::now();
    for i in 0..n {
        black_box(lp.run_until_complete(async move { Ok(i) }).expect("runs"));
    }
    began.elapsed()
}

pub(crate) fn set_timers(lp: &EventLoop, n: u32) -> Vec<TimerHandle> {
    far_delays(n).map(|delay| lp.call_later(delay, || ()).expect("open")).collect()
}

pub(crate) fn timer_insert(n: u32) -> Duration {
    let lp = new_loop();
    let began = Instant::now();
    let timers = set_timers(&lp, n);
    let took = began.elapsed();
    drop(timers);
    took
}

/// The turn in which the cancelled ones are thrown out is part of it.
pub(crate) fn timer_cancel(n: u32) -> Duration {
    let lp = new_loop();
    let timers = set_timers(&lp, n);
    let began = Instant::now();
    for timer in timers {
        timer.cancel();
    }
    lp.run_once().expect("runs");
    began.elapsed()
}

pub(crate) fn timer_fire(n: u32) -> Duration {
    let (lp, overdue) = (new_loop(), Overdue::new(n));
    begin_chains(n);
    for deadline in overdue.deadlines() {
        let fired = || if chain_ended() { looplab::stop() } else { Ok(()) };
        lp.call_at(deadline, fired).expect("open");
    }
    let began = overdue.pass();
    lp.run_forever().expect("runs");
    began.elapsed()
}

pub(crate) fn sleeper_wake(n: u32) -> Duration {
    let (lp, overdue) = (new_loop(), Overdue::new(n));
    begin_chains(n);
    let now = lp.time();
    for deadline in overdue.deadlines() {
        let body = async move {
            sleep(deadline.saturating_duration_since(now)).await?;
            if chain_ended() { looplab::stop() } else { Ok(()) }
        };
        drop(lp.create_task(body));
    }
    lp.run_once().expect("runs");
    let began = overdue.pass();
    lp.run_forever().expect("runs");
    began.elapsed()
}

pub(crate) fn post(n: u32) -> Duration {
    let lp = new_loop();
    let remote = lp.remote();
    begin_chains(n);
    let began = Instant::now();
    let sender = thread::spawn(move || {
        for i in 0..n {
            let callback = move || {
                black_box(i);
                if chain_ended() { looplab::stop() } else { Ok(()) }
            };
            remote.call_soon(callback).expect("open");
        }
    });
    lp.run_forever().expect("runs");
    let took = began.elapsed();
    sender.join().expect("no panic");
    took
}

/// Jobs in batches of this size, each awaited to its end.
fn jobs(n: u32, batch: u32) -> Duration {
    let (lp, pool) = (new_loop(), Executor::new(THREADS));
    let body = async move {
        let lp = get_running_loop()?;
        let began = Instant::now();
        for _ in 0..n / batch {
            let jobs = (0..batch).map(|i| lp.run_in(&pool, move || i));
            for job in jobs.collect::<looplab::Result<Vec<_>>>()? {
                black_box(job.await?);
            }
        }
        Ok(began.elapsed())
    };
    lp.run_until_complete(body).expect("runs")
}

pub(crate) fn job_round_trip(n: u32) -> Duration {
    jobs(n, 1)
}

pub(crate) fn job_batch(n: u32) -> Duration {
    jobs(n, WIDTH)
}

pub(crate) fn signal(n: u32) -> Duration {
    let lp = new_loop();
    let mut left = n;
    let handler = move || {
        left -= 1;
        match left {
            0 => looplab::stop()?,
            _ => raise(),
        }
        looplab::Result::Ok(())
    };
    lp.add_signal_handler(nix::sys::signal::Signal::SIGUSR1 as i32, handler).expect("open");
    let began = Instant::now();
    raise();
    lp.run_forever().expect("runs");
    began.elapsed()
}

/// A loop is made, makes one turn, and is closed.
pub(crate) fn start_and_shut_down(n: u32) -> Duration {
    let began = Instant::now();
    for i in 0..n {
        let lp = new_loop();
        black_box(lp.run_until_complete(async move { Ok(i) }).expect("runs"));
        lp.close().expect("not running");
    }
    began.elapsed()
}
