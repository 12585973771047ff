//! The library under its own explorer: what it promises of its primitives and combinators holds at every point.

use looplab::explore::{Explore, World};
use looplab::sync::{Barrier, Condition, Event, Lock, Queue, Semaphore};
use looplab::{
    Error, EventLoop, Result, ReturnWhen, Task, TaskGroup, as_completed, create_task, current_task, gather,
    shield, sleep, timeout, wait, wait_for, yield_now,
};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

pub(super) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

thread_local! {
    /// Whether every two disturbances are run, too.
    static IN_PAIRS: Cell<bool> = const { Cell::new(false) };
}

/// Every single disturbance. The tasks with these names are cancelled.
///
/// The others keep the program going: a waiter whose waker was cancelled waits for ever, and rightly so.
pub(super) fn holds(names: &[&str], program: fn(&World) -> Result<()>) {
    let cancelled = |explore: Explore, name: &&str| explore.cancel(*name);
    let explore = names.iter().fold(Explore::new(program).stops().ties().drops(), cancelled);
    let explore = if IN_PAIRS.get() { explore.pairs().at_most(1_000_000) } else { explore };
    let report = explore.run().expect("the undisturbed program is right");
    assert!(report.failures().is_empty(), "{report}");
    assert!(report.schedules() > 10 && report.left_out() == 0, "{report}");
}

/// For CI: `cargo test --test explore -- --ignored pairs`.
#[test]
#[ignore = "runs some hundred thousand schedules"]
fn every_two_disturbances_in_pairs() {
    let tests: &[fn()] = &[
        a_lock_is_free_when_all_its_waiters_are_gone,
        a_semaphore_gets_all_its_permits_back,
        no_waiter_of_an_event_stays_behind,
        a_condition_gives_its_lock_back_and_loses_no_notification,
        a_queue_loses_no_item_and_no_wake_up,
        a_getter_that_is_cancelled_hands_its_wake_up_on,
        a_putter_that_is_cancelled_hands_its_wake_up_on,
        a_barrier_serves_again_when_all_have_left,
        a_wait_with_a_limit_leaves_no_timer,
        a_gather_that_is_cancelled_cancels_its_children,
        a_barrier_opens_or_breaks_for_all,
        a_group_waits_for_all_its_tasks_whatever_happens,
        a_group_whose_child_fails_ends_the_others,
        a_group_that_is_dropped_half_way_cancels_its_children,
        a_sleep_that_is_dropped_leaves_no_timer,
        a_timeout_leaves_no_timer_and_no_task,
        combinators_leave_what_they_wait_for_and_nothing_else,
    ];
    let written = include_str!("library.rs").matches("{\n    holds(&[").count();
    assert_eq!(tests.len(), written, "a test is missing in this list");
    IN_PAIRS.set(true);
    tests.iter().chain(super::sync::TESTS).for_each(|test| test());
    super::streams::programs_hold();
}

/// Waits for all of these, whatever happens to this task, and passes the last cancellation on.
pub(super) async fn join(tasks: Vec<Task<()>>) -> Result<()> {
    let mut cancelled = Ok(());
    for task in &tasks {
        while !task.done() {
            let (waited, _) = match wait([task], ReturnWhen::AllCompleted, None).await {
                Ok(ended) => ended,
                Err(error) => {
                    tasks.iter().for_each(|task| {
                        task.cancel();
                    });
                    cancelled = Err(error);
                    continue;
                }
            };
            drop(waited);
        }
        // What a task failed with is part of the disturbance.
        let _ = task.error();
    }
    cancelled
}

pub(super) fn worker<F: Future<Output = Result<()>> + 'static>(name: &str, body: F) -> Task<()> {
    Task::builder().name(name).spawn(body)
}

#[test]
fn a_lock_is_free_when_all_its_waiters_are_gone() {
    holds(&["main", "user"], |world| {
        let lock = Lock::new();
        let inside = Rc::new(Cell::new(false));
        let check = lock.clone();
        world.finally(move || if check.locked() { Err(Error::msg("the lock is held")) } else { Ok(()) });
        world.main(async move {
            let use_it = |lock: Lock, inside: Rc<Cell<bool>>| async move {
                let _guard = lock.lock().await?;
                if inside.replace(true) {
                    return Err(Error::Exit(1));
                }
                let slept = sleep(ms(1)).await;
                inside.set(false);
                slept
            };
            join((0..3).map(|_| worker("user", use_it(lock.clone(), inside.clone()))).collect()).await
        })
    });
}

