//! A cancellation is delivered only where a task really suspends.
//!
//! A task that never suspends cannot be cancelled, because no other code runs before it ends. An await
//! that does not suspend changes nothing. `sleep(0)` (`yield_now` here) is a suspension, so the task is
//! cancelled at its second step. A request is kept until the next suspension: a task that cancels
//! itself runs on to its next real await.

use looplab::{Error, EventLoop, Result, ReturnWhen, Task, current_task, wait, yield_now};
use std::cell::Cell;
use std::rc::Rc;

async fn no_suspension() -> Result<()> {
    Ok(())
}

async fn work(kind: &'static str, steps: Rc<Cell<u32>>) -> Result<()> {
    for _ in 0..1000 {
        steps.set(steps.get() + 1);
        match kind {
            "sleep(0)" => yield_now().await?,
            "a coroutine" => no_suspension().await?,
            _ => (),
        }
    }
    Ok(())
}

async fn scenario(kind: &'static str) -> Result<()> {
    let steps = Rc::new(Cell::new(0));
    let task = Task::builder().name(kind).spawn(work(kind, steps.clone()));
    yield_now().await?;
    yield_now().await?;
    let before = steps.get();
    let accepted = task.cancel();
    wait([task.clone()], ReturnWhen::AllCompleted, None).await?;
    let cancelled = task.cancelled();
    println!("awaits {kind:12} steps before: {before:4}, accepted: {accepted}, cancelled: {cancelled}");
    Ok(())
}

async fn cancels_itself() -> Result<()> {
    let this = current_task().ok_or(Error::NoRunningLoop)?;
    this.cancel();
    println!("  requested, still running");
    no_suspension().await?;
    println!("  awaited what does not suspend, still running");
    yield_now().await?;
    println!("  never printed");
    Ok(())
}

async fn program() -> Result<()> {
    for kind in ["nothing", "a coroutine", "sleep(0)"] {
        scenario(kind).await?;
    }
    println!("cancels itself");
    let task = Task::builder().name("cancels itself").spawn(cancels_itself());
    wait([task.clone()], ReturnWhen::AllCompleted, None).await?;
    println!("  cancelled: {}", task.cancelled());
    Ok(())
}

fn main() -> Result<()> {
    EventLoop::new()?.run_until_complete(program())
}

// Explained in docs/lessons/cancellation.md.
// Next: 19_ways_to_cancel.rs
