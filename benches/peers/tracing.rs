//! What a trace costs: callbacks that queue each other, with `LOOPLAB_TRACE` and without.
//!
//! The writer is switched on by the environment, so each round is a process of its own. The figure is what an event adds.

use crate::common::WIDTH;
use crate::work::{Figures, Goal, Row};
use crate::{Options, looplab_peer, progress};
use std::io::{Seek, SeekFrom};
use std::path::Path;
use std::process::Command;

/// The first argument of a process that measures one figure.
pub(crate) const CHILD: &str = "--hops";

const HOPS: u32 = 100_000;
const VARIABLE: &str = "LOOPLAB_TRACE";
const NAME: &str = "trace";

/// Where the standard output of a process goes, and what an event may cost then.
#[derive(Clone, Copy)]
pub(crate) enum Stdout {
    /// A pipe: the trace does not have what is printed.
    Pipe,
    /// A file: each event asks for its position.
    File,
}

impl Stdout {
    fn param(self) -> &'static str {
        match self {
            Self::Pipe => "jsonl, an event",
            Self::File => "jsonl with output, an event",
        }
    }

    fn goal(self) -> f64 {
        match self {
            Self::Pipe => 200.0,
            Self::File => 250.0,
        }
    }
}

pub(crate) fn measure(options: &Options, stdout: Stdout) -> Option<Row> {
    let param = stdout.param();
    if !options.wants(NAME, param) {
        return None;
    }
    progress(NAME, param);
    let file = std::env::temp_dir().join(format!("looplab-peers-{}.jsonl", std::process::id()));
    let rounds: Option<Vec<f64>> = (0..options.rounds())
        .map(|_| {
            let (on, off) = (hops(Some(&file), stdout)?, hops(None, stdout)?);
            let events = std::fs::read(&file).ok()?.iter().filter(|byte| **byte == b'\n').count();
            Some((on - off) / events as f64)
        })
        .collect();
    let _ = std::fs::remove_file(&file);
    Some(Row {
        name: NAME,
        param: param.to_owned(),
        unit: "ns",
        goals: vec![Goal::AtMost(stdout.goal())],
        figures: vec![("looplab".to_owned(), Figures::new(rounds?))],
    })
}

/// How many nanoseconds all the hops take.
fn hops(trace: Option<&Path>, stdout: Stdout) -> Option<f64> {
    let mut command = Command::new(std::env::current_exe().ok()?);
    command.arg(CHILD).env_remove(VARIABLE);
    if let Some(file) = trace {
        command.env(VARIABLE, file);
    }
    let printed = match stdout {
        Stdout::Pipe => String::from_utf8(command.output().ok()?.stdout).ok()?,
        Stdout::File => {
            let mut file = tempfile::tempfile().ok()?;
            command.stdout(file.try_clone().ok()?).status().ok()?;
            file.seek(SeekFrom::Start(0)).ok()?;
            std::io::read_to_string(file).ok()?
        }
    };
    printed.trim().parse().ok()
}

/// Measures one round and prints it.
pub(crate) fn be_the_child() {
    let lp = looplab_peer::new_loop();
    println!("{}", looplab_peer::hops_on(&lp, HOPS, WIDTH).as_nanos());
}
