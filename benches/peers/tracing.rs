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

/// How a process is traced.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// As JSON Lines. Standard output is a pipe, so the trace does not have what is printed.
    Lines,
    /// As JSON Lines. Standard output is a file, and two of three events ask for its position.
    LinesWithOutput,
    /// As a page, with output.
    PageWithOutput,
}

impl Form {
    pub(crate) const ALL: [Self; 3] = [Self::Lines, Self::LinesWithOutput, Self::PageWithOutput];

    fn param(self) -> &'static str {
        match self {
            Self::Lines => "jsonl, an event",
            Self::LinesWithOutput => "jsonl with output, an event",
            Self::PageWithOutput => "page with output, an event",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Lines | Self::LinesWithOutput => "jsonl",
            Self::PageWithOutput => "html",
        }
    }

    /// What an event may cost, in nanoseconds.
    fn goal(self) -> f64 {
        match self {
            Self::Lines => 200.0,
            Self::LinesWithOutput | Self::PageWithOutput => 250.0,
        }
    }
}

pub(crate) fn measure(options: &Options, form: Form) -> Option<Row> {
    let param = form.param();
    if !options.wants(NAME, param) {
        return None;
    }
    progress(NAME, param);
    let file =
        std::env::temp_dir().join(format!("looplab-peers-{}.{}", std::process::id(), form.extension()));
    let rounds: Option<Vec<f64>> = (0..options.rounds())
        .map(|_| {
            let (on, off) = (hops(Some(&file), form)?, hops(None, form)?);
            let events = std::fs::read_to_string(&file).ok()?.matches("\n{\"s\":").count();
            Some((on - off) / events as f64)
        })
        .collect();
    let _ = std::fs::remove_file(&file);
    Some(Row {
        name: NAME,
        param: param.to_owned(),
        unit: "ns",
        goals: vec![Goal::AtMost(form.goal())],
        figures: vec![("looplab".to_owned(), Figures::new(rounds?))],
    })
}

/// How many nanoseconds all the hops take.
fn hops(trace: Option<&Path>, form: Form) -> Option<f64> {
    let mut command = Command::new(std::env::current_exe().ok()?);
    command.arg(CHILD).env_remove(VARIABLE);
    if let Some(file) = trace {
        command.env(VARIABLE, file);
    }
    let printed = match form {
        Form::Lines => String::from_utf8(command.output().ok()?.stdout).ok()?,
        Form::LinesWithOutput | Form::PageWithOutput => {
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
