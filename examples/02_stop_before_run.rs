//! stop() on a loop that is not running is remembered.
//!
//! The next run_forever() makes exactly one turn, without sleeping, and returns. However often stop()
//! was called, it is one turn. Then the flag is clear, so the run_forever() after that keeps running.

use looplab::{EventLoop, Result, get_running_loop};
use std::time::Duration;

fn parent() -> Result<()> {
    println!("  parent");
    get_running_loop()?.call_soon(|| println!("  child"))?;
    Ok(())
}

fn main() -> Result<()> {
    let lp = EventLoop::new()?;
    lp.call_soon(parent)?;
    lp.stop();
    lp.stop(); // still one turn
    println!("run 1");
    lp.run_forever()?; // one turn: the parent's
    println!("run 1 returned");

    lp.call_later(Duration::from_millis(50), looplab::stop)?;
    println!("run 2");
    lp.run_forever()?; // as many turns as it takes
    println!("run 2 returned");
    lp.close()
}

// Explained in docs/lessons/stopping.md.
// Next: 03_nested_task_across_stop.rs
