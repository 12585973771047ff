//! What a program keeps beyond the end of a loop holds nothing that the program gave to the loop.

use super::{MS, telling, turn, waiting};
use looplab::trace::Record;
use looplab::{Error, EventLoop, ExceptionContext, Future, Handle, Result, TimerHandle, sleep};
use std::cell::{Cell, RefCell};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::Duration;
use support::{Drops, Lab, OnDrop, child, logged, say, words};

#[test]
fn close_drops_the_callback_of_a_kept_handle() -> Result<()> {
    let lab = Lab::new();
    let drops = Drops::default();
    let (a, b, c) = (drops.guard(), drops.guard(), drops.guard());
    let handle = lab.call_soon(move || drop(a))?;
    let timer = lab.call_later(MS, move || drop(b))?;
    let due = lab.call_later(Duration::ZERO, move || drop(c))?;
    lab.close()?;
    assert_eq!(drops.count(), 3);
    // As in asyncio.
    assert!(!handle.cancelled() && !timer.cancelled() && !due.cancelled());
    handle.cancel();
    timer.cancel();
    assert!(handle.cancelled() && timer.cancelled());
    Ok(())
}

#[test]
fn close_frees_what_holds_its_own_handle() -> Result<()> {
    let lab = Lab::new();
    let drops = Drops::default();
    let own: Rc<RefCell<Option<Handle>>> = Rc::default();
    let (held, guard) = (own.clone(), drops.guard());
    let handle = lab.call_soon(move || drop((held, guard)))?;
    *own.borrow_mut() = Some(handle);
    let own: Rc<RefCell<Option<TimerHandle>>> = Rc::default();
    let (held, guard) = (own.clone(), drops.guard());
    let timer = lab.call_later(MS, move || drop((held, guard)))?;
    *own.borrow_mut() = Some(timer);
    drop(own);
    lab.close()?;
    assert_eq!(drops.count(), 2);
    Ok(())
}

#[test]
fn close_drops_the_callbacks_of_pending_futures_in_order_of_registration() -> Result<()> {
    let lab = Lab::new();
    let futures: Vec<Future<i32>> = (0..3).map(|_| lab.create_future()).collect();
    let callback = |future: &Future<i32>, name: &'static str| {
        // Each holds its own future: nothing else would ever end it.
        let (itself, guard) = (future.clone(), OnDrop(move || say(name)));
        future.add_done_callback(move |_| drop((itself, guard)))
    };
    callback(&futures[1], "second future");
    callback(&futures[0], "first future");
    callback(&futures[1], "second future again");
    let removed = callback(&futures[2], "third future");
    assert_eq!(futures[2].remove_done_callback(removed), 1);
    assert_eq!(words(), ["third future"]);
    lab.close()?;
    assert_eq!(words(), ["third future", "second future", "second future again", "first future"]);
    // As in asyncio: it changes, and its error says that a waiter cannot be woken.
    assert!(matches!(futures[0].set_result(5), Err(Error::Closed)));
    assert_eq!(futures[0].result()?, 5);
    assert!(futures[2].set_result(6).is_ok());
    let late = lab.create_future();
    callback(&late, "late");
    assert_eq!(words().last().map(String::as_str), Some("late"), "it would never run");
    assert!(matches!(late.set_result(7), Err(Error::Closed)));
    Ok(())
}

#[test]
fn close_frees_a_handler_an_observer_and_hooks_that_hold_the_loop() -> Result<()> {
    let drops = Drops::default();
    let held: [Rc<RefCell<Option<EventLoop>>>; 4] = Default::default();
    let [handler, observer, on_park, on_unpark] = held.clone().map(|held| (held, drops.guard()));
    let lp = EventLoop::builder()
        .observer(move |_: &Record<'_>| {
            let _both = &observer;
        })
        .on_park(move || {
            let _both = &on_park;
        })
        .on_unpark(move || {
            let _both = &on_unpark;
        })
        .build()?;
    held.iter().for_each(|held| *held.borrow_mut() = Some(lp.clone()));
    let reports = Rc::new(Cell::new(0));
    let counted = reports.clone();
    lp.set_exception_handler(Some(move |_: &EventLoop, _: &ExceptionContext| {
        let _both = &handler;
        counted.set(counted.get() + 1);
    }));
    lp.create_task(sleep(MS));
    drop(held);
    lp.close()?;
    assert_eq!((drops.count(), reports.get()), (4, 1), "the reports of close itself still reach the handler");
    Ok(())
}

