//! `futures::executor::LocalPool`: an executor with neither timers nor I/O.

use crate::common::{WIDTH, begin_chains, chain_ended, yield_once};
use futures::channel::{mpsc, oneshot};
use futures::executor::{LocalPool, LocalSpawner};
use futures::future::RemoteHandle;
use futures::stream::StreamExt;
use futures::task::LocalSpawnExt;
use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

fn spawn<T: 'static>(spawner: &LocalSpawner, body: impl Future<Output = T> + 'static) -> RemoteHandle<T> {
    spawner.spawn_local_with_handle(body).expect("open")
}

/// No queue of callbacks: a task for each.
fn hop(left: u32, spawner: LocalSpawner, over: Rc<Cell<Option<oneshot::Sender<()>>>>) {
    let next = spawner.clone();
    let body = async move {
        match left {
            0 if chain_ended() => drop(over.take()),
            0 => {}
            left => hop(left - 1, next, over),
        }
    };
    spawner.spawn_local(body).expect("open");
}

fn hops(n: u32, width: u32) -> Duration {
    begin_chains(width);
    let mut pool = LocalPool::new();
    let (sender, over) = oneshot::channel();
    let sender = Rc::new(Cell::new(Some(sender)));
    for _ in 0..width {
        hop(n / width, pool.spawner(), sender.clone());
    }
    let began = Instant::now();
    let _ = pool.run_until(over);
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
    let mut pool = LocalPool::new();
    for _ in 0..tasks {
        let body = async move {
            for _ in 0..each {
                yield_once().await;
            }
        };
        pool.spawner().spawn_local(body).expect("open");
    }
    let began = Instant::now();
    pool.run();
    began.elapsed()
}

pub(crate) fn task_hop(n: u32) -> Duration {
    yields(n, WIDTH)
}

pub(crate) fn lone_task_hop(n: u32) -> Duration {
    yields(n, 1)
}

pub(crate) fn spawn_await(n: u32) -> Duration {
    let mut pool = LocalPool::new();
    let spawner = pool.spawner();
    let began = Instant::now();
    let body = async move {
        for i in 0..n {
            black_box(spawn(&spawner, async move { i }).await);
        }
    };
    pool.run_until(body);
    began.elapsed()
}

pub(crate) fn future_hop(n: u32) -> Duration {
    type Slot = Rc<Cell<Option<oneshot::Sender<u32>>>>;
    async fn side(n: u32, mine: Slot, theirs: Slot) {
        for i in 0..n / 2 {
            let (sender, receiver) = oneshot::channel();
            mine.set(Some(sender));
            if let Some(other) = theirs.take() {
                let _ = other.send(i);
            }
            black_box(receiver.await.expect("sent"));
        }
        if let Some(other) = theirs.take() {
            let _ = other.send(0);
        }
    }
    let mut pool = LocalPool::new();
    let (a, b) = (Slot::default(), Slot::default());
    let spawner = pool.spawner();
    let (one, other) = (spawn(&spawner, side(n, a.clone(), b.clone())), spawn(&spawner, side(n, b, a)));
    let began = Instant::now();
    pool.run_until(one);
    let took = began.elapsed();
    pool.run_until(other);
    took
}

pub(crate) fn restart(n: u32) -> Duration {
    let mut pool = LocalPool::new();
    let spawner = pool.spawner();
    let began = Instant::now();
    for i in 0..n {
        black_box(pool.run_until(spawn(&spawner, async move { i })));
    }
    began.elapsed()
}

pub(crate) fn post(n: u32) -> Duration {
    let (sender, mut receiver) = mpsc::unbounded();
    let began = Instant::now();
    let thread = thread::spawn(move || {
        for i in 0..n {
            let callback: Box<dyn FnOnce() -> u32 + Send> = Box::new(move || i);
            sender.unbounded_send(callback).expect("open");
        }
    });
    LocalPool::new().run_until(async {
        while let Some(callback) = receiver.next().await {
            black_box(callback());
        }
    });
    let took = began.elapsed();
    thread.join().expect("no panic");
    took
}

pub(crate) fn start_and_shut_down(n: u32) -> Duration {
    let began = Instant::now();
    for i in 0..n {
        let mut pool = LocalPool::new();
        let task = spawn(&pool.spawner(), async move { i });
        black_box(pool.run_until(task));
    }
    began.elapsed()
}
