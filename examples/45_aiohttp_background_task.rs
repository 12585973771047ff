//! A background job that lives as long as the application.
//!
//! A context starts the job before the `yield`, and cancels it and waits for it afterwards. A pair of hooks
//! does the same, with the task stored in the application between. Either way the job runs while
//! requests are served, has ended before `run_app` returns, and concerns no other code. If it has failed, the
//! cleanup says so and goes on. A job that nothing ends is cancelled by `run_app`, after the cleanup hooks.

use app::browser::{gate, get, listen, send};
use app::{App, Options, Serving, run_app, text};
use looplab::{Error, Result, ReturnWhen, Signal, Task, create_task, sleep, wait};
use std::thread;
use std::time::Duration;

async fn job() -> Result<()> {
    println!("  job: begins");
    loop {
        let slept = sleep(Duration::from_millis(10)).await;
        if slept.is_err() {
            println!("  job: released");
            return slept;
        }
    }
}

async fn crashing() -> Result<()> {
    println!("  job: crashes");
    Err(Error::msg("no answer"))
}

async fn end(task: &Task<()>) -> Result<()> {
    task.cancel();
    wait([task.clone()], ReturnWhen::AllCompleted, None).await?; // reads no result
    match task.result() {
        Err(Error::Cancelled(_)) => println!("  cleanup: the job has ended"),
        Err(error) => println!("  cleanup: the job had failed: {error}"),
        Ok(()) => println!("  cleanup: the job had returned"),
    }
    Ok(())
}

async fn job_context(_: App, serving: Serving) -> Result<()> {
    let task = create_task(job());
    serving.await?;
    end(&task).await
}

async fn crashing_context(_: App, serving: Serving) -> Result<()> {
    let task = create_task(crashing());
    serving.await?;
    end(&task).await
}

async fn start_job(app: App) -> Result<()> {
    app.store(create_task(job()));
    Ok(())
}

async fn end_job(app: App) -> Result<()> {
    end(&*app.stored::<Task<()>>()?).await
}

fn scenario(prepare: impl FnOnce(&App)) -> Result<()> {
    let (up, is_up) = gate();
    let app = App::new();
    app.route("/", async |_, _| {
        println!("  request");
        Ok(text("hello\n"))
    });
    prepare(&app);
    app.on_startup(async move |_| {
        let _ = up.send(());
        Ok(())
    });
    app.on_cleanup(async |_| {
        println!("  on_cleanup");
        Ok(())
    });
    let socket = listen()?;
    let address = socket.local_addr()?;
    let user = thread::spawn(move || {
        let _ = is_up.recv();
        let _ = get(address, "/");
        send(Signal::SIGTERM);
    });
    run_app(&app, socket, Options::default())?;
    println!("  run_app has returned");
    user.join().expect("no panic");
    Ok(())
}

fn main() -> Result<()> {
    println!("a context");
    scenario(|app| app.context(job_context))?;
    println!("two hooks");
    scenario(|app| {
        app.on_startup(start_job);
        app.on_cleanup(end_job);
    })?;
    println!("a job that crashes");
    scenario(|app| app.context(crashing_context))?;
    println!("nothing ends the job");
    scenario(|app| app.on_startup(start_job))
}

// Explained in docs/lessons/applications.md.
// Next: 46_aiohttp_redis.rs
