//! Small programs with one classic fault each, and their mended twins. All of them are right as long as nothing disturbs them.

use looplab::explore::{Explore, Report, World};
use looplab::sync::{Event, Lock, Queue};
use looplab::{
    Error, EventLoop, Result, Signal, Task, create_task, gather, get_running_loop, shield, sleep, stop,
};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const SIGTERM: Signal = Signal::SIGTERM;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn passes(explore: Explore) {
    let report = explore.run().expect("the undisturbed program is right");
    assert!(report.failures().is_empty(), "{report}");
    assert!(report.schedules() >= 3, "{report}");
}

/// The first failure has this schedule, and breaks this promise; the message is compared without its places.
fn fails(explore: Explore, schedule: &str, message: &str) {
    let report: Report = explore.run().expect("the undisturbed program is right");
    let first = report.failures().first().expect("a failure");
    assert_eq!(first.schedule.to_string(), schedule, "{report}");
    assert_eq!(without_places(&first.message), message, "{report}");
}

fn without_places(message: &str) -> String {
    let words = message.split(' ').filter(|word| !word.contains(".rs:"));
    words.collect::<Vec<_>>().join(" ")
}

/// Waits for a task although this one is being cancelled, again and again, and hands the cancellation on at the end.
async fn see_to_the_end(task: Task<()>) -> Result<()> {
    let mut cancelled = None;
    loop {
        match shield(&task).await {
            Err(error @ Error::Cancelled(_)) if !task.done() => cancelled = Some(error),
            ended => return cancelled.map_or(ended, Err),
        }
    }
}

/// Takes three items from a queue, and saves each in a task of its own.
fn shop(world: &World, wait: impl AsyncFn(Task<()>) -> Result<()> + 'static) -> Result<()> {
    let queue: Queue<u32> = Queue::new(0);
    let (taken, saved) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let books = (taken.clone(), saved.clone());
    world.finally(move || match (books.0.get(), books.1.get()) {
        (taken, saved) if taken == saved => Ok(()),
        (taken, saved) => Err(Error::msg(format!("taken {taken}, saved {saved}"))),
    });
    (1..=3).try_for_each(|item| queue.put_nowait(item))?;
    world.main(async move {
        for _ in 0..3 {
            let item = queue.get().await?;
            taken.set(taken.get() + item);
            let saved = saved.clone();
            let saving = async move {
                sleep(ms(5)).await?;
                saved.set(saved.get() + item);
                Ok(())
            };
            wait(create_task(saving)).await?;
        }
        Ok(())
    })
}

#[test]
fn an_item_lost_between_get_and_save() {
    let faulty = Explore::new(|world| shop(world, async |saving| saving.await));
    fails(faulty.stops().cancel("main"), "cancel:main#1@2", "taken 1, saved 0");
    passes(Explore::new(|world| shop(world, see_to_the_end)).stops().cancel("main").pairs());
}

/// Two tasks use a lock in turn.
fn locked(world: &World, hold: fn(Lock) -> Task<()>) -> Result<()> {
    world.main(async move {
        let lock = Lock::new();
        let tasks = [hold(lock.clone()), hold(lock.clone())];
        let ended = gather(&tasks).return_exceptions().await;
        for task in &tasks {
            task.cancel();
        }
        // Both are over; whoever comes now must find the lock free.
        lock.acquire().await?;
        lock.release()?;
        ended.map(drop)
    })
}

#[test]
fn a_lock_released_by_hand() {
    let by_hand = |lock: Lock| {
        create_task(async move {
            lock.acquire().await?;
            sleep(ms(1)).await?;
            lock.release()
        })
    };
    let guarded = |lock: Lock| {
        create_task(async move {
            let _guard = lock.lock().await?;
            sleep(ms(1)).await
        })
    };
    fails(
        Explore::new(move |world| locked(world, by_hand)).cancel("main"),
        "cancel:main#1@2.2",
        "deadlock: nothing is ready, no timer is set, and nothing is registered that could wake the loop; main waits for lock at",
    );
    passes(Explore::new(move |world| locked(world, guarded)).cancel("Task").stops());
}

/// Works, and says goodbye when it is cancelled.
fn polite(world: &World, goodbye: impl AsyncFn(Rc<Cell<bool>>) -> Result<()> + 'static) -> Result<()> {
    let (began, said) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let check = (began.clone(), said.clone());
    world.finally(move || {
        if check.0.get() && !check.1.get() { Err(Error::msg("it never said goodbye")) } else { Ok(()) }
    });
    world.main(async move {
        began.set(true);
        let worked = sleep(ms(10)).await;
        goodbye(said).await?;
        worked
    })
}

