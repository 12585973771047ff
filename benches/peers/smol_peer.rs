//! smol: a `LocalExecutor` under `async_io::block_on`, as smol's own `block_on` does it. The executor is the thread's
//! and lives on from round to round; smol has one reactor for the whole process, started once.

use crate::common::{
    Overdue, WIDTH, all_sleep, begin_chains, begins_to_sleep, chain_ended, far_delays, poll_once, yield_once,
};
use async_executor::LocalExecutor;
use async_io::{Timer, block_on};
use futures::channel::oneshot;
use std::cell::Cell;
use std::hint::black_box;
use std::pin::Pin;
use std::thread;
use std::time::{Duration, Instant};

thread_local! {
    static EXECUTOR: &'static LocalExecutor<'static> = Box::leak(Box::new(LocalExecutor::new()));
    static OVER: (async_channel::Sender<()>, async_channel::Receiver<()>) = async_channel::unbounded();
    static SLOTS: [Slot; 2] = const { [Slot::new(None), Slot::new(None)] };
}

type Slot = Cell<Option<oneshot::Sender<u32>>>;

fn executor() -> &'static LocalExecutor<'static> {
    EXECUTOR.with(|executor| *executor)
}

fn run<T>(body: impl Future<Output = T>) -> T {
    block_on(executor().run(body))
}

fn ended() {
    if chain_ended() {
        OVER.with(|(over, _)| over.try_send(())).expect("open");
    }
}

async fn over() {
    let over = OVER.with(|(_, over)| over.clone());
    over.recv().await.expect("open");
}

/// No queue of callbacks: a task for each.
fn hop(left: u32) {
    let body = async move {
        match left {
            0 => ended(),
            left => hop(left - 1),
        }
    };
    executor().spawn(body).detach();
}

fn hops(n: u32, width: u32) -> Duration {
    begin_chains(width);
    for _ in 0..width {
        hop(n / width);
    }
    let began = Instant::now();
    run(over());
    began.elapsed()
}

pub(crate) fn callback_hop(n: u32) -> Duration {
    hops(n, WIDTH)
}

pub(crate) fn lone_callback_hop(n: u32) -> Duration {
    hops(n, 1)
}

fn yields(n: u32, tasks: u32) -> Duration {
    let each = n / tasks;
    let body = move || async move {
        for _ in 0..each {
            yield_once().await;
        }
    };
    let tasks: Vec<_> = (0..tasks).map(|_| executor().spawn(body())).collect();
    let began = Instant::now();
    run(async move {
        for task in tasks {
            task.await;
        }
    });
    began.elapsed()
}

pub(crate) fn task_hop(n: u32) -> Duration {
    yields(n, WIDTH)
}

pub(crate) fn lone_task_hop(n: u32) -> Duration {
    yields(n, 1)
}

pub(crate) fn spawn_await(n: u32) -> Duration {
    let began = Instant::now();
    run(async {
        for i in 0..n {
            black_box(executor().spawn(async move { i }).await);
        }
    });
    began.elapsed()
}

/// smol has no oneshot channel; this is the one of `futures`.
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
    let (one, other) = (executor().spawn(side(n, 0)), executor().spawn(side(n, 1)));
    let began = Instant::now();
    run(one);
    let took = began.elapsed();
    run(other);
    took
}

pub(crate) fn restart(n: u32) -> Duration {
    let began = Instant::now();
    for i in 0..n {
        black_box(run(executor().spawn(async move { i })));
    }
    began.elapsed()
}

pub(crate) fn set_timers(n: u32) -> Vec<Pin<Box<Timer>>> {
    let set = |delay| {
        let mut timer = Box::pin(Timer::after(delay));
        let _ = poll_once(&mut timer);
        timer
    };
    far_delays(n).map(set).collect()
}

pub(crate) fn timer_insert(n: u32) -> Duration {
    let began = Instant::now();
    let timers = set_timers(n);
    let took = began.elapsed();
    drop(timers);
    took
}

pub(crate) fn timer_cancel(n: u32) -> Duration {
    let timers = set_timers(n);
    let began = Instant::now();
    drop(timers);
    began.elapsed()
}

/// No callback on a timer: a task that sleeps, for both rows. smol's thread may wake sleepers before anybody waits for
/// them; a part of the work is then done where it is not timed.
pub(crate) fn sleeper_wake(n: u32) -> Duration {
    let overdue = Overdue::new(n);
    begin_chains(n);
    for deadline in overdue.deadlines() {
        let body = async move {
            begins_to_sleep();
            Timer::at(deadline).await;
            ended();
        };
        executor().spawn(body).detach();
    }
    run(async {
        while !all_sleep(n) {
            yield_once().await;
        }
    });
    let began = overdue.pass();
    run(over());
    began.elapsed()
}

pub(crate) fn post(n: u32) -> Duration {
    let (sender, receiver) = async_channel::unbounded();
    let began = Instant::now();
    let thread = thread::spawn(move || {
        for i in 0..n {
            let callback: Box<dyn FnOnce() -> u32 + Send> = Box::new(move || i);
            sender.try_send(callback).expect("open");
        }
    });
    run(async {
        while let Ok(callback) = receiver.recv().await {
            black_box(callback());
        }
    });
    let took = began.elapsed();
    thread.join().expect("no panic");
    took
}

/// On the threads of `blocking`, as many as it finds right: their number can be set by the environment only.
fn jobs(n: u32, batch: u32) -> Duration {
    let began = Instant::now();
    run(async {
        for _ in 0..n / batch {
            let jobs: Vec<_> = (0..batch).map(|i| blocking::unblock(move || i)).collect();
            for job in jobs {
                black_box(job.await);
            }
        }
    });
    began.elapsed()
}

pub(crate) fn job_round_trip(n: u32) -> Duration {
    jobs(n, 1)
}

pub(crate) fn job_batch(n: u32) -> Duration {
    jobs(n, WIDTH)
}

/// Without the reactor, which is never shut down.
pub(crate) fn start_and_shut_down(n: u32) -> Duration {
    let began = Instant::now();
    for i in 0..n {
        let executor = LocalExecutor::new();
        black_box(block_on(executor.run(executor.spawn(async move { i }))));
    }
    began.elapsed()
}
