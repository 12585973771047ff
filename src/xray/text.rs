//! The trace as a table to read: one line for each turn.
//!
//! Lines come in the order in which the turns ended, and columns stay aligned. In virtual time the
//! table is the same on every machine. No name and no error's text can send the terminal a command:
//! a character that is not printed becomes `·`.
//!
//! It leaves out what a reader does not need at first (tasks' states, futures, handles): `jsonl`
//! has everything. The table is as wide as `COLUMNS` says. A long cell is cut with `…`, a list is
//! wrapped, and a narrow table has what ran below its turn. A wide character counts as one.

use super::place::short_path;
use super::source::Sources;
use super::stamp::nanos;
use crate::trace::{Event, Life, Place, Ready, Via, Why};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::thread::ThreadId;
use std::time::Duration;

/// The width of a table if nothing else is said.
pub(super) const WIDTH: usize = 100;
/// The widths of the columns before the list of what ran, with the spaces between them.
const BEFORE: usize = 56;
const WOKEN: usize = 12;
/// The width of the last column, with the spaces before it.
const STOP: usize = 6;
/// How far a list below its turn is indented.
const INDENT: usize = 8;
/// The narrowest list of what ran beside its turn. A narrower table has it below.
const BESIDE: usize = 36;
/// The longest name of one callback.
const NAME: usize = 40;
/// How many callbacks of a turn are named, and how many lines of its output are shown.
const NAMED: usize = 100;

/// Writes events as a table.
pub(super) struct TextTable {
    layout: Layout,
    /// The file of the program itself, and the texts of all files; `None` to look for none.
    sources: Option<Sources>,
    program: Option<String>,
    loops: BTreeMap<u64, LoopTable>,
    /// Whether the names of the columns are written.
    titled: bool,
    /// The loop and the run of the last row.
    last: Option<(u64, u64)>,
}

/// One loop's part of the table.
struct LoopTable {
    /// An event loop never leaves its thread.
    thread: ThreadId,
    run: u64,
    stopping: bool,
    row: Option<Row>,
    /// Names of what is in the ready queue, by `q`, and of the timers, by `h`.
    queued: HashMap<u64, String>,
    timers: HashMap<u64, String>,
}

/// A turn that is under way.
#[derive(Default)]
struct Row {
    turn: u64,
    began: u64,
    select: String,
    /// Whether the poll may sleep, and when it began.
    sleeps: bool,
    selected: u64,
    slept: Option<u64>,
    woken: Vec<String>,
    ran: Vec<Item>,
    /// How many of the items are names, how many names and lines are left out.
    named: usize,
    more: u64,
    more_lines: u64,
    /// Whether the last callback has not returned.
    runs: bool,
    stop: bool,
}

/// One item of the list of what ran.
enum Item {
    /// A callback, and how many times in a row.
    Ran(String, u64),
    /// A line of output.
    Printed(String),
}

/// Where the list of what ran stands, and how wide it is.
#[derive(Clone, Copy)]
struct Layout {
    beside: bool,
    ran: usize,
}

impl Layout {
    fn of_width(width: usize) -> Self {
        let beside = width.saturating_sub(BEFORE + STOP);
        if beside >= BESIDE {
            return Self { beside: true, ran: beside };
        }
        Self { beside: false, ran: width.saturating_sub(INDENT).max(BESIDE) }
    }
}

impl TextTable {
    /// Makes a table of a width. `program` is the name of the executable: places in the file of that name are shown by
    /// their line alone.
    pub(super) fn new(width: usize, sources: Option<Sources>, program: Option<String>) -> Self {
        let layout = Layout::of_width(width);
        Self { layout, sources, program, loops: BTreeMap::new(), titled: false, last: None }
    }

