//! A coroutine can be driven by hand, without a loop: send, throw and close.
//!
//! `send` runs it to its next suspension. `throw` raises a cancellation at the await where it is
//! suspended. A coroutine that swallows it goes on and can return a value (Python's `StopIteration`
//! carries it, here it is `Step::Returned`). One that passes it on ends with it. One that was never
//! started is not entered at all. A coroutine that is forgotten unstarted is no error in Rust, but the
//! compiler warns. Python warns when it is collected. `close` asks a coroutine to end: Python raises
//! `GeneratorExit` there, looplab `Error::CoroutineExit`. A `finally` or a destructor then runs.

use looplab::{Coroutine, Error, Result, Step, yield_now};

struct Finally;

impl Drop for Finally {
    fn drop(&mut self) {
        println!("  finally");
    }
}

async fn body(swallows: bool) -> Result<i32> {
    let _finally = Finally;
    println!("  started");
    loop {
        match yield_now().await {
            Err(Error::Cancelled(_)) if swallows => {
                println!("  cancelled, and swallows it");
                return Ok(123);
            }
            Err(Error::Cancelled(message)) => {
                println!("  cancelled, and passes it on");
                return Err(Error::Cancelled(message));
            }
            resumed => resumed?,
        }
    }
}

fn show(step: Step<i32>) {
    match step {
        Step::Suspended => println!("  -> suspended"),
        Step::Returned(Ok(value)) => println!("  -> returned {value}"),
        Step::Returned(Err(Error::Cancelled(_))) => println!("  -> ended cancelled"),
        Step::Returned(Err(error)) => println!("  -> {error}"),
    }
}

fn main() -> Result<()> {
    println!("one that swallows");
    let mut coroutine = Coroutine::new(body(true));
    show(coroutine.send());
    show(coroutine.send());
    show(coroutine.throw(Error::cancelled()));
    show(coroutine.send());

    println!("one that passes it on");
    let mut coroutine = Coroutine::new(body(false));
    show(coroutine.send());
    show(coroutine.throw(Error::cancelled()));

    println!("one that was never started");
    show(Coroutine::new(body(true)).throw(Error::cancelled()));

    println!("one that is closed");
    let mut coroutine = Coroutine::new(body(true));
    show(coroutine.send());
    coroutine.close()?;
    println!("  -> closed");
    Ok(())
}

// Explained in docs/lessons/cancellation.md.
// Next: 18_cancel_needs_a_suspension.rs
