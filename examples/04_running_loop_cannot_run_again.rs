//! You cannot run a loop from inside one of its own callbacks.
//!
//! run_until_complete() in a callback is refused, even right after stop(). So is asyncio.run(), and a
//! second loop cannot run on the same thread either. The callback is not stuck. An error that it does
//! not catch goes to the exception handler, and the earlier stop() still takes effect. Outside, after
//! run_forever(), the same call works.

use looplab::{EventLoop, ExceptionContext, Result, get_running_loop};

async fn cleanup() {
    println!("cleanup: ran");
}

fn handler(_: &EventLoop, context: &ExceptionContext) {
    if let Some(error) = context.error() {
        println!("handler: {error}");
    }
}

fn attempt(name: &str, result: Result<()>) {
    match result {
        Ok(()) => println!("{name}: ran"),
        Err(error) => println!("{name}: {error}"),
    }
}

fn callback() -> Result<()> {
    let lp = get_running_loop()?;
    lp.stop();
    attempt("same loop", lp.run_until_complete(cleanup()));
    attempt("asyncio.run", looplab::run(cleanup()));
    attempt("other loop", EventLoop::new()?.run_until_complete(cleanup()));
    println!("the loop is {}", if lp.is_running() { "still running" } else { "not running" });
    lp.run_until_complete(cleanup())?; // the error leaves the callback here
    println!("never reached");
    Ok(())
}

fn main() -> Result<()> {
    let lp = EventLoop::new()?;
    lp.set_exception_handler(Some(handler));
    lp.call_soon(callback)?;
    lp.run_forever()?;
    println!("run_forever returned");
    lp.run_until_complete(cleanup())?; // the safe place
    lp.close()
}

// Explained in docs/lessons/stopping.md.
// Next: 05_create_task_after_stop.rs
