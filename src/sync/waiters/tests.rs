//! What a line costs, counted in waiters that are looked at: never by the clock.

use crate::sync::{Condition, Event, Lock, Queue, Semaphore};
use crate::{EventLoop, Result, Task, create_task, yield_now};
use std::cell::Cell;

thread_local! { pub(super) static LOOKS: Cell<usize> = const { Cell::new(0) } }

/// Asserts that ten times as many waiters cost about ten times as many looks, not a hundred times.
#[track_caller]
fn is_not_quadratic<F>(program: impl Fn(usize) -> F)
where
    F: Future<Output = Result<()>> + 'static,
{
    let looks = |n| {
        LOOKS.set(0);
        EventLoop::new().and_then(|lp| lp.run_until_complete(program(n))).unwrap();
        LOOKS.get()
    };
    let (few, many) = (looks(100), looks(1_000));
    assert!(few >= 100 && many < 20 * few, "100 waiters cost {few} looks, 1,000 cost {many}");
}

/// `n` tasks that wait.
async fn waiting<F>(n: usize, wait: impl Fn() -> F) -> Result<Vec<Task<F::Output>>>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let tasks = (0..n).map(|_| wait()).map(|wait| create_task(async { Ok(wait.await) })).collect();
    yield_now().await?;
    Ok(tasks)
}

async fn all_done<T: 'static>(tasks: Vec<Task<T>>) -> Result<()> {
    while !tasks.iter().all(Task::done) {
        yield_now().await?;
    }
    Ok(())
}

async fn cancels_last_first<F>(n: usize, wait: impl Fn() -> F) -> Result<()>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let tasks = waiting(n, wait).await?;
    for task in tasks.iter().rev() {
        task.cancel();
    }
    all_done(tasks).await
}

#[test]
fn n_releases_of_a_semaphore_with_n_waiters_are_not_quadratic() {
    is_not_quadratic(|n| async move {
        let gate = Semaphore::new(0);
        let tasks = waiting(n, || gate.acquire()).await?;
        (0..n).for_each(|_| gate.release());
        all_done(tasks).await
    });
}

#[test]
fn n_notifications_of_n_waiters_are_not_quadratic() {
    is_not_quadratic(|n| async move {
        let changed = Condition::new();
        let waits = || {
            let changed = changed.clone();
            async move {
                let _guard = changed.lock().await?;
                changed.wait().await
            }
        };
        let tasks = waiting(n, waits).await?;
        {
            let _guard = changed.lock().await?;
            (0..n).try_for_each(|_| changed.notify(1))?;
        }
        all_done(tasks).await
    });
}

#[test]
fn cancelling_n_waiters_last_first_is_not_quadratic() {
    is_not_quadratic(|n| async move {
        let event = Event::new();
        cancels_last_first(n, || event.wait()).await
    });
    is_not_quadratic(|n| async move {
        let lock = Lock::new();
        lock.acquire().await?;
        cancels_last_first(n, || lock.acquire()).await
    });
    is_not_quadratic(|n| async move {
        let gate = Semaphore::new(0);
        cancels_last_first(n, || gate.acquire()).await
    });
    is_not_quadratic(|n| async move {
        let queue = Queue::<u8>::new(0);
        cancels_last_first(n, || queue.get()).await
    });
}

#[test]
fn n_putters_of_a_full_queue_are_not_quadratic() {
    is_not_quadratic(|n| async move {
        let queue = Queue::new(1);
        queue.put_nowait(0)?;
        let tasks = waiting(n, || queue.put(1)).await?;
        for _ in 0..=n {
            queue.get().await?;
        }
        all_done(tasks).await
    });
}

#[test]
fn asking_n_times_whether_n_cancelled_waiters_come_first_is_not_quadratic() {
    is_not_quadratic(|n| async move {
        let gate = Semaphore::new(0);
        let tasks = waiting(n, || gate.acquire()).await?;
        for task in &tasks {
            task.cancel();
        }
        gate.release();
        assert!((0..n).all(|_| !gate.locked()));
        all_done(tasks).await
    });
}
