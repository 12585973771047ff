//! What an exception context says: the message, the error, and what it is about.
//!
//! The exception handler gets reports of several kinds. Each has a message. An error is there unless a pending
//! task was destroyed. Then comes what the report is about: the callback that failed, the task, or the future. A
//! report that the program makes itself has what the program puts into it. So a handler takes no part for granted.

use looplab::{Error, EventLoop, ExceptionContext, Result, Task, sleep};
use std::time::Duration;

fn bad_callback() -> Result<()> {
    Err(Error::msg("boom"))
}

async fn bad_task() -> Result<()> {
    Err(Error::msg("boom"))
}

async fn patient() -> Result<()> {
    sleep(Duration::from_secs(3600)).await
}

fn about(context: &ExceptionContext) -> String {
    match (context.handle(), context.task(), context.future()) {
        (Some(_), ..) => "a callback".to_owned(),
        (_, Some(task), _) => format!("the task {}", task.name),
        (.., Some(_)) => "a future".to_owned(),
        _ => "nothing".to_owned(),
    }
}

fn handler(_: &EventLoop, context: &ExceptionContext) {
    // The rest of a callback's message is its name and place.
    println!("  message: {}", context.message().split(" bad_callback").next().unwrap_or_default());
    println!("  error: {}", context.error().map_or("none".to_owned(), Error::to_string));
    println!("  about: {}", about(context));
}

fn main() -> Result<()> {
    let lp = EventLoop::new()?;
    lp.set_exception_handler(Some(handler));
    println!("a callback fails");
    lp.call_soon(bad_callback)?;
    lp.run_once()?;
    println!("a task fails, and is not kept");
    Task::builder().name("bad").spawn_on(&lp, bad_task());
    lp.run_once()?;
    println!("a future fails, and is dropped");
    let future = lp.create_future::<()>();
    future.set_error(Error::msg("boom"))?;
    drop(future);
    println!("the program reports something");
    lp.call_exception_handler(&ExceptionContext::new("by hand"));
    println!("a pending task is destroyed");
    Task::builder().name("patient").spawn_on(&lp, patient());
    lp.run_once()?;
    lp.close()
}

// Explained in docs/lessons/callbacks-and-errors.md.
// Next: 13_signal_late_binding.rs
