//! What signals do when no loop listens: after removing, closing and dropping, everything is as it was before; what cannot
//! be caught is an error; and no descriptor is left behind. Every test runs in a process of its own.

use looplab::{Error, EventLoop, Result};
use nix::sys::signal::{SigHandler, Signal};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::low_level::raise;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use support::{Lab, Process, again, child, report, role, say, says, watchdog, words};

fn turns(lab: &Lab) -> Result<()> {
    for _ in 0..6 {
        lab.stop();
        lab.run_forever()?;
    }
    Ok(())
}

/// Raises a signal that the process does not survive.
fn die(signal: i32) -> Result<()> {
    report("dying");
    raise(signal)?;
    report("survived");
    Ok(())
}

// ---- the default is back ----

#[test]
fn removing_the_handler_brings_death_by_the_signal_back() {
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] {
        if role().as_deref() == Some(&*signal.to_string()) {
            let lab = Lab::new();
            lab.add_signal_handler(signal, says("caught")).expect("it can be caught");
            raise(signal).expect("a signal");
            turns(&lab).expect("turns");
            assert_eq!(words(), ["caught"]);
            assert!(lab.remove_signal_handler(signal).expect("a signal"));
            return die(signal).expect("a signal");
        }
    }
    if role().is_none() {
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] {
            let ended = Process::start(&mut again!(&signal.to_string())).end();
            assert_eq!(ended.killed_by(signal), ["dying"]);
        }
    }
}

#[test]
fn closing_the_loop_brings_death_by_sigterm_back() {
    let ended = child!(|| {
        let lab = Lab::new();
        lab.add_signal_handler(SIGTERM, says("never"))?;
        lab.close()?;
        die(SIGTERM)
    });
    assert_eq!(ended.killed_by(SIGTERM), ["dying"]);
}

#[test]
fn closing_the_loop_brings_death_by_sigint_back() {
    let ended = child!(|| {
        let lab = Lab::new();
        lab.add_signal_handler(SIGINT, says("never"))?;
        lab.close()?;
        die(SIGINT)
    });
    assert_eq!(ended.killed_by(SIGINT), ["dying"]);
}

#[test]
fn dropping_the_loop_brings_death_by_sigterm_back() {
    let ended = child!(|| {
        let lab = Lab::new();
        lab.add_signal_handler(SIGTERM, says("never"))?;
        drop(lab);
        die(SIGTERM)
    });
    assert_eq!(ended.killed_by(SIGTERM), ["dying"]);
}

#[test]
fn dropping_the_loop_brings_death_by_sigint_back() {
    let ended = child!(|| {
        let lab = Lab::new();
        lab.add_signal_handler(SIGINT, says("never"))?;
        drop(lab);
        die(SIGINT)
    });
    assert_eq!(ended.killed_by(SIGINT), ["dying"]);
}

#[test]
fn without_a_handler_sigint_and_sigterm_kill_a_running_loop() {
    for signal in [SIGINT, SIGTERM] {
        if role().as_deref() == Some(&*signal.to_string()) {
            let _dog = watchdog();
            let lp = EventLoop::new().expect("a loop");
            // One that is listened to changes nothing for the others.
            lp.add_signal_handler(SIGUSR1, || ()).expect("it can be caught");
            lp.call_soon(move || die(signal)).expect("it is open");
            return lp.run_forever().expect("nothing leaves the loop");
        }
    }
    if role().is_none() {
        for signal in [SIGINT, SIGTERM] {
            let ended = Process::start(&mut again!(&signal.to_string())).end();
            assert_eq!(ended.killed_by(signal), ["dying"]);
        }
    }
}

#[test]
fn adding_again_works_as_often_as_one_likes() {
    let ended = child!(|| {
        let lab = Lab::new();
        for _ in 0..5 {
            lab.add_signal_handler(SIGTERM, says("caught"))?;
            raise(SIGTERM)?;
            turns(&lab)?;
            lab.remove_signal_handler(SIGTERM)?;
        }
        // On another loop, too.
        let other = Lab::new();
        other.add_signal_handler(SIGTERM, says("caught by the other"))?;
        raise(SIGTERM)?;
        turns(&other)?;
        assert_eq!(words(), ["caught by the other"]);
        drop(other);
        die(SIGTERM)
    });
    assert_eq!(ended.killed_by(SIGTERM), ["dying"]);
}

