//! The end of a loop: what is reported, what is dropped and when, and what handles see that outlive it.

mod kept;

use looplab::sync::{Barrier, BoundedSemaphore, Condition, Event, Lock, Queue, Semaphore};
use looplab::{
    Error, EventLoop, ExceptionContext, Result, Task, all_tasks, create_task, current_task, get_running_loop,
    sleep,
};
use std::cell::{Cell, RefCell};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;
use support::{Drops, Lab, OnDrop, child, logged, report, say, watchdog, words};

const MS: Duration = Duration::from_millis(1);

/// Returns a lab whose exception handler writes down each task and message that it gets.
fn telling() -> Lab {
    let lab = Lab::new();
    lab.set_exception_handler(Some(|lp: &EventLoop, context: &ExceptionContext| {
        assert!(lp.is_closed(), "the loop is closed before anybody is told");
        let task = context.task().map(|task| task.name.clone()).unwrap_or_default();
        say(format!("{}: {task}", context.message()));
    }));
    lab
}

/// A task that waits for ever and says when its body is dropped.
fn waiting(lab: &Lab, name: &'static str) -> Task<()> {
    let guard = OnDrop(move || say(format!("{name} is dropped")));
    Task::builder().name(name).spawn_on(lab, async move {
        let _guard = guard;
        sleep(Duration::MAX).await
    })
}

fn turn(lab: &Lab) -> Result<()> {
    lab.stop();
    lab.run_forever()
}

// ---- pending tasks ----

#[test]
fn pending_tasks_are_reported_and_dropped_in_order_of_creation() -> Result<()> {
    let lab = telling();
    let first = waiting(&lab, "first");
    let second = waiting(&lab, "second");
    let third = waiting(&lab, "third");
    turn(&lab)?;
    // The fourth gets the place that the second leaves; the fifth has not even begun.
    second.cancel();
    turn(&lab)?;
    turn(&lab)?;
    let fourth = waiting(&lab, "fourth");
    turn(&lab)?;
    let fifth = waiting(&lab, "fifth");
    assert_eq!(words(), ["second is dropped"]);
    lab.clear();
    lab.close()?;
    let expected = ["first", "third", "fourth", "fifth"]
        .map(|name| [format!("Task was destroyed but it is pending!: {name}"), format!("{name} is dropped")]);
    assert_eq!(words(), expected.concat());
    for task in [first, third, fourth, fifth] {
        assert!(!task.done() && !task.cancelled() && !task.cancel());
        assert_eq!(task.result().unwrap_err().to_string(), "Result is not set.");
    }
    Ok(())
}

#[test]
fn a_destroyed_task_is_reported_with_its_name_and_place() {
    let ended = child!(|| {
        logged();
        let lab = Lab::new();
        Task::builder().name("worker").spawn_on(&lab, async { sleep(MS).await });
        report(line!() - 1);
        lab.close().expect("it does not run");
        logged().iter().flat_map(|text| text.lines()).for_each(report);
    });
    let lines = ended.fine();
    let task = format!("task: <Task 'worker' created at tests/event_loop/closing.rs:{}>", lines[0]);
    assert_eq!(lines[1..], ["ERROR Task was destroyed but it is pending!".to_owned(), task]);
}

/// As in asyncio, which sets `_log_destroy_pending` to false for these.
#[test]
fn a_task_made_by_run_until_complete_is_destroyed_without_a_report() -> Result<()> {
    let lab = telling();
    lab.call_soon(looplab::stop)?;
    let guard = OnDrop(|| say("dropped"));
    let result = lab.run_until_complete(async move {
        let _guard = guard;
        sleep(MS).await
    });
    assert!(matches!(result, Err(Error::StoppedBeforeComplete)));
    lab.close()?;
    assert_eq!(words(), ["dropped"]);
    Ok(())
}

