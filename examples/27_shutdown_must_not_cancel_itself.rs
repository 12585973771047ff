//! A shutdown that cancels all tasks must leave out its own.
//!
//! `all_tasks()` includes the task that asks. If the shutdown cancels that one too, the cancellation
//! comes at its first await, the gather. `stop()` is never reached, and the loop runs on with nothing
//! to do. Leaving out `current_task()` is enough.

use looplab::{EventLoop, Result, Signal, Task, TaskRef, signal};
use looplab::{all_tasks, current_task, gather, sleep};
use std::time::Duration;

async fn client() -> Result<()> {
    let slept = sleep(Duration::from_secs(3600)).await;
    println!("  client: cancelled");
    slept
}

async fn shutdown(leave_itself_out: bool) -> Result<()> {
    let not_itself = |task: &TaskRef| Some(task) != current_task().as_ref();
    let mut tasks = all_tasks();
    let names: Vec<_> = tasks.iter().map(TaskRef::name).collect();
    println!("  tasks: {}", names.join(", "));
    if leave_itself_out {
        tasks.retain(not_itself);
    }
    for task in &tasks {
        task.cancel();
    }
    tasks.retain(not_itself); // it cannot wait for itself
    if let Err(error) = gather(tasks).return_exceptions().await {
        println!("  shutdown: cancelled at its own gather");
        return Err(error);
    }
    println!("  shutdown: stops the loop");
    looplab::stop()
}

fn rescue() -> Result<()> {
    println!("  still running, and other code has to stop it");
    looplab::stop()
}

fn scenario(title: &str, leave_itself_out: bool) -> Result<()> {
    println!("{title}");
    let lp = EventLoop::new()?;
    Task::builder().name("client").spawn_on(&lp, client());
    lp.add_signal_handler(Signal::SIGTERM, move || {
        Task::builder().name("shutdown").spawn(shutdown(leave_itself_out));
    })?;
    lp.call_later(Duration::from_millis(10), || signal::raise(Signal::SIGTERM))?;
    lp.call_later(Duration::from_millis(200), rescue)?;
    lp.run_forever()?;
    lp.close()
}

fn main() -> Result<()> {
    scenario("everything is cancelled", false)?;
    scenario("its own task is left out", true)
}

// Explained in docs/lessons/shutdown.md.
// Next: 37_cleanup_after_run_forever.rs
