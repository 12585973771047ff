//! `sync::Queue` and its relatives: no item is lost or given twice.

use crate::stage::{all_done, is_bound_to_its_first_loop, new_loop, plays, runs, say, turns, waits_for};
use looplab::sync::{LifoQueue, Queue};
use looplab::{Error, Result, Task, create_task};

async fn gets(queue: Queue<i32>, name: &'static str) -> Result<()> {
    match queue.get().await {
        Ok(item) => say(format!("{name} got {item}")),
        Err(Error::QueueShutDown) => say(format!("{name}: QueueShutDown")),
        Err(error) => {
            say(format!("{name} cancelled"));
            return Err(error);
        }
    }
    Ok(())
}

async fn puts(queue: Queue<i32>, item: i32) -> Result<()> {
    match queue.put(item).await {
        Ok(()) => say(format!("put {item}")),
        Err(Error::QueueShutDown) => say(format!("{item}: QueueShutDown")),
        Err(error) => {
            say(format!("{item} cancelled"));
            return Err(error);
        }
    }
    Ok(())
}

fn getter(queue: &Queue<i32>, name: &'static str) -> Task<()> {
    create_task(gets(queue.clone(), name))
}

fn putter(queue: &Queue<i32>, item: i32) -> Task<()> {
    create_task(puts(queue.clone(), item))
}

fn joiner(queue: &Queue<i32>) -> Task<()> {
    let queue = queue.clone();
    create_task(async move {
        queue.join().await?;
        say("joined");
        Ok(())
    })
}

fn of(maxsize: usize, items: &[i32]) -> Result<Queue<i32>> {
    let queue = Queue::new(maxsize);
    items.iter().try_for_each(|item| queue.put_nowait(*item))?;
    Ok(queue)
}

#[test]
fn an_item_stays_in_the_queue_until_the_woken_getter_runs() {
    let program = async {
        let queue = Queue::new(0);
        let (_a, b) = (getter(&queue, "a"), getter(&queue, "b"));
        turns(1).await?;
        queue.put_nowait(1)?;
        say(format!("size {}", queue.qsize()));
        turns(2).await?;
        say(format!("size {}", queue.qsize()));
        queue.put_nowait(2)?;
        b.await
    };
    plays(program, &["2 size 1", "3 a got 1", "4 size 0", "5 b got 2"]);
}

#[test]
fn a_woken_getter_that_finds_the_queue_empty_waits_again_at_the_end_of_the_line() {
    let program = async {
        let queue = Queue::new(0);
        let _ab = [getter(&queue, "a"), getter(&queue, "b")];
        turns(1).await?;
        queue.put_nowait(1)?;
        say(format!("main got {}", queue.get_nowait()?));
        turns(2).await?;
        for item in 2..4 {
            queue.put_nowait(item)?;
            turns(2).await?;
        }
        Ok(())
    };
    plays(program, &["2 main got 1", "5 b got 2", "7 a got 3"]);
}

#[test]
fn a_woken_putter_that_finds_the_queue_full_waits_again_at_the_end_of_the_line() {
    let program = async {
        let queue = of(1, &[0])?;
        let _tasks = [putter(&queue, 1), putter(&queue, 2)];
        turns(1).await?;
        say(format!("got {}", queue.get_nowait()?));
        queue.put_nowait(9)?;
        turns(2).await?;
        for _ in 0..2 {
            say(format!("got {}", queue.get_nowait()?));
            turns(2).await?;
        }
        say(format!("got {}", queue.get_nowait()?));
        Ok(())
    };
    plays(program, &["2 got 0", "4 got 9", "5 put 2", "6 got 2", "7 put 1", "8 got 1"]);
}

#[test]
fn a_newcomer_may_be_quicker_than_a_woken_putter() {
    let program = async {
        let queue = of(1, &[0])?;
        let a = putter(&queue, 1);
        turns(1).await?;
        say(queue.get_nowait()?);
        queue.put(9).await?;
        say("main put 9");
        turns(2).await?;
        say(a.done());
        Ok(())
    };
    plays(program, &["2 0", "2 main put 9", "4 false"]);
}

