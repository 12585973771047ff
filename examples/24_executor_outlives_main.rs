//! A job on a thread that lasts longer than main().
//!
//! run() waits for the jobs of the default executor. Cancelling the future of a job that has begun does
//! not stop the job. run() does not wait for a private executor: the program shuts it down.

use looplab::{Executor, Result, get_running_loop, run, to_thread};
use std::sync::mpsc::{Receiver, Sender, channel};

fn blocking(began: Sender<()>, gate: Receiver<()>) {
    let _ = began.send(());
    let _ = gate.recv();
    println!("  thread: finished");
}

async fn default_executor(cancel: bool) -> Result<()> {
    let ((began, has_begun), (open, gate)) = (channel(), channel());
    let job = get_running_loop()?.run_in_executor(move || blocking(began, gate))?;
    to_thread(move || has_begun.recv().is_ok()).await?; // the loop goes on meanwhile
    if cancel && job.cancel() {
        println!("  main: cancelled the future");
    }
    println!("  main: ended");
    let _ = open.send(());
    Ok(())
}

async fn private_executor(pool: Executor, began: Sender<()>, gate: Receiver<()>) -> Result<()> {
    get_running_loop()?.run_in(&pool, move || blocking(began, gate))?;
    println!("  main: ended");
    Ok(())
}

fn main() -> Result<()> {
    println!("the default executor");
    run(default_executor(false))?;
    println!("  run: returned");

    println!("the default executor, and the future is cancelled");
    run(default_executor(true))?;
    println!("  run: returned");

    println!("a private executor");
    let ((began, _has_begun), (open, gate)) = (channel(), channel());
    let pool = Executor::new(1);
    run(private_executor(pool.clone(), began, gate))?;
    println!("  run: returned");
    let _ = open.send(());
    pool.shutdown(true, false)?; // wait for what runs, cancel nothing
    println!("  pool: shut down");
    Ok(())
}

// Explained in docs/lessons/threads.md.
// Next: 25_executor_and_closed_loop.rs