#[test]
fn a_finished_or_failed_task_is_not_destroyed() -> Result<()> {
    let lab = telling();
    let done = lab.create_task(async { Ok(5) });
    let failed = lab.create_task(async { Err::<(), _>(Error::msg("boom")) });
    turn(&lab)?;
    lab.close()?;
    assert_eq!(words(), [""; 0]);
    assert_eq!(done.result()?, 5);
    assert!(failed.error()?.is_some());
    Ok(())
}

// ---- destructors ----

/// Whatever a destructor may call while its loop closes: errors, and no panic.
fn everything(lp: &EventLoop, pipe: &UnixStream) {
    let closed = |result: Result<()>| assert_eq!(result.unwrap_err().to_string(), "Event loop is closed");
    assert!(lp.is_closed() && !lp.is_running());
    closed(lp.call_soon(|| ()).map(drop));
    closed(lp.call_later(MS, || ()).map(drop));
    closed(lp.call_at(lp.time(), || ()).map(drop));
    closed(lp.create_task(async { Ok(()) }).result());
    closed(Task::builder().spawn_on(lp, async { Ok(()) }).result());
    closed(lp.add_reader(pipe, || ()));
    closed(lp.add_writer(pipe, || ()));
    closed(lp.add_signal_handler(10, || ()));
    closed(lp.run_forever());
    closed(lp.run_once().map(drop));
    closed(lp.run_until_complete(async { Ok(()) }));
    closed(lp.remote().call_soon(|| ()));
    closed(lp.remote().stop());
    closed(lp.remote().spawn(|| async {}));
    // What asyncio allows on a closed loop.
    lp.stop();
    lp.set_debug(lp.debug());
    lp.set_slow_callback_duration(MS);
    assert!(!lp.remove_reader(pipe).expect("no error") && !lp.remove_writer(pipe).expect("no error"));
    assert!(!lp.remove_signal_handler(10).expect("no error"));
    assert!(lp.close().is_ok());
    let snapshot = lp.snapshot();
    assert!(
        snapshot.closed && snapshot.ready.is_empty() && snapshot.timers.is_empty() && snapshot.io.is_empty()
    );
    assert!(snapshot.tasks.is_empty() && lp.all_tasks().is_empty());
    // A future that has a waiter changes its state, and its error says that the waiter cannot be woken.
    let future = lp.create_future();
    future.add_done_callback(|_| say("never"));
    closed(future.set_result(1));
    assert_eq!(future.result().expect("it is done"), 1);
    assert!(lp.create_future::<()>().cancel());
    let failed = lp.create_future::<()>();
    failed.set_error(Error::msg("boom")).expect("nobody waits");
    assert!(failed.error().expect("it is done").is_some());
    // The free functions have no running loop here.
    assert!(matches!(get_running_loop(), Err(Error::NoRunningLoop)));
    assert!(matches!(looplab::stop(), Err(Error::NoRunningLoop)));
    assert!(create_task(async { Ok(()) }).result().is_err());
    assert!(all_tasks().is_empty());
    say("everything called");
}

#[test]
fn destructors_that_run_during_close_see_a_closed_loop_and_may_call_anything() -> Result<()> {
    let lab = Lab::new();
    lab.set_exception_handler(Some(|_: &EventLoop, _: &ExceptionContext| ()));
    let guard = || -> Result<_> {
        let (lp, (pipe, _)) = (lab.clone(), UnixStream::pair()?);
        Ok(OnDrop(move || everything(&lp, &pipe)))
    };
    let (ours, _theirs) = UnixStream::pair()?;
    let (a, b, c, d, e, f) = (guard()?, guard()?, guard()?, guard()?, guard()?, guard()?);
    lab.call_soon(move || drop(a))?;
    lab.call_later(MS, move || drop(b))?;
    lab.add_reader(&ours, move || {
        let _guard = &c;
    })?;
    let future = lab.create_future::<()>();
    future.add_done_callback(move |_| drop(d));
    let in_task = future.clone();
    lab.create_task(async move {
        let _guard = e;
        in_task.await
    });
    // Sent by another thread and not yet heard of. (What is sent must be `Send`: a key to a guard that is not.)
    type Guard = OnDrop<Box<dyn FnMut()>>;
    thread_local! { static SENT: RefCell<Option<Guard>> = const { RefCell::new(None) } }
    struct DropsSent;
    impl Drop for DropsSent {
        fn drop(&mut self) {
            drop(SENT.take());
        }
    }
    let mut f = Some(f);
    SENT.set(Some(OnDrop(Box::new(move || drop(f.take())))));
    let (remote, key) = (lab.remote(), DropsSent);
    thread::spawn(move || remote.call_soon(move || drop(key))).join().expect("no panic")?;

    lab.close()?;
    assert_eq!(words(), ["everything called"; 6], "callback, timer, reader, done callback, task, message");
    drop(future);
    assert_eq!(words().len(), 6);
    Ok(())
}

