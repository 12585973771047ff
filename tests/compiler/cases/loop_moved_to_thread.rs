//! A loop that is moved to another thread.

fn main() -> looplab::Result<()> {
    let lp = looplab::EventLoop::new()?;
    std::thread::spawn(move || lp.stop());
    Ok(())
}
