//! Signal handlers run between callbacks, never inside them, and signals that are held back merge.
//!
//! A signal that arrives in the middle of a callback is handled after that callback and the rest of its
//! turn. So a handler interrupts no callback, only the awaits of tasks. Three signals sent one by one run
//! the handler three times. Three sent while the signal is blocked run it once, because the system keeps
//! one mark for each signal and no count. So a handler says "at least one came", and cannot know how many.

use looplab::{Error, EventLoop, Result, Signal, signal};
use nix::sys::signal::{SIGUSR1, SigSet};
use std::time::Duration;

fn send(times: usize) -> Result<()> {
    for _ in 0..times {
        signal::raise(Signal::SIGUSR1)?;
    }
    Ok(())
}

fn callback() -> Result<()> {
    println!("  before the signal");
    send(1)?;
    println!("  after the signal");
    Ok(())
}

fn run(lp: &EventLoop, title: &str) -> Result<()> {
    println!("{title}");
    lp.call_later(Duration::from_millis(100), looplab::stop)?;
    lp.run_forever()
}

fn main() -> Result<()> {
    let lp = EventLoop::new()?;
    lp.add_signal_handler(Signal::SIGUSR1, || println!("  handled"))?;

    lp.call_soon(callback)?;
    lp.call_soon(|| println!("  another callback of the same turn"))?;
    run(&lp, "one, in the middle of a callback")?;

    lp.call_soon(|| send(3))?;
    run(&lp, "three, one by one")?;

    let blocked = SigSet::from(SIGUSR1);
    blocked.thread_block().map_err(Error::other)?;
    send(3)?;
    blocked.thread_unblock().map_err(Error::other)?;
    run(&lp, "three, while the signal is blocked")?;
    lp.close()
}

// Explained in docs/lessons/signals.md.
// Next: 58_child_under_ctrl_c.rs