#[test]
fn a_body_is_dropped_while_its_task_is_the_current_one() -> Result<()> {
    let lab = telling();
    let guard = OnDrop(|| say(current_task().map(|task| task.name().to_string()).unwrap_or_default()));
    let _task = Task::builder().name("worker").spawn_on(&lab, async move {
        let _guard = guard;
        sleep(MS).await
    });
    turn(&lab)?;
    lab.close()?;
    assert_eq!(words(), ["Task was destroyed but it is pending!: worker", "worker"]);
    assert!(current_task().is_none());
    Ok(())
}

#[test]
fn a_destructor_that_panics_during_close_keeps_no_other_from_being_dropped() {
    let ended = child!(|| {
        logged();
        let lab = Lab::new();
        lab.set_exception_handler(Some(|_: &EventLoop, _: &ExceptionContext| panic!("the handler")));
        let drops = Drops::default();
        for _ in 0..2 {
            let (torn, guard) = (OnDrop(|| panic!("torn")), drops.guard());
            lab.call_soon(move || drop((torn, guard))).expect("it is open");
            let (torn, guard) = (OnDrop(|| panic!("torn")), drops.guard());
            lab.call_later(MS, move || drop((torn, guard))).expect("it is open");
            let (torn, guard) = (OnDrop(|| panic!("torn")), drops.guard());
            lab.create_task(async move {
                let _both = (torn, guard);
                sleep(MS).await
            });
        }
        lab.close().expect("it does not run");
        assert_eq!(drops.count(), 6);
        let torn = logged().iter().filter(|line| line.contains("a destructor panicked: torn")).count();
        assert_eq!(torn, 6, "{:?}", logged());
    });
    ended.fine();
}

#[test]
fn callbacks_are_dropped_once_and_never_run() -> Result<()> {
    let lab = Lab::new();
    let drops = Drops::default();
    let (a, b, c) = (drops.guard(), drops.guard(), drops.guard());
    let (ours, _theirs) = UnixStream::pair()?;
    let handle = lab.call_soon(move || {
        say("never");
        drop(a);
    })?;
    let timer = lab.call_later(Duration::ZERO, move || {
        say("never");
        drop(b);
    })?;
    lab.add_writer(&ours, move || {
        let _guard = &c;
        say("never");
    })?;
    drop((handle, timer));
    lab.close()?;
    assert_eq!((drops.count(), words().len()), (3, 0));
    Ok(())
}

// ---- ways to end ----

#[test]
fn a_loop_that_is_dropped_without_close_is_closed() -> Result<()> {
    let lab = telling();
    let _task = waiting(&lab, "worker");
    let drops = Drops::default();
    let guard = drops.guard();
    lab.call_later(MS, move || drop(guard))?;
    let (second, remote) = (lab.clone(), lab.remote());
    drop(lab);
    assert_eq!((drops.count(), words().len()), (0, 0), "another handle lives");
    drop(second);
    assert_eq!(drops.count(), 1);
    assert_eq!(words(), ["Task was destroyed but it is pending!: worker", "worker is dropped"]);
    assert!(remote.stop().is_err());
    Ok(())
}

