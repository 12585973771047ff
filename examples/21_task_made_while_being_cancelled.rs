//! No code waits for a task that another task makes while it is being cancelled.
//!
//! At its end `run` cancels the tasks that exist at that moment, once, and waits for them. A task that
//! one of them makes then is not among them. It begins, but it has only the few turns that `run` still
//! makes, and the closing loop destroys it. Work that the cancelled task itself awaits is completed.

use looplab::{EventLoop, ExceptionContext, Result, Task, get_running_loop, sleep, yield_now};
use std::time::Duration;

async fn send_event(text: &str) -> Result<()> {
    println!("  event: begins");
    sleep(Duration::from_millis(20)).await?;
    println!("  event: \"{text}\" is sent");
    Ok(())
}

async fn connection(await_it: bool) -> Result<()> {
    let ended = sleep(Duration::from_secs(3600)).await;
    println!("  connection: cancelled");
    if await_it {
        send_event("dropped").await?; // the cancellation was delivered: the task may await again
    } else {
        Task::builder().name("event").spawn(send_event("dropped")); // the pitfall
    }
    ended
}

fn report(_: &EventLoop, context: &ExceptionContext) {
    let name = context.task().map_or("", |task| &task.name);
    println!("  handler: {} ({name})", context.message());
}

async fn program(await_it: bool) -> Result<()> {
    get_running_loop()?.set_exception_handler(Some(report));
    Task::builder().name("connection").spawn(connection(await_it));
    yield_now().await?;
    println!("  main: returns");
    Ok(())
}

fn main() -> Result<()> {
    for (title, await_it) in [("create_task", false), ("await", true)] {
        println!("{title}");
        looplab::run(program(await_it))?;
        println!("  the run is over");
    }
    Ok(())
}

// Explained in docs/lessons/combinators.md.
// Next: 33_shield.rs
