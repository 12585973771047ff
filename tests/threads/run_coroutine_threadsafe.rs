//! `run_coroutine_threadsafe`: asyncio's rules, one test each. Where a test counts turns, the call comes
//! from the loop's own thread, so that the turns are those of CPython 3.13; what needs two threads waits at gates.

use looplab::{
    Error, EventLoop, ExceptionContext, Remote, RemoteTask, Result, all_tasks, current_task,
    get_running_loop, run_coroutine_threadsafe, yield_now,
};
use std::cell::RefCell;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;
use support::{Lab, failure, forever, pass_on, say, show, swallow};

const AT_ONCE: Duration = Duration::ZERO;

/// The outcome of a handle that is over, as the logs show it.
fn ended<T: Clone + std::fmt::Debug>(handle: &RemoteTask<T>) -> String {
    handle.result(AT_ONCE).map_or_else(|error| show(&error), |value| format!("{value:?}"))
}

async fn turns(n: u32) -> Result<()> {
    for _ in 0..n {
        yield_now().await?;
    }
    Ok(())
}

thread_local! { static LOG: RefCell<Option<support::Log>> = const { RefCell::new(None) } }

/// A lab whose log the bodies find on the loop's thread: a log cannot be sent.
fn lab() -> Lab {
    let lab = Lab::reporting();
    LOG.set(Some(lab.log.clone()));
    lab
}

fn log() -> support::Log {
    LOG.with_borrow(|log| log.clone().expect("this is the loop's thread"))
}

#[test]
fn the_task_is_made_in_the_turn_of_the_call_and_the_handle_is_done_one_turn_after_it() {
    let lab = lab();
    let remote = lab.lp.remote();
    let lines = lab.run(async move {
        let handle = run_coroutine_threadsafe(&remote, || async {
            log().say("work");
            Ok(7)
        });
        for _ in 0..4 {
            say!(log(), "done {}, tasks {}", handle.done(), all_tasks().len());
            yield_now().await?;
        }
        handle.result(None)
    });
    assert_eq!(
        lines,
        [
            "1 done false, tasks 1",
            "2 done false, tasks 2",
            "3 work",
            "3 done false, tasks 1",
            "4 done true, tasks 1",
            "6 returned 7"
        ]
    );
}

#[test]
fn a_failure_of_the_task_is_the_handles() {
    let lab = lab();
    let remote = lab.lp.remote();
    let lines = lab.run(async move {
        let handle = run_coroutine_threadsafe(&remote, async { Err::<(), _>(Error::msg("boom")) });
        turns(3).await?;
        log().say(ended(&handle));
        log().say(ended(&handle));
        Ok(())
    });
    assert_eq!(lines, ["4 boom", "4 boom", "5 returned ()"]);
}

#[test]
fn a_task_that_is_cancelled_on_its_loop_cancels_the_handle_without_the_message() {
    let lab = lab();
    let remote = lab.lp.remote();
    let lines = lab.run(async move {
        let handle = run_coroutine_threadsafe(&remote, || async {
            current_task().unwrap().cancel_msg("own");
            forever().await
        });
        turns(4).await?;
        say!(log(), "{}, cancelled {}, again {}", ended(&handle), handle.cancelled(), handle.cancel());
        Ok(())
    });
    assert_eq!(lines, ["5 Cancelled, cancelled true, again true", "6 returned ()"]);
}

#[test]
fn cancelling_the_handle_on_the_thread_of_the_running_loop_cancels_the_task_at_once() {
    let lab = lab();
    let remote = lab.lp.remote();
    let lines = lab.run(async move {
        let handle = run_coroutine_threadsafe(&remote, || pass_on(log(), "work"));
        turns(2).await?;
        let (accepted, outcome, done) = (handle.cancel(), ended(&handle), handle.done());
        say!(log(), "cancel {accepted}, {outcome}, done {done}, tasks {}", all_tasks().len());
        turns(3).await?;
        say!(log(), "tasks {}", all_tasks().len());
        Ok(())
    });
    assert_eq!(
        lines,
        ["3 cancel true, Cancelled, done true, tasks 2", "4 work Cancelled", "6 tasks 1", "7 returned ()"]
    );
}

