//! What leaves the loop: `Error::Exit` and `Error::KeyboardInterrupt`, from wherever they come. The rest of the turn stays
//! queued in order, and the loop can run again.

use looplab::{Error, EventLoop, ExceptionContext, Result, get_running_loop};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::{Lab, say, says, words};

const MS: Duration = Duration::from_millis(1);

fn fails() -> Result<()> {
    Err(Error::msg("boom"))
}

/// Runs until nothing is left to do.
fn drain(lab: &Lab) -> Result<()> {
    while lab.run_once()? {}
    Ok(())
}

/// Queues `a`, then what leaves the loop, then `b` and `c`; runs; and what runs afterwards.
#[track_caller]
fn leaves_and_goes_on(leave: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    let lab = Lab::new();
    lab.call_soon(says("a"))?;
    leave(&lab)?;
    lab.call_soon(says("b"))?;
    lab.call_soon(says("c"))?;
    let error = lab.run_forever().unwrap_err();
    assert!(error.leaves_the_loop(), "{error:?}");
    assert_eq!(words().last().map(String::as_str), Some("a"), "the rest of the turn has not run");
    assert!(!lab.is_running() && !lab.is_closed() && !lab.snapshot().stopping && get_running_loop().is_err());
    lab.clear();
    lab.call_soon(looplab::stop)?;
    lab.run_forever()?;
    assert_eq!(words(), ["b", "c"]);
    Ok(())
}

#[test]
fn exit_and_keyboard_interrupt_leave_from_a_callback_a_timer_a_reader_a_done_callback_and_a_task()
-> Result<()> {
    let interrupts = || Err::<(), _>(Error::KeyboardInterrupt);
    leaves_and_goes_on(|lab| lab.call_soon(interrupts).map(drop))?;
    leaves_and_goes_on(|lab| lab.call_soon(|| Err::<(), _>(Error::Exit(1))).map(drop))?;
    leaves_and_goes_on(|lab| {
        lab.call_soon(|| ())?;
        lab.create_task(async { Err::<(), _>(Error::Exit(1)) });
        Ok(())
    })?;
    leaves_and_goes_on(|lab| {
        let done = lab.create_future();
        done.set_result(())?;
        done.add_done_callback(move |_| interrupts());
        Ok(())
    })?;
    // What comes behind `b` and `c` in its turn leaves just as well.
    let lab = Lab::new();
    let (ours, mut theirs) = UnixStream::pair()?;
    theirs.write_all(b"x")?;
    lab.add_reader(&ours, interrupts)?;
    lab.call_later(Duration::ZERO, || Err::<(), _>(Error::Exit(7)))?;
    lab.call_soon(says("first"))?;
    assert!(matches!(lab.run_forever(), Err(Error::KeyboardInterrupt)));
    lab.remove_reader(&ours)?;
    assert!(matches!(lab.run_forever(), Err(Error::Exit(7))));
    assert_eq!(words(), ["first"]);
    Ok(())
}

#[test]
fn a_tasks_keyboard_interrupt_stays_in_the_task_for_its_awaiters() -> Result<()> {
    let lab = Lab::new();
    let task = lab.create_task(async { Err::<(), _>(Error::KeyboardInterrupt) });
    let awaiting = task.clone();
    lab.create_task(async move {
        say(format!("the awaiter sees {}", awaiting.await.unwrap_err()));
        Ok(())
    });
    assert!(matches!(lab.run_forever(), Err(Error::KeyboardInterrupt)));
    assert!(task.done());
    drain(&lab)?;
    assert_eq!(words(), ["the awaiter sees KeyboardInterrupt"]);
    Ok(())
}

#[test]
fn a_handler_may_leave_the_loop_and_the_rest_of_the_turn_stays() -> Result<()> {
    for leave in [Error::Exit(9), Error::KeyboardInterrupt] {
        let lab = Lab::new();
        let error = leave.clone();
        lab.set_exception_handler(Some(move |_: &EventLoop, _: &ExceptionContext| {
            Err::<(), _>(error.clone())
        }));
        lab.call_soon(fails)?;
        lab.call_soon(says("rest"))?;
        let left = lab.run_forever().unwrap_err();
        assert_eq!(left.to_string(), leave.to_string());
        assert_eq!(words(), [""; 0]);
        drain(&lab)?;
        assert_eq!(words(), ["rest"]);
    }
    Ok(())
}

#[test]
fn a_handler_that_receives_a_task_may_leave_the_loop_too() -> Result<()> {
    let lab = Lab::new();
    lab.set_exception_handler(Some(|_: &EventLoop, _: &ExceptionContext| Err::<(), _>(Error::Exit(9))));
    let task = lab.create_task(async { fails() });
    lab.call_soon(move || drop(task))?;
    lab.call_later(MS, says("later"))?;
    assert!(matches!(lab.run_forever(), Err(Error::Exit(9))));
    drain(&lab)?;
    assert_eq!(words(), ["later"]);
    Ok(())
}

#[test]
fn of_two_requests_to_leave_in_one_callback_its_own_counts_and_none_is_left_over() -> Result<()> {
    let lab = Lab::new();
    lab.set_exception_handler(Some(|_: &EventLoop, _: &ExceptionContext| Err::<(), _>(Error::Exit(9))));
    let failed = lab.create_future::<()>();
    failed.set_error(Error::msg("boom"))?;
    lab.call_soon(move || {
        drop(failed);
        Err::<(), _>(Error::KeyboardInterrupt)
    })?;
    lab.call_soon(says("rest"))?;
    assert!(matches!(lab.run_forever(), Err(Error::KeyboardInterrupt)));
    lab.call_later(MS, looplab::stop)?;
    lab.run_forever()?;
    assert_eq!(words(), ["rest"]);
    Ok(())
}

/// In CPython the entry that reads the call's byte is left in the queue, so the next run makes a turn for it.
#[test]
fn a_run_left_in_the_turn_of_a_threads_call_leaves_nothing_of_its_wake_up() -> Result<()> {
    let lab = Lab::new();
    let remote = lab.remote();
    let call = || Err::<(), _>(Error::KeyboardInterrupt);
    std::thread::spawn(move || remote.call_soon(call)).join().expect("no panic")?;
    assert!(matches!(lab.run_forever(), Err(Error::KeyboardInterrupt)));
    lab.call_later(10 * MS, looplab::stop)?;
    lab.clear();
    lab.run_forever()?;
    lab.is("run | turn 2 | select 10ms timer h2 | due h2 | batch 1 | run h2 | stop | unstop | end");
    Ok(())
}