#[test]
fn a_getter_cancelled_after_being_woken_wakes_the_next() {
    let program = async {
        let queue = Queue::new(0);
        let (a, b) = (getter(&queue, "a"), getter(&queue, "b"));
        turns(1).await?;
        queue.put_nowait(1)?;
        a.cancel();
        say("put, a cancelled");
        turns(3).await?;
        say(format!("size {} b {}", queue.qsize(), b.done()));
        Ok(())
    };
    plays(program, &["2 put, a cancelled", "3 a cancelled", "4 b got 1", "5 size 0 b true"]);
}

#[test]
fn the_item_stays_in_the_queue_if_the_only_getter_is_cancelled_after_being_woken() {
    let program = async {
        let queue = Queue::new(0);
        let a = getter(&queue, "a");
        turns(1).await?;
        queue.put_nowait(1)?;
        a.cancel();
        turns(2).await?;
        say(format!("size {}", queue.qsize()));
        gets(queue, "main").await
    };
    plays(program, &["3 a cancelled", "4 size 1", "4 main got 1"]);
}

#[test]
fn a_putter_cancelled_after_being_woken_wakes_the_next() {
    let program = async {
        let queue = of(1, &[0])?;
        let (a, _b) = (putter(&queue, 1), putter(&queue, 2));
        turns(1).await?;
        say(format!("got {}", queue.get_nowait()?));
        a.cancel();
        say("a cancelled");
        turns(3).await?;
        say(format!("got {}", queue.get_nowait()?));
        Ok(())
    };
    plays(program, &["2 got 0", "2 a cancelled", "3 1 cancelled", "4 put 2", "5 got 2"]);
}

#[test]
fn a_cancelled_getter_or_putter_wakes_no_other_if_there_is_nothing_to_wake_for() {
    // A waiter that is woken for nothing loses its place in the line.
    let program = async {
        let queue = Queue::new(0);
        let [a, _b, _c] = ["a", "b", "c"].map(|name| getter(&queue, name));
        turns(1).await?;
        queue.put_nowait(1)?;
        say(queue.get_nowait()?);
        a.cancel();
        turns(3).await?;
        queue.put_nowait(2)?;
        queue.put_nowait(3)?;
        turns(2).await
    };
    plays(program, &["2 1", "3 a cancelled", "6 b got 2", "6 c got 3"]);
    let program = async {
        let queue = of(1, &[0])?;
        let [a, _b, _c] = [1, 2, 3].map(|item| putter(&queue, item));
        turns(1).await?;
        say(queue.get_nowait()?);
        queue.put_nowait(9)?;
        a.cancel();
        turns(3).await?;
        for _ in 0..3 {
            say(queue.get_nowait()?);
            turns(2).await?;
        }
        Ok(())
    };
    plays(program, &["2 0", "3 1 cancelled", "5 9", "6 put 2", "7 2", "8 put 3", "9 3"]);
}

#[test]
fn a_getter_or_putter_cancelled_before_being_woken_wakes_no_other() {
    // The item, or the room, is for the first in line. That one was woken, and has not run when the cancelled one does.
    let program = async {
        let queue = Queue::new(0);
        let [_a, b, _c, _d] = ["a", "b", "c", "d"].map(|name| getter(&queue, name));
        turns(1).await?;
        b.cancel();
        queue.put_nowait(1)?;
        turns(3).await?;
        queue.put_nowait(2)?;
        queue.put_nowait(3)?;
        turns(2).await
    };
    plays(program, &["3 b cancelled", "3 a got 1", "6 c got 2", "6 d got 3"]);
    let program = async {
        let queue = of(1, &[0])?;
        let [_a, b, _c, _d] = [1, 2, 3, 4].map(|item| putter(&queue, item));
        turns(1).await?;
        b.cancel();
        say(queue.get_nowait()?);
        turns(3).await?;
        for _ in 0..3 {
            say(queue.get_nowait()?);
            turns(2).await?;
        }
        Ok(())
    };
    plays(program, &["2 0", "3 2 cancelled", "3 put 1", "5 1", "6 put 3", "7 3", "8 put 4", "9 4"]);
}

