//! Tasks: what a step costs in turns, the handles, which task is current, and how they are run.
//!
//! The hop table is in docs/anatomy.md. The arrows are those of `src/task/cell.rs`. Running to the end is in
//! `tasks/running.rs`, cancellation in `cancellation.rs`, reports in `reports.rs`.

mod running;

use looplab::{
    Error, EventLoop, ExceptionContext, Result, ReturnWhen, Task, TaskRef, all_tasks, create_task,
    current_task,
};
use looplab::{TaskGroup, gather, get_running_loop, sleep, wait, yield_now};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread;
use support::{Guard, Holds, Lab, OnDrop, failure, forever, ms, say};

/// How many turns `run_until_complete` takes for `body` on a new loop.
fn turns<T: 'static>(body: impl Future<Output = Result<T>> + 'static) -> u64 {
    let lab = Lab::reporting();
    let _ = lab.lp.run_until_complete(body);
    lab.lp.turns()
}

#[test]
fn the_hop_table() {
    async fn yes() -> Result<()> {
        Ok(())
    }
    assert_eq!(turns(async { Ok(()) }), 2, "a body that returns at once");
    assert_eq!(turns(async { Err::<(), _>(Error::msg("x")) }), 2, "one that fails at once");
    assert_eq!(turns(yield_now()), 3, "sleep(0)");
    assert_eq!(turns(sleep(ms(0))), 3, "sleep(0), in its own words");
    assert_eq!(turns(async { create_task(async { Ok(()) }).await }), 4, "a child that returns at once");
    assert_eq!(turns(async { create_task(yield_now()).await }), 5, "a child that yields once");
    assert_eq!(turns(sleep(ms(5))), 2 + 2, "sleep(d)");
    assert_eq!(turns(async { create_task(async {}).into_output().await }), 4, "into_output");
    let gathering = async { gather([yes(), yes()]).await };
    assert_eq!(turns(gathering), 2 + 3, "gather of two that return at once");
    let of_done = async {
        let future = get_running_loop()?.create_future();
        future.set_result(1)?;
        (&future).await?;
        wait([future], ReturnWhen::AllCompleted, None).await.map(drop)
    };
    assert_eq!(turns(of_done), 2 + 2, "wait([done]); awaiting the done one takes none");
    let set_by_a_callback = async {
        let lp = get_running_loop()?;
        let future = lp.create_future();
        let setter = future.clone();
        lp.call_soon(move || setter.set_result(1))?;
        future.await
    };
    assert_eq!(turns(set_by_a_callback), 4, "a future that a callback sets");
    assert_eq!(turns(async { Err::<(), _>(Error::KeyboardInterrupt) }), 1, "KeyboardInterrupt");
    assert_eq!(turns(async { Err::<(), _>(Error::Exit(3)) }), 1, "Exit");
}

#[test]
fn awaiting_a_child_takes_these_turns() {
    // arrows 1, 2, 4, 5, 3
    let (lab, trace) = Lab::traced();
    let main = Task::builder().name("main").prepare(async {
        let child = Task::builder().name("child").spawn(async { yield_now().await });
        child.await
    });
    lab.lp.run_until_complete(main).unwrap();
    let first = ["new main", "queue main.step", "turn 1", "step main", "new child", "queue child.step"];
    let second = ["main waits for child", "turn 2", "step child", "queue child.step"]; // arrow 4'
    let third = ["turn 3", "step child", "child ok", "queue main.wakeup"];
    let fourth = ["turn 4", "step main", "main ok", "queue done callback", "turn 5"];
    assert_eq!(trace.take(), [&first[..], &second, &third, &fourth].concat());
}

#[test]
fn tasks_are_numbered_names_unless_they_are_given_one() {
    // The numbers count on each thread, so a thread of its own begins with 1.
    let counted = thread::spawn(|| {
        let lp = EventLoop::new().unwrap();
        let first = lp.create_task(forever());
        let named = Task::builder().name("named").spawn_on(&lp, forever());
        // A named task takes no number, and another loop begins no new count: both as in CPython.
        let other = EventLoop::new().unwrap();
        let second = other.create_task(forever());
        assert_eq!((&*first.name(), &*named.name(), &*second.name()), ("Task-1", "named", "Task-2"));
        for lp in [lp, other] {
            lp.set_exception_handler(Some(|_: &EventLoop, _: &ExceptionContext| ()));
        }
    });
    counted.join().unwrap();
}

