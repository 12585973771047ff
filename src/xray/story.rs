//! Tells a trace: one sentence for each event, with the side that acts.
//!
//! It gives the same sentences as the page, from the same table of words. `page/words.js` gathers the
//! same facts. A trace that does not fit together is refused with the number of the line, as by
//! [`Replay`](super::Replay); half a last line, which a killed program leaves, is ignored.

use super::history::{loop_of, whole_lines};
use super::names::{Definitions, Index, Named, duration, short};
use super::replay::Replay;
use super::state::Snap;
use super::words::{Facts, WORDS};
use crate::error::Result;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// What happens in one event of a trace, in words. See [`sentences`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sentence {
    /// The line's number in the trace.
    pub s: u64,
    /// The loop's number, from 1.
    pub event_loop: u64,
    /// The loop's turn; 0 before its first.
    pub turn: u64,
    /// Which side acts: `loop`, `code` (callbacks and tasks), `program` (what is outside of them), `outside` or `thread`.
    pub who: String,
    /// The sentence. Names stand between backticks.
    pub text: String,
    /// Where in the program it happened: a file's name and a line.
    pub place: Option<String>,
    /// The ready queue after the event.
    pub queue: ReadyNames,
}

/// The names of the entries in a ready queue, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadyNames {
    /// The entries of this turn's batch that have run, in order.
    pub ran: Vec<String>,
    /// The entry that runs.
    pub running: Option<String>,
    /// The entries of this turn's batch that have still to run.
    pub left: Vec<String>,
    /// The entries after the divider: for the next turn or run. Before the batch is frozen, all entries.
    pub behind: Vec<String>,
}

/// Tells a trace, which is the text of a `.jsonl` file.
///
/// ```
/// let trace = r#"{"s":0,"t":0,"e":"meta","v":1,"rt":"looplab 0.1.0","unit":"ns","clock":"virtual"}
/// {"s":1,"t":0,"e":"loop","ev":"new"}
/// {"s":2,"t":0,"e":"push","q":1,"h":7,"via":"call_soon","kind":"cb","cb":"main::hello"}"#;
/// let told = looplab::xray::sentences(trace)?;
/// assert_eq!(told[1].text, "The program queues `hello`. It waits for a run to begin.");
/// # Ok::<(), looplab::Error>(())
/// ```
///
/// # Errors
/// [`Error::Value`](crate::Error::Value) with the line's number, as [`Replay::line`].
pub fn sentences(trace: &str) -> Result<Vec<Sentence>> {
    let lines = whole_lines(trace);
    let mut story = Story::default();
    for line in &lines {
        if let Ok(line) = serde_json::from_str(line) {
            story.index(&line);
        }
    }
    let mut told = Vec::new();
    for line in lines {
        told.extend(story.tell(line)?);
    }
    Ok(told)
}

#[derive(Default)]
struct Story {
    replay: Replay,
    definitions: Definitions,
    indexes: BTreeMap<u64, Index>,
    moments: BTreeMap<u64, Moment>,
}

/// What sentences need of a loop beside its state.
#[derive(Default)]
struct Moment {
    closed: bool,
    run: u64,
    phase: Polling,
    /// The entry that runs.
    current: Option<u64>,
    /// The entries that this turn has taken from the queue.
    taken: Vec<u64>,
    size: u64,
    nth: u64,
    /// Why and how long the last poll of this turn might sleep (`Some(None)`: for ever), and when it began.
    why: String,
    may_sleep: Option<Option<u64>>,
    polls: Option<u64>,
    slept: u64,
    dropped: usize,
    /// How many entries the last run has left in the queue.
    leftovers: usize,
    /// How many steps each live task has begun.
    steps: HashMap<u64, u64>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Polling {
    #[default]
    Other,
    /// After the poll, before the freeze.
    Poll,
    /// Something has joined the queue after the poll.
    Collect,
}

impl Story {
    fn index(&mut self, line: &Value) {
        self.definitions.read(line);
        self.indexes.entry(loop_of(line)).or_default().read(line);
    }

