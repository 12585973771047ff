//! Errors that no caller receives: where they are reported, and in what words. Those that leave the loop have a file of
//! their own, `exits.rs`.

use looplab::{Error, EventLoop, ExceptionContext, Result, Task, create_task, sleep, yield_now};
use std::cell::RefCell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;
use support::{Drops, Lab, OnDrop, child, logged, report, say, says, words};

const MS: Duration = Duration::from_millis(1);

/// A loop whose exception handler keeps what it gets.
fn telling() -> (Lab, Rc<RefCell<Vec<ExceptionContext>>>) {
    let (lab, told) = (Lab::new(), Rc::default());
    let keep: Rc<RefCell<Vec<ExceptionContext>>> = Rc::clone(&told);
    lab.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| {
        keep.borrow_mut().push(context.clone());
    }));
    (lab, told)
}

/// Message and error of each.
fn texts(told: &RefCell<Vec<ExceptionContext>>) -> Vec<(String, String)> {
    let text = |context: &ExceptionContext| {
        (context.message().to_owned(), context.error().map(ToString::to_string).unwrap_or_default())
    };
    told.borrow().iter().map(text).collect()
}

fn fails() -> Result<()> {
    Err(Error::msg("boom"))
}

fn panics() {
    panic!("aua");
}

fn drain(lab: &Lab) -> Result<()> {
    while lab.run_once()? {}
    Ok(())
}

/// `tests/event_loop/exceptions.rs:LINE`.
fn at(line: u32) -> String {
    format!("tests/event_loop/exceptions.rs:{line}")
}

// ---- an error and a panic of everything that a loop calls ----

#[test]
fn a_callback_that_fails_or_panics_is_reported_with_its_name_and_place() -> Result<()> {
    let (lab, told) = telling();
    lab.call_soon(fails)?;
    let first = at(line!() - 1);
    lab.call_later(MS, panics)?;
    let second = at(line!() - 1);
    drain(&lab)?;
    assert_eq!(
        texts(&told),
        [
            (format!("Exception in callback fails created at {first}"), "boom".into()),
            (format!("Exception in callback panics created at {second}"), "aua".into()),
        ]
    );
    let told = told.borrow();
    assert!(
        matches!(told[0].error(), Some(Error::Other(_))) && matches!(told[1].error(), Some(Error::Panic(_)))
    );
    let handle = told[0].handle().expect("the callback");
    assert_eq!((&*handle.label, handle.place.map(|place| at(place.line()))), ("fails", Some(first)));
    assert!(told[0].task().is_none() && told[0].future().is_none() && told[0].context().is_none());
    Ok(())
}

/// As in asyncio: only `KeyboardInterrupt` and `SystemExit` leave the loop.
#[test]
fn a_cancellation_or_a_coroutine_exit_from_a_callback_is_reported_like_any_error() -> Result<()> {
    let (lab, told) = telling();
    lab.call_soon(|| Err::<(), _>(Error::Cancelled(Some("late".into()))))?;
    lab.call_soon(|| Err::<(), _>(Error::CoroutineExit))?;
    drain(&lab)?;
    let told = told.borrow();
    assert!(told[0].error().is_some_and(Error::is_cancelled));
    assert!(matches!(told[1].error(), Some(Error::CoroutineExit)));
    Ok(())
}

#[test]
fn a_reader_and_a_done_callback_that_fail_or_panic_are_reported() -> Result<()> {
    let (lab, told) = telling();
    let (ours, mut theirs) = UnixStream::pair()?;
    theirs.write_all(b"x")?;
    lab.add_reader(&ours, fails)?;
    lab.add_writer(&ours, panics)?;
    lab.run_once()?;
    lab.remove_reader(&ours)?;
    lab.remove_writer(&ours)?;
    let done = lab.create_future();
    done.set_result(())?;
    done.add_done_callback(|_| fails());
    done.add_done_callback(|_| panics());
    drain(&lab)?;
    let errors: Vec<_> = texts(&told).into_iter().map(|(_, error)| error).collect();
    assert_eq!(errors, ["boom", "aua", "boom", "aua"]);
    assert!(told.borrow().iter().all(|context| context.message().starts_with("Exception in callback ")));
    Ok(())
}

#[test]
fn a_task_that_fails_or_panics_keeps_its_error_for_its_awaiter() -> Result<()> {
    let (lab, told) = telling();
    let failing = lab.create_task(async { fails() });
    let panicking = lab.create_task(async {
        yield_now().await?;
        panics();
        Ok(())
    });
    let errors = lab.run_until_complete(async {
        let first = failing.await.unwrap_err();
        Ok([first, panicking.await.unwrap_err()])
    })?;
    assert_eq!(errors.map(|error| error.to_string()), ["boom", "aua"]);
    assert!(told.borrow().is_empty());
    Ok(())
}