#[test]
fn a_full_queue_an_empty_queue_and_too_many_task_done_are_errors() {
    let queue = Queue::new(1);
    assert!(matches!(queue.get_nowait(), Err(Error::QueueEmpty)));
    queue.put_nowait(1).unwrap();
    assert!(matches!(queue.put_nowait(2), Err(Error::QueueFull)));
    queue.task_done().unwrap();
    match queue.task_done() {
        Err(Error::Value(text)) => assert_eq!(&*text, "task_done() called too many times"),
        other => panic!("{other:?}"),
    }
    let names = [Error::QueueEmpty, Error::QueueFull, Error::QueueShutDown].map(|error| error.to_string());
    assert_eq!(names, ["QueueEmpty", "QueueFull", "QueueShutDown"]);
}

#[test]
fn a_queue_without_a_limit_is_never_full() {
    let queue = Queue::new(0);
    (0..1000).for_each(|item| queue.put_nowait(item).unwrap());
    assert!(!queue.full() && !queue.empty());
    assert_eq!((queue.qsize(), queue.maxsize()), (1000, 0));
}

#[test]
fn join_returns_when_all_that_was_put_is_done() {
    let program = async {
        let queue = Queue::new(0);
        say("joins");
        queue.join().await?;
        say("joined empty");
        queue.put_nowait(1)?;
        queue.put_nowait(2)?;
        let task = joiner(&queue);
        turns(1).await?;
        queue.get_nowait()?;
        queue.task_done()?;
        turns(2).await?;
        say("one done");
        queue.task_done()?;
        say("two done");
        task.await
    };
    plays(program, &["1 joins", "1 joined empty", "4 one done", "4 two done", "5 joined"]);
}

#[test]
fn what_is_put_right_after_the_last_was_done_does_not_hold_a_join_up() {
    let program = async {
        let queue = of(0, &[1])?;
        let task = joiner(&queue);
        turns(1).await?;
        queue.task_done()?;
        queue.put_nowait(2)?;
        say("done and put again");
        task.await
    };
    plays(program, &["2 done and put again", "3 joined"]);
}

#[test]
fn after_shutdown_puts_raise_at_once_and_gets_drain_then_raise() {
    let program = async {
        let queue = of(2, &[1, 2])?;
        let _three = putter(&queue, 3);
        turns(1).await?;
        queue.shutdown(false);
        say("shut down");
        turns(2).await?;
        say(queue.put_nowait(4).unwrap_err());
        for _ in 0..3 {
            match queue.get_nowait() {
                Ok(item) => say(item),
                Err(error) => say(error),
            }
        }
        puts(queue.clone(), 5).await?;
        gets(queue.clone(), "main").await?;
        say(format!("{queue:?}"));
        Ok(())
    };
    plays(
        program,
        &[
            "2 shut down",
            "3 3: QueueShutDown",
            "4 QueueShutDown",
            "4 1",
            "4 2",
            "4 QueueShutDown",
            "4 5: QueueShutDown",
            "4 main: QueueShutDown",
            "4 <Queue maxsize=2 qsize=0 tasks=2 shutdown>",
        ],
    );
}

#[test]
fn shutdown_wakes_blocked_callers_and_they_check_again() {
    let program = async {
        let queue = Queue::new(0);
        let mut tasks = vec![getter(&queue, "a"), getter(&queue, "b")];
        turns(1).await?;
        queue.put_nowait(1)?;
        queue.shutdown(false);
        say("put and shut down");
        all_done(std::mem::take(&mut tasks)).await
    };
    plays(program, &["2 put and shut down", "3 a got 1", "3 b: QueueShutDown"]);
}

