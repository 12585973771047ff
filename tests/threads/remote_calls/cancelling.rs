//! Cancelling a call of another thread: it keeps its place and does nothing, unless it has begun.

use looplab::{Error, EventLoop, RemoteHandle, Result};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::thread;
use support::{Drops, Lab, say, says, words};

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
