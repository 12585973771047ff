//! A task that swallows its cancellation was not cancelled.
//!
//! A task that catches its cancellation and does not pass it on ends like any other, with the value that it
//! returned. One that swallows in a loop lives on, however often it is cancelled. Cleaning up and passing
//! the error on keeps a task cancellable. And if the main task swallows Ctrl-C, the run returns normally.

use looplab::{Error, Result, ReturnWhen, Signal, Task, get_running_loop, signal, sleep, wait, yield_now};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

async fn swallows() -> Result<&'static str> {
    match sleep(HOUR).await {
        Err(Error::Cancelled(_)) => Ok("swallowed"),
        slept => slept.map(|()| "slept"),
    }
}

async fn immortal(lives: u32) -> Result<&'static str> {
    for _ in 0..lives {
        let _ = sleep(HOUR).await; // "an error while sleeping? never mind"
        println!("immortal: never mind");
    }
    Ok("out of lives")
}

async fn honest() -> Result<&'static str> {
    let slept = sleep(HOUR).await;
    println!("honest: cleans up");
    slept.map(|()| "slept")
}

async fn cancel(task: Task<&'static str>) -> Result<()> {
    yield_now().await?; // let it start
    let mut requests = 0;
    while !task.done() {
        task.cancel();
        requests += 1;
        yield_now().await?;
    }
    wait([task.clone()], ReturnWhen::AllCompleted, None).await?;
    let result = task.result().unwrap_or("none");
    println!("{}: requests {requests}, cancelled {}, result {result}", task.name(), task.cancelled());
    Ok(())
}

async fn program() -> Result<()> {
    cancel(Task::builder().name("swallows").spawn(swallows())).await?;
    cancel(Task::builder().name("immortal").spawn(immortal(3))).await?;
    cancel(Task::builder().name("honest").spawn(honest())).await
}

async fn interrupted(swallow: bool) -> Result<&'static str> {
    get_running_loop()?.call_soon(|| signal::raise(Signal::SIGINT))?;
    let slept = sleep(HOUR).await;
    println!("main: cancelled by Ctrl-C");
    if swallow { Ok("a normal end") } else { slept.map(|()| "slept") }
}

fn main() -> Result<()> {
    looplab::run(program())?;
    for swallow in [true, false] {
        match looplab::run(interrupted(swallow)) {
            Ok(text) => println!("the run returned: {text}"),
            Err(error) => println!("the run failed: {error}"),
        }
    }
    Ok(())
}

// Explained in docs/lessons/combinators.md.
// Next: 21_task_made_while_being_cancelled.rs
