//! What is reported: failures that were not read, tasks that were destroyed, and panics of user code.
//!
//! A report goes to the loop's exception handler at the moment when the last handle goes; the log of [`Lab`] shows it
//! as `REPORT message (task): error`.

use looplab::{Clock, Error, EventLoop, ExceptionContext, Result, Task, create_task};
use looplab::{current_task, gather, get_running_loop, sleep, yield_now};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Wake, Waker};
use support::{Guard, HOUR, Holds, Lab, OnDrop, capture_log, failure, forever, say};

/// A task on `lab`'s loop that has failed, unread.
fn failed(lab: &Lab) -> Task<()> {
    let task = Task::builder().name("worker").spawn_on(&lab.lp, async { Err(Error::msg("v")) });
    lab.turn();
    assert!(task.done());
    task
}

#[test]
fn a_failure_that_was_never_read_is_reported_when_the_last_handle_goes() {
    let lab = Lab::reporting();
    let task = failed(&lab);
    let (other, untyped) = (task.clone(), task.to_ref());
    drop(task);
    drop(other);
    assert!(lab.log.take().is_empty(), "there still is a handle");
    drop(untyped);
    assert_eq!(lab.log.take(), ["- REPORT Task exception was never retrieved (worker): v"]);
}

#[test]
fn without_any_handle_it_is_reported_in_the_turn_in_which_the_task_fails() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        drop(Task::builder().name("worker").spawn(async { Err::<(), _>(Error::msg("v")) }));
        yield_now().await?;
        log.say("main");
        Ok(())
    });
    let report = "2 REPORT Task exception was never retrieved (worker): v";
    // The main task is queued first, so it runs first in turn 2.
    assert_eq!(lines, [report, "2 main", "3 returned ()"]);
}

#[test]
fn a_queued_done_callback_holds_its_task() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let task = Task::builder().name("worker").spawn(async { Err::<(), _>(Error::msg("v")) });
        task.add_done_callback(move |_| log.say("callback"));
        drop(task);
        yield_now().await?;
        yield_now().await?;
        yield_now().await
    });
    let report = "3 REPORT Task exception was never retrieved (worker): v";
    assert_eq!(lines, ["3 callback", report, "5 returned ()"]);
}

#[test]
fn a_future_that_failed_unread_is_reported_too() {
    let lab = Lab::reporting();
    let future = lab.lp.create_future::<()>();
    future.set_error(Error::msg("x")).unwrap();
    let other = future.clone();
    drop(future);
    assert!(lab.log.take().is_empty());
    drop(other);
    assert_eq!(lab.log.take(), ["- REPORT Future exception was never retrieved: x"]);
}

#[test]
fn a_report_tells_the_name_and_the_place() {
    let lab = Lab::reporting();
    let contexts: Rc<RefCell<Vec<ExceptionContext>>> = Rc::default();
    let told = contexts.clone();
    lab.lp.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| {
        told.borrow_mut().push(context.clone());
    }));
    let failing = async { Err::<(), _>(Error::msg("v")) };
    let task = Task::builder().name("worker").spawn_on(&lab.lp, failing);
    let task_line = line!() - 1;
    let future = lab.lp.create_future::<()>();
    let future_line = line!() - 1;
    future.set_error(Error::msg("x")).unwrap();
    lab.turn();
    let (task_id, future_id) = (task.id(), future.id());
    drop((task, future));

    let contexts = contexts.take();
    let about = contexts[0].task().unwrap();
    assert_eq!((about.id, &*about.name, about.place.line()), (task_id, "worker", task_line));
    assert!(contexts[0].future().is_none() && contexts[0].handle().is_none());
    let place = format!("created at {}:{task_line}>", file!());
    assert_eq!(
        contexts[0].to_string(),
        format!("Task exception was never retrieved\ntask: <Task 'worker' {place}\nv")
    );
    let about = contexts[1].future().unwrap();
    assert_eq!((about.id, about.place.line()), (future_id, future_line));
    assert_eq!(contexts[1].error().unwrap().to_string(), "x");
}