#[test]
fn cancelling_the_handle_between_two_runs_reaches_the_task_by_a_call() {
    let lab = lab();
    let handle = run_coroutine_threadsafe(&lab.lp.remote(), || pass_on(log(), "work"));
    (0..2).for_each(|_| lab.turn());
    assert!(handle.cancel());
    (0..2).for_each(|_| lab.turn());
    assert_eq!((lab.log.take(), lab.lp.all_tasks().len()), (vec!["4 work Cancelled".to_owned()], 0));
}

#[test]
fn cancelling_the_handle_while_another_loop_runs_on_the_thread_reaches_the_task_by_a_call() {
    let (lab, elsewhere) = (lab(), EventLoop::new().unwrap());
    let handle = run_coroutine_threadsafe(&lab.lp.remote(), || pass_on(log(), "work"));
    (0..2).for_each(|_| lab.turn());
    elsewhere.run_until_complete(async move { Ok(handle.cancel()) }).unwrap();
    (0..2).for_each(|_| lab.turn());
    assert_eq!(lab.log.take(), ["4 work Cancelled"]);
}

#[test]
fn a_task_whose_handle_was_cancelled_before_the_call_arrives_does_not_begin() {
    let lab = lab();
    let remote = lab.lp.remote();
    let lines = lab.run(async move {
        let handle = run_coroutine_threadsafe(&remote, || async {
            log().say("begins");
            pass_on(log(), "work").await
        });
        say!(log(), "cancel {}, done {}", handle.cancel(), handle.done());
        turns(5).await?;
        say!(log(), "tasks {}", all_tasks().len());
        Ok(())
    });
    assert_eq!(lines, ["1 cancel true, done true", "6 tasks 1", "7 returned ()"]);
}

#[test]
fn what_the_task_makes_of_the_cancellation_is_not_delivered_any_more_but_a_failure_is_reported() {
    let lab = lab();
    let remote = lab.lp.remote();
    let lines = lab.run(async move {
        let handle = run_coroutine_threadsafe(&remote, || async {
            current_task().unwrap().set_name("worker");
            swallow(log(), "work", ()).await?;
            Err::<(), _>(Error::msg("late"))
        });
        turns(2).await?;
        handle.cancel();
        turns(4).await?;
        log().say(ended(&handle));
        Ok(())
    });
    assert_eq!(
        lines,
        [
            "4 work Cancelled",
            "5 REPORT Task exception was never retrieved (worker): late",
            "7 Cancelled",
            "8 returned ()"
        ]
    );
}

/// Runs a loop until the other thread has done its part, which it does with the loop's remote.
fn beside<T: Send + 'static>(part: impl FnOnce(Remote) -> T + Send + 'static) -> T {
    let lab = Lab::reporting_in_real_time();
    let remote = lab.lp.remote();
    let thread: JoinHandle<T> = spawn(move || {
        let result = part(remote.clone());
        remote.stop().expect("the loop runs");
        result
    });
    lab.lp.run_forever().unwrap();
    thread.join().expect("no panic")
}

#[test]
fn a_thread_waits_for_the_value_of_a_body_that_runs_on_the_loop() {
    let (home, there) = beside(|remote| {
        let here = std::thread::current().id();
        let there = run_coroutine_threadsafe(&remote, || async {
            turns(2).await?;
            Ok(std::thread::current().id())
        });
        (here, there.result(None).unwrap())
    });
    assert!(home != there && there == std::thread::current().id());
}

