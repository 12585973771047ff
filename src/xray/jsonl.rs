//! The trace as JSON Lines: one line for each event. `docs/trace.md` describes them, `docs/trace-v1.json` checks them.
//!
//! It guarantees that `s` counts the lines without a gap, that `t` never goes back, and that texts are written in full.
//! A `def` line defines a place before the first line that names it. It does no I/O: it writes to a buffer.

use super::line::JsonLine;
use super::place::{place_text, short_path};
use super::source::Sources;
use super::stamp::{Stamp, nanos};
use super::state::{Awaited, Snap};
use crate::trace::{Done, Event, Place, Ready, Wait, Wake};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes events as lines.
#[derive(Default)]
pub(super) struct JsonLines {
    /// The next line's `s`.
    s: u64,
    /// The numbers of the places that are defined.
    places: HashMap<Place, u64>,
    /// The same by their addresses, which are found sooner. A place may have several.
    addresses: BTreeMap<usize, u64>,
    /// The files that are defined, and their texts; `None` to define none.
    files: HashSet<&'static str>,
    sources: Option<Sources>,
    /// What `meta` says about the clock; `None` before it is written.
    virtual_time: Option<bool>,
}

impl JsonLines {
    /// Makes lines that define the source files that they name.
    pub(super) fn with_sources() -> Self {
        Self { sources: Some(Sources::default()), ..Self::default() }
    }

    /// Writes the first line, if it is not written yet.
    #[inline]
    pub(super) fn begin(&mut self, out: &mut Vec<u8>, at: &Stamp) {
        if self.virtual_time.is_none() {
            self.meta(out, at);
        }
    }

    /// Writes what the program has printed. `by` is the loop and the entry that ran then.
    pub(super) fn printed(&mut self, out: &mut Vec<u8>, t: u64, by: Option<(u64, u64)>, text: &str) {
        let (number, q) = by.unzip();
        let mut line = JsonLine::begin(out, self.count(), t, number.unwrap_or(1));
        line.kind("out").field("text", text).maybe("by", q).end();
    }

    /// Writes one event. `error` is the text of the error in it, which the caller asked for with no lock held.
    pub(super) fn event(&mut self, out: &mut Vec<u8>, at: &Stamp, event: &Event<'_>, error: Option<&str>) {
        self.begin(out, at);
        // Definitions come first, so that every line names what is known.
        let src = place_of(event).map(|place| self.place(out, at, place));
        if let Event::Park { on, .. } = event {
            for place in on.iter().filter_map(|wait| wait.place) {
                self.place(out, at, place);
            }
            if on.is_empty() {
                return; // The schema demands something waited on, and the loop never parks a task without it.
            }
        }
        let mut line = JsonLine::begin(out, self.count(), at.t, at.number);
        self.fields(&mut line, at, event, error);
        line.maybe("src", src).end();
    }

    /// Writes the full state as a line.
    pub(super) fn snap(&mut self, out: &mut Vec<u8>, at: &Stamp, state: &Snap) {
        JsonLine::begin(out, self.count(), at.t, at.number).kind("snap").field("state", state).end();
    }

    #[cold]
    fn meta(&mut self, out: &mut Vec<u8>, at: &Stamp) {
        self.virtual_time = Some(at.virtual_time);
        let mut line = JsonLine::begin(out, self.count(), at.t, 1);
        let program = concat!("looplab ", env!("CARGO_PKG_VERSION"));
        line.kind("meta").field("v", 1).word("rt", program).word("unit", "ns").word("clock", clock(at));
        // A trace in virtual time repeats byte for byte, so it must not say when and in which process it was made.
        if !at.virtual_time {
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            line.field("wall0", nanos(wall)).field("pid", std::process::id());
        }
        line.maybe("prog", executable()).end();
    }

    /// Returns the number of a place. A new one is defined first.
    fn place(&mut self, out: &mut Vec<u8>, at: &Stamp, place: Place) -> u64 {
        let address = std::ptr::from_ref(place).addr();
        if let Some(id) = self.addresses.get(&address) {
            return *id;
        }
        let id = self.number_of(out, at, place);
        self.addresses.insert(address, id);
        id
    }