#[test]
fn reading_the_failure_in_any_way_silences_the_report() {
    let ways: [fn(&Lab, &Task<()>); 8] = [
        |_, task| drop(task.result()),
        |_, task| drop(task.error()),
        |_, task| drop(task.to_ref().error()),
        |_, task| assert!(!task.cancel(), "it is done, but asking counts as reading"),
        |lab, task| drop(lab.lp.run_until_complete(task)),
        |lab, task| drop(lab.lp.run_until_complete(task.to_ref())),
        |lab, task| drop(lab.lp.run_until_complete(task.clone().into_output())),
        |lab, task| {
            let awaited = task.clone();
            drop(lab.lp.run_until_complete(async move { awaited.await }));
        },
    ];
    for way in ways {
        let lab = Lab::reporting();
        let task = failed(&lab);
        way(&lab, &task);
        drop(task);
        assert_eq!(lab.log.take(), Vec::<String>::new());
    }
}

#[test]
fn asking_whether_it_is_done_does_not_silence_the_report() {
    let lab = Lab::reporting();
    let task = failed(&lab);
    assert!(task.done() && !task.cancelled() && task.cancelling() == 0);
    assert!(format!("{task:?}").starts_with("<Task finished name='worker'"));
    drop(lab.lp.snapshot());
    drop(task);
    assert_eq!(lab.log.take().len(), 1);
}

#[test]
fn a_cancelled_task_is_not_reported() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let task = create_task(forever());
        yield_now().await?;
        task.cancel();
        yield_now().await?;
        assert!(task.cancelled());
        Ok(())
    });
    assert_eq!(lines, ["4 returned ()"]);
}

#[test]
fn a_failure_taken_by_into_output_can_still_be_seen_by_others() {
    let lab = Lab::reporting();
    let task = failed(&lab);
    assert_eq!(failure(lab.lp.run_until_complete(task.clone().into_output())), "v");
    assert_eq!(task.error().unwrap().map(|error| error.to_string()).as_deref(), Some("v"));
    assert_eq!(failure(task.result()), "v");
}

#[test]
fn the_failure_of_the_body_that_was_run_can_still_be_seen_by_others() {
    let lab = Lab::reporting();
    let seen = Rc::new(RefCell::new(None));
    let me = seen.clone();
    let outcome = lab.lp.run_until_complete(async move {
        *me.borrow_mut() = current_task();
        Err::<(), _>(Error::msg("v"))
    });
    assert_eq!(failure(outcome), "v");
    let task = seen.take().unwrap();
    assert_eq!(task.error().unwrap().map(|error| error.to_string()).as_deref(), Some("v"));
}

#[test]
fn pending_tasks_are_reported_as_destroyed_when_the_loop_is_closed_in_order_of_creation() {
    // arrow 6
    let lab = Lab::reporting();
    for name in ["suspended", "asleep", "queued"] {
        let log = lab.log.clone();
        let guard = OnDrop(move || say!(log, "dropped {name}"));
        let body = async move {
            let _guard = guard;
            if name == "asleep" { sleep(HOUR).await } else { forever().await }
        };
        drop(Task::builder().name(name).spawn_on(&lab.lp, body));
        if name == "asleep" {
            lab.turn();
        }
    }
    lab.lp.close().unwrap();
    let report = |name| format!("- REPORT Task was destroyed but it is pending! ({name})");
    let told: Vec<String> = ["suspended", "asleep", "queued"]
        .into_iter()
        .flat_map(|name| [report(name), format!("- dropped {name}")])
        .collect();
    assert_eq!(lab.log.take(), told);
}

#[test]
fn a_destroyed_task_is_never_done_and_destructors_see_a_closed_loop() {
    let lab = Lab::reporting();
    let (log, lp) = (lab.log.clone(), lab.lp.clone());
    let weak = Rc::new(RefCell::new(None::<EventLoop>));
    let held = weak.clone();
    let guard = OnDrop(move || {
        let lp = held.borrow().clone().unwrap();
        say!(log, "{} {}", lp.is_closed(), failure(lp.call_soon(|| ())));
        say!(log, "{} {}", failure(lp.create_task(forever()).result()), lp.all_tasks().len());
        say!(log, "{} {}", current_task().unwrap().name(), failure(get_running_loop()));
        assert!(!current_task().unwrap().cancel());
    });
    *weak.borrow_mut() = Some(lp);
    let body = async move {
        let _guard = guard;
        forever().await
    };
    let task = Task::builder().name("worker").spawn_on(&lab.lp, body);
    task.add_done_callback(|_| unreachable!("never done"));
    lab.turn();
    lab.lp.close().unwrap();
    assert!(!task.done() && !task.cancel());
    assert_eq!(failure(task.result()), "Result is not set.");
    let lines = lab.log.take();
    assert_eq!(lines[0], "- REPORT Task was destroyed but it is pending! (worker)");
    let told = ["- true Event loop is closed", "- Event loop is closed 0", "- worker no running event loop"];
    assert_eq!(lines[1..], told);
    weak.take();
}

