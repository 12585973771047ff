//! A shield protects from the waiter's cancellation, and from nothing else.
//!
//! If the waiter of a `shield` is cancelled, it gets its cancellation, and the shielded task goes on.
//! So the program has to keep that task and wait for it. Otherwise the end of the run cancels it all
//! the same. And a cancellation of the task itself meets no shield.

use looplab::{Error, Result, ReturnWhen, Task, shield, sleep, wait};
use std::time::Duration;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

async fn commit() -> Result<()> {
    let written = sleep(ms(100)).await;
    println!("  commit: {}", if written.is_ok() { "done" } else { "CANCELLED" });
    written
}

async fn request(commit: Task<()>, waits_for_it: bool) -> Result<()> {
    let outcome = shield(&commit).await;
    if let Err(Error::Cancelled(_)) = outcome {
        println!("  request: cancelled");
        if waits_for_it {
            wait([commit], ReturnWhen::AllCompleted, None).await?; // reads no result
        }
    }
    outcome
}

async fn program(waits_for_it: bool, cancel_the_commit: bool) -> Result<()> {
    let commit = Task::builder().name("commit").spawn(commit());
    let request = Task::builder().name("request").spawn(request(commit.clone(), waits_for_it));
    sleep(ms(10)).await?;
    if cancel_the_commit {
        commit.cancel();
    } else {
        request.cancel();
    }
    wait([request], ReturnWhen::AllCompleted, None).await?;
    println!("  main: returns");
    Ok(())
}

fn main() -> Result<()> {
    println!("the request is cancelled, and waits for the commit");
    looplab::run(program(true, false))?;
    println!("the request is cancelled, and nothing waits for the commit");
    looplab::run(program(false, false))?;
    println!("the commit is cancelled");
    looplab::run(program(false, true))
}

// Explained in docs/lessons/combinators.md.
// Next: 34_wait_for.rs