    /// Takes the next line; its sentence, unless it is no event.
    fn tell(&mut self, text: &str) -> Result<Option<Sentence>> {
        let number = serde_json::from_str(text).map_or(1, |line: Value| loop_of(&line));
        let queued = self.replay.snap(number).map_or(0, |state| state.ready.len());
        self.replay.line(text)?;
        let line: Value = serde_json::from_str(text).expect("the replay has read it");
        let kind = line["e"].as_str().unwrap_or_default();
        if matches!(kind, "meta" | "def" | "snap") {
            return Ok(None);
        }
        // What is printed before the first loop is made belongs to no state.
        let before = Snap::default();
        let state = self.replay.snap(number).unwrap_or(&before);
        let moment = self.moments.entry(number).or_default();
        moment.advance(&line, queued);
        let teller = Teller {
            definitions: &self.definitions,
            index: &self.indexes[&number],
            state,
            moment,
            event: &line,
            kind,
        };
        let kind = if kind == "park" && line.get("on").is_none() { "yield" } else { kind };
        let (who, text) = WORDS.sentence(kind, &teller.facts());
        let (place, queue) = (teller.place(), teller.queue());
        Ok(Some(Sentence {
            s: line["s"].as_u64().unwrap_or_default(),
            event_loop: number,
            turn: state.turn,
            who,
            text,
            place,
            queue,
        }))
    }
}

impl Moment {
    /// Takes an event. `queued` is the length of the queue before it.
    fn advance(&mut self, event: &Value, queued: usize) {
        let number = |key: &str| event[key].as_u64();
        let kind = event["e"].as_str().unwrap_or_default();
        // Closing removes everything at once: later lines about the tasks that it ends change nothing.
        if self.closed && kind != "loop" {
            return;
        }
        match kind {
            "loop" => self.life(event["ev"].as_str().unwrap_or_default(), queued),
            "turn" => {
                self.forget_poll();
                (self.phase, self.size, self.nth) = (Polling::Other, 0, 0);
                self.taken.clear();
            }
            "sel" => {
                self.why = event["why"].as_str().unwrap_or_default().to_owned();
                (self.may_sleep, self.polls) = (Some(number("to")), number("t"));
                self.phase = Polling::Other;
            }
            "polled" => {
                let t = number("t").unwrap_or_default();
                self.slept = t - self.polls.unwrap_or(t);
                self.phase = Polling::Poll;
            }
            "push" | "due" if self.phase != Polling::Other => self.phase = Polling::Collect,
            "batch" => {
                (self.phase, self.size, self.nth) = (Polling::Other, number("n").unwrap_or_default(), 0);
            }
            "run" | "skip" => {
                (self.phase, self.nth) = (Polling::Other, self.nth + 1);
                self.taken.extend(number("q"));
                if kind == "run" {
                    self.current = number("q");
                }
            }
            "ret" => self.current = None,
            "unstop" => self.phase = Polling::Other,
            "task" => drop(self.steps.entry(number("task").unwrap_or_default()).or_insert(0)),
            "step" => *self.steps.entry(number("task").unwrap_or_default()).or_insert(0) += 1,
            "tdone" => drop(self.steps.remove(&number("task").unwrap_or_default())),
            _ => {}
        }
    }

    fn life(&mut self, to: &str, queued: usize) {
        match to {
            "run" => self.run += 1,
            "end" => self.leftovers = queued,
            "closed" => *self = Self { closed: true, run: self.run, dropped: queued, ..Self::default() },
            _ => {}
        }
        self.forget_poll();
        self.taken.clear();
        (self.phase, self.size) = (Polling::Other, 0);
    }

    fn forget_poll(&mut self) {
        (self.may_sleep, self.polls, self.slept) = (None, None, 0);
        self.why.clear();
    }
}

/// Gathers the facts of one event.
struct Teller<'a> {
    definitions: &'a Definitions,
    index: &'a Index,
    state: &'a Snap,
    moment: &'a Moment,
    event: &'a Value,
    kind: &'a str,
}

