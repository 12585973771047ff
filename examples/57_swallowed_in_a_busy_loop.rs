//! A task that swallows its cancellation in a busy loop hangs the sweep.
//!
//! The task gives the loop a turn and ignores what comes of it. So its cancellation is lost, and the code
//! that cancelled it waits for ever. The loop is busy all that time (a livelock), so no deadlock is
//! reported. Each await of a loop needs its `?`.

use looplab::explore::Explore;
use looplab::sync::Event;
use looplab::{Result, ReturnWhen, Task, create_task, wait, yield_now};

/// As it is often written.
async fn worker(end: Event) -> Result<()> {
    while !end.is_set() {
        let _whatever = yield_now().await;
    }
    Ok(())
}

/// Mended.
async fn obedient_worker(end: Event) -> Result<()> {
    while !end.is_set() {
        yield_now().await?;
    }
    Ok(())
}

/// Ends its worker by the event. If it is cancelled, it sweeps: it cancels the worker, and waits for it.
async fn serve<W>(worker: fn(Event) -> W, end: Event) -> Result<()>
where
    W: Future<Output = Result<()>> + 'static,
{
    let working = Task::builder().name("worker").spawn(worker(end.clone()));
    let served = async {
        for _ in 0..3 {
            yield_now().await?;
        }
        Ok(())
    };
    let served = served.await;
    if served.is_ok() {
        end.set();
    } else {
        working.cancel();
    }
    wait([working], ReturnWhen::AllCompleted, None).await?;
    served
}

/// Cancels the service, and looks at it 8 turns later.
async fn cancelled<W>(worker: fn(Event) -> W) -> Result<()>
where
    W: Future<Output = Result<()>> + 'static,
{
    let end = Event::new();
    let serving = create_task(serve(worker, end.clone()));
    yield_now().await?;
    serving.cancel();
    for _ in 0..8 {
        yield_now().await?;
    }
    println!("  8 turns later, the service {}", if serving.done() { "is over" } else { "still sweeps" });
    end.set();
    wait([serving], ReturnWhen::AllCompleted, None).await.map(drop)
}

/// Cancels the service at each point.
fn explored<W>(worker: fn(Event) -> W) -> Explore
where
    W: Future<Output = Result<()>> + 'static,
{
    Explore::new(move |world| world.main(serve(worker, Event::new()))).stops().cancel("main")
}

fn main() -> Result<()> {
    println!("the service is cancelled");
    looplab::run(cancelled(worker))?;
    println!("mended");
    looplab::run(cancelled(obedient_worker))?;
    // What the explorer says goes to standard error, because CPython has no explorer.
    eprintln!("as written\n{}", explored(worker).run()?);
    eprintln!("mended\n{}", explored(obedient_worker).run()?);
    Ok(())
}

// Explained in docs/lessons/exploring.md.
