//! A shield without a wait leaves its task behind.
//!
//! The shield keeps the cancellation from the commit. But then no code waits for the commit any more, so
//! the end of the program cancels it all the same. The waiter must wait for it, and then pass the
//! cancellation on.

use looplab::explore::Explore;
use looplab::{Result, ReturnWhen, Task, create_task, shield, sleep, wait, yield_now};
use std::time::Duration;

async fn commit() -> Result<()> {
    let written = sleep(Duration::from_millis(100)).await;
    println!("  commit: {}", if written.is_ok() { "done" } else { "cancelled" });
    written
}

/// As it is often written.
async fn request(commit: Task<()>) -> Result<()> {
    shield(commit).await
}

/// Mended: it waits however often it is cancelled.
async fn patient_request(commit: Task<()>) -> Result<()> {
    let mut waited = Ok(());
    while !commit.done() {
        // `wait` does not cancel what it waits for.
        waited = waited.and(wait([commit.clone()], ReturnWhen::AllCompleted, None).await.map(drop));
    }
    waited.and(commit.result())
}

/// Cancels a request whose commit has begun.
async fn cancelled<R>(request: fn(Task<()>) -> R) -> Result<()>
where
    R: Future<Output = Result<()>> + 'static,
{
    let requesting = create_task(request(create_task(commit())));
    yield_now().await?;
    requesting.cancel();
    wait([requesting], ReturnWhen::AllCompleted, None).await?;
    println!("  the request is over");
    Ok(())
}

/// Cancels a request at each point, and at any two.
fn explored<R>(request: fn(Task<()>) -> R) -> Explore
where
    R: Future<Output = Result<()>> + 'static,
{
    Explore::new(move |world| {
        world.main(async move {
            let commit = async { sleep(Duration::from_millis(5)).await };
            request(Task::builder().name("commit").spawn(commit)).await
        })
    })
    .cancel("main")
    .pairs()
}

fn main() -> Result<()> {
    println!("the request is cancelled");
    looplab::run(cancelled(request))?;
    println!("mended");
    looplab::run(cancelled(patient_request))?;
    // What the explorer says goes to standard error, because CPython has no explorer.
    eprintln!("as written\n{}", explored(request).run()?);
    eprintln!("mended\n{}", explored(patient_request).run()?);
    Ok(())
}

// Explained in docs/lessons/exploring.md.
// Next: 54_gather_leaves_its_siblings.rs
