//! A stopped loop is only paused; a closed one is finished.
//!
//! `stop()` and `run_forever()` may alternate any number of times. A task that was suspended goes on where
//! it was, and a stop in the middle of its wait does not cancel it. A running loop cannot be closed. A
//! closed loop refuses to run and to take callbacks. Closing it again, and stopping it, are harmless.

use looplab::{EventLoop, Result, Task, get_running_loop, yield_now};

async fn counter() -> Result<&'static str> {
    for n in 0..6 {
        print!(" {n}");
        if n % 2 == 1 {
            looplab::stop()?;
        }
        yield_now().await?;
    }
    Ok("counted")
}

fn close_inside() -> Result<()> {
    let lp = get_running_loop()?;
    if let Err(error) = lp.close() {
        println!("close, while it runs: {error}");
    }
    lp.stop();
    Ok(())
}

fn refused<T>(what: &str, outcome: Result<T>) {
    match outcome {
        Ok(_) => println!("{what}: done"),
        Err(error) => println!("{what}: {error}"),
    }
}

fn main() -> Result<()> {
    let lp = EventLoop::new()?;
    let task = Task::builder().name("counter").spawn_on(&lp, counter());
    for run in 1..=3 {
        print!("run {run}:");
        lp.run_forever()?;
        println!();
    }
    println!("between two runs: running {}, closed {}", lp.is_running(), lp.is_closed());
    println!("the task's result: {}", lp.run_until_complete(task)?);

    lp.call_soon(close_inside)?;
    lp.run_forever()?;

    refused("close", lp.close());
    refused("close again", lp.close());
    refused("run_until_complete", lp.run_until_complete(counter()));
    refused("call_soon", lp.call_soon(|| println!("never printed")));
    refused("run_forever", lp.run_forever());
    lp.stop();
    println!("stop: harmless");
    Ok(())
}

// Explained in docs/lessons/lifecycle.md.
// Next: 32_stopped_before_complete.rs
