//! Other threads: what they send arrives in order, wakes a loop that sleeps, and is refused once the loop has ended.

use looplab::{Clock, Error, EventLoop, ExceptionContext, Remote, RemoteHandle, Result, get_running_loop};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;
use support::{Drops, Lab, say, says, watchdog, words};

const MS: Duration = Duration::from_millis(1);

/// A loop in real time, and a receiver that hears whenever it is about to sleep.
fn loop_that_tells_when_it_sleeps() -> Result<(EventLoop, Receiver<()>)> {
    let (asleep, hear) = channel();
    let builder = EventLoop::builder().clock(Clock::monotonic());
    let lp = builder
        .on_park(move || {
            let _ = asleep.send(());
        })
        .build()?;
    Ok((lp, hear))
}

#[test]
fn a_remote_can_be_sent_shared_and_cloned() {
    fn can<T: Send + Sync + Clone + 'static>() {}
    can::<Remote>();
}

// ---- order ----

#[test]
fn calls_of_each_thread_run_in_the_order_in_which_it_sent_them() -> Result<()> {
    const THREADS: usize = 4;
    const CALLS: usize = 2000;
    thread_local! { static SEEN: RefCell<[Vec<usize>; THREADS]> = const { RefCell::new([const { Vec::new() }; THREADS]) } }
    SEEN.take();
    let (lab, done) = (Lab::in_real_time(), Arc::new(Mutex::new(0)));
    for thread in 0..THREADS {
        let (remote, done) = (lab.remote(), done.clone());
        thread::spawn(move || {
            for n in 0..CALLS {
                remote.call_soon(move || SEEN.with_borrow_mut(|seen| seen[thread].push(n)))?;
            }
            let mut done = done.lock().expect("no panic");
            *done += 1;
            if *done == THREADS { remote.stop() } else { Ok(()) }
        });
    }
    lab.run_forever()?;
    for seen in SEEN.take() {
        assert_eq!(seen, (0..CALLS).collect::<Vec<_>>());
    }
    Ok(())
}

