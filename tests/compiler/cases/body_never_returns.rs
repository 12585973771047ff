//! A body that loops for ever has no type for the error of its `?`.
use looplab::{EventLoop, create_task, sleep};
use std::time::Duration;

fn main() -> looplab::Result<()> {
    EventLoop::new()?.run_until_complete(async {
        create_task(async {
            loop {
                sleep(Duration::from_secs(1)).await?;
            }
        })
        .await
    })
}
