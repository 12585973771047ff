//! A lock released by hand stays locked if a cancellation comes before the release.
//!
//! The release is a line of code, and an await above it can fail. A guard releases the lock wherever the
//! function is left.

use looplab::explore::Explore;
use looplab::sync::Lock;
use looplab::{Result, ReturnWhen, Task, create_task, gather, sleep, wait, yield_now};
use std::time::Duration;

/// How long the lock is held.
const HOLDING: Duration = Duration::from_millis(5);

/// As it is often written.
async fn by_hand(lock: Lock) -> Result<()> {
    lock.acquire().await?;
    sleep(HOLDING).await?;
    lock.release()
}

/// Mended.
async fn with_a_guard(lock: Lock) -> Result<()> {
    let _guard = lock.lock().await?;
    sleep(HOLDING).await
}

/// Cancels a task that holds the lock.
async fn cancelled<H>(hold: fn(Lock) -> H) -> Result<()>
where
    H: Future<Output = Result<()>> + 'static,
{
    let lock = Lock::new();
    let holding = create_task(hold(lock.clone()));
    yield_now().await?;
    holding.cancel();
    wait([holding], ReturnWhen::AllCompleted, None).await?;
    println!("  the task is over, and the lock is {}", if lock.locked() { "locked" } else { "free" });
    Ok(())
}

/// Cancels each of two tasks that use one lock, at each point.
fn explored<H>(hold: fn(Lock) -> H) -> Explore
where
    H: Future<Output = Result<()>> + 'static,
{
    Explore::new(move |world| {
        world.main(async move {
            let lock = Lock::new();
            let tasks = ["first", "second"].map(|name| Task::builder().name(name).spawn(hold(lock.clone())));
            gather(tasks).return_exceptions().await.map(drop)
        })
    })
    .stops()
    .cancel("first")
    .cancel("second")
}

fn main() -> Result<()> {
    println!("cancelled while it holds the lock");
    looplab::run(cancelled(by_hand))?;
    println!("mended");
    looplab::run(cancelled(with_a_guard))?;
    // What the explorer says goes to standard error, because CPython has no explorer.
    eprintln!("as written\n{}", explored(by_hand).run()?);
    eprintln!("mended\n{}", explored(with_a_guard).run()?);
    Ok(())
}

// Explained in docs/lessons/exploring.md.
// Next: 50_second_cancel_hits_the_cleanup.rs