#[test]
fn a_body_a_function_and_a_closure_can_be_submitted() {
    async fn function() -> Result<i32> {
        yield_now().await?;
        Ok(1)
    }
    let values = beside(|remote| {
        let factor = 10;
        [
            run_coroutine_threadsafe(&remote, function),
            run_coroutine_threadsafe(&remote, async || Ok(2)),
            run_coroutine_threadsafe(&remote, async move { Ok(3 * factor) }),
        ]
        .map(|handle| handle.result(None).unwrap())
    });
    assert_eq!(values, [1, 2, 30]);
}

thread_local! { static GATE: RefCell<Option<looplab::Future<()>>> = const { RefCell::new(None) } }

/// A body that says that it has begun, and then waits at a gate of its thread.
fn gated(
    begun: Sender<()>,
) -> impl FnOnce() -> std::pin::Pin<Box<dyn Future<Output = Result<&'static str>>>> {
    move || {
        Box::pin(async move {
            let gate = get_running_loop()?.create_future();
            GATE.set(Some(gate.clone()));
            begun.send(()).expect("somebody listens");
            gate.await?;
            Ok("through")
        })
    }
}

fn open_the_gate() -> Result<()> {
    GATE.take().expect("the gate is there").set_result(())
}

#[test]
fn a_result_that_does_not_come_in_time_is_a_timeout_and_the_task_goes_on() {
    let value = beside(|remote| {
        let (begun, begins) = channel();
        let handle = run_coroutine_threadsafe(&remote, gated(begun));
        begins.recv().unwrap();
        assert_eq!(failure(handle.result(AT_ONCE)), "timed out");
        assert_eq!(failure(handle.result(Duration::from_millis(1))), "timed out");
        assert!(!handle.done());
        remote.call_soon(open_the_gate).unwrap();
        handle.result(None).unwrap()
    });
    assert_eq!(value, "through");
}

#[test]
fn cancelling_from_another_thread_cancels_the_task() {
    let heard = beside(|remote| {
        let (begun, begins) = channel();
        let (tells, told): (Sender<String>, Receiver<String>) = channel();
        let handle = run_coroutine_threadsafe(&remote, move || async move {
            begun.send(()).expect("somebody listens");
            let waited = forever().await;
            tells.send(format!("{waited:?}")).expect("somebody listens");
            waited
        });
        begins.recv().unwrap();
        assert!(handle.cancel());
        assert_eq!(failure(handle.result(None)), "Cancelled");
        told.recv().unwrap()
    });
    assert_eq!(heard, "Err(CancelledError)");
}

#[test]
fn several_threads_may_wait_for_one_task() {
    let values = beside(|remote| {
        let (begun, begins) = channel();
        let handle = run_coroutine_threadsafe(&remote, gated(begun));
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                let handle = handle.clone();
                spawn(move || handle.result(None).unwrap())
            })
            .collect();
        begins.recv().unwrap();
        remote.call_soon(open_the_gate).unwrap();
        waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(values, ["through"; 4]);
}

#[test]
fn dropping_the_handle_does_not_cancel() {
    let through = beside(|remote| {
        let (begun, begins) = channel();
        let (tells, told) = channel();
        let body = gated(begun);
        drop(run_coroutine_threadsafe(&remote, move || {
            let body = body();
            async move { tells.send(body.await?).map_err(Error::other) }
        }));
        begins.recv().unwrap();
        remote.call_soon(open_the_gate).unwrap();
        told.recv().unwrap()
    });
    assert_eq!(through, "through");
}

// What follows is looplab's own: where asyncio would wait for ever, and what only Rust has.

#[test]
fn without_its_loop_a_handle_has_failed_already() {
    let lp = EventLoop::new().unwrap();
    let remote = lp.remote();
    lp.close().unwrap();
    let handle = run_coroutine_threadsafe(&remote, async { Ok(1) });
    assert_eq!(failure(handle.result(None)), "Event loop is closed");
    assert!(handle.done() && !handle.cancelled() && !handle.cancel());
}

