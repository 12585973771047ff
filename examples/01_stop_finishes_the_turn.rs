//! stop() is not "now": the turn already begun is finished.
//!
//! After stop(), callbacks already in the ready queue still run. Callbacks, tasks and due timers that are
//! scheduled during that turn wait for the next run_forever(). There the leftovers run first, in order,
//! before anything queued between the runs; a due timer joins the queue after them.

use looplab::{EventLoop, Result, Task, get_running_loop};
use std::time::Duration;

async fn step() {
    println!("  task: first step");
}

fn first() -> Result<()> {
    let lp = get_running_loop()?;
    println!("  first: calls stop()");
    lp.stop();
    println!("  first: still running after stop()");
    lp.call_soon(|| println!("  late callback"))?;
    Task::builder().name("late task").spawn(step());
    lp.call_later(Duration::ZERO, || println!("  late timer"))?;
    Ok(())
}

fn main() -> Result<()> {
    let lp = EventLoop::new()?;
    lp.call_soon(first)?;
    lp.call_soon(|| println!("  second: was already queued"))?;
    println!("run 1");
    lp.run_forever()?;
    println!("run 1 returned");

    lp.call_soon(|| println!("  queued between the runs"))?;
    lp.call_later(Duration::from_millis(50), looplab::stop)?;
    println!("run 2");
    lp.run_forever()?;
    println!("run 2 returned");
    lp.close()
}

// Explained in docs/lessons/stopping.md.
// Next: 02_stop_before_run.rs
