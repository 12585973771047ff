//! Errors do not leave run_forever(), with two exceptions.
//!
//! An error of a callback or of a task goes to the exception handler, and the loop goes on. A request to end
//! the program and Ctrl-C (Python's SystemExit and KeyboardInterrupt, in Rust Error::Exit and
//! Error::KeyboardInterrupt) do leave run_forever(); the task holds them too, and the loop can be run again.

use looplab::{Error, EventLoop, ExceptionContext, Result, Task};
use std::time::Duration;

fn bad_callback() -> Result<()> {
    Err(Error::msg("from callback"))
}

async fn bad_task() -> Result<()> {
    Err(Error::msg("from task"))
}

async fn leave(error: Error) -> Result<()> {
    Err(error)
}

fn shown(error: &Error) -> String {
    match error {
        Error::Exit(status) => format!("exit {status}"),
        Error::KeyboardInterrupt => "keyboard interrupt".to_string(),
        other => other.to_string(),
    }
}

fn handler(_: &EventLoop, context: &ExceptionContext) {
    println!("  handler: {}", context.error().map(shown).unwrap_or_default());
}

fn main() -> Result<()> {
    let lp = EventLoop::new()?;
    lp.set_exception_handler(Some(handler));
    lp.call_soon(bad_callback)?;
    Task::builder().name("bad").spawn_on(&lp, bad_task());
    lp.call_later(Duration::from_millis(20), looplab::stop)?;
    lp.run_forever()?;
    println!("run_forever returned");

    for error in [Error::Exit(3), Error::KeyboardInterrupt] {
        let task = Task::builder().name("leave").spawn_on(&lp, leave(error));
        if let Err(error) = lp.run_forever() {
            println!("out of run_forever came: {}", shown(&error));
        }
        if let Some(error) = task.error()? {
            println!("  the task holds: {}", shown(&error));
        }
    }

    lp.call_soon(looplab::stop)?;
    lp.run_forever()?;
    println!("run_forever returned: the loop is still usable");
    lp.close()
}

// Explained in docs/lessons/callbacks-and-errors.md.
// Next: 09_task_error_report_needs_the_task_to_die.rs
