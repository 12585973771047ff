//! Ctrl-C comes a second time while the shutdown still runs.
//!
//! A handler that starts a cleanup starts a second one at the second signal. The first one's `stop()`
//! then leaves it unfinished: `Task was destroyed but it is pending!`. A guard ignores the second
//! signal. An escalating handler takes it as "hurry" and cancels the cleanup. When the handler is
//! removed, the signal does again what it did before: SIGTERM kills the process, which the program
//! shows with a child. (SIGINT kills it too, where asyncio puts its `KeyboardInterrupt` back.)

use looplab::{Error, EventLoop, ExceptionContext, Result, Signal, Task, TaskRef, signal, sleep};
use std::cell::RefCell;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

fn send(signal: Signal) -> Result<()> {
    signal::raise(signal)
}

async fn cleanup(n: usize) -> Result<()> {
    println!("  cleanup {n}: begin");
    match sleep(Duration::from_millis(250)).await {
        Err(Error::Cancelled(_)) => println!("  cleanup {n}: cut short"),
        slept => slept.map(|()| println!("  cleanup {n}: end"))?,
    }
    Ok(())
}

fn scenario(title: &str, at_the_second: Option<fn(&TaskRef)>) -> Result<()> {
    println!("{title}");
    let lp = EventLoop::new()?;
    lp.set_exception_handler(Some(|_: &EventLoop, context: &ExceptionContext| {
        println!("  handler: {}", context.message());
    }));
    let made = RefCell::new(Vec::<TaskRef>::new());
    lp.add_signal_handler(Signal::SIGINT, move || {
        println!("  signal");
        let mut made = made.borrow_mut();
        if let (Some(cleanup), Some(act)) = (made.first(), at_the_second) {
            return act(cleanup);
        }
        let n = made.len() + 1;
        let task = Task::builder().name(format!("cleanup {n}")).spawn(cleanup(n));
        task.add_done_callback(|_| looplab::stop());
        made.push(task.to_ref());
    })?;
    lp.call_later(Duration::from_millis(20), || send(Signal::SIGINT))?;
    lp.call_later(Duration::from_millis(120), || send(Signal::SIGINT))?;
    lp.run_forever()?;
    println!("  stopped, tasks still pending: {}", lp.all_tasks().len());
    lp.close() // what is pending is reported here
}

fn child() -> Result<()> {
    let lp = EventLoop::new()?;
    lp.add_signal_handler(Signal::SIGTERM, || ())?;
    lp.remove_signal_handler(Signal::SIGTERM)?;
    send(Signal::SIGTERM)
}

fn main() -> Result<()> {
    if std::env::args().len() > 1 {
        return child();
    }
    scenario("unguarded", None)?;
    scenario("guard", Some(|_| ()))?;
    scenario("escalate", Some(|cleanup| _ = cleanup.cancel()))?;
    let status = Command::new(std::env::current_exe()?).arg("child").env_remove("LOOPLAB_TRACE").status()?;
    println!("after the handler was removed: killed by signal {}", status.signal().unwrap_or(0));
    Ok(())
}

// Explained in docs/lessons/signals.md.
// Next: 15_signal_handlers_belong_to_a_loop.rs
