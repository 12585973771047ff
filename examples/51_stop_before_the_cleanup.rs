//! A signal handler that stops the loop and then starts the cleanup gets no cleanup.
//!
//! The work's usual end is right: it saves, and then it stops. Only the handler has the two in the wrong
//! order, so every test without a signal passes. The cleanup must stop the loop at its end.

use looplab::explore::Explore;
use looplab::{Error, EventLoop, ExceptionContext, Result, Signal, Task, signal, sleep, stop};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Whether the service is about to end, and whether it is saved.
#[derive(Clone, Default)]
struct Service {
    ending: Rc<Cell<bool>>,
    saved: Rc<Cell<bool>>,
}

async fn save(service: Service) -> Result<()> {
    sleep(Duration::from_millis(5)).await?;
    service.saved.set(true);
    Ok(())
}

async fn save_and_stop(service: Service) -> Result<()> {
    save(service).await?;
    stop()
}

/// As it is often written.
fn on_signal(service: &Service) -> Result<()> {
    if !service.ending.replace(true) {
        stop()?;
        Task::builder().name("save").spawn(save(service.clone()));
    }
    Ok(())
}

/// Mended. It is also how the service ends when its work is done.
fn end(service: &Service) -> Result<()> {
    if !service.ending.replace(true) {
        Task::builder().name("save").spawn(save_and_stop(service.clone()));
    }
    Ok(())
}

/// Runs until its work is done or a signal comes.
fn serve(lp: &EventLoop, service: &Service, on_signal: fn(&Service) -> Result<()>) -> Result<()> {
    let at_signal = service.clone();
    lp.add_signal_handler(Signal::SIGTERM, move || on_signal(&at_signal))?;
    let at_end = service.clone();
    let work = lp.call_later(Duration::from_secs(60), move || end(&at_end))?;
    lp.run_forever()?;
    work.cancel();
    lp.remove_signal_handler(Signal::SIGTERM)?;
    Ok(())
}

fn handler(_: &EventLoop, context: &ExceptionContext) {
    println!("  handler: {}", context.message());
}

/// Sends a signal in the first turn.
fn signalled(on_signal: fn(&Service) -> Result<()>) -> Result<()> {
    let lp = EventLoop::new()?;
    lp.set_exception_handler(Some(handler));
    lp.call_soon(|| signal::raise(Signal::SIGTERM))?;
    let service = Service::default();
    serve(&lp, &service, on_signal)?;
    println!(
        "  run_forever has returned, and it is {}",
        if service.saved.get() { "saved" } else { "not saved" }
    );
    lp.close()
}

/// Sends a signal before each poll, and before any two.
fn explored(on_signal: fn(&Service) -> Result<()>) -> Explore {
    Explore::new(move |world| {
        let service = Service::default();
        let saved = service.saved.clone();
        world.finally(move || if saved.get() { Ok(()) } else { Err(Error::msg("it is not saved")) });
        world.runs(move |lp| serve(lp, &service, on_signal));
        Ok(())
    })
    .signals([Signal::SIGTERM])
    .pairs()
}

fn main() -> Result<()> {
    println!("a signal");
    signalled(on_signal)?;
    println!("mended");
    signalled(end)?;
    // What the explorer says goes to standard error, because CPython has no explorer.
    eprintln!("as written\n{}", explored(on_signal).run()?);
    eprintln!("mended\n{}", explored(end).run()?);
    Ok(())
}

// Explained in docs/lessons/exploring.md.
// Next: 52_second_signal_cleans_up_twice.rs
