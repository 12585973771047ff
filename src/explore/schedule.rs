//! `Schedule`: which disturbances a run gets, and where. Its text names it, so that it can be repeated.

use crate::error::{Error, Result};
use signal_hook::low_level::signal_name;
use std::fmt;
use std::str::FromStr;

/// A moment of a program: before a poll, or before an entry of a turn's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    pub(super) turn: u64,
    /// The entry's place in its batch, from 1; 0 for the poll of the turn.
    pub(super) entry: usize,
}

/// What happens to the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Disturbance {
    /// The stop flag is set.
    Stop,
    /// Cancellation of a task is requested. Its number identifies it, its name is for the reader.
    Cancel { task: u64, name: String },
    /// A signal is delivered.
    Signal(i32),
}

/// A disturbance and its point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Injection {
    pub(super) point: Point,
    pub(super) disturbance: Disturbance,
}

/// The disturbances of one run, in the order of their points. Its text, as in `cancel:worker#3@7.2,stop@9`, is what
/// `LOOPLAB_EXPLORE` takes.
///
/// ```
/// let schedule: looplab::explore::Schedule = "cancel:worker#3@7.2,signal:SIGTERM@9".parse()?;
/// assert_eq!(schedule.to_string(), "cancel:worker#3@7.2,signal:SIGTERM@9");
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule(pub(super) Vec<Injection>);

impl Schedule {
    /// Describes it in words, for a report.
    pub(super) fn describe(&self) -> String {
        match &self.0[..] {
            [] => "without a disturbance".to_owned(),
            several => several.iter().map(Injection::describe).collect::<Vec<_>>().join(", then "),
        }
    }
}

impl Injection {
    fn describe(&self) -> String {
        format!("{} {}", self.disturbance.describe(), self.point.describe())
    }
}

impl Disturbance {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Stop => "stop".to_owned(),
            Self::Cancel { name, .. } => format!("cancel {name}"),
            Self::Signal(signal) => format!("deliver {}", name_of(*signal)),
        }
    }
}

impl Point {
    fn describe(self) -> String {
        match self {
            Self { turn, entry: 0 } => format!("at the poll of turn {turn}"),
            Self { turn, entry } => format!("in turn {turn}, before entry {entry}"),
        }
    }
}

fn name_of(signal: i32) -> String {
    signal_name(signal).map_or_else(|| signal.to_string(), str::to_owned)
}

/// Replaces what separates the parts of a schedule's text.
fn plain(name: &str) -> String {
    name.replace(|c: char| matches!(c, ',' | '@' | '#' | '\'') || c.is_whitespace() || c.is_control(), "_")
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { turn, entry: 0 } => write!(f, "{turn}"),
            Self { turn, entry } => write!(f, "{turn}.{entry}"),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Injection { point, disturbance }) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match disturbance {
                Disturbance::Stop => write!(f, "{comma}stop@{point}")?,
                Disturbance::Cancel { task, name } => {
                    write!(f, "{comma}cancel:{}#{task}@{point}", plain(name))?;
                }
                Disturbance::Signal(signal) => write!(f, "{comma}signal:{}@{point}", name_of(*signal))?,
            }
        }
        Ok(())
    }
}

impl FromStr for Schedule {
    type Err = Error;

    /// # Errors
    /// [`Error::Value`] if the text names no schedule.
    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split(',').filter(|part| !part.is_empty());
        let injections: Option<Vec<_>> = parts.map(injection).collect();
        injections.map(Self).ok_or_else(|| {
            Error::Value(
                format!(
                    "`{text}` names no schedule: its parts, with commas between them, are stop@TURN, signal:NAME@TURN and \
                     cancel:NAME#TASK@TURN.ENTRY"
                )
                .into(),
            )
        })
    }
}

fn injection(text: &str) -> Option<Injection> {
    let (what, point) = text.rsplit_once('@')?;
    let (turn, entry) = point.split_once('.').unwrap_or((point, "0"));
    let point = Point { turn: turn.parse().ok()?, entry: entry.parse().ok()? };
    let disturbance = match what.split_once(':') {
        None if what == "stop" => Disturbance::Stop,
        Some(("cancel", task)) => {
            let (name, task) = task.rsplit_once('#')?;
            Disturbance::Cancel { task: task.parse().ok()?, name: name.to_owned() }
        }
        Some(("signal", name)) => {
            let signal = name.parse().ok().or_else(|| (1..=64).find(|n| signal_name(*n) == Some(name)))?;
            Disturbance::Signal(signal)
        }
        _ => return None,
    };
    Some(Injection { point, disturbance })
}
