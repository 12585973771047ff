//! A trace that was read whole: its events, the turn of each, and what became of each entry.
//!
//! `causes` says why an entry ran, and `questions` asks what comes next. Both only look up what was
//! recorded. `page/trace.js` notes the same of a trace.

use super::names::{Definitions, Index};
use super::replay::Replay;
use crate::error::Result;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// A recorded run that can be asked: why did this run, and what happens next?
///
/// ```
/// use looplab::xray::History;
/// let trace = r#"{"s":0,"t":0,"e":"meta","v":1,"rt":"looplab 0.1.0","unit":"ns","clock":"virtual"}
/// {"s":1,"t":0,"e":"loop","ev":"new"}
/// {"s":2,"t":0,"e":"push","q":1,"h":7,"via":"call_soon","kind":"cb","cb":"main::hello"}"#;
/// let causes = History::read(trace)?.causes(2);
/// assert_eq!(causes[0].text, "`hello` has not run yet");
/// assert_eq!(causes[1].text, "it was queued outside of the callbacks");
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct History {
    /// Every line but definitions and snapshots.
    pub(super) events: Vec<Value>,
    pub(super) definitions: Definitions,
    indexes: BTreeMap<u64, Index>,
    /// By loop and `q`.
    entries: HashMap<(u64, u64), EntryEvents>,
    pub(super) turns: Vec<TurnEvents>,
    /// The turn of each event; `None` before the first turn of a run.
    turn_of: Vec<Option<usize>>,
    /// The entry that each event is about: the one that runs, or the one that the event names.
    about: Vec<Option<u64>>,
}

/// The numbers of the events that say something about an entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EntryEvents {
    /// The event that queued it or set its timer.
    pub(super) made: usize,
    pub(super) due: Option<usize>,
    /// The event that ran or skipped it.
    pub(super) taken: Option<usize>,
}

/// What happened in a turn.
#[derive(Debug, Default)]
pub(super) struct TurnEvents {
    pub(super) l: u64,
    pub(super) run: u64,
    pub(super) n: u64,
    pub(super) first: usize,
    /// The entries that ran or were skipped.
    pub(super) taken: Vec<u64>,
    pub(super) stop: bool,
    /// At its beginning: the handle and the deadline of the first timer that is not cancelled.
    pub(super) timer: Option<(u64, u64)>,
    /// The ready queue when the batch was frozen.
    pub(super) batch: Vec<u64>,
}

/// What is known of a loop while its lines are read.
#[derive(Default)]
struct Reading {
    run: u64,
    turn: Option<usize>,
    running: Option<u64>,
    /// The events that set timers, by handle.
    timers: HashMap<u64, usize>,
}

impl History {
    /// Reads a trace, which is the text of a `.jsonl` file. Half a last line, which a killed program
    /// leaves, is ignored.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) with the line's number, as [`Replay::line`].
    pub fn read(trace: &str) -> Result<Self> {
        let (mut history, mut replay) = (Self::default(), Replay::new());
        let mut loops: HashMap<u64, Reading> = HashMap::new();
        for line in whole_lines(trace) {
            replay.line(line)?;
            let event: Value = serde_json::from_str(line).expect("the replay has read it");
            history.definitions.read(&event);
            if !matches!(event["e"].as_str(), Some("meta" | "def" | "snap")) {
                let of = loops.entry(loop_of(&event)).or_default();
                history.add(event, of, &replay);
            }
        }
        Ok(history)
    }

    fn add(&mut self, event: Value, of: &mut Reading, replay: &Replay) {
        let (l, at) = (loop_of(&event), self.events.len());
        self.indexes.entry(l).or_default().read(&event);
        self.note_entry(&event, l, at, of);
        self.note_turn(&event, l, at, of, replay);
        self.turn_of.push(of.turn);
        self.about.push(of.running.or(event["q"].as_u64()));
        self.events.push(event);
    }