    /// Returns the number of a place that was not asked about at this address.
    fn number_of(&mut self, out: &mut Vec<u8>, at: &Stamp, place: Place) -> u64 {
        if let Some(id) = self.places.get(place) {
            return *id;
        }
        self.file(out, at, place.file());
        let id = self.places.len() as u64 + 1;
        self.places.insert(place, id);
        let mut line = JsonLine::begin(out, self.count(), at.t, 1);
        line.kind("def").word("k", "src").field("id", id).field("v", place_text(place)).end();
        id
    }

    /// Defines a source file with its text, if it can be read. So a program that is killed leaves its source, too.
    fn file(&mut self, out: &mut Vec<u8>, at: &Stamp, file: &'static str) {
        let s = self.s;
        let Some(text) = self.sources.as_mut().and_then(|sources| sources.text(file)) else { return };
        if self.files.insert(file) {
            let mut line = JsonLine::begin(out, s, at.t, 1);
            line.kind("def").word("k", "file").field("id", self.files.len());
            line.field("v", short_path(file)).field("text", text).end();
            self.s += 1;
        }
    }

    fn count(&mut self) -> u64 {
        self.s += 1;
        self.s - 1
    }

    /// Writes the kind and the fields of an event, all but its place.
    fn fields(&self, line: &mut JsonLine<'_>, at: &Stamp, event: &Event<'_>, error: Option<&str>) {
        match *event {
            Event::Loop(life) => {
                let another_clock = Some(at.virtual_time) != self.virtual_time;
                line.kind("loop").word("ev", life.as_str()).maybe("clock", another_clock.then(|| clock(at)))
            }
            Event::Turn { n } => line.kind("turn").field("n", n),
            Event::TimersDropped { handles } => line.kind("tdrop").list("hs", handles),
            Event::Select { timeout, why, handle } => {
                line.kind("sel").field("to", timeout.map(nanos)).word("why", why.as_str()).maybe("h", handle)
            }
            Event::Polled { events, wake } => {
                let bits = |ready: &Ready| u8::from(ready.read) + 2 * u8::from(ready.write);
                line.kind("polled").list("ev", events.iter().map(|(fd, ready)| (*fd, bits(ready))));
                line.maybe("wake", wake.map(Wake::as_str))
            }
            Event::Push { .. } => push(line.kind("push"), event),
            Event::Timer { h, when, label, own, by, task, .. } => {
                line.kind("timer").field("h", h).field("when", at.zero.ns(when)).field("cb", label);
                line.maybe("own", own.then_some(true)).maybe("by", by).maybe("task", task)
            }
            Event::TimerCancelled { h, by } => line.kind("tcancel").field("h", h).maybe("by", by),
            Event::Cancelled { h, by } => line.kind("cancel").field("h", h).maybe("by", by),
            Event::Due { q, h, late } => {
                line.kind("due").field("q", q).field("h", h).field("late", nanos(late))
            }
            Event::Batch { n } => line.kind("batch").field("n", n),
            Event::Run { q, h } => line.kind("run").field("q", q).field("h", h),
            Event::Skip { q, h } => line.kind("skip").field("q", q).field("h", h),
            Event::Returned { q, .. } => line.kind("ret").field("q", q).maybe("err", error),
            Event::Stop { by } => line.kind("stop").maybe("by", by),
            Event::Unstop => line.kind("unstop"),
            Event::Task { task, name, body, parent, by, .. } => {
                line.kind("task").field("task", task).field("name", name).field("coro", body);
                line.maybe("parent", parent).maybe("by", by)
            }
            Event::Step { task, .. } => line.kind("step").field("task", task).maybe("exc", error),
            Event::Park { task, on } => self.park(line.kind("park").field("task", task), on),
            Event::Yielded { task } => line.kind("park").field("task", task).word("kind", "yield"),
            Event::CancelRequested { task, by } => line.kind("creq").field("task", task).maybe("by", by),
            Event::TaskDone { task, state, by, .. } => {
                done(line.kind("tdone").field("task", task), state, error, by)
            }
            Event::Future { future, kind, .. } => line.kind("fut").field("fut", future).field("kind", kind),
            Event::FutureDone { future, state, by, .. } => {
                done(line.kind("fdone").field("fut", future), state, error, by)
            }
            Event::Reported { .. }
            | Event::Disturbed { .. }
            | Event::Registered { .. }
            | Event::Unregistered { .. }
            | Event::SignalRegistered { .. }
            | Event::SignalUnregistered { .. }
            | Event::Signal { .. }
            | Event::Job { .. }
            | Event::JobRuns { .. }
            | Event::JobEnds { .. } => outside(line, at, event),
        };
    }