#[test]
fn a_name_can_be_changed_through_any_handle() {
    let lab = Lab::reporting();
    let task = Task::builder().name("before").spawn_on(&lab.lp, forever());
    task.to_ref().set_name(format!("after {}", 1));
    assert_eq!(&*task.name(), "after 1");
    task.set_name("again");
    assert_eq!((&*task.to_ref().name(), &*lab.lp.all_tasks()[0].name()), ("again", "again"));
}

#[test]
fn handles_of_one_task_are_equal_and_of_two_are_not() {
    let lab = Lab::reporting();
    let (one, other) = (lab.lp.create_task(async { Ok(1) }), lab.lp.create_task(async { Ok(1) }));
    assert!(one == one.clone() && one != other);
    assert!(one.to_ref() == one.clone().to_ref() && one.to_ref() != other.to_ref());
    assert!(one.id() < other.id() && one.id() == one.to_ref().id());
    assert!(one.event_loop().is_some_and(|lp| lp == lab.lp));
}

#[test]
fn an_untyped_handle_knows_its_type_again() {
    let lab = Lab::reporting();
    let task = lab.lp.create_task(async { Ok(5_u8) });
    let untyped = task.to_ref();
    assert!(untyped.downcast::<u16>().is_none() && untyped.downcast::<()>().is_none());
    let same: Task<u8> = untyped.downcast().unwrap();
    assert!(same == task);
    assert_eq!(lab.lp.run_until_complete(same).unwrap(), 5);
}

#[test]
fn a_task_shows_its_state_its_name_and_where_it_was_made() {
    let lab = Lab::reporting();
    let make = |outcome: Result<()>| Task::builder().name("t").spawn_on(&lab.lp, async move { outcome });
    let line = line!() - 1;
    let tasks = [make(Ok(())), make(Err(Error::msg("x"))), make(Err(Error::cancelled()))];
    let shown = |task: &Task<()>, state| {
        assert_eq!(format!("{task:?}"), format!("<Task {state} name='t' created at {}:{line}>", file!()));
        assert_eq!(format!("{task:?}"), format!("{:?}", task.to_ref()));
        assert_eq!((task.spawned_at().file(), task.spawned_at().line()), (file!(), line));
    };
    tasks.iter().for_each(|task| shown(task, "pending"));
    lab.turn();
    for (task, state) in tasks.iter().zip(["finished", "finished", "cancelled"]) {
        shown(task, state);
        let _ = task.error();
    }
}

#[test]
fn dropping_every_handle_does_not_cancel() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let said = log.clone();
        drop(create_task(async move {
            sleep(ms(5)).await?;
            said.say("still there");
            Ok(())
        }));
        sleep(ms(10)).await
    });
    assert_eq!(lines[0], "4 still there");
}

#[test]
fn all_tasks_are_those_not_done_in_order_of_creation() {
    let lab = Lab::reporting();
    let name = |task: &TaskRef| task.name().to_string();
    let spawn = |name: &str| Task::builder().name(name).spawn_on(&lab.lp, forever());
    let tasks: Vec<_> = ["e", "d", "c", "b", "a"].map(spawn).into();
    let names = |lp: &EventLoop| lp.all_tasks().iter().map(name).collect::<String>();
    assert_eq!(names(&lab.lp), "edcba");
    assert!(all_tasks().is_empty(), "no loop runs");
    lab.turn();
    tasks[1].cancel();
    tasks[3].cancel();
    lab.turn();
    // The new ones take the places of the old in memory, but not in the order.
    spawn("y");
    spawn("z");
    assert_eq!(names(&lab.lp), "ecayz");
    lab.run(async move {
        let mut all = all_tasks();
        assert!(all.pop() == current_task());
        assert_eq!(all.iter().map(name).collect::<String>(), "ecayz");
        assert!(get_running_loop()?.all_tasks()[..5] == all);
        Ok(())
    });
}