/// What a task awaits must not keep the loop alive that keeps the task.
#[test]
fn a_loop_whose_tasks_wait_is_closed_with_its_last_handle() -> Result<()> {
    let lab = Lab::new();
    lab.set_exception_handler(Some(|_: &EventLoop, _: &ExceptionContext| ()));
    let drops = Drops::default();
    let mut made = 0;
    let mut wait = |body: Pin<Box<dyn Future<Output = Result<()>>>>| {
        made += 1;
        let guard = drops.guard();
        lab.create_task(async move {
            let _guard = guard;
            body.await
        })
    };
    wait(Box::pin(sleep(Duration::MAX)));
    let future = lab.create_future::<()>();
    let second = future.clone();
    wait(Box::pin(async move { second.await }));
    let task = lab.create_task(sleep(Duration::MAX));
    let second = task.clone();
    wait(Box::pin(async move { second.await }));
    let third = task.clone();
    wait(Box::pin(async move { looplab::gather([third]).await.map(drop) }));
    let fourth = task.clone();
    wait(Box::pin(async move { wait_for_all(fourth).await }));
    wait(Box::pin(looplab::cancellable(std::future::pending::<()>())));
    let fifth = task.clone();
    wait(Box::pin(async move { looplab::wait_for(fifth, Duration::MAX).await }));
    wait(Box::pin(async move {
        let stubborn = looplab::create_task(async {
            let _ = sleep(Duration::MAX).await;
            sleep(Duration::MAX).await
        });
        looplab::yield_now().await?;
        looplab::wait_for(stubborn, Duration::ZERO).await
    }));
    let sixth = task.clone();
    wait(Box::pin(async move { looplab::shield(sixth).await }));
    wait(Box::pin(looplab::timeout(Duration::MAX, sleep(Duration::MAX))));
    wait(Box::pin(looplab::TaskGroup::scope(|group| async move {
        group.create_task(sleep(Duration::MAX));
        Ok(())
    })));
    turn(&lab)?;
    turn(&lab)?;
    let remote = lab.remote();
    drop(lab);
    assert_eq!(drops.count(), made);
    assert!(remote.stop().is_err());
    Ok(())
}

/// The same for the primitives of `sync`; each pending task is reported.
#[test]
fn a_task_that_waits_on_a_primitive_keeps_no_loop_alive() -> Result<()> {
    type Wait = Pin<Box<dyn Future<Output = Result<()>>>>;
    let (lock, none, changed) = (Lock::new(), Semaphore::new(0), Condition::new());
    let (empty, full, barrier) = (Queue::<u8>::new(0), Queue::new(1), Barrier::new(2)?);
    full.put_nowait(1)?;
    let waits: [(&str, Wait); 9] = [
        (
            "lock",
            Box::pin(async move {
                let _held = lock.lock().await?;
                lock.acquire().await
            }),
        ),
        ("event", Box::pin(Event::new().wait())),
        ("semaphore", Box::pin(none.acquire())),
        ("bounded", Box::pin(BoundedSemaphore::new(0).acquire())),
        (
            "condition",
            Box::pin(async move {
                let _guard = changed.lock().await?;
                changed.wait().await
            }),
        ),
        ("barrier", Box::pin(async move { barrier.wait().await.map(drop) })),
        ("get", Box::pin(async move { empty.get().await.map(drop) })),
        ("put", Box::pin(full.put(2))),
        ("join", Box::pin(full.join())),
    ];
    for (name, wait) in waits {
        let lab = telling();
        let task = Task::builder().name(name).spawn_on(&lab, wait);
        turn(&lab)?;
        turn(&lab)?;
        let remote = lab.remote();
        drop(lab);
        assert!(remote.stop().is_err(), "{name}: the last handle closes the loop");
        assert_eq!(words(), [format!("Task was destroyed but it is pending!: {name}")]);
        assert!(!task.done());
    }
    Ok(())
}

async fn wait_for_all(task: Task<()>) -> Result<()> {
    looplab::wait([task], looplab::ReturnWhen::AllCompleted, Some(Duration::MAX)).await.map(drop)
}

