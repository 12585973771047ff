//! What a hop costs on chapter 10's loop: the table of `docs/anatomy.md`, counted.

use looplab::{EventLoop, Result, create_task, gather, get_running_loop, sleep, yield_now};
use std::time::Duration;

/// Runs a body on a loop of its own, and prints the number of turns.
fn turns(what: &str, body: impl Future<Output = Result<()>> + 'static) -> Result<()> {
    let lp = EventLoop::new()?;
    lp.run_until_complete(body)?;
    println!("{what}: {} turns", lp.turns());
    lp.close()
}

async fn nothing() -> Result<()> {
    Ok(())
}

fn main() -> Result<()> {
    turns("returns at once", nothing())?;
    turns("yields", yield_now())?;
    turns("awaits a task", async { create_task(nothing()).await })?;
    turns("awaits a future that a callback sets", async {
        let lp = get_running_loop()?;
        let future = lp.create_future();
        let set = future.clone();
        lp.call_soon(move || set.set_result(()))?;
        future.await
    })?;
    turns("sleeps", sleep(Duration::from_millis(5)))?;
    turns("awaits what is done", async {
        let done = get_running_loop()?.create_future();
        done.set_result(())?;
        done.await
    })?;
    turns("gathers two", async { gather([nothing(), nothing()]).await.map(drop) })
}
