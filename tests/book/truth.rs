//! Facts that the lessons' pages state beside their transcripts. The same programs print the same on CPython 3.13 to 3.15.

use looplab::{
    Clock, Error, EventLoop, Result, ReturnWhen, Runner, create_task, current_task, sleep, wait, yield_now,
};
use nix::sys::signal::{Signal::SIGUSR2, raise};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use support::child;

fn virtual_loop() -> Result<EventLoop> {
    EventLoop::builder().clock(Clock::virtual_time()).build()
}

/// Cancellation in the last step comes too late for the body, and yet decides how the task ends.
#[test]
fn a_task_cancelled_in_its_last_step_ends_cancelled() -> Result<()> {
    let ended = virtual_loop()?.run_until_complete(async {
        let returns = create_task(async {
            current_task().expect("a task runs").cancel();
            Ok(5)
        });
        wait([returns.clone()], ReturnWhen::AllCompleted, None).await?;
        Ok(returns.cancelled())
    })?;
    assert!(ended);
    Ok(())
}

#[test]
fn other_tasks_go_on_while_a_cleanup_runs_outside() -> Result<()> {
    let lp = virtual_loop()?;
    let rounds = Rc::new(Cell::new(0));
    let counted = rounds.clone();
    let _other = lp.create_task(async move {
        loop {
            sleep(Duration::from_millis(10)).await?;
            counted.set(counted.get() + 1);
        }
        #[allow(unreachable_code, reason = "it gives the body its type")]
        Ok(())
    });
    lp.call_soon(looplab::stop)?;
    lp.run_forever()?;
    assert_eq!(rounds.get(), 0);
    lp.run_until_complete(async { sleep(Duration::from_millis(105)).await })?;
    assert_eq!(rounds.get(), 10);
    lp.close()
}

/// Returns whether a task got its last step that a swept task has made, and that yields `turns` times.
fn survives(turns: u32) -> Result<bool> {
    let ended = Rc::new(Cell::new(false));
    let end = ended.clone();
    let mut runner = Runner::builder().event_loop(EventLoop::builder().clock(Clock::virtual_time())).build();
    runner.run(async move {
        create_task(async move {
            let cancelled = sleep(Duration::from_secs(60)).await;
            create_task(async move {
                for _ in 0..turns {
                    yield_now().await?;
                }
                end.set(true);
                Ok(())
            });
            cancelled
        });
        yield_now().await
    })?;
    runner.get_loop()?.set_exception_handler(Some(|_: &EventLoop, _: &looplab::ExceptionContext| ()));
    runner.close()?;
    Ok(ended.get())
}

#[test]
fn a_task_made_during_the_sweep_survives_five_turns_and_not_six() -> Result<()> {
    assert!(survives(5)?);
    assert!(!survives(6)?);
    Ok(())
}

/// A handler runs at any await of a task, so it can find a borrow that the task holds over that await.
#[test]
#[expect(clippy::await_holding_refcell_ref, reason = "this is what the test shows")]
fn a_handler_sees_what_a_task_has_left_half_done() {
    child!(|| {
        let lp = virtual_loop()?;
        let state = Rc::new(RefCell::new((0, 0)));
        let seen = Rc::new(Cell::new(None));
        let (handled, sees) = (state.clone(), seen.clone());
        lp.add_signal_handler(SIGUSR2 as i32, move || {
            let found = handled.try_borrow().map(|both| *both);
            sees.set(Some(found.map_err(|_| "borrowed")));
        })?;
        for holds in [false, true] {
            let (state, seen) = (state.clone(), seen.clone());
            lp.run_until_complete(async move {
                let mut both = state.borrow_mut();
                both.0 += 1;
                let kept = if holds { Some(both) } else { None };
                raise(SIGUSR2).map_err(Error::other)?;
                sleep(Duration::from_millis(1)).await?; // here the handler runs
                assert_eq!(seen.take(), Some(if holds { Err("borrowed") } else { Ok((1, 0)) }));
                drop(kept);
                state.borrow_mut().1 += 1;
                Ok(())
            })?;
        }
        lp.close()
    });
}

/// The poll of a loop that sleeps is woken by the signal itself, so the handler runs one turn later and not two.
#[test]
fn a_signal_that_wakes_the_poll_is_handled_in_the_next_turn() {
    child!(|| {
        let lp = virtual_loop()?;
        let handled_in = Rc::new(Cell::new(0));
        let (turn, counting) = (handled_in.clone(), lp.clone());
        lp.add_signal_handler(SIGUSR2 as i32, move || {
            turn.set(counting.turns());
            looplab::stop()
        })?;
        // The first poll finds it, as a poll under way would.
        raise(SIGUSR2).map_err(Error::other)?;
        let before = lp.turns();
        lp.run_forever()?;
        assert_eq!(handled_in.get() - before, 2, "the first turn reads it, the second handles it");
        lp.close()
    });
}
