//! The signals of a runner that is not on the main thread (a test never is), each in a process of its own. Ctrl-C on the
//! main thread is the matter of `ctrl_c.rs`.

use looplab::{Error, Result, Runner, get_running_loop, run, sleep};
use nix::sys::signal::{Signal, raise};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use support::{Process, again, child, report, role, watchdog};

const HOUR: Duration = Duration::from_secs(3600);
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// A signal to this process; it is delivered on return, at the latest.
fn kill_me(signal: i32) -> Result<()> {
    raise(Signal::try_from(signal).map_err(Error::other)?).map_err(Error::other)
}

fn graceful() -> Runner {
    Runner::builder().sigterm(true).build()
}

fn outcome<T: std::fmt::Debug>(result: Result<T>) {
    report(format!("{result:?}"));
}

#[test]
fn on_a_thread_that_is_not_the_main_one_ctrl_c_is_left_alone() {
    if role().is_none() {
        // So that the child has the default, also if the test was started in the background, with SIGINT ignored.
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(SIGINT, 130, always).expect("it can be caught");
    }
    let ended = child!(|| run(async {
        report("interrupting");
        kill_me(SIGINT)
    }));
    assert_eq!(ended.killed_by(SIGINT), ["interrupting"]);
}

#[test]
fn sigterm_is_left_alone_unless_asked_for() {
    let ended = child!(|| run(async {
        report("terminating");
        kill_me(SIGTERM)
    }));
    assert_eq!(ended.killed_by(SIGTERM), ["terminating"]);
}

#[test]
fn sigterm_cancels_main_and_run_ends_with_143() {
    let ended = child!(|| {
        outcome(graceful().run(async {
            kill_me(SIGTERM)?;
            let ended = sleep(HOUR).await;
            report(format!("main: {ended:?}"));
            ended
        }));
    });
    assert_eq!(ended.fine(), ["main: Err(CancelledError)", "Err(SystemExit: 143)"]);
}

