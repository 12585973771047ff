//! What the tests of tasks and futures share: a loop in virtual time, a log that stamps each line with the turn in
//! which it was said, and the trace of what the loop did.
//!
//! It promises that no test hangs unnoticed (each [`Lab`] has a watchdog) and that what goes to the exception handler
//! stands in the log too. It does not hide the library: the tests call it directly.

use looplab::trace::{Done, EntryKind, Event, On, Record};
use looplab::{Clock, Error, EventLoop, ExceptionContext, Result, YieldNow, get_running_loop, yield_now};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::pin::Pin;
use std::process::abort;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

/// Long enough for any machine: no test waits for it, it only ends one that hangs.
const FOR_EVER: Duration = Duration::from_secs(120);

/// An hour of virtual time.
pub const HOUR: Duration = Duration::from_secs(3600);

/// Milliseconds of virtual time.
pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A loop in virtual time, its log, and a watchdog.
pub struct Lab {
    pub lp: EventLoop,
    pub log: Log,
    _watchdog: Watchdog,
}

impl Lab {
    pub fn new() -> Self {
        Self::with(EventLoop::builder().clock(Clock::virtual_time()).build().unwrap())
    }

    /// A loop on the machine's clock, for what other threads have a part in.
    pub fn in_real_time() -> Self {
        Self::with(EventLoop::builder().clock(Clock::monotonic()).build().unwrap())
    }

    /// A loop whose transitions are written down.
    pub fn traced() -> (Self, Trace) {
        let trace = Trace::default();
        let writer = trace.clone();
        let observer = move |record: &Record<'_>| writer.note(&record.event);
        let lp = EventLoop::builder().clock(Clock::virtual_time()).observer(observer).build().unwrap();
        (Self::with(lp), trace)
    }

    fn with(lp: EventLoop) -> Self {
        let log = Log::default();
        let reports = log.clone();
        lp.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| {
            reports.say(report(context));
        }));
        Self { lp, log, _watchdog: Watchdog::new() }
    }

    /// Runs `body` to its end; the log with its last line: what came of it, and in which turn the run ended.
    pub fn run<T: std::fmt::Debug + 'static>(
        &self,
        body: impl Future<Output = Result<T>> + 'static,
    ) -> Vec<String> {
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

/// What an exception handler was told, in one line.
fn report(context: &ExceptionContext) -> String {
    let task = context.task().map(|task| format!(" ({})", task.name)).unwrap_or_default();
    let error = context.error().map(|error| format!(": {}", show(error))).unwrap_or_default();
    // The place in "Exception in callback" depends on the line numbers of the test.
    let message = context.message().split(" created at").next().unwrap_or_default();
    format!("REPORT {message}{task}{error}")
}

/// An error as the logs show it.
pub fn show(error: &Error) -> String {
    match error {
        Error::Cancelled(None) => "Cancelled".to_owned(),
        Error::Cancelled(Some(message)) => format!("Cancelled({message})"),
        Error::Panic(text) => format!("Panic({text})"),
        other => other.to_string(),
    }
}

/// Lines, each with the turn in which it was said (`-` between two runs).
#[derive(Clone, Default)]
pub struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub fn say(&self, text: impl Display) {
        let turn = get_running_loop().map_or_else(|_| "-".to_owned(), |lp| lp.turns().to_string());
        self.0.borrow_mut().push(format!("{turn} {text}"));
    }

    /// The lines so far, which are then forgotten.
    pub fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

/// Says a formatted line.
#[macro_export]
macro_rules! say {
    ($log:expr, $($format:tt)+) => { $log.say(format!($($format)+)) };
}
pub use crate::say;

/// A future of the running loop that nobody sets.
pub async fn forever() -> Result<()> {
    let never = get_running_loop()?.create_future::<()>();
    never.await
}

/// Waits for ever; says what was thrown, and passes it on.
pub async fn pass_on(log: Log, name: &'static str) -> Result<()> {
    let thrown = forever().await;
    if let Err(error) = &thrown {
        say!(log, "{name} {}", show(error));
    }
    thrown
}

/// Waits for ever; says what was thrown, and swallows it.
pub async fn swallow<T>(log: Log, name: &'static str, value: T) -> Result<T> {
    if let Err(error) = forever().await {
        say!(log, "{name} {}", show(&error));
    }
    Ok(value)
}

/// The text of a failure; panics on success.
#[track_caller]
pub fn failure<T: std::fmt::Debug>(result: Result<T>) -> String {
    show(&result.expect_err("it should have failed"))
}

/// Counts how often it is dropped.
pub struct Guard(pub Rc<Cell<u32>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Runs a function when it is dropped.
pub struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A body that yields once, returns, and keeps what it holds until it is dropped itself. (An `async` block drops what it
/// holds when it returns.)
pub struct Holds<G> {
    pub held: G,
    pub yields: YieldNow,
}

impl<G> Holds<G> {
    pub fn new(held: G) -> Self {
        Self { held, yields: yield_now() }
    }
}

impl<G: Unpin> Future for Holds<G> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.yields).poll(cx)
    }
}

