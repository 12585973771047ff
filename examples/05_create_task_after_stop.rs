//! stop() then create_task() in a signal handler: the cleanup does not start.
//!
//! The task is pending when run_forever() returns. close() then drops it, and reports "Task was
//! destroyed but it is pending!". If the loop runs once more instead, the task finishes.

use looplab::{EventLoop, ExceptionContext, Result, Signal, Task, signal, sleep};
use std::time::Duration;

async fn cleanup() -> Result<()> {
    println!("  cleanup: begin");
    sleep(Duration::from_millis(20)).await?;
    println!("  cleanup: end");
    Ok(())
}

fn on_signal() -> Result<()> {
    looplab::stop()?;
    Task::builder().name("cleanup").spawn(cleanup()); // too late: this turn is the last
    Ok(())
}

fn handler(_: &EventLoop, context: &ExceptionContext) {
    println!("  handler: {}", context.message());
}

fn scenario(run_again: bool) -> Result<()> {
    let lp = EventLoop::new()?;
    lp.set_exception_handler(Some(handler));
    lp.add_signal_handler(Signal::SIGINT, on_signal)?;
    lp.call_soon(|| signal::raise(Signal::SIGINT))?;
    lp.run_forever()?;
    for task in lp.all_tasks() {
        println!("  run_forever returned: {} is pending", task.name());
        if run_again {
            lp.run_until_complete(&task)?;
            println!("  run again: {} is {}", task.name(), if task.done() { "done" } else { "pending" });
        }
    }
    lp.close()?;
    println!("  closed");
    Ok(())
}

fn main() -> Result<()> {
    println!("close at once");
    scenario(false)?;
    println!("run again");
    scenario(true)
}

// Explained in docs/lessons/stopping.md.
// Next: 06_done_callback_gets_the_task.rs