#[test]
fn the_own_tasks_of_run_until_complete_and_gather_are_not_reported_as_destroyed() {
    let lab = Lab::reporting();
    let drops = Rc::new(Cell::new(0));
    let guards = [Guard(drops.clone()), Guard(drops.clone()), Guard(drops.clone())];
    lab.lp.call_soon(looplab::stop).unwrap();
    let [one, two, three] = guards;
    let child = |guard| async move {
        let _guard = guard;
        forever().await
    };
    let outcome = lab.lp.run_until_complete(async move {
        let _guard = one;
        gather([child(two), child(three)]).await
    });
    assert_eq!(failure(outcome), "Event loop stopped before Future completed.");
    assert_eq!(lab.lp.all_tasks().len(), 3);
    lab.lp.close().unwrap();
    assert_eq!((lab.log.take().len(), drops.get()), (0, 3));
}

#[test]
fn the_last_handle_of_a_loop_closes_it() {
    let lab = Lab::reporting();
    let (log, drops) = (lab.log.clone(), Rc::new(Cell::new(0)));
    let guard = Guard(drops.clone());
    let body = async move {
        let _guard = guard;
        forever().await
    };
    drop(Task::builder().name("worker").spawn_on(&lab.lp, body));
    lab.turn();
    drop(lab);
    assert_eq!(log.take(), ["- REPORT Task was destroyed but it is pending! (worker)"]);
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_panic_in_a_body_is_its_result_and_reported_if_it_is_never_read() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let read = create_task(async {
            yield_now().await?;
            if true {
                panic!("oops");
            }
            Ok(())
        });
        say!(log, "{}", failure(read.await));
        drop(Task::builder().name("worker").spawn(async { panic!("{}", 1 + 1) }));
        yield_now().await
    });
    let report = "5 REPORT Task exception was never retrieved (worker): Panic(2)";
    assert_eq!(lines, ["4 Panic(oops)", report, "6 returned ()"]);
}

#[test]
fn a_panic_in_the_destructor_of_a_body_is_its_result() {
    let lab = Lab::reporting();
    let outcome = lab.lp.run_until_complete(async {
        let task = create_task(async {
            let _guard = OnDrop(|| panic!("while it returns"));
            Ok(5)
        });
        task.await
    });
    assert!(matches!(outcome, Err(Error::Panic(text)) if &*text == "while it returns"));
    assert_eq!(lab.lp.turns(), 4);

    let holds = |text: &'static str| Holds::new(OnDrop(move || panic!("{text}")));
    let returned = lab.lp.create_task(holds("after it has returned"));
    assert_eq!(failure(lab.lp.run_until_complete(&returned)), "Panic(after it has returned)");
    let unpolled = lab.lp.create_task(holds("before it began"));
    unpolled.cancel();
    assert_eq!(failure(lab.lp.run_until_complete(&unpolled)), "Panic(before it began)");
    assert!(!unpolled.cancelled());
}

#[test]
fn a_panic_in_a_destructor_at_close_does_not_spare_the_others() {
    let lab = Lab::reporting();
    let drops = Rc::new(Cell::new(0));
    for panics in [true, false] {
        let (guard, bomb) = (Guard(drops.clone()), OnDrop(move || assert!(!panics, "boom")));
        let body = async move {
            let _guards = (guard, bomb);
            forever().await
        };
        drop(lab.lp.create_task(body));
    }
    lab.turn();
    let logged = capture_log();
    lab.lp.close().unwrap();
    assert_eq!((lab.log.take().len(), drops.get()), (2, 2));
    assert_eq!(logged(), ["a destructor panicked: boom"]);
}

