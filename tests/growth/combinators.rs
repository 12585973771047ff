//! What combines tasks and futures.

use crate::grows_with_the_number;
use looplab::{
    Error, EventLoop, Future, Result, ReturnWhen, TaskGroup, as_completed, gather, shield, sleep, timeout,
    wait, wait_for,
};
use std::time::Duration;

const N: usize = 1_000;
const HOUR: Duration = Duration::from_secs(3600);

fn futures(lp: &EventLoop, n: usize) -> Vec<Future<usize>> {
    (0..n).map(|_| lp.create_future()).collect()
}

/// Completes the futures in an order that no list is made for: the later half backwards, then the earlier half.
fn complete(futures: &[Future<usize>]) -> Result<()> {
    let (earlier, later) = futures.split_at(futures.len() / 2);
    for (i, future) in later.iter().rev().chain(earlier).enumerate() {
        future.set_result(i)?;
    }
    Ok(())
}

#[test]
fn gather_of_many() {
    grows_with_the_number(N, |lp, n| {
        let children = futures(lp, n);
        let all = children.clone();
        let task = lp.create_task(async move { gather(&all).await.map(|all| all.len()) });
        lp.run_once()?;
        complete(&children)?;
        assert_eq!(lp.run_until_complete(task)?, n);
        Ok(())
    });
}

#[test]
fn cancelling_a_gather_of_many() {
    grows_with_the_number(N, |lp, n| {
        let all = futures(lp, n);
        let task = lp.create_task(async move { gather(&all).await.map(drop) });
        lp.run_once()?;
        task.cancel();
        assert!(matches!(lp.run_until_complete(task), Err(Error::Cancelled(_))));
        Ok(())
    });
}

#[test]
fn wait_for_all_of_many() {
    grows_with_the_number(N, |lp, n| {
        let children = futures(lp, n);
        let all = children.clone();
        let task = lp.create_task(async move { wait(all, ReturnWhen::AllCompleted, None).await });
        lp.run_once()?;
        complete(&children)?;
        let (done, pending) = lp.run_until_complete(task)?;
        assert_eq!((done.len(), pending.len()), (n, 0));
        Ok(())
    });
}

#[test]
fn waiting_for_the_first_again_and_again() {
    // Each wait looks at all that are left, in asyncio as well: so there are few futures and many waits.
    grows_with_the_number(N, |lp, n| {
        let never: Future<usize> = lp.create_future();
        for _ in 0..n {
            let soon: Future<usize> = lp.create_future();
            soon.set_result(1)?;
            let both = [never.clone(), soon];
            lp.run_until_complete(
                async move { wait(both, ReturnWhen::FirstCompleted, None).await.map(drop) },
            )?;
        }
        Ok(())
    });
}

#[test]
fn as_completed_of_many() {
    grows_with_the_number(N, |lp, n| {
        let children = futures(lp, n);
        let all = children.clone();
        let task = lp.create_task(async move {
            let mut several = as_completed(&all);
            let mut count = 0;
            while several.next_done().await?.is_some() {
                count += 1;
            }
            Ok::<usize, Error>(count)
        });
        lp.run_once()?;
        complete(&children)?;
        assert_eq!(lp.run_until_complete(task)?, n);
        Ok(())
    });
}

#[test]
fn a_group_of_many() {
    grows_with_the_number(N, |lp, n| {
        lp.run_until_complete(TaskGroup::scope(async move |group| {
            for i in 0..n {
                group.create_task(async move { sleep(Duration::from_micros(i as u64)).await });
            }
            Ok::<(), Error>(())
        }))
    });
}

#[test]
fn a_group_of_many_that_is_cut_off() {
    grows_with_the_number(N, |lp, n| {
        let ended = lp.run_until_complete(TaskGroup::scope(async move |group| {
            for _ in 0..n {
                group.create_task(async { sleep(HOUR).await });
            }
            sleep(Duration::ZERO).await?;
            Err::<(), Error>(Error::msg("cut off"))
        }));
        assert!(ended.is_err());
        Ok(())
    });
}

#[test]
fn shields_of_one_future() {
    grows_with_the_number(N, |lp, n| {
        let inner: Future<usize> = lp.create_future();
        let tasks = (0..n)
            .map(|_| {
                let inner = inner.clone();
                lp.create_task(async move { shield(&inner).await.map(drop) })
            })
            .collect::<Vec<_>>();
        lp.run_once()?;
        inner.set_result(1)?;
        lp.run_once()?;
        lp.run_once()?;
        tasks.iter().try_for_each(looplab::Task::result)
    });
}

#[test]
fn wait_for_that_comes_in_time() {
    grows_with_the_number(N, |lp, n| {
        for _ in 0..n {
            drop(lp.create_task(async { wait_for(async { sleep(Duration::ZERO).await }, HOUR).await }));
        }
        for _ in 0..5 {
            lp.run_once()?;
        }
        Ok(())
    });
}

#[test]
fn timeouts_that_expire() {
    grows_with_the_number(N, |lp, n| {
        let tasks = (0..n)
            .map(|i| {
                let limit = Duration::from_micros(i as u64);
                lp.create_task(async move { timeout(limit, async { sleep(HOUR).await }).await })
            })
            .collect::<Vec<_>>();
        while !tasks.iter().rev().all(looplab::Task::done) {
            lp.run_once()?;
        }
        Ok(())
    });
}