#[test]
fn a_second_close_does_nothing() -> Result<()> {
    let lab = telling();
    let _task = waiting(&lab, "worker");
    lab.clear();
    lab.close()?;
    assert!(lab.is_closed());
    assert_eq!(words().len(), 2);
    assert_eq!(lab.take()[0], "closed");
    lab.close()?;
    lab.is("");
    Ok(())
}

#[test]
fn a_loop_may_be_closed_or_dropped_in_a_callback_of_another_loop() -> Result<()> {
    let lab = telling();
    let (other, third) = (Lab::new(), EventLoop::new()?);
    let _task = waiting(&lab, "worker");
    let task = lab.create_future::<()>();
    let lp = lab.clone();
    other.call_soon(move || lp.close())?;
    other.call_soon(move || drop((third, task)))?;
    other.call_soon(|| {
        say("goes on");
        looplab::stop()
    })?;
    other.run_forever()?;
    let destroyed = "Task was destroyed but it is pending!: worker";
    assert_eq!(words(), [destroyed, "worker is dropped", "goes on"]);
    assert!(lab.is_closed());
    Ok(())
}

#[test]
fn the_last_handle_may_go_in_a_callback_of_its_own_loop() -> Result<()> {
    let _dog = watchdog();
    let lp = EventLoop::new()?;
    let drops = Drops::default();
    let guard = drops.guard();
    let second = lp.clone();
    lp.call_soon(move || {
        let _guard = guard;
        drop(second);
        looplab::stop()
    })?;
    lp.run_forever()?;
    drop(lp);
    assert_eq!(drops.count(), 1);
    Ok(())
}

#[test]
fn a_loop_may_end_with_its_thread() {
    let ended = child!(|| {
        thread_local! { static LOOP: Cell<Option<EventLoop>> = const { Cell::new(None) } }
        let drops = Drops::default();
        let guard = drops.guard();
        let thread = thread::spawn(move || -> Result<()> {
            // The loop goes when the thread's locals do, and so does what its task holds.
            let lp = EventLoop::new()?;
            let remote = lp.remote();
            let last = OnDrop(move || {
                assert!(remote.stop().is_err());
                assert!(get_running_loop().is_err() && current_task().is_none_or(|task| !task.done()));
                assert!(create_task(async { Ok(()) }).error().is_ok());
            });
            lp.create_task(async move {
                let _both = (guard, last);
                sleep(MS).await
            });
            lp.stop();
            lp.run_forever()?;
            LOOP.set(Some(lp));
            Ok(())
        });
        thread.join().expect("no panic").expect("no error");
        assert_eq!(drops.count(), 1);
    });
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ended.fine();
}

// ---- what outlives the loop ----

#[test]
fn a_waker_may_outlive_its_loop() -> Result<()> {
    let lab = telling();
    let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
    let keep = kept.clone();
    lab.create_task(async move {
        std::future::poll_fn(move |cx| {
            *keep.borrow_mut() = Some(cx.waker().clone());
            Poll::<Result<()>>::Pending
        })
        .await
    });
    turn(&lab)?;
    let waker = kept.take().expect("it was polled");
    lab.close()?;
    let wake = |waker: &Waker| {
        waker.wake_by_ref();
        let there = waker.clone();
        thread::spawn(move || there.wake()).join().expect("no panic");
    };
    wake(&waker);
    assert!(lab.snapshot().ready.is_empty());
    drop(lab);
    wake(&waker);
    let other = Lab::new();
    wake(&waker);
    assert!(other.snapshot().ready.is_empty());
    Ok(())
}

#[test]
fn futures_and_tasks_may_outlive_their_loop() -> Result<()> {
    let lab = telling();
    let (future, task) = (lab.create_future(), waiting(&lab, "worker"));
    assert!(future.event_loop() == Some(lab.clone()));
    drop(lab);
    assert!(future.event_loop().is_none() && task.event_loop().is_none());
    future.add_done_callback(|_| say("never"));
    assert!(matches!(future.set_result(5), Err(Error::Closed)));
    assert_eq!(future.result()?, 5);
    assert!(!task.cancel() && !task.done());
    assert_eq!(&*task.name(), "worker");
    Ok(())
}
