//! Signal handlers on a loop that `run_app` does not use.
//!
//! A program makes a loop, registers its handlers there, and calls `run_app`, which makes a loop of its
//! own. For SIGINT and SIGTERM `run_app` has handlers, so these end it, and the program's own never run.
//! For SIGHUP there is only the program's handler. The signal is caught, so the process does not die of it,
//! but the loop that should answer does not run. The signal is swallowed, and the server serves on.

use app::browser::{gate, get, listen, send};
use app::{App, Options, run_app, text};
use looplab::{EventLoop, Result, Signal, get_running_loop};
use std::thread;

fn main() -> Result<()> {
    let mine = EventLoop::new()?;
    for signal in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT] {
        mine.add_signal_handler(signal, move || println!("my handler: {signal}"))?;
    }

    let (up, is_up) = gate();
    let app = App::new();
    app.route("/", async |_, _| Ok(text("hello\n")));
    let ours = mine.clone();
    app.on_startup(async move |_| {
        let used = get_running_loop()? == ours;
        println!("run_app uses {}", if used { "my loop" } else { "a loop of its own" });
        let _ = up.send(());
        Ok(())
    });
    app.on_cleanup(async |_| {
        println!("on_cleanup");
        Ok(())
    });

    let socket = listen()?;
    let address = socket.local_addr()?;
    let user = thread::spawn(move || {
        let get = || get(address, "/").map_or_else(str::to_owned, |answer| answer.to_string());
        let _ = is_up.recv();
        println!("GET: {}", get().trim());
        send(Signal::SIGHUP);
        println!("GET after SIGHUP: {}", get().trim());
        send(Signal::SIGTERM);
    });
    run_app(&app, socket, Options::default())?;
    println!("run_app has returned");
    user.join().expect("no panic");
    mine.close()
}

// Explained in docs/lessons/applications.md.
// Next: 44_aiohttp_startup_hook_never_returns.rs
