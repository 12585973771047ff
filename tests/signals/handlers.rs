//! Signals as callbacks: how many, in which order, in which turn. Every test runs in a process of its own, because signals
//! belong to the whole process. What the signals do without a handler is in `signal_defaults.rs`.

use looplab::{Clock, Error, EventLoop, ExceptionContext, Result, get_running_loop};
use nix::sys::signal::{SigSet, Signal, kill};
use signal_hook::consts::{SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::low_level::raise;
use std::thread;
use std::time::Duration;
use support::{Lab, Process, again, child, report, role, say, says, watchdog, words};

/// One turn that does not wait.
fn turn(lab: &Lab) -> Result<()> {
    lab.stop();
    lab.run_forever()
}

/// A few turns: enough for every signal that came, and for its handler.
fn turns(lab: &Lab) -> Result<()> {
    (0..6).try_for_each(|_| turn(lab))
}

/// Each signal says its number.
fn listen(lab: &Lab, signals: &[i32]) -> Result<()> {
    signals.iter().try_for_each(|&signal| lab.add_signal_handler(signal, move || say(signal)))
}

fn numbers(signals: &[i32]) -> Vec<String> {
    signals.iter().map(ToString::to_string).collect()
}

// ---- which turn ----

#[test]
fn a_signal_of_turn_1_is_read_in_turn_2_and_its_handler_runs_in_turn_3() {
    child!(|| {
        let lab = Lab::new();
        lab.add_signal_handler(SIGUSR1, || {
            say("usr1");
            looplab::stop()
        })?;
        lab.call_soon(|| raise(SIGUSR1).map_err(Error::from))?;
        lab.is("watch 10 h2 | +h3");
        lab.run_forever()?;
        lab.is("run
            turn 1 | select 0 ready | batch 1 | run h3
            turn 2 | select for ever idle | +h1 signals | batch 1 | run h1 | signal 10 | +h2 signal 10
            turn 3 | select 0 ready | batch 1 | run h2 | 'usr1' | stop
            unstop | end");
        Ok(())
    })
    .fine();
}

#[test]
fn a_signal_between_two_runs_is_delivered_in_the_second_turn_of_the_next_run() {
    child!(|| {
        let lab = Lab::new();
        lab.add_signal_handler(SIGUSR1, || {
            say("usr1");
            looplab::stop()
        })?;
        turn(&lab)?;
        raise(SIGUSR1)?;
        lab.clear();
        lab.run_forever()?;
        lab.is("run
            turn 2 | select for ever idle | +h1 signals | batch 1 | run h1 | signal 10 | +h2 signal 10
            turn 3 | select 0 ready | batch 1 | run h2 | 'usr1' | stop
            unstop | end");
        Ok(())
    })
    .fine();
}

#[test]
fn a_handler_on_a_loop_that_does_not_run_is_delayed_and_nothing_is_swallowed() {
    child!(|| {
        let lab = Lab::new();
        listen(&lab, &[SIGUSR1])?;
        for _ in 0..3 {
            raise(SIGUSR1)?;
        }
        assert_eq!(words().len(), 0);
        // Not even a loop that another loop keeps from running loses one.
        let other = EventLoop::new()?;
        other.run_until_complete(async { raise(SIGUSR1).map_err(Error::from) })?;
        turns(&lab)?;
        assert_eq!(words(), ["10"; 4]);
        Ok(())
    })
    .fine();
}

#[test]
fn a_signal_wakes_an_idle_loop_in_real_and_in_virtual_time() {
    let clock = match role().as_deref() {
        Some("real") => Clock::monotonic(),
        // In virtual time a loop that has a handler is not stuck: it really sleeps.
        Some(_) => Clock::virtual_time(),
        None => {
            for clock in ["real", "virtual"] {
                let mut process = Process::start(&mut again!(clock));
                assert_eq!(process.next().as_deref(), Some("asleep"));
                kill(process.pid(), Signal::SIGUSR1).expect("it lives");
                process.end().fine();
            }
            return;
        }
    };
    let _dog = watchdog();
    let lp = EventLoop::builder().clock(clock).on_park(|| report("asleep")).build().expect("a loop");
    lp.add_signal_handler(SIGUSR1, looplab::stop).expect("it can be caught");
    lp.run_forever().expect("nothing leaves the loop");
}

#[test]
fn a_signal_wakes_a_loop_that_waits_for_a_timer() {
    if role().is_none() {
        let mut process = Process::start(&mut again!("waiting"));
        assert_eq!(process.next().as_deref(), Some("asleep"));
        kill(process.pid(), Signal::SIGUSR1).expect("it lives");
        process.end().fine();
        return;
    }
    let _dog = watchdog();
    let builder = EventLoop::builder().clock(Clock::monotonic());
    let lp = builder.on_park(|| report("asleep")).build().expect("a loop");
    lp.add_signal_handler(SIGUSR1, looplab::stop).expect("it can be caught");
    lp.call_later(Duration::from_secs(3600), || unreachable!("in an hour")).expect("it is open");
    lp.run_forever().expect("nothing leaves the loop");
    assert_eq!(lp.snapshot().timers.len(), 1);
}

// ---- how many, in which order ----

#[test]
fn n_signals_between_two_polls_are_n_callbacks() {
    child!(|| {
        let lab = Lab::new();
        listen(&lab, &[SIGUSR1])?;
        lab.call_soon(|| (0..5).try_for_each(|_| raise(SIGUSR1)).map_err(Error::from))?;
        turns(&lab)?;
        assert_eq!(words(), ["10"; 5]);
        Ok(())
    })
    .fine();
}

#[test]
fn mixed_signals_are_called_one_by_one_in_the_order_in_which_they_came() {
    child!(|| {
        let kinds = [SIGUSR1, SIGHUP, SIGWINCH, SIGUSR2];
        let lab = Lab::new();
        listen(&lab, &kinds)?;
        // Any order will do, as long as it is no simple one.
        let order: Vec<i32> = (0..200_usize).map(|n| kinds[(n * n / 3 + n) % kinds.len()]).collect();
        let (in_a_turn, between) = order.split_at(100);
        let raised = in_a_turn.to_vec();
        lab.call_soon(move || raised.into_iter().try_for_each(raise).map_err(Error::from))?;
        turn(&lab)?;
        for signal in between {
            raise(*signal)?;
        }
        turns(&lab)?;
        assert_eq!(words(), numbers(&order));
        Ok(())
    })
    .fine();
}

#[test]
fn signals_sent_while_blocked_coalesce_into_one_callback() {
    child!(|| {
        let lab = Lab::new();
        listen(&lab, &[SIGUSR1])?;
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGUSR1);
        blocked.thread_block().expect("a mask");
        for _ in 0..5 {
            raise(SIGUSR1)?;
        }
        turns(&lab)?;
        assert_eq!(words().len(), 0);
        blocked.thread_unblock().expect("a mask");
        turns(&lab)?;
        assert_eq!(words(), ["10"], "the kernel keeps one of each");
        Ok(())
    })
    .fine();
}

/// In CPython 278 bytes fill the self-pipe, and the signals after them are lost.
#[test]
fn three_hundred_signals_lose_none_and_neither_do_as_many_calls_of_threads() {
    child!(|| {
        let lab = Lab::new();
        listen(&lab, &[SIGUSR1])?;
        (0..300).try_for_each(|_| raise(SIGUSR1))?;
        turns(&lab)?;
        assert_eq!(words().len(), 300);
        lab.clear();
        let remote = lab.remote();
        let calls = thread::spawn(move || (0..1000).try_for_each(|_| remote.call_soon(says("call"))));
        calls.join().expect("no panic")?;
        raise(SIGUSR1)?;
        turns(&lab)?;
        assert_eq!(words().iter().filter(|word| *word == "call").count(), 1000);
        assert_eq!(words().iter().filter(|word| *word == "10").count(), 1);
        Ok(())
    })
    .fine();
}

#[test]
fn of_more_than_1024_that_wait_each_kind_is_called_at_least_once() {
    child!(|| {
        let lab = Lab::new();
        listen(&lab, &[SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH])?;
        (0..1024).try_for_each(|_| raise(SIGUSR1))?;
        for signal in [SIGUSR2, SIGHUP, SIGUSR2, SIGUSR1, SIGUSR2] {
            raise(signal)?;
        }
        turns(&lab)?;
        let said = words();
        assert_eq!(said[..1024], numbers(&[SIGUSR1; 1024]), "the first 1,024 are all there");
        assert_eq!(
            said[1024..],
            numbers(&[SIGHUP, SIGUSR2]),
            "and the others once each, in order of registration"
        );
        // Then there is room again.
        lab.clear();
        for signal in [SIGUSR2, SIGWINCH, SIGUSR1] {
            raise(signal)?;
        }
        turns(&lab)?;
        assert_eq!(words(), numbers(&[SIGUSR2, SIGWINCH, SIGUSR1]));
        Ok(())
    })
    .fine();
}

/// One reading takes 1,024. What it leaves has no byte in the self-pipe any more, and must not be slept on.
#[test]
fn what_one_reading_leaves_is_read_in_the_next_turn() {
    child!(|| {
        let lab = Lab::in_real_time();
        listen(&lab, &[SIGHUP, SIGWINCH])?;
        lab.add_signal_handler(SIGUSR1, looplab::stop)?;
        (0..1024).try_for_each(|_| raise(SIGWINCH))?;
        // Removing one takes the others out of their ring, in which there is room again.
        lab.remove_signal_handler(SIGHUP)?;
        raise(SIGUSR1)?;
        lab.run_forever()?;
        assert_eq!(words(), numbers(&[SIGWINCH; 1024]));
        Ok(())
    })
    .fine();
}

#[test]
fn real_time_signals_are_called_in_order_and_never_coalesced() {
    child!(|| {
        let lab = Lab::new();
        listen(&lab, &[34, 40, 64])?;
        let order = [40, 34, 64, 40, 40];
        for signal in order {
            raise(signal)?;
        }
        turns(&lab)?;
        assert_eq!(words(), numbers(&order));
        Ok(())
    })
    .fine();
}

// ---- adding and removing ----

#[test]
fn a_handler_removed_before_the_signal_is_read_does_not_run() {
    child!(|| {
        let lab = Lab::new();
        listen(&lab, &[SIGUSR1, SIGUSR2])?;
        lab.call_soon(|| {
            raise(SIGUSR1)?;
            raise(SIGUSR2)?;
            assert!(get_running_loop()?.remove_signal_handler(SIGUSR1)?);
            Ok(())
        })?;
        turns(&lab)?;
        assert_eq!(words(), ["12"], "the other one is not affected");
        Ok(())
    })
    .fine();
}

#[test]
fn a_signal_that_came_before_its_handler_was_removed_is_forgotten_with_it() {
    child!(|| {
        let lab = Lab::new();
        listen(&lab, &[SIGUSR1, SIGUSR2])?;
        lab.call_soon(|| {
            raise(SIGUSR1)?;
            get_running_loop()?.remove_signal_handler(SIGUSR1)?;
            get_running_loop()?.add_signal_handler(SIGUSR1, says("the new one"))
        })?;
        turns(&lab)?;
        assert_eq!(words(), [""; 0], "the new handler is not for the old signal");
        raise(SIGUSR1)?;
        turns(&lab)?;
        assert_eq!(words(), ["the new one"]);
        lab.remove_signal_handler(SIGUSR2)?;
        raise(SIGUSR1)?;
        lab.remove_signal_handler(SIGUSR1)?;
        lab.clear();
        turn(&lab)?;
        lab.is("stop | run
            turn 13 | select 0 stopping | batch 0
            unstop | end");
        Ok(())
    })
    .fine();
}

#[test]
fn a_handler_removed_after_it_was_queued_still_runs_once() {
    child!(|| {
        let lab = Lab::new();
        lab.add_signal_handler(SIGUSR1, says("usr1"))?;
        lab.call_soon(|| {
            raise(SIGUSR1)?;
            // Runs in turn 2 and queues the removal in front of the handler, which is queued behind it.
            get_running_loop()?.call_soon(|| {
                get_running_loop()?.call_soon(|| get_running_loop()?.remove_signal_handler(SIGUSR1))
            })
        })?;
        lab.clear();
        turns(&lab)?;
        let lines = lab.take();
        let from = lines.iter().position(|line| line == "turn 3").expect("a third turn");
        let turn_3: Vec<&str> = lines[from..from + 7].iter().map(String::as_str).collect();
        assert_eq!(turn_3[..3], ["turn 3", "select 0 ready", "batch 2"]);
        assert_eq!(turn_3[3..], ["run h5", "unwatch 10", "run h2", "'usr1'"]);
        Ok(())
    })
    .fine();
}

#[test]
fn a_second_add_replaces_the_handler_and_what_is_read_later_goes_to_the_new_one() {
    child!(|| {
        let lab = Lab::new();
        lab.add_signal_handler(SIGUSR1, says("first"))?;
        raise(SIGUSR1)?;
        lab.add_signal_handler(SIGUSR1, says("second"))?;
        turns(&lab)?;
        raise(SIGUSR1)?;
        turns(&lab)?;
        assert_eq!(words(), ["second", "second"]);
        assert_eq!(lab.snapshot().signals.len(), 1);
        // A call that is queued already is not taken back.
        lab.clear();
        raise(SIGUSR1)?;
        turn(&lab)?;
        lab.add_signal_handler(SIGUSR1, says("third"))?;
        turns(&lab)?;
        assert_eq!(words(), ["second"]);
        Ok(())
    })
    .fine();
}

#[test]
fn a_handler_may_remove_replace_and_add_itself_again_and_keeps_its_state() {
    child!(|| {
        let lab = Lab::new();
        let mut calls = 0;
        lab.add_signal_handler(SIGUSR1, move || {
            calls += 1;
            say(calls);
            let lp = get_running_loop()?;
            if calls == 2 {
                assert!(lp.remove_signal_handler(SIGUSR1)?);
                lp.add_signal_handler(SIGUSR1, || {
                    say("other");
                    get_running_loop()?.add_signal_handler(SIGUSR1, says("last"))
                })?;
            }
            Ok(())
        })?;
        for _ in 0..5 {
            raise(SIGUSR1)?;
            turns(&lab)?;
        }
        assert_eq!(words(), ["1", "2", "other", "last", "last"]);
        Ok(())
    })
    .fine();
}

#[test]
fn removing_tells_whether_there_was_a_handler() {
    child!(|| {
        let lab = Lab::new();
        assert!(!lab.remove_signal_handler(SIGUSR1)?);
        listen(&lab, &[SIGUSR1])?;
        assert!(!lab.remove_signal_handler(SIGUSR2)?);
        assert!(lab.remove_signal_handler(SIGUSR1)?);
        assert!(!lab.remove_signal_handler(SIGUSR1)?);
        Ok(())
    })
    .fine();
}

#[test]
fn on_a_closed_loop_adding_is_refused_and_removing_is_false() {
    child!(|| {
        let lab = Lab::new();
        listen(&lab, &[SIGUSR1])?;
        lab.close()?;
        let error = lab.add_signal_handler(SIGUSR1, || ()).unwrap_err();
        assert!(matches!(error, Error::Closed) && error.to_string() == "Event loop is closed");
        assert!(!lab.remove_signal_handler(SIGUSR1)?);
        assert!(lab.snapshot().signals.is_empty());
        Ok(())
    })
    .fine();
}

#[test]
fn a_handler_that_fails_or_panics_is_reported_as_any_callback_and_stays() {
    child!(|| {
        let lab = Lab::new();
        lab.set_exception_handler(Some(|_: &EventLoop, context: &ExceptionContext| {
            assert!(context.message().starts_with("Exception in callback "), "{}", context.message());
            say(context.error().expect("an error"));
        }));
        let mut calls = 0;
        lab.add_signal_handler(SIGUSR1, move || {
            calls += 1;
            assert!(calls != 2, "aua");
            Err::<(), _>(Error::msg("boom"))
        })?;
        for _ in 0..3 {
            raise(SIGUSR1)?;
        }
        turns(&lab)?;
        assert_eq!(words(), ["boom", "aua", "boom"]);
        // What leaves the loop leaves it, and the handler behind stays queued.
        lab.clear();
        lab.add_signal_handler(SIGUSR2, || Err::<(), _>(Error::Exit(3)))?;
        lab.add_signal_handler(SIGHUP, says("hup"))?;
        raise(SIGUSR2)?;
        raise(SIGHUP)?;
        assert!(matches!(lab.run_forever(), Err(Error::Exit(3))));
        assert_eq!(words().len(), 0);
        turn(&lab)?;
        assert_eq!(words(), ["hup"]);
        Ok(())
    })
    .fine();
}
