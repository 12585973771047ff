//! The function `gather` takes a list of one type. The macro takes what it is given.
use looplab::{EventLoop, Result, create_task, gather};

fn main() -> Result<()> {
    EventLoop::new()?.run_until_complete(async {
        let (a, b) = (create_task(async { 1 }), create_task(async { "two" }));
        let _both = gather(a, b).await?;
        Ok(())
    })
}