#[test]
fn while_another_loop_listens_the_default_stays_out_of_force() {
    let ended = child!(|| {
        let (first, second) = (Lab::new(), Lab::new());
        first.add_signal_handler(SIGTERM, says("first"))?;
        second.add_signal_handler(SIGTERM, says("second"))?;
        first.remove_signal_handler(SIGTERM)?;
        raise(SIGTERM)?;
        turns(&first)?;
        turns(&second)?;
        assert_eq!(words(), ["second"]);
        drop(second);
        die(SIGTERM)
    });
    assert_eq!(ended.killed_by(SIGTERM), ["dying"]);
}

#[test]
fn a_signal_whose_default_is_to_do_nothing_does_nothing_again() {
    child!(|| {
        let lab = Lab::new();
        for signal in [SIGWINCH, SIGCHLD] {
            lab.add_signal_handler(signal, says("caught"))?;
            lab.remove_signal_handler(signal)?;
            raise(signal)?;
        }
        turns(&lab)?;
        assert_eq!(words().len(), 0);
        Ok(())
    })
    .fine();
}

/// signal-hook has no table entry for them: the process ends with the shell's word for it.
#[test]
fn a_real_time_signal_ends_the_process_again() {
    let ended = child!(|| {
        let lab = Lab::new();
        lab.add_signal_handler(40, says("never"))?;
        lab.remove_signal_handler(40)?;
        die(40)
    });
    assert_eq!((ended.status.code(), &*ended.lines), (Some(128 + 40), &["dying".to_owned()][..]));
}

// ---- what was there before is back ----

#[test]
fn an_inherited_ignore_is_back_after_removing_closing_and_dropping() {
    if role().as_deref() == Some("ignoring") {
        let lab = Lab::new();
        raise(SIGHUP).expect("a signal");
        lab.add_signal_handler(SIGHUP, says("caught")).expect("it can be caught");
        raise(SIGHUP).expect("a signal");
        turns(&lab).expect("turns");
        assert_eq!(words(), ["caught"]);
        lab.remove_signal_handler(SIGHUP).expect("a signal");
        raise(SIGHUP).expect("a signal");
        lab.add_signal_handler(SIGHUP, says("caught again")).expect("it can be caught");
        lab.close().expect("it does not run");
        raise(SIGHUP).expect("a signal");
        return report("alive");
    }
    let test = again!("ignoring");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(test.get_program()).args(test.get_args());
    shell.envs(test.get_envs().filter_map(|(key, value)| Some((key, value?))));
    assert_eq!(Process::start(&mut shell).end().fine(), ["alive"]);
}

/// In CPython the handler that was installed before is gone for good.
#[test]
fn a_handler_of_the_process_that_was_there_before_stays() {
    child!(|| {
        let seen = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGUSR1, seen.clone())?;
        let lab = Lab::new();
        lab.add_signal_handler(SIGUSR1, says("caught"))?;
        raise(SIGUSR1)?;
        turns(&lab)?;
        assert_eq!(words(), ["caught"]);
        assert!(seen.swap(false, SeqCst));
        lab.remove_signal_handler(SIGUSR1)?;
        raise(SIGUSR1)?;
        turns(&lab)?;
        assert_eq!(words(), ["caught"]);
        assert!(seen.swap(false, SeqCst), "and the process lives");
        Ok(())
    })
    .fine();
}

// ---- what cannot be caught ----

#[test]
fn numbers_that_are_no_signals_and_signals_that_cannot_be_caught_are_errors_with_asyncios_texts() {
    child!(|| {
        let lab = Lab::new();
        for number in [0, -1, 32, 33, 65, 1000] {
            let text = format!("invalid signal number {number}");
            let added = lab.add_signal_handler(number, || ()).unwrap_err();
            let removed = lab.remove_signal_handler(number).unwrap_err();
            for error in [added, removed] {
                assert!(matches!(&error, Error::Value(value) if **value == *text), "{number}: {error:?}");
            }
        }
        for number in [9, 19] {
            let error = lab.add_signal_handler(number, || ()).unwrap_err();
            let text = format!("sig {number} cannot be caught");
            assert!(matches!(&error, Error::Runtime(value) if **value == *text), "{error:?}");
            assert!(!lab.remove_signal_handler(number)?);
        }
        // CPython takes these; but a loop can never call anything for them.
        for number in [11, 8, 4, 7] {
            let error = lab.add_signal_handler(number, || ()).unwrap_err();
            let text = format!(
                "sig {number} cannot be caught: it reports a fault, and the faulting instruction runs again \
                 before a loop can call anything"
            );
            assert!(matches!(&error, Error::Runtime(value) if **value == *text), "{error:?}");
        }
        assert!(lab.snapshot().signals.is_empty());
        Ok(())
    })
    .fine();
}

// ---- descriptors ----

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}

