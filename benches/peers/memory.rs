//! How many bytes a timer or a task takes while it merely exists.
//!
//! Each figure is measured in a process of its own, by how much that process grows while it makes many of them. So what
//! an allocator adds by rounding counts, too. Alternative: an allocator that counts. Problem: it slows down the works that
//! are measured in time. Only where there is `/proc/self/statm` (Linux).

use crate::common::{all_sleep, begins_to_sleep, far_delays, yield_once};
use crate::echo::idle;
use crate::work::{Figures, Goal, Row, count};
use crate::{Options, looplab_peer, progress, smol_peer, tokio_peer};
use std::hint::black_box;
use std::process::Command;

/// The first argument of a process that measures one figure.
pub(crate) const CHILD: &str = "--memory-of";

const HOW_MANY: u32 = 100_000;
/// Of connections, as far as the limit of descriptors allows.
const CONNECTIONS: u32 = 10_000;

/// A peer, and how many bytes each of `n` things takes with it.
type Peer = (&'static str, fn(u32) -> f64);

struct Thing {
    name: &'static str,
    param: &'static str,
    goals: &'static [Goal],
    peers: &'static [Peer],
}

const THINGS: &[Thing] = &[
    Thing {
        name: "bytes",
        param: "pending timer",
        goals: &[Goal::AtMost(120.0)],
        peers: &[("looplab", looplab_timers), ("tokio", tokio_timers), ("smol", smol_timers)],
    },
    Thing {
        name: "bytes",
        param: "sleeping task",
        goals: &[Goal::Ratio("tokio", 1.1)],
        peers: &[("looplab", looplab_sleepers), ("tokio", tokio_sleepers), ("smol", smol_sleepers)],
    },
    Thing {
        name: "bytes",
        param: "pending task",
        goals: &[Goal::Ratio("tokio", 0.9)],
        peers: &[("looplab", looplab_parked), ("tokio", tokio_parked), ("smol", smol_parked)],
    },
    Thing {
        name: "bytes",
        param: "idle connection",
        goals: &[Goal::Ratio("tokio", 0.9)],
        peers: &[("looplab", looplab_connections), ("tokio", tokio_connections)],
    },
];

/// All figures, each from a process of its own.
pub(crate) fn measure(options: &Options) -> Vec<Row> {
    let wanted = |thing: &&Thing| options.wants(thing.name, thing.param);
    THINGS.iter().filter(wanted).map(row).filter(|row| !row.figures.is_empty()).collect()
}

fn row(thing: &Thing) -> Row {
    progress(thing.name, thing.param);
    let figure = |(peer, _): &Peer| Some(((*peer).to_owned(), from_child(thing.param, peer)?));
    Row {
        name: thing.name,
        param: thing.param.to_owned(),
        unit: "B",
        goals: thing.goals.to_vec(),
        figures: thing.peers.iter().filter_map(figure).collect(),
    }
}

fn from_child(param: &str, peer: &str) -> Option<Figures> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new(program).args([CHILD, param, peer]).output().ok()?;
    let figure = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    Some(Figures::new(vec![figure]))
}

/// Measures one figure and prints it.
pub(crate) fn be_the_child(arguments: &[String]) {
    let [param, peer] = arguments else { return };
    let thing = THINGS.iter().find(|thing| thing.param == param);
    let measured = thing.and_then(|thing| thing.peers.iter().find(|(name, _)| name == peer));
    if let Some((_, measured)) = measured
        && data_size().is_some()
    {
        println!("{}", measured(HOW_MANY));
    }
}

/// How much data memory the process has, in bytes: the sixth number of `statm`, in pages.
fn data_size() -> Option<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split_whitespace().nth(5)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as f64)
}

/// By how many bytes per thing the process grows while `make` makes `n` of them; what was made is
/// there until the size has been read.
fn growth<T>(n: u32, make: impl FnOnce() -> T) -> f64 {
    let before = data_size().unwrap_or_default();
    let made = make();
    let after = data_size().unwrap_or_default();
    drop(black_box(made));
    (after - before) / f64::from(n)
}

