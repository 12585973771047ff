//! A startup hook that never returns: the application never serves.
//!
//! Hooks are awaited one after another. If the endless job itself is a hook, the hooks after it do not
//! run and "serving" is never reached. Only a deadline turns the hang into an error. A hook that starts
//! the job with create_task returns, and the job runs beside the rest.

use looplab::{Error, Result, Task, gather, sleep, wait_for, yield_now};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

type Tasks = Rc<RefCell<Vec<Task<()>>>>;

async fn fetch() -> Result<()> {
    println!("  fetch: begins");
    loop {
        let slept = sleep(Duration::from_millis(40)).await;
        if slept.is_err() {
            println!("  fetch: stopped");
            return slept;
        }
    }
}

async fn endless_hook(_: Tasks) -> Result<()> {
    fetch().await
}

async fn hook_that_starts_a_task(tasks: Tasks) -> Result<()> {
    tasks.borrow_mut().push(Task::builder().name("fetch").spawn(fetch()));
    yield_now().await // not needed: so that it begins before the next hook
}

async fn next_hook() -> Result<()> {
    println!("  next hook");
    Ok(())
}

async fn startup<F: Future<Output = Result<()>>>(hook: fn(Tasks) -> F, tasks: Tasks) -> Result<()> {
    hook(tasks).await?;
    next_hook().await
}

async fn app<F: Future<Output = Result<()>> + 'static>(hook: fn(Tasks) -> F) -> Result<()> {
    let tasks = Tasks::default();
    match wait_for(startup(hook, tasks.clone()), Duration::from_millis(100)).await {
        Err(Error::TimedOut) => println!("  the startup did not end in time"),
        started => started.map(|()| println!("  serving"))?,
    }
    let tasks = tasks.take();
    for task in &tasks {
        task.cancel();
    }
    gather(tasks).return_exceptions().await?;
    println!("  cleaned up");
    Ok(())
}

fn main() -> Result<()> {
    println!("the job is the hook");
    looplab::run(app(endless_hook))?;
    println!("the hook starts the job");
    looplab::run(app(hook_that_starts_a_task))
}

// Explained in docs/lessons/background.md.
// Next: 22_echo_server_ctrl_c.rs