#[test]
fn a_thousand_rounds_of_adding_and_removing_leave_no_descriptor_and_bring_the_default_back() {
    let ended = child!(|| {
        let lab = Lab::new();
        let before = open_descriptors();
        for round in 0..1000 {
            lab.add_signal_handler(SIGTERM, says("caught"))?;
            if round % 3 == 0 {
                lab.add_signal_handler(SIGUSR1, says("other"))?;
            }
            if round % 100 == 0 {
                raise(SIGTERM)?;
                turns(&lab)?;
            }
            assert!(lab.remove_signal_handler(SIGTERM)?);
            lab.remove_signal_handler(SIGUSR1)?;
        }
        assert_eq!(open_descriptors(), before);
        assert_eq!(words(), ["caught"; 10]);
        // Errors cost nothing either.
        for _ in 0..100 {
            assert!(lab.add_signal_handler(9, || ()).is_err());
        }
        assert_eq!(open_descriptors(), before);
        die(SIGTERM)
    });
    assert_eq!(ended.killed_by(SIGTERM), ["dying"]);
}

/// Lets the process open no more descriptors.
fn no_more_descriptors() -> Rlimit {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..limit }).expect("less is always allowed");
    limit
}

#[test]
fn adding_without_a_descriptor_left_is_an_error_and_leaves_the_default_in_force() {
    let ended = child!(|| {
        let lab = Lab::new();
        no_more_descriptors();
        let error = lab.add_signal_handler(SIGTERM, says("never")).unwrap_err();
        assert!(matches!(&error, Error::Io(io) if io.raw_os_error() == Some(24)), "{error:?}");
        assert!(lab.snapshot().signals.is_empty());
        assert!(!lab.remove_signal_handler(SIGTERM)?);
        die(SIGTERM)
    });
    assert_eq!(ended.killed_by(SIGTERM), ["dying"]);
}

#[test]
fn after_a_want_of_descriptors_adding_works_again_and_what_was_added_before_goes_on() {
    child!(|| {
        let lab = Lab::new();
        lab.add_signal_handler(SIGUSR1, || say("first"))?;
        lab.add_signal_handler(SIGUSR2, || say("second"))?;
        let limit = no_more_descriptors();
        // Removing must work without one, too.
        assert!(lab.remove_signal_handler(SIGUSR2)?);
        let without = lab.add_signal_handler(SIGTERM, says("third"));
        assert!(without.is_err());
        raise(SIGUSR1)?;
        turns(&lab)?;
        assert_eq!(words(), ["first"]);
        setrlimit(Resource::Nofile, limit).expect("it was so before");
        lab.add_signal_handler(SIGTERM, says("third"))?;
        raise(SIGTERM)?;
        raise(SIGUSR1)?;
        turns(&lab)?;
        assert_eq!(words(), ["first", "third", "first"]);
        Ok(())
    })
    .fine();
}

/// Sets a signal behind looplab's back.
#[allow(unsafe_code, reason = "there is no safe way to do what this test is about")]
fn set_behind(signal: Signal, handler: SigHandler) {
    // SAFETY: neither disposition runs code.
    unsafe { nix::sys::signal::signal(signal, handler) }.expect("it may be set");
}

/// CPython installs its handler anew each time.
#[test]
fn a_signal_that_other_code_has_set_to_ignore_or_its_default_cannot_be_added() {
    child!(|| {
        let lab = Lab::new();
        let refused = |signal: i32| {
            let error = lab.add_signal_handler(signal, says("never")).unwrap_err();
            let text = format!(
                "sig {signal} cannot be caught: other code of this process has set it to its default or to \"ignore\""
            );
            assert!(matches!(&error, Error::Runtime(said) if **said == *text), "{error:?}");
        };
        // Added, removed, set by other code, and added again; and replaced while it is there.
        for signal in [SIGUSR1, SIGUSR2] {
            lab.add_signal_handler(signal, says("first"))?;
        }
        assert!(lab.remove_signal_handler(SIGUSR1)?);
        set_behind(Signal::SIGUSR1, SigHandler::SigIgn);
        set_behind(Signal::SIGUSR2, SigHandler::SigDfl);
        for _ in 0..2 {
            refused(SIGUSR1);
            refused(SIGUSR2);
        }
        assert_eq!(lab.snapshot().signals.len(), 1, "an error leaves everything as it was");
        lab.add_signal_handler(SIGHUP, says("hup"))?;
        raise(SIGHUP)?;
        turns(&lab)?;
        assert_eq!(words(), ["hup"]);
        Ok(())
    })
    .fine();
}
