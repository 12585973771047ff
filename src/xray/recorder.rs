//! The recorder: one file, and all loops of the process that write to it.
//!
//! It promises that lines never mix, whatever the number of threads; that what was recorded is in the file when a run
//! ends, when a loop is closed or dropped, before a poll that may sleep, and whenever 64 KiB are waiting; and that a
//! full disk ends the recording and not the program. It does not know the form of a line: `jsonl` and `text` do.
//!
//! No lock is held while foreign code runs. An error's `Display` and the logger are the program's own and may use a loop,
//! so the first is called before the lock is taken and the second after it is given back.

use super::file;
use super::jsonl::JsonLines;
use super::stamp::{Stamp, Zero};
use super::state::State;
use super::text::TextTable;
use super::words::error_word;
use crate::environment::variable;
use crate::error::{Error, IoError, Result};
use crate::event_loop::Recording;
use crate::trace::{Event, Life, Record, Snapshot};
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

/// The recorder of this process, or why there is none. Fixed at the first use, until a fork makes another process.
static RECORDER: Mutex<Option<OfProcess>> = Mutex::new(None);

struct OfProcess {
    pid: u32,
    recorder: Result<Option<Arc<Recorder>>>,
}

thread_local! {
    /// `std::process::exit` drops no loop, but on most systems it runs the destructors of the thread's locals.
    static AT_EXIT: FlushAtExit = FlushAtExit(std::thread::current().id());
}

/// Returns what records one loop that is being built; `None` unless `LOOPLAB_TRACE` asks for a trace.
///
/// # Errors
/// [`Error::Value`] for a file whose extension is not known, [`Error::Io`] for one that cannot be created; the same for
/// every loop of the process.
pub(crate) fn from_env() -> Result<Option<Recording>> {
    let Some(recorder) = recorder_of_process()? else { return Ok(None) };
    // Refused only while the thread ends, and then the loop's own drop is what writes the rest.
    let _ = AT_EXIT.try_with(|_| ());
    Ok(Some(recorder.recording()))
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
    /// The file, for messages.
    name: String,
    /// Who writes. A process that was forked has a copy of the recorder, and must not write the same lines again.
    pid: u32,
    /// Whether the full state follows every event.
    snapshots: bool,
    shared: Mutex<Shared>,
}

/// What the loops of all threads share.
struct Shared {
    /// Where the bytes go; none after an error.
    out: Option<Box<dyn Write + Send>>,
    buffer: Vec<u8>,
    form: Form,
    /// How many loops there were.
    loops: u64,
    /// The last line's time.
    t: u64,
    /// The beginning of the trace on the machine's clock, once a loop on that clock was seen.
    real: Option<Zero>,
}

pub(super) enum Form {
    Lines(JsonLines),
    Table(TextTable),
}

impl Recorder {
    /// Creates the file; its extension says what is written.
    fn create(path: &Path, snapshots: bool) -> Result<Arc<Self>> {
        let name = path.display().to_string();
        let form = match path.extension().and_then(OsStr::to_str) {
            Some("jsonl") => Form::Lines(JsonLines::default()),
            Some("txt") => Form::Table(TextTable::default()),
            _ => {
                let text = format!(
                    "{TRACE}={name}: the file's extension says what to write, and must be .jsonl (every event, as \
                     JSON Lines) or .txt (one line per turn)"
                );
                return Err(Error::Value(text.into()));
            }
        };
        match file::create(path) {
            Ok((file, path)) => {
                let name = path.display().to_string();
                Ok(Arc::new(Self::new(name, Box::new(file), form, snapshots)))
            }
            Err(error) => {
                let text = format!("{TRACE}={name}: {error}");
                Err(IoError::told(error, text).into())
            }
        }
    }

    pub(super) fn new(name: String, out: Box<dyn Write + Send>, form: Form, snapshots: bool) -> Self {
        let snapshots = snapshots && matches!(form, Form::Lines(_));
        let shared =
            Shared { out: Some(out), buffer: Vec::with_capacity(BUFFER), form, loops: 0, t: 0, real: None };
        Self { name, pid: std::process::id(), snapshots, shared: Mutex::new(shared) }
    }

    /// Returns what records one loop.
    pub(super) fn recording(self: &Arc<Self>) -> Recording {
        let recorded =
            RecordedLoop { recorder: self.clone(), this: Cell::new(None), asking: Cell::new(false) };
        Box::new(move |record| recorded.record(record))
    }

    fn is_copy(&self) -> bool {
        self.pid != std::process::id()
    }

    /// Writes what is waiting. In the copy of a forked process the file is closed instead, which unlocks nothing.
    fn flush(&self, shared: &mut Shared) -> io::Result<()> {
        if self.is_copy() {
            shared.buffer.clear();
            shared.out = None;
        }
        shared.flush()
    }

    /// Nothing here panics while it holds the lock but for a lack of memory, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called with no lock held.
    fn report(&self, written: io::Result<()>) {
        if let Err(error) = written {
            log_error!("the trace ends here, {} cannot be written: {error}", self.name);
        }
    }
}