#[test]
fn a_semaphore_gets_all_its_permits_back() {
    holds(&["main", "user"], |world| {
        let semaphore = Semaphore::new(2);
        let free = semaphore.clone();
        world.finally(move || if free.locked() { Err(Error::msg("a permit is lost")) } else { Ok(()) });
        world.main(async move {
            let use_it = |semaphore: Semaphore| async move {
                let _permit = semaphore.permit().await?;
                sleep(ms(1)).await
            };
            join((0..4).map(|_| worker("user", use_it(semaphore.clone()))).collect()).await?;
            // Both permits can be had at once.
            let first = semaphore.permit().await?;
            let second = semaphore.permit().await?;
            drop((first, second));
            Ok(())
        })
    });
}

#[test]
fn no_waiter_of_an_event_stays_behind() {
    holds(&["main", "waiter"], |world| {
        world.main(async move {
            let event = Event::new();
            let mut tasks: Vec<_> = (0..3).map(|_| worker("waiter", event.wait())).collect();
            let setting = event.clone();
            tasks.push(worker("setter", async move {
                let slept = sleep(ms(1)).await;
                setting.set();
                slept
            }));
            join(tasks).await
        })
    });
}

#[test]
fn a_condition_gives_its_lock_back_and_loses_no_notification() {
    holds(&["main", "consumer"], |world| {
        let condition = Condition::new();
        let check = condition.clone();
        world.finally(move || if check.locked() { Err(Error::msg("the lock is held")) } else { Ok(()) });
        world.main(async move {
            let ready = Rc::new(Cell::new(0));
            let mut tasks = Vec::new();
            for _ in 0..2 {
                let (condition, ready) = (condition.clone(), ready.clone());
                tasks.push(worker("consumer", async move {
                    let _guard = condition.lock().await?;
                    let is_ready = ready.clone();
                    condition.wait_for(move || is_ready.get() > 0).await?;
                    ready.set(ready.get() - 1);
                    Ok(())
                }));
            }
            // It sees to it that all consumers are served, although it may be disturbed itself.
            let consumers: Vec<_> = tasks.iter().map(Task::to_ref).collect();
            tasks.push(worker("producer", async move {
                let mut disturbed = Ok(());
                while consumers.iter().any(|task| !task.done()) {
                    match condition.lock().await {
                        Ok(_guard) => {
                            ready.set(ready.get() + 1);
                            condition.notify(1)?;
                        }
                        Err(error) => disturbed = Err(error),
                    }
                    if let Err(error) = sleep(ms(1)).await {
                        disturbed = Err(error);
                    }
                }
                disturbed
            }));
            join(tasks).await
        })
    });
}

#[test]
fn a_queue_loses_no_item_and_no_wake_up() {
    holds(&["main", "putter", "getter"], |world| {
        let queue: Queue<u32> = Queue::new(1);
        let (put, got) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let books = (queue.clone(), put.clone(), got.clone());
        world.finally(move || {
            let (queue, put, got) = books;
            if put.get() == got.get() + queue.qsize() {
                Ok(())
            } else {
                Err(Error::msg(format!("put {}, got {}, queued {}", put.get(), got.get(), queue.qsize())))
            }
        });
        world.main(async move {
            let (putting, getting) = (queue.clone(), queue.clone());
            let putter = worker("putter", async move {
                for item in 0..3 {
                    putting.put(item).await?;
                    put.set(put.get() + 1);
                }
                Ok(())
            });
            let getter = worker("getter", async move {
                for _ in 0..3 {
                    getting.get().await?;
                    got.set(got.get() + 1);
                }
                Ok(())
            });
            // If one of them is cancelled, the other would wait for ever.
            let both = [putter.clone(), getter.clone()];
            let first = wait(&both, ReturnWhen::FirstException, Some(ms(1000))).await;
            both.iter().filter(|_| first.is_err() || both.iter().any(Task::cancelled)).for_each(|task| {
                task.cancel();
            });
            let ended = first.map(drop);
            join(vec![putter, getter]).await.and(ended)
        })
    });
}

