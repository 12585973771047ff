//! Every kind of event becomes the line that `docs/trace-v1.jsonl` shows. `tests/book` checks those lines against the schema.

use super::super::jsonl::JsonLines;
use super::super::recorder::Form;
use super::fake::{FakeLoop, Paper};
use crate::error::Error;
use crate::trace::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

const SCHEMA: &str = include_str!("../../../docs/trace-v1.json");

/// The schema's kinds that looplab does not write.
const NOT_WRITTEN: [&str; 1] = ["drop"];

/// A line of every kind, without the count and the place.
const LINES: &str = include_str!("../../../docs/trace-v1.jsonl");

/// All lines of a text.
pub(super) fn parsed(text: &str) -> Vec<Value> {
    text.lines()
        .map(|text| serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")))
        .collect()
}

/// Returns the lines of some events, without `meta`, the loop's `new` and the definitions; and without `s`.
fn texts_of(events: &[Event<'_>]) -> Vec<String> {
    let paper = Paper::default();
    let recorder = paper.recorder(Form::Lines(JsonLines::default()), false);
    let mut lp = FakeLoop::new(recorder.recording(), true);
    events.iter().for_each(|event| lp.tell(*event));
    drop(lp);
    let text = paper.text();
    let lines = text.lines().skip(2).map(|line| line.split_once(',').expect("more than `s`").1);
    lines.filter(|line| !line.contains(r#""e":"def""#)).map(|line| format!("{{{line}")).collect()
}

fn lines_of(events: &[Event<'_>]) -> Vec<Value> {
    parsed(&texts_of(events).join("\n"))
}

fn line_of(event: Event<'_>) -> Value {
    let [line] = <[Value; 1]>::try_from(lines_of(&[event])).expect("one event, one line");
    line
}

/// Calls `each` with every kind of event, with all its fields and with none of the optional ones.
fn every_event(mut each: impl FnMut(Event<'_>)) {
    let error = &Error::msg("boom");
    let (now, place) = (Instant::now(), Some(Location::caller()));
    let (h, q, by, task) = (4, 5, Some(6), 7);
    let wait = Wait { on: On::Future(3), kind: "sleep", place, holder: None };
    let ready = Ready { read: true, write: true };
    for life in [Life::New, Life::Run, Life::End, Life::Closed] {
        each(Event::Loop(life));
    }
    each(Event::Turn { n: 1 });
    each(Event::TimersDropped { handles: &[1, 2] });
    for why in [Why::Ready, Why::Stopping, Why::Timer, Why::Idle, Why::Cap] {
        each(Event::Select { timeout: Some(Duration::ZERO), why, handle: Some(h) });
        each(Event::Select { timeout: None, why, handle: None });
    }
    each(Event::Polled { events: &[(3, ready), (-1, ready)], wake: None });
    for wake in [None, Some(Wake::Signal), Some(Wake::Thread)] {
        each(Event::Polled { events: &[], wake });
    }
    for (via, kind, cause) in [
        (Via::CallSoon, EntryKind::Step, On::Task(1)),
        (Via::Threadsafe, EntryKind::Wakeup, On::Future(2)),
        (Via::Io, EntryKind::Io, On::Task(1)),
        (Via::Signal, EntryKind::DoneCallback, On::Future(2)),
    ] {
        let (task, cause, thread, fd, signal) = (Some(task), Some(cause), Some("pool-1"), Some(3), Some(15));
        each(Event::Push {
            q,
            h,
            via,
            kind,
            label: "a",
            own: true,
            task,
            cause,
            by,
            thread,
            fd,
            signal,
            place,
        });
    }
    let (label, via, kind) = ("a", Via::CallSoon, EntryKind::Callback);
    let nothing = Event::Push {
        q,
        h,
        via,
        kind,
        label,
        own: false,
        task: None,
        cause: None,
        by: None,
        thread: None,
        fd: None,
        signal: None,
        place: None,
    };
    each(nothing);
    each(Event::Timer { h, when: now, label, own: true, by, task: Some(task), place });
    each(Event::Timer { h, when: now, label, own: false, by: None, task: None, place: None });
    for by in [by, None] {
        each(Event::TimerCancelled { h, by });
        each(Event::Cancelled { h, by });
        each(Event::Stop { by });
        each(Event::CancelRequested { task, by });
    }
    each(Event::Due { q, h, late: Duration::from_nanos(9) });
    each(Event::Batch { n: 0 });
    each(Event::Run { q, h });
    each(Event::Skip { q, h });
    each(Event::Unstop);
    each(Event::Task { task, name: "Task-1", body: "main", parent: Some(2), by, place });
    each(Event::Task { task, name: "", body: "", parent: None, by: None, place: None });
    each(Event::Park {
        task,
        on: &[wait, Wait { on: On::Task(8), kind: "task", place: None, holder: Some(9) }, wait],
    });
    each(Event::Park { task, on: &[Wait { place: None, ..wait }] });
    each(Event::Yielded { task });
    for error in [Some(error), None] {
        each(Event::Returned { q, error });
        each(Event::Step { task, thrown: error });
        for state in [Done::Ok, Done::Err, Done::Cancelled] {
            each(Event::TaskDone { task, state, error, by });
            each(Event::FutureDone { future: 3, state, error, by: None });
        }
    }
    each(Event::Future { future: 3, kind: "future", place });
    each(Event::Future { future: 3, kind: "future", place: None });
    for by in [by, None] {
        for direction in [Direction::Read, Direction::Write] {
            each(Event::Registered { fd: 3, direction, h, label, by });
            each(Event::Unregistered { fd: 3, direction, by });
        }
        each(Event::SignalRegistered { signal: 15, h, label, by });
        each(Event::SignalUnregistered { signal: 15, by });
        each(Event::Reported { message: label, by });
    }
    each(Event::Disturbed { what: "cancel worker" });
    each(Event::Signal { signal: 15, at: now });
    each(Event::Job { job: 1, label, own: false, by: None, place: std::panic::Location::caller() });
    each(Event::Job { job: 1, label, own: true, by, place: std::panic::Location::caller() });
    for at in [Some(now), None] {
        each(Event::JobRuns { job: 1, thread: label, at });
        each(Event::JobEnds { job: 1, thread: label, state: "ok", at });
    }
}

/// `LOOPLAB_BLESS=1 cargo test --lib xray` writes the file anew.
#[test]
fn every_event_becomes_the_one_line_that_the_docs_show() {
    let mut lines = String::new();
    every_event(|event| lines += &(texts_of(&[event]).join("\n") + "\n"));
    if std::env::var_os("LOOPLAB_BLESS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/trace-v1.jsonl"), &lines).unwrap();
    } else {
        assert_eq!(parsed(&lines), parsed(LINES), "the head of this test says how to renew the file");
    }
}

#[test]
fn the_docs_show_a_line_of_every_kind_that_the_schema_knows() {
    let shown = parsed(LINES).iter().map(|line| line["e"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let mut written = BTreeSet::from(["meta", "def", "out", "snap"].map(str::to_owned));
    written.extend(shown);
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut known = BTreeSet::new();
    for variant in schema["oneOf"].as_array().unwrap() {
        let e = &variant["properties"]["e"];
        let words = e["enum"].as_array().cloned().unwrap_or_else(|| vec![e["const"].clone()]);
        known.extend(words.iter().map(|word| word.as_str().unwrap().to_owned()));
    }
    NOT_WRITTEN.iter().for_each(|kind| assert!(known.remove(*kind), "{kind}"));
    assert_eq!(written, known, "the list above must have every kind of event");
}

#[test]
fn fields_have_the_names_that_the_table_tells() {
    let (by, place) = (Some(9), Some(Location::caller()));
    let push = Event::Push {
        q: 3,
        h: 2,
        via: Via::Threadsafe,
        kind: EntryKind::Wakeup,
        label: "say \"hi\"\n",
        own: true,
        task: Some(4),
        cause: Some(On::Future(5)),
        by,
        thread: Some("pool-1"),
        fd: Some(-1),
        signal: Some(15),
        place,
    };
    assert_eq!(
        line_of(push),
        json!({"t": 0, "e": "push", "q": 3, "h": 2, "via": "threadsafe", "kind": "wakeup", "cb": "say \"hi\"\n",
            "own": true, "task": 4, "cause": {"fut": 5}, "by": 9, "thr": "pool-1", "fd": -1, "sig": 15, "src": 1})
    );
    let ready = |read, write| Ready { read, write };
    let events = &[(3, ready(true, false)), (4, ready(false, true)), (5, ready(true, true))];
    assert_eq!(
        line_of(Event::Polled { events, wake: Some(Wake::Signal) }),
        json!({"t": 0, "e": "polled", "ev": [[3, 1], [4, 2], [5, 3]], "wake": "signal"})
    );
    assert_eq!(
        line_of(Event::Select { timeout: None, why: Why::Idle, handle: None }),
        json!({"t": 0, "e": "sel", "to": null, "why": "idle"})
    );
    assert_eq!(
        line_of(Event::Select { timeout: Some(Duration::from_millis(5)), why: Why::Timer, handle: Some(7) }),
        json!({"t": 0, "e": "sel", "to": 5_000_000, "why": "timer", "h": 7})
    );
}

#[test]
fn a_task_that_waits_on_several_names_the_first_and_then_the_others() {
    let place = Some(Location::caller());
    let first = Wait { on: On::Task(5), kind: "task", place, holder: None };
    let second = Wait { on: On::Future(6), kind: "sleep", place: None, holder: None };
    let third = Wait { on: On::Future(7), kind: "queue", place, holder: None };
    assert_eq!(
        line_of(Event::Park { task: 4, on: &[first, second, third] }),
        json!({"t": 0, "e": "park", "task": 4, "on": {"task": 5}, "kind": "task",
            "also": [{"fut": 6}, {"fut": 7}], "stack": [1, 1]})
    );
    assert_eq!(
        line_of(Event::Park { task: 4, on: &[second] }),
        json!({"t": 0, "e": "park", "task": 4, "on": {"fut": 6}, "kind": "sleep", "stack": []})
    );
    assert_eq!(lines_of(&[Event::Park { task: 4, on: &[] }]), [] as [Value; 0], "there is no line for it");
}

#[test]
fn an_error_is_its_text_or_its_kind_if_it_has_none() {
    let text_of = |error: &Error| line_of(Event::Returned { q: 1, error: Some(error) })["err"].clone();
    assert_eq!(text_of(&Error::msg("boom")), "boom");
    assert_eq!(text_of(&Error::cancelled()), "CancelledError");
    assert_eq!(text_of(&Error::Cancelled(Some("too slow".into()))), "too slow");
    assert_eq!(text_of(&Error::msg("")), "Error");
    let done =
        Event::TaskDone { task: 1, state: Done::Cancelled, error: Some(&Error::cancelled()), by: None };
    assert_eq!(
        line_of(done),
        json!({"t": 0, "e": "tdone", "task": 1, "st": "cancelled", "val": "CancelledError"})
    );
}

#[test]
fn an_error_whose_display_panics_does_not_take_the_loop_with_it() {
    #[derive(Debug)]
    struct Rude;
    impl fmt::Display for Rude {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("no text today");
        }
    }
    impl std::error::Error for Rude {}
    let line = line_of(Event::Returned { q: 1, error: Some(&Error::other(Rude)) });
    assert_eq!(line["err"], "(the error's Display panicked)");
}

#[test]
fn a_deadline_and_an_arrival_are_told_in_the_traces_own_time() {
    let paper = Paper::default();
    let recorder = paper.recorder(Form::Lines(JsonLines::default()), false);
    let mut lp = FakeLoop::new(recorder.recording(), true);
    let began = lp.now;
    lp.advance(3);
    lp.call_at(began + Duration::from_millis(8), "later");
    lp.tell(Event::Signal { signal: 2, at: began + Duration::from_millis(1) });
    if let Some(before) = began.checked_sub(Duration::from_millis(1)) {
        lp.call_at(before, "overdue");
    }
    drop(lp);
    let lines = parsed(&paper.text());
    let of = |key: &str, value: &str| lines.iter().find(|line| line[key] == value).unwrap();
    assert_eq!((&of("cb", "later")["t"], &of("cb", "later")["when"]), (&json!(3_000_000), &json!(8_000_000)));
    assert_eq!(of("e", "sig")["at"], 1_000_000);
    assert_eq!(of("cb", "overdue")["when"], 0, "what lies before the trace's beginning is 0");
}
