//! `Report`: what an exploration found, for a program and for a reader.

use super::schedule::Schedule;
use std::fmt;
use std::time::Duration;

/// How many failures a report shows in full.
pub(super) const SHOWN: usize = 5;

/// What an exploration found. `Display` shows it as text, the smallest failing schedule first.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    pub(super) name: Option<String>,
    pub(super) failures: Vec<Failure>,
    pub(super) schedules: u64,
    pub(super) left_out: u64,
    pub(super) seed: Option<u64>,
    pub(super) took: Duration,
    /// The page of the first failure.
    pub(super) picture: Option<String>,
}

/// Schedules that fail in the same way; see [`Report::failures`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The smallest schedule of them: the fewest disturbances, at the earliest points.
    pub schedule: Schedule,
    /// Which promise was broken, in words.
    pub message: String,
    /// What was about to run at the last disturbance, and where it was made.
    pub before: String,
    /// How many schedules fail in this way.
    pub count: u64,
    /// What ran in the turns around the disturbances, a line for each turn: entries by their names, notes between quotes, and
    /// the disturbances after a `✂`. Empty for failures that the report does not show in full.
    pub turns: String,
}

impl Report {
    /// Returns what failed, the smallest schedule first. Schedules with the same message, the same kind of disturbance and
    /// the same entry are one failure.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// Returns how many schedules were run, without the undisturbed one.
    #[must_use]
    pub fn schedules(&self) -> u64 {
        self.schedules
    }

    /// Returns how many schedules were not run, because there were more than [`Explore::at_most`](super::Explore::at_most)
    /// allows.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failing: u64 = self.failures.iter().map(|failure| failure.count).sum();
        let all = thousands(self.schedules);
        let seconds = self.took.as_secs_f64();
        match failing {
            0 => writeln!(f, "explore: all of {all} schedules pass (in {seconds:.2} s)")?,
            1 => writeln!(f, "explore: 1 of {all} schedules fails (in {seconds:.2} s)")?,
            n => writeln!(f, "explore: {} of {all} schedules fail (in {seconds:.2} s)", thousands(n))?,
        }
        if let Some(seed) = self.seed {
            let left = thousands(self.left_out);
            writeln!(f, "         a sample: {left} more were left out; with seed {seed} it is the same one")?;
        }
        for (i, failure) in self.failures.iter().take(SHOWN).enumerate() {
            writeln!(f, "\n{failure}")?;
            let test = self.name.as_deref().map(|name| format!(" cargo test {name}")).unwrap_or_default();
            writeln!(f, "    again:  LOOPLAB_EXPLORE='{}'{test}", failure.schedule)?;
            if let Some(picture) = self.picture.as_ref().filter(|_| i == 0) {
                writeln!(f, "    picture: {picture}")?;
            }
        }
        if self.failures.len() > SHOWN {
            writeln!(f, "\n    … and {} failures of other kinds", self.failures.len() - SHOWN)?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "    {}", self.schedule.describe())?;
        if !self.before.is_empty() {
            write!(f, ": {}", self.before)?;
        }
        if self.count > 1 {
            write!(f, "; {} schedules fail so", thousands(self.count))?;
        }
        for line in self.message.lines() {
            write!(f, "\n        {line}")?;
        }
        if !self.turns.is_empty() {
            writeln!(f)?;
        }
        for line in self.turns.lines() {
            write!(f, "\n    {line}")?;
        }
        if self.turns.is_empty() { Ok(()) } else { writeln!(f) }
    }
}

/// Writes a number with commas.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
