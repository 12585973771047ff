//! How many schedules a second the explorer runs: `cargo bench -p looplab-explore-bench`.
//!
//! A program of 20 entries and one of 200 are explored, with single disturbances and with pairs, on one thread and on two. A
//! rate for a core is schedules for a second of CPU time, so that other processes count little. The best of several rounds
//! counts. What a second thread gains is measured on the wall, so it needs a quiet machine.

use looplab::explore::{Explore, World};
use looplab::sync::Queue;
use looplab::{Clock, Error, EventLoop, Result, create_task, sleep, trace};
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;

/// A producer and a worker with a queue between them, and a sleep for each item.
async fn program(items: u32) -> Result<()> {
    let queue = Queue::new(1);
    let source = queue.clone();
    let worker = create_task(async move {
        for _ in 0..items {
            source.get().await?;
            sleep(Duration::from_millis(1)).await?;
        }
        Ok::<(), Error>(())
    });
    for item in 0..items {
        if let Err(error) = queue.put(item).await {
            worker.cancel();
            let _ended = worker.await;
            return Err(error);
        }
    }
    worker.await
}

/// Counts the entries of an undisturbed run.
fn entries(items: u32) -> Result<u64> {
    let count = Rc::new(Cell::new(0));
    let counting = count.clone();
    let observer = move |record: &trace::Record<'_>| {
        if let trace::Event::Run { .. } = record.event {
            counting.set(counting.get() + 1);
        }
    };
    let lp = EventLoop::builder().clock(Clock::virtual_time()).observer(observer).build()?;
    lp.run_until_complete(program(items))?;
    lp.close()?;
    Ok(count.get())
}

/// One measured exploration.
struct Measured {
    schedules: u64,
    cpu: Duration,
    wall: Duration,
}

impl Measured {
    fn a_second_of_cpu(&self) -> f64 {
        self.schedules as f64 / self.cpu.as_secs_f64()
    }

    fn a_second(&self) -> f64 {
        self.schedules as f64 / self.wall.as_secs_f64()
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn explore(items: u32, threads: usize, at_most: u64) -> Result<Measured> {
    let building = move |world: &World| world.main(program(items));
    let exploration = Explore::new(building).stops().cancel("main").pairs().at_most(at_most).threads(threads);
    let (cpu, wall) = (cpu_time(), Instant::now());
    let report = exploration.run()?;
    let measured = Measured { schedules: report.schedules(), cpu: cpu_time() - cpu, wall: wall.elapsed() };
    assert!(report.failures().is_empty() && report.schedules() > 100, "{report}");
    Ok(measured)
}

/// Returns the best of some rounds.
fn best(rate: impl Fn(&Measured) -> f64, measure: impl Fn() -> Result<Measured>) -> Result<f64> {
    (0..ROUNDS).try_fold(0.0, |best: f64, _| Ok(best.max(rate(&measure()?))))
}

fn main() -> Result<()> {
    // cargo says `--bench`; with `--quick` a tenth is run.
    let most = if std::env::args().any(|word| word == "--quick") { 10_000 } else { 100_000 };
    println!("{:>8}  {:>22}  {:>22}", "entries", "schedules a CPU second", "two threads gain");
    for items in [5, 65] {
        let entries = entries(items)?;
        let most = most / u64::from(items / 5);
        let core = best(Measured::a_second_of_cpu, || explore(items, 1, most))?;
        let one = best(Measured::a_second, || explore(items, 1, most))?;
        let two = best(Measured::a_second, || explore(items, 2, most))?;
        println!("{entries:>8}  {core:>22.0}  {:>21.2}×", two / one);
    }
    Ok(())
}
