//! Keep what you start: without its handle no code can end a task.
//!
//! A task that is not kept and only sleeps finishes: its timer leads to it. One that waits for an object
//! without other references is lost. In asyncio the loop holds its tasks weakly, so the garbage collector may
//! take it at any time. looplab's loop holds its tasks, and destroys it in `close()`. Both report `Task was
//! destroyed but it is pending!`. The idiom for background tasks is a set: put the task in, and let a done
//! callback take it out. At the end the tasks in the set are cancelled and waited for, until the set is empty.
//! A task on its way out may have put another one into it.

use looplab::{EventLoop, ExceptionContext, Result, ReturnWhen, Task};
use looplab::{get_running_loop, sleep, wait};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// Tasks by their number.
type Background = Rc<RefCell<HashMap<u64, Task<()>>>>;

async fn short(name: &'static str) -> Result<()> {
    sleep(Duration::from_millis(10)).await?;
    println!("{name} and asleep: finished");
    Ok(())
}

async fn waits(name: &'static str) -> Result<()> {
    let nobody_sets_it = get_running_loop()?.create_future::<()>();
    let waited = nobody_sets_it.await;
    println!("{name} and waiting: cancelled");
    waited
}

/// On its way out it starts another task.
async fn hands_over(background: Background) -> Result<()> {
    let waited = waits("kept").await;
    keep(&background, &Task::builder().name("late").spawn(waits("kept late")));
    waited
}

fn keep(background: &Background, task: &Task<()>) {
    background.borrow_mut().insert(task.id(), task.clone());
    let background = background.clone();
    task.add_done_callback(move |task| {
        background.borrow_mut().remove(&task.id());
    });
}

async fn program() -> Result<()> {
    Task::builder().name("short, not kept").spawn(short("not kept"));
    Task::builder().name("waits, not kept").spawn(waits("not kept"));
    let background = Background::default();
    let short = Task::builder().name("short").spawn(short("kept"));
    keep(&background, &short);
    keep(&background, &Task::builder().name("waits").spawn(hands_over(background.clone())));
    println!("in the set: {}", background.borrow().len());
    short.await?;

    loop {
        let left: Vec<Task<()>> = background.borrow().values().cloned().collect();
        if left.is_empty() {
            break;
        }
        println!("still in the set: {}", left.len());
        for task in &left {
            task.cancel();
        }
        wait(left, ReturnWhen::AllCompleted, None).await?;
    }
    println!("in the set at the end: {}", background.borrow().len());
    Ok(())
}

fn main() -> Result<()> {
    let lp = EventLoop::new()?;
    lp.set_exception_handler(Some(|_: &EventLoop, context: &ExceptionContext| {
        println!("not kept and waiting: {}", context.message());
    }));
    lp.run_until_complete(program())?;
    lp.close()
}

// Explained in docs/lessons/lifecycle.md.
// Next: 20_swallowed_cancellation.rs
