//! A loop whose events become short lines, between the words of its callbacks.

use super::{Watchdog, watchdog};
use looplab::trace::{Direction, Done, EntryKind, Event, Life, Record, Via, Why};
use looplab::{Clock, EventLoop};
use std::cell::RefCell;
use std::fmt::Display;
use std::ops::Deref;
use std::time::Duration;

thread_local! {
    /// What happened on this thread since its last [`Lab`] was made, or since [`Lab::clear`].
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Writes a word into the thread's log.
pub fn say(word: impl Display) {
    write(format!("'{word}'"));
}

/// A callback that says `word`.
pub fn says(word: &'static str) -> impl Fn() + Copy + Send + 'static {
    move || say(word)
}

fn write(line: String) {
    // The thread may be ending: what a destructor says then, nobody reads.
    let _ = LOG.try_with(|log| log.borrow_mut().push(line));
}

/// The words alone, in order; the log stays as it is.
pub fn words() -> Vec<String> {
    let word = |line: &String| Some(line.strip_prefix('\'')?.strip_suffix('\'')?.to_owned());
    LOG.with_borrow(|log| log.iter().filter_map(word).collect())
}

/// A recorded loop with a watchdog. It is used as the loop that it holds.
pub struct Lab {
    lp: EventLoop,
    _dog: Watchdog,
}

impl Deref for Lab {
    type Target = EventLoop;
    fn deref(&self) -> &EventLoop {
        &self.lp
    }
}

impl Lab {
    /// In virtual time: waits take none, and a loop that nothing can wake ends with an error instead of hanging.
    pub fn new() -> Self {
        Self::with(Clock::virtual_time())
    }

    /// In the machine's time.
    pub fn in_real_time() -> Self {
        Self::with(Clock::monotonic())
    }

    fn with(clock: Clock) -> Self {
        let _dog = watchdog();
        let mut fds = Vec::new();
        let observer = move |record: &Record<'_>| {
            if let Some(line) = line(record, &mut fds) {
                write(line);
            }
        };
        let lp = EventLoop::builder().clock(clock).observer(observer).build().expect("a loop");
        LOG.with_borrow_mut(Vec::clear);
        Self { lp, _dog }
    }

    /// Forgets what is in the log.
    pub fn clear(&self) {
        LOG.with_borrow_mut(Vec::clear);
    }

    /// The log, line by line, which is empty afterwards.
    pub fn take(&self) -> Vec<String> {
        LOG.take()
    }

    /// The log is exactly this, and is empty afterwards. Lines stand apart by ` | ` or a line's end.
    #[track_caller]
    pub fn is(&self, expected: &str) {
        let lines = expected.split(['|', '\n']).map(str::trim).filter(|line| !line.is_empty());
        let (expected, happened) = (lines.map(str::to_owned).collect::<Vec<_>>(), self.take());
        assert!(
            expected == happened,
            "expected:\n{}\nhappened:\n{}",
            by_turns(&expected),
            by_turns(&happened)
        );
    }
}

/// One turn per line, as `is` takes it.
fn by_turns(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        let begins = ["turn", "run", "unstop", "end"].contains(&line.split(' ').next().unwrap_or(""))
            && !line.starts_with("run h");
        let between = if text.is_empty() { "    " } else { " | " };
        text.push_str(if begins && !text.is_empty() { "\n    " } else { between });
        text.push_str(line);
    }
    text
}

/// An event as a line; `fds` are the descriptors that have a letter.
fn line(record: &Record<'_>, fds: &mut Vec<i32>) -> Option<String> {
    let mut fd = |number: i32| {
        let index = fds.iter().position(|known| *known == number).unwrap_or_else(|| {
            fds.push(number);
            fds.len() - 1
        });
        char::from(b'a' + u8::try_from(index % 26).unwrap_or(0))
    };
    Some(match record.event {
        Event::Loop(Life::New) => return None,
        Event::Loop(Life::Run) => "run".into(),
        Event::Loop(Life::End) => "end".into(),
        Event::Loop(Life::Closed) => "closed".into(),
        Event::Turn { n } => format!("turn {n}"),
        Event::TimersDropped { handles } => {
            format!("drop{}", handles.iter().map(|h| format!(" h{h}")).collect::<String>())
        }
        Event::Select { timeout, why, handle } => select(record, timeout, why, handle),
        Event::Polled { events: [] } => return None,
        Event::Polled { events } => {
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
        Event::Unregistered { fd: number, direction } => format!("no {} {}", side(direction), fd(number)),
        Event::SignalRegistered { signal, h, .. } => format!("watch {signal} h{h}"),
        Event::SignalUnregistered { signal } => format!("unwatch {signal}"),
        Event::Signal { signal, .. } => format!("signal {signal}"),
        Event::Reported { .. } => "reported".into(),
        ref of_a_task => return about_tasks(of_a_task),
    })
}

/// How an entry came into the ready queue; nothing for a plain callback of the loop's own thread.
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
    let end = |state: Done| match state {
        Done::Ok => "ok",
        Done::Err => "err",
        Done::Cancelled => "cancelled",
    };
    Some(match *event {
        Event::Task { task, .. } => format!("task t{task}"),
        Event::Step { task, thrown: None } => format!("step t{task}"),
        Event::Step { task, thrown: Some(_) } => format!("throw into t{task}"),
        Event::Park { task, on } => {
            let kinds: Vec<&str> = on.iter().map(|wait| wait.kind).collect();
            format!("park t{task} {}", kinds.join(" "))
        }
        Event::CancelRequested { task, .. } => format!("cancel t{task}"),
        Event::TaskDone { task, state, .. } => format!("t{task} {}", end(state)),
        Event::Future { future, kind, .. } => format!("{kind} f{future}"),
        Event::FutureDone { future, state, .. } => format!("f{future} {}", end(state)),
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
    let why = match why {
        Why::Ready => "ready",
        Why::Stopping => "stopping",
        Why::Timer => "timer",
        Why::Idle => "idle",
        Why::Cap => "cap",
    };
    let timer = handle.map(|h| format!(" h{h}")).unwrap_or_default();
    format!("select {wait} {why}{timer}")
}

fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::Read => "reader",
        Direction::Write => "writer",
    }
}
