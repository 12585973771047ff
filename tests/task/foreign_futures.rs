//! Futures that are not looplab's: those of other crates, and other crates' ways to wait for several of looplab's at
//! once (`join!`, `select!`, `FuturesUnordered`).

mod several;

use futures::channel::oneshot;
use looplab::{Clock, EventLoop, Result, Task, cancellable, current_task, get_running_loop, yield_now};
use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use support::{Guard, Lab, failure, forever, say, show, watchdog};

/// The lines of a trace but for those that tell of turns.
fn without_turns(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().filter(|line| !line.starts_with("turn")).collect()
}

/// A named task that awaits `body`; it has taken its first step.
fn started<T: 'static>(lab: &Lab, body: impl Future<Output = Result<T>> + 'static) -> Task<T> {
    let task = Task::builder().name("task").spawn_on(&lab.lp, body);
    lab.turn();
    task
}

/// Keeps its waker where the test can reach it; pending until the test opens it.
#[derive(Clone, Default)]
struct Gate(Rc<RefCell<Option<Waker>>>, Rc<Cell<bool>>);

impl Gate {
    async fn wait(&self) {
        poll_fn(|cx| {
            if self.1.get() {
                return Poll::Ready(());
            }
            *self.0.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn waker(&self) -> Waker {
        self.0.borrow().clone().unwrap()
    }

    fn open(&self) {
        self.1.set(true);
        self.waker().wake();
    }
}

#[test]
fn another_thread_wakes_a_task_while_the_loop_sleeps() {
    let _watchdog = watchdog();
    let (parked, park) = mpsc::channel();
    let hook = move || parked.send(()).unwrap_or_default();
    let lp = EventLoop::builder().clock(Clock::monotonic()).on_park(hook).build().unwrap();
    let (sender, receiver) = oneshot::channel();
    let waker = thread::spawn(move || {
        park.recv().unwrap(); // the loop is about to sleep, or sleeps
        sender.send(5).unwrap();
    });
    let value = lp.run_until_complete(async move {
        let value = receiver.await.unwrap();
        Ok(value)
    });
    assert_eq!(value.unwrap(), 5);
    waker.join().unwrap();
}

#[test]
fn another_thread_wakes_a_task_between_two_runs() {
    let (lab, trace) = Lab::traced();
    let (sender, receiver) = oneshot::channel();
    let task = started(&lab, async move { Ok(receiver.await.unwrap()) });
    trace.take();
    thread::spawn(move || sender.send(5).unwrap()).join().unwrap();
    assert_eq!(lab.lp.run_until_complete(&task).unwrap(), 5);
    let told = ["queue task.wakeup", "step task", "task ok", "queue done callback"];
    assert_eq!(without_turns(trace.take()), told);
}

#[test]
fn a_wake_between_two_runs_from_the_loops_own_thread_is_queued_at_once() {
    let lab = Lab::reporting();
    let (sender, receiver) = oneshot::channel();
    let task = started(&lab, async move { Ok(receiver.await.unwrap()) });
    sender.send(6).unwrap();
    assert_eq!(lab.lp.snapshot().ready.len(), 1);
    assert_eq!((lab.lp.run_until_complete(&task).unwrap(), lab.lp.turns()), (6, 3));
}

#[test]
fn a_wake_during_its_own_step_is_one_more_step_in_the_next_turn() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let mut polls = 0;
        poll_fn(move |cx| {
            polls += 1;
            say!(log, "poll {polls}");
            // Twice, and through a clone: still one step.
            cx.waker().wake_by_ref();
            let clone = cx.waker().clone();
            clone.wake();
            if polls < 3 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        Ok(())
    });
    assert_eq!(lines, ["1 poll 1", "2 poll 2", "3 poll 3", "4 returned ()"]);
}

#[test]
fn two_wakes_before_a_step_are_one_step() {
    let lab = Lab::reporting();
    let (gate, log) = (Gate::default(), lab.log.clone());
    let waits = gate.clone();
    let task = started(&lab, async move {
        let inner = poll_fn(|cx| {
            log.say("poll");
            Pin::new(&mut Box::pin(waits.wait())).poll(cx)
        });
        inner.await;
        Ok(())
    });
    gate.waker().wake_by_ref();
    gate.waker().wake_by_ref();
    lab.turn();
    lab.turn();
    assert_eq!(lab.log.take(), ["1 poll", "2 poll"]);
    gate.open();
    lab.lp.run_until_complete(&task).unwrap();
    assert_eq!(lab.log.take(), ["4 poll"]);
}

#[test]
fn a_wake_after_the_loop_is_closed_or_gone_does_nothing() {
    let lab = Lab::reporting();
    let (gate, drops) = (Gate::default(), Rc::new(Cell::new(0)));
    let (waits, guard) = (gate.clone(), Guard(drops.clone()));
    let task = started(&lab, async move {
        let _guard = guard;
        waits.wait().await;
        if true {
            unreachable!("the loop is closed");
        }
        Ok(())
    });
    let wake_here_and_elsewhere = || {
        let waker = gate.waker();
        waker.wake_by_ref();
        thread::spawn(move || waker.wake()).join().unwrap();
    };
    lab.lp.close().unwrap();
    assert_eq!(drops.get(), 1);
    wake_here_and_elsewhere();
    assert!(lab.lp.snapshot().ready.is_empty());
    drop((lab, task));
    wake_here_and_elsewhere();
}

#[test]
fn a_waker_of_a_finished_task_does_not_wake_the_one_in_its_place() {
    let (lab, trace) = Lab::traced();
    let gate = Gate::default();
    let waits = gate.clone();
    let task = started(&lab, async move {
        waits.wait().await;
        Ok(())
    });
    let stale = gate.waker();
    gate.open();
    lab.lp.run_until_complete(&task).unwrap();
    let next = started(&lab, forever());
    trace.take();
    stale.wake();
    assert_eq!(without_turns(trace.take()), Vec::<String>::new());
    next.cancel();
}

#[test]
fn a_spurious_wake_loses_nothing() {
    let lab = Lab::reporting();
    let gate = Gate::default();
    let (waits, future) = (gate.clone(), lab.lp.create_future());
    let awaited = future.clone();
    let task = started(&lab, async move {
        // The gate has kept this task's waker, and goes on to use it.
        let mut waiting = Box::pin(waits.wait());
        poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await;
        awaited.await
    });
    for _ in 0..3 {
        gate.waker().wake_by_ref();
        lab.turn();
    }
    assert!(!task.done());
    // A cancel, too, finds it while a spurious step is queued; the result is before it.
    gate.waker().wake_by_ref();
    future.set_result(7).unwrap();
    assert_eq!(lab.lp.run_until_complete(&task).unwrap(), 7);
}

#[test]
fn a_cancel_finds_a_task_whose_spurious_step_is_queued() {
    let lab = Lab::reporting();
    let gate = Gate::default();
    let waits = gate.clone();
    let task = started(&lab, async move {
        let mut waiting = Box::pin(waits.wait());
        poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await;
        forever().await
    });
    gate.waker().wake_by_ref();
    assert!(task.cancel_msg("c"));
    assert_eq!(failure(lab.lp.run_until_complete(&task)), "Cancelled(c)");
    assert_eq!(lab.lp.turns(), 3);
}

#[test]
fn a_foreign_future_that_moves_to_another_task_wakes_that_one() {
    let lab = Lab::reporting();
    let (sender, receiver) = oneshot::channel::<u32>();
    let shared = Rc::new(RefCell::new(receiver));
    let poll_once = |receiver: Rc<RefCell<oneshot::Receiver<u32>>>| async move {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *receiver.borrow_mut()).poll(cx).is_pending())).await;
        forever().await
    };
    let first = started(&lab, poll_once(shared.clone()));
    let receiver = shared.clone();
    let second = started(&lab, async move {
        let value = poll_fn(|cx| Pin::new(&mut *receiver.borrow_mut()).poll(cx)).await;
        Ok(value.unwrap())
    });
    sender.send(8).unwrap();
    assert_eq!(lab.lp.run_until_complete(&second).unwrap(), 8);
    assert!(!first.done());
    first.cancel();
}