#[test]
fn the_current_task_is_the_one_in_its_step() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let current = || current_task().map_or_else(|| "none".to_owned(), |task| task.name().to_string());
        let body = |log: support::Log| async move {
            log.say(current());
            yield_now().await?;
            log.say(current());
            Ok(())
        };
        let child = |name| Task::builder().name(name).spawn(body(log.clone()));
        let (a, b, said) = (child("A"), child("B"), log.clone());
        get_running_loop()?.call_soon(move || say!(said, "callback {}", current()))?;
        a.add_done_callback(move |_| say!(log, "done callback {}", current()));
        gather([a, b]).await.map(drop)
    });
    let told = ["2 A", "2 B", "2 callback none", "3 A", "3 B", "4 done callback none", "6 returned ()"];
    assert_eq!(lines, told);
    assert!(current_task().is_none());
}

#[test]
fn a_body_is_dropped_while_its_task_is_current_and_before_it_is_done() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let said = log.clone();
        let goodbye = OnDrop(move || {
            let me = current_task().unwrap();
            say!(said, "destructor of {} {}", me.name(), me.done());
        });
        let task = Task::builder().name("A").spawn(Holds::new(goodbye));
        task.add_done_callback(move |_| log.say("callback"));
        task.await
    });
    assert_eq!(lines, ["3 destructor of A false", "4 callback", "5 returned ()"]);
}

#[test]
fn a_destructor_that_cancels_its_own_task_takes_the_result_away() {
    // As `finally: current_task().cancel()` does behind a `return`.
    let lab = Lab::reporting();
    let lines = lab.run(async {
        create_task(Holds::new(OnDrop(|| assert!(current_task().unwrap().cancel_msg("z"))))).await
    });
    assert_eq!(lines, ["5 raised Cancelled(z)"]);
}

#[test]
fn a_done_callback_gets_the_task_and_may_come_late() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let task = create_task(async { Ok(5) });
        (&task).await?;
        let (same, said) = (task.clone(), log.clone());
        let removed = task.to_ref().add_done_callback(move |done| {
            assert!(*done == same.to_ref());
            say!(said, "untyped {}", done.done());
        });
        assert_eq!(task.remove_done_callback(removed), 0, "it is queued already");
        let said = log.clone();
        task.add_done_callback(move |task| say!(said, "typed {}", task.result().unwrap()));
        log.say("registered");
        yield_now().await
    });
    assert_eq!(lines, ["3 registered", "4 untyped true", "4 typed 5", "5 returned ()"]);
}

#[test]
fn a_done_callback_can_be_removed_before() {
    let lab = Lab::reporting();
    let task = lab.lp.create_task(async {});
    let drops = Rc::new(Cell::new(0));
    let guard = Guard(drops.clone());
    let id = task.add_done_callback(move |_| drop(guard));
    assert_eq!((task.to_ref().remove_done_callback(id), drops.get()), (1, 1));
    assert_eq!(task.remove_done_callback(id), 0);
    lab.lp.run_until_complete(&task).unwrap();
}

/// Cannot be cloned, and is counted.
struct Unique(Guard);

