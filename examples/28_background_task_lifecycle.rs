//! A background job lives exactly as long as its application.
//!
//! The application starts the job with create_task, so that startup goes on, and keeps the task. At its
//! end it cancels the job *and awaits it*, and only then closes what the job uses. Without the await
//! the job's cleanup comes when everything is closed already. The await also shows whether the job had
//! crashed meanwhile.

use looplab::{Error, Result, ReturnWhen, Task, sleep, wait};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

struct Connection {
    is_open: Cell<bool>,
}

async fn periodic(connection: Rc<Connection>) -> Result<()> {
    let ended = loop {
        let slept = sleep(Duration::from_millis(20)).await;
        if slept.is_err() {
            break slept;
        }
    };
    println!("  job: its goodbye is {}", if connection.is_open.get() { "sent" } else { "lost" });
    ended
}

async fn crashing(_: Rc<Connection>) -> Result<()> {
    sleep(Duration::from_millis(20)).await?;
    Err(Error::msg("no answer"))
}

async fn app<F>(job: fn(Rc<Connection>) -> F, await_it: bool) -> Result<()>
where
    F: Future<Output = Result<()>> + 'static,
{
    let connection = Rc::new(Connection { is_open: Cell::new(true) });
    let task = Task::builder().name("job").spawn(job(connection.clone()));
    let served = sleep(Duration::from_millis(50)).await; // serving; a cancellation comes here
    println!("  app: the job {}", if task.done() { "has ended" } else { "is running" });
    task.cancel();
    if await_it {
        wait([task.clone()], ReturnWhen::AllCompleted, None).await?;
        match task.result() {
            Err(Error::Cancelled(_)) => println!("  app: the job was cancelled"),
            Err(error) => println!("  app: the job had crashed: {error}"),
            Ok(()) => {}
        }
    }
    connection.is_open.set(false);
    println!("  app: the connection is closed");
    served
}

fn main() -> Result<()> {
    println!("cancelled");
    looplab::run(app(periodic, false))?;
    println!("cancelled and awaited");
    looplab::run(app(periodic, true))?;
    println!("a job that crashes");
    looplab::run(app(crashing, true))
}

// Explained in docs/lessons/background.md.
// Next: 29_startup_hook_that_never_returns.rs