#[test]
fn a_cancel_waits_for_the_next_await_of_looplabs() {
    let (lab, trace) = Lab::traced();
    let (sender, receiver) = oneshot::channel();
    let log = lab.log.clone();
    let task = started(&lab, async move {
        say!(log, "received {}", receiver.await.unwrap());
        let thrown = yield_now().await;
        say!(log, "yield {}", failure(thrown.clone()));
        thrown
    });
    trace.take();
    assert!(task.cancel_msg("c"));
    lab.turn();
    assert_eq!(without_turns(trace.take()), ["cancel task"], "nothing can be thrown there");
    sender.send(1).unwrap();
    assert_eq!(failure(lab.lp.run_until_complete(&task)), "Cancelled(c)");
    assert_eq!(lab.log.take(), ["3 received 1", "4 yield Cancelled(c)"]);
}

#[test]
fn a_cancel_is_not_thrown_at_an_await_that_began_in_this_very_step() {
    let lab = Lab::reporting();
    let (sender, receiver) = oneshot::channel();
    let log = lab.log.clone();
    let task = started(&lab, async move {
        receiver.await.unwrap();
        // However often it is polled: only a suspension is a place for it.
        let mut never = Box::pin(forever());
        let twice = poll_fn(|cx| Poll::Ready([0, 1].map(|_| never.as_mut().poll(cx).is_pending()))).await;
        say!(log, "{twice:?}");
        let thrown = never.await;
        say!(log, "{}", failure(thrown.clone()));
        thrown
    });
    task.cancel_msg("c");
    sender.send(()).unwrap();
    assert_eq!(failure(lab.lp.run_until_complete(&task)), "Cancelled(c)");
    assert_eq!(lab.log.take(), ["2 [true, true]", "3 Cancelled(c)"]);
}

