//! A signal handler belongs to the loop that it was registered on.
//!
//! Handlers are registered on loop A, and then loop B runs. A program that runs on a loop of its own does
//! this to handlers from before. While B runs, A's handlers do not run, and the default action does not
//! happen either: the process outlives its SIGHUP. The safe pattern is to register on the running loop,
//! inside the program that it runs. There B's own handler gets its SIGTERM. A signal for A's handler is
//! lost in asyncio, because B has registered a handler too. In looplab it waits until A runs: a deliberate
//! difference, with a row in `docs/differences.md` and a test. Nothing here depends on it.

use looplab::{EventLoop, Result, Signal, get_running_loop, signal, sleep};
use std::time::Duration;

async fn program(a: EventLoop) -> Result<()> {
    let lp = get_running_loop()?;
    println!("running on A: {}", lp == a);
    lp.add_signal_handler(Signal::SIGTERM, || println!("B got SIGTERM"))?;
    for signal in [Signal::SIGHUP, Signal::SIGTERM] {
        signal::raise(signal)?;
    }
    sleep(Duration::from_millis(100)).await?;
    println!("still alive after SIGHUP, and A has got nothing");
    Ok(())
}

fn main() -> Result<()> {
    let (a, b) = (EventLoop::new()?, EventLoop::new()?);
    a.add_signal_handler(Signal::SIGHUP, || println!("A got SIGHUP"))?;
    a.add_signal_handler(Signal::SIGTERM, || println!("A got SIGTERM"))?;
    b.run_until_complete(program(a.clone()))?;
    b.close()?;
    a.close()
}

// Explained in docs/lessons/signals.md.
// Next: 16_signals_coalesce.rs