#[test]
fn an_observer_may_close_its_loop_and_is_dropped_then() -> Result<()> {
    let drops = Drops::default();
    let guard = drops.guard();
    let held: Rc<RefCell<Option<EventLoop>>> = Rc::default();
    let taken = held.clone();
    let lp = EventLoop::builder()
        .observer(move |_: &Record<'_>| {
            let _guard = &guard;
            if let Some(lp) = taken.take() {
                lp.close().expect("it does not run");
            }
        })
        .build()?;
    *held.borrow_mut() = Some(lp.clone());
    lp.call_soon(|| ())?;
    assert!(lp.is_closed());
    assert_eq!(drops.count(), 1);
    Ok(())
}

#[test]
fn what_was_given_is_dropped_in_the_order_that_is_documented() -> Result<()> {
    let lab = telling();
    let says_dropped = |name: &'static str| OnDrop(move || say(name));
    let (future, (ours, _theirs)) = (lab.create_future::<()>(), UnixStream::pair()?);
    // Given in another order than they are dropped in.
    let guard = says_dropped("done callback");
    future.add_done_callback(move |_| drop(guard));
    let _task = waiting(&lab, "task");
    turn(&lab)?;
    let guard = says_dropped("signal handler");
    lab.add_signal_handler(10, move || {
        let _guard = &guard;
    })?;
    let guard = says_dropped("reader");
    lab.add_reader(&ours, move || {
        let _guard = &guard;
    })?;
    let (late, soon) = (says_dropped("late timer"), says_dropped("timer"));
    lab.call_later(2 * MS, move || drop(late))?;
    lab.call_later(MS, move || drop(soon))?;
    let guard = says_dropped("callback");
    lab.call_soon(move || drop(guard))?;
    lab.close()?;
    let expected = [
        "callback",
        "timer",
        "late timer",
        "reader",
        "signal handler",
        "done callback",
        "Task was destroyed but it is pending!: task",
        "task is dropped",
    ];
    assert_eq!(words(), expected);
    Ok(())
}

/// However long handles and remotes are kept.
#[test]
fn a_closed_loops_descriptors_are_closed_at_once() {
    let ended = child!(|| {
        let open = || std::fs::read_dir("/proc/self/fd").expect("Linux").count();
        let before = open();
        let lp = EventLoop::new().expect("descriptors");
        lp.add_signal_handler(10, || ()).expect("it can be caught");
        let (remote, second) = (lp.remote(), lp.clone());
        assert!(open() > before);
        lp.close().expect("it does not run");
        assert_eq!(open(), before);
        assert!(thread::spawn(move || remote.stop()).join().expect("no panic").is_err());
        drop(second);
    });
    ended.fine();
}

/// Each of them is dropped alone, so two that panic never meet.
#[test]
fn destructors_that_panic_end_no_process_wherever_close_drops_them() {
    let ended = child!(|| {
        logged();
        let torn = || OnDrop(|| panic!("torn"));
        let [handler, observer, on_park, on_unpark] = [torn(), torn(), torn(), torn()];
        let lp = EventLoop::builder()
            .observer(move |_: &Record<'_>| {
                let _torn = &observer;
            })
            .on_park(move || {
                let _torn = &on_park;
            })
            .on_unpark(move || {
                let _torn = &on_unpark;
            })
            .build()
            .expect("descriptors");
        lp.set_exception_handler(Some(move |_: &EventLoop, _: &ExceptionContext| {
            let _torn = &handler;
        }));
        let (future, mut handles) = (lp.create_future::<()>(), Vec::new());
        for _ in 0..2 {
            let (a, b, c) = (torn(), torn(), torn());
            future.add_done_callback(move |_| drop(a));
            handles.push(lp.call_soon(move || drop(b)).expect("it is open"));
            lp.call_later(MS, move || drop(c)).expect("it is open");
        }
        lp.close().expect("it does not run");
        let told = logged().iter().filter(|line| line.contains("a destructor panicked: torn")).count();
        assert_eq!(told, 10, "{:?}", logged());
    });
    ended.fine();
}
