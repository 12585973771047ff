//! Values that own the next of their kind are dropped without recursion, however long the chain.
//!
//! Each test runs in a process of its own, because an overflow of the stack ends the process.

use crate::panics::virtual_loop;
use looplab::sync::Queue;
use looplab::{
    Coroutine, Error, ExceptionContext, Future, RemoteTask, Result, Task, run_coroutine_threadsafe, shield,
    yield_now,
};
use std::thread;
use std::time::Duration;
use support::child;

const HOUR: Duration = Duration::from_secs(3600);

/// Runs `code` on a thread with a small stack, on which a recursion through thousands of values would overflow.
fn on_a_small_stack(code: fn() -> Result<()>) {
    let thread = thread::Builder::new().stack_size(128 * 1024).spawn(code).expect("a thread");
    thread.join().expect("it does not panic").expect("no error");
}

#[test]
fn shields_of_shields_are_dropped_without_recursion() {
    child!(|| {
        on_a_small_stack(|| {
            let lp = virtual_loop();
            let innermost: Future<()> = lp.create_future();
            let first = innermost.clone();
            lp.run_until_complete(async move {
                let mut outermost = shield(&first);
                for _ in 0..50_000 {
                    outermost = shield(outermost);
                }
                Ok(())
            })?;
            drop(innermost);
            lp.close()
        });
    })
    .fine();
}

#[test]
fn shields_of_shields_end_one_after_the_other_without_recursion() {
    child!(|| {
        on_a_small_stack(|| {
            let lp = virtual_loop();
            let innermost: Future<u32> = lp.create_future();
            let setter = innermost.clone();
            let value = lp.run_until_complete(async move {
                let mut outermost = shield(&innermost);
                for _ in 0..50_000 {
                    outermost = shield(outermost);
                }
                setter.set_result(7)?;
                outermost.await
            })?;
            assert_eq!(value, 7);
            lp.close()
        });
    })
    .fine();
}

#[test]
fn futures_whose_callbacks_own_the_next_are_dropped_without_recursion() {
    child!(|| {
        on_a_small_stack(|| {
            let lp = virtual_loop();
            let mut future: Future<()> = lp.create_future();
            for _ in 0..100_000 {
                let next = lp.create_future();
                next.add_done_callback(move |_| drop(future));
                future = next;
            }
            drop(future);
            lp.close()
        });
    })
    .fine();
}

#[test]
fn results_that_hold_the_next_task_or_future_are_dropped_without_recursion() {
    struct InTask(#[allow(dead_code, reason = "it is only dropped")] Option<Task<InTask>>);
    struct InFuture(#[allow(dead_code, reason = "it is only dropped")] Option<Future<InFuture>>);
    child!(|| {
        on_a_small_stack(|| {
            let lp = virtual_loop();
            let (mut task, mut future) = (None, None);
            for _ in 0..100_000 {
                task = Some(lp.create_task(async move { Ok(InTask(task)) }));
                let next = lp.create_future();
                next.set_result(InFuture(future))?;
                future = Some(next);
            }
            lp.stop();
            lp.run_forever()?;
            drop((task, future));
            lp.close()
        });
    })
    .fine();
}

#[test]
fn results_that_hold_the_next_remote_task_are_dropped_without_recursion() {
    struct InRemote(#[allow(dead_code, reason = "it is only dropped")] Option<RemoteTask<InRemote>>);
    child!(|| {
        on_a_small_stack(|| {
            let lp = virtual_loop();
            let remote = lp.remote();
            let mut task = None;
            for _ in 0..10_000 {
                task = Some(run_coroutine_threadsafe(&remote, async move { Ok(InRemote(task)) }));
            }
            lp.run_until_complete(async {
                yield_now().await?;
                yield_now().await?;
                yield_now().await
            })?;
            assert!(task.as_ref().is_some_and(RemoteTask::done));
            drop(task);
            lp.close()
        });
    })
    .fine();
}

#[test]
fn queues_and_coroutines_that_hold_the_next_are_dropped_without_recursion() {
    struct InQueue(#[allow(dead_code, reason = "it is only dropped")] Option<Queue<InQueue>>);
    child!(|| {
        on_a_small_stack(|| {
            let (mut queue, mut coroutine) = (None, None::<Coroutine<()>>);
            for _ in 0..100_000 {
                let next = Queue::new(0);
                next.put_nowait(InQueue(queue))?;
                queue = Some(next);
                coroutine = Some(Coroutine::new(async move { drop(coroutine) }));
            }
            drop((queue, coroutine));
            Ok(())
        });
    })
    .fine();
}

#[test]
fn handles_whose_callbacks_own_the_next_are_dropped_without_recursion() {
    child!(|| {
        on_a_small_stack(|| {
            let lp = virtual_loop();
            let (mut handle, mut timer) = (None, None);
            for _ in 0..100_000 {
                handle = Some(lp.call_soon(move || drop(handle))?);
                timer = Some(lp.call_later(HOUR, move || drop(timer))?);
            }
            lp.close()?;
            drop((handle, timer));
            Ok(())
        });
    })
    .fine();
}

#[test]
fn groups_in_groups_are_shown_and_dropped_without_recursion() {
    child!(|| {
        on_a_small_stack(|| {
            let mut error = Error::msg("the innermost");
            for _ in 0..1_000_000 {
                error = Error::Group(vec![error].into());
            }
            assert_eq!(error.to_string(), "unhandled errors in a TaskGroup (1 sub-exception)");
            let shown = format!("{error:?}");
            assert_eq!(shown.lines().count(), 11);
            assert!(
                shown.ends_with("\n                              ... (max_group_depth is 10)"),
                "{shown}"
            );
            let lp = virtual_loop();
            lp.call_exception_handler(&ExceptionContext::new("nested").with_error(error));
            lp.close()
        });
    })
    .fine();
}