impl Teller<'_> {
    fn facts(&self) -> Facts {
        let (state, moment) = (self.state, self.moment);
        let mut facts = Facts::from([
            ("turn", state.turn.to_string()),
            ("run", moment.run.to_string()),
            ("dropped", moment.dropped.to_string()),
            ("queued", state.ready.len().to_string()),
            ("left", state.left.to_string()),
            ("size", moment.size.to_string()),
            ("nth", moment.nth.to_string()),
        ]);
        set(&mut facts, "running", state.running);
        set(&mut facts, "stopping", state.stopping);
        set(&mut facts, "leftovers", moment.leftovers > 0);
        set(&mut facts, "collecting", moment.phase == Polling::Collect);
        for key in ["kind", "via", "ev", "n", "why", "dir", "fd", "st", "thr", "wake", "exc"] {
            facts.extend(self.word(key).map(|word| (key, word)));
        }
        for key in ["err", "val"] {
            facts.extend(self.word(key).map(|word| (key, short(&word))));
        }
        self.speaker(&mut facts);
        self.subject(&mut facts);
        self.details(&mut facts);
        if !WORDS.knows(self.kind) {
            facts.insert("kind", self.kind.to_owned());
        }
        facts
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.event[key].as_u64()
    }

    /// Returns where it happened. A wakeup's place is where its task was made, which says nothing here.
    fn place(&self) -> Option<String> {
        let src = self.number("src").or(self.event["stack"][0].as_u64());
        src.filter(|_| self.event["kind"] != "wakeup").and_then(|src| self.definitions.place(src))
    }

    fn queue(&self) -> ReadyNames {
        let name = |q: &u64| self.name(self.index.entry(*q));
        let ready: Vec<u64> = self.state.ready.iter().map(|entry| entry.q).collect();
        let (left, behind) = ready.split_at((self.state.left as usize).min(ready.len()));
        let current = self.moment.current;
        ReadyNames {
            ran: self.moment.taken.iter().filter(|q| Some(**q) != current).map(name).collect(),
            running: current.as_ref().map(name),
            left: left.iter().map(name).collect(),
            behind: behind.iter().map(name).collect(),
        }
    }

    /// Returns a field of the event that is a text or a number.
    fn word(&self, key: &str) -> Option<String> {
        match self.event.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    fn name(&self, named: Option<&Named>) -> String {
        self.definitions.name(self.index, named)
    }

    fn side(&self, named: &Named) -> String {
        if self.definitions.is_own(named) { "loop" } else { "code" }.to_owned()
    }

    /// Notes which entry acts: one that runs, or the program outside of all callbacks.
    fn speaker(&self, facts: &mut Facts) {
        let entry = self.number("by").or(self.moment.current).and_then(|q| self.index.entry(q));
        facts.insert("actor", entry.map_or_else(|| "program".to_owned(), |entry| self.side(entry)));
        // A `task` line of an older trace does not say which entry made it: the one that runs.
        if entry.is_some() && (self.number("by").is_some() || self.kind == "task") {
            facts.insert("by", self.name(entry));
        }
    }

    /// Notes `x`, the name of what the event is about.
    fn subject(&self, facts: &mut Facts) {
        let task = || self.number("task").map(|task| self.index.task(task));
        let x = match self.kind {
            "push" | "due" | "run" | "skip" | "ret" => {
                let entry = self.number("q").and_then(|q| self.index.entry(q));
                facts.insert("whose", entry.map_or_else(|| "code".to_owned(), |entry| self.side(entry)));
                if self.kind == "run" {
                    facts.extend(entry.map(|entry| ("kind", entry.kind.clone())));
                }
                Some(self.name(entry))
            }
            "timer" | "tcancel" | "cancel" | "reg" | "sigreg" | "sel" => {
                self.number("h").map(|h| self.name(self.index.handle(h)))
            }
            "task" | "step" | "park" | "creq" | "tdone" => task(),
            "job" | "jrun" | "jend" => self.number("job").map(|job| self.definitions.job(self.index, job)),
            _ => None,
        };
        facts.extend(x.map(|x| ("x", x)));
    }

    /// Notes what only some kinds of events have.
    fn details(&self, facts: &mut Facts) {
        let event = self.event;
        match self.kind {
            "tdrop" => drop(facts.insert("n", event["hs"].as_array().map_or(0, Vec::len).to_string())),
            "sel" => {
                let due = |to| if to == 0 { "now".to_owned() } else { duration(to) };
                facts.extend(self.number("to").map(|to| ("due", due(to))));
            }
            "polled" => self.polled(facts),
            "due" => {
                let late = self.number("late").filter(|late| *late > 0);
                facts.extend(late.map(|late| ("late", duration(late))));
            }
            "push" => self.pushed(facts),
            "timer" => {
                let left = self.number("when").unwrap_or_default().saturating_sub(self.time());
                facts.insert("due", duration(left));
                let timer = self.number("h").and_then(|h| self.index.handle(h));
                set(
                    facts,
                    "sleeper",
                    timer.is_some_and(|timer| self.definitions.is_own(timer) && timer.task.is_some()),
                );
            }
            "cancel" => {
                let queued = self.state.ready.iter().any(|entry| Some(entry.h) == self.number("h"));
                set(facts, "inqueue", queued);
            }
            "task" => {
                let made = self.number("task").zip(self.number("s"));
                set(facts, "again", !made.is_some_and(|(task, s)| self.index.made_task(task, s)));
            }
            "step" => set(facts, "first", self.steps() == Some(1)),
            "park" => self.parked(facts),
            "creq" => set(facts, "self", self.is_of_its_own_task()),
            "fdone" => {
                let kind = self.number("fut").and_then(|fut| self.index.futures.get(&fut));
                facts.extend(kind.map(|kind| ("kind", kind.clone())));
            }
            "sigreg" | "sigunreg" | "sig" => {
                facts.insert("sig", WORDS.signal(event["sig"].as_i64().unwrap_or_default()));
                let waited = self.number("at").map_or(0, |at| self.time().saturating_sub(at));
                facts.extend((waited >= 1_000_000).then(|| ("waited", duration(waited))));
            }
            "out" => facts.extend(self.word("text").map(|text| ("text", short(&text)))),
            "mark" => facts.extend(self.word("name").map(|text| ("text", text))),
            _ => {}
        }
    }

    fn time(&self) -> u64 {
        self.number("t").unwrap_or_default()
    }

    fn steps(&self) -> Option<u64> {
        self.moment.steps.get(&self.number("task")?).copied()
    }

    fn is_of_its_own_task(&self) -> bool {
        let entry = self.number("by").and_then(|by| self.index.entry(by));
        entry.is_some_and(|entry| entry.task == self.number("task"))
    }

    fn polled(&self, facts: &mut Facts) {
        let words = ["", "readable", "writable", "readable and writable"];
        let found = self.event["ev"].as_array().into_iter().flatten();
        let fds: Vec<String> = found
            .map(|pair| {
                format!("fd {} {}", pair[0], words[pair[1].as_u64().unwrap_or_default() as usize % 4])
            })
            .collect();
        facts.insert("fds", fds.join(", "));
        let moment = self.moment;
        facts.extend((moment.slept > 0).then(|| ("slept", duration(moment.slept))));
        let timer = moment.why == "timer" && moment.may_sleep.flatten().is_some_and(|to| moment.slept >= to);
        set(facts, "timer", timer);
        set(facts, "early", !timer && moment.may_sleep.is_some_and(|to| to != Some(0)));
    }

    fn pushed(&self, facts: &mut Facts) {
        set(facts, "first", self.steps() == Some(0));
        set(facts, "self", self.is_of_its_own_task());
        facts.extend(self.index.cause(self.event).map(|cause| ("cause", cause)));
        facts.extend(self.event["sig"].as_i64().map(|signal| ("sig", WORDS.signal(signal))));
    }

    fn parked(&self, facts: &mut Facts) {
        let place = self.event["stack"][0].as_u64().and_then(|src| self.definitions.place(src));
        facts.extend(place.map(|place| ("place", place)));
        let task = |value: &Value| value.as_u64().map(|task| self.index.task(task));
        facts.extend(task(&self.event["on"]["task"]).map(|name| ("other", name)));
        facts.extend(task(&self.event["holder"]).map(|name| ("holder", name)));
    }
}

/// Notes a fact that holds or does not.
fn set(facts: &mut Facts, name: &'static str, holds: bool) {
    if holds {
        facts.insert(name, "true".to_owned());
    }
}
