//! Panics stay where they happen: destructors, `Debug`, hooks and loggers that panic end no run and no process.
//!
//! Each test runs in a process of its own. Two destructors that panic while one value is dropped abort the process, so a
//! place that drops two values together fails its test by ending the child.

use looplab::net::{start_server, start_unix_server};
use looplab::sync::{LifoQueue, PriorityQueue, Queue};
use looplab::{
    Coroutine, Error, EventLoop, ExceptionContext, Executor, Future, Result, Step, TaskGroup, create_task,
    gather, run_coroutine_threadsafe, shield, sleep, timeout, timeout_at, wait_for, yield_now,
};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use support::{child, logged, report};

const HOUR: Duration = Duration::from_secs(3600);

static EXPLODED: AtomicUsize = AtomicUsize::new(0);

/// Its destructor panics.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        EXPLODED.fetch_add(1, SeqCst);
        panic!("boom");
    }
}

impl Clone for Bomb {
    fn clone(&self) -> Self {
        Self
    }
}

impl fmt::Display for Bomb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bomb")
    }
}

impl std::error::Error for Bomb {}

/// Runs `code` in a child process. The numbers say how many bombs explode there, and how many of these are logged.
macro_rules! explodes {
    ($times:expr, $code:expr) => {
        explodes!($times, $times, $code)
    };
    ($times:expr, $logged:expr, $code:expr) => {
        child!(|| {
            logged();
            let code: fn() -> Result<()> = $code;
            code().expect("no error");
            let log = logged();
            let told = log.iter().filter(|line| line.contains("a destructor panicked: boom")).count();
            assert_eq!((EXPLODED.load(SeqCst), told), ($times, $logged), "{log:?}");
        })
        .fine()
    };
}

/// A loop that stands still while anything happens.
pub(crate) fn virtual_loop() -> EventLoop {
    EventLoop::builder().clock(looplab::Clock::virtual_time()).build().expect("a loop")
}

#[test]
fn the_value_of_a_task_that_cancels_itself_may_panic_when_it_is_dropped_and_waiters_go_on() {
    explodes!(1, || {
        let lp = virtual_loop();
        let task = lp.create_task(async {
            looplab::current_task().expect("a task").cancel();
            Ok(Rc::new(Bomb))
        });
        let waited = lp.run_until_complete(&task);
        assert!(matches!(waited, Err(Error::Cancelled(_))));
        assert!(task.cancelled());
        Ok(())
    });
}

#[test]
fn a_body_and_its_value_may_both_panic_when_they_are_dropped() {
    explodes!(2, 1, || {
        let lp = virtual_loop();
        let kept = Bomb;
        let body = std::future::poll_fn(move |_| {
            let _ = &kept;
            std::task::Poll::Ready(Ok(Rc::new(Bomb)))
        });
        let task = lp.create_task(body);
        let waited = lp.run_until_complete(&task);
        assert!(matches!(waited, Err(Error::Panic(text)) if &*text == "boom"));
        Ok(())
    });
}

#[test]
fn a_coroutine_whose_body_and_value_panic_when_they_are_dropped_returns_the_panic() {
    explodes!(2, 1, || {
        let kept = Bomb;
        let mut coroutine = Coroutine::new(std::future::poll_fn(move |_| {
            let _ = &kept;
            std::task::Poll::Ready(Ok(Bomb))
        }));
        assert!(matches!(coroutine.send(), Step::Returned(Err(Error::Panic(_)))));
        Ok(())
    });
}

#[test]
fn the_callbacks_and_the_result_of_a_future_are_dropped_one_by_one() {
    explodes!(5, || {
        let lp = virtual_loop();
        let future: Future<()> = lp.create_future();
        for bomb in [Bomb, Bomb] {
            future.add_done_callback(move |_| drop(bomb));
        }
        drop(future);
        let done: Future<(Bomb,)> = lp.create_future();
        done.set_result((Bomb,))?;
        for bomb in [Bomb, Bomb] {
            done.add_done_callback(move |_| drop(bomb));
        }
        drop(done);
        lp.close()
    });
}

