//! Waking a loop that sleeps: by a call, by `stop`, and by the waker of a task.

use looplab::{Clock, Error, EventLoop, Remote, Result};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;
use support::{Lab, say, watchdog};

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
    // Its task is done; the next task in its slot is not woken.
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