#[test]
fn from_the_own_thread_a_call_has_its_place_among_those_of_call_soon() -> Result<()> {
    let lab = Lab::new();
    let remote = lab.remote();
    lab.call_soon(says("1"))?;
    remote.call_soon(says("2"))?;
    lab.call_soon(move || {
        say("3");
        let lp = get_running_loop()?;
        lp.call_soon(says("5"))?;
        remote.call_soon(says("6"))?;
        lp.call_soon(says("7"))
    })?;
    lab.remote().call_soon(says("4"))?;
    lab.clear();
    lab.run_once()?;
    lab.is("run
        turn 1 | select 0 ready | batch 4
            | run h1 | '1' | run h2 | '2' | run h3 | '3' | +h5 | +h6 | +h7 | run h4 | '4'
        end");
    lab.run_once()?;
    assert_eq!(words(), ["5", "6", "7"]);
    Ok(())
}

#[test]
fn a_call_that_a_thread_makes_during_a_turn_runs_in_the_next_one() -> Result<()> {
    let lab = Lab::new();
    let remote = lab.remote();
    lab.call_soon(move || {
        get_running_loop()?.call_soon(says("queued here"))?;
        let thread = thread::spawn(move || remote.call_soon(says("sent there")));
        thread.join().expect("no panic")?;
        say("sent");
        Ok(())
    })?;
    lab.clear();
    lab.run_once()?;
    lab.run_once()?;
    lab.is("run
        turn 1 | select 0 ready | batch 1 | run h1 | +h2 | 'sent'
        end
        run
        turn 2 | +h3 thread | select 0 ready | batch 2 | run h2 | 'queued here' | run h3 | 'sent there'
        end");
    Ok(())
}

/// As CPython's `test_call_soon_threadsafe` wants it.
#[test]
fn calls_of_threads_keep_their_place_among_those_of_call_soon() -> Result<()> {
    let lab = Lab::new();
    let send = |word| {
        let remote = lab.remote();
        move || thread::spawn(move || remote.call_soon(says(word))).join().expect("no panic")
    };
    let (second, fourth) = (send("second"), send("fourth"));
    lab.call_soon(move || {
        let lp = get_running_loop()?;
        lp.call_soon(says("first"))?;
        second()?;
        lp.call_soon(says("third"))?;
        fourth()?;
        lp.create_task(async { looplab::stop() });
        Ok(())
    })?;
    lab.clear();
    lab.run_forever()?;
    lab.is("run
        turn 1 | select 0 ready | batch 1
            | run h1 | +h2 | +h4 thread | +h3 | task t1 | +h6 thread | +h5 step t1
        turn 2 | select 0 ready | batch 5
            | run h2 | 'first' | run h4 | 'second' | run h3 | 'third' | run h6 | 'fourth' | run h5 | step t1 | stop | t1 ok
        unstop | end");
    // Between two runs, too.
    send("thread")()?;
    lab.call_soon(says("own"))?;
    lab.stop();
    lab.run_forever()?;
    assert_eq!(words(), ["thread", "own"]);
    Ok(())
}

#[test]
fn a_wake_up_of_another_thread_keeps_its_place_too() -> Result<()> {
    let lab = Lab::new();
    let asleep = Rc::new(RefCell::new(None::<Waker>));
    let waker = asleep.clone();
    lab.create_task(async move {
        let mut polls = 0;
        std::future::poll_fn(move |context| {
            polls += 1;
            *waker.borrow_mut() = Some(context.waker().clone());
            if polls > 1 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        say("woken");
        Ok(())
    });
    lab.run_once()?;
    let waker = asleep.take().expect("the task has suspended");
    lab.call_soon(says("before"))?;
    thread::spawn(move || waker.wake()).join().expect("no panic");
    lab.call_soon(says("after"))?;
    lab.run_once()?;
    assert_eq!(words(), ["before", "woken", "after"]);
    Ok(())
}

#[test]
fn a_task_that_is_woken_here_and_by_a_thread_in_one_step_makes_one_more_step() -> Result<()> {
    let lab = Lab::new();
    lab.create_task(async {
        let mut polls = 0;
        std::future::poll_fn(move |context| {
            polls += 1;
            say(polls);
            let waker = context.waker().clone();
            if polls == 1 {
                thread::spawn(move || waker.wake()).join().expect("no panic");
                context.waker().wake_by_ref();
            }
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        Ok(())
    });
    for _ in 0..4 {
        lab.stop();
        lab.run_forever()?;
    }
    assert_eq!(words(), ["1", "2"]);
    Ok(())
}

#[test]
fn calls_between_two_runs_wait_for_the_next_run() -> Result<()> {
    let lab = Lab::new();
    lab.stop();
    lab.run_forever()?;
    let remote = lab.remote();
    thread::spawn(move || remote.call_soon(says("between"))).join().expect("no panic")?;
    lab.stop();
    lab.clear();
    lab.run_forever()?;
    lab.is("run | turn 2 | +h1 thread | select 0 ready | batch 1 | run h1 | 'between' | unstop | end");
    Ok(())
}

#[test]
fn a_call_to_another_threads_loop_is_made_on_that_thread() -> Result<()> {
    let lab = Lab::new();
    let (remote_of_other, other_is_there) = channel();
    let other = thread::spawn(move || -> Result<()> {
        let _dog = watchdog();
        let lp = EventLoop::new()?;
        remote_of_other.send(lp.remote()).expect("somebody hears");
        lp.run_forever()
    });
    let remote = other_is_there.recv().expect("a loop");
    let here = thread::current().id();
    let (answer, hear) = channel();
    lab.call_soon(move || {
        // Called while a loop runs on this thread, which must not be taken for the one that is meant.
        remote.call_soon(move || answer.send(thread::current().id()).map_err(Error::other))?;
        remote.stop()
    })?;
    lab.run_once()?;
    assert_ne!(hear.recv().expect("an answer"), here);
    other.join().expect("no panic")
}

// ---- cancelling ----

#[test]
fn a_handle_can_be_sent_shared_and_cloned() {
    fn can<T: Send + Sync + Clone + 'static>() {}
    can::<RemoteHandle>();
}

#[test]
fn a_call_that_another_thread_cancels_keeps_its_place_and_does_nothing() -> Result<()> {
    let lab = Lab::new();
    let (remote, drops) = (lab.remote(), Drops::default());
    let held = drops.guard();
    lab.call_soon(says("before"))?;
    let first = thread::spawn(move || {
        remote.call_soon_cancellable(move || {
            let _held = held;
            unreachable!("cancelled")
        })
    });
    let handle = first.join().expect("no panic")?;
    lab.call_soon(says("after"))?;
    let other = handle.clone();
    assert!(!handle.cancelled());
    // The function is dropped at once, on the thread that cancels it.
    let dropped = drops.clone();
    thread::spawn(move || {
        assert!(other.cancel());
        assert_eq!(dropped.count(), 1);
    })
    .join()
    .expect("no panic");
    assert!(handle.cancelled());
    assert!(!handle.cancel(), "it was cancelled before");
    assert!(format!("{handle:?}").starts_with("<RemoteHandle cancelled "));
    lab.clear();
    lab.run_once()?;
    lab.is("run
        turn 1 | select 0 ready | batch 3 | run h1 | 'before' | run h3 | run h2 | 'after'
        end");
    Ok(())
}

#[test]
fn a_call_that_has_begun_cannot_be_cancelled() -> Result<()> {
    let lab = Lab::new();
    let slot = Arc::new(Mutex::new(None::<RemoteHandle>));
    let inside = slot.clone();
    let handle = lab.remote().call_soon_cancellable(move || {
        let handle = inside.lock().expect("no panic").clone().expect("it was stored");
        say(handle.cancel());
    })?;
    *slot.lock().expect("no panic") = Some(handle.clone());
    lab.run_once()?;
    assert_eq!(words(), ["false"]);
    assert!(handle.cancelled(), "the mark is set all the same");
    Ok(())
}

#[test]
fn a_call_with_a_handle_runs_and_fails_as_any_other() -> Result<()> {
    let lab = Lab::reporting();
    let remote = lab.remote();
    let handle = thread::spawn(move || remote.call_soon_cancellable(|| Err::<(), _>(Error::msg("boom"))));
    let handle = handle.join().expect("no panic")?;
    lab.turn();
    let lines = lab.log.take();
    assert!(lines.len() == 1 && lines[0].ends_with(": boom"), "{lines:?}");
    assert!(lines[0].contains("a_call_with_a_handle_runs_and_fails_as_any_other"), "{lines:?}");
    assert!(!handle.cancel() && handle.cancelled());
    Ok(())
}

#[test]
fn a_closed_loop_drops_a_call_whose_handle_is_kept() -> Result<()> {
    let lp = EventLoop::new()?;
    let (remote, drops) = (lp.remote(), Drops::default());
    let held = drops.guard();
    let far = remote.clone();
    let sent = thread::spawn(move || far.call_soon_cancellable(move || drop(held)));
    let sent = sent.join().expect("no panic")?;
    let held = drops.guard();
    let queued = remote.call_soon_cancellable(move || drop(held))?;
    lp.close()?;
    assert_eq!(drops.count(), 2);
    assert!(!sent.cancel() && !queued.cancel());
    let held = drops.guard();
    assert!(matches!(remote.call_soon_cancellable(move || drop(held)), Err(Error::Closed)));
    assert_eq!(drops.count(), 3);
    Ok(())
}

/// The loop and the thread that cancels meet at random: each call runs, or its cancellation says that it does not.
#[test]
fn a_call_either_runs_or_is_cancelled_in_time() -> Result<()> {
    const CALLS: usize = 2000;
    let (lab, ran) = (Lab::reporting_in_real_time(), Arc::new(AtomicUsize::new(0)));
    let (remote, counted) = (lab.remote(), ran.clone());
    let thread = thread::spawn(move || -> Result<usize> {
        let mut cancelled = 0;
        for _ in 0..CALLS {
            let ran = counted.clone();
            let handle = remote.call_soon_cancellable(move || ran.fetch_add(1, SeqCst))?;
            cancelled += usize::from(handle.cancel());
        }
        remote.stop()?;
        Ok(cancelled)
    });
    lab.run_forever()?;
    let cancelled = thread.join().expect("no panic")?;
    assert_eq!(ran.load(SeqCst) + cancelled, CALLS);
    Ok(())
}

// ---- waking ----

#[test]
fn a_call_wakes_an_idle_loop() -> Result<()> {
    let _dog = watchdog();
    let (lp, asleep) = loop_that_tells_when_it_sleeps()?;
    let remote = lp.remote();
    let thread = thread::spawn(move || {
        let (called, hear) = channel();
        for _ in 0..10 {
            asleep.recv().expect("the loop goes to sleep");
            let called = called.clone();
            remote.call_soon(move || called.send(()).map_err(Error::other))?;
            hear.recv().expect("nothing else wakes it");
        }
        remote.stop()
    });
    lp.run_forever()?;
    thread.join().expect("no panic")
}

#[test]
fn stop_wakes_an_idle_loop_and_a_loop_that_waits_for_a_timer() -> Result<()> {
    let _dog = watchdog();
    let (lp, asleep) = loop_that_tells_when_it_sleeps()?;
    let remote = lp.remote();
    let thread = thread::spawn(move || {
        for _ in 0..2 {
            asleep.recv().expect("the loop goes to sleep");
            remote.stop()?;
        }
        Ok(())
    });
    lp.run_forever()?;
    lp.call_later(Duration::from_secs(3600), || unreachable!("in an hour"))?;
    lp.run_forever()?;
    thread.join().expect("no panic")
}

/// The hook is called when the wait has been chosen already; what is sent in it must still be seen.
#[test]
fn what_is_sent_when_the_loop_is_just_about_to_sleep_keeps_it_awake() -> Result<()> {
    let _dog = watchdog();
    let to_send: Rc<RefCell<Option<Remote>>> = Rc::default();
    let slot = to_send.clone();
    let builder = EventLoop::builder().clock(Clock::monotonic());
    let lp = builder
        .on_park(move || {
            let Some(remote) = slot.take() else { return };
            thread::spawn(move || remote.stop()).join().expect("no panic").expect("the loop is open");
        })
        .build()?;
    *to_send.borrow_mut() = Some(lp.remote());
    lp.run_forever()
}

/// The two sides meet at random here; a wake-up that is lost would hang the test.
#[test]
fn no_wake_up_is_lost_however_sending_and_falling_asleep_meet() -> Result<()> {
    let lab = Lab::in_real_time();
    let (remote, (ask, asked)) = (lab.remote(), channel());
    let thread = thread::spawn(move || -> Result<()> {
        while asked.recv().is_ok() {
            remote.stop()?;
        }
        Ok(())
    });
    for _ in 0..3000 {
        ask.send(()).expect("the thread listens");
        lab.run_forever()?;
        lab.clear();
    }
    drop(ask);
    thread.join().expect("no panic")
}

/// Keeps the waker that it is polled with for another thread, and is ready when that says so.
struct Foreign(Arc<(AtomicBool, Mutex<Option<Waker>>)>);

impl Future for Foreign {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        *self.0.1.lock().expect("no panic") = Some(cx.waker().clone());
        if self.0.0.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[test]
fn a_waker_wakes_its_task_from_another_thread_and_an_idle_loop_with_it() -> Result<()> {
    let _dog = watchdog();
    let (lp, asleep) = loop_that_tells_when_it_sleeps()?;
    let shared = Arc::new((AtomicBool::new(false), Mutex::new(None)));
    let foreign = Foreign(shared.clone());
    let thread = thread::spawn(move || {
        asleep.recv().expect("the loop goes to sleep");
        shared.0.store(true, SeqCst);
        let waker = shared.1.lock().expect("no panic").clone();
        waker.expect("it was polled").wake();
    });
    lp.run_until_complete(async move {
        foreign.await;
        Ok(())
    })?;
    thread.join().expect("no panic");
    assert_eq!(
        lp.turns(),
        3,
        "the first step; the wake-up, which is queued in the turn that hears of it; the end"
    );
    Ok(())
}

#[test]
fn a_waker_that_is_called_many_times_and_late_queues_one_step_or_none() -> Result<()> {
    let lab = Lab::in_real_time();
    let shared = Arc::new((AtomicBool::new(false), Mutex::new(None::<Waker>)));
    let foreign = Foreign(shared.clone());
    let task = lab.create_task(async move {
        foreign.await;
        say("ready");
        Ok(())
    });
    lab.run_once()?;
    shared.0.store(true, SeqCst);
    let waker = shared.1.lock().expect("no panic").clone().expect("it was polled");
    let wake_there = || {
        let waker = waker.clone();
        thread::spawn(move || (0..5).for_each(|_| waker.wake_by_ref())).join().expect("no panic");
    };
    wake_there();
    waker.wake_by_ref();
    lab.run_once()?;
    assert!(task.done());
    // Its task is done; whoever has the slot now is not woken.
    wake_there();
    waker.wake_by_ref();
    let other = lab.create_task(async { Ok(()) });
    lab.run_once()?;
    assert!(other.done());
    lab.clear();
    lab.stop();
    lab.run_forever()?;
    lab.is("stop | run | turn 4 | select 0 stopping | batch 0 | unstop | end");
    Ok(())
}

// ---- parking ----

#[test]
fn the_parking_hooks_are_called_around_a_poll_that_may_sleep_and_no_other() -> Result<()> {
    let _dog = watchdog();
    let log: Rc<RefCell<Vec<&'static str>>> = Rc::default();
    let (before, after) = (log.clone(), log.clone());
    type Action = Box<dyn FnOnce()>;
    let on_park: Rc<RefCell<Option<Action>>> = Rc::default();
    let parked = on_park.clone();
    let lp = EventLoop::builder()
        .clock(Clock::monotonic())
        .on_park(move || {
            before.borrow_mut().push("park");
            if let Some(action) = parked.take() {
                action();
            }
        })
        .on_unpark(move || after.borrow_mut().push("unpark"))
        .build()?;
    let say = |word: &'static str| {
        let log = log.clone();
        move || log.borrow_mut().push(word)
    };
    lp.call_soon(say("ready"))?;
    lp.run_once()?;
    assert_eq!(log.take(), ["ready"]);
    lp.call_later(MS, say("timer"))?;
    while lp.run_once()? {}
    // The kernel may wake the loop a little early: then it sleeps again. On a slow machine it is due before it can sleep.
    let parked = log.take();
    let expected = [["park", "unpark"].repeat((parked.len() - 1) / 2), vec!["timer"]].concat();
    assert_eq!(parked, expected);
    lp.stop();
    lp.run_forever()?;
    assert_eq!(log.take(), [""; 0], "a stopping loop does not sleep");

    let remote = lp.remote();
    let second = remote.clone();
    thread::spawn(move || second.stop()).join().expect("no panic")?;
    lp.run_forever()?;
    assert_eq!(log.take(), [""; 0], "the call was there before the wait was chosen");
    *on_park.borrow_mut() = Some(Box::new(move || drop(thread::spawn(move || remote.stop()))));
    lp.run_forever()?;
    assert_eq!(log.take(), ["park", "unpark"]);
    Ok(())
}

#[test]
fn a_hook_that_panics_stops_nothing() -> Result<()> {
    let _dog = watchdog();
    let builder = EventLoop::builder().clock(Clock::monotonic());
    let lp = builder.on_park(|| panic!("a hook")).on_unpark(|| panic!("a hook")).build()?;
    for _ in 0..3 {
        lp.call_later(MS, looplab::stop)?;
        lp.run_forever()?;
    }
    Ok(())
}

#[test]
fn virtual_time_passes_without_sleeping() -> Result<()> {
    let _dog = watchdog();
    let builder = EventLoop::builder().clock(Clock::virtual_time());
    let lp = builder.on_park(|| panic!("it sleeps")).build()?;
    lp.call_later(Duration::from_secs(3600), looplab::stop)?;
    lp.run_forever()
}

// ---- the end ----

#[test]
fn after_close_every_call_is_refused_and_its_values_are_dropped() -> Result<()> {
    let lab = Lab::new();
    let (remote, drops) = (lab.remote(), Drops::default());
    let send = |remote: Remote, drops: Drops| {
        thread::spawn(move || {
            let guard = drops.guard();
            let sent = remote.call_soon(move || drop(guard));
            (sent.is_ok(), remote.stop().is_ok(), remote.spawn(|| async {}).is_ok())
        })
        .join()
        .expect("no panic")
    };
    assert_eq!(send(remote.clone(), drops.clone()), (true, true, true));
    assert_eq!(drops.count(), 0, "it waits to be called");
    lab.close()?;
    assert_eq!(drops.count(), 1, "it is dropped with the loop");
    for n in 2..100 {
        assert_eq!(send(remote.clone(), drops.clone()), (false, false, false));
        assert_eq!(drops.count(), n, "nothing is kept for a loop that has ended");
    }
    // From the loop's own thread it is the same.
    let guard = drops.guard();
    let error = remote.call_soon(move || drop(guard)).unwrap_err();
    assert!(matches!(error, Error::Closed) && error.to_string() == "Event loop is closed");
    assert_eq!(drops.count(), 100);
    Ok(())
}

#[test]
fn a_remote_does_not_keep_its_loop_alive() -> Result<()> {
    let lab = Lab::new();
    let (remote, drops) = (lab.remote(), Drops::default());
    let guard = drops.guard();
    lab.call_soon(move || drop(guard))?;
    drop(lab);
    assert_eq!(drops.count(), 1);
    assert!(matches!(remote.call_soon(|| ()), Err(Error::Closed)));
    let elsewhere = thread::spawn(move || remote.stop()).join().expect("no panic");
    assert!(matches!(elsewhere, Err(Error::Closed)));
    Ok(())
}

#[test]
fn closing_while_threads_send_loses_no_value_and_ends_the_senders() -> Result<()> {
    let _dog = watchdog();
    let lp = EventLoop::new()?;
    let drops = Drops::default();
    let made = Arc::new(AtomicUsize::new(0));
    let sender = || {
        let (remote, drops, made) = (lp.remote(), drops.clone(), made.clone());
        thread::spawn(move || {
            loop {
                // Three threads are faster than the loop: they keep a thousand ahead of it.
                while made.load(SeqCst) > drops.count() + 1000 {
                    thread::yield_now();
                }
                made.fetch_add(1, SeqCst);
                let guard = drops.guard();
                if remote.call_soon(move || drop(guard)).is_err() {
                    return;
                }
            }
        })
    };
    let senders = [sender(), sender(), sender()];
    while drops.count() < 20_000 {
        lp.stop();
        lp.run_forever()?;
    }
    lp.close()?;
    for sender in senders {
        sender.join().expect("no panic");
    }
    assert_eq!(drops.count(), made.load(SeqCst));
    Ok(())
}

// ---- what a call can do ----

#[test]
fn an_error_or_a_panic_of_a_call_is_reported_and_an_exit_leaves_the_loop() -> Result<()> {
    let lab = Lab::new();
    lab.set_exception_handler(Some(|_: &EventLoop, context: &ExceptionContext| {
        assert!(context.handle().is_some());
        say(context.error().expect("an error"));
    }));
    let remote = lab.remote();
    let sent = thread::spawn(move || {
        remote.call_soon(|| Err::<(), _>(Error::msg("boom")))?;
        remote.call_soon(|| panic!("aua"))?;
        remote.call_soon(|| Err::<(), _>(Error::Exit(2)))?;
        remote.call_soon(says("in the next run"))
    });
    sent.join().expect("no panic")?;
    assert!(matches!(lab.run_forever(), Err(Error::Exit(2))));
    lab.stop();
    lab.run_forever()?;
    assert_eq!(words(), ["boom", "aua", "in the next run"]);
    Ok(())
}

#[test]
fn a_task_can_be_made_from_outside_and_its_failure_is_reported() -> Result<()> {
    let lab = Lab::new();
    lab.set_exception_handler(Some(|_: &EventLoop, context: &ExceptionContext| {
        say(format!("{}: {}", context.message(), context.error().expect("an error")));
    }));
    let remote = lab.remote();
    let sent = thread::spawn(move || {
        remote.spawn(|| async {
            let not_send = Rc::new("made on the loop");
            looplab::yield_now().await?;
            say(&not_send);
            Err::<(), _>(Error::msg("boom"))
        })
    });
    sent.join().expect("no panic")?;
    while lab.run_once()? {}
    assert_eq!(words(), ["made on the loop", "Task exception was never retrieved: boom"]);
    Ok(())
}
