//! `sync::Event`: a flag, and all tasks that wait for it.

use crate::stage::{
    all_done, is_bound_to_its_first_loop, new_loop, plays, poll_once, runs, say, turns, waits_for,
};
use looplab::sync::Event;
use looplab::trace::{Done, Record};
use looplab::{Clock, EventLoop, Task, create_task, yield_now};
use std::cell::RefCell;
use std::rc::Rc;

fn waiter(event: &Event, name: &'static str) -> Task<()> {
    let event = event.clone();
    create_task(async move {
        let waited = event.wait().await;
        match &waited {
            Ok(()) => say(format!("{name} goes on, set {}", event.is_set())),
            Err(_) => say(format!("{name} cancelled")),
        }
        waited
    })
}

#[test]
fn set_wakes_all_waiters_each_in_the_next_turn_and_in_order() {
    let program = async {
        let event = Event::new();
        let tasks = ["a", "b", "c"].map(|name| waiter(&event, name));
        turns(1).await?;
        event.set();
        say("set");
        all_done(tasks.into()).await
    };
    plays(program, &["2 set", "3 a goes on, set true", "3 b goes on, set true", "3 c goes on, set true"]);
}

#[test]
fn a_clear_right_after_the_set_does_not_take_it_back() {
    let program = async {
        let event = Event::new();
        let tasks = ["a", "b"].map(|name| waiter(&event, name));
        turns(1).await?;
        event.set();
        event.clear();
        say("set and cleared");
        let late = waiter(&event, "late");
        all_done(tasks.into()).await?;
        say(format!("late done {}", late.done()));
        event.set();
        late.await
    };
    plays(
        program,
        &[
            "2 set and cleared",
            "3 a goes on, set false",
            "3 b goes on, set false",
            "5 late done false",
            "6 late goes on, set true",
        ],
    );
}

#[test]
fn a_waiter_cancelled_in_the_same_turn_as_the_set_is_cancelled() {
    let program = async {
        let event = Event::new();
        let (a, b) = (waiter(&event, "a"), waiter(&event, "b"));
        turns(1).await?;
        event.set();
        say(a.cancel());
        say("set, a cancelled");
        all_done(vec![a.clone(), b]).await?;
        say(format!("a cancelled {}", a.cancelled()));
        Ok(())
    };
    plays(
        program,
        &["2 true", "2 set, a cancelled", "3 a cancelled", "3 b goes on, set true", "5 a cancelled true"],
    );
}

#[test]
fn a_set_passes_over_a_waiter_that_is_cancelled_already() {
    let program = async {
        let event = Event::new();
        let (a, b) = (waiter(&event, "a"), waiter(&event, "b"));
        turns(1).await?;
        a.cancel();
        event.set();
        say("a cancelled, set");
        all_done(vec![a, b]).await
    };
    plays(program, &["2 a cancelled, set", "3 a cancelled", "3 b goes on, set true"]);
}

#[test]
fn waiting_for_one_that_is_set_does_not_suspend_and_setting_it_again_changes_nothing() {
    let program = async {
        let event = Event::new();
        event.set();
        say("asks");
        event.wait().await?;
        say("goes on");
        event.set();
        say(event.is_set());
        Ok(())
    };
    plays(program, &["1 asks", "1 goes on", "1 true"]);
}

#[test]
fn an_event_shows_the_waiters_that_it_woke_until_their_next_step() {
    let program = async {
        let event = Event::new();
        let tasks = ["a", "b"].map(|name| waiter(&event, name));
        turns(1).await?;
        event.set();
        assert_eq!(format!("{event:?}"), "<Event [set, waiters:2]>");
        event.clear();
        assert_eq!(format!("{event:?}"), "<Event [unset, waiters:2]>");
        turns(1).await?;
        assert_eq!(format!("{event:?}"), "<Event [unset]>");
        all_done(tasks.into()).await
    };
    plays(program, &["3 a goes on, set false", "3 b goes on, set false"]);
}