#[test]
fn a_destructor_that_panics_in_a_callback_or_a_task_is_an_error_of_that_callback_or_task() -> Result<()> {
    let (lab, told) = telling();
    let torn = || OnDrop(|| panic!("torn"));
    let guard = torn();
    lab.call_soon(move || drop(guard))?;
    let guard = torn();
    let task = lab.create_task(async move {
        let _guard = guard;
        Ok(5)
    });
    // One that holds it until its body goes.
    let guard = torn();
    let second = lab.create_task(async move {
        std::future::poll_fn(move |_| {
            let _guard = &guard;
            std::task::Poll::Ready(Ok(6))
        })
        .await
    });
    drain(&lab)?;
    assert_eq!(texts(&told).len(), 1);
    assert_eq!(texts(&told)[0].1, "torn");
    for task in [task, second] {
        assert!(matches!(task.result(), Err(Error::Panic(text)) if &*text == "torn"));
    }
    Ok(())
}

#[test]
fn a_panic_whose_payload_is_no_text_or_panics_itself_is_an_error_too() -> Result<()> {
    let (lab, told) = telling();
    lab.call_soon(|| std::panic::panic_any(7))?;
    lab.call_soon(|| std::panic::panic_any(OnDrop(|| panic!("the payload"))))?;
    lab.call_soon(says("goes on"))?;
    drain(&lab)?;
    let text = "a panic whose payload is not a text";
    assert_eq!(texts(&told).into_iter().map(|(_, error)| error).collect::<Vec<_>>(), [text, text]);
    assert_eq!(words(), ["goes on"]);
    Ok(())
}

// ---- never retrieved ----

#[test]
fn a_failed_task_that_is_never_asked_is_reported_with_its_name_and_place_when_its_last_handle_goes()
-> Result<()> {
    let (lab, told) = telling();
    let task = Task::builder().name("worker").spawn_on(&lab, async { fails() });
    let place = at(line!() - 1);
    let second = task.clone();
    drain(&lab)?;
    drop(task);
    assert!(told.borrow().is_empty());
    drop(second);
    assert_eq!(texts(&told), [("Task exception was never retrieved".into(), "boom".into())]);
    let told = told.borrow();
    let info = told[0].task().expect("the task");
    assert_eq!((&*info.name, at(info.place.line())), ("worker", place));
    Ok(())
}

#[test]
fn a_failed_future_that_is_never_asked_is_reported_with_its_place_when_its_last_handle_goes() -> Result<()> {
    let (lab, told) = telling();
    let future = lab.create_future::<()>();
    let place = at(line!() - 1);
    future.set_error(Error::msg("boom"))?;
    let id = future.id();
    drop(future);
    assert_eq!(texts(&told), [("Future exception was never retrieved".into(), "boom".into())]);
    let told = told.borrow();
    let info = told[0].future().expect("the future");
    assert_eq!((info.id, at(info.place.line())), (id, place));
    Ok(())
}

#[test]
fn asking_for_the_error_or_the_result_or_trying_to_cancel_silences_the_report() -> Result<()> {
    let (lab, told) = telling();
    let failed = || -> Result<looplab::Future<()>> {
        let future = lab.create_future::<()>();
        future.set_error(Error::msg("boom"))?;
        Ok(future)
    };
    assert!(failed()?.result().is_err());
    assert!(failed()?.error()?.is_some());
    assert!(!failed()?.cancel());
    let awaited = failed()?;
    assert!(lab.run_until_complete(async move { awaited.await }).is_err());
    let task = lab.create_task(async { fails() });
    drain(&lab)?;
    assert!(!task.cancel());
    drop(task);
    // A cancelled one is no failure.
    let cancelled = lab.create_future::<()>();
    cancelled.cancel();
    drop(cancelled);
    assert_eq!(texts(&told), []);
    Ok(())
}

// ---- handlers ----

#[test]
fn the_handler_runs_where_the_error_happened_and_may_use_and_replace_everything() -> Result<()> {
    let lab = Lab::new();
    lab.set_exception_handler(Some(|lp: &EventLoop, context: &ExceptionContext| {
        say(format!("first: {}", context.error().expect("an error")));
        lp.set_exception_handler(Some(|_: &EventLoop, context: &ExceptionContext| {
            say(format!("second: {}", context.error().expect("an error")));
        }));
        lp.call_soon(panics).map(drop)
    }));
    lab.call_soon(fails)?;
    lab.call_soon(says("goes on"))?;
    drain(&lab)?;
    assert_eq!(words(), ["first: boom", "goes on", "second: aua"]);
    Ok(())
}

