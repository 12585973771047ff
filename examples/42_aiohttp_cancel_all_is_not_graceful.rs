//! Cancelling all tasks is not graceful, when requests and the server itself are tasks.
//!
//! The handler of a well-known recipe cancels every task but its own, gathers them and stops the loop.
//! Under `run_app` the request in flight is such a task, and its client is cut off without an answer.
//! The main task of `run_app` is another, so it ends with a cancellation instead of returning. And, as
//! in lesson 13, the handler looks up too late which signal it was.

use app::browser::{gate, get, listen, send};
use app::{App, Options, run_app_on, text};
use looplab::{Error, EventLoop, Result, Signal, Task, all_tasks, current_task, gather, sleep};
use std::cell::Cell;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

async fn shutdown(signal: Signal) -> Result<()> {
    println!("shutdown({signal})");
    let mut others = all_tasks();
    others.retain(|task| Some(task) != current_task().as_ref());
    for task in &others {
        task.cancel();
    }
    gather(others).return_exceptions().await?;
    looplab::stop()
}

fn main() -> Result<()> {
    let (in_flight, is_in_flight) = gate();
    let app = App::new();
    app.route("/slow", async move |_, _| {
        let _ = in_flight.send(());
        let slept = sleep(Duration::from_millis(400)).await;
        if let Err(Error::Cancelled(_)) = &slept {
            println!("slow: cancelled");
        }
        slept.map(|()| text("slow done\n"))
    });
    app.on_shutdown(async |_| {
        println!("on_shutdown");
        Ok(())
    });
    app.on_cleanup(async |_| {
        println!("on_cleanup");
        Ok(())
    });

    let lp = EventLoop::new()?;
    let current = Rc::new(Cell::new(Signal::SIGHUP));
    for signal in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT] {
        current.set(signal);
        let current = current.clone();
        lp.add_signal_handler(signal, move || {
            drop(Task::builder().name("shutdown").spawn(shutdown(current.get())));
        })?;
    }

    let socket = listen()?;
    let address = socket.local_addr()?;
    let user = thread::spawn(move || get(address, "/slow"));
    let killer = thread::spawn(move || {
        let _ = is_in_flight.recv();
        println!("SIGHUP is sent");
        send(Signal::SIGHUP);
    });
    match run_app_on(&lp, &app, socket, Options { handle_signals: false, ..Options::default() }) {
        Err(Error::Cancelled(_)) => println!("run_app was cancelled"),
        ended => ended.map(|()| println!("run_app has returned"))?,
    }
    killer.join().expect("no panic");
    match user.join().expect("no panic") {
        Ok(answer) => println!("client: {}", answer.0),
        Err(name) => println!("client: {name}"),
    }
    Ok(())
}

// Explained in docs/lessons/applications.md.
// Next: 43_aiohttp_handlers_on_another_loop.rs
