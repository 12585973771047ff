//! What a line tells of its origin: whose entry it is, what made it, what woke the loop, when a thread was at work.

use super::{replayed, traced};
use looplab::{Clock, EventLoop, Result, gather, sleep, timeout, yield_now};
use serde_json::Value;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::Duration;
use support::{again, role, watchdog};

const MS: Duration = Duration::from_millis(1);
const SIGUSR1: i32 = 10;

fn given() {}

fn virtual_loop() -> Result<EventLoop> {
    EventLoop::builder().clock(Clock::virtual_time()).build()
}

/// Runs the program of a test with a trace. The lines of one kind are found with [`Lines::of`].
struct Lines(Vec<Value>);

impl Lines {
    fn of<'a>(&'a self, kind: &str, key: &'static str, value: &str) -> Vec<&'a Value> {
        self.0.iter().filter(|line| line["e"] == kind && line[key] == value).collect()
    }

    fn the(&self, kind: &str, key: &'static str, value: &str) -> &Value {
        let [line] = self.of(kind, key, value)[..] else { panic!("one {kind} of {value}: {:#?}", self.0) };
        line
    }

    /// The label of the entry that is a line's `by`.
    fn by(&self, line: &Value) -> String {
        let of_loop =
            |other: &&Value| other["e"] == "push" && other["l"] == line["l"] && other["q"] == line["by"];
        self.0
            .iter()
            .find(of_loop)
            .map_or("nothing".to_owned(), |push| push["cb"].as_str().unwrap().to_owned())
    }
}

macro_rules! lines {
    () => {{
        let folder = tempfile::tempdir()?;
        Lines(replayed(&traced(&mut again!("child"), &folder.path().join("x.jsonl"))))
    }};
}

#[test]
fn entries_that_looplab_makes_for_itself_are_marked_as_its_own() -> Result<()> {
    if role().is_some() {
        let lp = virtual_loop()?;
        lp.call_soon(given)?;
        lp.call_later(MS, || ())?;
        lp.add_signal_handler(SIGUSR1, looplab::stop)?;
        nix::sys::signal::raise(nix::sys::signal::SIGUSR1).expect("it can be raised");
        lp.run_forever()?;
        let job = lp.run_in_executor(given)?;
        return lp.run_until_complete(async move {
            gather([sleep(MS), sleep(MS * 2)]).await?;
            job.into_output().await
        });
    }
    let lines = lines!();
    for (kind, key, label, own) in [
        ("push", "cb", "given", false),
        ("push", "cb", "stop", false),
        ("push", "cb", "Task-1.step", false),
        ("push", "cb", "read_signals", true),
        ("push", "cb", "gather", true),
        ("push", "cb", "job.set_result", true),
        ("push", "cb", "run_until_complete", true),
        ("timer", "cb", "sleep", true),
        ("job", "fn", "given", false),
    ] {
        let found = lines.of(kind, key, label);
        assert!(!found.is_empty(), "no {kind} of {label}");
        assert!(
            found.iter().all(|line| line["own"] == if own { true.into() } else { Value::Null }),
            "{found:?}"
        );
    }
    let of_the_program = lines.0.iter().filter(|line| line["e"] == "timer" && line["own"].is_null());
    assert_eq!(of_the_program.count(), 1);
    Ok(())
}

#[test]
fn the_timer_of_a_sleep_or_a_time_limit_names_the_task_that_waits() -> Result<()> {
    if role().is_some() {
        return virtual_loop()?.run_until_complete(async {
            looplab::get_running_loop()?.call_later(MS, given)?;
            timeout(MS * 5, async { sleep(MS).await }).await
        });
    }
    let lines = lines!();
    let task = &lines.the("task", "name", "Task-1")["task"];
    assert_eq!(&lines.the("timer", "cb", "sleep")["task"], task);
    assert_eq!(&lines.the("timer", "cb", "timeout")["task"], task);
    assert_eq!(lines.the("timer", "cb", "given")["task"], Value::Null);
    Ok(())
}

fn made_by_a_callback(lp: &EventLoop, socket: &UnixDatagram) -> Result<()> {
    lp.create_task(async { Ok(()) });
    lp.add_reader(socket, given)?;
    lp.remove_reader(socket)?;
    lp.add_signal_handler(SIGUSR1, given)?;
    lp.remove_signal_handler(SIGUSR1)?;
    Err(io::Error::other("to be reported").into())
}