#[test]
fn a_future_that_is_set_after_its_loop_was_closed_drops_its_callbacks_one_by_one() {
    explodes!(2, || {
        let lp = virtual_loop();
        let future: Future<()> = lp.create_future();
        for bomb in [Bomb, Bomb] {
            future.add_done_callback(move |_| drop(bomb));
        }
        lp.close()?;
        assert!(matches!(future.set_result(()), Err(Error::Closed)));
        Ok(())
    });
}

#[test]
fn calls_and_jobs_that_wait_in_the_inbox_are_dropped_one_by_one_at_close() {
    explodes!(6, || {
        let lp = EventLoop::new()?;
        let pool = Executor::new(1);
        for _ in 0..2 {
            // The results are not read: they are in the inbox when the loop is closed.
            drop(lp.run_in(&pool, || Bomb)?);
        }
        pool.shutdown(true, false)?;
        let remote = lp.remote();
        let calls = thread::spawn(move || {
            for bomb in [Bomb, Bomb] {
                remote.call_soon(move || drop(bomb))?;
            }
            for bomb in [Bomb, Bomb] {
                let _task = run_coroutine_threadsafe(&remote, move || async move {
                    drop(bomb);
                    Ok(())
                });
            }
            Ok::<(), Error>(())
        });
        calls.join().expect("it does not panic")?;
        lp.close()
    });
}

#[test]
fn queued_jobs_that_are_cancelled_are_dropped_one_by_one() {
    explodes!(3, || {
        let lp = EventLoop::new()?;
        let pool = Executor::new(1);
        let (begin, began) = channel();
        let (end, ended) = channel::<()>();
        let first = lp.run_in(&pool, move || {
            begin.send(()).expect("it waits");
            let _ = ended.recv();
        })?;
        began.recv().expect("it begins");
        let jobs = [Bomb, Bomb, Bomb].map(|bomb| lp.run_in(&pool, move || drop(bomb)));
        jobs[0].as_ref().expect("queued").cancel();
        pool.shutdown(false, true)?;
        drop(end);
        lp.run_until_complete(async move { first.into_output().await })?;
        pool.shutdown(true, true)?;
        lp.run_until_complete(async {
            yield_now().await?;
            yield_now().await
        })?;
        lp.close()
    });
}

