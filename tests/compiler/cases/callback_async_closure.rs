//! `loop.call_soon(coroutine_function)`: the call would make a future that nothing runs.

fn main() -> looplab::Result<()> {
    let lp = looplab::EventLoop::new()?;
    lp.call_soon(async || looplab::stop())?;
    lp.run_forever()
}
