//! A second SIGTERM, while `run_app` waits for a request in flight.
//!
//! `run_app` takes it for "at once": the request is cancelled, the cleanup hooks do not run, and the
//! program ends with status 1. A program that must be patient waits for an event of its own, which
//! cannot be set twice, and calls the runner's cleanup once.

use app::browser::{gate, get, listen, send};
use app::{App, Options, Running, run_app, text};
use looplab::sync::Event;
use looplab::{Error, Result, Signal, get_running_loop, sleep};
use std::net::TcpListener;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

fn application(in_flight: Sender<()>) -> App {
    let app = App::new();
    app.route("/", async move |_, _| {
        let _ = in_flight.send(());
        let slept = sleep(Duration::from_millis(400)).await;
        if let Err(Error::Cancelled(_)) = &slept {
            println!("  slow: cancelled");
        }
        slept.map(|()| text("slow done\n"))
    });
    app.on_shutdown(async |_| {
        println!("  on_shutdown");
        get_running_loop()?.call_later(Duration::from_millis(100), || send(Signal::SIGTERM))?;
        Ok(())
    });
    app.on_cleanup(async |_| {
        println!("  on_cleanup");
        Ok(())
    });
    app
}

fn with_run_app(app: App, socket: TcpListener) -> Result<()> {
    match run_app(&app, socket, Options::default()) {
        Err(Error::Exit(status)) => println!("  run_app ends the program with status {status}"),
        ended => ended.map(|()| println!("  run_app has returned"))?,
    }
    Ok(())
}

fn with_an_event(app: App, socket: TcpListener) -> Result<()> {
    looplab::run(async {
        let stop = Event::new();
        let set = stop.clone();
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let set = set.clone();
            get_running_loop()?.add_signal_handler(signal, move || {
                println!("  signal");
                set.set();
            })?;
        }
        let running = Running::start(app, socket).await?;
        stop.wait().await?;
        running.end(Options::default().shutdown_timeout).await
    })?;
    println!("  run has returned");
    Ok(())
}

fn scenario(serve: fn(App, TcpListener) -> Result<()>) -> Result<()> {
    let (in_flight, is_in_flight) = gate();
    let socket = listen()?;
    let address = socket.local_addr()?;
    let user = thread::spawn(move || get(address, "/"));
    let killer = thread::spawn(move || {
        let _ = is_in_flight.recv();
        send(Signal::SIGTERM);
    });
    serve(application(in_flight), socket)?;
    killer.join().expect("no panic");
    match user.join().expect("no panic") {
        Ok(answer) => println!("  client: {}", answer.0),
        Err(name) => println!("  client: {name}"),
    }
    Ok(())
}

fn main() -> Result<()> {
    println!("run_app");
    scenario(with_run_app)?;
    println!("an event of our own");
    scenario(with_an_event)
}

// Explained in docs/lessons/applications.md.
// Next: 48_item_lost_between_get_and_put.rs
