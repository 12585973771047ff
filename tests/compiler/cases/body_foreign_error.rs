//! A body whose error is another crate's.

fn main() -> looplab::Result<()> {
    let lp = looplab::EventLoop::new()?;
    lp.create_task(async { "seven".parse::<i32>() });
    lp.run_forever()
}
