//! asyncio, uvloop and rloop, measured by `peers.py` in a Python of its own.
//!
//! The command is `$LOOPLAB_PYTHON`, or `python3`. A loop that does not import there is left out; without a Python all
//! are. Python cannot take turns with the others round by round; its figures are far from theirs.

use crate::work::Figures;
use std::process::{Command, Stdio};

/// Beside Python's own start a tenth of the operations is enough.
const SHARE: u32 = 10;

pub(crate) fn measure(work: &str, n: u32, rounds: usize) -> Vec<(String, Figures)> {
    let python = std::env::var("LOOPLAB_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers.py");
    let arguments = [script, work, &(n / SHARE).to_string(), &rounds.div_ceil(2).to_string()];
    let output = Command::new(python).args(arguments).stderr(Stdio::inherit()).output();
    let Ok(output) = output else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(figures).collect()
}

/// A line is a loop's name and a figure for each round, with commas between.
fn figures(line: &str) -> Option<(String, Figures)> {
    let (name, rounds) = line.split_once(',')?;
    let rounds: Option<Vec<f64>> = rounds.split(',').map(|figure| figure.parse().ok()).collect();
    Some((name.to_owned(), Figures::new(rounds?)))
}
