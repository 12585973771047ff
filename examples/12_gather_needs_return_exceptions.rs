//! Without return_exceptions the shutdown dies at its own gather().
//!
//! gather() of cancelled tasks fails with the first cancellation, at once. So the line after it, which
//! would stop the loop, is never reached, and slower tasks have not finished their cleanup yet. The
//! shutdown looks "cancelled", although no code cancelled it.

use looplab::{EventLoop, Result, ReturnWhen, Task, gather, sleep, wait, yield_now};
use std::time::Duration;

async fn worker(name: &'static str, cleanup_time: Duration) -> Result<()> {
    let ended = sleep(Duration::from_secs(3600)).await;
    sleep(cleanup_time).await?;
    println!("  {name}: cleaned up");
    ended
}

async fn shutdown(workers: Vec<Task<()>>, return_exceptions: bool) -> Result<()> {
    for task in &workers {
        task.cancel();
    }
    if return_exceptions {
        gather(&workers).return_exceptions().await?;
    } else {
        gather(&workers).await?; // raises: the rest of this function does not run
    }
    println!("  shutdown: now the loop can be stopped");
    Ok(())
}

async fn scenario(return_exceptions: bool) -> Result<()> {
    let quick = Task::builder().name("quick").spawn(worker("quick", Duration::ZERO));
    let slow = Task::builder().name("slow").spawn(worker("slow", Duration::from_millis(100)));
    let workers = vec![quick, slow];
    yield_now().await?; // let them start
    let shutdown = Task::builder().name("shutdown").spawn(shutdown(workers.clone(), return_exceptions));
    wait([shutdown.clone()], ReturnWhen::AllCompleted, None).await?;
    println!("  the shutdown {}", if shutdown.cancelled() { "was cancelled" } else { "returned" });
    wait(workers, ReturnWhen::AllCompleted, None).await?;
    Ok(())
}

fn main() -> Result<()> {
    println!("gather");
    EventLoop::new()?.run_until_complete(scenario(false))?;
    println!("gather with return_exceptions");
    EventLoop::new()?.run_until_complete(scenario(true))
}

// Explained in docs/lessons/shutdown.md.
// Next: 26_stop_does_not_cancel.rs
