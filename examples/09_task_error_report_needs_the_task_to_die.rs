//! The exception handler gets the error of a failed task only when its last handle is dropped.
//!
//! While the task is kept, nothing is reported. Dropping the last handle reports "Task exception was
//! never retrieved". Code that reads the error first, or awaits the task, silences the report. A done
//! callback sees the failure one turn later, whether or not the task is kept.

use looplab::{Error, EventLoop, ExceptionContext, Result, Task};
use std::time::Duration;

async fn job() -> Result<()> {
    Err(Error::msg("boom"))
}

fn handler(_: &EventLoop, context: &ExceptionContext) {
    println!("  handler: {}", context.message());
}

fn start(lp: &EventLoop) -> Task<()> {
    Task::builder().name("job").spawn_on(lp, job())
}

fn spin(lp: &EventLoop) -> Result<()> {
    lp.call_later(Duration::from_millis(100), looplab::stop)?;
    lp.run_forever()
}

fn print_error(what: &str, task: &Task<()>) -> Result<()> {
    if let Some(error) = task.error()? {
        println!("  {what}: {error}");
    }
    Ok(())
}

fn main() -> Result<()> {
    let lp = EventLoop::new()?;
    lp.set_exception_handler(Some(handler));

    println!("it is not kept");
    start(&lp);
    spin(&lp)?;

    println!("kept");
    let task = start(&lp);
    spin(&lp)?;
    println!("  the task is {}", if task.done() { "done" } else { "pending" });
    println!("dropped");
    drop(task);

    println!("retrieved, then dropped");
    let task = start(&lp);
    spin(&lp)?;
    print_error("retrieved", &task)?;
    drop(task);

    println!("done callback");
    let task = start(&lp);
    task.add_done_callback(|task| print_error("callback saw", task));
    spin(&lp)?;
    lp.close()
}