#[test]
fn a_loop_that_is_closed_first_fails_the_handles_and_wakes_their_waiters() {
    let lab = Lab::reporting_in_real_time();
    let remote = lab.lp.remote();
    let (begun, begins) = channel();
    let (submitted, hears) = channel();
    let thread = spawn(move || {
        let running = run_coroutine_threadsafe(&remote, gated(begun));
        begins.recv().unwrap();
        remote.stop().unwrap();
        let queued = run_coroutine_threadsafe(&remote, async { Ok("never") });
        submitted.send(()).unwrap();
        [running, queued].map(|handle| failure(handle.result(None)))
    });
    lab.lp.run_forever().unwrap();
    hears.recv().unwrap();
    lab.lp.close().unwrap();
    assert_eq!(thread.join().unwrap(), ["Event loop is closed"; 2]);
    GATE.set(None);
}

#[test]
fn waiting_on_the_loops_own_thread_is_refused_unless_it_is_over() {
    let lab = Lab::reporting();
    let handle = run_coroutine_threadsafe(&lab.lp.remote(), async { Ok(1) });
    let text = "result() would wait on the thread of the task's own loop";
    assert_eq!(failure(handle.result(None)), text);
    assert_eq!(failure(handle.result(AT_ONCE)), text);
    lab.run(turns(3));
    assert_eq!(handle.result(None).unwrap(), 1);
}

#[test]
fn a_closure_that_panics_fails_the_handle_and_is_reported() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let report = move |_: &EventLoop, context: &ExceptionContext| log.say(show(context.error().unwrap()));
    lab.lp.set_exception_handler(Some(report));
    let handle = run_coroutine_threadsafe(&lab.lp.remote(), || -> std::future::Ready<Result<()>> {
        panic!("no body")
    });
    assert_eq!(lab.run(turns(1)), ["1 Panic(no body)", "3 returned ()"]);
    assert_eq!(failure(handle.result(None)), "Panic(no body)");
}

#[test]
fn an_error_that_leaves_the_loop_is_delivered_in_the_next_run() {
    let lab = Lab::reporting();
    let handle = run_coroutine_threadsafe(&lab.lp.remote(), async { Err::<(), _>(Error::Exit(3)) });
    assert!(matches!(lab.lp.run_forever(), Err(Error::Exit(3))));
    assert!(!handle.done());
    lab.turn();
    assert!(matches!(handle.result(None), Err(Error::Exit(3))));
}

#[test]
fn a_value_is_cloned_without_the_lock() {
    struct Looks(Arc<OnceLock<RemoteTask<Looks>>>);
    impl Clone for Looks {
        fn clone(&self) -> Self {
            // It looks at the handle that it comes out of, and may.
            assert!(self.0.get().unwrap().done());
            Self(self.0.clone())
        }
    }
    let lab = Lab::reporting();
    let slot = Arc::new(OnceLock::new());
    let value = slot.clone();
    let handle = run_coroutine_threadsafe(&lab.lp.remote(), async { Ok(Looks(value)) });
    slot.set(handle.clone()).ok().unwrap();
    lab.run(turns(3));
    drop(handle.result(None).unwrap());
}

#[test]
fn a_handle_can_be_sent_shared_and_shown() {
    fn is_send_and_sync<T: Send + Sync + Clone>(_: &T) {}
    let lab = Lab::reporting();
    let remote = lab.lp.remote();
    let done = run_coroutine_threadsafe(&remote, async { Ok(1) });
    is_send_and_sync(&done);
    let failed = run_coroutine_threadsafe(&remote, async { Err::<(), _>(Error::msg("boom")) });
    let cancelled = run_coroutine_threadsafe(&remote, forever);
    cancelled.cancel();
    let pending = run_coroutine_threadsafe(&remote, forever);
    lab.run(turns(4));
    let shown =
        [format!("{done:?}"), format!("{failed:?}"), format!("{cancelled:?}"), format!("{pending:?}")];
    assert_eq!(
        shown,
        ["finished", "failed", "cancelled", "pending"].map(|state| format!("<RemoteTask {state}>"))
    );
}
