//! Signals of several loops, threads and processes: none takes another's. Every test runs in a process of its own.

use looplab::{Clock, Error, EventLoop, Result};
use nix::sys::signal::{Signal, kill};
use signal_hook::consts::{SIGCHLD, SIGUSR1};
use signal_hook::low_level::raise;
use std::cell::RefCell;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;
use support::{Lab, child, say, says, words};

/// A few turns that do not wait: enough for every signal that came, and for its handler.
fn turns(lab: &Lab) -> Result<()> {
    for _ in 0..6 {
        lab.stop();
        lab.run_forever()?;
    }
    Ok(())
}

/// In CPython the last loop to add a handler takes the signals of all others.
#[test]
fn two_loops_on_two_threads_each_get_every_signal() {
    child!(|| {
        const COUNT: usize = 20;
        let (ready, is_ready) = channel();
        let start = |count: usize| {
            let ready = ready.clone();
            thread::spawn(move || -> Result<usize> {
                let lp = EventLoop::builder().clock(Clock::monotonic()).build()?;
                let seen = Rc::new(RefCell::new(0));
                let counted = seen.clone();
                lp.add_signal_handler(SIGUSR1, move || {
                    *counted.borrow_mut() += 1;
                    if *counted.borrow() == count { looplab::stop() } else { Ok(()) }
                })?;
                ready.send(()).map_err(Error::other)?;
                lp.run_forever()?;
                lp.close()?;
                Ok(seen.take())
            })
        };
        // The first loop ends half-way, which must not hurt the second.
        let (first, second) = (start(COUNT / 2), start(COUNT));
        (0..2).for_each(|_| is_ready.recv().expect("a loop"));
        (0..COUNT / 2).try_for_each(|_| raise(SIGUSR1))?;
        assert_eq!(first.join().expect("no panic")?, COUNT / 2);
        (0..COUNT / 2).try_for_each(|_| raise(SIGUSR1))?;
        assert_eq!(second.join().expect("no panic")?, COUNT);
        Ok(())
    })
    .fine();
}

#[test]
fn two_loops_on_one_thread_each_get_every_signal() {
    child!(|| {
        let (first, second) = (Lab::new(), Lab::new());
        first.add_signal_handler(SIGUSR1, says("first"))?;
        second.add_signal_handler(SIGUSR1, says("second"))?;
        raise(SIGUSR1)?;
        turns(&first)?;
        turns(&second)?;
        assert_eq!(words(), ["first", "second"]);
        second.close()?;
        raise(SIGUSR1)?;
        turns(&first)?;
        assert_eq!(words(), ["first", "second", "first"]);
        Ok(())
    })
    .fine();
}

#[test]
fn sigchld_of_a_child_is_called_and_the_child_can_be_waited_for() {
    child!(|| {
        let lab = Lab::in_real_time();
        lab.add_signal_handler(SIGCHLD, || {
            say("chld");
            looplab::stop()
        })?;
        let mut child = Command::new("true").spawn()?;
        lab.run_forever()?;
        assert_eq!(words(), ["chld"]);
        assert!(child.wait()?.success(), "nobody else has waited for it");
        Ok(())
    })
    .fine();
}

/// In CPython a forked child wrote its signals into its parent's pipe, until 3.12.
#[test]
fn a_signal_to_a_child_process_is_the_childs_and_kills_it() {
    child!(|| {
        let lab = Lab::new();
        lab.add_signal_handler(SIGUSR1, says("never"))?;
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a small number"));
        kill(pid, Signal::SIGUSR1).map_err(|error| Error::msg(error.to_string()))?;
        assert_eq!(child.wait()?.signal(), Some(SIGUSR1));
        turns(&lab)?;
        assert_eq!(words().len(), 0);
        Ok(())
    })
    .fine();
}

#[test]
fn a_loop_of_any_thread_may_add_and_remove() {
    // In CPython: `set_wakeup_fd only works in main thread of the main interpreter`.
    child!(|| {
        let thread = std::thread::spawn(|| {
            let lab = Lab::new();
            lab.add_signal_handler(SIGUSR1, says("caught"))?;
            raise(SIGUSR1)?;
            turns(&lab)?;
            assert_eq!(words(), ["caught"]);
            lab.remove_signal_handler(SIGUSR1)
        });
        assert!(thread.join().expect("no panic")?);
        Ok(())
    })
    .fine();
}
