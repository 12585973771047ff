//! A number does not say its unit.
use looplab::{EventLoop, sleep};

fn main() -> looplab::Result<()> {
    EventLoop::new()?.run_until_complete(async { sleep(1).await })
}
