//! A watchdog for programs of the language: one that hangs ends the process, which names it.
//!
//! What a program waits for before it is run, such as the end of another one, does not count.

use serde_json::Value;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};
use support::OnDrop;

/// Returns the number in a variable of the environment.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number is wanted")),
        Err(_) => default,
    }
}

/// Since when a program is under way, and its text.
type UnderWay = (Instant, String);

fn under_way() -> MutexGuard<'static, HashMap<ThreadId, UnderWay>> {
    static ON_THREADS: LazyLock<Mutex<HashMap<ThreadId, UnderWay>>> = LazyLock::new(Mutex::default);
    ON_THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes the program that this thread runs, or that it asks a Python for, until the returned guard is dropped. If that
/// takes more than a minute (or `LOOPLAB_PATIENCE` seconds), the process prints the program and ends.
#[must_use = "the program counts as under way until the guard is dropped"]
pub(crate) fn watch(program: &Value) -> OnDrop<impl FnMut()> {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| drop(thread::spawn(abort_when_one_hangs)));
    let own = thread::current().id();
    let mut before = under_way().insert(own, (Instant::now(), program.to_string()));
    OnDrop(move || {
        let mut programs = under_way();
        match before.take() {
            // What is asked of a Python meanwhile goes on.
            Some(outer) => drop(programs.insert(own, outer)),
            None => drop(programs.remove(&own)),
        }
    })
}

fn abort_when_one_hangs() {
    let patience = Duration::from_secs(number("LOOPLAB_PATIENCE", 60));
    loop {
        thread::sleep(Duration::from_secs(1));
        if let Some((_, program)) = under_way().values().find(|(since, _)| since.elapsed() > patience) {
            eprintln!("this program hangs: {program}");
            std::process::abort();
        }
    }
}
