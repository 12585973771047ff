//! The trace as JSON Lines: one event, one line, as `docs/trace.md` tells and `docs/trace-v1.json` checks.
//!
//! It promises that `s` counts the lines without a gap, that `t` never goes back, and that a text is written in full.
//! Places are told once, in a `def` line before the first line that names them. It does no I/O: it writes to a buffer.

use super::line::{Line, push_number, push_signed, push_text};
use super::place::place_text;
use super::stamp::{Stamp, nanos};
use super::state::State;
use super::words::{direction_word, done_word, event_word, kind_word, life_word, via_word, why_word};
use crate::trace::{Event, On, Place, Wait};
use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes events as lines.
#[derive(Default)]
pub(super) struct JsonLines {
    /// The next line's `s`.
    s: u64,
    /// The numbers of the places that were told.
    places: HashMap<Place, u64>,
    /// What `meta` says of the clock; none before it is written.
    virtual_time: Option<bool>,
}

impl JsonLines {
    /// Writes one event. `error` is the text of the error in it, which the caller asked for with no lock held.
    pub(super) fn event(&mut self, out: &mut Vec<u8>, at: &Stamp, event: &Event<'_>, error: Option<&str>) {
        if self.virtual_time.is_none() {
            self.meta(out, at);
        }
        // Definitions first: a line must not name what no line has told.
        let src = place_of(event).map(|place| self.place(out, at, place));
        if let Event::Park { on, .. } = event {
            for place in on.iter().filter_map(|wait| wait.place) {
                self.place(out, at, place);
            }
            if on.is_empty() {
                return; // the line needs something waited on, and the loop never parks a task without
            }
        }
        let mut line = Line::begin(out, self.count(), at.t, event_word(event), at.number);
        match event {
            Event::Push { .. } => push(&mut line, event),
            Event::Park { task, on } => park(&mut line, *task, on, &self.places),
            Event::Loop(life) => {
                line.word("ev", life_word(*life));
                if Some(at.virtual_time) != self.virtual_time {
                    line.word("clock", clock_word(at.virtual_time));
                }
            }
            _ => fields(&mut line, at, event, error),
        }
        line.maybe_number("src", src).end();
    }

    /// Writes the full state as a line.
    pub(super) fn snap(&mut self, out: &mut Vec<u8>, at: &Stamp, state: &State) {
        let text = serde_json::to_string(state).expect("a state is plain data");
        let mut line = Line::begin(out, self.count(), at.t, "snap", at.number);
        line.key("state").extend_from_slice(text.as_bytes());
        line.end();
    }

    fn meta(&mut self, out: &mut Vec<u8>, at: &Stamp) {
        self.virtual_time = Some(at.virtual_time);
        let mut line = Line::begin(out, self.count(), at.t, "meta", 1);
        line.number("v", 1).word("rt", concat!("looplab ", env!("CARGO_PKG_VERSION"))).word("unit", "ns");
        line.word("clock", clock_word(at.virtual_time));
        // A trace in virtual time repeats byte for byte, so it must not say when and in which process it was made.
        if !at.virtual_time {
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            line.number("wall0", nanos(wall)).number("pid", u64::from(std::process::id()));
        }
        line.maybe_text("prog", program().as_deref()).end();
    }

    /// The number of a place, told first if it is new.
    fn place(&mut self, out: &mut Vec<u8>, at: &Stamp, place: Place) -> u64 {
        if let Some(id) = self.places.get(place) {
            return *id;
        }
        let id = self.places.len() as u64 + 1;
        self.places.insert(place, id);
        let mut line = Line::begin(out, self.count(), at.t, "def", 1);
        line.word("k", "src").number("id", id).text("v", &place_text(place)).end();
        id
    }

    fn count(&mut self) -> u64 {
        let s = self.s;
        self.s += 1;
        s
    }
}