#[test]
fn the_items_of_a_queue_are_dropped_one_by_one() {
    explodes!(12, || {
        fn fill(queue: &Queue<Bomb>) -> Result<()> {
            queue.put_nowait(Bomb)?;
            queue.put_nowait(Bomb)
        }
        for shut_down in [false, true] {
            for queue in [&Queue::new(0), &*LifoQueue::new(0), &*PriorityQueue::new(0)] {
                fill(queue)?;
                if shut_down {
                    queue.shutdown(true);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn values_that_a_gathering_has_read_before_an_error_are_dropped_one_by_one() {
    explodes!(5, 4, || {
        let lp = virtual_loop();
        lp.run_until_complete(async {
            let [a, b, c] = [0; 3].map(|_| create_task(async { Ok(Bomb) }));
            let gathering = gather([&a, &b, &c]);
            yield_now().await?;
            yield_now().await?;
            let taken = c.into_output().await?;
            let failed = gathering.await;
            assert!(matches!(failed, Err(Error::InvalidState(_))));
            assert!(catch_unwind(AssertUnwindSafe(|| drop(taken))).is_err());
            Ok(())
        })?;
        lp.close()
    });
}

#[test]
fn the_errors_of_a_group_are_dropped_one_by_one() {
    explodes!(3, || {
        let lp = virtual_loop();
        let failed = lp.run_until_complete(TaskGroup::scope(|group| async move {
            for _ in 0..3 {
                group.create_task(async { Err::<(), _>(Error::other(Bomb)) });
            }
            sleep(HOUR).await
        }));
        assert!(matches!(&failed, Err(Error::Group(errors)) if errors.len() == 3));
        drop(failed);
        Ok(())
    });
}

#[test]
fn an_error_whose_destructor_panics_does_not_leave_the_run() {
    explodes!(4, || {
        for debug in [false, true] {
            let lp = EventLoop::builder().clock(looplab::Clock::virtual_time()).debug(debug).build()?;
            lp.call_soon(|| Err::<(), _>(Error::other(Bomb)))?;
            drop(lp.create_task(async { Err::<(), _>(Error::other(Bomb)) }));
            lp.call_soon(looplab::stop)?;
            lp.run_forever()?;
        }
        Ok(())
    });
}

#[test]
fn hooks_observer_and_handler_are_dropped_one_by_one_with_the_loop() {
    explodes!(4, || {
        let [a, b, c, d] = [Bomb, Bomb, Bomb, Bomb];
        let lp = EventLoop::builder()
            .observer(move |_: &looplab::trace::Record<'_>| _ = &a)
            .on_park(move || _ = &b)
            .on_unpark(move || _ = &c)
            .build()?;
        lp.set_exception_handler(Some(move |_: &EventLoop, _: &ExceptionContext| _ = &d));
        lp.close()
    });
}

#[test]
fn hooks_and_observer_of_a_builder_that_fails_are_dropped_one_by_one() {
    explodes!(4, || {
        let [a, b, c, d] = [Bomb, Bomb, Bomb, Bomb];
        let refused = EventLoop::builder()
            .observer(move |_: &looplab::trace::Record<'_>| _ = &a)
            .on_park(move || _ = &b)
            .on_unpark(move || _ = &c)
            .observer(move |_: &looplab::trace::Record<'_>| _ = &d)
            .watchdog(Duration::ZERO)
            .build();
        assert!(matches!(refused, Err(Error::Value(_))));
        Ok(())
    });
}

#[test]
fn the_handler_of_a_server_that_cannot_be_started_is_dropped_quietly() {
    explodes!(2, || {
        let lp = EventLoop::new()?;
        let [a, b] = [Bomb, Bomb];
        let path = "/nowhere/at/all";
        let starting = start_unix_server(async move |_, _| _ = &a, path);
        let refused = lp.run_until_complete(starting.into_future());
        assert!(matches!(refused, Err(Error::Io(_))));
        let starting = start_server(async move |_, _| _ = &b, "127.0.0.1", 0).limit(0);
        let refused = lp.run_until_complete(starting.into_future());
        assert!(matches!(refused, Err(Error::Value(_))));
        lp.close()
    });
}

#[test]
fn a_handler_that_is_replaced_while_it_runs_may_panic_when_it_is_dropped() {
    explodes!(1, || {
        let lp = virtual_loop();
        let bomb = Bomb;
        lp.set_exception_handler(Some(move |lp: &EventLoop, _: &ExceptionContext| {
            let _ = &bomb;
            lp.clear_exception_handler();
        }));
        lp.call_soon(|| Err::<(), _>(Error::msg("reported")))?;
        lp.call_soon(looplab::stop)?;
        lp.run_forever()
    });
}

#[test]
fn a_handler_that_makes_the_next_failed_future_is_called_eight_times_inside_of_itself() {
    let lines = child!(|| {
        logged();
        let lp = virtual_loop();
        lp.set_exception_handler(Some(move |lp: &EventLoop, _: &ExceptionContext| {
            report("handled");
            let next: Future<()> = lp.create_future();
            next.set_error(Error::msg("made by the handler"))
        }));
        let first: Future<()> = lp.create_future();
        first.set_error(Error::msg("the first"))?;
        drop(first);
        let log = logged();
        assert!(matches!(&log[..], [line] if line.contains("made by the handler")), "{log:?}");
        lp.close()
    });
    assert_eq!(lines.fine(), ["handled"; 8]);
}

/// Its `Debug` and `Display` panic.
struct Unspeakable;

impl fmt::Debug for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words");
    }
}

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words");
    }
}

impl std::error::Error for Unspeakable {}

#[test]
fn an_error_whose_debug_panics_is_reported_by_the_default_handler_without_it() {
    let ended = child!(|| {
        let fails = |lp: &EventLoop| {
            lp.call_soon(|| Err::<(), _>(Error::other(Unspeakable)))?;
            drop(lp.create_task(async { Err::<(), _>(Error::other(Unspeakable)) }));
            lp.call_soon(looplab::stop)?;
            lp.run_forever()
        };
        let lp = virtual_loop();
        fails(&lp)?;
        // So far there was no logger, and it went to standard error.
        logged();
        fails(&lp)?;
        for line in logged() {
            report(line.replace('\n', " | "));
        }
        lp.close()
    });
    let told = |text: &str| text.matches("(its Debug or Display panicked)").count();
    assert_eq!(told(&ended.stderr), 2, "{}", ended.stderr);
    let lines = ended.fine();
    assert_eq!((lines.len(), told(&lines.concat())), (2, 2), "{lines:?}");
}

/// Panics with each line.
struct Panics;

impl log::Log for Panics {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        assert!(record.target() != "looplab", "the logger");
    }
    fn flush(&self) {}
}

#[test]
fn what_a_logger_that_panics_does_not_take_goes_to_standard_error() {
    let ended = child!(|| {
        log::set_logger(&Panics).expect("there is none");
        log::set_max_level(log::LevelFilter::Trace);
        let lp = virtual_loop();
        lp.call_soon(|| Err::<(), _>(Error::msg("of a callback")))?;
        drop(lp.create_task(async { Err::<(), _>(Error::msg("of a task")) }));
        let bomb = Bomb;
        lp.call_later(HOUR, move || drop(bomb))?;
        lp.call_soon(looplab::stop)?;
        lp.run_forever()?;
        lp.close()
    });
    for text in ["of a callback", "of a task", "a destructor panicked: boom"] {
        assert!(ended.stderr.contains(text), "{}", ended.stderr);
    }
    ended.fine();
}

#[test]
fn a_pool_outlives_a_logger_that_panics_on_its_thread() {
    child!(|| {
        log::set_logger(&Panics).expect("there is none");
        log::set_max_level(log::LevelFilter::Trace);
        let lp = EventLoop::new()?;
        let pool = Executor::new(1);
        let bomb = Bomb;
        // The result is lost and logged on the thread, and so is the panic of its destructor.
        let (end, ended) = channel::<()>();
        drop(lp.run_in(&pool, move || {
            let _ = ended.recv();
            bomb
        })?);
        lp.close()?;
        drop(end);
        pool.shutdown(true, false)?;
        assert_eq!((pool.threads(), EXPLODED.load(SeqCst)), (0, 1));
        Ok::<(), Error>(())
    })
    .fine();
}

#[test]
fn a_value_whose_clone_panics_ends_a_shield_with_that_panic() {
    struct Unique;
    impl Clone for Unique {
        fn clone(&self) -> Self {
            panic!("there is one");
        }
    }
    child!(|| {
        let lp = virtual_loop();
        let shielded = lp.run_until_complete(async {
            shield(async {
                yield_now().await?;
                Ok(Unique)
            })
            .await
            .map(drop)
        });
        assert!(matches!(shielded, Err(Error::Panic(text)) if &*text == "there is one"));
        lp.close()
    })
    .fine();
}

#[test]
fn a_pool_whose_name_has_a_nul_byte_refuses_jobs_and_drops_them() {
    explodes!(1, || {
        let lp = EventLoop::new()?;
        let pool = Executor::builder().name("a\0b").build();
        let bomb = Bomb;
        let refused = lp.run_in(&pool, move || drop(bomb));
        let text = "the name of an executor must not contain a NUL byte";
        assert!(matches!(refused, Err(Error::Value(why)) if &*why == text));
        assert!(!lp.run_once()?, "no job is waited for");
        pool.shutdown(true, true)?;
        lp.close()
    });
}

/// Returns a bomb from a body that holds one, so that both explode where the body is awaited and dropped.
fn bomb_in_a_bomb() -> impl std::future::Future<Output = Result<Bomb>> {
    let kept = Bomb;
    std::future::poll_fn(move |_| {
        let _ = &kept;
        std::task::Poll::Ready(Ok(Bomb))
    })
}

#[test]
fn a_body_in_a_scope_and_its_value_may_both_panic_when_they_are_dropped() {
    child!(|| {
        let lp = virtual_loop();
        let boom = |error: &Error| matches!(error, Error::Panic(text) if &**text == "boom");
        let ended = [
            lp.run_until_complete(timeout(HOUR, bomb_in_a_bomb())),
            lp.run_until_complete(timeout_at(lp.time() + HOUR, bomb_in_a_bomb())),
            lp.run_until_complete(wait_for(bomb_in_a_bomb(), HOUR)),
        ];
        assert!(ended.iter().all(|ended| ended.as_ref().is_err_and(boom)));
        let group = lp.run_until_complete(TaskGroup::scope(|_| bomb_in_a_bomb()));
        assert!(matches!(group, Err(Error::Group(errors)) if errors.iter().all(boom)));
        lp.close()
    })
    .fine();
}

#[test]
fn what_a_call_refuses_is_dropped_without_a_panic() {
    explodes!(9, || {
        let lp = virtual_loop();
        let pool = Executor::new(1);
        let done: Future<Rc<Bomb>> = lp.create_future();
        done.cancel();
        assert!(done.set_result(Rc::new(Bomb)).is_err());
        let full = Queue::new(1);
        full.put_nowait(Bomb)?;
        assert!(full.put_nowait(Bomb).is_err());
        lp.close()?;
        let [a, b, c, d, e, f] = [0; 6].map(|_| Bomb);
        assert!(lp.call_soon(move || drop(a)).is_err());
        assert!(lp.call_later(HOUR, move || drop(b)).is_err());
        assert!(lp.create_task(async move { drop(c) }).result().is_err());
        assert!(lp.run_in(&pool, move || drop(d)).is_err());
        assert!(lp.add_reader(&std::io::stdin(), move || _ = &e).is_err());
        let remote = lp.remote();
        let refused = thread::spawn(move || remote.call_soon(move || drop(f)).is_err());
        assert!(refused.join().expect("no panic"));
        Ok(())
    });
}

#[test]
fn a_comparison_and_the_destructor_of_the_item_that_is_popped_may_both_panic() {
    struct Ranked(#[allow(dead_code, reason = "it is only dropped")] Bomb);
    impl Ord for Ranked {
        fn cmp(&self, _: &Self) -> std::cmp::Ordering {
            if QUIET.load(SeqCst) == 0 { std::cmp::Ordering::Less } else { panic!("no order") }
        }
    }
    impl PartialOrd for Ranked {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }
    impl PartialEq for Ranked {
        fn eq(&self, _: &Self) -> bool {
            true
        }
    }
    impl Eq for Ranked {}
    static QUIET: AtomicUsize = AtomicUsize::new(0);
    explodes!(3, || {
        let queue = PriorityQueue::new(0);
        for bomb in [Bomb, Bomb, Bomb] {
            queue.put_nowait(Ranked(bomb))?;
        }
        QUIET.store(1, SeqCst);
        assert!(catch_unwind(AssertUnwindSafe(|| queue.get_nowait().map(std::mem::forget))).is_err());
        Ok(())
    });
}