#[test]
fn into_output_takes_a_value_that_cannot_be_cloned() {
    let lab = Lab::reporting();
    let drops = Rc::new(Cell::new(0));
    let guard = Guard(drops.clone());
    let task = lab.lp.create_task(async { Ok(Unique(guard)) });
    let (other, untyped) = (task.clone(), task.to_ref());
    let unique = lab.lp.run_until_complete(task.into_output()).unwrap();
    assert_eq!(drops.get(), 0);
    assert!(other.done() && !other.cancelled());
    let again = lab.lp.run_until_complete(other.clone().into_output());
    assert!(matches!(again, Err(Error::InvalidState("the result was taken by into_output"))));
    // A handle that does not know the value's type sees that the task returned one.
    assert!(untyped.error().unwrap().is_none());
    lab.lp.run_until_complete(untyped).unwrap();
    drop(unique.0);
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_result_is_an_invalid_state_after_into_output() {
    let lab = Lab::reporting();
    let task = lab.lp.create_task(async { Ok(1) });
    assert_eq!(failure(task.result()), "Result is not set.");
    assert_eq!(failure(task.error()), "Exception is not set.");
    assert_eq!(lab.lp.run_until_complete(task.clone().into_output()).unwrap(), 1);
    assert_eq!(failure(task.result()), "the result was taken by into_output");
    assert_eq!(failure(lab.lp.run_until_complete(&task)), "the result was taken by into_output");
}

#[test]
fn a_task_made_without_a_running_loop_has_failed_already() {
    let drops = Rc::new(Cell::new(0));
    let guard = Guard(drops.clone());
    let task = create_task(async move {
        let _guard = guard;
        Ok(1)
    });
    assert!(task.done() && !task.cancelled() && task.event_loop().is_none());
    assert_eq!((failure(task.result()), drops.get()), ("no running event loop".to_owned(), 1));
    // Wherever it is awaited or run, it says the same, and suspends no task.
    let lab = Lab::reporting();
    assert_eq!(failure(lab.lp.run_until_complete(&task)), "no running event loop");
    let awaited = task.clone();
    assert_eq!(failure(lab.lp.run_until_complete(async move { awaited.await })), "no running event loop");
    assert_eq!(lab.lp.turns(), 2);
    assert_eq!(
        failure(lab.lp.run_until_complete(async move { gather([task]).await })),
        "no running event loop"
    );
}

#[test]
fn a_task_that_cannot_be_made_is_reported_by_the_running_loop_unless_its_failure_is_read() {
    let lab = Lab::reporting();
    let closed = Lab::reporting().lp.clone();
    closed.close().unwrap();
    let lines = lab.run(async move {
        drop(closed.create_task(forever()));
        assert_eq!(failure(closed.create_task(forever()).await), "Event loop is closed");
        let group = TaskGroup::scope(async |group| Ok(group)).await?;
        Task::builder().name("late").spawn_in(&group, forever());
        Ok(())
    });
    let closed = "1 REPORT Task exception was never retrieved";
    assert!(lines[0].starts_with(closed) && lines[0].ends_with("Event loop is closed"), "{lines:?}");
    let late =
        "1 REPORT Task exception was never retrieved (late): TaskGroup <TaskGroup entered> is finished";
    assert_eq!(lines[1..], [late, "2 returned ()"]);
}

#[test]
fn a_closed_loop_takes_no_task() {
    let lab = Lab::reporting();
    lab.lp.close().unwrap();
    let drops = Rc::new(Cell::new(0));
    let guards = [0, 1].map(|_| Guard(drops.clone()));
    let [one, two] = guards;
    let body = |guard| async move { drop(guard) };
    assert_eq!(failure(lab.lp.create_task(body(one)).result()), "Event loop is closed");
    assert_eq!(failure(Task::builder().spawn_on(&lab.lp, body(two)).result()), "Event loop is closed");
    assert_eq!(drops.get(), 2);
    assert_eq!(failure(lab.lp.run_until_complete(async { Ok(()) })), "Event loop is closed");
    assert!(lab.lp.all_tasks().is_empty());
}

#[test]
fn tasks_begin_in_the_order_of_their_creation_whatever_creates_them() {
    let lab = Lab::reporting();
    let order: Rc<RefCell<Vec<u32>>> = Rc::default();
    let note = |n: u32| {
        let order = order.clone();
        async move {
            order.borrow_mut().push(n);
            Ok(())
        }
    };
    lab.lp.create_task(note(1));
    let (two, three) = (note(2), note(3));
    lab.lp.call_soon(move || drop(create_task(two))).unwrap();
    lab.lp.create_task(three);
    lab.turn();
    assert_eq!(*order.borrow(), [1, 3]);
    lab.turn();
    assert_eq!(*order.borrow(), [1, 3, 2]);
}

#[test]
fn a_task_that_awaited_itself_can_be_awaited_as_any_other() -> Result<()> {
    let lab = Lab::reporting();
    let value = lab.lp.run_until_complete(async {
        let itself = create_task(async {
            let me = current_task().expect("a task").downcast::<&str>().expect("it gives a &str");
            let refused = me.await.expect_err("nobody can wait for himself");
            assert!(refused.to_string().starts_with("Task cannot await on itself"), "{refused}");
            yield_now().await?;
            Ok("all the same")
        });
        yield_now().await?;
        itself.await
    })?;
    assert_eq!(value, "all the same");
    Ok(())
}