#[test]
fn a_line_says_which_entry_made_a_task_a_registration_or_a_report() -> Result<()> {
    if role().is_some() {
        let lp = virtual_loop()?;
        let (socket, _other) = UnixDatagram::pair()?;
        lp.add_reader(&socket, given)?;
        let weak = lp.clone();
        lp.call_soon(move || made_by_a_callback(&weak, &socket))?;
        lp.call_soon(looplab::stop)?;
        return lp.run_forever();
    }
    let lines = lines!();
    for kind in ["task", "reg", "unreg", "sigreg", "sigunreg", "mark"] {
        let made: Vec<_> = lines.0.iter().filter(|line| line["e"] == kind).collect();
        let made: Vec<_> = made.into_iter().map(|line| lines.by(line)).collect();
        let by = "a_line_says_which_entry_made_a_task_a_registration_or_a_report::{closure}".to_owned();
        let expected = match kind {
            "reg" => vec!["nothing".to_owned(), by],
            // The task is pending when the loop is dropped, which is reported outside of any entry.
            "mark" => vec![by, "nothing".to_owned()],
            _ => vec![by],
        };
        assert_eq!(made, expected, "{kind}");
    }
    Ok(())
}

#[test]
fn a_poll_that_a_signal_or_a_thread_has_ended_says_so() -> Result<()> {
    if role().is_some() {
        let _dog = watchdog();
        let lp = EventLoop::new()?;
        lp.add_signal_handler(SIGUSR1, looplab::stop)?;
        let raise = || nix::sys::signal::raise(nix::sys::signal::SIGUSR1).expect("it can be raised");
        lp.call_soon(raise)?;
        lp.run_forever()?;
        let remote = lp.remote();
        let stopper = thread::spawn(move || remote.stop());
        lp.run_forever()?;
        return stopper.join().expect("it does not panic");
    }
    let lines = lines!();
    assert_eq!(lines.of("polled", "wake", "signal").len(), 1, "{:#?}", lines.0);
    // The message is there before the sleep, or ends it.
    let slept = lines.0.iter().filter(|line| line["e"] == "sel" && line["why"] == "idle").count();
    assert_eq!(lines.of("polled", "wake", "thread").len(), slept.saturating_sub(1), "{:#?}", lines.0);
    Ok(())
}

#[test]
fn a_job_says_when_its_thread_began_and_ended_it_but_not_in_virtual_time() -> Result<()> {
    for clock in ["monotonic", "virtual"] {
        if role().as_deref() == Some(clock) {
            let lp = if clock == "virtual" { virtual_loop()? } else { EventLoop::new()? };
            let job = lp.run_in_executor(given)?;
            return lp.run_until_complete(job.into_output());
        }
    }
    let folder = tempfile::tempdir()?;
    let real = Lines(replayed(&traced(&mut again!("monotonic"), &folder.path().join("x.jsonl"))));
    let job = real.the("job", "fn", "given");
    let (began, ended) = (real.0.iter().find(|line| line["e"] == "jrun"), real.the("jend", "st", "ok"));
    let began = began.expect("a thread has begun it");
    let times =
        [&job["t"], &began["at"], &ended["at"], &ended["t"]].map(|time| time.as_u64().expect("a time"));
    assert!(times.is_sorted(), "{times:?}");
    let same = Lines(replayed(&traced(&mut again!("virtual"), &folder.path().join("x.jsonl"))));
    assert!(same.0.iter().all(|line| line["at"].is_null()), "{:#?}", same.0);
    Ok(())
}

#[test]
fn a_task_that_yields_is_suspended_before_it_is_queued_again() -> Result<()> {
    if role().is_some() {
        return virtual_loop()?.run_until_complete(async { yield_now().await });
    }
    let lines = lines!();
    let at = lines.0.iter().position(|line| line["e"] == "park").expect("a suspension");
    let [park, push] = [&lines.0[at], &lines.0[at + 1]];
    assert_eq!((&park["kind"], &park["on"]), (&"yield".into(), &Value::Null));
    assert_eq!((&push["e"], &push["kind"], &push["task"]), (&"push".into(), &"step".into(), &park["task"]));
    assert_eq!(push["by"], 1);
    Ok(())
}