#[test]
fn a_cleanup_that_awaits_after_it_was_cancelled() {
    async fn say(said: Rc<Cell<bool>>) -> Result<()> {
        sleep(ms(1)).await?;
        said.set(true);
        Ok(())
    }
    fails(
        Explore::new(|world| polite(world, say)).cancel("main").pairs(),
        "cancel:main#1@4",
        "it never said goodbye",
    );
    let mended = async |said| see_to_the_end(create_task(say(said))).await;
    passes(Explore::new(move |world| polite(world, mended)).cancel("main").pairs());
}

/// A service that ends by a signal or after a minute, each time by its cleanup, which must be made once.
fn service(world: &World, guarded: bool) {
    let cleaned = Rc::new(Cell::new(0));
    let check = cleaned.clone();
    world.finally(move || match check.get() {
        1 => Ok(()),
        n => Err(Error::msg(format!("cleaned up {n} times"))),
    });
    world.runs(move |lp: &EventLoop| {
        let ending = Rc::new(Cell::new(false));
        let end = move || {
            if !(guarded && ending.replace(true)) {
                let cleaned = cleaned.clone();
                drop(create_task(async move {
                    sleep(ms(5)).await?;
                    cleaned.set(cleaned.get() + 1);
                    stop()
                }));
            }
        };
        lp.add_signal_handler(SIGTERM, end.clone())?;
        let timer = lp.call_later(ms(60_000), end)?;
        lp.run_forever()?;
        timer.cancel();
        lp.remove_signal_handler(SIGTERM).map(drop)
    });
}

#[test]
fn a_second_signal_during_the_cleanup() {
    let explored = |guarded| {
        Explore::new(move |world| {
            service(world, guarded);
            Ok(())
        })
    };
    fails(explored(false).signals([SIGTERM]), "signal:SIGTERM@2", "cleaned up 2 times");
    passes(explored(true).signals([SIGTERM]).pairs());
}

#[test]
fn a_shield_whose_inner_task_nobody_awaits() {
    let faulty = |world: &World| {
        world.main(async {
            let commit = create_task(async { sleep(ms(5)).await });
            shield(&commit).await
        })
    };
    fails(
        Explore::new(faulty).cancel("main"),
        "cancel:main#1@2",
        "left behind: the task Task the timer sleep",
    );
    let mended =
        |world: &World| world.main(async { see_to_the_end(create_task(async { sleep(ms(5)).await })).await });
    passes(Explore::new(mended).cancel("main").stops().pairs());
}

#[test]
fn a_gather_that_leaves_siblings_running() {
    let faulty = |world: &World| {
        world.main(async {
            let child = |name: &str, n| Task::builder().name(name).spawn(async move { sleep(ms(n)).await });
            gather([child("short", 5), child("long", 10)]).await.map(drop)
        })
    };
    fails(
        Explore::new(faulty).cancel("short"),
        "cancel:short#2@2",
        "left behind: the task long the timer sleep",
    );
    let mended = |world: &World| {
        world.main(looplab::TaskGroup::scope(async |group| {
            Task::builder().name("short").spawn_in(&group, async { sleep(ms(5)).await });
            Task::builder().name("long").spawn_in(&group, async { sleep(ms(10)).await });
            Ok::<(), Error>(())
        }))
    };
    passes(Explore::new(mended).cancels().stops().pairs());
}

/// A worker that does a piece each millisecond until it is told to end, and a main task that ends it.
fn worker(world: &World, swallows: bool) -> Result<()> {
    let end = Event::new();
    world.main(async move {
        let ended = end.clone();
        let working = Task::builder().name("worker").spawn(async move {
            while !ended.is_set() {
                match sleep(ms(1)).await {
                    Err(_) if swallows => {}
                    other => other?,
                }
            }
            Ok::<(), Error>(())
        });
        let slept = sleep(ms(5)).await;
        if slept.is_ok() {
            end.set();
        } else {
            working.cancel();
        }
        match see_to_the_end(working).await {
            Err(Error::Cancelled(_)) => slept,
            other => other,
        }
    })
}

#[test]
fn a_swallowed_cancellation_that_hangs_the_sweep() {
    fails(
        Explore::new(|world| worker(world, true)).cancel("main"),
        "cancel:main#1@2",
        "does not end within 1150 turns; not done: main, worker",
    );
    passes(Explore::new(|world| worker(world, false)).cancel("main").stops());
}

#[test]
fn a_restart_is_invisible_to_sleeps_and_queues() {
    passes(
        Explore::new(|world| {
            let noting = world.clone();
            world.main(async move {
                for i in 0..5 {
                    noting.note(i);
                    sleep(ms(1)).await?;
                }
                Ok::<(), Error>(())
            })
        })
        .stops()
        .pairs(),
    );
}

#[test]
fn a_stop_that_the_program_sees_is_a_visible_restart() {
    let counting = |world: &World| {
        let noting = world.clone();
        world.main(async move {
            sleep(ms(1)).await?;
            noting.note(get_running_loop()?.turns());
            Ok::<(), Error>(())
        })
    };
    fails(Explore::new(counting).stops(), "stop@2", "the restart is visible: note 1 is `4`, undisturbed `3`");
}
