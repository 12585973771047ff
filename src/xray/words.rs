//! The words of the schema for the kinds of things, in one place for the lines, the snapshots and the replay.

use crate::error::Error;
use crate::trace::{Direction, Done, EntryKind, Event, Life, Via, Why};

/// The `e` of an event's line.
pub(super) fn event_word(event: &Event<'_>) -> &'static str {
    match event {
        Event::Loop(_) => "loop",
        Event::Turn { .. } => "turn",
        Event::TimersDropped { .. } => "tdrop",
        Event::Select { .. } => "sel",
        Event::Polled { .. } => "polled",
        Event::Push { .. } => "push",
        Event::Timer { .. } => "timer",
        Event::TimerCancelled { .. } => "tcancel",
        Event::Cancelled { .. } => "cancel",
        Event::Due { .. } => "due",
        Event::Batch { .. } => "batch",
        Event::Run { .. } => "run",
        Event::Skip { .. } => "skip",
        Event::Returned { .. } => "ret",
        Event::Stop { .. } => "stop",
        Event::Unstop => "unstop",
        Event::Task { .. } => "task",
        Event::Step { .. } => "step",
        Event::Park { .. } => "park",
        Event::CancelRequested { .. } => "creq",
        Event::TaskDone { .. } => "tdone",
        Event::Future { .. } => "fut",
        Event::FutureDone { .. } => "fdone",
        Event::Registered { .. } => "reg",
        Event::Unregistered { .. } => "unreg",
        Event::SignalRegistered { .. } => "sigreg",
        Event::SignalUnregistered { .. } => "sigunreg",
        Event::Signal { .. } => "sig",
        Event::Reported { .. } => "mark",
        Event::Job { .. } => "job",
        Event::JobRuns { .. } => "jrun",
        Event::JobEnds { .. } => "jend",
    }
}

pub(super) fn life_word(life: Life) -> &'static str {
    match life {
        Life::New => "new",
        Life::Run => "run",
        Life::End => "end",
        Life::Closed => "closed",
    }
}

pub(super) fn why_word(why: Why) -> &'static str {
    match why {
        Why::Ready => "ready",
        Why::Stopping => "stopping",
        Why::Timer => "timer",
        Why::Idle => "idle",
        Why::Cap => "cap",
    }
}

pub(super) fn via_word(via: Via) -> &'static str {
    match via {
        Via::CallSoon => "call_soon",
        Via::Threadsafe => "threadsafe",
        Via::Io => "io",
        Via::Signal => "signal",
    }
}

pub(super) fn kind_word(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Step => "step",
        EntryKind::Wakeup => "wakeup",
        EntryKind::DoneCallback => "donecb",
        EntryKind::Callback => "cb",
        EntryKind::Io => "io",
    }
}

pub(super) fn done_word(done: Done) -> &'static str {
    match done {
        Done::Ok => "ok",
        Done::Err => "err",
        Done::Cancelled => "cancelled",
    }
}

pub(super) fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Read => "r",
        Direction::Write => "w",
    }
}

/// What an error is called when its text is empty: asyncio's name for it.
pub(super) fn error_word(error: &Error) -> &'static str {
    match error {
        Error::Cancelled(_) => "CancelledError",
        Error::Value(_) => "ValueError",
        Error::Runtime(_) => "RuntimeError",
        Error::InvalidState(_) => "InvalidStateError",
        Error::Panic(_) => "panic",
        _ => "Error",
    }
}