    /// Takes one event of loop `number`. `now` is the time of its clock since the trace began, in
    /// nanoseconds.
    pub(super) fn event(&mut self, out: &mut Vec<u8>, number: u64, now: u64, event: &Event<'_>) {
        if let Event::Turn { .. } | Event::Loop(Life::End | Life::Closed) = event {
            self.finish(out, number);
        }
        let name = match *event {
            Event::Push { label, own, place, .. } | Event::Timer { label, own, place, .. } => {
                self.name(label, own, place)
            }
            _ => String::new(),
        };
        let table = self.loops.entry(number).or_insert_with(LoopTable::new);
        match *event {
            // A report between turns, for instance when `close` ends a task.
            Event::Reported { message, .. } if table.row.is_none() => {
                let report = format!("! {}", cut(message, self.layout.ran - 2));
                self.heading(out, number);
                self.layout.line(out, &report);
                return;
            }
            // Reports of a closed loop may still come.
            Event::Loop(Life::Closed) => {
                table.queued.clear();
                table.timers.clear();
            }
            Event::Loop(Life::Run) => table.run += 1,
            Event::Turn { n } => table.row = Some(Row::new(n, now, table.stopping)),
            Event::Push { q, .. } => {
                table.queued.insert(q, name);
            }
            Event::Timer { h, .. } => {
                table.timers.insert(h, name);
            }
            Event::TimersDropped { handles } => {
                for h in handles {
                    table.timers.remove(h);
                }
            }
            Event::Due { q, h, .. } => {
                let name = table.timers.remove(&h).unwrap_or_default();
                table.queued.insert(q, name);
            }
            Event::Stop { .. } => table.stopping = true,
            Event::Unstop => table.stopping = false,
            _ => {}
        }
        table.row_event(now, event, self.layout.ran);
    }

    /// Takes a text that the program has printed in the current turn of a loop, or between turns.
    pub(super) fn printed(&mut self, out: &mut Vec<u8>, number: u64, text: &str) {
        let lines = text.lines().map(|line| format!("> {}", cut(line, self.layout.ran - 2)));
        if let Some(row) = self.loops.get_mut(&number).and_then(|table| table.row.as_mut()) {
            return lines.for_each(|line| row.printed(line));
        }
        let lines: Vec<String> = lines.collect();
        self.titles(out);
        for line in lines {
            self.layout.line(out, &line);
        }
    }

    /// Names an entry as `label@line`, and with the file if it is not the program's own. A closure is named by its code.
    fn name(&mut self, label: &str, own: bool, place: Option<Place>) -> String {
        let Some(place) = place else { return cut(label, NAME.min(self.layout.ran - 7)) };
        let path = short_path(place.file());
        let file = path.rsplit('/').next().unwrap_or(path);
        let stem = file.strip_suffix(".rs").unwrap_or(file);
        let of_program = stem == "main" || self.program.as_deref().is_none_or(|program| program == stem);
        let at = if of_program { place.line().to_string() } else { format!("{file}:{}", place.line()) };
        let plain = if own { label.strip_suffix("::{closure}") } else { None };
        let mut label = Cow::from(plain.unwrap_or(label));
        if !own && label.ends_with("{closure}") {
            match self.sources.as_mut().and_then(|sources| sources.closure(place)) {
                Some(code) => label = code.into(),
                None => return format!("closure of line {at}"),
            }
        }
        // Room is left for a count and the separator.
        let room = NAME.min(self.layout.ran.saturating_sub(at.len() + 5));
        format!("{}@{at}", cut(&label, room.max(8)))
    }

    /// Writes the current turn of a loop, if it has one: nothing more will be added to it.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>, number: u64) {
        let Some(table) = self.loops.get_mut(&number) else { return };
        let Some(row) = table.row.take() else { return };
        self.heading(out, number);
        row.write(out, self.layout);
    }

    /// Writes the last turn of a loop that is dropped, and forgets the loop.
    pub(super) fn forget(&mut self, out: &mut Vec<u8>, number: u64) {
        self.finish(out, number);
        self.loops.remove(&number);
    }

    /// Names the loop and its run where the next line has another one.
    fn heading(&mut self, out: &mut Vec<u8>, number: u64) {
        let here = (number, self.loops.get(&number).map_or(0, |table| table.run));
        self.titles(out);
        // The first run of the first loop needs no heading: most tables have no other.
        if self.last.unwrap_or((1, 1)) != here {
            let _ = match here {
                (_, 0) => writeln!(out, "loop {number}, before its first run"),
                (_, run) => writeln!(out, "loop {number}, run {run}"),
            };
        }
        self.last = Some(here);
    }

    /// Writes the names of the columns at the top.
    fn titles(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.titled, true) {
            let ran = if self.layout.beside { "ran, in this order" } else { "" };
            self.layout.row(out, ["turn", "t(ms)", "select", "slept", "woken by", ran, "stop"]);
        }
    }

    /// Writes the current turns of a thread's loops, because the thread ends.
    pub(super) fn finish_thread(&mut self, out: &mut Vec<u8>, thread: ThreadId) {
        let of_thread = self.loops.iter().filter(|(_, table)| table.thread == thread);
        let numbers: Vec<u64> = of_thread.map(|(number, _)| *number).collect();
        for number in numbers {
            self.finish(out, number);
        }
    }
}