#[test]
fn an_immediate_shutdown_drains_counts_the_items_as_done_and_releases_join() {
    let program = async {
        let queue = of(0, &[1, 2])?;
        let task = joiner(&queue);
        turns(1).await?;
        queue.shutdown(true);
        say(format!("{queue:?}"));
        gets(queue, "main").await?;
        task.await
    };
    plays(program, &["2 <Queue maxsize=0 qsize=0 shutdown>", "2 main: QueueShutDown", "3 joined"]);
}

#[test]
fn an_immediate_shutdown_leaves_join_waiting_for_what_was_taken_out_and_is_not_done() {
    let program = async {
        let queue = of(0, &[1, 2])?;
        queue.get_nowait()?;
        let task = joiner(&queue);
        turns(1).await?;
        queue.shutdown(true);
        turns(2).await?;
        say(format!("{queue:?} joined {}", task.done()));
        queue.task_done()?;
        task.await
    };
    plays(program, &["4 <Queue maxsize=0 qsize=0 tasks=1 shutdown> joined false", "5 joined"]);
}

#[test]
fn a_queue_is_bound_to_the_loop_of_its_first_blocking_use() {
    let queue = Queue::new(1);
    for item in 0..2 {
        new_loop().run_until_complete(queue.put(item)).unwrap();
        assert_eq!(new_loop().run_until_complete(queue.get()).unwrap(), item);
    }
    is_bound_to_its_first_loop("<Queue maxsize=1 qsize=0 _getters[1] tasks=2>", move || {
        let queue = queue.clone();
        async move { queue.get().await.map(drop) }
    });
    let queue = LifoQueue::new(1);
    queue.put_nowait(0).unwrap();
    is_bound_to_its_first_loop("<LifoQueue maxsize=1 qsize=1 _putters[1] tasks=1>", move || queue.put(1));
    let queue = Queue::new(1);
    queue.put_nowait(0).unwrap();
    is_bound_to_its_first_loop("<Event [unset, waiters:1]>", move || queue.join());
}

#[test]
fn a_get_or_put_that_is_dropped_after_being_woken_wakes_the_next() {
    let program = async {
        let queue = Queue::new(1);
        let mut get = Box::pin(queue.get());
        assert!(futures::poll!(&mut get).is_pending());
        let _b = getter(&queue, "b");
        turns(1).await?;
        queue.put_nowait(1)?;
        say(format!("{queue:?}"));
        drop(get);
        say(format!("{queue:?}"));
        turns(1).await?;
        queue.put_nowait(2)?;
        let mut put = Box::pin(queue.put(3));
        assert!(futures::poll!(&mut put).is_pending());
        let _four = putter(&queue, 4);
        turns(1).await?;
        say(format!("got {}", queue.get_nowait()?));
        drop(put);
        turns(1).await?;
        say(format!("got {}", queue.get_nowait()?));
        Ok(())
    };
    plays(
        program,
        &[
            "2 <Queue maxsize=1 qsize=1 _getters[1] tasks=1>",
            "2 <Queue maxsize=1 qsize=1 tasks=1>",
            "3 b got 1",
            "4 got 2",
            "5 put 4",
            "5 got 4",
        ],
    );
}

#[test]
fn a_snapshot_shows_the_waiters_of_a_queue_and_for_what_they_wait() {
    runs(async {
        let (empty, full) = (Queue::<i32>::new(0), of(1, &[1])?);
        let named = |name: &str| Task::builder().name(name);
        named("getter").spawn(async move { empty.get().await });
        named("putter").spawn(full.put(2));
        named("joiner").spawn(full.join());
        turns(1).await?;
        let kinds = ["getter", "putter", "joiner"].map(waits_for);
        assert_eq!(kinds, [["queue.get"], ["queue.put"], ["queue.join"]]);
        Ok(())
    });
}