fn looplab_timers(n: u32) -> f64 {
    let lp = looplab::EventLoop::new().expect("a loop");
    growth(n, || far_delays(n).for_each(|delay| drop(lp.call_later(delay, || ()))))
}

fn tokio_timers(n: u32) -> f64 {
    let runtime = tokio_peer::runtime();
    let _entered = runtime.enter();
    // The vector of the handles is not the timers'.
    growth(n, || tokio_peer::set_timers(n)) - size_of::<usize>() as f64
}

fn smol_timers(n: u32) -> f64 {
    growth(n, || smol_peer::set_timers(n)) - size_of::<usize>() as f64
}

fn looplab_sleepers(n: u32) -> f64 {
    looplab_tasks(n, |delay| async move { looplab::sleep(delay).await })
}

fn looplab_parked(n: u32) -> f64 {
    looplab_tasks(n, |_| std::future::pending::<looplab::Result<()>>())
}

/// Every task has made its first step.
fn looplab_tasks<F>(n: u32, body: impl Fn(std::time::Duration) -> F) -> f64
where
    F: Future<Output = looplab::Result<()>> + 'static,
{
    let lp = looplab_peer::new_loop();
    // Tasks that are pending at the end are meant to be.
    lp.set_exception_handler(Some(|_: &looplab::EventLoop, _: &looplab::ExceptionContext| ()));
    growth(n, || {
        for delay in far_delays(n) {
            drop(lp.create_task(body(delay)));
        }
        lp.run_once().expect("runs");
    })
}

fn tokio_sleepers(n: u32) -> f64 {
    tokio_tasks(n, tokio::time::sleep)
}

fn tokio_parked(n: u32) -> f64 {
    tokio_tasks(n, |_| std::future::pending())
}

fn tokio_tasks<F>(n: u32, body: impl Fn(std::time::Duration) -> F + Copy + Send + 'static) -> f64
where
    F: Future<Output = ()> + Send,
{
    let runtime = tokio_peer::runtime();
    let main = async {
        for delay in far_delays(n) {
            tokio::spawn(async move {
                begins_to_sleep();
                body(delay).await;
            });
        }
        while !all_sleep(n) {
            tokio::task::yield_now().await;
        }
    };
    growth(n, || runtime.block_on(main))
}

fn smol_sleepers(n: u32) -> f64 {
    smol_tasks(n, |delay| async move { _ = async_io::Timer::after(delay).await })
}

fn smol_parked(n: u32) -> f64 {
    smol_tasks(n, |_| std::future::pending())
}

fn smol_tasks<F>(n: u32, body: impl Fn(std::time::Duration) -> F + Copy + 'static) -> f64
where
    F: Future<Output = ()> + 'static,
{
    let executor = async_executor::LocalExecutor::new();
    let main = async {
        for delay in far_delays(n) {
            let sleeper = async move {
                begins_to_sleep();
                body(delay).await;
            };
            executor.spawn(sleeper).detach();
        }
        while !all_sleep(n) {
            yield_once().await;
        }
    };
    growth(n, || async_io::block_on(executor.run(main)))
}

fn looplab_connections(_: u32) -> f64 {
    let lp = looplab_peer::new_loop();
    lp.set_exception_handler(Some(|_: &looplab::EventLoop, _: &looplab::ExceptionContext| ()));
    let n = idle::allowed(CONNECTIONS, 1);
    growth(n, || idle::on_looplab(&lp, n))
}

fn tokio_connections(_: u32) -> f64 {
    let runtime = tokio_peer::runtime();
    let n = idle::allowed(CONNECTIONS, 1);
    growth(n, || idle::on_tokio(&runtime, n))
}

/// For the table's head.
pub(crate) fn how_many() -> String {
    count(HOW_MANY)
}
