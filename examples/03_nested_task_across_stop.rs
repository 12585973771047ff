//! A task registered before stop() is not safe either, if it needs another turn.
//!
//! A task that was queued before stop() makes only its first step. What that step awaits (an inner
//! task, or only the next turn) keeps it suspended until the loop runs again. Then it simply goes on.

use looplab::{EventLoop, Result, Task, yield_now};

async fn inner() -> Result<&'static str> {
    println!("  inner: ran");
    Ok("value")
}

async fn outer() -> Result<()> {
    println!("  outer: step 1");
    let value = Task::builder().name("inner").spawn(inner()).await?;
    println!("  outer: got {value}");
    Ok(())
}

async fn patient() -> Result<()> {
    println!("  patient: step 1");
    yield_now().await?;
    println!("  patient: step 2");
    Ok(())
}

fn main() -> Result<()> {
    let lp = EventLoop::new()?;
    let outer = Task::builder().name("outer").spawn_on(&lp, outer()); // registered before stop()
    let patient = Task::builder().name("patient").spawn_on(&lp, patient());
    lp.call_soon(looplab::stop)?;
    let state = || if outer.done() && patient.done() { "done" } else { "pending" };
    println!("run 1");
    lp.run_forever()?;
    println!("run 1 returned: the tasks are {}", state());

    println!("run 2");
    lp.run_until_complete(&outer)?; // the same task goes on where it was
    println!("run 2 returned: the tasks are {}", state());
    lp.close()
}

// Explained in docs/lessons/stopping.md.
// Next: 04_running_loop_cannot_run_again.rs
