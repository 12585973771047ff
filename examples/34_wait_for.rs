//! A time limit is a cancellation, and the cleanup has no limit.
//!
//! When its time is over, `wait_for` cancels what it waits for, waits until that has cleaned up, and only
//! then fails. If the cleanup swallows the cancellation, there is no timeout at all. A late value is
//! returned. `wait` with a timeout cancels nothing: ask, wait for a bounded time, and look at what is left.

use looplab::{Error, EventLoop, Result, ReturnWhen, Task, sleep, wait, wait_for};
use std::time::Duration;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

async fn slow(swallow: bool) -> Result<&'static str> {
    let ended = sleep(Duration::from_secs(3600)).await;
    sleep(ms(20)).await?;
    println!("  slow: cleaned up");
    if swallow { Ok("a late value") } else { ended.map(|()| "in time") }
}

async fn bounded(swallow: bool) {
    match wait_for(slow(swallow), ms(10)).await {
        Ok(value) => println!("  wait_for gave {value}"),
        Err(Error::TimedOut) => println!("  wait_for timed out"),
        Err(error) => println!("  wait_for failed: {error}"),
    }
}

async fn two_stages() -> Result<()> {
    let task = Task::builder().name("slow").spawn(slow(false));
    let (done, pending) = wait([task.clone()], ReturnWhen::AllCompleted, Some(ms(10))).await?;
    println!(
        "  wait: {} done, {} pending, asked to cancel: {}",
        done.len(),
        pending.len(),
        task.cancelling()
    );
    task.cancel();
    let (done, pending) = wait([task], ReturnWhen::AllCompleted, Some(ms(1000))).await?;
    println!("  after cancel(): {} done, {} pending", done.len(), pending.len());
    Ok(())
}

async fn program() -> Result<()> {
    println!("the cleanup passes the cancellation on");
    bounded(false).await;
    println!("the cleanup swallows it");
    bounded(true).await;
    println!("in two stages");
    two_stages().await
}

fn main() -> Result<()> {
    let main = Task::builder().name("main").prepare(program());
    EventLoop::new()?.run_until_complete(main)
}

// Explained in docs/lessons/combinators.md.
// Next: 35_taskgroup.rs
