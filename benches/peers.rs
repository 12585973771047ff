//! looplab beside tokio's `current_thread` runtime: nanoseconds per operation, and the ratio of the two.
//!
//! Run with `cargo bench --bench peers`, or `cargo bench --bench peers -- --quick` for a first look. The peers take
//! turns, round by round, in one process: whatever slows the machine slows both. A figure is the median of the rounds,
//! the spread half the distance between the quartiles. Absolute times depend on the machine; the ratio is what counts.
//!
//! For machines there is a line per figure on standard output after the table:
//! `bench,work,param,peer,ns_per_op,ratio_to_tokio`.

use std::cell::Cell;
use std::hint::black_box;
use std::io::IsTerminal;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One work: what is measured, how many operations a round makes, and how each peer does them.
struct Work {
    name: &'static str,
    param: &'static str,
    operations: u32,
    looplab: fn(u32) -> Duration,
    tokio: fn(u32) -> Duration,
}

const WORKS: &[Work] = &[
    Work {
        name: "callback hop",
        param: "1000 queued",
        operations: 200_000,
        looplab: looplab_peer::callback_hop,
        tokio: tokio_peer::callback_hop,
    },
    Work {
        name: "task hop",
        param: "1000 tasks",
        operations: 200_000,
        looplab: looplab_peer::task_hop,
        tokio: tokio_peer::task_hop,
    },
    Work {
        name: "task hop",
        param: "1 task",
        operations: 200_000,
        looplab: looplab_peer::lone_task_hop,
        tokio: tokio_peer::lone_task_hop,
    },
    Work {
        name: "spawn + await",
        param: "one by one",
        operations: 100_000,
        looplab: looplab_peer::spawn_await,
        tokio: tokio_peer::spawn_await,
    },
    Work {
        name: "future hop",
        param: "ping-pong",
        operations: 100_000,
        looplab: looplab_peer::future_hop,
        tokio: tokio_peer::future_hop,
    },
    Work {
        name: "restart",
        param: "ready task",
        operations: 100_000,
        looplab: looplab_peer::restart,
        tokio: tokio_peer::restart,
    },
    Work {
        name: "blocking job",
        param: "round trip",
        operations: 20_000,
        looplab: looplab_peer::job_round_trip,
        tokio: tokio_peer::job_round_trip,
    },
    Work {
        name: "blocking job",
        param: "1000 at once",
        operations: 100_000,
        looplab: looplab_peer::job_batch,
        tokio: tokio_peer::job_batch,
    },
];

/// How many callbacks, tasks or jobs are under way at once.
const WIDTH: u32 = 1000;

/// How many threads the pools for blocking jobs may have.
const THREADS: usize = 4;

mod looplab_peer {
    use super::{Cell, Duration, Instant, Rc, THREADS, WIDTH, black_box};
    use looplab::{EventLoop, Executor, Future, create_task, get_running_loop, yield_now};

    fn again(left: &Rc<Cell<u32>>) -> looplab::Result<()> {
        let lp = get_running_loop()?;
        match left.get() {
            0 => lp.stop(),
            n => {
                left.set(n - 1);
                let left = left.clone();
                lp.call_soon(move || again(&left))?;
            }
        }
        Ok(())
    }

    pub(super) fn callback_hop(n: u32) -> Duration {
        let lp = EventLoop::new().expect("a loop");
        let left = Rc::new(Cell::new(n));
        for _ in 0..WIDTH {
            let left = left.clone();
            lp.call_soon(move || again(&left)).expect("open");
        }
        let began = Instant::now();
        lp.run_forever().expect("runs");
        began.elapsed()
    }

