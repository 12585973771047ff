//! Storms: thousands of jobs, cancelled and shut down at random. Every future ends, no thread is left, and nothing hangs.
//!
//! Threads make every run another one; what repeats are the choices of the program. A failure names its seed.

use crate::gate::until;
use looplab::{Clock, Error, EventLoop, Executor, Future, Result, sleep, yield_now};
use std::cell::Cell;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize};
use std::thread;
use std::time::Duration;
use support::{child, report, watchdog};

/// xorshift: small, and the same everywhere.
struct Random(Cell<u64>);

impl Random {
    fn new(seed: u64) -> Self {
        Self(Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1))
    }

    /// A number below `n`.
    fn below(&self, n: usize) -> usize {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        (x >> 33) as usize % n
    }
}

/// How many threads this process has, where the system tells.
fn threads_of_this_process() -> Option<usize> {
    std::fs::read_dir("/proc/self/task").ok().map(Iterator::count)
}

/// A job of the storm: its future, and how often it ran.
struct Thrown {
    future: Future<usize>,
    ran: Arc<AtomicU8>,
    number: usize,
    panics: bool,
}

struct Storm {
    random: Random,
    pools: Vec<Executor>,
    jobs: Vec<Thrown>,
    refused: usize,
    shutters: Vec<thread::JoinHandle<Result<()>>>,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let random = Random::new(seed);
        let pools = (0..8).map(|_| pool(&random)).collect();
        Self { random, pools, jobs: Vec::new(), refused: 0, shutters: Vec::new() }
    }

    /// Gives a job to some pool; one that was shut down before is replaced.
    fn throw(&mut self, lp: &EventLoop) -> Result<()> {
        let at = self.random.below(self.pools.len());
        let (ran, number) = (Arc::new(AtomicU8::new(0)), self.jobs.len());
        let (count, panics) = (ran.clone(), self.random.below(20) == 0);
        let spins = self.random.below(200);
        let job = lp.run_in(&self.pools[at], move || {
            count.fetch_add(1, SeqCst);
            (0..spins).for_each(|_| std::hint::spin_loop());
            assert!(!panics, "as it should");
            number
        });
        match job {
            Ok(future) => self.jobs.push(Thrown { future, ran, number, panics }),
            Err(Error::Runtime(text)) => {
                assert_eq!(&*text, "cannot schedule new futures after shutdown");
                self.refused += 1;
                self.pools[at] = pool(&self.random);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Cancels a job of the last hundred, shuts a pool down from here or from elsewhere, or does nothing.
    fn strike(&mut self) -> Result<()> {
        let pool = self.pools[self.random.below(8)].clone();
        let cancel = self.random.below(2) == 0;
        match self.random.below(200) {
            0 => pool.shutdown(false, cancel),
            1 => pool.shutdown(true, cancel),
            2 => {
                self.shutters.push(thread::spawn(move || pool.shutdown(true, cancel)));
                Ok(())
            }
            3..60 if !self.jobs.is_empty() => {
                let recent = self.jobs.len().min(100);
                self.jobs[self.jobs.len() - 1 - self.random.below(recent)].future.cancel();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Waits for everything, and looks at what came of it.
    fn settle(self, lp: &EventLoop) -> Result<[usize; 3]> {
        for pool in &self.pools {
            pool.shutdown(false, false)?;
        }
        let mut ends = [0; 3];
        for job in self.jobs {
            let ran = |times: &[u8]| {
                let ran = job.ran.load(SeqCst);
                assert!(times.contains(&ran), "job {} ran {ran} times", job.number);
            };
            match lp.run_until_complete(&job.future) {
                Ok(number) => {
                    assert!(number == job.number && !job.panics);
                    ran(&[1]);
                    ends[0] += 1;
                }
                Err(Error::Panic(text)) => {
                    assert!(&*text == "as it should" && job.panics);
                    ran(&[1]);
                    ends[1] += 1;
                }
                Err(Error::Cancelled(_)) => {
                    ran(&[0, 1]);
                    ends[2] += 1;
                }
                Err(error) => return Err(error),
            }
        }
        for shutter in self.shutters {
            shutter.join().expect("no panic")?;
        }
        for pool in &self.pools {
            pool.shutdown(true, false)?;
            assert_eq!((pool.threads(), pool.queued(), pool.running().len()), (0, 0, 0));
        }
        // A job that was cancelled while it ran comes back, too.
        while !lp.snapshot().jobs.is_empty() {
            lp.run_once()?;
        }
        Ok(ends)
    }
}

fn pool(random: &Random) -> Executor {
    let keep_alive = Duration::from_micros([0, 20, 200, 1_000_000][random.below(4)]);
    Executor::builder().threads(1 + random.below(4)).keep_alive(keep_alive).build()
}

fn storm(seed: u64) -> Result<()> {
    let lp = EventLoop::builder().clock(Clock::monotonic()).build()?;
    let mut storm = Storm::new(seed);
    while storm.jobs.len() < 10_000 {
        storm.throw(&lp)?;
        storm.strike()?;
        if storm.random.below(30) == 0 {
            lp.stop();
            lp.run_forever()?;
        }
    }
    let refused = storm.refused;
    let [values, panics, cancelled] = storm.settle(&lp)?;
    assert!(values > 100 && panics > 10 && cancelled > 100 && refused > 10, "it was no storm");
    assert_eq!(values + panics + cancelled, 10_000);
    lp.close()
}

#[test]
fn in_a_storm_of_cancellations_and_shutdowns_every_future_ends_and_no_thread_is_left() {
    let ended = child!(|| {
        panic::set_hook(Box::new(|panic| {
            if !panic.to_string().contains("as it should") {
                eprintln!("{panic}");
            }
        }));
        let before = threads_of_this_process();
        for seed in 1..=3 {
            eprintln!("seed {seed}");
            storm(seed).expect("no error");
            // Nothing has waited for the threads of a pool that was shut down and replaced.
            until(|| threads_of_this_process() == before);
        }
        report("calm");
    });
    assert_eq!(ended.fine(), ["calm"]);
}

/// A pool that several loops share on threads of their own, until one of them shuts it down under the hands of the others.
#[test]
fn loops_on_several_threads_share_a_pool_that_is_shut_down_under_their_hands() {
    let _dog = watchdog();
    for round in 0..20 {
        let pool = Executor::builder().threads(3).keep_alive(Duration::from_micros(50)).build();
        let (done, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let loops: Vec<_> = (0..3)
            .map(|_| {
                let (pool, done, enough) = (pool.clone(), done.clone(), enough.clone());
                thread::spawn(move || -> Result<usize> {
                    let lp = EventLoop::builder().clock(Clock::monotonic()).build()?;
                    let mut cancelled = 0;
                    while !enough.load(SeqCst) {
                        let (first, second) = match (lp.run_in(&pool, || 1), lp.run_in(&pool, || 2)) {
                            (Ok(first), Ok(second)) => (first, second),
                            _ => continue, // shut down: soon it is enough
                        };
                        for (job, value) in [(first, 1), (second, 2)] {
                            match lp.run_until_complete(&job) {
                                Ok(result) => assert_eq!(result, value),
                                Err(Error::Cancelled(_)) => cancelled += 1,
                                Err(error) => return Err(error),
                            }
                        }
                        done.fetch_add(1, SeqCst);
                    }
                    Ok(cancelled)
                })
            })
            .collect();
        until(|| done.load(SeqCst) >= 30);
        pool.shutdown(true, round % 2 == 0).expect("not on its thread");
        assert_eq!((pool.threads(), pool.queued()), (0, 0));
        enough.store(true, SeqCst);
        for lp in loops {
            let cancelled = lp.join().expect("no panic").expect("no error");
            assert!(round % 2 == 0 || cancelled == 0, "only shutdown(cancel) cancels");
        }
    }
}

/// Loops that end while their jobs run, again and again: neither side waits for the other.
#[test]
fn loops_come_and_go_while_their_jobs_run() {
    let ended = child!(|| {
        let before = threads_of_this_process();
        let (pool, random) = (Executor::new(4), Random::new(7));
        for _ in 0..300 {
            let lp = EventLoop::builder().clock(Clock::monotonic()).build().expect("a loop");
            for _ in 0..random.below(6) {
                lp.run_in(&pool, thread::yield_now).expect("open");
                lp.run_in_executor(thread::yield_now).expect("open");
            }
            let turns = random.below(4);
            let body = async move {
                for _ in 0..turns {
                    yield_now().await?;
                }
                sleep(Duration::ZERO).await
            };
            lp.run_until_complete(body).expect("no error");
            match random.below(3) {
                0 => lp.close().expect("it does not run"),
                1 => {
                    let shutdown = lp.shutdown_default_executor(Some(Duration::ZERO));
                    lp.run_until_complete(shutdown).expect("a timeout is no error");
                }
                _ => drop(lp),
            }
        }
        pool.shutdown(true, false).expect("not on its thread");
        // The default pools' threads end by themselves: nothing waits for them.
        until(|| threads_of_this_process() == before);
        report("gone");
    });
    assert_eq!(ended.fine(), ["gone"]);
}
