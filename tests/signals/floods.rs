//! Signals in great numbers, and loops that are stopped and restarted a thousand times: nothing is lost. Every test runs in
//! processes of its own.

use looplab::{Clock, Error, EventLoop, Result, get_running_loop, yield_now};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGCHLD, SIGTERM, SIGUSR1};
use signal_hook::low_level::raise;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio, exit};
use std::rc::Rc;
use std::time::Duration;
use support::{again, child, report, role, watchdog};

type Counts = Rc<RefCell<BTreeMap<&'static str, u64>>>;

fn count(counts: &Counts, what: &'static str) -> impl Fn() + Clone + 'static {
    let counts = counts.clone();
    move || *counts.borrow_mut().entry(what).or_default() += 1
}

fn counted(counts: &Counts, what: &str) -> u64 {
    counts.borrow().get(what).copied().unwrap_or(0)
}

// ---- a flood ----

const FLOOD: usize = 100_000;
const KINDS: [(&str, Signal); 4] = [
    ("usr1", Signal::SIGUSR1),
    ("usr2", Signal::SIGUSR2),
    ("hup", Signal::SIGHUP),
    ("winch", Signal::SIGWINCH),
];

/// A timer that sets itself again and again.
fn tick(count: impl Fn() + Clone + 'static) -> Result<()> {
    count();
    get_running_loop()?.call_later(Duration::from_micros(50), move || tick(count)).map(drop)
}

/// Timers, a reader and a task that go on for as long as the loop runs.
fn keep_busy(lp: &EventLoop, counts: &Counts) -> Result<()> {
    let ticks = count(counts, "timer");
    lp.call_later(Duration::ZERO, move || tick(ticks))?;
    let (mut ours, mut theirs) = UnixStream::pair()?;
    theirs.write_all(b"x")?;
    let (fd, reads) = (ours.as_raw_fd(), count(counts, "reader"));
    lp.add_reader(&fd, move || {
        ours.read_exact(&mut [0])?;
        theirs.write_all(b"x")?;
        reads();
        Ok(())
    })?;
    let steps = count(counts, "task");
    lp.create_task(async move {
        loop {
            steps();
            yield_now().await?;
        }
        #[allow(unreachable_code)]
        Ok(())
    });
    Ok(())
}

fn flooded(mut flooder: Command) -> Result<()> {
    let _dog = watchdog();
    let lp = EventLoop::builder().clock(Clock::monotonic()).build()?;
    let counts = Counts::default();
    for (name, signal) in KINDS {
        lp.add_signal_handler(signal as i32, count(&counts, name))?;
    }
    keep_busy(&lp, &counts)?;
    lp.add_signal_handler(SIGCHLD, looplab::stop)?;
    let mut flooder = flooder.stdout(Stdio::null()).spawn()?;
    lp.run_forever()?;
    assert!(flooder.wait()?.success());
    for (name, _) in KINDS {
        let seen = counted(&counts, name);
        assert!((1..=FLOOD as u64).contains(&seen), "{name}: {seen}");
    }
    // After the flood everything goes on, and each signal is called again. (How often, is not said: the last of the flood
    // may still be on their way through another thread of this process.)
    let rest = |lp: &EventLoop| -> Result<()> {
        for _ in 0..20 {
            lp.stop();
            lp.run_forever()?;
        }
        Ok(())
    };
    rest(&lp)?;
    let before = counts.borrow().clone();
    for (_, signal) in KINDS {
        raise(signal as i32)?;
    }
    rest(&lp)?;
    for (name, seen) in before {
        let now = counted(&counts, name);
        assert!(now > seen || name == "timer", "{name}: {now} after {seen}");
    }
    // The timer is the machine's matter: it goes on as soon as its time has come.
    let (seen, counts) = (counted(&counts, "timer"), counts.clone());
    while counted(&counts, "timer") == seen {
        lp.run_once()?;
    }
    report("nothing is lost");
    // With the handlers in place: one that is on its way still would kill the process.
    exit(0)
}

#[test]
fn a_flood_of_signals_from_a_child_process_loses_no_kind_and_nothing_else() {
    match role().as_deref() {
        Some("flooder") => {
            let _dog = watchdog();
            let parent = Pid::from_raw(i32::try_from(std::os::unix::process::parent_id()).expect("small"));
            for n in 0..FLOOD {
                kill(parent, KINDS[n % KINDS.len()].1).expect("the parent lives");
            }
        }
        Some(_) => flooded(again!("flooder")).expect("nothing leaves the loop"),
        None => {
            assert_eq!(support::Process::start(&mut again!("flooded")).end().fine(), ["nothing is lost"]);
        }
    }
}

// ---- a thousand runs ----

#[test]
fn a_thousand_runs_with_signals_lose_no_signal_timer_reader_or_task() {
    let ended = child!(|| {
        const ROUNDS: u64 = 1000;
        let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
        let counts = Counts::default();
        let (mut ours, mut theirs) = UnixStream::pair()?;
        let (fd, reads) = (ours.try_clone()?, count(&counts, "reader"));
        lp.add_reader(&fd, move || {
            ours.read_exact(&mut [0])?;
            reads();
            Ok(())
        })?;
        lp.add_signal_handler(SIGUSR1, count(&counts, "signal"))?;
        for round in 0..ROUNDS {
            // In every other round the signal comes during a turn.
            if round % 2 == 0 {
                raise(SIGUSR1)?;
            } else {
                lp.call_soon(|| raise(SIGUSR1).map_err(Error::from))?;
            }
            theirs.write_all(b"x")?;
            lp.call_soon(count(&counts, "callback"))?;
            lp.call_later(Duration::ZERO, count(&counts, "timer"))?;
            let steps = count(&counts, "task");
            lp.create_task(async move {
                yield_now().await?;
                steps();
                Ok(())
            });
            lp.stop();
            lp.run_forever()?;
        }
        for _ in 0..4 {
            lp.stop();
            lp.run_forever()?;
        }
        for what in ["signal", "reader", "callback", "timer", "task"] {
            assert_eq!(counted(&counts, what), ROUNDS, "{what}");
        }
        assert!(lp.snapshot().tasks.is_empty());
        Ok(())
    });
    ended.fine();
}

#[test]
fn a_thousand_runs_that_each_add_and_remove_a_handler_end_with_the_default() {
    let ended = child!(|| {
        let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
        let counts = Counts::default();
        for _ in 0..1000 {
            lp.add_signal_handler(SIGTERM, count(&counts, "term"))?;
            lp.call_soon(|| raise(SIGTERM).map_err(Error::from))?;
            lp.call_soon(count(&counts, "callback"))?;
            for _ in 0..3 {
                lp.stop();
                lp.run_forever()?;
            }
            lp.remove_signal_handler(SIGTERM)?;
        }
        assert_eq!((counted(&counts, "term"), counted(&counts, "callback")), (1000, 1000));
        report("dying");
        raise(SIGTERM)?;
        report("survived");
        Ok(())
    });
    assert_eq!(ended.killed_by(SIGTERM), ["dying"]);
}

/// Loops that come and go, as in a program of many short `run_until_complete`s.
#[test]
fn a_thousand_loops_that_each_catch_a_signal_leave_nothing_behind() {
    child!(|| {
        let descriptors = || std::fs::read_dir("/proc/self/fd").expect("Linux").count();
        let (before, counts) = (descriptors(), Counts::default());
        for round in 0..1000 {
            let lp = EventLoop::new()?;
            let seen = count(&counts, "signal");
            lp.add_signal_handler(SIGUSR1, move || {
                seen();
                looplab::stop()
            })?;
            raise(SIGUSR1)?;
            lp.run_forever()?;
            if round % 2 == 0 {
                lp.close()?;
            }
        }
        assert_eq!((counted(&counts, "signal"), descriptors()), (1000, before));
        Ok(())
    })
    .fine();
}
