//! Calls of other threads: they run in order, and fail as any other call. Files of their own have: what cancels a call
//! (`cancelling`), what wakes a loop that sleeps (`waking`), the hooks around that sleep (`parking`), and the loop's end
//! (`ending`).

mod cancelling;
mod ending;
mod parking;
mod waking;

use looplab::{Error, EventLoop, ExceptionContext, Remote, Result, get_running_loop};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use support::{Lab, say, says, watchdog, words};

#[test]
fn a_remote_can_be_sent_shared_and_cloned() {
    fn can<T: Send + Sync + Clone + 'static>() {}
    can::<Remote>();
}

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
        remote_of_other.send(lp.remote()).expect("the test waits for it");
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
