//! A task may outlive the function that makes it, so its body cannot borrow from it.
use looplab::sync::Queue;
use looplab::{EventLoop, Result, create_task};

async fn program() -> Result<()> {
    let queue = Queue::new(0);
    create_task(async { queue.put(1).await }).await
}

fn main() -> Result<()> {
    EventLoop::new()?.run_until_complete(program())
}
