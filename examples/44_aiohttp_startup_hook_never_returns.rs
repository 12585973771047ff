//! A startup hook that never returns, and one that fails: what runs, and what does not.
//!
//! The hooks are awaited before the port is opened, so an application with an endless hook refuses its users.
//! SIGTERM still ends it: the hook is cancelled where it is. The application has not served, so neither the
//! shutdown nor the cleanup hooks run. They do not run when a hook fails, either. Under `run_app` what was
//! opened before is closed only if its context is made for that: `try` and `finally` around the `yield`.
//!
//! The `yield` is `serving.await` here. With a `?` after it, the code that follows does not run when it fails.

use app::browser::{free_address, gate, get, send};
use app::{App, Options, Serving, run_app};
use looplab::{Error, Result, Signal, sleep};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

async fn endless() -> Result<()> {
    loop {
        let slept = sleep(Duration::from_secs(60)).await;
        if slept.is_err() {
            println!("  the hook is cancelled");
            return slept;
        }
    }
}

async fn plain(_: App, serving: Serving) -> Result<()> {
    serving.await?;
    println!("  the plain context is left");
    Ok(())
}

async fn with_finally(_: App, serving: Serving) -> Result<()> {
    let served = serving.await;
    println!("  the context with finally is left");
    served
}

fn scenario(address: SocketAddr, hook: impl AsyncFn(App) -> Result<()> + 'static) -> Result<()> {
    let app = App::new();
    app.context(plain);
    app.context(with_finally);
    let says = |what: &'static str| {
        async move |_: App| {
            println!("  {what}");
            Ok(())
        }
    };
    app.on_startup(hook);
    app.on_startup(says("a later startup hook"));
    app.on_shutdown(says("on_shutdown"));
    app.on_cleanup(says("on_cleanup"));
    match run_app(&app, address, Options::default()) {
        Err(error) => println!("  run_app failed: {error}"),
        Ok(()) => println!("  run_app has returned"),
    }
    Ok(())
}

fn main() -> Result<()> {
    println!("a hook that never returns");
    let address = free_address()?;
    let (inside, is_inside) = gate();
    let user = thread::spawn(move || {
        let _ = is_inside.recv();
        println!("  client: {}", get(address, "/").map_or_else(str::to_owned, |_| "accepted".to_owned()));
        send(Signal::SIGTERM);
    });
    scenario(address, async move |_| {
        let _ = inside.send(());
        endless().await
    })?;
    user.join().expect("no panic");

    println!("a hook that fails");
    scenario(free_address()?, async |_| Err(Error::msg("there is no database")))
}

// Explained in docs/lessons/applications.md.
// Next: 45_aiohttp_background_task.rs
