//! Tasks, futures and done callbacks.

use crate::grows_with_the_number;
use looplab::{Error, Future, Result, Task, all_tasks, sleep};
use std::time::Duration;

const N: usize = 2_000;
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn tasks_of_one_turn() {
    grows_with_the_number(N, |lp, n| {
        let tasks = (0..n).map(|_| lp.create_task(async {})).collect::<Vec<Task<()>>>();
        lp.run_once()?;
        tasks.iter().try_for_each(Task::result)
    });
}

fn cancel_sleepers(newest_first: bool) {
    grows_with_the_number(N, move |lp, n| {
        let mut tasks = (0..n).map(|_| lp.create_task(async { sleep(HOUR).await })).collect::<Vec<_>>();
        lp.run_once()?;
        if newest_first {
            tasks.reverse();
        }
        for task in &tasks {
            task.cancel();
        }
        lp.run_once()?;
        assert!(tasks.iter().all(Task::cancelled));
        Ok(())
    });
}

#[test]
fn cancelling_sleepers_newest_first() {
    cancel_sleepers(true);
}

#[test]
fn cancelling_sleepers_oldest_first() {
    cancel_sleepers(false);
}

#[test]
fn all_tasks_with_their_names() {
    grows_with_the_number(N, |lp, n| {
        let kept = (0..n).map(|_| lp.create_task(std::future::pending::<Result<()>>())).collect::<Vec<_>>();
        lp.run_once()?;
        lp.run_until_complete(async move {
            assert_eq!(all_tasks().len(), n + 1);
            assert!(all_tasks().iter().all(|task| task.name().starts_with("Task-")));
            drop(kept);
            Ok::<(), Error>(())
        })
    });
}

#[test]
fn tasks_that_wait_on_one_future() {
    grows_with_the_number(N, |lp, n| {
        let future: Future<u32> = lp.create_future();
        for _ in 0..n {
            let future = future.clone();
            drop(lp.create_task(async move { future.await.map(drop) }));
        }
        lp.run_once()?;
        future.set_result(1)?;
        lp.run_once().map(drop)
    });
}

fn cancel_waiters_of_one_future(newest_first: bool) {
    grows_with_the_number(N, move |lp, n| {
        let future: Future<u32> = lp.create_future();
        let mut tasks = Vec::new();
        for _ in 0..n {
            let gate = lp.create_future::<()>();
            let shared = future.clone();
            // A shield leaves the shared future alone, so that each waiter is taken from its list.
            tasks.push(lp.create_task(async move {
                let _gate = gate;
                looplab::shield(&shared).await.map(drop)
            }));
        }
        lp.run_once()?;
        if newest_first {
            tasks.reverse();
        }
        for task in &tasks {
            task.cancel();
            lp.run_once()?;
        }
        Ok(())
    });
}

#[test]
fn cancelling_shields_of_one_future_newest_first() {
    cancel_waiters_of_one_future(true);
}

#[test]
fn cancelling_shields_of_one_future_oldest_first() {
    cancel_waiters_of_one_future(false);
}

fn remove_done_callbacks(newest_first: bool) {
    grows_with_the_number(N, move |lp, n| {
        let future: Future<u32> = lp.create_future();
        let mut ids = (0..n).map(|_| future.add_done_callback(|_| ())).collect::<Vec<_>>();
        if newest_first {
            ids.reverse();
        }
        for id in ids {
            assert_eq!(future.remove_done_callback(id), 1);
        }
        Ok(())
    });
}

#[test]
fn removing_done_callbacks_newest_first() {
    remove_done_callbacks(true);
}

#[test]
fn removing_done_callbacks_oldest_first() {
    remove_done_callbacks(false);
}

#[test]
fn done_callbacks_that_run() {
    grows_with_the_number(N, |lp, n| {
        let future: Future<u32> = lp.create_future();
        for _ in 0..n {
            future.add_done_callback(|_| ());
        }
        future.set_result(1)?;
        lp.run_once().map(drop)
    });
}

#[test]
fn a_chain_of_tasks_that_wait_for_each_other() {
    grows_with_the_number(N, |lp, n| {
        let mut last = lp.create_task(async {});
        for _ in 0..n {
            let inner = last;
            last = lp.create_task(async move { inner.await });
        }
        lp.run_until_complete(last)
    });
}

#[test]
fn cancelling_a_chain_of_tasks_that_wait_for_each_other() {
    grows_with_the_number(N, |lp, n| {
        let mut last = lp.create_task(async { sleep(HOUR).await });
        for _ in 0..n {
            let inner = last;
            last = lp.create_task(async move { inner.await });
        }
        lp.run_once()?;
        last.cancel();
        assert!(matches!(lp.run_until_complete(last), Err(Error::Cancelled(_))));
        Ok(())
    });
}