impl Shared {
    /// Gives a loop its number and its place in the trace's time, when its first event comes.
    fn admit(&mut self, record: &Record<'_>) -> LoopId {
        self.loops += 1;
        let here = Zero { at: record.time, ns: self.t };
        let zero = if record.virtual_time { here } else { *self.real.get_or_insert(here) };
        LoopId { number: self.loops, zero }
    }

    /// Puts an event into the buffer; true if the buffer must be written then.
    fn record(
        &mut self,
        this: LoopId,
        record: &Record<'_>,
        error: Option<&str>,
        state: Option<&Snapshot>,
    ) -> bool {
        if self.out.is_none() {
            return false;
        }
        // Two threads read their clocks before they come to the lock, so the later one may be first here.
        self.t = self.t.max(this.zero.ns(record.time));
        let at = Stamp { number: this.number, t: self.t, virtual_time: record.virtual_time, zero: this.zero };
        match &mut self.form {
            Form::Lines(lines) => {
                lines.event(&mut self.buffer, &at, &record.event, error);
                if let Some(state) = state {
                    lines.snap(&mut self.buffer, &at, &State::of(state, &this.zero));
                }
            }
            Form::Table(table) => {
                let time = this.zero.ns(record.time);
                as_text(&mut self.buffer, |out| table.event(out, this.number, time, &record.event));
            }
        }
        self.buffer.len() >= BUFFER || must_be_written(&record.event)
    }

    /// Gives the buffer to the file. After an error there is no file any more, so it is returned only once.
    fn flush(&mut self) -> io::Result<()> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let written = out.write_all(&self.buffer).and_then(|()| out.flush());
        self.buffer.clear();
        if written.is_err() {
            self.out = None;
        }
        written
    }
}

/// For the table, which is made of formatted text, and far shorter than the lines.
fn as_text(buffer: &mut Vec<u8>, write: impl FnOnce(&mut String)) {
    let mut text = String::new();
    write(&mut text);
    buffer.extend_from_slice(text.as_bytes());
}

/// Whether the program may be gone, or stand still for long, after this event.
fn must_be_written(event: &Event<'_>) -> bool {
    match event {
        Event::Loop(life) => matches!(life, Life::End | Life::Closed),
        Event::Select { timeout, .. } => *timeout != Some(Duration::ZERO),
        _ => false,
    }
}

/// One loop, as far as it was recorded.
struct RecordedLoop {
    recorder: Arc<Recorder>,
    /// None before its first event: a loop that could not be built gets no number.
    this: Cell<Option<LoopId>>,
    /// Whether an error's `Display` is running.
    asking: Cell<bool>,
}

#[derive(Clone, Copy)]
struct LoopId {
    number: u64,
    zero: Zero,
}

impl RecordedLoop {
    /// Writes an event. An error's `Display` may use the loop: what it does is written first, before the event whose text
    /// it makes, and without snapshots, which would show that event's effect too early.
    fn record(&self, record: &Record<'_>) {
        let error = error_in(&record.event).map(|error| self.text_of(error));
        let state = (self.recorder.snapshots && !self.asking.get()).then(|| record.snapshot());
        let mut shared = self.recorder.lock();
        let this = self.this.get().unwrap_or_else(|| shared.admit(record));
        self.this.set(Some(this));
        let full = shared.record(this, record, error.as_deref(), state.as_ref());
        let written = if full { self.recorder.flush(&mut shared) } else { Ok(()) };
        drop(shared);
        self.recorder.report(written);
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
        // A thread that is not in the copy may have held the lock.
        if self.recorder.is_copy() {
            return;
        }
        let mut shared = self.recorder.lock();
        let Shared { form, buffer, .. } = &mut *shared;
        if let (Form::Table(table), Some(this)) = (form, self.this.get()) {
            as_text(buffer, |out| table.forget(out, this.number));
        }
        let written = shared.flush();
        drop(shared);
        self.recorder.report(written);
    }
}

/// Writes what is waiting when its thread ends, or ends the process.
struct FlushAtExit(ThreadId);

impl Drop for FlushAtExit {
    fn drop(&mut self) {
        let Some(recorder) = recorder_so_far() else { return };
        let mut shared = recorder.lock();
        let Shared { form, buffer, .. } = &mut *shared;
        if let Form::Table(table) = form {
            as_text(buffer, |out| table.finish_thread(out, self.0));
        }
        // No report: the logger may be gone before its thread is.
        let _ = shared.flush();
    }
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

/// The error's text, or its kind if it has none. A `Display` of the program's own that fails or panics is not asked again.
fn error_text(error: &Error) -> String {
    let mut text = String::new();
    let asked = catch_unwind(AssertUnwindSafe(|| write!(text, "{error}")));
    if asked.is_err() {
        return "(the error's Display panicked)".to_owned();
    }
    if text.is_empty() { error_word(error).to_owned() } else { text }
}