#[test]
fn a_handler_can_be_called_by_hand() -> Result<()> {
    let (lab, told) = telling();
    let context = ExceptionContext::new("by hand").with_error(Error::msg("boom"));
    lab.call_exception_handler(&context);
    assert_eq!(texts(&told), [("by hand".into(), "boom".into())]);
    Ok(())
}

/// The handler may hold the loop, so `close` drops it.
#[test]
fn a_closed_loop_has_the_default_handler_until_another_is_set() {
    let ended = child!(|| {
        logged();
        let (lab, told) = telling();
        let failed = || {
            let future = lab.create_future::<()>();
            future.set_error(Error::msg("boom")).expect("nobody waits");
            future
        };
        let (first, second) = (failed(), failed());
        lab.close().expect("it does not run");
        drop(first);
        lab.call_exception_handler(&ExceptionContext::new("by hand"));
        assert_eq!(texts(&told), []);
        let drops = Drops::default();
        let guard = drops.guard();
        lab.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| {
            let _guard = &guard;
            report(context.message());
        }));
        drop(second);
        drop(lab);
        assert_eq!(drops.count(), 1);
        logged().iter().filter_map(|text| text.lines().next()).for_each(report);
    });
    let never = "Future exception was never retrieved";
    assert_eq!(ended.fine(), [never.to_owned(), format!("ERROR {never}"), "ERROR by hand".to_owned()]);
}

#[test]
fn a_handler_that_fails_or_panics_falls_back_to_the_default_one() {
    let ended = child!(|| {
        logged();
        let lab = Lab::new();
        lab.set_exception_handler(Some(|_: &EventLoop, context: &ExceptionContext| match context.error() {
            Some(Error::Panic(_)) => panic!("the handler panics"),
            _ => Err::<(), _>(Error::msg("the handler fails")),
        }));
        lab.call_soon(fails).expect("it is open");
        lab.call_soon(panics).expect("it is open");
        drain(&lab).expect("nothing leaves the loop");
        logged().iter().flat_map(|text| text.lines()).for_each(report);
    });
    let lines = ended.fine();
    let shape: Vec<&str> = lines.iter().map(|line| line.split(" created at").next().unwrap_or("")).collect();
    assert_eq!(
        shape,
        [
            "ERROR Unhandled error in exception handler",
            "context: Exception in callback fails",
            "the handler fails",
            "ERROR Unhandled error in exception handler",
            "context: Exception in callback panics",
            "Panic: the handler panics",
        ]
    );
}

#[test]
fn without_a_handler_an_error_is_logged_and_none_brings_that_back() {
    let ended = child!(|| {
        logged();
        let (lab, told) = telling();
        lab.call_soon(fails).expect("it is open");
        drain(&lab).expect("nothing leaves the loop");
        assert_eq!((told.borrow().len(), logged().len()), (1, 0));
        lab.clear_exception_handler();
        lab.call_soon(fails).expect("it is open");
        drain(&lab).expect("nothing leaves the loop");
        assert_eq!(told.borrow().len(), 1);
        logged().iter().flat_map(|text| text.lines()).for_each(report);
    });
    let lines = ended.fine();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines[0].starts_with("ERROR Exception in callback fails created at tests/event_loop/exceptions.rs:")
    );
    assert!(lines[1].starts_with("handle: <Handle fails created at tests/event_loop/exceptions.rs:"));
    assert_eq!(lines[2], "boom");
}

#[test]
fn without_a_handler_and_without_a_logger_an_error_goes_to_standard_error() {
    let ended = child!(|| {
        let lab = Lab::new();
        lab.call_soon(fails).expect("it is open");
        drain(&lab).expect("nothing leaves the loop");
    });
    assert!(
        ended.stderr.contains("Exception in callback fails created at tests/event_loop/exceptions.rs:"),
        "{ended:?}"
    );
    assert!(ended.stderr.contains("\nboom\n"), "{ended:?}");
    ended.fine();
}

// ---- words ----