#[test]
fn a_cancel_that_no_await_took_still_wins_over_the_value() {
    let lab = Lab::reporting();
    let (sender, receiver) = oneshot::channel();
    let task = started(&lab, async move { Ok(receiver.await.unwrap()) });
    task.cancel_msg("c");
    sender.send(1).unwrap();
    assert_eq!(failure(lab.lp.run_until_complete(&task)), "Cancelled(c)");
    assert!(task.cancelled());
}

#[test]
fn uncancel_withdraws_a_cancel_that_waits_for_an_await() {
    let lab = Lab::reporting();
    let (sender, receiver) = oneshot::channel();
    let task = started(&lab, async move { Ok(receiver.await.unwrap()) });
    task.cancel();
    assert_eq!(task.uncancel(), 0);
    sender.send(1).unwrap();
    assert_eq!(lab.lp.run_until_complete(&task).unwrap(), 1);
}

#[test]
fn cancellable_delivers_at_once_and_drops_the_foreign_future() {
    let (lab, trace) = Lab::traced();
    let (sender, receiver) = oneshot::channel::<u32>();
    let log = lab.log.clone();
    let task = started(&lab, async move {
        let thrown = cancellable(receiver).await;
        say!(log, "thrown {}", show(thrown.as_ref().unwrap_err()));
        yield_now().await?;
        Ok(())
    });
    trace.take();
    assert!(!sender.is_canceled());
    assert!(task.cancel_msg("c") && task.cancel_msg("later"));
    lab.turn();
    assert!(sender.is_canceled(), "the receiver is dropped");
    lab.lp.run_until_complete(&task).unwrap();
    assert_eq!(lab.log.take(), ["2 thrown Cancelled(c)"]);
    let asked = ["cancel task", "cancellable#2 cancelled", "queue task.wakeup", "cancel task"];
    assert_eq!(without_turns(trace.take())[..4], asked);
}

#[test]
fn cancellable_passes_the_output_through() {
    let lab = Lab::reporting();
    let (sender, receiver) = oneshot::channel();
    let task = started(&lab, async move {
        // What is ready does not suspend.
        assert_eq!(cancellable(async { 1 }).await?, 1);
        Ok(cancellable(receiver).await?.unwrap())
    });
    sender.send(2).unwrap();
    assert_eq!((lab.lp.run_until_complete(&task).unwrap(), lab.lp.turns()), (2, 3));
}

