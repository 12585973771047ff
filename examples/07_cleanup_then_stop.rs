//! The safe order: the signal makes the cleanup task, and its done callback stops the loop.
//!
//! Everything that the cleanup awaits happens before run_forever() returns. A cleanup that fails stops
//! the loop as well. The task is kept, so its result or error can be read after the run.

use looplab::{Error, EventLoop, Result, Signal, Task, signal, sleep};
use std::{cell::Cell, rc::Rc, time::Duration};

const MOMENT: Duration = Duration::from_millis(20);

async fn nested() -> Result<()> {
    sleep(MOMENT).await?;
    println!("  nested: work");
    Ok(())
}

async fn cleanup(works: bool) -> Result<()> {
    println!("  cleanup: begin");
    sleep(MOMENT).await?;
    Task::builder().name("nested").spawn(nested()).await?;
    if !works {
        return Err(Error::msg("disk full"));
    }
    println!("  cleanup: end");
    Ok(())
}

fn scenario(works: bool) -> Result<()> {
    let lp = EventLoop::new()?;
    let kept = Rc::new(Cell::new(None));
    let keep = kept.clone();
    lp.add_signal_handler(Signal::SIGTERM, move || {
        let task = Task::builder().name("cleanup").spawn(cleanup(works));
        task.add_done_callback(|_| looplab::stop());
        keep.set(Some(task));
    })?;
    lp.call_soon(|| signal::raise(Signal::SIGTERM))?;
    lp.run_forever()?;
    let task = kept.take().expect("the loop stops when this task is done");
    match task.result() {
        Ok(()) => println!("  stopped; the cleanup worked"),
        Err(error) => println!("  stopped; the cleanup failed: {error}"),
    }
    lp.close()
}

fn main() -> Result<()> {
    println!("a cleanup that works");
    scenario(true)?;
    println!("a cleanup that fails");
    scenario(false)
}

// Explained in docs/lessons/callbacks-and-errors.md.
// Next: 08_errors_stay_inside.rs
