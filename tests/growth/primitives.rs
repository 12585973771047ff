//! Waiters of the primitives of `sync`: all of them wake, or all of them are cancelled, from either end.

use crate::grows_with_the_number;
use looplab::sync::{Barrier, Condition, Event, Lock, Queue, Semaphore};
use looplab::{Error, EventLoop, Result, Task};

const N: usize = 1_000;

/// How the waiters leave.
enum Leave {
    Woken,
    CancelledNewestFirst,
    CancelledOldestFirst,
}

/// Tasks that wait, and what wakes them all.
type Waiters = (Vec<Task<()>>, Box<dyn FnOnce() -> Result<()>>);

fn leave(waiters: impl Fn(&EventLoop, usize) -> Result<Waiters>) {
    for how in [Leave::Woken, Leave::CancelledNewestFirst, Leave::CancelledOldestFirst] {
        grows_with_the_number(N, |lp, n| {
            let (mut tasks, wake) = waiters(lp, n)?;
            lp.run_once()?;
            match how {
                Leave::Woken => wake()?,
                Leave::CancelledNewestFirst => assert!(tasks.iter().rev().all(Task::cancel)),
                Leave::CancelledOldestFirst => assert!(tasks.iter().all(Task::cancel)),
            }
            // A lock is handed on from waiter to waiter, one a turn.
            let mut turns = 0;
            while let Some(last) = tasks.last() {
                if last.done() {
                    tasks.pop();
                    continue;
                }
                lp.run_once()?;
                turns += 1;
                assert!(turns <= 4 * n + 10, "the waiters never leave");
            }
            Ok(())
        });
    }
}

fn spawn<F>(lp: &EventLoop, n: usize, body: impl Fn() -> F) -> Vec<Task<()>>
where
    F: Future<Output = Result<()>> + 'static,
{
    (0..n).map(|_| lp.create_task(body())).collect()
}

#[test]
fn waiters_of_an_event() {
    leave(|lp, n| {
        let event = Event::new();
        let tasks = spawn(lp, n, || event.wait());
        Ok((
            tasks,
            Box::new(move || {
                event.set();
                Ok(())
            }),
        ))
    });
}

#[test]
fn waiters_of_a_lock() {
    leave(|lp, n| {
        let lock = Lock::new();
        let holder = lock.clone();
        lp.run_until_complete(async move { holder.acquire().await })?;
        let tasks = spawn(lp, n, || {
            let lock = lock.clone();
            async move { lock.lock().await.map(drop) }
        });
        Ok((tasks, Box::new(move || lock.release())))
    });
}

#[test]
fn waiters_of_a_semaphore() {
    leave(|lp, n| {
        let semaphore = Semaphore::new(0);
        let tasks = spawn(lp, n, || semaphore.acquire());
        Ok((
            tasks,
            Box::new(move || {
                (0..n).for_each(|_| semaphore.release());
                Ok(())
            }),
        ))
    });
}

#[test]
fn waiters_of_a_condition() {
    leave(|lp, n| {
        let condition = Condition::new();
        let tasks = spawn(lp, n, || {
            let condition = condition.clone();
            async move {
                let _guard = condition.lock().await?;
                condition.wait().await
            }
        });
        // Each waits in a turn of its own, when the one before has given the lock back.
        while condition.locked() || !lp.snapshot().ready.is_empty() {
            lp.run_once()?;
        }
        let lp = lp.clone();
        Ok((
            tasks,
            Box::new(move || {
                lp.run_until_complete(async move {
                    let _guard = condition.lock().await?;
                    condition.notify_all()
                })
            }),
        ))
    });
}

#[test]
fn waiters_of_a_barrier() {
    leave(|lp, n| {
        let barrier = Barrier::new(n + 1)?;
        let tasks = spawn(lp, n, || {
            let barrier = barrier.clone();
            async move { barrier.wait().await.map(drop) }
        });
        let lp = lp.clone();
        Ok((tasks, Box::new(move || lp.run_until_complete(async move { barrier.wait().await.map(drop) }))))
    });
}

#[test]
fn waiters_of_a_queue_that_is_empty() {
    leave(|lp, n| {
        let queue: Queue<usize> = Queue::new(0);
        let tasks = spawn(lp, n, || {
            let queue = queue.clone();
            async move { queue.get().await.map(drop) }
        });
        Ok((tasks, Box::new(move || (0..n).try_for_each(|i| queue.put_nowait(i)))))
    });
}

#[test]
fn waiters_of_a_queue_that_is_full() {
    leave(|lp, n| {
        let queue: Queue<usize> = Queue::new(1);
        queue.put_nowait(0)?;
        let tasks = spawn(lp, n, || queue.put(1));
        let lp = lp.clone();
        Ok((
            tasks,
            Box::new(move || {
                lp.run_until_complete(async move {
                    for _ in 0..n {
                        queue.get().await?;
                    }
                    Ok::<(), Error>(())
                })
            }),
        ))
    });
}
