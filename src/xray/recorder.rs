//! The recorder: one file, and all loops of the process that write to it.
//!
//! It guarantees that lines never mix, however many threads write, and that a full disk ends the recording only. Events are
//! in the file when a run ends, when a loop is closed or dropped, before a poll that may sleep, and at every 64 KiB.
//! It does not know the form of a line: `jsonl` and `text` do.
//!
//! What the program prints becomes part of the trace before the next event, if standard output is a file. Then an event
//! that ends a callback first writes what `print!` has kept back. Between two events of the loop itself no code of the
//! program has run, and nothing is looked for.
//!
//! No lock is held while foreign code runs. An error's `Display` and the logger belong to the program and may use a loop.
//! So the first is called before the lock is taken, the second after it is released.

use super::file;
use super::jsonl::{JsonLines, executable};
use super::output::{self, Output};
use super::page;
use super::source::Sources;
use super::stamp::{Stamp, Zero};
use super::state::Snap;
use super::text::{TextTable, WIDTH};
use crate::environment::variable;
use crate::error::{Error, IoError, Result};
use crate::event_loop::Recording;
use crate::trace::{Event, Life, Record};
use std::cell::Cell;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

const TRACE: &str = "LOOPLAB_TRACE";
const SNAPSHOTS: &str = "LOOPLAB_TRACE_SNAPSHOTS";

/// How many bytes may wait for the file.
const BUFFER: usize = 64 * 1024;

/// The recorder of this process, or why there is none. The first use fixes it, until a fork makes another process.
static RECORDER: Mutex<Option<OfProcess>> = Mutex::new(None);

struct OfProcess {
    pid: u32,
    recorder: Result<Option<Arc<Recorder>>>,
}

