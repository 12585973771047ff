//! The stall watchdog: the callback that keeps the loop from turning is named while it does.
//!
//! A callback here blocks until the test's logger has seen the warning of it. If there were none, or only afterwards, the
//! test would hang, and end by its own watchdog.

use looplab::{Clock, Error, EventLoop, ExceptionContext, Task, get_running_loop, sleep};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;
use support::{OnDrop, child, report, watchdog};

const LIMIT: Duration = Duration::from_millis(2);

/// Passes each warning on to the tests whose word it contains: the watchdogs log from threads of their own.
struct Ears {
    listeners: Mutex<Vec<(&'static str, Sender<String>)>>,
}

impl log::Log for Ears {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == "looplab"
    }

    fn log(&self, record: &log::Record<'_>) {
        let text = format!("{} {}", record.level(), record.args());
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        for (word, listener) in &*listeners {
            if text.contains(word) {
                // A test that has heard enough is gone.
                let _ = listener.send(text.clone());
            }
        }
    }

    fn flush(&self) {}
}

/// The warnings that contain this word, from now on.
fn warnings_of(word: &'static str) -> Receiver<String> {
    static EARS: OnceLock<&'static Ears> = OnceLock::new();
    let ears = EARS.get_or_init(|| {
        let ears = Box::leak(Box::new(Ears { listeners: Mutex::default() }));
        log::set_logger(ears).expect("this process has no logger yet");
        log::set_max_level(log::LevelFilter::Warn);
        ears
    });
    let (sender, receiver) = channel();
    ears.listeners.lock().unwrap_or_else(PoisonError::into_inner).push((word, sender));
    receiver
}

fn guarded() -> EventLoop {
    EventLoop::builder().watchdog(LIMIT).build().expect("a loop")
}

/// Blocks until the warning has come.
fn hear(warnings: &Receiver<String>) -> String {
    warnings.recv().expect("the logger lives as long as the process")
}

/// How many seconds a warning tells, behind the name and the place that it must have.
#[track_caller]
fn seconds(warning: &str, name: &str, line: u32) -> f64 {
    let begin = format!(
        "WARN <{name} created at tests/event_loop/watchdog.rs:{line}> has kept the loop from turning for "
    );
    let end = " seconds so far; no signal is answered meanwhile";
    let seconds = warning.strip_prefix(&begin).and_then(|rest| rest.strip_suffix(end));
    seconds.unwrap_or_else(|| panic!("{warning}")).parse().expect("a number")
}

/// Makes one turn.
fn turn(lp: &EventLoop) {
    lp.stop();
    lp.run_forever().expect("nothing leaves the loop");
}

/// A slot that a callback fills.
type Slot<T> = Rc<RefCell<Option<T>>>;

#[test]
fn a_callback_that_blocks_is_named_while_it_blocks() {
    let _dog = watchdog();
    let warnings = warnings_of("a_callback_that_blocks");
    let (lp, heard) = (guarded(), Slot::default());
    let fill = heard.clone();
    let line = line!() + 1;
    lp.call_soon(move || *fill.borrow_mut() = Some(hear(&warnings))).unwrap();
    turn(&lp);
    let heard = heard.take().expect("a warning");
    let name = "a_callback_that_blocks_is_named_while_it_blocks::{closure}";
    assert!(seconds(&heard, name, line) >= LIMIT.as_secs_f64());
}

#[test]
fn a_task_that_blocks_is_named_with_its_step_each_time() {
    let _dog = watchdog();
    // On a slow machine the first step may be warned of again before it ends: each step has a word of its own.
    let (steps, wakeups) = (warnings_of("sleepyhead.step"), warnings_of("sleepyhead.wakeup"));
    let lp = guarded();
    let body = async move {
        let first = hear(&steps);
        sleep(Duration::from_millis(1)).await?;
        Ok((first, hear(&wakeups)))
    };
    let line = line!() + 1;
    let task = Task::builder().name("sleepyhead").spawn_on(&lp, body);
    let (first, second) = lp.run_until_complete(&task).unwrap();
    seconds(&first, "sleepyhead.step", line);
    seconds(&second, "sleepyhead.wakeup", line);
}

