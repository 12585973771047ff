//! The exception handler gets the error of a failed task only when its last handle is dropped.
//!
//! While the task is kept, nothing is reported. Dropping the last handle reports "Task exception was
//! never retrieved". Code that reads the error first, or awaits the task, silences the report. A done
//! callback sees the failure one turn later, whether or not the task is kept. The task that created the
//! failed one gets nothing of it, unless it is the one that awaits.

use looplab::{Error, EventLoop, ExceptionContext, Result, Task, get_running_loop, sleep};
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

async fn awaiter(task: Task<()>) -> Result<()> {
    if let Err(error) = task.await {
        println!("  the awaiter gets: {error}");
    }
    Ok(())
}

async fn creator() -> Result<()> {
    let task = start(&get_running_loop()?);
    let waits = Task::builder().name("awaiter").spawn(awaiter(task));
    sleep(Duration::from_millis(50)).await?;
    println!("  the creator goes on");
    waits.await
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

    println!("created here, awaited there");
    let _task = Task::builder().name("creator").spawn_on(&lp, creator());
    spin(&lp)?;
    lp.close()
}

// Explained in docs/lessons/callbacks-and-errors.md.
// Next: 10_error_then_cleanup_then_stop.rs