#[test]
fn a_context_is_shown_as_its_message_and_one_line_for_each_key() -> Result<()> {
    let (lab, told) = telling();
    assert_eq!(ExceptionContext::new("").to_string(), "Unhandled exception in event loop");
    let by_hand = ExceptionContext::new("by hand").with_error(Error::TimedOut);
    assert_eq!(by_hand.to_string(), "by hand\nTimeoutError");
    lab.call_soon(fails)?;
    let callback = at(line!() - 1);
    drain(&lab)?;
    let task = Task::builder().name("worker").spawn_on(&lab, async { fails() });
    let worker = at(line!() - 1);
    drain(&lab)?;
    drop(task);
    let future = lab.create_future::<()>();
    let (id, made) = (future.id(), at(line!() - 1));
    future.set_error(Error::KeyboardInterrupt)?;
    drop(future);
    let shown: Vec<String> = told.borrow().iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            format!(
                "Exception in callback fails created at {callback}\n\
             handle: <Handle fails created at {callback}>\nboom"
            ),
            format!("Task exception was never retrieved\ntask: <Task 'worker' created at {worker}>\nboom"),
            format!(
                "Future exception was never retrieved\nfuture: <Future {id} created at {made}>\nKeyboardInterrupt"
            ),
        ]
    );
    Ok(())
}

// ---- debug mode ----

#[test]
fn debug_mode_reports_slow_callbacks_and_steps_with_name_place_and_time() {
    let ended = child!(|| {
        logged();
        let lab = Lab::new();
        let run = |limit| {
            lab.set_slow_callback_duration(limit);
            lab.call_soon(panics).expect("it is open");
            let worker = Task::builder().name("worker").spawn_on(&lab, async { Ok(()) });
            lab.run_until_complete(&worker).expect("it returns");
        };
        lab.set_exception_handler(Some(|_: &EventLoop, _: &ExceptionContext| ()));
        run(Duration::ZERO);
        assert_eq!(logged().len(), 0, "only in debug mode");
        lab.set_debug(true);
        assert!(lab.debug());
        // In virtual time everything takes none: so everything is slow now, and nothing then.
        run(Duration::ZERO);
        logged().iter().for_each(report);
        run(Duration::from_nanos(1));
        assert_eq!(logged().len(), 3, "the callback, the step, and the callback that ends the run");
    });
    let lines = ended.fine();
    let shape = |line: &String| {
        let (what, rest) = line.split_once(" created at tests/event_loop/exceptions.rs:").expect("a place");
        let (_, took) = rest.split_once("> ").expect("the time");
        format!("{what} … {took}")
    };
    let lines: Vec<String> = lines.iter().map(shape).collect();
    assert_eq!(lines[0], "WARN Executing <panics … took 0.000 seconds");
    assert_eq!(lines[1], "WARN Executing <worker.step … took 0.000 seconds");
}

#[test]
fn debug_mode_measures_what_a_callback_takes_on_the_loops_clock() {
    let ended = child!(|| {
        logged();
        let lab = Lab::in_real_time();
        lab.set_debug(true);
        lab.set_slow_callback_duration(2 * MS);
        let lp = lab.clone();
        // Slow by the clock's own word, on every machine.
        lab.call_soon(move || {
            let until = lp.time() + 2 * MS;
            while lp.time() < until {}
        })
        .expect("it is open");
        lab.run_once().expect("a turn");
        assert_eq!(logged().len(), 1, "{:?}", logged());
        // Nothing takes a year.
        lab.set_slow_callback_duration(Duration::from_secs(365 * 24 * 3600));
        lab.call_soon(|| ()).expect("it is open");
        lab.run_once().expect("a turn");
        assert_eq!(logged().len(), 1, "{:?}", logged());
    });
    ended.fine();
}

/// A task inside of a task inside of a callback: each error ends where it belongs.
#[test]
fn errors_of_nested_tasks_end_where_they_are_awaited() -> Result<()> {
    let (lab, told) = telling();
    let outcome = lab.run_until_complete(async {
        let inner = create_task(async {
            sleep(MS).await?;
            fails()
        });
        let outer = create_task(async move { inner.await });
        match outer.await {
            Err(error) => Ok(error.to_string()),
            Ok(()) => Ok("no error".into()),
        }
    })?;
    assert_eq!(outcome, "boom");
    assert!(told.borrow().is_empty());
    Ok(())
}

/// In CPython the handle in the report, and the error's traceback, keep them alive.
#[test]
fn what_a_failing_callback_holds_is_dropped_before_its_error_is_reported() -> Result<()> {
    let lab = Lab::new();
    lab.set_exception_handler(Some(|_: &EventLoop, _: &ExceptionContext| say("reported")));
    let (fails, panics) = (OnDrop(|| say("dropped")), OnDrop(|| say("dropped")));
    lab.call_soon(move || {
        let _held = &fails;
        Err::<(), _>(Error::msg("boom"))
    })?;
    lab.call_soon(move || {
        let _held = &panics;
        panic!("aua")
    })?;
    lab.run_once()?;
    assert_eq!(words(), ["dropped", "reported", "dropped", "reported"]);
    Ok(())
}