#[test]
fn a_getter_that_is_cancelled_hands_its_wake_up_on() {
    holds(&["getter"], |world| {
        world.main(async {
            let queue: Queue<u32> = Queue::new(0);
            let mut tasks: Vec<_> = (0..2)
                .map(|_| {
                    let queue = queue.clone();
                    worker("getter", async move { queue.get().await.map(drop) })
                })
                .collect();
            tasks.push(worker("putter", async move {
                for item in 0..2 {
                    sleep(ms(1)).await?;
                    queue.put(item).await?;
                }
                Ok(())
            }));
            join(tasks).await
        })
    });
}

#[test]
fn a_putter_that_is_cancelled_hands_its_wake_up_on() {
    holds(&["putter"], |world| {
        world.main(async {
            let queue: Queue<u32> = Queue::new(2);
            queue.put(0).await?;
            queue.put(0).await?;
            let mut tasks: Vec<_> = (0..2).map(|_| worker("putter", queue.put(1))).collect();
            tasks.push(worker("getter", async move {
                for _ in 0..2 {
                    sleep(ms(1)).await?;
                    queue.get().await?;
                }
                Ok(())
            }));
            join(tasks).await
        })
    });
}

#[test]
fn a_barrier_serves_again_when_all_have_left() {
    holds(&["main"], |world| {
        world.main(async move {
            let barrier = Barrier::new(2)?;
            let tasks = (0..2).map(|_| {
                let barrier = barrier.clone();
                worker("party", async move {
                    for _ in 0..2 {
                        barrier.wait().await?;
                    }
                    Ok(())
                })
            });
            join(tasks.collect()).await
        })
    });
}

#[test]
fn a_wait_with_a_limit_leaves_no_timer() {
    holds(&["main"], |world| {
        world.main(async {
            let child = worker("child", async { sleep(ms(2)).await });
            let ended = async {
                wait([&child], ReturnWhen::AllCompleted, Some(ms(1))).await?;
                wait([&child], ReturnWhen::AllCompleted, Some(ms(5))).await.map(drop)
            }
            .await;
            child.cancel();
            join(vec![child]).await.and(ended)
        })
    });
}

#[test]
fn a_gather_that_is_cancelled_cancels_its_children() {
    holds(&["main"], |world| {
        let guarded = world.clone();
        let forgotten = Rc::new(Cell::new(false));
        let check = forgotten.clone();
        world.finally(move || if check.get() { Err(Error::msg("a child goes on")) } else { Ok(()) });
        world.main(async move {
            let main = current_task();
            let children: Vec<_> = (1..=2)
                .map(|n| {
                    let (guard, main, forgotten) = (guarded.guard(), main.clone(), forgotten.clone());
                    worker("child", async move {
                        let _guard = guard;
                        sleep(ms(n)).await?;
                        forgotten.set(forgotten.get() || main.is_some_and(|main| main.cancelling() > 0));
                        Ok(())
                    })
                })
                .collect();
            gather(&children).await.map(drop)
        })
    });
}

#[test]
fn a_barrier_opens_or_breaks_for_all() {
    holds(&["main", "party"], |world| {
        world.main(async move {
            let barrier = Barrier::new(3)?;
            let tasks: Vec<_> = (0..3)
                .map(|_| {
                    let barrier = barrier.clone();
                    worker("party", async move {
                        let ended = barrier.wait().await.map(drop);
                        if ended.is_err() {
                            barrier.abort().await?;
                        }
                        ended
                    })
                })
                .collect();
            let watching = barrier.clone();
            let all = tasks.clone();
            let rescue = worker("rescue", async move {
                // A party that was cancelled before its first step never comes.
                while all.iter().any(|task| !task.done()) {
                    if all.iter().any(Task::cancelled) {
                        watching.abort().await?;
                    }
                    sleep(ms(1)).await?;
                }
                Ok(())
            });
            let ended = join(tasks).await;
            rescue.cancel();
            join(vec![rescue]).await.and(ended)
        })
    });
}

#[test]
fn a_group_waits_for_all_its_tasks_whatever_happens() {
    holds(&["main", "child"], |world| {
        let guard = Rc::new(world.clone());
        world.main(TaskGroup::scope(async move |group| {
            for i in 1..=3 {
                let guard = guard.guard();
                Task::builder().name("child").spawn_in(&group, async move {
                    let _guard = guard;
                    sleep(ms(i)).await
                });
            }
            sleep(ms(2)).await
        }))
    });
}