impl LoopTable {
    fn new() -> Self {
        Self {
            thread: std::thread::current().id(),
            run: 0,
            stopping: false,
            row: None,
            queued: HashMap::new(),
            timers: HashMap::new(),
        }
    }

    /// Adds an event to the turn's row.
    fn row_event(&mut self, now: u64, event: &Event<'_>, width: usize) {
        let Some(row) = &mut self.row else { return };
        match *event {
            Event::Select { timeout, why, .. } => {
                row.select = select(timeout, why);
                row.selected = now;
                row.sleeps = timeout != Some(Duration::ZERO);
            }
            Event::Polled { events, .. } => {
                row.slept = Some(now.saturating_sub(row.selected));
                for (fd, ready) in events {
                    row.woken_by(format!("fd{fd} {}", directions(*ready)));
                }
            }
            Event::Push { via: Via::Threadsafe, thread, .. } => {
                row.woken_by(thread.map_or_else(|| "thread".to_owned(), |name| format!("thread {name}")));
            }
            Event::Signal { signal, .. } => row.woken_by(signal_name(signal)),
            Event::Due { .. } if row.sleeps => row.woken_by("timer".to_owned()),
            Event::Run { q, .. } => {
                row.ran(self.queued.remove(&q).unwrap_or_default());
                row.runs = true;
            }
            Event::Returned { .. } => row.runs = false,
            Event::Skip { q, .. } => row.ran(format!("skip {}", self.queued.remove(&q).unwrap_or_default())),
            Event::Reported { message, .. } => row.ran(format!("! {}", cut(message, width - 4))),
            Event::Disturbed { what } => row.disturbed(format!("✂ {}", cut(what, width - 4))),
            Event::Stop { .. } => row.stop = true,
            _ => {}
        }
    }
}

impl Row {
    fn new(turn: u64, began: u64, stop: bool) -> Self {
        Self { turn, began, selected: began, stop, ..Self::default() }
    }

    fn woken_by(&mut self, what: String) {
        if !self.woken.contains(&what) {
            self.woken.push(what);
        }
    }

    fn ran(&mut self, name: String) {
        match self.ran.last_mut() {
            Some(Item::Ran(last, times)) if *last == name && self.more == 0 => *times += 1,
            _ if self.named < NAMED => {
                self.named += 1;
                self.ran.push(Item::Ran(name, 1));
            }
            _ => self.more += 1,
        }
    }

    /// Puts a disturbance before the callback that has just been taken, because the callback runs after it.
    fn disturbed(&mut self, what: String) {
        let next = if self.runs && self.more == 0 { self.ran.pop() } else { None };
        let next = match next {
            Some(Item::Ran(name, times)) if times > 1 => {
                self.ran.push(Item::Ran(name.clone(), times - 1));
                Some(Item::Ran(name, 1))
            }
            next => next,
        };
        self.named += 1;
        self.ran.push(Item::Ran(what, 1));
        self.ran.extend(next);
    }

    fn printed(&mut self, line: String) {
        if self.ran.len() - self.named < NAMED {
            self.ran.push(Item::Printed(line));
        } else {
            self.more_lines += 1;
        }
    }

    fn write(&self, out: &mut Vec<u8>, layout: Layout) {
        let slept = self.slept.map(millis).unwrap_or_default();
        let parts = self.woken.iter().flat_map(|what| match length(what) {
            ..=WOKEN => vec![what.as_str()],
            _ => what.split(' ').collect(),
        });
        let mut woken = wrapped(parts, " ", WOKEN).into_iter();
        let mut ran = self.ran_lines(layout.ran).into_iter();
        let beside = if layout.beside { ran.next().unwrap_or_default() } else { String::new() };
        let (turn, began, stop) =
            (self.turn.to_string(), millis(self.began), if self.stop { "STOP" } else { "" });
        let first = woken.next().unwrap_or_default();
        layout.row(out, [&turn, &began, &self.select, &slept, &first, &beside, stop]);
        loop {
            match (woken.next(), if layout.beside { ran.next() } else { None }) {
                (None, None) => break,
                (woken, ran) => {
                    let [woken, ran] = [woken, ran].map(Option::unwrap_or_default);
                    layout.row(out, ["", "", "", "", &woken, &ran, ""]);
                }
            }
        }
        ran.for_each(|line| layout.line(out, &line));
    }

