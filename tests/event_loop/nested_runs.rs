//! Runs that are refused: nested ones, a second loop on the thread, a closed loop. Each is an error with asyncio's own
//! text, and changes nothing. The arrow is in the diagram of `src/event_loop/run.rs`.

use looplab::{Error, EventLoop, Result, get_running_loop};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use support::{Lab, OnDrop, say, says, words};

const MS: Duration = Duration::from_millis(1);

/// Every way to run `lp`, and how it is refused.
fn refusals(lp: &EventLoop) -> Vec<String> {
    let future = lp.create_future::<()>();
    let runs = [
        lp.run_forever(),
        lp.run_once().map(drop),
        lp.run_until_complete(async { Ok(()) }),
        lp.run_until_complete(&future),
    ];
    runs.map(|result| result.map_or_else(|error| error.to_string(), |()| "it ran".into())).to_vec()
}

#[test]
fn a_nested_run_of_the_same_loop_is_refused_with_asyncios_text() -> Result<()> {
    let lab = Lab::new();
    lab.call_soon(|| {
        assert_eq!(refusals(&get_running_loop()?), ["This event loop is already running"; 4]);
        assert!(matches!(get_running_loop()?.run_forever(), Err(Error::AlreadyRunning)));
        say("from a callback");
        looplab::stop()
    })?;
    lab.run_forever()?;
    lab.run_until_complete(async {
        assert_eq!(refusals(&get_running_loop()?), ["This event loop is already running"; 4]);
        say("from a task");
        Ok(())
    })?;
    assert_eq!(words(), ["from a callback", "from a task"]);
    Ok(())
}

#[test]
fn a_second_loop_on_the_same_thread_is_refused_with_asyncios_text() -> Result<()> {
    let lab = Lab::new();
    let other = EventLoop::new()?;
    let second = other.clone();
    lab.call_soon(move || {
        let text = "Cannot run the event loop while another loop is running";
        assert_eq!(refusals(&second), [text; 4]);
        assert!(matches!(second.run_once(), Err(Error::AnotherLoopRunning)));
        say("refused");
        looplab::stop()
    })?;
    lab.run_forever()?;
    assert_eq!(words(), ["refused"]);
    assert_eq!(other.turns(), 0);
    // Afterwards it may run.
    other.run_until_complete(async { Ok(()) })
}

#[test]
fn loops_on_two_threads_run_at_the_same_time() -> Result<()> {
    let lab = Lab::new();
    lab.call_soon(|| {
        let other = std::thread::spawn(|| EventLoop::new()?.run_until_complete(async { Ok(6) }));
        assert_eq!(other.join().expect("no panic")?, 6);
        looplab::stop()
    })?;
    lab.run_forever()
}

#[test]
fn every_run_of_a_closed_loop_is_refused_with_asyncios_text() -> Result<()> {
    let lab = Lab::new();
    lab.close()?; // arrow 6
    assert_eq!(refusals(&lab), ["Event loop is closed"; 4]);
    // Also where the loop could not have run anyway: the check of the loop itself comes first.
    let other = Lab::new();
    let closed = lab.clone();
    other.call_soon(move || {
        assert_eq!(refusals(&closed), ["Event loop is closed"; 4]);
        say("refused");
    })?;
    other.run_once()?;
    assert_eq!(words(), ["refused"]);
    Ok(())
}

#[test]
fn closing_a_running_loop_is_refused_with_asyncios_text() -> Result<()> {
    let lab = Lab::new();
    lab.call_soon(|| {
        let error = get_running_loop()?.close().unwrap_err();
        assert!(matches!(error, Error::CloseWhileRunning));
        assert_eq!(error.to_string(), "Cannot close a running event loop");
        say("refused");
        looplab::stop()
    })?;
    lab.run_forever()?;
    assert_eq!(words(), ["refused"]);
    assert!(!lab.is_closed());
    lab.run_until_complete(async { Ok(()) })
}

/// Before CPython 3.13.3 a failed nested run ended the outer one.
#[test]
fn a_failed_nested_run_changes_nothing() -> Result<()> {
    let lab = Lab::new();
    let other = EventLoop::new()?;
    let second = other.clone();
    lab.call_soon(move || {
        let lp = get_running_loop()?;
        let before = lp.snapshot();
        say("nested");
        for error in [lp.run_forever().unwrap_err(), second.run_forever().unwrap_err()] {
            say(error);
        }
        for error in [lp.run_once().unwrap_err(), second.run_once().unwrap_err()] {
            say(error);
        }
        assert_eq!(lp.snapshot(), before);
        assert!(lp.is_running() && get_running_loop()? == lp && !second.is_running());
        Ok(())
    })?;
    lab.call_soon(says("goes on"))?;
    lab.call_later(MS, looplab::stop)?;
    lab.clear();
    lab.run_forever()?;
    lab.is("run
        turn 1 | select 0 ready | batch 2 | run h1 | 'nested'
            | 'This event loop is already running' | 'Cannot run the event loop while another loop is running'
            | 'This event loop is already running' | 'Cannot run the event loop while another loop is running'
            | run h2 | 'goes on'
        turn 2 | select 1ms timer h3 | due h3 | batch 1 | run h3 | stop
        unstop | end");
    assert!(get_running_loop().is_err());
    Ok(())
}

#[test]
fn a_failed_nested_run_in_a_destructor_changes_nothing() -> Result<()> {
    let lab = Lab::new();
    let lp = lab.clone();
    let attempt = move || say(lp.run_forever().unwrap_err());
    let called = OnDrop(attempt.clone());
    lab.call_soon(move || drop(called))?;
    // A callback's own values are dropped with it, run or cancelled.
    let never_called = OnDrop(attempt.clone());
    let cancelled = lab.call_soon(move || drop(never_called))?;
    lab.call_soon(move || cancelled.cancel())?;
    let in_a_task = OnDrop(attempt);
    lab.create_task(async move {
        let _in_a_task = in_a_task;
        Ok(())
    });
    lab.call_soon(says("goes on"))?;
    lab.call_soon(looplab::stop)?;
    // The destructor of what is cancelled runs in the callback that cancels it.
    lab.run_forever()?;
    let refused = "This event loop is already running";
    assert_eq!(words(), [refused, refused, refused, "goes on"]);
    assert_eq!(lab.turns(), 1);
    Ok(())
}

#[test]
fn a_body_that_is_refused_is_dropped_and_never_becomes_a_task() -> Result<()> {
    let lab = Lab::new();
    let polled = Rc::new(Cell::new(false));
    let seen = polled.clone();
    let guard = OnDrop(|| say("dropped"));
    let body = async move {
        let _guard = guard;
        seen.set(true);
        Ok(())
    };
    let body = RefCell::new(Some(body));
    lab.call_soon(move || {
        let body = body.take().expect("it is called once");
        assert!(get_running_loop()?.run_until_complete(body).is_err());
        assert!(looplab::all_tasks().is_empty());
        looplab::stop()
    })?;
    lab.run_forever()?;
    assert_eq!(words(), ["dropped"]);
    assert!(!polled.get());
    Ok(())
}

#[test]
fn a_future_of_another_loop_is_refused_with_asyncios_text() -> Result<()> {
    let lab = Lab::new();
    let other = EventLoop::new()?;
    let foreign = other.create_future::<()>();
    let error = lab.run_until_complete(&foreign).unwrap_err();
    let text = "The future belongs to a different loop than the one specified as the loop argument";
    assert!(matches!(&error, Error::Value(_)) && error.to_string() == text, "{error:?}");
    assert_eq!(lab.turns(), 0);
    Ok(())
}
