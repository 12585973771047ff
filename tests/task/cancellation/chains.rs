//! Chains and rings of tasks: long ones on a small stack, and ones that lead back to where they began.

use looplab::{Clock, Error, EventLoop, ExceptionContext, Result, Task, create_task, current_task, gather};
use looplab::{stop, yield_now};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread;
use std::time::Duration;
use support::{Lab, failure, say, watchdog};

const LENGTH: usize = 100_000;

/// A stack on which a recursion over the chain could not even begin: one frame a task would need many megabytes.
const SMALL: usize = 256 * 1024;

fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let _watchdog = watchdog();
    thread::Builder::new().stack_size(SMALL).spawn(test).unwrap().join().unwrap();
}

/// A loop and a chain of tasks on it, each awaiting the one before; the innermost waits for ever.
fn chain() -> (EventLoop, Vec<Task<()>>) {
    let lp = EventLoop::builder().clock(Clock::virtual_time()).build().unwrap();
    let never = lp.create_future::<()>();
    let mut tasks = vec![lp.create_task(async move { never.await })];
    for n in 0..LENGTH {
        let inner = tasks[n].clone();
        tasks.push(lp.create_task(async move { inner.await }));
    }
    lp.stop();
    lp.run_forever().unwrap();
    (lp, tasks)
}

/// Counts the tasks that are reported as destroyed.
fn count_destroyed(lp: &EventLoop) -> Rc<Cell<usize>> {
    let count = Rc::new(Cell::new(0));
    let counter = count.clone();
    lp.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| {
        assert_eq!(context.message(), "Task was destroyed but it is pending!");
        counter.set(counter.get() + 1);
    }));
    count
}

#[test]
fn a_cancel_goes_down_a_chain_of_100_000_tasks() {
    on_a_small_stack(|| {
        let (lp, tasks) = chain();
        let outermost = &tasks[LENGTH];
        let turns = lp.turns();
        assert!(outermost.cancel_msg("down"));
        assert!(tasks.iter().all(|task| task.cancelling() == 1));
        assert_eq!(failure(lp.run_until_complete(outermost)), "Cancelled(down)");
        assert!(tasks.iter().all(|task| task.cancelled()));
        // One task a turn, and the callback that ends the run.
        assert_eq!(lp.turns() - turns, LENGTH as u64 + 2);
    });
}

#[test]
fn closing_a_loop_with_a_chain_of_100_000_tasks() {
    on_a_small_stack(|| {
        let (lp, tasks) = chain();
        let destroyed = count_destroyed(&lp);
        drop(tasks);
        lp.close().unwrap();
        assert_eq!(destroyed.get(), LENGTH + 1);
    });
}

#[test]
fn dropping_a_loop_with_a_chain_of_100_000_tasks_and_then_its_handles() {
    on_a_small_stack(|| {
        let (lp, tasks) = chain();
        let destroyed = count_destroyed(&lp);
        drop(lp);
        assert_eq!(destroyed.get(), LENGTH + 1);
        assert!(!tasks[LENGTH].done(), "a destroyed task is not done");
        drop(tasks);
    });
}

/// As [`chain`], but the outermost task is made first: each makes the one that it awaits.
fn next(depth: usize) -> std::pin::Pin<Box<dyn Future<Output = Result<()>>>> {
    Box::pin(async move {
        match depth {
            0 => std::future::pending().await,
            _ => create_task(next(depth - 1)).await,
        }
    })
}

#[test]
fn closing_a_loop_with_a_chain_that_was_made_from_the_outside() {
    on_a_small_stack(|| {
        let lp = EventLoop::builder().clock(Clock::virtual_time()).build().unwrap();
        let destroyed = count_destroyed(&lp);
        drop(lp.create_task(next(LENGTH)));
        let error = lp.run_forever().unwrap_err();
        assert!(matches!(error, Error::Deadlock(_)));
        lp.close().unwrap();
        assert_eq!(destroyed.get(), LENGTH + 1);
    });
}

type Slots = Rc<RefCell<Vec<Task<()>>>>;