    fn hops(n: u32, tasks: u32) -> Duration {
        let lp = EventLoop::new().expect("a loop");
        let each = n / tasks;
        let tasks: Vec<_> = (0..tasks)
            .map(|_| {
                lp.create_task(async move {
                    for _ in 0..each {
                        yield_now().await?;
                    }
                    Ok(())
                })
                .expect("open")
            })
            .collect();
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

    pub(super) fn task_hop(n: u32) -> Duration {
        hops(n, WIDTH)
    }

    pub(super) fn lone_task_hop(n: u32) -> Duration {
        hops(n, 1)
    }

    pub(super) fn spawn_await(n: u32) -> Duration {
        let lp = EventLoop::new().expect("a loop");
        let body = async move {
            let began = Instant::now();
            for i in 0..n {
                black_box(create_task(async move { Ok(i) }).await?);
            }
            Ok(began.elapsed())
        };
        lp.run_until_complete(body).expect("runs")
    }

    pub(super) fn future_hop(n: u32) -> Duration {
        let lp = EventLoop::new().expect("a loop");
        let slot: Rc<Cell<Option<Future<u32>>>> = Rc::default();
        let theirs = slot.clone();
        let other = lp.create_task(async move {
            loop {
                if let Some(future) = theirs.take() {
                    future.set_result(1)?;
                }
                yield_now().await?;
            }
            #[allow(unreachable_code)]
            Ok(())
        });
        let other = other.expect("open");
        let body = async move {
            let lp = get_running_loop()?;
            let began = Instant::now();
            for _ in 0..n {
                let future = lp.create_future();
                slot.set(Some(future.clone()));
                black_box(future.await?);
            }
            other.cancel();
            Ok(began.elapsed())
        };
        lp.run_until_complete(body).expect("runs")
    }

    pub(super) fn restart(n: u32) -> Duration {
        let lp = EventLoop::new().expect("a loop");
        let began = Instant::now();
        for i in 0..n {
            black_box(lp.run_until_complete(async move { Ok(i) }).expect("runs"));
        }
        began.elapsed()
    }

    /// Jobs in batches of so many, each awaited to its end.
    fn jobs(n: u32, batch: u32) -> Duration {
        let (lp, pool) = (EventLoop::new().expect("a loop"), Executor::new(THREADS));
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

    pub(super) fn job_round_trip(n: u32) -> Duration {
        jobs(n, 1)
    }

    pub(super) fn job_batch(n: u32) -> Duration {
        jobs(n, WIDTH)
    }
}

mod tokio_peer {
    use super::{Cell, Duration, Instant, Rc, THREADS, WIDTH, black_box};
    use tokio::runtime::{Builder, Runtime};
    use tokio::sync::oneshot;
    use tokio::task::{LocalSet, spawn_blocking, spawn_local, yield_now};

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().max_blocking_threads(THREADS).build().expect("a runtime")
    }

    /// tokio has no queue of callbacks; the nearest is a task for each.
    pub(super) fn callback_hop(n: u32) -> Duration {
        async fn again(left: Rc<Cell<u32>>, done: Rc<tokio::sync::Notify>) {
            match left.get() {
                0 => done.notify_one(),
                n => {
                    left.set(n - 1);
                    spawn_local(Box::pin(again(left, done)) as std::pin::Pin<Box<dyn Future<Output = ()>>>);
                }
            }
        }
        let (left, done) = (Rc::new(Cell::new(n)), Rc::new(tokio::sync::Notify::new()));
        LocalSet::new().block_on(&runtime(), async move {
            let began = Instant::now();
            for _ in 0..WIDTH {
                spawn_local(again(left.clone(), done.clone()));
            }
            done.notified().await;
            began.elapsed()
        })
    }

    fn hops(n: u32, tasks: u32) -> Duration {
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

    pub(super) fn task_hop(n: u32) -> Duration {
        hops(n, WIDTH)
    }

    pub(super) fn lone_task_hop(n: u32) -> Duration {
        hops(n, 1)
    }

    pub(super) fn spawn_await(n: u32) -> Duration {
        runtime().block_on(async move {
            let began = Instant::now();
            for i in 0..n {
                black_box(tokio::spawn(async move { i }).await.expect("runs"));
            }
            began.elapsed()
        })
    }

    pub(super) fn future_hop(n: u32) -> Duration {
        let slot: Rc<Cell<Option<oneshot::Sender<u32>>>> = Rc::default();
        let theirs = slot.clone();
        LocalSet::new().block_on(&runtime(), async move {
            let other = spawn_local(async move {
                loop {
                    if let Some(sender) = theirs.take() {
                        let _ = sender.send(1);
                    }
                    yield_now().await;
                }
            });
            let began = Instant::now();
            for _ in 0..n {
                let (sender, receiver) = oneshot::channel();
                slot.set(Some(sender));
                black_box(receiver.await.expect("sent"));
            }
            other.abort();
            began.elapsed()
        })
    }

    pub(super) fn restart(n: u32) -> Duration {
        let runtime = runtime();
        let began = Instant::now();
        for i in 0..n {
            black_box(runtime.block_on(async move { tokio::spawn(async move { i }).await.expect("runs") }));
        }
        began.elapsed()
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

    pub(super) fn job_round_trip(n: u32) -> Duration {
        jobs(n, 1)
    }

    pub(super) fn job_batch(n: u32) -> Duration {
        jobs(n, WIDTH)
    }
}

/// The figures of one peer for one work.
struct Figures(Vec<f64>);

impl Figures {
    fn quantile(&self, q: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * q).round() as usize]
    }

    fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    fn spread(&self) -> f64 {
        (self.quantile(0.75) - self.quantile(0.25)) / 2.0
    }
}

/// Measures one work: the peers take turns, and the one that begins changes every round.
fn measure(work: &Work, rounds: u32, share: u32) -> (Figures, Figures) {
    let n = (work.operations / share).max(2 * WIDTH);
    let time = |peer: fn(u32) -> Duration| peer(n).as_nanos() as f64 / f64::from(n);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (a, b) = if round % 2 == 0 {
            let ours = time(work.looplab);
            (ours, time(work.tokio))
        } else {
            let theirs = time(work.tokio);
            (time(work.looplab), theirs)
        };
        // The first round warms caches and the allocator up.
        if round > 0 {
            ours.push(a);
            theirs.push(b);
        }
    }
    ours.sort_by(f64::total_cmp);
    theirs.sort_by(f64::total_cmp);
    (Figures(ours), Figures(theirs))
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, share) = if quick { (5, 5) } else { (15, 1) };
    println!("{:<14} {:<12} {:>16} {:>16} {:>8}", "work", "", "looplab", "tokio", "ratio");
    let mut lines = Vec::new();
    for (i, work) in WORKS.iter().enumerate() {
        if std::io::stderr().is_terminal() {
            eprint!("\r{}/{} {} …\x1b[K", i + 1, WORKS.len(), work.name);
        }
        let (ours, theirs) = measure(work, rounds, share);
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        let ratio = ours.median() / theirs.median();
        let figure = |f: &Figures| format!("{:.0} ±{:.0} ns", f.median(), f.spread());
        println!(
            "{:<14} {:<12} {:>16} {:>16} {ratio:>8.2}",
            work.name,
            work.param,
            figure(&ours),
            figure(&theirs)
        );
        for (peer, figures, ratio) in [("looplab", &ours, ratio), ("tokio", &theirs, 1.0)] {
            lines.push(format!(
                "bench,{},{},{peer},{:.1},{ratio:.3}",
                work.name,
                work.param,
                figures.median()
            ));
        }
    }
    println!("\n{}", lines.join("\n"));
}
