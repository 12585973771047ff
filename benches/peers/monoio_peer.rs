//! monoio on its "legacy" driver, which is epoll, as for all others here.

use crate::common::{
    Overdue, THREADS, WIDTH, all_sleep, begin_chains, begins_to_sleep, chain_ended, far_delays, poll_once,
    yield_once,
};
use futures::channel::{mpsc, oneshot};
use futures::stream::StreamExt;
use monoio::blocking::DefaultThreadPool;
use monoio::time::{Sleep, TimeDriver};
use monoio::{LegacyDriver, Runtime, RuntimeBuilder};
use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::pin::Pin;
use std::thread;
use std::time::{Duration, Instant};

type Slot = Cell<Option<oneshot::Sender<u32>>>;

thread_local! {
    static OVER: RefCell<Option<oneshot::Sender<()>>> = const { RefCell::new(None) };
    static SLOTS: [Slot; 2] = const { [Slot::new(None), Slot::new(None)] };
}

fn runtime() -> Runtime<TimeDriver<LegacyDriver>> {
    RuntimeBuilder::<LegacyDriver>::new().enable_timer().build().expect("a runtime")
}

fn over() -> oneshot::Receiver<()> {
    let (sender, over) = oneshot::channel();
    OVER.with(|over| over.replace(Some(sender)));
    over
}

fn ended() {
    if chain_ended() {
        drop(OVER.with(|over| over.take()));
    }
}

/// No queue of callbacks: a task for each.
fn hop(left: u32) {
    drop(monoio::spawn(async move {
        match left {
            0 => ended(),
            left => hop(left - 1),
        }
    }));
}

fn hops(n: u32, width: u32) -> Duration {
    begin_chains(width);
    runtime().block_on(async move {
        let over = over();
        for _ in 0..width {
            hop(n / width);
        }
        let began = Instant::now();
        let _ = over.await;
        began.elapsed()
    })
}

pub(crate) fn callback_hop(n: u32) -> Duration {
    hops(n, WIDTH)
}

pub(crate) fn lone_callback_hop(n: u32) -> Duration {
    hops(n, 1)
}

fn yields(n: u32, tasks: u32) -> Duration {
    let each = n / tasks;
    runtime().block_on(async move {
        let body = move || async move {
            for _ in 0..each {
                yield_once().await;
            }
        };
        let tasks: Vec<_> = (0..tasks).map(|_| monoio::spawn(body())).collect();
        let began = Instant::now();
        for task in tasks {
            task.await;
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

pub(crate) fn spawn_await(n: u32) -> Duration {
    runtime().block_on(async move {
        let began = Instant::now();
        for i in 0..n {
            black_box(monoio::spawn(async move { i }).await);
        }
        began.elapsed()
    })
}

/// monoio has no oneshot channel; this is the one of `futures`.
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
        let (one, other) = (monoio::spawn(side(n, 0)), monoio::spawn(side(n, 1)));
        one.await;
        let took = began.elapsed();
        other.await;
        took
    })
}

pub(crate) fn restart(n: u32) -> Duration {
    let mut runtime = runtime();
    let began = Instant::now();
    for i in 0..n {
        black_box(runtime.block_on(async move { monoio::spawn(async move { i }).await }));
    }
    began.elapsed()
}

fn set_timers(n: u32) -> Vec<Pin<Box<Sleep>>> {
    let set = |delay| {
        let mut timer = Box::pin(monoio::time::sleep(delay));
        let _ = poll_once(&mut timer);
        timer
    };
    far_delays(n).map(set).collect()
}

pub(crate) fn timer_insert(n: u32) -> Duration {
    runtime().block_on(async move {
        let began = Instant::now();
        let timers = set_timers(n);
        let took = began.elapsed();
        drop(timers);
        took
    })
}

pub(crate) fn timer_cancel(n: u32) -> Duration {
    runtime().block_on(async move {
        let timers = set_timers(n);
        let began = Instant::now();
        drop(timers);
        began.elapsed()
    })
}

/// No callback on a timer: a task that sleeps, for both rows.
pub(crate) fn sleeper_wake(n: u32) -> Duration {
    let overdue = Overdue::new(n);
    begin_chains(n);
    runtime().block_on(async {
        let over = over();
        for deadline in overdue.deadlines() {
            drop(monoio::spawn(async move {
                begins_to_sleep();
                monoio::time::sleep_until(deadline.into()).await;
                ended();
            }));
        }
        // In a task of its own: what `block_on` is given would be polled again and again before any task.
        let sleeping = async move {
            while !all_sleep(n) {
                yield_once().await;
            }
        };
        monoio::spawn(sleeping).await;
        let began = overdue.pass();
        let _ = over.await;
        began.elapsed()
    })
}

pub(crate) fn post(n: u32) -> Duration {
    let (sender, mut receiver) = mpsc::unbounded();
    runtime().block_on(async move {
        let began = Instant::now();
        let thread = thread::spawn(move || {
            for i in 0..n {
                let callback: Box<dyn FnOnce() -> u32 + Send> = Box::new(move || i);
                sender.unbounded_send(callback).expect("open");
            }
        });
        while let Some(callback) = receiver.next().await {
            black_box(callback());
        }
        let took = began.elapsed();
        thread.join().expect("no panic");
        took
    })
}

fn jobs(n: u32, batch: u32) -> Duration {
    let pool = Box::new(DefaultThreadPool::new(THREADS));
    let builder = RuntimeBuilder::<LegacyDriver>::new().attach_thread_pool(pool);
    builder.build().expect("a runtime").block_on(async move {
        let began = Instant::now();
        for _ in 0..n / batch {
            let jobs: Vec<_> = (0..batch).map(|i| monoio::spawn_blocking(move || i)).collect();
            for job in jobs {
                black_box(job.await.is_ok());
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

pub(crate) fn start_and_shut_down(n: u32) -> Duration {
    let began = Instant::now();
    for i in 0..n {
        let mut runtime = runtime();
        black_box(runtime.block_on(async move { monoio::spawn(async move { i }).await }));
    }
    began.elapsed()
}