    /// Returns what ran, wrapped between two names, and what it printed, on lines of its own.
    fn ran_lines(&self, width: usize) -> Vec<String> {
        let (mut lines, mut names) = (Vec::new(), Vec::new());
        for item in &self.ran {
            match item {
                Item::Ran(name, 1) => names.push(name.clone()),
                Item::Ran(name, times) => names.push(format!("{name} ×{times}")),
                Item::Printed(line) => {
                    lines.append(&mut wrapped(names.drain(..), " | ", width));
                    lines.push(line.clone());
                }
            }
        }
        if self.more > 0 {
            names.push(format!("… {} more", self.more));
        }
        lines.append(&mut wrapped(names.into_iter(), " | ", width));
        if self.more_lines > 0 {
            lines.push(format!("> … {} lines more", self.more_lines));
        }
        lines
    }
}

/// Joins words to lines of a width. A line that goes on ends with the separator.
fn wrapped<T: AsRef<str>>(words: impl Iterator<Item = T>, separator: &str, width: usize) -> Vec<String> {
    let end = separator.trim_end();
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        let word = cut(word.as_ref(), width - length(end));
        match lines.last_mut() {
            Some(line) if length(line) + length(separator) + length(&word) + length(end) <= width => {
                line.push_str(separator);
                line.push_str(&word);
            }
            last => {
                if let Some(line) = last {
                    line.push_str(end);
                }
                lines.push(word);
            }
        }
    }
    lines
}

impl Layout {
    /// Writes one line of the table. All texts come through here or through [`line`](Self::line), so this is where they are
    /// made harmless.
    fn row(self, out: &mut Vec<u8>, cells: [&str; 7]) {
        let [turn, began, select, slept, woken, ran, stop] = cells.map(harmless);
        let mut line = format!("{turn:>5} {began:>9}  {select:<14} {slept:>8}  {woken:<WOKEN$}  ");
        if self.beside {
            line += &format!("{ran:<width$}  ", width = self.ran);
        }
        line += &stop;
        out.extend_from_slice(line.trim_end().as_bytes());
        out.push(b'\n');
    }

    /// Writes a line of the list of what ran.
    fn line(self, out: &mut Vec<u8>, ran: &str) {
        if self.beside {
            return self.row(out, ["", "", "", "", "", ran, ""]);
        }
        let line = format!("{:INDENT$}{}", "", harmless(ran));
        out.extend_from_slice(line.trim_end().as_bytes());
        out.push(b'\n');
    }
}

/// Replaces characters that a terminal would obey: controls, and marks that end a line or turn its
/// direction.
fn harmless(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if text.contains(obeyed) { text.replace(obeyed, "·").into() } else { text.into() }
}

/// Describes a poll: `5.00ms timer`.
fn select(timeout: Option<Duration>, why: Why) -> String {
    match (why, timeout) {
        (Why::Ready, _) => "0 ready".to_owned(),
        (Why::Stopping, _) => "0 stopping".to_owned(),
        (Why::Cap, _) => "24h cap".to_owned(),
        (Why::Timer, Some(timeout)) if timeout < Duration::from_secs(10) => {
            format!("{}ms timer", millis(nanos(timeout)))
        }
        (Why::Timer, Some(timeout)) => format!("{}s timer", millis(nanos(timeout) / 1000)),
        (Why::Timer | Why::Idle, _) => "∞ idle".to_owned(),
    }
}

/// Returns `SIGINT`, or `SIG40` for a signal without a name.
fn signal_name(signal: i32) -> String {
    signal_hook::low_level::signal_name(signal).map_or_else(|| format!("SIG{signal}"), str::to_owned)
}

fn directions(ready: Ready) -> &'static str {
    match (ready.read, ready.write) {
        (true, true) => "RW",
        (true, false) => "R",
        (false, true) => "W",
        (false, false) => "-",
    }
}

/// Writes milliseconds with two decimals, from integers: a float could round differently elsewhere.
fn millis(ns: u64) -> String {
    let hundredths = ns / 10_000 + u64::from(ns % 10_000 >= 5_000);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn cut(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

fn length(text: &str) -> usize {
    text.chars().count()
}
