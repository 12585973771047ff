//! A task that is made while its maker is being cancelled has nobody who waits for it.
//!
//! At its end `run` cancels the tasks that there are at that moment, once, and waits for those. A task that
//! one of them makes on its way out is not among them: it begins, and is destroyed at its first await, when
//! the loop is closed. To await the work instead, in the task that is being cancelled, completes it.

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
