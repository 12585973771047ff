//! The trace as a table to read: one line for each turn.
//!
//! Lines come in the order in which the turns ended, and columns stay aligned. In virtual time the
//! table is the same on every machine. No name and no error's text can send the terminal a command:
//! a character that is not printed becomes `·`.
//!
//! It leaves out what a reader does not need at first (tasks' states, futures, handles): `jsonl`
//! has everything. A long cell is cut with `…`, a long list of what ran is wrapped. A wide
//! character counts as one.

use super::stamp::nanos;
use crate::trace::{Event, Life, Place, Ready, Via, Why};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::thread::ThreadId;
use std::time::Duration;

/// Widths of the columns.
const WOKEN: usize = 16;
const RAN: usize = 60;
/// The longest name of one callback.
const NAME: usize = 40;
/// How many callbacks of a turn are named.
const NAMED: usize = 100;

/// Writes events as a table.
#[derive(Default)]
pub(super) struct TextTable {
    loops: BTreeMap<u64, LoopTable>,
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
    /// What ran, with how many times in a row.
    ran: Vec<(String, u64)>,
    more: u64,
    stop: bool,
}

impl TextTable {
    /// Takes one event of loop `number`. `now` is the time of its clock since the trace began, in
    /// nanoseconds.
    pub(super) fn event(&mut self, out: &mut Vec<u8>, number: u64, now: u64, event: &Event<'_>) {
        if let Event::Turn { .. } | Event::Loop(Life::End | Life::Closed) = event {
            self.finish(out, number);
        }
        let table = self.loops.entry(number).or_insert_with(LoopTable::new);
        match *event {
            // A report between turns, for instance when `close` ends a task.
            Event::Reported { message, .. } if table.row.is_none() => {
                let report = format!("! {}", cut(message, RAN - 2));
                self.heading(out, number);
                columns(out, ["", "", "", "", "", &report, ""]);
                return;
            }
            // Reports of a closed loop may still come.
            Event::Loop(Life::Closed) => {
                table.queued.clear();
                table.timers.clear();
            }
            Event::Loop(Life::Run) => table.run += 1,
            Event::Turn { n } => table.row = Some(Row::new(n, now, table.stopping)),
            Event::Push { q, label, place, .. } => {
                table.queued.insert(q, name(label, place));
            }
            Event::Timer { h, label, place, .. } => {
                table.timers.insert(h, name(label, place));
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
        table.row_event(now, event);
    }

    /// Writes the current turn of a loop, if it has one: nothing more will be added to it.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>, number: u64) {
        let Some(table) = self.loops.get_mut(&number) else { return };
        let Some(row) = table.row.take() else { return };
        self.heading(out, number);
        row.write(out);
    }

    /// Writes the last turn of a loop that is dropped, and forgets the loop.
    pub(super) fn forget(&mut self, out: &mut Vec<u8>, number: u64) {
        self.finish(out, number);
        self.loops.remove(&number);
    }

    /// Writes the names of the columns at the top. Names the loop and its run where the next line
    /// has another one.
    fn heading(&mut self, out: &mut Vec<u8>, number: u64) {
        let here = (number, self.loops.get(&number).map_or(0, |table| table.run));
        if self.last.is_none() {
            columns(out, ["turn", "t(ms)", "select", "slept", "woken by", "ran, in this order", "stop"]);
        }
        // The first run of the first loop needs no heading: most tables have no other.
        if self.last.map_or(here != (1, 1), |last| last != here) {
            let _ = match here {
                (_, 0) => writeln!(out, "loop {number}, before its first run"),
                (_, run) => writeln!(out, "loop {number}, run {run}"),
            };
        }
        self.last = Some(here);
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
    fn row_event(&mut self, now: u64, event: &Event<'_>) {
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
            Event::Run { q, .. } => row.ran(self.queued.remove(&q).unwrap_or_default()),
            Event::Skip { q, .. } => row.ran(format!("skip {}", self.queued.remove(&q).unwrap_or_default())),
            Event::Reported { message, .. } => row.ran(format!("! {}", cut(message, NAME))),
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
        let named = self.ran.len();
        match self.ran.last_mut() {
            Some((last, times)) if *last == name && self.more == 0 => *times += 1,
            _ if named < NAMED => self.ran.push((name, 1)),
            _ => self.more += 1,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let lines = self.ran_lines();
        let slept = self.slept.map(millis).unwrap_or_default();
        let woken = cut(&self.woken.join(" "), WOKEN);
        let first = lines.first().map_or("", String::as_str);
        let stop = if self.stop { "STOP" } else { "" };
        let turn = self.turn.to_string();
        columns(out, [&turn, &millis(self.began), &self.select, &slept, &woken, first, stop]);
        for more in lines.iter().skip(1) {
            columns(out, ["", "", "", "", "", more, ""]);
        }
    }

    /// Returns what ran, wrapped between two names.
    fn ran_lines(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .ran
            .iter()
            .map(|(name, times)| if *times == 1 { name.clone() } else { format!("{name} ×{times}") })
            .collect();
        if self.more > 0 {
            names.push(format!("… {} more", self.more));
        }
        let mut lines: Vec<String> = Vec::new();
        for name in names {
            match lines.last_mut() {
                Some(line) if length(line) + 3 + length(&name) + 2 <= RAN => {
                    line.push_str(" | ");
                    line.push_str(&name);
                }
                Some(line) => {
                    line.push_str(" |");
                    lines.push(name);
                }
                None => lines.push(name),
            }
        }
        lines
    }
}

/// Writes one line of the table. All texts come through here, so this is where they are made
/// harmless.
fn columns(out: &mut Vec<u8>, cells: [&str; 7]) {
    let [turn, began, select, slept, woken, ran, stop] = cells.map(harmless);
    let mut line =
        format!("{turn:>5} {began:>10}  {select:<16} {slept:>9}  {woken:<WOKEN$}  {ran:<RAN$}  {stop}");
    line.truncate(line.trim_end().len());
    line.push('\n');
    out.extend_from_slice(line.as_bytes());
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

/// Returns `label@line`.
fn name(label: &str, place: Option<Place>) -> String {
    let label = cut(label, NAME);
    place.map_or_else(|| label.clone(), |place| format!("{label}@{}", place.line()))
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
