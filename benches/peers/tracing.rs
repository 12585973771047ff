//! What a trace costs: callbacks that queue each other, with `LOOPLAB_TRACE` and without.
//!
//! The writer is switched on by the environment, so each round is a process of its own. The figure is what an event adds.

use crate::common::WIDTH;
use crate::work::{Figures, Goal, Row};
use crate::{Options, looplab_peer, progress};
use std::process::Command;

/// The first argument of a process that measures one figure.
pub(crate) const CHILD: &str = "--hops";

const HOPS: u32 = 100_000;
const VARIABLE: &str = "LOOPLAB_TRACE";
const NAMES: (&str, &str) = ("trace", "jsonl, an event");

pub(crate) fn measure(options: &Options) -> Option<Row> {
    if !options.wants(NAMES.0, NAMES.1) {
        return None;
    }
    progress(NAMES.0, NAMES.1);
    let file = std::env::temp_dir().join(format!("looplab-peers-{}.jsonl", std::process::id()));
    let rounds: Option<Vec<f64>> = (0..options.rounds())
        .map(|_| {
            let (on, off) = (hops(Some(&file))?, hops(None)?);
            let events = std::fs::read(&file).ok()?.iter().filter(|byte| **byte == b'\n').count();
            Some((on - off) / events as f64)
        })
        .collect();
    let _ = std::fs::remove_file(&file);
    Some(Row {
        name: NAMES.0,
        param: NAMES.1.to_owned(),
        unit: "ns",
        goals: vec![Goal::AtMost(200.0)],
        figures: vec![("looplab".to_owned(), Figures::new(rounds?))],
    })
}

/// How many nanoseconds all the hops take.
fn hops(trace: Option<&std::path::Path>) -> Option<f64> {
    let mut command = Command::new(std::env::current_exe().ok()?);
    command.arg(CHILD).env_remove(VARIABLE);
    if let Some(file) = trace {
        command.env(VARIABLE, file);
    }
    String::from_utf8(command.output().ok()?.stdout).ok()?.trim().parse().ok()
}

/// Measures one round and prints it.
pub(crate) fn be_the_child() {
    let lp = looplab_peer::new_loop();
    println!("{}", looplab_peer::hops_on(&lp, HOPS, WIDTH).as_nanos());
}
