//! Exception handler, cleanup, stop: how this order turns into an endless loop.
//!
//! An error that is raised while cleaning up calls the handler again. Without a guard every error
//! starts another cleanup (here cut after three). With a guard there is one cleanup, and the loop
//! stops. The first error was kept, so the program can deal with it outside.

use looplab::{Error, EventLoop, ExceptionContext, Result, Task, yield_now};
use std::cell::{Cell, OnceCell};
use std::rc::Rc;

async fn job() -> Result<()> {
    Err(Error::msg("boom"))
}

async fn cleanup(n: u32) -> Result<()> {
    println!("  cleanup {n}");
    yield_now().await
}

fn failing_stop(_task: &Task<()>) -> Result<()> {
    Err(Error::msg("a done callback failed"))
}

fn scenario(guard: bool) -> Result<()> {
    let lp = EventLoop::new()?;
    let first_error = Rc::new(OnceCell::new());
    let (first, cleanups) = (first_error.clone(), Cell::new(0));
    lp.set_exception_handler(Some(move |lp: &EventLoop, context: &ExceptionContext| {
        let error = context.error().expect("here something failed");
        println!("  handler: {error}");
        first.get_or_init(|| error.clone());
        if guard && cleanups.get() > 0 {
            return Ok(());
        }
        if cleanups.get() == 3 {
            println!("  (giving up: this would go on for ever)");
            lp.stop();
            return Ok(());
        }
        cleanups.set(cleanups.get() + 1);
        let task = Task::builder().name("cleanup").spawn_on(lp, cleanup(cleanups.get()));
        task.add_done_callback(failing_stop);
        if guard {
            task.add_done_callback(|_| looplab::stop());
        }
        Ok(())
    }));
    Task::builder().name("job").spawn_on(&lp, job());
    lp.run_forever()?;
    lp.close()?;
    println!("  stopped; the first error: {}", first_error.get().expect("job failed"));
    Ok(())
}

fn main() -> Result<()> {
    println!("no guard");
    scenario(false)?;
    println!("guard");
    scenario(true)
}

// Explained in docs/lessons/callbacks-and-errors.md.
// Next: 39_what_an_exception_context_says.rs
