//! A gathering that fails leaves the other tasks running.
//!
//! `gather` returns with the first failure, and a cancelled child is one. The code after it believes
//! that all is over. A group waits for its other children first.

use looplab::explore::Explore;
use looplab::{Result, ReturnWhen, Task, TaskGroup, all_tasks, create_task, gather, sleep, wait, yield_now};
use std::time::Duration;

async fn fetch() -> Result<()> {
    sleep(Duration::from_millis(100)).await
}

/// As it is often written.
async fn both() -> Result<()> {
    let fetches = ["a", "b"].map(|name| Task::builder().name(name).spawn(fetch()));
    gather(fetches).await.map(drop)
}

/// Mended.
async fn both_in_a_group() -> Result<()> {
    TaskGroup::scope(async |group| {
        for name in ["a", "b"] {
            Task::builder().name(name).spawn_in(&group, fetch());
        }
        Ok(())
    })
    .await
}

/// Cancels one of the two fetches.
async fn one_cancelled<B>(both: fn() -> B) -> Result<()>
where
    B: Future<Output = Result<()>> + 'static,
{
    let fetching = create_task(both());
    yield_now().await?;
    yield_now().await?;
    let find = |name: &str| all_tasks().into_iter().find(|task| &*task.name() == name);
    find("a").expect("it has begun").cancel();
    wait([fetching], ReturnWhen::AllCompleted, None).await?;
    println!("  both are over, and b {}", if find("b").is_some() { "runs" } else { "is done" });
    Ok(())
}

/// Cancels each task at each point.
fn explored<B>(both: fn() -> B) -> Explore
where
    B: Future<Output = Result<()>> + 'static,
{
    Explore::new(move |world| world.main(both())).stops().cancels()
}

fn main() -> Result<()> {
    println!("a is cancelled");
    looplab::run(one_cancelled(both))?;
    println!("mended");
    looplab::run(one_cancelled(both_in_a_group))?;
    // What the explorer says goes to standard error, because CPython has no explorer.
    eprintln!("as written\n{}", explored(both).run()?);
    eprintln!("mended\n{}", explored(both_in_a_group).run()?);
    Ok(())
}

// Explained in docs/lessons/exploring.md.
// Next: 55_result_of_a_job_lost.rs