    /// Writes what a task waits on. The schema's `on` has room for one thing, so the others of a `join!` go to `also`.
    fn park<'a, 'b>(&self, line: &'a mut JsonLine<'b>, on: &[Wait]) -> &'a mut JsonLine<'b> {
        let [first, others @ ..] = on else { return line };
        line.field("on", Awaited::from(first.on)).field("kind", first.kind).maybe("holder", first.holder);
        if !others.is_empty() {
            line.list("also", others.iter().map(|wait| Awaited::from(wait.on)));
        }
        line.list("stack", on.iter().filter_map(|wait| self.places.get(wait.place?)))
    }
}

/// Writes reports, and the events of what is outside of the loop: descriptors, signals, the threads of a pool, an explorer.
fn outside<'a, 'b>(line: &'a mut JsonLine<'b>, at: &Stamp, event: &Event<'_>) -> &'a mut JsonLine<'b> {
    match *event {
        Event::Reported { message, by } => {
            line.kind("mark").field("name", message).word("kind", "note").maybe("by", by)
        }
        Event::Disturbed { what } => line.kind("mark").field("name", what).word("kind", "explore"),
        Event::Registered { fd, direction, h, label, by } => {
            line.kind("reg").field("fd", fd).word("dir", direction.as_str()).field("h", h);
            line.field("cb", label).maybe("by", by)
        }
        Event::Unregistered { fd, direction, by } => {
            line.kind("unreg").field("fd", fd).word("dir", direction.as_str()).maybe("by", by)
        }
        Event::SignalRegistered { signal, h, label, by } => {
            line.kind("sigreg").field("sig", signal).field("h", h).field("cb", label).maybe("by", by)
        }
        Event::SignalUnregistered { signal, by } => {
            line.kind("sigunreg").field("sig", signal).maybe("by", by)
        }
        Event::Job { job, label, own, by, .. } => {
            line.kind("job").field("job", job).field("fn", label);
            line.maybe("own", own.then_some(true)).maybe("by", by)
        }
        Event::JobRuns { job, thread, at: began } => {
            let began = began.map(|began| at.zero.ns(began));
            line.kind("jrun").field("job", job).field("thr", thread).maybe("at", began)
        }
        Event::JobEnds { job, thread, state, at: ended } => {
            let ended = ended.map(|ended| at.zero.ns(ended));
            line.kind("jend").field("job", job).field("thr", thread).field("st", state).maybe("at", ended)
        }
        Event::Signal { signal, at: arrived } => {
            line.kind("sig").field("sig", signal).field("at", at.zero.ns(arrived))
        }
        _ => line,
    }
}

fn push<'a, 'b>(line: &'a mut JsonLine<'b>, event: &Event<'_>) -> &'a mut JsonLine<'b> {
    if let Event::Push { q, h, via, kind, label, own, task, cause, by, thread, fd, signal, place: _ } = *event
    {
        line.field("q", q).field("h", h).word("via", via.as_str()).word("kind", kind.as_str());
        line.field("cb", label)
            .maybe("own", own.then_some(true))
            .maybe("task", task)
            .maybe("cause", cause.map(Awaited::from));
        line.maybe("by", by).maybe("thr", thread).maybe("fd", fd).maybe("sig", signal);
    }
    line
}

fn done<'a, 'b>(
    line: &'a mut JsonLine<'b>,
    state: Done,
    error: Option<&str>,
    by: Option<u64>,
) -> &'a mut JsonLine<'b> {
    line.word("st", state.as_str()).maybe("val", error).maybe("by", by)
}

/// Returns where the thing of an event was made.
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

fn clock(at: &Stamp) -> &'static str {
    if at.virtual_time { "virtual" } else { "monotonic" }
}

/// Returns the file name of the executable.
pub(super) fn executable() -> Option<String> {
    let path = std::env::current_exe().ok().or_else(|| std::env::args_os().next().map(Into::into))?;
    Some(path.file_name()?.to_string_lossy().into_owned())
}
