//! Another callback stops the loop while `run_until_complete` waits for its task.
//!
//! `run_until_complete` fails with `Event loop stopped before Future completed.` The task is neither
//! done nor cancelled, and another run completes it. If a body was given instead of a task, the caller
//! has no handle and must look among the loop's tasks. So make a task and keep it.

use looplab::{EventLoop, Result, Task, sleep};
use std::time::Duration;

async fn work() -> Result<&'static str> {
    println!("  work: begin");
    sleep(Duration::from_millis(60)).await?;
    println!("  work: end");
    Ok("result")
}

fn main() -> Result<()> {
    let lp = EventLoop::new()?;

    println!("a task that is kept");
    let task = Task::builder().name("work").spawn_on(&lp, work());
    lp.call_later(Duration::from_millis(20), looplab::stop)?;
    if let Err(error) = lp.run_until_complete(&task) {
        println!("  {error}");
    }
    println!("  done: {}, cancelled: {}", task.done(), task.cancelled());
    println!("  another run: {}", lp.run_until_complete(&task)?);

    println!("a body");
    lp.call_later(Duration::from_millis(20), looplab::stop)?;
    if let Err(error) = lp.run_until_complete(work()) {
        println!("  {error}");
    }
    let left = lp.all_tasks();
    println!("  tasks left on the loop: {}", left.len());
    for task in left {
        lp.run_until_complete(task)?;
    }
    lp.close()
}

// Explained in docs/lessons/lifecycle.md.
// Next: 36_keep_a_reference.rs