#[test]
fn a_cancellable_that_is_done_is_not_waited_for_any_more() {
    let (lab, trace) = Lab::traced();
    let (sender, receiver) = oneshot::channel();
    let task = started(&lab, async move {
        let mut kept = cancellable(receiver);
        let received = (&mut kept).await;
        forever().await?;
        drop(kept);
        received.map(drop)
    });
    sender.send(1).unwrap();
    lab.turn();
    assert_eq!(trace.take().last().unwrap(), "task waits for future#3");
    task.cancel();
    assert_eq!(failure(lab.lp.run_until_complete(&task)), "Cancelled");
}

#[test]
fn an_output_that_comes_in_the_turn_of_the_cancel_is_lost() {
    let lab = Lab::reporting();
    let (sender, receiver) = oneshot::channel();
    let task = started(&lab, async move { Ok(cancellable(receiver).await?.unwrap()) });
    sender.send(2).unwrap();
    assert!(task.cancel());
    assert_eq!(failure(lab.lp.run_until_complete(&task)), "Cancelled");
}

#[test]
fn a_cancellable_that_is_dropped_takes_the_foreign_future_with_it() {
    let lab = Lab::reporting();
    let drops = Rc::new(Cell::new(0));
    let guard = Guard(drops.clone());
    let lines = lab.run(async move {
        let mut waiting = Box::pin(cancellable(async move {
            let _guard = guard;
            pending::<()>().await;
        }));
        poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await;
        drop(waiting);
        // Nothing of it counts as waited on any more.
        current_task().unwrap().cancel();
        yield_now().await
    });
    assert_eq!((drops.get(), lines), (1, vec!["3 raised Cancelled".to_owned()]));
}

#[test]
fn waiting_for_a_foreign_future_is_shown_as_such() {
    let (lab, trace) = Lab::traced();
    let (_sender, receiver) = oneshot::channel::<u32>();
    let task = started(&lab, async move { Ok(receiver.await.unwrap()) });
    assert_eq!(trace.take().last().map(String::as_str), Some("task waits for foreign#2"));
    assert!(lab.lp.snapshot().to_string().ends_with("task   waiting for foreign"));
    task.cancel();

    let untraced = Lab::reporting();
    drop(Task::builder().name("task").spawn_on(&untraced.lp, pending::<Result<()>>()));
    let error = untraced.lp.run_forever().unwrap_err().to_string();
    assert!(error.ends_with("; task waits for foreign"), "{error}");
}

#[test]
fn a_loop_that_no_waker_can_reach_any_more_is_deadlocked() {
    // Once a oneshot has kept the task's waker. It is gone since, so nothing is left that could wake the loop.
    let lab = Lab::reporting();
    let (sender, receiver) = oneshot::channel();
    let task = started(&lab, async move {
        receiver.await.unwrap();
        forever().await
    });
    sender.send(()).unwrap();
    let error = lab.lp.run_until_complete(&task).unwrap_err().to_string();
    assert!(error.starts_with("deadlock: ") && error.contains("task waits for future"), "{error}");
}

struct Counts(AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn any_executor_can_wait_for_a_future_of_looplabs() {
    let lab = Lab::reporting();
    let counts = Arc::new(Counts(AtomicUsize::new(0)));
    let waker = Waker::from(counts.clone());
    let mut cx = Context::from_waker(&waker);
    let future = lab.lp.create_future();
    let mut waiting = Box::pin((&future).into_future());
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    future.set_result(3).unwrap();
    assert_eq!(counts.0.load(Ordering::Relaxed), 1, "woken once, in the call");
    let Poll::Ready(Ok(3)) = waiting.as_mut().poll(&mut cx) else { panic!("it is set") };
}

#[test]
fn a_foreign_thread_that_is_woken_by_looplab_is_woken_in_the_call() {
    let _watchdog = watchdog();
    let lab = Lab::reporting_in_real_time();
    let (sender, receiver) = oneshot::channel::<u32>();
    let (answer, answered) = mpsc::channel();
    let thread = thread::spawn(move || {
        struct Unpark(thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut receiver = receiver;
        let value = loop {
            match Pin::new(&mut receiver).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => break value.unwrap(),
                Poll::Pending => thread::park(),
            }
        };
        answer.send(value).unwrap();
    });
    lab.run(async move {
        get_running_loop()?.call_soon(move || sender.send(9).unwrap())?;
        yield_now().await
    });
    assert_eq!(answered.recv().unwrap(), 9);
    thread.join().unwrap();
}
