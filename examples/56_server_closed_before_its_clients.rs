//! A server that closes leaves its clients' tasks running.
//!
//! `close()` ends the listening. The tasks that serve the clients go on, and each waits for a client that
//! waits for it. The service must end them, wait for them, and only then be over.

use looplab::explore::Explore;
use looplab::net::memory::{self, MemoryListener};
use looplab::net::{StreamReader, StreamWriter, start_server_on};
use looplab::sync::Event;
use looplab::{
    Error, Result, ReturnWhen, Task, TaskRef, create_task, current_task, gather, run, sleep, wait, yield_now,
};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// The tasks that serve a client, and whether there may be more.
#[derive(Clone, Default)]
struct Clients {
    tasks: Rc<RefCell<Vec<TaskRef>>>,
    closed: Rc<Cell<bool>>,
}

/// Serves one client. One that was accepted just before the end is sent away.
async fn answer(clients: Clients, reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let me = current_task();
    clients.tasks.borrow_mut().extend(me.clone());
    let served = if clients.closed.get() { Ok(()) } else { repeat_lines(reader, &writer).await };
    clients.tasks.borrow_mut().retain(|task| me.as_ref() != Some(task));
    writer.close();
    served
}

async fn repeat_lines(reader: StreamReader, writer: &StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(line)?;
        writer.write("\n")?;
    }
    Ok(())
}

/// As it is often written.
async fn serve(listener: MemoryListener, clients: Clients, end: Event) -> Result<()> {
    let serving = move |reader, writer| answer(clients.clone(), reader, writer);
    let server = start_server_on(serving, listener).await?;
    let asked = end.wait().await;
    server.close();
    asked
}

/// Mended: no client is left when the service is over.
async fn careful_serve(listener: MemoryListener, clients: Clients, end: Event) -> Result<()> {
    let at_client = clients.clone();
    let serving = move |reader, writer| answer(at_client.clone(), reader, writer);
    let server = start_server_on(serving, listener).await?;
    let asked = end.wait().await;
    server.close();
    clients.closed.set(true);
    let left = clients.tasks.borrow().clone();
    for task in &left {
        task.cancel();
    }
    gather(left).return_exceptions().await?;
    asked
}

/// Connects, and asks one question.
async fn ask() -> Result<StreamWriter> {
    let (reader, writer) = memory::open_connection("shop").await?;
    writer.write("hello\n")?;
    reader.readline().await?;
    Ok(writer)
}

/// Asks one question, leaves a minute later, and ends the service after another one. The service may be gone already.
async fn visit(end: Event) -> Result<()> {
    match ask().await {
        Ok(writer) => {
            sleep(Duration::from_secs(60)).await?;
            writer.close();
        }
        Err(Error::Io(_)) => {}
        Err(other) => return Err(other),
    }
    sleep(Duration::from_secs(60)).await?;
    end.set();
    Ok(())
}

/// Cancels a service while a client is connected.
async fn cancelled<S>(serve: fn(MemoryListener, Clients, Event) -> S) -> Result<()>
where
    S: Future<Output = Result<()>> + 'static,
{
    let clients = Clients::default();
    let serving = create_task(serve(MemoryListener::bind("shop")?, clients.clone(), Event::new()));
    let _connection = ask().await?;
    serving.cancel();
    wait([serving], ReturnWhen::AllCompleted, None).await?;
    println!("  the service is over, and its clients' tasks are: {}", clients.tasks.borrow().len());
    Ok(())
}

/// Cancels a service at each point.
fn explored<S>(serve: fn(MemoryListener, Clients, Event) -> S) -> Explore
where
    S: Future<Output = Result<()>> + 'static,
{
    Explore::new(move |world| {
        let left = Rc::new(Cell::new(0));
        let check = left.clone();
        world.finally(move || match check.get() {
            0 => Ok(()),
            n => Err(Error::msg(format!("the service is over, and its clients' tasks are: {n}"))),
        });
        world.main(async move {
            let (listener, end) = (MemoryListener::bind("shop")?, Event::new());
            let visitor = Task::builder().name("visitor").spawn(visit(end.clone()));
            let clients = Clients::default();
            let served = serve(listener, clients.clone(), end).await;
            // What was accepted before the end has begun a few turns later.
            for _ in 0..5 {
                yield_now().await?;
            }
            left.set(clients.tasks.borrow().len());
            wait([visitor], ReturnWhen::AllCompleted, None).await?;
            served
        })
    })
    .stops()
    .cancel("main")
}

fn main() -> Result<()> {
    println!("cancelled while a client is connected");
    run(cancelled(serve))?;
    println!("mended");
    run(cancelled(careful_serve))?;
    // What the explorer says goes to standard error, because CPython has no explorer.
    eprintln!("as written\n{}", explored(serve).run()?);
    eprintln!("mended\n{}", explored(careful_serve).run()?);
    Ok(())
}

// Explained in docs/lessons/exploring.md.
// Next: 57_swallowed_in_a_busy_loop.rs
