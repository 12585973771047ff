//! A done callback gets the task; one that fails does not stop the loop.
//!
//! stop() takes no argument, so stop() itself is no done callback: in Python the call fails in the loop, in
//! Rust `add_done_callback(looplab::stop)` does not compile. A callback that reads the task's result before
//! it stops fails with the task. Both times the error goes to the exception handler and the loop keeps
//! running; a callback that only stops works.

use looplab::{Error, EventLoop, ExceptionContext, Result, Task};
use std::time::Duration;

async fn cleanup(works: bool) -> Result<()> {
    println!("  cleanup");
    if works { Ok(()) } else { Err(Error::msg("disk full")) }
}

/// Not `looplab::stop`, which is refused here, but the nearest that compiles.
fn stop_itself(_task: &Task<()>) -> Result<()> {
    Err(Error::msg("stop() takes 0 arguments but 1 was given"))
}

fn read_then_stop(task: &Task<()>) -> Result<()> {
    task.result()?;
    looplab::stop()
}

fn only_stop(_task: &Task<()>) -> Result<()> {
    looplab::stop()
}

fn give_up() -> Result<()> {
    println!("  still running after cleanup");
    looplab::stop()
}

fn handler(_: &EventLoop, _: &ExceptionContext) {
    println!("  handler: the callback failed");
}

fn scenario<F>(title: &str, works: bool, callback: F) -> Result<()>
where
    F: FnOnce(&Task<()>) -> Result<()> + 'static,
{
    println!("{title}");
    let lp = EventLoop::new()?;
    lp.set_exception_handler(Some(handler));
    let rescue = lp.call_later(Duration::from_millis(100), give_up)?;
    Task::builder().name("cleanup").spawn_on(&lp, cleanup(works)).add_done_callback(callback);
    lp.run_forever()?;
    rescue.cancel();
    println!("  stopped");
    lp.close()
}

fn main() -> Result<()> {
    scenario("stop() itself", true, stop_itself)?;
    scenario("the result, then stop()", false, read_then_stop)?;
    scenario("only stop()", true, only_stop)
}

// Explained in docs/lessons/callbacks-and-errors.md.
// Next: 07_cleanup_then_stop.rs
