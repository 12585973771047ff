//! Which signal was it? A handler has to know from the start, not look it up when it is called.
//!
//! Three signals share one function that reports a name. Handlers that read a shared place read it when
//! the signal arrives. By then it holds the last name of the `for` loop. A Python lambda reads its
//! variable in this way. A Rust closure with `move` copies what it names when it is made, so the
//! pitfall needs a shared `Cell` here. A value given as an argument, or bound by a function that
//! returns the handler, is right in both. A handler that is registered again replaces the one before.

use looplab::{EventLoop, Result, Signal, signal};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const SIGNALS: [Signal; 3] = [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT];

fn report(signal: Signal) {
    print!(" {signal}");
}

fn reporter(signal: Signal) -> impl Fn() {
    move || report(signal)
}

fn send_all(lp: &EventLoop, title: &str) -> Result<()> {
    print!("{title}:");
    for signal in SIGNALS {
        lp.call_soon(move || signal::raise(signal))?;
    }
    lp.call_later(Duration::from_millis(100), looplab::stop)?;
    lp.run_forever()?;
    println!();
    Ok(())
}

fn main() -> Result<()> {
    let lp = EventLoop::new()?;

    // The pitfall: one place for all three, read when the signal arrives.
    let current = Rc::new(Cell::new(Signal::SIGHUP));
    for signal in SIGNALS {
        current.set(signal);
        let current = current.clone();
        lp.add_signal_handler(signal, move || report(current.get()))?;
    }
    send_all(&lp, "looked up when called")?;

    // Safe: each handler has its own value, copied when it is registered.
    for signal in SIGNALS {
        lp.add_signal_handler(signal, move || report(signal))?;
    }
    send_all(&lp, "bound when registered")?;

    // Safe too: a function that returns the handler.
    for signal in SIGNALS {
        lp.add_signal_handler(signal, reporter(signal))?;
    }
    send_all(&lp, "bound by a function")?;

    for signal in SIGNALS {
        let (removed, again) = (lp.remove_signal_handler(signal)?, lp.remove_signal_handler(signal)?);
        println!("{signal} removed: {removed}, again: {again}");
    }
    lp.close()
}

// Explained in docs/lessons/signals.md.
// Next: 14_second_signal.rs