#[test]
fn it_is_reported_again_at_each_doubling() {
    let _dog = watchdog();
    let warnings = warnings_of("doubling.");
    let lp = guarded();
    let body = async move { Ok([(); 4].map(|()| hear(&warnings))) };
    let line = line!() + 1;
    let task = Task::builder().name("doubling").spawn_on(&lp, body);
    let told = lp.run_until_complete(&task).unwrap().map(|warning| seconds(&warning, "doubling.step", line));
    for (n, seconds) in told.iter().enumerate() {
        assert!(*seconds >= LIMIT.as_secs_f64() * f64::from(1 << n), "{told:?}");
    }
}

#[test]
fn a_later_run_is_guarded_as_well() {
    let _dog = watchdog();
    let warnings = warnings_of("a_later_run_is_guarded");
    let (lp, heard) = (guarded(), Slot::default());
    lp.run_until_complete(async {}).unwrap();
    let fill = heard.clone();
    let line = line!() + 1;
    lp.call_soon(move || *fill.borrow_mut() = Some(hear(&warnings))).unwrap();
    turn(&lp);
    seconds(&heard.take().expect("a warning"), "a_later_run_is_guarded_as_well::{closure}", line);
}

#[test]
fn a_destructor_counts_to_the_callback_that_it_belongs_to() {
    let _dog = watchdog();
    let warnings = warnings_of("a_destructor_counts");
    let (lp, heard) = (guarded(), Slot::default());
    let fill = heard.clone();
    let guard = OnDrop(move || *fill.borrow_mut() = Some(hear(&warnings)));
    let line = line!() + 1;
    lp.call_soon(move || drop(guard)).unwrap();
    turn(&lp);
    let name = "a_destructor_counts_to_the_callback_that_it_belongs_to::{closure}";
    seconds(&heard.take().expect("a warning"), name, line);
}

#[test]
fn an_exception_handler_counts_to_the_callback_that_failed() {
    let _dog = watchdog();
    let warnings = warnings_of("an_exception_handler_counts");
    let (lp, heard) = (guarded(), Slot::default());
    let fill = heard.clone();
    let handler = move |_: &EventLoop, _: &ExceptionContext| *fill.borrow_mut() = Some(hear(&warnings));
    lp.set_exception_handler(Some(handler));
    let line = line!() + 1;
    lp.call_soon(|| Err::<(), _>(Error::msg("boom"))).unwrap();
    turn(&lp);
    let name = "an_exception_handler_counts_to_the_callback_that_failed::{closure}";
    seconds(&heard.take().expect("a warning"), name, line);
}

/// A limit in virtual time could never be exceeded: it stands still while anything runs.
#[test]
fn in_virtual_time_it_is_the_machines_time_that_counts() {
    let _dog = watchdog();
    let warnings = warnings_of("out of time.");
    let lp = EventLoop::builder().clock(Clock::virtual_time()).watchdog(LIMIT).build().unwrap();
    let began = lp.time();
    let body = async move { Ok((hear(&warnings), get_running_loop()?.time())) };
    let line = line!() + 1;
    let task = Task::builder().name("out of time").spawn_on(&lp, body);
    let (warning, ended) = lp.run_until_complete(&task).unwrap();
    assert!(seconds(&warning, "out of time.step", line) > 0.0);
    assert_eq!(ended, began);
}

#[test]
fn a_watchdog_without_a_limit_is_refused() {
    let error = EventLoop::builder().watchdog(Duration::ZERO).build().unwrap_err();
    assert!(matches!(&error, Error::Value(_)), "{error:?}");
    assert_eq!(error.to_string(), "the limit of a watchdog must be more than zero");
}

/// How many threads of the process are watchdogs.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux's /proc");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "looplab-stalls").count()
}

fn until_threads_are(expected: usize) {
    while threads() != expected {
        thread::yield_now();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_thread_lives_from_the_loops_making_to_its_closing_or_dropping() {
    let ended = child!(|| {
        let plain = EventLoop::new()?;
        plain.run_until_complete(async {})?;
        report(threads());
        let (closed, dropped) = (guarded(), guarded());
        until_threads_are(2);
        closed.run_until_complete(async {})?;
        closed.close()?;
        until_threads_are(1);
        drop(dropped);
        until_threads_are(0);
        report("gone");
        Ok(())
    });
    assert_eq!(ended.fine(), ["0", "gone"]);
}
