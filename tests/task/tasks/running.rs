//! `run_until_complete`: what it takes, how many turns, and how a run that ends early can go on.

use super::Unique;
use looplab::{Error, EventLoop, Result, Task, create_task, get_running_loop, sleep, stop, yield_now};
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use support::{Guard, Lab, failure, ms};

#[test]
fn a_keyboard_interrupt_leaves_the_run_and_the_next_one_is_not_disturbed() {
    let lab = Lab::reporting();
    let outcome = lab.lp.run_until_complete(async { Err::<(), _>(Error::KeyboardInterrupt) });
    assert!(matches!(outcome, Err(Error::KeyboardInterrupt)));
    // Its stop callback is queued, and does nothing.
    assert_eq!((lab.lp.turns(), lab.lp.snapshot().ready.len()), (1, 1));
    let lines = lab.run(yield_now());
    assert_eq!(lines, ["4 returned ()"]);
}

#[test]
fn an_exit_of_a_child_leaves_the_run_and_is_the_childs_result_too() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let main = lab.lp.create_task(async move {
        let outcome = create_task(async { Err::<(), _>(Error::Exit(3)) }).await;
        assert!(matches!(outcome, Err(Error::Exit(3))));
        log.say("main");
        Ok("ok")
    });
    let main = main;
    assert!(matches!(lab.lp.run_until_complete(&main), Err(Error::Exit(3))));
    assert!(!main.done());
    assert_eq!(lab.lp.run_until_complete(&main).unwrap(), "ok");
    assert_eq!((lab.log.take(), lab.lp.turns()), (vec!["3 main".to_owned()], 4));
}

#[test]
fn run_until_complete_takes_whatever_can_be_awaited() {
    let lab = Lab::reporting();
    let lp = &lab.lp;
    let task = lp.create_task(async { Ok(1) });
    assert_eq!(lp.run_until_complete(&task).unwrap(), 1);
    assert_eq!(lp.run_until_complete(task.clone()).unwrap(), 1, "a task that is done");
    lp.run_until_complete(task.to_ref()).unwrap();
    lp.run_until_complete(&task.to_ref()).unwrap();
    let future = lp.create_future();
    let setter = future.clone();
    lp.call_soon(move || setter.set_result(2)).unwrap();
    assert_eq!(lp.run_until_complete(&future).unwrap(), 2);
    assert_eq!(lp.run_until_complete(future).unwrap(), 2);
    let boxed: Pin<Box<dyn Future<Output = Result<i32>>>> = Box::pin(async { Ok(3) });
    assert_eq!(lp.run_until_complete(boxed).unwrap(), 3);
    assert_eq!(lp.run_until_complete(Task::builder().name("n").prepare(async { Ok(4) })).unwrap(), 4);
    lp.run_until_complete(async {}).unwrap();
    lp.run_until_complete(sleep(ms(1))).unwrap();
    let drops = Rc::new(Cell::new(0));
    let guard = Guard(drops.clone());
    let unique = lp.run_until_complete(async { Ok(Unique(guard)) }).unwrap();
    assert_eq!(drops.get(), 0);
    drop(unique);
}

#[test]
fn running_what_is_done_takes_one_turn_in_which_others_run_too() {
    let lab = Lab::reporting();
    let (log, future) = (lab.log.clone(), lab.lp.create_future());
    future.set_result(4).unwrap();
    lab.lp.call_soon(move || log.say("callback")).unwrap();
    assert_eq!(lab.lp.run_until_complete(&future).unwrap(), 4);
    assert_eq!((lab.lp.turns(), lab.log.take()), (1, vec!["1 callback".to_owned()]));
}

#[test]
fn a_task_of_another_loop_cannot_be_run() {
    let (lab, elsewhere) = (Lab::reporting(), Lab::reporting());
    let task = elsewhere.lp.create_task(async { Ok(1) });
    let text = "The future belongs to a different loop than the one specified as the loop argument";
    assert_eq!(failure(lab.lp.run_until_complete(&task)), text);
    assert_eq!(failure(lab.lp.run_until_complete(task.to_ref())), text);
    assert_eq!(elsewhere.lp.run_until_complete(&task).unwrap(), 1);
}

#[test]
fn a_refused_run_does_not_begin_its_body() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let lp = get_running_loop()?;
        let refused = lp.run_until_complete(async { unreachable!("refused") });
        assert!(matches!(refused, Err(Error::AlreadyRunning)));
        assert_eq!(lp.all_tasks().len(), 1);
        yield_now().await
    });
    assert_eq!(lines, ["3 returned ()"]);
}

#[test]
fn the_stop_of_a_finished_run_does_not_leak_into_the_next() {
    // In CPython the second run ends with "Event loop stopped before Future completed." (docs/differences.md).
    let lab = Lab::reporting();
    let first = async {
        stop()?;
        Ok(1)
    };
    assert_eq!(lab.lp.run_until_complete(first).unwrap(), 1);
    assert_eq!(lab.lp.snapshot().ready.len(), 1, "its stop callback is queued still");
    let second = async {
        yield_now().await?;
        Ok(2)
    };
    assert_eq!((lab.lp.run_until_complete(second).unwrap(), lab.lp.turns()), (2, 4));
}

#[test]
fn a_run_that_is_stopped_before_loses_nothing() {
    let lab = Lab::reporting();
    let (log, future) = (lab.log.clone(), lab.lp.create_future());
    let awaited = future.clone();
    let task = lab.lp.create_task(async move {
        log.say("begins");
        awaited.await
    });
    let task = task;
    lab.lp.call_later(ms(10), stop).unwrap();
    assert!(matches!(lab.lp.run_until_complete(&task), Err(Error::StoppedBeforeComplete)));
    assert!(!task.done());
    future.set_result(6).unwrap();
    assert_eq!((lab.lp.run_until_complete(&task).unwrap(), lab.lp.turns()), (6, 4));
    assert_eq!(lab.log.take(), ["1 begins"]);
}

#[test]
fn the_task_of_a_body_goes_on_after_a_run_that_was_stopped() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    lab.lp.call_soon(stop).unwrap();
    let body = async move {
        yield_now().await?;
        log.say("goes on");
        Err::<(), _>(Error::msg("unread"))
    };
    let outcome = lab.lp.run_until_complete(Task::builder().name("body").prepare(body));
    assert!(matches!(outcome, Err(Error::StoppedBeforeComplete)));
    lab.turn();
    let report = "2 REPORT Task exception was never retrieved (body): unread";
    assert_eq!(lab.log.take(), ["2 goes on", report]);
}

/// A value whose `clone` tries to take the very result that is being cloned.
struct Taker(Rc<RefCell<Option<Task<Taker>>>>, Rc<Cell<bool>>);

impl Clone for Taker {
    fn clone(&self) -> Self {
        if let Some(task) = self.0.take() {
            let mut take = Box::pin(task.into_output());
            let taken = take.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            self.1.set(matches!(taken, Poll::Ready(Err(Error::InvalidState(_)))));
        }
        Self(self.0.clone(), self.1.clone())
    }
}

#[test]
fn a_clone_that_takes_the_result_which_is_being_cloned_is_refused() {
    let lp = EventLoop::new().unwrap();
    let (slot, refused) = (Rc::<RefCell<Option<Task<Taker>>>>::default(), Rc::new(Cell::new(false)));
    let value = Taker(slot.clone(), refused.clone());
    let task = lp.create_task(async move { Ok(value) });
    lp.run_until_complete(async { yield_now().await }).unwrap();
    *slot.borrow_mut() = Some(task.clone());
    assert!(task.result().is_ok());
    assert!(refused.get());
}
