//! The end of the loop: calls that come after it are refused, and what they hold is dropped.

use looplab::{Error, EventLoop, Remote, Result};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use support::{Drops, Lab, watchdog};

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
