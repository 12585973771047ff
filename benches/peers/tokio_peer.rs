//! tokio's `current_thread` runtime. Its tasks are made by `tokio::spawn`, which costs less there than a `LocalSet`.

use crate::common::{
    Overdue, THREADS, WIDTH, all_sleep, begin_chains, begins_to_sleep, chain_ended, far_delays, poll_once,
    raise,
};
use std::cell::Cell;
use std::hint::black_box;
use std::pin::Pin;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{Sleep, sleep, sleep_until};

/// The work is over.
static OVER: Notify = Notify::const_new();

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().max_blocking_threads(THREADS).build().expect("a runtime")
}

/// tokio has no queue of callbacks; the nearest is a task for each.
fn hop(left: u32) {
    tokio::spawn(async move {
        match left {
            0 if chain_ended() => OVER.notify_one(),
            0 => {}
            left => hop(left - 1),
        }
    });
}

pub(crate) fn hops_on(runtime: &Runtime, n: u32, width: u32) -> Duration {
    begin_chains(width);
    runtime.block_on(async move {
        for _ in 0..width {
            hop(n / width);
        }
        let began = Instant::now();
        OVER.notified().await;
        began.elapsed()
    })
}

pub(crate) fn callback_hop(n: u32) -> Duration {
    hops_on(&runtime(), n, WIDTH)
}

pub(crate) fn lone_callback_hop(n: u32) -> Duration {
    hops_on(&runtime(), n, 1)
}

fn yields(n: u32, tasks: u32) -> Duration {
    let each = n / tasks;
    runtime().block_on(async move {
        let body = move || async move {
            for _ in 0..each {
                yield_now().await;
            }
        };
        let tasks: Vec<_> = (0..tasks).map(|_| tokio::spawn(body())).collect();
        let began = Instant::now();
        for task in tasks {
            task.await.expect("runs");
        }
        began.elapsed()
    })
}

pub(crate) fn task_hop(n: u32) -> Duration {
    yields(n, WIDTH)
}

pub(crate) fn lone_task_hop(n: u32) -> Duration {
    yields(n, 1)
}

pub(crate) fn spawn_await_on(runtime: &Runtime, n: u32) -> Duration {
    runtime.block_on(async move {
        let began = Instant::now();
        for i in 0..n {
            black_box(tokio::spawn(async move { i }).await.expect("runs"));
        }
        began.elapsed()
    })
}

pub(crate) fn spawn_await(n: u32) -> Duration {
    spawn_await_on(&runtime(), n)
}

type Slot = Cell<Option<oneshot::Sender<u32>>>;

thread_local! {
    static SLOTS: [Slot; 2] = const { [Slot::new(None), Slot::new(None)] };
}

/// Two tasks: each sends what the other awaits, and awaits a new channel. Where a sender is left for the other is the
/// thread's own, so that the tasks are `Send` and need no `LocalSet`.
pub(crate) fn future_hop(n: u32) -> Duration {
    async fn side(n: u32, mine: usize) {
        for i in 0..n / 2 {
            let (sender, receiver) = oneshot::channel();
            let other = SLOTS.with(|slots| {
                slots[mine].set(Some(sender));
                slots[1 - mine].take()
            });
            if let Some(other) = other {
                let _ = other.send(i);
            }
            black_box(receiver.await.expect("sent"));
        }
        if let Some(other) = SLOTS.with(|slots| slots[1 - mine].take()) {
            let _ = other.send(0);
        }
    }
    runtime().block_on(async move {
        let began = Instant::now();
        let (one, other) = (tokio::spawn(side(n, 0)), tokio::spawn(side(n, 1)));
        one.await.expect("runs");
        let took = began.elapsed();
        other.await.expect("runs");
        took
    })
}

pub(crate) fn restart(n: u32) -> Duration {
    let runtime = runtime();
    let began = Instant::now();
    for i in 0..n {
        black_box(runtime.block_on(async move { tokio::spawn(async move { i }).await.expect("runs") }));
    }
    began.elapsed()
}

/// A timer is a `Sleep` that was polled; without a task, which a callback of looplab's does not have either.
pub(crate) fn set_timers(n: u32) -> Vec<Pin<Box<Sleep>>> {
    let set = |delay| {
        let mut timer = Box::pin(sleep(delay));
        let _ = poll_once(&mut timer);
        timer
    };
    far_delays(n).map(set).collect()
}

pub(crate) fn timer_insert(n: u32) -> Duration {
    let runtime = runtime();
    let _entered = runtime.enter();
    let began = Instant::now();
    let timers = set_timers(n);
    let took = began.elapsed();
    drop(timers);
    took
}

pub(crate) fn timer_cancel(n: u32) -> Duration {
    let runtime = runtime();
    let _entered = runtime.enter();
    let timers = set_timers(n);
    let began = Instant::now();
    drop(timers);
    began.elapsed()
}

/// tokio has no callback on a timer; the nearest is a task that sleeps. So this is its figure for both rows.
pub(crate) fn sleeper_wake(n: u32) -> Duration {
    let (runtime, overdue) = (runtime(), Overdue::new(n));
    begin_chains(n);
    runtime.block_on(async {
        for deadline in overdue.deadlines() {
            tokio::spawn(async move {
                begins_to_sleep();
                sleep_until(deadline.into()).await;
                if chain_ended() {
                    OVER.notify_one();
                }
            });
        }
        while !all_sleep(n) {
            yield_now().await;
        }
        let began = overdue.pass();
        OVER.notified().await;
        began.elapsed()
    })
}

/// What is sent is a callback of any type, as in looplab.
pub(crate) fn post(n: u32) -> Duration {
    runtime().block_on(async move {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let began = Instant::now();
        let thread = thread::spawn(move || {
            for i in 0..n {
                let callback: Box<dyn FnOnce() -> u32 + Send> = Box::new(move || i);
                sender.send(callback).expect("open");
            }
        });
        while let Some(callback) = receiver.recv().await {
            black_box(callback());
        }
        let took = began.elapsed();
        thread.join().expect("no panic");
        took
    })
}

fn jobs(n: u32, batch: u32) -> Duration {
    runtime().block_on(async move {
        let began = Instant::now();
        for _ in 0..n / batch {
            let jobs: Vec<_> = (0..batch).map(|i| spawn_blocking(move || i)).collect();
            for job in jobs {
                black_box(job.await.expect("runs"));
            }
        }
        began.elapsed()
    })
}

pub(crate) fn job_round_trip(n: u32) -> Duration {
    jobs(n, 1)
}

pub(crate) fn job_batch(n: u32) -> Duration {
    jobs(n, WIDTH)
}

pub(crate) fn signal(n: u32) -> Duration {
    use tokio::signal::unix::{SignalKind, signal};
    runtime().block_on(async move {
        let mut signals = signal(SignalKind::user_defined1()).expect("a handler");
        let began = Instant::now();
        for _ in 0..n {
            raise();
            signals.recv().await;
        }
        began.elapsed()
    })
}

pub(crate) fn start_and_shut_down(n: u32) -> Duration {
    let began = Instant::now();
    for i in 0..n {
        let runtime = runtime();
        black_box(runtime.block_on(async move { tokio::spawn(async move { i }).await.expect("runs") }));
    }
    began.elapsed()
}
