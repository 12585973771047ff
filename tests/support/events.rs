//! An event of a loop as a short line.
//!
//! Handles are h1, h2 … in the order in which they were made, tasks and futures t1, f2 …, descriptors a, b … in the
//! order in which they were registered; `+h1` is a push into the ready queue. Polls that found nothing and callbacks that
//! returned without an error have no line.

use looplab::trace::{Direction, EntryKind, Event, Life, Record, Via, Why};
use std::time::Duration;

/// Returns an event as a line; `fds` are the descriptors that have a letter.
pub(crate) fn line(record: &Record<'_>, fds: &mut Vec<i32>) -> Option<String> {
    let mut fd = |number: i32| {
        let index = fds.iter().position(|known| *known == number).unwrap_or_else(|| {
            fds.push(number);
            fds.len() - 1
        });
        char::from(b'a' + u8::try_from(index % 26).unwrap_or(0))
    };
    Some(match record.event {
        Event::Loop(Life::New) => return None,
        Event::Loop(life) => life.as_str().into(),
        Event::Turn { n } => format!("turn {n}"),
        Event::TimersDropped { handles } => {
            format!("drop{}", handles.iter().map(|h| format!(" h{h}")).collect::<String>())
        }
        Event::Select { timeout, why, handle } => select(record, timeout, why, handle),
        Event::Polled { events: [], .. } => return None,
        Event::Polled { events, .. } => {
            let side = |ready, word| if ready { word } else { "" };
            let one = |(number, ready): &(i32, looplab::trace::Ready)| {
                format!(" {}:{}{}", fd(*number), side(ready.read, "r"), side(ready.write, "w"))
            };
            format!("polled{}", events.iter().map(one).collect::<String>())
        }
        Event::Push { h, via, kind, task, fd: number, signal, .. } => {
            format!("+h{h}{}", origin(via, kind, task, number.map(fd), signal))
        }
        Event::Timer { h, when, .. } if record.virtual_time => {
            format!("timer h{h} {:?}", when.saturating_duration_since(record.time))
        }
        Event::Timer { h, .. } => format!("timer h{h}"),
        Event::TimerCancelled { h, .. } | Event::Cancelled { h, .. } => format!("cancel h{h}"),
        Event::Due { h, late, .. } if record.virtual_time && late > Duration::ZERO => {
            format!("due h{h} late {late:?}")
        }
        Event::Due { h, .. } => format!("due h{h}"),
        Event::Batch { n } => format!("batch {n}"),
        Event::Run { h, .. } => format!("run h{h}"),
        Event::Skip { h, .. } => format!("skip h{h}"),
        Event::Returned { error: None, .. } => return None,
        Event::Returned { error: Some(error), .. } => format!("failed: {error}"),
        Event::Stop { .. } => "stop".into(),
        Event::Unstop => "unstop".into(),
        Event::Registered { fd: number, direction, h, .. } => {
            format!("{} {} h{h}", side(direction), fd(number))
        }
        Event::Unregistered { fd: number, direction, .. } => format!("no {} {}", side(direction), fd(number)),
        Event::SignalRegistered { signal, h, .. } => format!("watch {signal} h{h}"),
        Event::SignalUnregistered { signal, .. } => format!("unwatch {signal}"),
        Event::Signal { signal, .. } => format!("signal {signal}"),
        Event::Reported { .. } => "reported".into(),
        ref of_a_task => return about_tasks(of_a_task),
    })
}

/// Returns how an entry came into the ready queue; nothing for a plain callback of the loop's own thread.
fn origin(via: Via, kind: EntryKind, task: Option<u64>, fd: Option<char>, signal: Option<i32>) -> String {
    match (via, kind, fd) {
        (Via::Io, _, Some(fd)) => format!(" io {fd}"),
        (Via::Io, ..) => " signals".into(),
        (Via::Signal, ..) => format!(" signal {}", signal.unwrap_or(0)),
        (Via::Threadsafe, ..) => " thread".into(),
        (_, EntryKind::Step, _) => format!(" step t{}", task.unwrap_or(0)),
        (_, EntryKind::Wakeup, _) => format!(" wakeup t{}", task.unwrap_or(0)),
        (_, EntryKind::DoneCallback, _) => " done".into(),
        _ => String::new(),
    }
}

fn about_tasks(event: &Event<'_>) -> Option<String> {
    Some(match *event {
        Event::Task { task, .. } => format!("task t{task}"),
        Event::Step { task, thrown: None } => format!("step t{task}"),
        Event::Step { task, thrown: Some(_) } => format!("throw into t{task}"),
        Event::Park { task, on } => {
            let kinds: Vec<&str> = on.iter().map(|wait| wait.kind).collect();
            format!("park t{task} {}", kinds.join(" "))
        }
        Event::Yielded { .. } => return None,
        Event::CancelRequested { task, .. } => format!("cancel t{task}"),
        Event::TaskDone { task, state, .. } => format!("t{task} {}", state.as_str()),
        Event::Future { future, kind, .. } => format!("{kind} f{future}"),
        Event::FutureDone { future, state, .. } => format!("f{future} {}", state.as_str()),
        _ => format!("{event:?}"),
    })
}

fn select(record: &Record<'_>, timeout: Option<Duration>, why: Why, handle: Option<u64>) -> String {
    let wait = match timeout {
        None => "for ever".to_owned(),
        Some(Duration::ZERO) => "0".to_owned(),
        Some(wait) if record.virtual_time => format!("{wait:?}"),
        // Of a real clock only the reason repeats.
        Some(_) => "a while".to_owned(),
    };
    let timer = handle.map(|h| format!(" h{h}")).unwrap_or_default();
    format!("select {wait} {}{timer}", why.as_str())
}

fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::Read => "reader",
        Direction::Write => "writer",
    }
}
