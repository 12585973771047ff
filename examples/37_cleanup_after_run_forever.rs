//! The other safe order: the handler only stops, and the cleanup runs after `run_forever()` has returned.
//!
//! `run_until_complete(cleanup)` outside the stopped loop is a plain and correct shutdown. But the handler
//! is still registered: a second signal stops the loop again, in the middle of the cleanup (`Event loop
//! stopped before Future completed.`). The cleanup is not lost, and another run completes it. It is better
//! to replace the handler before the cleanup begins.

use looplab::{EventLoop, Result, Signal, Task, signal, sleep};
use std::time::Duration;

fn ctrl_c() -> Result<()> {
    signal::raise(Signal::SIGINT)
}

async fn cleanup(one_more: bool) -> Result<()> {
    println!("  cleanup: begin");
    if one_more {
        ctrl_c()?;
    }
    sleep(Duration::from_millis(100)).await?;
    println!("  cleanup: end");
    Ok(())
}

fn on_signal() -> Result<()> {
    println!("  signal: stops the loop");
    looplab::stop()
}

fn scenario(title: &str, one_more: bool, replace: bool) -> Result<()> {
    println!("{title}");
    let lp = EventLoop::new()?;
    lp.add_signal_handler(Signal::SIGINT, on_signal)?;
    lp.call_soon(ctrl_c)?;
    lp.run_forever()?;
    println!("  run_forever has returned");
    if replace {
        lp.add_signal_handler(Signal::SIGINT, || println!("  signal: cleaning up already"))?;
    }
    let task = Task::builder().name("cleanup").spawn_on(&lp, cleanup(one_more));
    while !task.done() {
        if let Err(error) = lp.run_until_complete(&task) {
            println!("  {error}");
        }
    }
    lp.close()
}

fn main() -> Result<()> {
    scenario("one signal", false, false)?;
    scenario("two signals", true, false)?;
    scenario("two signals, handler replaced", true, true)
}

// Explained in docs/lessons/shutdown.md.
// Next: 31_restart_a_stopped_loop.rs