#[test]
fn an_event_can_be_set_between_two_runs_of_the_loop() {
    let _dog = support::watchdog();
    let (lp, event) = (new_loop(), Event::new());
    let task = lp.create_task(event.wait());
    lp.run_once().unwrap();
    assert_eq!(format!("{event:?}"), "<Event [unset, waiters:1]>");
    event.set();
    assert_eq!(format!("{event:?}"), "<Event [set, waiters:1]>");
    assert!(!task.done());
    lp.run_until_complete(&task).unwrap();
    assert_eq!(format!("{event:?}"), "<Event [set]>");
}

#[test]
fn setting_an_event_after_the_loop_was_closed_is_no_error() {
    let _dog = support::watchdog();
    let (lp, event) = (new_loop(), Event::new());
    let task = lp.create_task(event.wait());
    lp.run_once().unwrap();
    lp.close().unwrap();
    event.set();
    assert!(!task.done());
    assert_eq!(format!("{event:?}"), "<Event [set]>");
}

#[test]
fn an_event_is_bound_to_the_loop_of_its_first_blocking_use() {
    let event = Event::new();
    event.set();
    new_loop().run_until_complete(event.wait()).unwrap();
    event.clear();
    is_bound_to_its_first_loop("<Event [unset, waiters:1]>", move || event.wait());
}

#[test]
fn a_wait_that_is_dropped_leaves_the_line() {
    runs(async {
        let event = Event::new();
        assert!(poll_once(event.wait()).await.is_none());
        assert_eq!(format!("{event:?}"), "<Event [unset]>");
        Ok(())
    });
}

#[test]
fn the_trace_tells_the_end_of_a_wait_that_is_dropped() {
    let _dog = support::watchdog();
    let ends = Rc::new(RefCell::new(Vec::new()));
    let seen = ends.clone();
    let observer = move |record: &Record<'_>| {
        if let looplab::trace::Event::FutureDone { state, .. } = record.event {
            seen.borrow_mut().push(state);
        }
    };
    let lp = EventLoop::builder().clock(Clock::virtual_time()).observer(observer).build().unwrap();
    let event = Event::new();
    lp.run_until_complete(async move {
        assert!(poll_once(event.wait()).await.is_none());
        Ok(())
    })
    .unwrap();
    assert_eq!(*ends.borrow(), [Done::Cancelled]);
}

#[test]
fn a_snapshot_shows_the_waiters_of_an_event() {
    runs(async {
        let event = Event::new();
        let task = Task::builder().name("waiter").spawn(event.wait());
        turns(1).await?;
        assert_eq!(waits_for("waiter"), ["event"]);
        event.set();
        task.await
    });
}

/// Wakes like any waker, and runs a piece of the program right there, inside of `set`.
struct Meddling<F: Fn()>(F);

impl<F: Fn() + Send + Sync + 'static> std::task::Wake for Meddling<F> {
    fn wake(self: std::sync::Arc<Self>) {
        (self.0)();
    }
}

thread_local! {
    static MEDDLED: RefCell<Option<Event>> = const { RefCell::new(None) };
}

#[test]
fn a_waker_that_is_not_looplabs_may_use_the_event_while_it_is_set() {
    runs(async {
        let event = Event::new();
        MEDDLED.set(Some(event.clone()));
        let waker = std::task::Waker::from(std::sync::Arc::new(Meddling(|| {
            let event = MEDDLED.with_borrow(Clone::clone).expect("an event");
            event.clear();
            say(format!("woken, {event:?}"));
        })));
        let mut waits = [Box::pin(event.wait()), Box::pin(event.wait())];
        let mut cx = std::task::Context::from_waker(&waker);
        for wait in &mut waits {
            assert!(wait.as_mut().poll(&mut cx).is_pending());
        }
        event.set();
        assert!(!event.is_set());
        for wait in &mut waits {
            assert!(matches!(wait.as_mut().poll(&mut cx), std::task::Poll::Ready(Ok(()))));
        }
        MEDDLED.set(None);
        yield_now().await
    });
}