#[test]
fn main_may_swallow_sigterm_and_give_its_value() {
    let ended = child!(|| {
        outcome(graceful().run(async {
            kill_me(SIGTERM)?;
            sleep(HOUR).await.map(|()| "never").or(Ok("saved"))
        }));
    });
    assert_eq!(ended.fine(), [r#"Ok("saved")"#]);
}

#[test]
fn the_second_sigterm_interrupts_and_the_sweep_cancels_main_again() {
    let ended = child!(|| {
        let mut runner = graceful();
        outcome(runner.run(async {
            kill_me(SIGTERM)?;
            let _ = sleep(HOUR).await;
            report("cleaning up");
            kill_me(SIGTERM)?;
            let cleanup = sleep(HOUR).await;
            report(format!("cleanup: {cleanup:?}"));
            cleanup
        }));
        runner.close()
    });
    assert_eq!(ended.fine(), ["cleaning up", "Err(SystemExit: 143)", "cleanup: Err(CancelledError)"]);
}

#[test]
fn the_third_sigterm_kills_also_while_a_callback_keeps_the_loop_from_turning() {
    let ended = child!(|| {
        graceful().run(async {
            for n in 1..=3 {
                report(n);
                kill_me(SIGTERM)?;
            }
            report("never");
            Ok(())
        })
    });
    assert_eq!(ended.killed_by(SIGTERM), ["1", "2", "3"]);
}

#[test]
fn the_default_is_back_after_the_run() {
    let ended = child!(|| {
        let mut runner = graceful();
        for n in 1..=2 {
            runner.run(async {
                kill_me(SIGTERM)?;
                sleep(HOUR).await.or(Ok(()))
            })?;
            report(n);
        }
        kill_me(SIGTERM)
    });
    assert_eq!(ended.killed_by(SIGTERM), ["1", "2"]);
}

#[test]
fn each_run_counts_its_signals_anew() {
    let ended = child!(|| {
        let mut runner = graceful();
        for _ in 0..10 {
            let stopped = runner.run(async {
                kill_me(SIGTERM)?;
                sleep(HOUR).await
            });
            assert!(matches!(stopped, Err(Error::Exit(143))), "{stopped:?}");
        }
        runner.close()?;
        report("alive");
        Ok(())
    });
    assert_eq!(ended.fine(), ["alive"]);
}

#[test]
fn a_signal_during_the_shutdown_interrupts_it_and_the_loop_is_closed() {
    let ended = child!(|| {
        let mut runner = graceful();
        let lp = runner.get_loop()?;
        runner.run(async {
            looplab::create_task(async {
                let _ = sleep(HOUR).await;
                report("in the sweep");
                kill_me(SIGTERM)?;
                sleep(HOUR).await
            });
            looplab::yield_now().await
        })?;
        outcome(runner.close());
        report(lp.is_closed());
        kill_me(SIGTERM)
    });
    assert_eq!(ended.killed_by(SIGTERM), ["in the sweep", "Err(SystemExit: 143)", "true"]);
}

/// After two in the run there is none left to be graceful with.
#[test]
fn the_third_signal_kills_also_in_the_shutdown() {
    let ended = child!(|| {
        let mut runner = graceful();
        outcome(runner.run(async {
            loop {
                kill_me(SIGTERM)?;
                let _ = sleep(HOUR).await;
                report("swallowed");
            }
            #[allow(unreachable_code, reason = "it gives the body its type")]
            Ok(())
        }));
        runner.close()
    });
    assert_eq!(ended.killed_by(SIGTERM), ["swallowed", "Err(SystemExit: 143)", "swallowed"]);
}

#[test]
fn a_handler_that_the_process_had_before_is_left_alone() {
    let ended = child!(|| {
        let seen = Arc::new(AtomicUsize::new(0));
        let counts = seen.clone();
        let mut own = signal_hook::iterator::Signals::new([SIGTERM])?;
        std::thread::spawn(move || own.forever().for_each(|_| _ = counts.fetch_add(1, SeqCst)));
        graceful().run(async {
            for _ in 0..4 {
                kill_me(SIGTERM)?;
            }
            looplab::yield_now().await
        })?;
        while seen.load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        report("alive");
        Ok(())
    });
    assert_eq!(ended.fine(), ["alive"]);
}

#[test]
fn a_handler_that_the_loop_had_before_is_left_alone() {
    let ended = child!(|| {
        let mut runner = graceful();
        runner.get_loop()?.add_signal_handler(SIGTERM, || report("the program's own"))?;
        runner.run(async {
            for _ in 0..4 {
                kill_me(SIGTERM)?;
            }
            sleep(Duration::from_millis(1)).await
        })?;
        report(runner.get_loop()?.remove_signal_handler(SIGTERM)?);
        runner.close()
    });
    assert_eq!(ended.fine(), ["the program's own"; 4].iter().copied().chain(["true"]).collect::<Vec<_>>());
}

#[test]
fn a_handler_that_main_adds_takes_the_place_and_nothing_kills_any_more() {
    let ended = child!(|| {
        let mut runner = graceful();
        runner.run(async {
            // The first two light the fuse to its end: it is put out all the same.
            kill_me(SIGTERM)?;
            kill_me(SIGTERM)?;
            let lp = get_running_loop()?;
            lp.add_signal_handler(SIGTERM, || report("the program's own"))?;
            for _ in 0..4 {
                kill_me(SIGTERM)?;
            }
            while lp.snapshot().ready.is_empty() {
                looplab::yield_now().await?;
            }
            sleep(Duration::from_millis(1)).await
        })?;
        // The runner takes nothing away that is not its own.
        report(runner.get_loop()?.remove_signal_handler(SIGTERM)?);
        kill_me(SIGTERM)
    });
    let lines = ended.killed_by(SIGTERM);
    assert_eq!(lines.last().map(String::as_str), Some("true"));
    assert_eq!(lines.len(), 7, "{lines:?}");
}

#[test]
fn the_runners_own_handler_is_none_that_the_program_could_remove() {
    let ended = child!(|| {
        outcome(graceful().run(async {
            report(get_running_loop()?.remove_signal_handler(SIGTERM)?);
            kill_me(SIGTERM)?;
            sleep(HOUR).await
        }));
    });
    assert_eq!(ended.fine(), ["false", "Err(SystemExit: 143)"]);
}

#[test]
fn an_inherited_ignore_is_left_alone() {
    if role().as_deref() == Some("ignoring") {
        let _dog = watchdog();
        let value = graceful().run(async {
            for _ in 0..4 {
                kill_me(SIGTERM)?;
            }
            report(get_running_loop()?.snapshot().signals.len());
            Ok("alive")
        });
        return outcome(value);
    }
    let test = again!("ignoring");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' TERM; exec \"$0\" \"$@\""]).arg(test.get_program()).args(test.get_args());
    shell.envs(test.get_envs().filter_map(|(key, value)| Some((key, value?))));
    assert_eq!(Process::start(&mut shell).end().fine(), ["0", r#"Ok("alive")"#]);
}

#[test]
fn a_main_that_others_cancelled_too_ends_cancelled() {
    let ended = child!(|| {
        outcome(graceful().run(async {
            let main = looplab::current_task().ok_or(Error::NoRunningLoop)?;
            main.cancel();
            let _ = sleep(HOUR).await;
            kill_me(SIGTERM)?;
            sleep(HOUR).await
        }));
    });
    assert_eq!(ended.fine(), ["Err(CancelledError)"]);
}
