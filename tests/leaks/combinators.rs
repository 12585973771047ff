//! Tasks that wait for other tasks, for time, and for nothing of looplab's.

use crate::program::{BOTH, CLOSED, shapes};
use looplab::{
    Coroutine, Error, Future, Result, ReturnWhen, Task, TaskGroup, Timeout, as_completed, cancellable,
    create_task, gather, shield, sleep, timeout, wait, wait_for, yield_now,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

const EVER: Duration = Duration::MAX;

shapes! { BOTH;
    a_task_that_has_not_begun(p) {
        let task = p.waits(sleep(EVER));
        p.keep(task);
    }

    a_task_that_sleeps_and_one_that_yields(p) {
        let first = p.waits(sleep(EVER));
        let second = p.waits(async { loop { yield_now().await? } });
        p.turns(3)?;
        p.keep((first, second));
    }

    a_chain_of_tasks(p) {
        let mut last = p.waits(sleep(EVER));
        for _ in 0..20 {
            last = p.waits(async move { last.await });
        }
        p.turns(2)?;
        p.keep(last);
    }

    tasks_that_wait_for_each_other(p) {
        let other: Rc<RefCell<Option<Task<()>>>> = Rc::default();
        let taken = other.clone();
        let first = p.waits(async move {
            let second = taken.take().ok_or(Error::msg("it is there"))?;
            second.await
        });
        let second = first.clone();
        *other.borrow_mut() = Some(p.waits(async move { second.await }));
        p.turns(3)?;
        p.keep(first);
    }

    a_task_that_holds_itself(p) {
        let itself: Rc<RefCell<Option<Task<()>>>> = Rc::default();
        let held = itself.clone();
        let task = p.waits(async move {
            let _held = held;
            sleep(EVER).await
        });
        *itself.borrow_mut() = Some(task);
        p.turns(2)?;
    }

    a_task_that_failed_and_one_that_returned(p) {
        let guard = p.guard();
        let failed = p.lp.create_task(async { Result::<()>::Err(Error::msg("boom")) });
        let returned = p.lp.create_task(async move { drop(guard); Ok(String::from("value")) });
        p.turns(2)?;
        p.keep((failed, returned));
    }

    a_gathering(p) {
        p.waits(async {
            gather([sleep(EVER), sleep(EVER)]).await.map(drop)
        });
        p.waits(async {
            gather((0..2).map(|_| sleep(EVER))).return_exceptions().await.map(drop)
        });
        let task = p.waits(sleep(EVER));
        p.waits(async move { gather([gather([task.clone(), task])]).await.map(drop) });
        p.turns(3)?;
    }

    a_wait_for_several(p) {
        let (first, second) = (p.waits(sleep(EVER)), p.waits(sleep(EVER)));
        let both = [first.clone(), second.clone()];
        p.waits(async move { wait(both, ReturnWhen::AllCompleted, Some(EVER)).await.map(drop) });
        let both = [first, second];
        p.waits(async move { wait(both, ReturnWhen::FirstCompleted, None).await.map(drop) });
        p.turns(2)?;
    }

    a_wait_for_one(p) {
        p.waits(wait_for(sleep(EVER), EVER));
        p.waits(async {
            let stubborn = create_task(async {
                let _ = sleep(EVER).await;
                sleep(EVER).await
            });
            yield_now().await?;
            wait_for(stubborn, Duration::ZERO).await
        });
        p.turns(4)?;
    }

    a_time_limit(p) {
        p.waits(timeout(EVER, sleep(EVER)));
        let lp = p.lp.clone();
        let limit = Timeout::at(lp.time() + Duration::from_secs(3600));
        drop(lp);
        p.waits(limit.run(sleep(EVER)));
        p.turns(2)?;
        p.keep(limit);
    }

    a_shield(p) {
        let task = p.waits(sleep(EVER));
        p.waits(async move { shield(task).await });
        p.waits(async { shield(sleep(EVER)).await });
        let shields = Rc::new(RefCell::new(Vec::new()));
        let kept = shields.clone();
        p.waits(async move {
            kept.borrow_mut().push(shield(sleep(EVER)));
            sleep(EVER).await
        });
        p.turns(3)?;
        p.keep(shields);
    }

    a_task_group(p) {
        let groups = Rc::new(RefCell::new(Vec::new()));
        let kept = groups.clone();
        let guard = p.guard();
        p.waits(TaskGroup::scope(|group| async move {
            group.create_task(async move {
                let _guard = guard;
                sleep(EVER).await
            });
            kept.borrow_mut().push(group);
            Ok(())
        }));
        p.turns(3)?;
        p.keep(groups);
    }

    a_task_group_whose_child_fails(p) {
        p.waits(TaskGroup::scope(|group| async move {
            group.create_task(async {
                let _ = sleep(EVER).await;
                sleep(EVER).await
            });
            yield_now().await?;
            group.create_task(async { Result::<()>::Err(Error::msg("boom")) });
            sleep(EVER).await
        }));
        p.turns(5)?;
    }

    several_as_they_complete(p) {
        p.waits(async {
            let mut several = as_completed([sleep(EVER), sleep(EVER)]).timeout(EVER);
            several.next_done().await.map(drop)
        });
        p.waits(async {
            for one in as_completed([sleep(EVER), sleep(Duration::ZERO)]) {
                one.await?;
            }
            Ok(())
        });
        p.turns(4)?;
    }

    a_foreign_future(p) {
        let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
        let keep = waker.clone();
        p.waits(std::future::poll_fn(move |cx| {
            *keep.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        }));
        p.waits(async { cancellable(std::future::pending::<()>()).await });
        p.turns(2)?;
        p.keep(waker);
    }

    joined_futures(p) {
        p.waits(async {
            let (first, second) = futures::join!(sleep(EVER), yield_now());
            first.and(second)
        });
        p.turns(3)?;
    }

    a_pending_future(p) {
        let future = p.lp.create_future::<()>();
        let (awaited, guard) = (future.clone(), p.guard());
        p.waits(async move { awaited.await });
        future.add_done_callback(move |_| drop(guard));
        p.turns(2)?;
        p.keep(future);
    }

    a_pending_future_whose_callback_holds_it(p) {
        let future = p.lp.create_future::<()>();
        let (itself, guard) = (future.clone(), p.guard());
        future.add_done_callback(move |_| drop((itself, guard)));
        let (itself, guard) = (future.clone(), p.guard());
        future.add_done_callback(move |_| drop((itself, guard)));
    }

    pending_futures_whose_callbacks_hold_each_other(p) {
        let (first, second) = (p.lp.create_future::<()>(), p.lp.create_future::<String>());
        let (other, guard) = (second.clone(), p.guard());
        first.add_done_callback(move |_| drop((other, guard)));
        let (other, guard) = (first.clone(), p.guard());
        second.add_done_callback(move |_| drop((other, guard)));
        p.turns(1)?;
    }

    a_pending_future_whose_callback_was_removed(p) {
        let future = p.lp.create_future::<()>();
        let guard = p.guard();
        let callback = future.add_done_callback(move |_| drop(guard));
        future.remove_done_callback(callback);
        p.keep(future);
    }

    done_callbacks_that_are_queued(p) {
        let future = p.lp.create_future::<()>();
        let (itself, guard) = (future.clone(), p.guard());
        future.add_done_callback(move |_| drop((itself, guard)));
        future.set_result(())?;
        p.keep(future);
    }

    the_done_callbacks_of_a_pending_task(p) {
        let task = p.waits(sleep(EVER));
        let (itself, guard) = (task.clone(), p.guard());
        task.add_done_callback(move |_| drop((itself, guard)));
        let (itself, guard) = (task.clone(), p.guard());
        task.to_ref().add_done_callback(move |_| drop((itself, guard)));
        p.turns(2)?;
        p.keep(task);
    }

    a_coroutine_driven_by_hand(p) {
        let future = p.lp.create_future::<()>();
        let awaited = future.clone();
        let mut coroutine = Coroutine::new(async move { awaited.await });
        coroutine.send();
        p.keep((coroutine, future));
    }

    a_child_of_a_task(p) {
        let guard = p.guard();
        p.waits(async move {
            let child = create_task(async move {
                let _guard = guard;
                sleep(EVER).await
            });
            child.await
        });
        p.turns(3)?;
    }
}

shapes! { CLOSED;
    a_task_that_holds_its_loop(p) {
        let lp = p.lp.clone();
        p.waits(async move {
            let _lp = lp;
            sleep(EVER).await
        });
        p.turns(2)?;
    }

    a_pending_future_whose_callback_holds_the_loop(p) {
        let future: Future<()> = p.lp.create_future();
        let (lp, itself, guard) = (p.lp.clone(), future.clone(), p.guard());
        future.add_done_callback(move |_| drop((lp, itself, guard)));
    }
}
