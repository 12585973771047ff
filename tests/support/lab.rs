//! A loop in a laboratory: with a watchdog, and with a log of what happened on it.

use crate::events::line;
use crate::transitions::Trace;
use crate::{Watchdog, show, watchdog};
use looplab::trace::Record;
use looplab::{Clock, Error, EventLoop, ExceptionContext, Result, get_running_loop};
use std::cell::RefCell;
use std::fmt::{Debug, Display};
use std::ops::Deref;
use std::rc::Rc;

thread_local! {
    /// What happened on this thread since its last recorded [`Lab`] was made.
    static EVENTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Writes a word between the thread's events.
pub fn say(word: impl Display) {
    write(format!("'{word}'"));
}

/// Returns a callback that says `word`.
pub fn says(word: &'static str) -> impl Fn() + Copy + Send + 'static {
    move || say(word)
}

fn write(line: String) {
    // The thread may be ending: a destructor that speaks then is not recorded.
    let _ = EVENTS.try_with(|log| log.borrow_mut().push(line));
}

/// Returns the words alone, in order; the events stay as they are.
pub fn words() -> Vec<String> {
    let word = |line: &String| Some(line.strip_prefix('\'')?.strip_suffix('\'')?.to_owned());
    EVENTS.with_borrow(|log| log.iter().filter_map(word).collect())
}

/// Lines, each with the turn in which it was said (`-` between two runs).
#[derive(Clone, Default)]
pub struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    /// Adds a line.
    pub fn say(&self, text: impl Display) {
        let turn = get_running_loop().map_or_else(|_| "-".to_owned(), |lp| lp.turns().to_string());
        self.0.borrow_mut().push(format!("{turn} {text}"));
    }

    /// Returns the lines so far, and forgets them.
    pub fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

/// Says a formatted line.
#[macro_export]
macro_rules! say {
    ($log:expr, $($format:tt)+) => { $log.say(format!($($format)+)) };
}

/// A loop with a watchdog. It is used as the loop that it holds.
pub struct Lab {
    pub lp: EventLoop,
    pub log: Log,
    _dog: Watchdog,
}

impl Deref for Lab {
    type Target = EventLoop;
    fn deref(&self) -> &EventLoop {
        &self.lp
    }
}

/// Each event of the loop is a line for [`Lab::is`]. No virtual wait takes time, and a loop that nothing can wake ends
/// with an error instead of hanging.
impl Lab {
    /// Makes a recorded loop in virtual time.
    pub fn new() -> Self {
        Self::recorded(Clock::virtual_time())
    }

    /// Makes a recorded loop in the machine's time.
    pub fn in_real_time() -> Self {
        Self::recorded(Clock::monotonic())
    }

    fn recorded(clock: Clock) -> Self {
        let mut fds = Vec::new();
        let observer = move |record: &Record<'_>| {
            if let Some(line) = line(record, &mut fds) {
                write(line);
            }
        };
        let lp = EventLoop::builder().clock(clock).observer(observer).build().expect("a loop");
        EVENTS.with_borrow_mut(Vec::clear);
        Self { lp, log: Log::default(), _dog: watchdog() }
    }

    /// Forgets the events so far.
    pub fn clear(&self) {
        EVENTS.with_borrow_mut(Vec::clear);
    }

    /// Returns the events so far, line by line, and forgets them.
    pub fn take(&self) -> Vec<String> {
        EVENTS.take()
    }

    /// Asserts that the events are exactly these, and forgets them. ` | ` or a line's end separates them.
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

/// Words and reports are lines of its log, with their turns; events are not recorded.
impl Lab {
    /// Makes a loop in virtual time.
    pub fn reporting() -> Self {
        Self::with_reports(EventLoop::builder().clock(Clock::virtual_time()).build().unwrap())
    }

    /// Makes a loop in the machine's time, for what other threads have a part in.
    pub fn reporting_in_real_time() -> Self {
        Self::with_reports(EventLoop::builder().clock(Clock::monotonic()).build().unwrap())
    }

    /// Makes a loop in virtual time whose transitions are written down.
    pub fn traced() -> (Self, Trace) {
        let trace = Trace::default();
        let writer = trace.clone();
        let observer = move |record: &Record<'_>| writer.note(&record.event);
        let lp = EventLoop::builder().clock(Clock::virtual_time()).observer(observer).build().unwrap();
        (Self::with_reports(lp), trace)
    }

    fn with_reports(lp: EventLoop) -> Self {
        let log = Log::default();
        let reports = log.clone();
        lp.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| {
            reports.say(report(context));
        }));
        Self { lp, log, _dog: watchdog() }
    }

    /// Runs `body` to its end; returns the log, whose last line is the outcome and the turn in which the run ended.
    pub fn run<T: Debug + 'static>(&self, body: impl Future<Output = Result<T>> + 'static) -> Vec<String> {
        let outcome = self.lp.run_until_complete(body);
        let text = match outcome {
            Ok(value) => format!("returned {value:?}"),
            // An assertion of the test that failed inside.
            Err(Error::Panic(text)) => panic!("{text}"),
            Err(error) => format!("raised {}", show(&error)),
        };
        self.log.0.borrow_mut().push(format!("{} {text}", self.lp.turns()));
        self.log.take()
    }

    /// Makes exactly one turn, as `stop(); run_forever()` does.
    pub fn turn(&self) {
        self.lp.stop();
        self.lp.run_forever().unwrap();
    }
}

/// Returns the context of a report as one line.
fn report(context: &ExceptionContext) -> String {
    let task = context.task().map(|task| format!(" ({})", task.name)).unwrap_or_default();
    let error = context.error().map(|error| format!(": {}", show(error))).unwrap_or_default();
    // The place in "Exception in callback" depends on the line numbers of the test.
    let message = context.message().split(" created at").next().unwrap_or_default();
    format!("REPORT {message}{task}{error}")
}

/// Shows one turn per line, as `is` takes it.
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