#[test]
fn a_group_whose_child_fails_ends_the_others() {
    holds(&["main", "child"], |world| {
        world.main(TaskGroup::scope(async |group| {
            let never = Event::new();
            Task::builder().name("waiter").spawn_in(&group, async move { never.wait().await });
            Task::builder()
                .name("child")
                .spawn_in(&group, async { sleep(ms(1)).await.and(Err::<(), Error>(Error::msg("failed"))) });
            // A cancelled child is no failure, so the body fails after it.
            sleep(ms(2)).await.and(Err::<(), Error>(Error::msg("the body failed")))
        }))
    });
}

#[test]
fn a_group_that_is_dropped_half_way_cancels_its_children() {
    holds(&["main"], |world| {
        world.main(async {
            let mut scope = Box::pin(TaskGroup::scope(async |group| {
                let never = Event::new();
                Task::builder().name("waiter").spawn_in(&group, async move { never.wait().await });
                sleep(ms(5)).await
            }));
            std::future::poll_fn(|cx| std::task::Poll::Ready(scope.as_mut().poll(cx).is_ready())).await;
            drop(scope);
            sleep(ms(1)).await
        })
    });
}

#[test]
fn a_sleep_that_is_dropped_leaves_no_timer() {
    holds(&["main"], |world| {
        world.main(async {
            let mut long = Box::pin(sleep(ms(1_000)));
            let polled =
                std::future::poll_fn(|cx| std::task::Poll::Ready(long.as_mut().poll(cx).is_ready())).await;
            drop(long);
            for _ in 0..4 {
                sleep(ms(1)).await?;
            }
            if polled { Err(Error::msg("it did not wait")) } else { Ok(()) }
        })
    });
}

#[test]
fn a_timeout_leaves_no_timer_and_no_task() {
    holds(&["main"], |world| {
        world.main(async {
            timeout(ms(5), async { sleep(ms(1)).await }).await?;
            match timeout(ms(1), async { sleep(ms(5)).await }).await {
                Err(Error::TimedOut) => {}
                other => other?,
            }
            wait_for(async { sleep(ms(1)).await }, ms(5)).await?;
            match wait_for(async { sleep(ms(5)).await }, ms(1)).await {
                Err(Error::TimedOut) => Ok(()),
                other => other,
            }
        })
    });
}

#[test]
fn combinators_leave_what_they_wait_for_and_nothing_else() {
    holds(&["main", "child"], |world| {
        world.main(async {
            let tasks: Vec<_> = (1..=3).map(|n| worker("child", async move { sleep(ms(n)).await })).collect();
            let all = tasks.clone();
            let combined = async {
                gather(&all[..2]).await?;
                let mut completed = as_completed(&all);
                while let Some((_, ended)) = completed.next_done().await? {
                    ended?;
                }
                shield(&all[2]).await
            };
            let ended = combined.await;
            tasks.iter().filter(|_| ended.is_err()).for_each(|task| {
                task.cancel();
            });
            join(tasks).await.and(ended)
        })
    });
}

#[test]
fn a_restart_is_invisible_to_whatever_waits() {
    let program = |world: &World| {
        let noting = world.clone();
        let lp: EventLoop = world.event_loop().clone();
        world.main(async move {
            let (lock, event, queue) = (Lock::new(), Event::new(), Queue::new(0));
            lp.call_later(ms(2), {
                let event = event.clone();
                move || event.set()
            })?;
            let noted = noting.clone();
            let getting = queue.clone();
            let getter = create_task(async move {
                for _ in 0..3 {
                    let item: u32 = getting.get().await?;
                    noted.note(format!("got {item}"));
                }
                Ok::<(), Error>(())
            });
            for i in 0..3 {
                let _guard = lock.lock().await?;
                queue.put(i).await?;
                noting.note(format!("put {i}"));
                yield_now().await?;
            }
            event.wait().await?;
            noting.note("the event is set");
            getter.await
        })
    };
    let report = Explore::new(program).stops().pairs().run().expect("the undisturbed program is right");
    assert!(report.failures().is_empty() && report.schedules() > 50, "{report}");
}
