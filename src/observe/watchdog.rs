//! The stall watchdog: a thread that names the entry that keeps the loop from turning, while it
//! does.
//!
//! It guarantees a warning through `log` when an entry has run for longer than the limit, and again
//! whenever that time has doubled. The warning names the callback or task and the place that made
//! it. It does not interrupt anything: safe code cannot. (asyncio has no counterpart: its debug
//! mode reports after the callback has returned, so a hang is never named.)
//!
//! The loop publishes each entry when it begins and withdraws it when it ends, which costs two
//! locks and a label. The thread looks when the entry that it saw last could exceed the limit. If
//! nothing runs then, it sleeps until the next entry rings the bell, so it never disturbs a loop
//! that sleeps in its poll. Alternative: ring for every entry. Problem: a system call each.
//! Alternative: a tick. Problem: it wakes an idle machine.

use crate::error::{Error, Result};
use crate::event_loop::HandleInfo;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The loop's side. Dropping it, or `end`, ends the thread.
pub(crate) struct Watchdog {
    limit: Duration,
    watched: Arc<Mutex<WatchdogState>>,
    /// Holds one ring at most: a thread that is about to wake needs no second one.
    bell: RefCell<Option<Sender<()>>>,
}

/// What both threads look at. The lock is never held while user code runs, a logger included.
#[derive(Default)]
struct WatchdogState {
    running: Option<Running>,
    /// Nothing ran when the thread looked, so it waits for the bell.
    asleep: bool,
}

/// The entry that runs now.
struct Running {
    name: String,
    began: Instant,
    /// How long it may run before the next warning.
    patience: Duration,
}

/// What the thread does next.
#[derive(Debug, PartialEq)]
enum Next {
    /// Wait for the bell.
    Sleep,
    /// Look again after this time.
    Look(Duration),
    /// Warn of the entry with this name, which has run for this time.
    Warn(String, Duration),
}

/// Marks an entry as running until it is dropped.
pub(crate) struct WatchGuard<'a>(&'a Watchdog);

impl Watchdog {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Error::Value`] if the limit is zero, [`Error::Io`] if no thread can be started.
    pub(crate) fn start(limit: Duration) -> Result<Self> {
        if limit.is_zero() {
            return Err(Error::Value("the limit of a watchdog must be more than zero".into()));
        }
        let watched = Arc::new(Mutex::default());
        let (bell, rung) = bounded(1);
        let theirs = Arc::clone(&watched);
        thread::Builder::new().name("looplab-stalls".to_owned()).spawn(move || guard(&theirs, &rung))?;
        Ok(Self { limit, watched, bell: RefCell::new(Some(bell)) })
    }

    /// Publishes an entry that begins to run.
    pub(crate) fn watch(&self, entry: &HandleInfo) -> WatchGuard<'_> {
        let name = match entry.place {
            Some(place) => format!("<{} created at {}:{}>", entry.label, place.file(), place.line()),
            None => format!("<{}>", entry.label),
        };
        let running = Running { name, began: Instant::now(), patience: self.limit };
        let wake = lock(&self.watched).begin(running);
        if wake && let Some(bell) = &*self.bell.borrow() {
            // A full bell is as good: the thread will wake.
            let _ = bell.try_send(());
        }
        WatchGuard(self)
    }

    /// Ends the thread when the loop is closed.
    pub(crate) fn end(&self) {
        drop(self.bell.take());
    }
}

impl Drop for WatchGuard<'_> {
    fn drop(&mut self) {
        lock(&self.0.watched).running = None;
    }
}

impl WatchdogState {
    /// Publishes an entry. Returns whether the thread sleeps and must be woken.
    fn begin(&mut self, running: Running) -> bool {
        self.running = Some(running);
        std::mem::take(&mut self.asleep)
    }

    /// Decides what the thread does next.
    fn look(&mut self, now: Instant) -> Next {
        let Some(running) = &mut self.running else {
            self.asleep = true;
            return Next::Sleep;
        };
        let ran = now.saturating_duration_since(running.began);
        if ran < running.patience {
            return Next::Look(running.patience - ran);
        }
        // After a pause of the whole machine it may have doubled more than once.
        while running.patience <= ran {
            running.patience = running.patience.saturating_mul(2);
        }
        Next::Warn(running.name.clone(), ran)
    }
}

/// Looks, warns and sleeps until the bell is dropped. This is all that the thread does.
fn guard(watched: &Mutex<WatchdogState>, bell: &Receiver<()>) {
    loop {
        let next = lock(watched).look(Instant::now());
        let heard = match next {
            Next::Sleep => bell.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Next::Look(wait) => bell.recv_timeout(wait),
            Next::Warn(name, ran) => {
                let seconds = ran.as_secs_f64();
                log_warn!(
                    "{name} has kept the loop from turning for {seconds:.3} seconds so far; no signal is answered meanwhile"
                );
                continue;
            }
        };
        if heard == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

fn lock(watched: &Mutex<WatchdogState>) -> MutexGuard<'_, WatchdogState> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn running(name: &str, began: Instant) -> Running {
        Running { name: name.to_owned(), began, patience: LIMIT }
    }

    #[test]
    fn a_stall_is_reported_once_and_again_at_each_doubling() {
        let (mut watched, t) = (WatchdogState::default(), Instant::now());
        watched.begin(running("slow", t));
        let mut told = Vec::new();
        for elapsed in 0..=1000 {
            if let Next::Warn(name, ran) = watched.look(t + ms(elapsed)) {
                told.push((name, ran));
            }
        }
        assert_eq!(told, [100, 200, 400, 800].map(|n| ("slow".to_owned(), ms(n))));
    }

    #[test]
    fn the_thread_looks_again_when_the_limit_could_be_exceeded_and_no_earlier() {
        let (mut watched, t) = (WatchdogState::default(), Instant::now());
        watched.begin(running("first", t));
        assert_eq!(watched.look(t + ms(30)), Next::Look(ms(70)));
        watched.begin(running("second", t + ms(90)));
        assert_eq!(watched.look(t + ms(100)), Next::Look(ms(90)));
        assert_eq!(watched.look(t + ms(190)), Next::Warn("second".to_owned(), ms(100)));
        assert_eq!(watched.look(t + ms(191)), Next::Look(ms(99)));
    }

    #[test]
    fn it_sleeps_while_nothing_runs_and_only_the_next_entry_wakes_it() {
        let (mut watched, t) = (WatchdogState::default(), Instant::now());
        assert_eq!(watched.look(t), Next::Sleep);
        assert!(watched.begin(running("first", t)));
        watched.running = None;
        assert!(!watched.begin(running("second", t)), "it is awake already");
        watched.running = None;
        assert_eq!(watched.look(t + LIMIT), Next::Sleep);
    }

    #[test]
    fn a_look_that_comes_late_tells_once() {
        let (mut watched, t) = (WatchdogState::default(), Instant::now());
        watched.begin(running("slow", t));
        assert_eq!(watched.look(t + ms(900)), Next::Warn("slow".to_owned(), ms(900)));
        assert_eq!(watched.look(t + ms(900)), Next::Look(ms(700)));
    }

    #[test]
    fn the_longest_limit_there_is_overflows_nothing() {
        let (mut watched, t) = (WatchdogState::default(), Instant::now());
        watched.begin(Running { name: "slow".to_owned(), began: t, patience: Duration::MAX });
        assert!(matches!(watched.look(t + ms(1)), Next::Look(_)));
    }
}
