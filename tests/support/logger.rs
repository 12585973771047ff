//! The process's logger, which keeps what is logged. A process has one logger, so it is installed once for all tests.

use log::{Level, LevelFilter, Metadata, Record};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, ThreadId};

struct Line {
    thread: ThreadId,
    level: Level,
    text: String,
}

struct Keeper;

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

fn lines() -> MutexGuard<'static, Vec<Line>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl log::Log for Keeper {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // mio logs, too.
        if record.target() == "looplab" {
            let (thread, text) = (thread::current().id(), record.args().to_string());
            lines().push(Line { thread, level: record.level(), text });
        }
    }

    fn flush(&self) {}
}

fn install(level: LevelFilter) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| log::set_logger(&Keeper).expect("this process has no logger yet"));
    log::set_max_level(level);
}

/// Returns what the process has logged since the first call, each line with its level. Other tests of the process may log
/// as well, so this is for child processes.
pub fn logged() -> Vec<String> {
    install(LevelFilter::Trace);
    lines().iter().map(|line| format!("{} {}", line.level, line.text)).collect()
}

/// Keeps the warnings and errors that this thread logs from now on. The function returns them, and forgets them.
pub fn capture_log() -> impl Fn() -> Vec<String> {
    install(LevelFilter::Warn);
    let take = || {
        let own = thread::current().id();
        lines().extract_if(.., |line| line.thread == own).map(|line| line.text).collect()
    };
    let _: Vec<String> = take();
    take
}
