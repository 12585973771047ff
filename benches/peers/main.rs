//! looplab beside its peers: nanoseconds for an operation, and the ratio to tokio and to the best of them.
//!
//! ```text
//! cargo bench -p looplab-peers                    all works, in seven minutes
//! cargo bench -p looplab-peers -- --quick         a first look, in under a minute
//! cargo bench -p looplab-peers -- timer post      the works whose names contain one of these words
//! cargo bench -p looplab-peers -- --csv           a line per figure: bench,work,param,peer,ns_per_op,ratio_to_tokio
//! ```
//!
//! The peers take turns, round by round, in one process: whatever slows the machine slows all. A figure is the median of
//! the rounds, its spread the median distance from it. Absolute times depend on the machine; the ratios are what counts.
//! Where a time says nothing because the machine is busy, `benches/instructions.sh` counts instructions.
//!
//! asyncio, uvloop and rloop are measured too if `$LOOPLAB_PYTHON`, or else `python3`, has them.
//!
//! `work` says what is measured and `works` lists all of it with the goals; a file for each peer says how that one does
//! it; `memory` and `growth` have other questions than time; `report` shows it all.

mod calloop_peer;
mod common;
mod echo;
mod growth;
mod local_pool_peer;
mod looplab_peer;
mod memory;
mod monoio_peer;
mod python_peer;
mod raw_peer;
mod report;
mod smol_peer;
mod tokio_peer;
mod tracing;
mod work;
mod works;

use std::io::IsTerminal;

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) csv: bool,
    /// Words of which one must be in a work's name.
    pub(crate) filter: Vec<String>,
}

impl Options {
    /// What the arguments ask for, or the one that is unknown.
    fn read(arguments: Vec<String>) -> Result<Self, String> {
        let mut options = Self { quick: false, csv: false, filter: Vec::new() };
        for argument in arguments {
            match argument.as_str() {
                // `cargo bench` says so to every benchmark.
                "--bench" => {}
                "--quick" => options.quick = true,
                "--csv" => options.csv = true,
                word if !word.starts_with('-') => options.filter.push(argument),
                _ => return Err(argument),
            }
        }
        Ok(options)
    }

    fn wants(&self, name: &str, param: &str) -> bool {
        let title = format!("{name}, {param}");
        self.filter.is_empty() || self.filter.iter().any(|word| title.contains(word.as_str()))
    }

    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 5 } else { 11 }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, rest @ ..] = &arguments[..] {
        match first.as_str() {
            echo::CHILD => return echo::be_the_child(rest),
            echo::idle::CHILD => return echo::idle::be_the_child(rest),
            memory::CHILD => return memory::be_the_child(rest),
            tracing::CHILD => return tracing::be_the_child(),
            work::CHILD => return work::be_the_child(works::WORKS, rest),
            _ => {}
        }
    }
    let options = Options::read(arguments).unwrap_or_else(|unknown| {
        eprintln!("peers knows --quick, --csv and words of works' names, not {unknown}");
        std::process::exit(2)
    });

    let mut rows = Vec::new();
    for work in works::WORKS.iter().filter(|work| options.wants(work.name, work.param)) {
        progress(work.name, work.param);
        rows.push(work::measure(work, &options));
    }
    rows.extend(echo::measure(&options));
    rows.extend(memory::measure(&options));
    rows.extend(tracing::Form::ALL.iter().filter_map(|form| tracing::measure(&options, *form)));
    let growth = growth::measure(&options);
    progress("", "");

    if rows.is_empty() && growth.is_empty() {
        eprintln!("no work's name contains any of these words: {}", options.filter.join(", "));
        std::process::exit(2);
    }
    if options.csv {
        report::csv(&rows);
        growth::csv(&growth);
    } else {
        report::table(&rows);
        growth::table(&growth);
    }
}

/// Shows, on a terminal, what is being measured.
pub(crate) fn progress(name: &str, param: &str) {
    if std::io::stderr().is_terminal() {
        match name {
            "" => eprint!("\r\x1b[K"),
            name => eprint!("\r\x1b[K{name}, {param} …"),
        }
    }
}
