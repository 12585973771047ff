//! A second signal starts a second cleanup.
//!
//! A handler stays registered until it is removed. People press Ctrl-C again, and supervisors repeat
//! their signal. So the handler must remember that it has been called.

use looplab::explore::Explore;
use looplab::{Error, EventLoop, Result, Signal, Task, signal, sleep, stop};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// How many cleanups were begun, and whether the service is about to end.
#[derive(Clone, Default)]
struct Cleanups {
    begun: Rc<Cell<u32>>,
    ending: Rc<Cell<bool>>,
}

async fn clean_up(cleanups: Cleanups) -> Result<()> {
    cleanups.begun.set(cleanups.begun.get() + 1);
    sleep(Duration::from_millis(20)).await?;
    stop()
}

/// As it is often written.
fn on_signal(cleanups: &Cleanups) {
    Task::builder().name("cleanup").spawn(clean_up(cleanups.clone()));
}

/// Mended: only the first signal counts. The handler sets the flag: the task's first step comes a turn later, and another
/// signal may come before it.
fn on_first_signal(cleanups: &Cleanups) {
    if !cleanups.ending.replace(true) {
        on_signal(cleanups);
    }
}

/// Runs until its work is done or a signal comes.
fn serve(lp: &EventLoop, cleanups: &Cleanups, on_signal: fn(&Cleanups)) -> Result<()> {
    let at_signal = cleanups.clone();
    lp.add_signal_handler(Signal::SIGTERM, move || on_signal(&at_signal))?;
    let at_end = cleanups.clone();
    let work = lp.call_later(Duration::from_secs(60), move || on_signal(&at_end))?;
    lp.run_forever()?;
    work.cancel();
    lp.remove_signal_handler(Signal::SIGTERM)?;
    Ok(())
}

/// Sends a signal, and a second one two turns later.
fn signalled_twice(on_signal: fn(&Cleanups)) -> Result<()> {
    let lp = EventLoop::new()?;
    lp.call_soon(|| signal::raise(Signal::SIGTERM))?;
    let again = lp.clone();
    lp.call_soon(move || {
        let later = again.clone();
        again.call_soon(move || later.call_soon(|| signal::raise(Signal::SIGTERM)).map(drop)).map(drop)
    })?;
    let cleanups = Cleanups::default();
    serve(&lp, &cleanups, on_signal)?;
    println!("  cleanups: {}", cleanups.begun.get());
    for task in lp.all_tasks() {
        task.cancel();
        let _cancelled = lp.run_until_complete(&task);
    }
    lp.close()
}

/// Sends a signal before each poll, and before any two.
fn explored(on_signal: fn(&Cleanups)) -> Explore {
    Explore::new(move |world| {
        let cleanups = Cleanups::default();
        let check = cleanups.clone();
        world.finally(move || match check.begun.get() {
            1 => Ok(()),
            n => Err(Error::msg(format!("{n} cleanups"))),
        });
        world.runs(move |lp| serve(lp, &cleanups, on_signal));
        Ok(())
    })
    .signals([Signal::SIGTERM])
    .pairs()
}

fn main() -> Result<()> {
    println!("two signals");
    signalled_twice(on_signal)?;
    println!("mended");
    signalled_twice(on_first_signal)?;
    // What the explorer says goes to standard error, because CPython has no explorer.
    eprintln!("as written\n{}", explored(on_signal).run()?);
    eprintln!("mended\n{}", explored(on_first_signal).run()?);
    Ok(())
}

// Explained in docs/lessons/exploring.md.
// Next: 53_shielded_and_left_behind.rs