    fn note_entry(&mut self, event: &Value, l: u64, at: usize, of: &mut Reading) {
        let number = |key: &str| event[key].as_u64().unwrap_or_default();
        match event["e"].as_str().unwrap_or_default() {
            "timer" => drop(of.timers.insert(number("h"), at)),
            "push" => {
                self.entries.insert((l, number("q")), EntryEvents { made: at, ..EntryEvents::default() });
            }
            "due" => {
                let made = of.timers.get(&number("h")).copied().unwrap_or(at);
                self.entries.insert((l, number("q")), EntryEvents { made, due: Some(at), taken: None });
            }
            kind @ ("run" | "skip") => {
                if let Some(entry) = self.entries.get_mut(&(l, number("q"))) {
                    entry.taken = Some(at);
                }
                if kind == "run" {
                    of.running = Some(number("q"));
                }
            }
            "ret" => of.running = None,
            _ => {}
        }
    }

    fn note_turn(&mut self, event: &Value, l: u64, at: usize, of: &mut Reading, replay: &Replay) {
        let state = replay.snap(l);
        let turn = of.turn.map(|turn| &mut self.turns[turn]);
        match (event["e"].as_str().unwrap_or_default(), turn) {
            ("loop", _) => match event["ev"].as_str() {
                Some("run") => (of.run, of.turn) = (of.run + 1, None),
                Some("closed") => (of.turn, of.running) = (None, None),
                _ => {}
            },
            ("turn", _) => {
                let timer = state.and_then(|state| state.timers.iter().find(|timer| !timer.cancelled));
                of.turn = Some(self.turns.len());
                self.turns.push(TurnEvents {
                    l,
                    run: of.run,
                    n: event["n"].as_u64().unwrap_or_default(),
                    first: at,
                    timer: timer.map(|timer| (timer.h, timer.when)),
                    ..TurnEvents::default()
                });
            }
            ("batch", Some(turn)) => {
                turn.batch = state.iter().flat_map(|state| &state.ready).map(|entry| entry.q).collect();
            }
            ("run" | "skip", Some(turn)) => turn.taken.extend(event["q"].as_u64()),
            ("stop", Some(turn)) => turn.stop = true,
            _ => {}
        }
    }

    /// Returns the event of the line `s`, or the first one after it.
    pub(super) fn event_of(&self, s: u64) -> Option<usize> {
        let at = self.events.partition_point(|event| event["s"].as_u64() < Some(s));
        (at < self.events.len()).then_some(at)
    }

    pub(super) fn line_of(&self, at: usize) -> u64 {
        self.events[at]["s"].as_u64().unwrap_or_default()
    }

    pub(super) fn turn_of(&self, at: usize) -> Option<&TurnEvents> {
        self.turn_of[at].map(|turn| &self.turns[turn])
    }

    pub(super) fn entry_at(&self, at: usize) -> Option<u64> {
        self.about[at]
    }

    pub(super) fn index(&self, l: u64) -> &Index {
        &self.indexes[&l]
    }

    pub(super) fn entry(&self, l: u64, q: u64) -> Option<EntryEvents> {
        self.entries.get(&(l, q)).copied()
    }

    /// Returns the name of an entry of a loop.
    pub(super) fn name(&self, l: u64, q: u64) -> String {
        self.definitions.name(self.index(l), self.index(l).entry(q))
    }

    /// Returns the task whose step or timer an entry is.
    pub(super) fn task_of(&self, l: u64, q: u64) -> Option<u64> {
        self.index(l).entry(q)?.task
    }
}

/// Returns the lines of a trace, without half a last line.
pub(super) fn whole_lines(trace: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = trace.lines().filter(|line| !line.is_empty()).collect();
    if lines.last().is_some_and(|line| serde_json::from_str::<Value>(line).is_err()) {
        lines.pop();
    }
    lines
}

/// Returns the loop of an event.
pub(super) fn loop_of(event: &Value) -> u64 {
    event["l"].as_u64().unwrap_or(1)
}