/// A ring of named tasks, each awaiting the next; suspended.
fn ring(lab: &Lab, names: &[&'static str]) -> Vec<Task<()>> {
    let slots = Slots::default();
    for (n, name) in names.iter().enumerate() {
        let (next, all, log) = ((n + 1) % names.len(), slots.clone(), lab.log.clone());
        let task = Task::builder().name(*name).spawn_on(&lab.lp, async move {
            let awaited = all.borrow()[next].clone();
            let thrown = awaited.await;
            say!(log, "{} {}", current_task().unwrap().name(), failure(thrown.clone()));
            thrown
        });
        slots.borrow_mut().push(task);
    }
    lab.turn();
    slots.take()
}

#[test]
fn two_tasks_that_await_each_other_are_ended_by_cancelling_one() {
    // In CPython the request is a recursion without end: RecursionError, and both tasks hang (docs/differences.md).
    let lab = Lab::reporting();
    let tasks = ring(&lab, &["a", "b"]);
    assert!(tasks[0].cancel_msg("stop"));
    assert_eq!(failure(lab.lp.run_until_complete(&tasks[0])), "Cancelled(stop)");
    // b closes the circle, so it is the one that the request reaches.
    assert_eq!(lab.log.take(), ["2 b Cancelled(stop)", "3 a Cancelled(stop)"]);
    assert!(tasks.iter().all(Task::cancelled));
}

#[test]
fn a_ring_is_ended_by_cancelling_any_of_it() {
    for first in 0..4 {
        let lab = Lab::reporting();
        let tasks = ring(&lab, &["a", "b", "c", "d"]);
        assert!(tasks[first].cancel());
        assert_eq!(failure(lab.lp.run_until_complete(&tasks[first])), "Cancelled");
        assert!(tasks.iter().all(|task| task.cancelled() && task.cancelling() == 1));
    }
}

#[test]
fn a_ring_without_a_cancel_is_a_deadlock_that_names_its_tasks() {
    let lab = Lab::reporting();
    let tasks = ring(&lab, &["alpha", "beta"]);
    let error = lab.lp.run_until_complete(&tasks[0]).unwrap_err().to_string();
    assert!(error.contains("alpha waits for task") && error.contains("beta waits for task"), "{error}");
}

#[test]
fn a_task_that_gathers_itself_is_ended_by_a_cancel() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let task = lab.lp.create_task(async move {
        let me = current_task().unwrap().downcast::<()>().unwrap();
        say!(log, "{}", failure(gather([me]).await));
        Ok(())
    });
    let task = task;
    lab.turn();
    assert!(task.cancel_msg("c"));
    lab.lp.run_until_complete(&task).unwrap();
    assert_eq!(lab.log.take(), ["2 Cancelled(c)"]);
}

#[test]
fn a_ring_through_a_gathering_is_ended_by_a_cancel() {
    let lab = Lab::reporting();
    let slot = Slots::default();
    let awaited = slot.clone();
    let gatherer = lab.lp.create_task(async move {
        let other = awaited.borrow()[0].clone();
        gather([other]).await.map(drop)
    });
    let gatherer = gatherer;
    let awaited = gatherer.clone();
    let other = lab.lp.create_task(async move { awaited.await });
    slot.borrow_mut().push(other.clone());
    lab.turn();
    lab.turn();
    for task in [&gatherer, &other] {
        assert!(!task.done());
    }
    assert!(other.cancel());
    assert_eq!(failure(lab.lp.run_until_complete(&other)), "Cancelled");
    assert!(gatherer.cancelled());
}

#[test]
fn a_task_that_cancels_its_awaiter_and_then_awaits_it_ends_with_it() {
    // The request comes back to the task that made it, in its own step: it is forwarded when that task suspends.
    let lab = Lab::reporting();
    let slot = Slots::default();
    let both = slot.clone();
    let awaiter = lab.lp.create_task(async move {
        let awaited = both.borrow()[1].clone();
        awaited.await
    });
    let both = slot.clone();
    let canceller = lab.lp.create_task(async move {
        let awaiter = both.borrow()[0].clone();
        assert!(awaiter.cancel_msg("c"));
        awaiter.await
    });
    let tasks = [awaiter, canceller];
    slot.replace(tasks.to_vec());
    assert_eq!(failure(lab.lp.run_until_complete(&tasks[1])), "Cancelled(c)");
    assert!(tasks.iter().all(Task::cancelled));
    // The awaiter was asked twice: by the canceller, and in the end through it.
    assert_eq!(tasks.each_ref().map(Task::cancelling), [2, 1]);
}

#[test]
fn a_task_that_cancels_itself_and_then_gathers_itself_is_ended() {
    let lab = Lab::reporting();
    let task = lab.lp.create_task(async move {
        let me = current_task().unwrap().downcast::<()>().unwrap();
        me.cancel_msg("c");
        gather([me]).await.map(drop)
    });
    let task = task;
    assert_eq!(failure(lab.lp.run_until_complete(&task)), "Cancelled(c)");
    assert_eq!(task.cancelling(), 1);
}

#[test]
fn a_cancel_from_a_timer_reaches_a_chain_in_the_same_call() {
    let lab = Lab::reporting();
    let inner = lab.lp.create_task(async { yield_now().await.and(std::future::pending().await) });
    let awaited: Task<()> = inner.clone();
    let outer = lab.lp.create_task(async move { awaited.await });
    let (first, second) = (outer.clone(), inner.clone());
    lab.lp
        .call_later(Duration::from_secs(1), move || {
            assert!(first.cancel());
            assert_eq!(second.cancelling(), 1);
            stop()
        })
        .unwrap();
    lab.lp.run_forever().unwrap();
    // The innermost waits for something that is not looplab's: the request is remembered, and nothing wakes it.
    assert!(!inner.done() && !outer.done());
    drop(inner);
}
