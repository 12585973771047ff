//! close() does not wait for threads.
//!
//! A loop that is closed without shutdown_default_executor() leaves its jobs running. Their results
//! never reach the futures. With it, the jobs are finished and their results are there.

use looplab::{EventLoop, Result, to_thread};
use std::sync::mpsc::{Receiver, Sender, channel};

fn blocking(began: Sender<()>, gate: Receiver<()>, ended: Sender<()>) -> &'static str {
    let _ = began.send(());
    let _ = gate.recv();
    println!("  thread: finished");
    let _ = ended.send(());
    "result"
}

fn scenario(shut_down_first: bool) -> Result<()> {
    let lp = EventLoop::new()?;
    let ((began, has_begun), (open, gate), (end, ended)) = (channel(), channel(), channel());
    let job = lp.run_in_executor(move || blocking(began, gate, end))?;
    lp.run_until_complete(to_thread(move || has_begun.recv().is_ok()))?;
    if shut_down_first {
        let _ = open.send(());
        lp.run_until_complete(lp.shutdown_default_executor(None))?;
        println!("  executor: shut down");
    }
    lp.close()?;
    println!("  closed");
    let _ = open.send(());
    let _ = ended.recv();
    println!("  future: {}", if job.done() { job.result()? } else { "pending for ever" });
    Ok(())
}

fn main() -> Result<()> {
    println!("close at once");
    scenario(false)?;
    println!("shut the executor down first");
    scenario(true)
}

// Explained in docs/lessons/threads.md.
// Next: 28_background_task_lifecycle.rs