/// Ends the process if a test hangs: a hanging loop blocks its thread, so nothing milder can.
pub struct Watchdog {
    _leash: Sender<()>,
}

impl Watchdog {
    pub fn new() -> Self {
        let (leash, released): (Sender<()>, Receiver<()>) = channel();
        let name = thread::current().name().unwrap_or("a test").to_owned();
        thread::spawn(move || {
            if released.recv_timeout(FOR_EVER) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{name} hangs");
                abort();
            }
        });
        Self { _leash: leash }
    }
}

/// What the loop did to tasks and futures, one line each: `turn 2`, `queue main.wakeup`, `step main`, `main waits for
/// sleep#2`, `cancel main`, `sleep#2 cancelled`, `main ok`.
#[derive(Clone, Default)]
pub struct Trace {
    lines: Rc<RefCell<Vec<String>>>,
    names: Rc<RefCell<BTreeMap<u64, String>>>,
}

impl Trace {
    /// The lines so far, which are then forgotten.
    pub fn take(&self) -> Vec<String> {
        self.lines.take()
    }

    fn note(&self, event: &Event<'_>) {
        if let Some(line) = self.line(event) {
            self.lines.borrow_mut().push(line);
        }
    }

    fn name(&self, object: u64) -> String {
        self.names.borrow().get(&object).cloned().unwrap_or_default()
    }

    fn line(&self, event: &Event<'_>) -> Option<String> {
        Some(match *event {
            Event::Turn { n } => format!("turn {n}"),
            Event::Task { task, name, .. } => {
                self.names.borrow_mut().insert(task, name.to_owned());
                format!("new {name}")
            }
            Event::Future { future, kind, .. } => {
                self.names.borrow_mut().insert(future, format!("{kind}#{future}"));
                return None;
            }
            Event::Push { kind, label, .. } => match kind {
                EntryKind::Step | EntryKind::Wakeup => format!("queue {label}"),
                EntryKind::DoneCallback => "queue done callback".to_owned(),
                EntryKind::Callback | EntryKind::Io => return None,
            },
            Event::Step { task, thrown: None } => format!("step {}", self.name(task)),
            Event::Step { task, thrown: Some(error) } => {
                format!("step {}, thrown {}", self.name(task), show(error))
            }
            Event::Park { task, on } => {
                let on = on.iter().map(|wait| match wait.on {
                    On::Future(id) | On::Task(id) => self.name(id),
                });
                format!("{} waits for {}", self.name(task), on.collect::<Vec<_>>().join(", "))
            }
            Event::CancelRequested { task, .. } => format!("cancel {}", self.name(task)),
            Event::TaskDone { task, state, .. } => format!("{} {}", self.name(task), word(state)),
            Event::FutureDone { future, state, .. } => format!("{} {}", self.name(future), word(state)),
            Event::TimerCancelled { .. } => "timer cancelled".to_owned(),
            _ => return None,
        })
    }
}

fn word(state: Done) -> &'static str {
    match state {
        Done::Ok => "ok",
        Done::Err => "failed",
        Done::Cancelled => "cancelled",
    }
}

thread_local! {
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Capture;

impl log::Log for Capture {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LOGGED.with(|logged| logged.borrow_mut().push(record.args().to_string()));
    }

    fn flush(&self) {}
}

/// From now on what this thread writes to `log` is kept: the function gives it, and forgets it.
pub fn capture_log() -> impl Fn() -> Vec<String> {
    // Only the first test of the process can set it; it is the same logger for all, and each thread has its own lines.
    let _ = log::set_logger(&Capture);
    log::set_max_level(log::LevelFilter::Warn);
    LOGGED.take();
    || LOGGED.take()
}
