//! Whether an operation costs more because of what merely exists beside it.
//!
//! The same works on a loop with nothing else, and on loops with a million pending timers or 100 000 parked tasks. One
//! timer is there to tell what any timer costs (a look at the clock in each turn) from what many cost.

use crate::common::WIDTH;
use crate::echo::idle;
use crate::work::{Figures, count};
use crate::{Options, looplab_peer, progress, tokio_peer};
use looplab::EventLoop;
use std::time::Duration;
use tokio::runtime::Runtime;

/// What exists beside the work; of connections, as many as the limit of descriptors allows.
const LOADS: [(&str, Load, u32); 5] = [
    ("nothing", Load::Timers, 0),
    ("timer", Load::Timers, 1),
    ("timers", Load::Timers, 1_000_000),
    ("parked tasks", Load::Tasks, 100_000),
    ("connections", Load::Connections, 10_000),
];

#[derive(Clone, Copy)]
enum Load {
    Timers,
    Tasks,
    Connections,
}

type Measured = fn(&Loaded, u32) -> Duration;

const WORKS: [(&str, &str, Measured); 4] = [
    ("callback hop", "looplab", |beside, n| looplab_peer::hops_on(&beside.looplab, n, WIDTH)),
    ("callback hop", "tokio", |beside, n| tokio_peer::hops_on(&beside.tokio, n, WIDTH)),
    ("spawn + await", "looplab", |beside, n| looplab_peer::spawn_await_on(&beside.looplab, n)),
    ("spawn + await", "tokio", |beside, n| tokio_peer::spawn_await_on(&beside.tokio, n)),
];

/// A loop of each, with the same load. What is kept is dropped before the loops.
struct Loaded {
    _kept: Box<dyn std::any::Any>,
    looplab: EventLoop,
    tokio: Runtime,
}

impl Loaded {
    fn new(load: Load, n: u32) -> Self {
        let (looplab, tokio) = (looplab_peer::new_loop(), tokio_peer::runtime());
        // Tasks that are pending at the end are meant to be.
        looplab.set_exception_handler(Some(|_: &EventLoop, _: &looplab::ExceptionContext| ()));
        let entered = tokio.enter();
        let kept: Box<dyn std::any::Any> = match load {
            Load::Timers => {
                drop(looplab_peer::set_timers(&looplab, n));
                Box::new(tokio_peer::set_timers(n))
            }
            Load::Tasks => {
                for _ in 0..n {
                    let parked = std::future::pending::<looplab::Result<()>>();
                    drop(looplab.create_task(parked));
                    tokio.spawn(std::future::pending::<()>());
                }
                looplab.call_soon(|| ()).expect("open");
                looplab.run_once().expect("runs");
                tokio.block_on(tokio::task::yield_now());
                Box::new(())
            }
            Load::Connections => Box::new((idle::on_looplab(&looplab, n), idle::on_tokio(&tokio, n))),
        };
        drop(entered);
        Self { _kept: kept, looplab, tokio }
    }
}

pub(crate) struct Growth {
    name: &'static str,
    peer: &'static str,
    /// One for each load.
    figures: Vec<Figures>,
}

pub(crate) fn measure(options: &Options) -> Vec<Growth> {
    if !options.wants("growth", "") {
        return Vec::new();
    }
    progress("growth", "beside what merely exists");
    let n = if options.quick { 20_000 } else { 200_000 };
    let loaded: Vec<Loaded> = loads().iter().map(|(_, load, n)| Loaded::new(*load, *n)).collect();
    let of_work = |(name, peer, work): &(&'static str, &'static str, Measured)| {
        let mut rounds = vec![Vec::new(); LOADS.len()];
        for round in 0..=options.rounds() {
            for (beside, rounds) in loaded.iter().zip(&mut rounds) {
                let took = work(beside, n).as_nanos() as f64 / f64::from(n);
                if round > 0 {
                    rounds.push(took);
                }
            }
        }
        Growth { name, peer, figures: rounds.into_iter().map(Figures::new).collect() }
    };
    WORKS.iter().map(of_work).collect()
}

fn loads() -> [(&'static str, Load, u32); 5] {
    LOADS.map(|(name, load, n)| match load {
        // Both loops' ends are in this process.
        Load::Connections => (name, load, idle::allowed(n, 2)),
        _ => (name, load, n),
    })
}

fn title((name, _, n): &(&str, Load, u32)) -> String {
    if *n == 0 { (*name).to_owned() } else { format!("{} {name}", count(*n)) }
}

pub(crate) fn table(rows: &[Growth]) {
    if rows.is_empty() {
        return;
    }
    print!("\n{:<14} {:<8}", "ns, beside", "");
    loads().iter().for_each(|load| print!(" {:>20}", title(load)));
    println!();
    for row in rows {
        print!("{:<14} {:<8}", row.name, row.peer);
        row.figures.iter().for_each(|f| print!(" {:>13.0} ±{:<5.0}", f.median(), f.spread()));
        println!();
    }
}

/// As for works: the ratio is that to tokio beside the same.
pub(crate) fn csv(rows: &[Growth]) {
    for row in rows {
        let tokio = rows.iter().find(|other| other.name == row.name && other.peer == "tokio");
        for (i, load) in loads().iter().enumerate() {
            let ratio = tokio.map_or(f64::NAN, |tokio| row.figures[i].median() / tokio.figures[i].median());
            let (name, peer, ns) = (row.name, row.peer, row.figures[i].median());
            println!("bench,{name},beside {},{peer},{ns:.1},{ratio:.3}", title(load));
        }
    }
}
