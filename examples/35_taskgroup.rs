//! What is started together ends together, if it is a group.
//!
//! When one of several gathered tasks fails, the waiter gets the error at once. The others run on, and no
//! code waits for them. A `TaskGroup` cancels the others, waits until they have cleaned up, and only then
//! fails, with every failure in it. If its parent is cancelled, so are the children. Nothing is left.

use looplab::{Error, EventLoop, Result, ReturnWhen, Task, TaskGroup, all_tasks, gather, sleep, wait};
use std::time::Duration;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

async fn worker(name: &'static str, cleanup: u64) -> Result<()> {
    let ended = sleep(Duration::from_secs(3600)).await;
    sleep(ms(cleanup)).await?;
    println!("  {name}: cleaned up");
    ended
}

async fn broken() -> Result<()> {
    sleep(ms(10)).await?;
    Err(Error::msg("b broke"))
}

async fn in_a_group(fail: bool) -> Result<()> {
    TaskGroup::scope(|group| async move {
        Task::builder().name("a").spawn_in(&group, worker("a", 10));
        if fail {
            Task::builder().name("b").spawn_in(&group, broken());
        }
        Task::builder().name("c").spawn_in(&group, worker("c", 20));
        Ok(())
    })
    .await
}

fn left() -> String {
    let others = all_tasks().into_iter().filter(|task| &*task.name() != "main");
    let names: Vec<_> = others.map(|task| task.name()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

async fn program() -> Result<()> {
    let task = |name, cleanup| Task::builder().name(name).spawn(worker(name, cleanup));
    let gathered = [task("a", 10), Task::builder().name("b").spawn(broken()), task("c", 20)];
    let failed = gather(&gathered).await.is_err();
    println!("gather: failed {failed}, left: {}", left());
    for task in &gathered {
        task.cancel();
    }
    wait(gathered, ReturnWhen::AllCompleted, None).await?;

    let Err(Error::Group(errors)) = in_a_group(true).await else { return Ok(()) };
    println!("group: failed with {} error, {}, left: {}", errors.len(), errors[0], left());

    let parent = Task::builder().name("parent").spawn(in_a_group(false));
    sleep(ms(10)).await?;
    parent.cancel();
    wait([parent.clone()], ReturnWhen::AllCompleted, None).await?;
    println!("parent: cancelled {}, left: {}", parent.cancelled(), left());
    Ok(())
}

fn main() -> Result<()> {
    EventLoop::new()?.run_until_complete(Task::builder().name("main").prepare(program()))
}

// Explained in docs/lessons/combinators.md.
// Next: 24_executor_outlives_main.rs