thread_local! {
    /// `std::process::exit` drops no loop. On most systems it runs the destructors of the thread's locals.
    static AT_EXIT: FlushAtExit = FlushAtExit(std::thread::current().id());

    /// The entry that runs on this thread, as loop and `q`. No callback can run another loop.
    static RUNNING: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// Returns what records a loop that is being built; `None` unless `LOOPLAB_TRACE` asks for a trace.
///
/// # Errors
/// [`Error::Value`] if the file's extension is not known, [`Error::Io`] if the file cannot be created. Every loop of the
/// process gets the same error.
pub(crate) fn from_env() -> Result<Option<Recording>> {
    let Some(recorder) = recorder_of_process()? else { return Ok(None) };
    // This fails only while the thread ends. Then the loop's own drop writes the rest.
    let _ = AT_EXIT.try_with(|_| ());
    Ok(Some(recorder.recording()))
}

/// Returns what records one loop as JSON Lines in memory.
#[cfg(feature = "explore")]
pub(crate) fn recording_in_memory(lines: Arc<Mutex<Vec<u8>>>) -> Recording {
    let form = Form::Lines(JsonLines::with_sources());
    Arc::new(Recorder::new("the memory".to_owned(), Box::new(Memory(lines)), form, false, None)).recording()
}

#[cfg(feature = "explore")]
struct Memory(Arc<Mutex<Vec<u8>>>);

#[cfg(feature = "explore")]
impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn recorder_of_process() -> Result<Option<Arc<Recorder>>> {
    let mut of_process = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = std::process::id();
    if let Some(OfProcess { recorder, .. }) = of_process.as_ref().filter(|known| known.pid == pid) {
        return recorder.clone();
    }
    let recorder = variable(TRACE).map(|file| {
        let snapshots = variable(SNAPSHOTS).is_some_and(|value| value != "0");
        Recorder::create(Path::new(&file), snapshots)
    });
    let recorder = recorder.transpose();
    *of_process = Some(OfProcess { pid, recorder: recorder.clone() });
    recorder
}

/// Returns the recorder of this process, if it has made one.
fn recorder_so_far() -> Option<Arc<Recorder>> {
    let of_process = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
    let known = of_process.as_ref().filter(|known| known.pid == std::process::id())?;
    known.recorder.clone().ok()?
}

/// One trace that is being written.
pub(crate) struct Recorder {
    /// The file's name, for messages.
    name: String,
    /// The process that writes. A forked child has a copy of the recorder, and must not write the same lines again.
    pid: u32,
    /// Whether the full state follows every event.
    snapshots: bool,
    /// Whether the program's output becomes part of the trace.
    listens: bool,
    sink: Mutex<Sink>,
}

/// What the loops of all threads share.
struct Sink {
    /// Where the bytes go; `None` after an error.
    out: Option<Box<dyn Write + Send>>,
    buffer: Vec<u8>,
    /// How many bytes at the buffer's beginning are the page's own code.
    code: usize,
    form: Form,
    output: Option<Output>,
    /// How many loops have a number. (Alternative: the numbers of `LoopId`. Problem: they count in the process, and a forked
    /// child's file must begin with 1 too.)
    loops: u64,
    /// The last line's time.
    t: u64,
    /// The beginning of the trace on the machine's clock, once a loop on that clock was recorded.
    real: Option<Zero>,
}

pub(super) enum Form {
    Lines(JsonLines),
    /// The lines as the last element of an HTML page.
    Page(JsonLines),
    Table(TextTable),
}

impl Recorder {
    /// Creates the file. Its extension chooses the form.
    fn create(path: &Path, snapshots: bool) -> Result<Arc<Self>> {
        let name = path.display().to_string();
        let form = match path.extension().and_then(OsStr::to_str) {
            Some("jsonl") => Form::Lines(JsonLines::with_sources()),
            Some("html") => Form::Page(JsonLines::with_sources()),
            Some("txt") => Form::Table(table()),
            _ => {
                let text = format!(
                    "{TRACE}={name}: the file's extension says what to write, and must be .jsonl (every event, as \
                     JSON Lines), .html (a page that replays them) or .txt (one line per turn)"
                );
                return Err(Error::Value(text.into()));
            }
        };
        let (file, path) = file::create(path).map_err(|error| {
            let text = format!("{TRACE}={name}: {error}");
            IoError::told(error, text)
        })?;
        Ok(Arc::new(Self::new(
            path.display().to_string(),
            Box::new(file),
            form,
            snapshots,
            Output::of_process(),
        )))
    }

    pub(super) fn new(
        name: String,
        out: Box<dyn Write + Send>,
        form: Form,
        snapshots: bool,
        output: Option<Output>,
    ) -> Self {
        let snapshots = snapshots && !matches!(form, Form::Table(_));
        let mut buffer = Vec::with_capacity(BUFFER);
        if let Form::Page(_) = form {
            buffer.extend_from_slice(page::HEAD.as_bytes());
            buffer.extend_from_slice(page::element("Rust").as_bytes());
        }
        let listens = output.is_some();
        let code = buffer.len();
        let sink = Sink { out: Some(out), buffer, code, form, output, loops: 0, t: 0, real: None };
        Self { name, pid: std::process::id(), snapshots, listens, sink: Mutex::new(sink) }
    }

    /// Returns what records one loop.
    pub(super) fn recording(self: &Arc<Self>) -> Recording {
        let recorder = self.clone();
        let recorded = RecordedLoop {
            recorder,
            stamp: Cell::new(None),
            asking: Cell::new(false),
            settled: Cell::new(false),
        };
        Box::new(move |record| recorded.record(record))
    }

    fn is_copy(&self) -> bool {
        self.pid != std::process::id()
    }

    /// Writes the buffer. In the copy of a forked child the file is closed instead, which unlocks nothing.
    fn flush(&self, sink: &mut Sink) -> io::Result<()> {
        if self.is_copy() {
            sink.buffer.clear();
            sink.out = None;
        }
        sink.flush()
    }

    /// Puts what was printed since the last event into the buffer. `by` is the entry that has run since.
    fn hear(&self, sink: &mut Sink, number: u64, by: Option<(u64, u64)>) -> io::Result<()> {
        while sink.hear(number, by) {
            if sink.buffer.len() >= BUFFER {
                self.flush(sink)?;
            }
        }
        Ok(())
    }

    /// Locks the sink. Nothing panics while it holds this lock (but for a lack of memory), so a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs an error of a write. Must be called with no lock held.
    fn report(&self, written: io::Result<()>) {
        if let Err(error) = written {
            log_error!("the trace ends here, {} cannot be written: {error}", self.name);
        }
    }
}

impl Sink {
    /// Gives a loop its number and its place in the trace's time, at its first event.
    fn admit(&mut self, record: &Record<'_>) -> Stamp {
        self.loops += 1;
        let here = Zero { at: record.time, ns: self.t };
        let zero = if record.virtual_time { here } else { *self.real.get_or_insert(here) };
        Stamp { number: self.loops, t: self.t, virtual_time: record.virtual_time, zero }
    }

    /// Writes what stands before everything else, also before what was printed.
    fn begin(&mut self, at: &Stamp) {
        if let Form::Lines(lines) | Form::Page(lines) = &mut self.form {
            lines.begin(&mut self.buffer, at);
        }
    }

    /// Puts an event into the buffer. Returns true if the buffer must be written now.
    fn record(&mut self, at: &Stamp, record: &Record<'_>, error: Option<&str>, state: Option<&Snap>) -> bool {
        if self.out.is_none() {
            return false;
        }
        match &mut self.form {
            Form::Lines(lines) | Form::Page(lines) => {
                lines.event(&mut self.buffer, at, &record.event, error);
                if let Some(state) = state {
                    lines.snap(&mut self.buffer, at, state);
                }
            }
            Form::Table(table) => {
                table.event(&mut self.buffer, at.number, at.zero.ns(record.time), &record.event);
            }
        }
        self.buffer.len() >= BUFFER || must_be_written(&record.event)
    }

    /// Puts one piece of what was printed into the buffer; false if there is none. `number` is the loop of the next event.
    fn hear(&mut self, number: u64, by: Option<(u64, u64)>) -> bool {
        let Some(text) = self.output.as_mut().and_then(Output::take) else { return false };
        match &mut self.form {
            Form::Lines(lines) | Form::Page(lines) => lines.printed(&mut self.buffer, self.t, by, &text),
            Form::Table(table) => {
                table.printed(&mut self.buffer, by.map_or(number, |(number, _)| number), &text);
            }
        }
        true
    }

    /// Writes the buffer to the file. After an error there is no file any more, so the error is returned only once.
    fn flush(&mut self) -> io::Result<()> {
        let Some(out) = &mut self.out else { return Ok(()) };
        if let Form::Page(_) = self.form {
            page::escape(&mut self.buffer, std::mem::take(&mut self.code));
        }
        let written = out.write_all(&self.buffer).and_then(|()| out.flush());
        self.buffer.clear();
        if written.is_err() {
            self.out = None;
        }
        written
    }
}

/// Returns true for an event after which the program may be gone, or stand still for long.
fn must_be_written(event: &Event<'_>) -> bool {
    match event {
        Event::Loop(life) => matches!(life, Life::End | Life::Closed),
        Event::Select { timeout, .. } => *timeout != Some(Duration::ZERO),
        _ => false,
    }
}

/// Returns true if no code of the program runs from this event to the next one of a turn. That is not so for a poll, which
/// calls hooks and waits for other processes, nor for a return with an error, which is dropped then.
fn only_the_loop_runs_after(event: &Event<'_>) -> bool {
    match event {
        Event::Turn { .. } | Event::Polled { .. } | Event::Batch { .. } | Event::Run { .. } => true,
        Event::Returned { error, .. } => error.is_none(),
        _ => false,
    }
}

/// Returns true for an event that the loop makes itself in a turn. The text of an error that it throws is the program's.
fn only_the_loop_runs_before(event: &Event<'_>) -> bool {
    match event {
        Event::Turn { .. } | Event::Select { .. } | Event::Batch { .. } | Event::Run { .. } => true,
        Event::Step { thrown, .. } => thrown.is_none(),
        _ => false,
    }
}

/// One loop of a trace.
struct RecordedLoop {
    recorder: Arc<Recorder>,
    /// The head of its last line. `None` before its first event: a loop that could not be built gets no number.
    stamp: Cell<Option<Stamp>>,
    /// Whether an error's `Display` is running.
    asking: Cell<bool>,
    /// Whether only the loop's own code runs from the last event to the next one of a turn.
    settled: Cell<bool>,
}

impl RecordedLoop {
    /// Writes an event. An error's `Display` may use the loop. Its events are written first, before the event that has the
    /// error, and without snapshots, which would show that event's effect too early.
    fn record(&self, record: &Record<'_>) {
        let error = error_in(&record.event).map(|error| self.text_of(error));
        let listens = self.recorder.listens;
        if listens && matches!(record.event, Event::Returned { .. } | Event::Loop(_)) {
            output::flush();
        }
        let snapshot = (self.recorder.snapshots && !self.asking.get()).then(|| record.snapshot());
        let mut sink = self.recorder.lock();
        let mut at = self.stamp.get().unwrap_or_else(|| sink.admit(record));
        // Threads read their clocks before they take the lock, so this event may be older than the last line.
        sink.t = sink.t.max(at.zero.ns(record.time));
        at.t = sink.t;
        self.stamp.set(Some(at));
        let state = snapshot.map(|snapshot| Snap::of(&snapshot, &at.zero));
        let mut written = Ok(());
        if listens {
            sink.begin(&at);
            if !self.is_settled(record) {
                written = self.recorder.hear(&mut sink, at.number, running());
            }
            note_running(at.number, &record.event);
        }
        let full = sink.record(&at, record, error.as_deref(), state.as_ref());
        if full {
            written = written.and(self.recorder.flush(&mut sink));
        }
        drop(sink);
        self.recorder.report(written);
    }

    /// Returns whether the program cannot have printed since the last event, and notes that for the next one.
    /// To ask for the position of standard output is a system call, the dearest part of an event.
    fn is_settled(&self, record: &Record<'_>) -> bool {
        let settled = self.settled.replace(!record.observed && only_the_loop_runs_after(&record.event));
        settled && only_the_loop_runs_before(&record.event)
    }

    fn text_of(&self, error: &Error) -> String {
        let outer = self.asking.replace(true);
        let text = error_text(error);
        self.asking.set(outer);
        text
    }
}

impl Drop for RecordedLoop {
    fn drop(&mut self) {
        // A thread that the copy does not have may have held the lock.
        if self.recorder.is_copy() {
            return;
        }
        if self.recorder.listens {
            output::flush();
        }
        let mut sink = self.recorder.lock();
        let mut written = Ok(());
        if let Some(stamp) = self.stamp.get() {
            written = self.recorder.hear(&mut sink, stamp.number, running());
            let Sink { form, buffer, .. } = &mut *sink;
            if let Form::Table(table) = form {
                table.forget(buffer, stamp.number);
            }
        }
        let written = written.and(sink.flush());
        drop(sink);
        self.recorder.report(written);
    }
}

/// Writes the buffer when its thread ends, or ends the process.
struct FlushAtExit(ThreadId);

impl Drop for FlushAtExit {
    fn drop(&mut self) {
        let Some(recorder) = recorder_so_far() else { return };
        if recorder.listens {
            output::flush();
        }
        let mut sink = recorder.lock();
        let Sink { form, buffer, .. } = &mut *sink;
        if let Form::Table(table) = form {
            table.finish_thread(buffer, self.0);
        }
        if sink.loops > 0 {
            let _ = recorder.hear(&mut sink, 0, running());
        }
        // No report: the logger may be gone before its thread is.
        let _ = sink.flush();
    }
}

/// Returns the entry that runs on this thread, as loop and `q`.
fn running() -> Option<(u64, u64)> {
    RUNNING.try_with(Cell::get).ok().flatten()
}

/// Notes that an entry begins or has returned.
fn note_running(number: u64, event: &Event<'_>) {
    let _ = RUNNING.try_with(|running| match event {
        Event::Run { q, .. } => running.set(Some((number, *q))),
        Event::Returned { .. } => running.set(None),
        _ => {}
    });
}

/// Returns a table as wide as the variable `COLUMNS` says.
fn table() -> TextTable {
    let columns = variable("COLUMNS").and_then(|columns| columns.to_str()?.parse().ok());
    TextTable::new(columns.unwrap_or(WIDTH), Some(Sources::default()), executable())
}

fn error_in<'a>(event: &Event<'a>) -> Option<&'a Error> {
    match event {
        Event::Returned { error, .. }
        | Event::Step { thrown: error, .. }
        | Event::TaskDone { error, .. }
        | Event::FutureDone { error, .. } => *error,
        _ => None,
    }
}

/// Returns the error's text, or asyncio's name for it if the text is empty.
fn error_text(error: &Error) -> String {
    let mut text = String::new();
    let asked = catch_unwind(AssertUnwindSafe(|| write!(text, "{error}")));
    if asked.is_err() {
        return "(the error's Display panicked)".to_owned();
    }
    if !text.is_empty() {
        return text;
    }
    let name = match error {
        Error::Cancelled(_) => "CancelledError",
        Error::Value(_) => "ValueError",
        Error::Runtime(_) => "RuntimeError",
        Error::InvalidState(_) => "InvalidStateError",
        Error::Panic(_) => "panic",
        _ => "Error",
    };
    name.to_owned()
}
