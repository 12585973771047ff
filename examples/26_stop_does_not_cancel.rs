//! `stop()` and `close()` do not cancel the tasks that are waiting.
//!
//! A signal handler's coroutine stops the loop while a worker waits. The worker is abandoned: its code
//! after the await does not run, and it is reported as `Task was destroyed but it is pending!`. Only the
//! values that it holds are dropped: a destructor runs when the loop is closed. (In Python a `finally` runs
//! when the garbage collector finds the coroutine, up to its first await.) If the handler cancels the other
//! tasks first and gathers them, each gets its cancellation and cleans up while the loop still runs.

use looplab::{EventLoop, ExceptionContext, Result, Signal, Task, signal};
use looplab::{all_tasks, current_task, gather, sleep};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Stands for what a worker holds: a file, a lock.
struct Held;

impl Drop for Held {
    fn drop(&mut self) {
        println!("  worker: lets go");
    }
}

async fn worker() -> Result<()> {
    let _held = Held;
    let slept = sleep(Duration::from_secs(3600)).await;
    println!("  worker: sees the cancellation");
    slept
}

async fn shutdown(cancel_first: bool) -> Result<()> {
    if cancel_first {
        let mut others = all_tasks();
        others.retain(|task| Some(task) != current_task().as_ref());
        for task in &others {
            task.cancel();
        }
        gather(others).return_exceptions().await?;
    }
    println!("  stops the loop");
    looplab::stop()
}

fn scenario(title: &str, cancel_first: bool) -> Result<()> {
    println!("{title}");
    let lp = EventLoop::new()?;
    let reports = Rc::new(RefCell::new(Vec::new()));
    let told = reports.clone();
    lp.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| {
        told.borrow_mut().push(context.message().to_owned());
    }));
    Task::builder().name("worker").spawn_on(&lp, worker());
    lp.add_signal_handler(Signal::SIGTERM, move || {
        Task::builder().name("shutdown").spawn(shutdown(cancel_first));
    })?;
    lp.call_later(Duration::from_millis(10), || signal::raise(Signal::SIGTERM))?;
    lp.run_forever()?;
    println!("  the run is over");
    lp.close()?;
    println!("  reported: {:?}", reports.borrow());
    Ok(())
}

fn main() -> Result<()> {
    scenario("stop and close", false)?;
    scenario("cancel, gather, stop and close", true)
}

// Explained in docs/lessons/shutdown.md.
// Next: 27_shutdown_must_not_cancel_itself.rs
