//! Graceful shutdown: cancel every other task, wait for all of them, then stop.
//!
//! gather() with return_exceptions waits for every task's cleanup and turns outcomes into values: a
//! cancellation, another error, or a result if the task swallowed the request. Leaving out current_task() is
//! what keeps the shutdown from cancelling itself. A second signal finds the shutdown made, and changes nothing.

use looplab::{Error, EventLoop, Result, Signal, Task, all_tasks, current_task, gather, signal, sleep};
use std::{cell::OnceCell, time::Duration};

const HOUR: Duration = Duration::from_secs(3600);

async fn polite() -> Result<()> {
    let ended = sleep(HOUR).await;
    sleep(Duration::from_millis(100)).await?; // cleanup may await
    println!("  polite: cleaned up");
    ended
}

async fn clumsy() -> Result<()> {
    let _cancelled = sleep(HOUR).await;
    Err(Error::msg("its cleanup failed"))
}

async fn stubborn() -> Result<()> {
    match sleep(HOUR).await {
        Err(Error::Cancelled(_)) => Ok(()), // swallowed
        other => other,
    }
}

async fn finished() {}

async fn shutdown() -> Result<()> {
    loop {
        let mut others = all_tasks();
        others.retain(|task| Some(task) != current_task().as_ref());
        if others.is_empty() {
            return Ok(()); // also what others made on their way out has ended
        }
        others.sort_by_key(|task| task.name());
        for task in &others {
            println!("  cancelling {}", task.name());
            task.cancel();
        }
        let outcomes = gather(&others).return_exceptions().await?;
        for (task, outcome) in others.iter().zip(outcomes) {
            match outcome {
                Ok(()) => println!("  {}: returned", task.name()),
                Err(Error::Cancelled(_)) => println!("  {}: cancelled", task.name()),
                Err(error) => println!("  {}: {error}", task.name()),
            }
        }
    }
}

fn on_signal(ending: &OnceCell<Task<()>>) {
    println!("  signal");
    ending.get_or_init(|| {
        let task = Task::builder().name("shutdown").spawn(shutdown());
        task.add_done_callback(|_| looplab::stop()); // whatever its end is
        task
    });
}

fn main() -> Result<()> {
    let lp = EventLoop::new()?;
    Task::builder().name("polite").spawn_on(&lp, polite());
    Task::builder().name("clumsy").spawn_on(&lp, clumsy());
    Task::builder().name("stubborn").spawn_on(&lp, stubborn());
    Task::builder().name("finished").spawn_on(&lp, finished());
    let ending = OnceCell::new();
    lp.add_signal_handler(Signal::SIGTERM, move || on_signal(&ending))?;
    for millis in [20, 50] {
        lp.call_later(Duration::from_millis(millis), || signal::raise(Signal::SIGTERM))?;
    }
    println!("running");
    lp.run_forever()?;
    println!("stopped; tasks left: {}", lp.all_tasks().len());
    lp.close()
}

// Explained in docs/lessons/shutdown.md.
// Next: 12_gather_needs_return_exceptions.rs
