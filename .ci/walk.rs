//! The walk that `.ci/walk` counts: one task from `create_task` over a cancel in its sleep to done.

use looplab::{EventLoop, sleep};
use std::time::Duration;

#[inline(never)]
fn walk_begins() {
    std::hint::black_box(());
}

#[inline(never)]
fn walk_ends() {
    std::hint::black_box(());
}

fn main() -> looplab::Result<()> {
    let lp = EventLoop::new()?;
    // What only the first turn of a thread does is no part of the walk.
    lp.call_soon(|| ())?;
    lp.run_once()?;
    walk_begins();
    let task = lp.create_task(async { sleep(Duration::from_secs(3600)).await });
    lp.run_once()?;
    task.cancel();
    lp.run_once()?;
    walk_ends();
    assert!(task.cancelled());
    lp.close()
}
