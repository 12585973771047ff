//! `run_app` alone shuts down gracefully: what SIGINT and SIGTERM do to a request in flight.
//!
//! No signal handler has to be written. The port is closed first, so that new connections are refused; then
//! the shutdown hooks run. A request in flight is answered if that takes no longer than twice the shutdown
//! timeout. Otherwise it is cancelled, and its client is cut off. Then the cleanup hooks run, and `run_app` returns.
//!
//! With a port as argument it serves there, for `curl localhost:PORT/slow`, until Ctrl-C. HTTP is hyper's;
//! `run_app` is in `examples/app`, and the twin has aiohttp's.

use app::browser::{Answer, gate, get, listen, send};
use app::{App, Options, run_app, text};
use looplab::{Error, Result, Signal, sleep};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

fn application(margin: &'static str, in_flight: Sender<()>, closing: Sender<()>) -> App {
    let app = App::new();
    app.route("/", async |_, _| Ok(text("hello\n")));
    app.route("/slow", async move |_, _| {
        println!("{margin}slow: begin");
        let _ = in_flight.send(());
        let slept = sleep(Duration::from_millis(400)).await;
        if let Err(Error::Cancelled(_)) = &slept {
            println!("{margin}slow: cancelled");
        }
        slept?;
        println!("{margin}slow: end");
        Ok(text("slow done\n"))
    });
    app.on_shutdown(async move |_| {
        println!("{margin}on_shutdown");
        let _ = closing.send(());
        Ok(())
    });
    app.on_cleanup(async move |_| {
        println!("{margin}on_cleanup");
        Ok(())
    });
    app
}

fn shown(answer: Result<Answer, &'static str>) -> String {
    answer.map_or_else(str::to_owned, |answer| answer.to_string().trim().to_owned())
}

fn scenario(signal: Signal, seconds: &str) -> Result<()> {
    println!("{signal}, and {seconds} s to finish");
    let ((in_flight, is_in_flight), (closing, is_closing)) = (gate(), gate());
    let app = application("  ", in_flight, closing);
    let socket = listen()?;
    let address = socket.local_addr()?;

    let first_user = thread::spawn(move || get(address, "/slow"));
    let second_user = thread::spawn(move || {
        let _ = is_in_flight.recv();
        send(signal);
        let _ = is_closing.recv();
        get(address, "/")
    });
    let shutdown_timeout = Duration::from_secs_f64(seconds.parse().map_err(Error::other)?);
    run_app(&app, socket, Options { shutdown_timeout, ..Options::default() })?;
    println!("  run_app has returned");
    println!("  the request in flight: {}", shown(first_user.join().expect("no panic")));
    println!("  a new connection: {}", shown(second_user.join().expect("no panic")));
    Ok(())
}

fn main() -> Result<()> {
    if let Some(port) = std::env::args().nth(1) {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse().map_err(Error::other)?))?;
        println!("serving on http://{}; Ctrl-C stops it", socket.local_addr()?);
        return run_app(&application("", gate().0, gate().0), socket, Options::default());
    }
    scenario(Signal::SIGTERM, "5")?;
    scenario(Signal::SIGINT, "5")?;
    scenario(Signal::SIGTERM, "0.3")?; // less than the request takes, and twice as much is more
    scenario(Signal::SIGTERM, "0.05")
}

// Explained in docs/lessons/applications.md.
// Next: 42_aiohttp_cancel_all_is_not_graceful.rs