#[test]
fn a_panic_or_an_error_in_a_done_callback_is_reported_and_the_task_is_fine() {
    let lab = Lab::reporting();
    let task = lab.lp.create_task(async { Ok(1) });
    task.add_done_callback(|_| panic!("oops"));
    task.to_ref().add_done_callback(|_| Err::<(), _>(Error::msg("no")));
    assert_eq!(lab.lp.run_until_complete(&task).unwrap(), 1);
    let lines = lab.log.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, error) in lines.iter().zip(["Panic(oops)", "no"]) {
        assert!(line.starts_with("2 REPORT Exception in callback ") && line.ends_with(error), "{line}");
    }
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("in the waker");
    }
}

/// Polls `future` once through a waker that panics, then waits for the other.
async fn through_a_panicking_waker(future: looplab::Future<()>) -> Result<()> {
    let waker = Waker::from(Arc::new(Panics));
    let mut waiting = Box::pin(future.into_future());
    let mut cx = std::task::Context::from_waker(&waker);
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    forever().await
}

#[test]
fn a_panic_in_a_waker_is_reported_and_everybody_else_is_woken() {
    let lab = Lab::reporting();
    let future = lab.lp.create_future::<()>();
    let bad = lab.lp.create_task(through_a_panicking_waker(future.clone()));
    let awaited = future.clone();
    let good = lab.lp.create_task(async move { awaited.await });
    lab.turn();
    future.set_result(()).unwrap();
    lab.lp.run_until_complete(&good).unwrap();
    assert_eq!(lab.log.take(), ["- REPORT Exception in a waker: Panic(in the waker)"]);
    bad.cancel();
    assert_eq!(failure(lab.lp.run_until_complete(&bad)), "Cancelled");
}

#[test]
fn a_task_that_could_not_be_made_is_reported_through_log() {
    // It belongs to no loop, so no loop's handler can be asked.
    let lab = Lab::reporting();
    let logged = capture_log();
    let unread = Task::builder().name("nowhere").spawn(forever());
    let place = format!("created at {}:{}>", file!(), line!() - 1);
    drop(unread);
    assert!(lab.log.take().is_empty());
    let text = format!(
        "Task exception was never retrieved\ntask: <Task 'nowhere' {place}\nRuntimeError: no running event loop"
    );
    assert_eq!(logged(), [text]);

    let read = create_task(forever());
    assert_eq!(failure(read.result()), "no running event loop");
    drop(read);
    assert!(logged().is_empty());
}

#[test]
fn an_exception_handler_may_use_the_loop_and_its_tasks() {
    let lp = EventLoop::builder().clock(Clock::virtual_time()).build().unwrap();
    let told: Rc<RefCell<Vec<String>>> = Rc::default();
    let lines = told.clone();
    lp.set_exception_handler(Some(move |lp: &EventLoop, context: &ExceptionContext| {
        let log = lines.clone();
        log.borrow_mut().push(format!("{} with {} tasks", context.message(), lp.all_tasks().len()));
        if lp.is_closed() {
            return;
        }
        drop(lp.create_task(async move { log.borrow_mut().push("repair".to_owned()) }));
    }));
    lp.run_until_complete(async {
        drop(create_task(async { Err::<(), _>(Error::msg("v")) }));
        yield_now().await?;
        yield_now().await
    })
    .unwrap();
    assert_eq!(told.take(), ["Task exception was never retrieved with 1 tasks", "repair"]);
}

#[test]
fn a_handler_that_wants_to_leave_a_loop_that_does_not_run_is_logged_and_ends_no_run() {
    let logged = capture_log();
    let lab = Lab::reporting();
    let leave = |_: &EventLoop, _: &ExceptionContext| Err::<(), _>(Error::Exit(7));
    lab.lp.set_exception_handler(Some(leave));
    let failed = lab.lp.create_task(async { Err::<(), _>(Error::msg("boom")) });
    lab.lp.run_once().unwrap();
    // Its error was not read: it is reported now, between two runs.
    drop(failed);
    lab.lp.call_exception_handler(&ExceptionContext::new("by hand"));
    let text = "an exception handler cannot leave a loop that does not run: SystemExit: 7";
    assert_eq!(logged(), [text, text]);
    lab.lp.call_soon(looplab::stop).unwrap();
    lab.lp.run_forever().unwrap();
}
