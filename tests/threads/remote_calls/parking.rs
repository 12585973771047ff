//! The hooks around the poll of a loop that goes to sleep.

use looplab::{Clock, EventLoop, Result};
use std::cell::RefCell;
use std::rc::Rc;
use std::thread;
use std::time::Duration;
use support::watchdog;

const MS: Duration = Duration::from_millis(1);

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
