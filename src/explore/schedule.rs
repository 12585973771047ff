//! `Schedule`: which disturbances a run gets, and where. Its text names it, so that it can be repeated.

use super::disturbance::{Disturbance, NAMES, Point};
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

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
            several => {
                let words = several.iter().map(|next| next.disturbance.describe_at(next.point));
                words.collect::<Vec<_>>().join(", then ")
            }
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Injection { point, disturbance }) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{disturbance}@{point}")?;
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
            let text = format!(
                "`{text}` names no schedule: its parts, with commas between them, are as in cancel:worker#3@7.2 and stop@9; the \
                 kinds are {NAMES}"
            );
            Error::Value(text.into())
        })
    }
}

fn injection(text: &str) -> Option<Injection> {
    let (what, point) = text.rsplit_once('@')?;
    let (turn, entry) = point.split_once('.').unwrap_or((point, "0"));
    let point = Point { turn: turn.parse().ok()?, entry: entry.parse().ok()? };
    Some(Injection { point, disturbance: Disturbance::parse(what)? })
}