/// The fields of the plain events.
fn fields(line: &mut Line<'_>, at: &Stamp, event: &Event<'_>, error: Option<&str>) {
    match *event {
        // written by the caller, with places or more
        Event::Loop(_) | Event::Push { .. } | Event::Park { .. } | Event::Unstop => line,
        Event::Turn { n } => line.number("n", n),
        Event::Batch { n } => line.number("n", n as u64),
        Event::TimersDropped { handles } => line.list("hs", handles, |out, h| push_number(out, *h)),
        Event::Select { timeout, why, handle } => {
            match timeout {
                Some(timeout) => push_number(line.key("to"), nanos(timeout)),
                None => line.key("to").extend_from_slice(b"null"),
            }
            line.word("why", why_word(why)).maybe_number("h", handle)
        }
        Event::Polled { events } => line.list("ev", events, |out, (fd, ready)| {
            out.push(b'[');
            push_signed(out, *fd);
            out.push(b',');
            push_number(out, u64::from(ready.read) + 2 * u64::from(ready.write));
            out.push(b']');
        }),
        Event::Timer { h, when, label, by, task, place: _ } => {
            line.number("h", h).number("when", at.zero.ns(when)).text("cb", label);
            line.maybe_number("by", by).maybe_number("task", task)
        }
        Event::TimerCancelled { h, by } | Event::Cancelled { h, by } => {
            line.number("h", h).maybe_number("by", by)
        }
        Event::Due { q, h, late } => line.number("q", q).number("h", h).number("late", nanos(late)),
        Event::Run { q, h } | Event::Skip { q, h } => line.number("q", q).number("h", h),
        Event::Returned { q, error: _ } => line.number("q", q).maybe_text("err", error),
        Event::Stop { by } => line.maybe_number("by", by),
        Event::Task { task, name, body, parent, place: _ } => {
            line.number("task", task).text("name", name).text("coro", body).maybe_number("parent", parent)
        }
        Event::Step { task, thrown: _ } => line.number("task", task).maybe_text("exc", error),
        Event::CancelRequested { task, by } => line.number("task", task).maybe_number("by", by),
        Event::TaskDone { task: id, state, by, error: _ }
        | Event::FutureDone { future: id, state, by, error: _ } => {
            let key = if matches!(event, Event::TaskDone { .. }) { "task" } else { "fut" };
            line.number(key, id).word("st", done_word(state)).maybe_text("val", error).maybe_number("by", by)
        }
        Event::Future { future, kind, place: _ } => line.number("fut", future).text("kind", kind),
        Event::Registered { fd, direction, h, label } => {
            line.signed("fd", fd).word("dir", direction_word(direction)).number("h", h).text("cb", label)
        }
        Event::Unregistered { fd, direction } => line.signed("fd", fd).word("dir", direction_word(direction)),
        Event::SignalRegistered { signal, h, label } => {
            line.signed("sig", signal).number("h", h).text("cb", label)
        }
        Event::SignalUnregistered { signal } => line.signed("sig", signal),
        Event::Job { job, label, by, place: _ } => {
            line.number("job", job).text("fn", label).maybe_number("by", by)
        }
        Event::Reported { message } => line.text("name", message).word("kind", "note"),
        Event::JobRuns { job, thread } => line.number("job", job).text("thr", thread),
        Event::JobEnds { job, thread, state } => {
            line.number("job", job).text("thr", thread).text("st", state)
        }
        Event::Signal { signal, at: arrived } => line.signed("sig", signal).number("at", at.zero.ns(arrived)),
    };
}

fn push(line: &mut Line<'_>, event: &Event<'_>) {
    if let Event::Push { q, h, via, kind, label, task, cause, by, thread, fd, signal, place: _ } = *event {
        line.number("q", q).number("h", h).word("via", via_word(via)).word("kind", kind_word(kind));
        line.text("cb", label).maybe_number("task", task);
        if let Some(cause) = cause {
            push_on(line.key("cause"), cause);
        }
        line.maybe_number("by", by).maybe_text("thr", thread);
        line.maybe_signed("fd", fd).maybe_signed("sig", signal);
    }
}

/// `on` has room for one thing by the schema, and a task can wait on several (a `join!`): the others go to `also`.
fn park(line: &mut Line<'_>, task: u64, on: &[Wait], places: &HashMap<Place, u64>) {
    line.number("task", task);
    let [first, others @ ..] = on else { return };
    push_on(line.key("on"), first.on);
    line.text("kind", first.kind).maybe_number("holder", first.holder);
    if !others.is_empty() {
        line.list("also", others, |out, wait| push_on(out, wait.on));
    }
    let stack = on.iter().filter_map(|wait| places.get(wait.place?));
    line.list("stack", stack, |out, id| push_number(out, *id));
}

/// `{"fut":3}`
fn push_on(out: &mut Vec<u8>, on: On) {
    let (key, id) = match on {
        On::Future(id) => ("fut", id),
        On::Task(id) => ("task", id),
    };
    out.push(b'{');
    push_text(out, key);
    out.push(b':');
    push_number(out, id);
    out.push(b'}');
}

/// Where the thing of an event was made.
fn place_of(event: &Event<'_>) -> Option<Place> {
    match event {
        Event::Push { place, .. }
        | Event::Timer { place, .. }
        | Event::Task { place, .. }
        | Event::Future { place, .. } => *place,
        Event::Job { place, .. } => Some(*place),
        _ => None,
    }
}

fn clock_word(virtual_time: bool) -> &'static str {
    if virtual_time { "virtual" } else { "monotonic" }
}

/// The file name of the executable.
fn program() -> Option<String> {
    let path = std::env::current_exe().ok().or_else(|| std::env::args_os().next().map(Into::into))?;
    Some(path.file_name()?.to_string_lossy().into_owned())
}
