//! Cancelling a future, cancelling a task, and ending with a cancellation of its own are three things.
//!
//! A future is cancelled at once. `cancel()` on a task is a request: the task gets the cancellation at its
//! await, in its next turn, and may clean up. A task that was not started yet never runs. A task that ends
//! with a cancellation of its own making is cancelled too. On a done future or task `cancel()` returns
//! false. Code that awaits a cancelled task gets the cancellation as an error, and is not cancelled by it.

use looplab::{Error, EventLoop, Result, ReturnWhen, Task, get_running_loop, wait, yield_now};
use std::time::Duration;

async fn sleeper() -> Result<()> {
    println!("  sleeper: started");
    let slept = looplab::sleep(Duration::from_secs(3600)).await;
    println!("  sleeper: cleans up");
    slept
}

async fn quits() -> Result<()> {
    Err(Error::cancelled())
}

async fn ended(task: &Task<()>) -> Result<()> {
    wait([task.clone()], ReturnWhen::AllCompleted, None).await?;
    println!("  ended, cancelled: {}", task.cancelled());
    Ok(())
}

async fn program() -> Result<()> {
    println!("a future");
    let future = get_running_loop()?.create_future::<()>();
    println!("  accepted: {}, cancelled at once: {}", future.cancel(), future.cancelled());
    println!("  again: {}", future.cancel());

    println!("a task that waits");
    let task = Task::builder().name("sleeper").spawn(sleeper());
    yield_now().await?;
    println!("  accepted: {}, cancelled at once: {}", task.cancel(), task.cancelled());
    ended(&task).await?;
    println!("  again: {}", task.cancel());

    println!("a task that has not started");
    let task = Task::builder().name("sleeper").spawn(sleeper());
    println!("  accepted: {}, cancelled at once: {}", task.cancel(), task.cancelled());
    ended(&task).await?;

    println!("a task that does it itself");
    let task = Task::builder().name("quits").spawn(quits());
    ended(&task).await?;
    if let Err(Error::Cancelled(_)) = task.await {
        println!("  who awaits it gets the cancellation, and goes on");
    }
    Ok(())
}

fn main() -> Result<()> {
    EventLoop::new()?.run_until_complete(program())
}

// Explained in docs/lessons/cancellation.md.
// Next: 11_cancel_all_then_stop.rs
