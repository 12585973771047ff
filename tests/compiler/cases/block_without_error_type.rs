//! Nothing says which error a block has that is awaited at once.
use looplab::{EventLoop, Result, sleep};
use std::time::Duration;

fn main() -> Result<()> {
    EventLoop::new()?.run_until_complete(async {
        async {
            sleep(Duration::from_secs(1)).await?;
            Ok(())
        }
        .await?;
        Ok(())
    })
}
