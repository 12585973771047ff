//! The same as a closure around a block.

fn main() -> looplab::Result<()> {
    let lp = looplab::EventLoop::new()?;
    lp.call_soon(|| async { looplab::stop() })?;
    lp.run_forever()
}
