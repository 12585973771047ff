//! Why did this run? The chain of causes of an entry, the nearest first.
//!
//! It only follows what the trace says: which entry queued another, which timer it was, and what was
//! done. `page/why.js` follows the same chain, with the same words. A test compares the two at every
//! event of every lesson.

use super::history::{EntryEvents, History, loop_of};
use super::words::{Facts, WORDS};
use serde_json::Value;

/// A longer chain tells no more.
const LONGEST_CHAIN: usize = 40;

/// A cause of what runs. See [`History::causes`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cause {
    /// What led to the cause before it, in words. Names stand between backticks.
    pub text: String,
    /// The number of the line that shows it.
    pub s: u64,
    /// The turn of that line; `None` if it is outside of all turns.
    pub turn: Option<u64>,
}

impl History {
    /// Returns why the entry ran that runs at the line `s`, or that the line names. The first cause is
    /// the entry itself. There is none if the line is about no entry.
    #[must_use]
    pub fn causes(&self, s: u64) -> Vec<Cause> {
        let mut causes = Vec::new();
        let Some((l, q)) =
            self.event_of(s).and_then(|at| Some((loop_of(&self.events[at]), self.entry_at(at)?)))
        else {
            return causes;
        };
        let mut next = self.entry(l, q).map(|entry| (q, entry));
        causes.extend(next.map(|(q, entry)| self.effect(l, q, entry)));
        while let Some((q, entry)) = next.filter(|_| causes.len() < LONGEST_CHAIN) {
            let due = entry.due.map(|due| self.cause(&Facts::from([("due", "true".to_owned())]), due));
            causes.extend(due);
            let event = &self.events[entry.made];
            next = event["by"].as_u64().and_then(|by| Some((by, self.entry(l, by)?)));
            causes.push(self.cause(&self.facts(l, q, event, next.map(|(by, _)| by)), entry.made));
        }
        causes
    }

    /// Returns the entry itself, with its place in the turn that ran it.
    fn effect(&self, l: u64, q: u64, entry: EntryEvents) -> Cause {
        let mut facts = Facts::from([("first", "true".to_owned()), ("x", self.name(l, q))]);
        let taken = entry.taken.and_then(|taken| Some((taken, self.turn_of(taken)?)));
        if let Some((_, turn)) = taken {
            let nth = turn.taken.iter().position(|taken| *taken == q).map_or(0, |nth| nth + 1);
            let numbers = [("turn", turn.n), ("nth", nth as u64), ("size", turn.taken.len() as u64)];
            facts.extend(numbers.map(|(name, number)| (name, number.to_string())));
        }
        let at = taken.map(|(taken, _)| taken).or(entry.due).unwrap_or(entry.made);
        self.cause(&facts, at)
    }

    fn cause(&self, facts: &Facts, at: usize) -> Cause {
        let text = WORDS.part("why", facts).expect("the last row has no condition");
        Cause { text, s: self.line_of(at), turn: self.turn_of(at).map(|turn| turn.n) }
    }

    /// Returns what may be said of the event that made an entry. `by` is the entry that ran then.
    fn facts(&self, l: u64, q: u64, event: &Value, by: Option<u64>) -> Facts {
        let mut facts = Facts::from([("x", self.name(l, q))]);
        let mut set = |name, holds: bool| facts.extend(holds.then(|| (name, "true".to_owned())));
        let of = by.and_then(|by| self.task_of(l, by));
        let is_its_own = |task: &Value| of.is_some() && task.as_u64() == of;
        set("timer", event["e"] == "timer");
        // A task that is done was done by itself.
        set("same", is_its_own(&event["cause"]["task"]));
        set("self", event["kind"] == "step" && is_its_own(&event["task"]));
        for key in ["via", "thr"] {
            facts.extend(event[key].as_str().map(|text| (key, text.to_owned())));
        }
        facts.extend(event["fd"].as_i64().map(|fd| ("fd", fd.to_string())));
        facts.extend(event["sig"].as_i64().map(|signal| ("sig", WORDS.signal(signal))));
        facts.extend(self.index(l).cause(event).map(|cause| ("cause", cause.replacen('T', "t", 1))));
        facts.extend(by.map(|by| ("by", self.name(l, by))));
        facts
    }
}
