//! `loop.call_soon(coroutine())`: a future where a function belongs.

fn main() -> looplab::Result<()> {
    let lp = looplab::EventLoop::new()?;
    lp.call_soon(async { looplab::stop() })?;
    lp.run_forever()
}
