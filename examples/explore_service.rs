//! A service under exploration: a server, a worker with jobs, and SIGTERM.
//!
//! Clients send orders, a line each. The server says `taken` to each, and a worker saves it in a job. On SIGTERM, or when
//! it is cancelled, the service sends its clients away, saves what it has taken, and ends. It keeps one promise: what was
//! taken is saved.
//!
//! `cargo run --example explore_service` stops, cancels and signals it at every point, and lets its jobs end early and
//! late. It prints what the explorer found. With `-- pairs` it does any two of these in a row. With `-- careless` the
//! worker forgets the promise when it is cancelled.

use looplab::explore::{Explore, World};
use looplab::net::memory::{self, MemoryListener};
use looplab::net::{StreamReader, StreamWriter, start_server_on};
use looplab::sync::{Event, Queue};
use looplab::{
    Error, Result, ReturnWhen, Signal, Task, TaskRef, create_task, current_task, gather, get_running_loop,
    to_thread, wait,
};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// What the service has taken and has not saved yet, and what it has saved.
#[derive(Clone)]
struct Orders {
    queue: Queue<String>,
    taken: Rc<Cell<usize>>,
    /// The disk, as the jobs see it.
    saved: Arc<Mutex<Vec<String>>>,
}

impl Orders {
    fn new() -> Self {
        Self { queue: Queue::new(0), taken: Rc::default(), saved: Arc::default() }
    }

    fn take(&self, order: String) -> Result<()> {
        self.queue.put_nowait(order)?;
        self.taken.set(self.taken.get() + 1);
        Ok(())
    }

    /// Saves an order on a thread. It is saved whatever becomes of the task that waits here.
    async fn save(&self, order: String) -> Result<()> {
        let saved = self.saved.clone();
        finish(create_task(to_thread(move || saved.lock().expect("no panic").push(order)))).await
    }

    /// As [`save`](Self::save), but a cancellation withdraws the job.
    async fn save_carelessly(&self, order: String) -> Result<()> {
        let saved = self.saved.clone();
        to_thread(move || saved.lock().expect("no panic").push(order)).await
    }

    fn balance(&self) -> Result<()> {
        match (self.taken.get(), self.saved.lock().expect("no panic").len()) {
            (taken, saved) if taken == saved => Ok(()),
            (taken, saved) => Err(Error::msg(format!("taken {taken}, saved {saved}"))),
        }
    }
}

/// Waits until a task is done, however often this one is cancelled meanwhile, and passes the cancellation on.
async fn finish(task: Task<()>) -> Result<()> {
    let mut waited = Ok(());
    while !task.done() {
        waited = waited.and(wait([task.clone()], ReturnWhen::AllCompleted, None).await.map(drop));
    }
    waited.and(task.result())
}

/// The tasks that serve a client, and whether the service has ended.
#[derive(Clone, Default)]
struct Clients {
    tasks: Rc<RefCell<Vec<TaskRef>>>,
    closed: Rc<Cell<bool>>,
}

/// Serves one client. One that was accepted just before the end is sent away.
async fn serve_client(
    clients: Clients,
    orders: Orders,
    reader: StreamReader,
    writer: StreamWriter,
) -> Result<()> {
    let me = current_task();
    clients.tasks.borrow_mut().extend(me.clone());
    let served = async {
        while !clients.closed.get() {
            let Some(order) = reader.next_line().await? else { break };
            orders.take(String::from_utf8_lossy(&order).into_owned())?;
            writer.write("taken\n")?;
            writer.drain().await?;
        }
        Ok(())
    };
    let served = served.await;
    clients.tasks.borrow_mut().retain(|task| me.as_ref() != Some(task));
    writer.close();
    match served {
        // The client is gone, or the service ends.
        Err(Error::Io(_) | Error::Cancelled(_)) => Ok(()),
        other => other,
    }
}

/// Which worker the service has.
#[derive(Clone, Copy, PartialEq)]
enum Worker {
    Careful,
    Careless,
}

/// Saves the orders until the queue is shut down and empty.
async fn work(orders: Orders, worker: Worker) -> Result<()> {
    loop {
        let order = match orders.queue.get().await {
            Err(Error::QueueShutDown) => return Ok(()),
            order => order?,
        };
        match worker {
            Worker::Careful => orders.save(order).await?,
            Worker::Careless => orders.save_carelessly(order).await?,
        }
    }
}

/// Ends the service: no clients, then no orders, then no worker.
async fn shut_down(clients: Clients, orders: Orders, worker: Task<()>) -> Result<()> {
    clients.closed.set(true);
    let left = clients.tasks.borrow().clone();
    for task in &left {
        task.cancel();
    }
    gather(left).return_exceptions().await?;
    orders.queue.shutdown(false);
    wait([worker], ReturnWhen::AllCompleted, None).await?;
    // If the worker was cancelled, it has left some.
    while let Ok(order) = orders.queue.get_nowait() {
        orders.save(order).await?;
    }
    Ok(())
}

/// Serves until it is asked to end, or cancelled. Whatever can fail comes before there is something to clean up.
async fn service(orders: Orders, worker: Worker) -> Result<()> {
    let clients = Clients::default();
    let (at_client, at_order) = (clients.clone(), orders.clone());
    let serving = move |reader, writer| serve_client(at_client.clone(), at_order.clone(), reader, writer);
    let server = start_server_on(serving, MemoryListener::bind("orders")?).await?;
    let (lp, asked) = (get_running_loop()?, Event::new());
    let ask = asked.clone();
    lp.add_signal_handler(Signal::SIGTERM, move || ask.set())?;
    let working = Task::builder().name("worker").spawn(work(orders.clone(), worker));
    let customer = Task::builder().name("customer").spawn(customer(asked.clone()));

    let ended = asked.wait().await;
    server.close();
    let shutdown = finish(Task::builder().name("shutdown").spawn(shut_down(clients, orders, working))).await;
    lp.remove_signal_handler(Signal::SIGTERM)?;
    finish(customer).await.and(shutdown).and(ended)
}

/// Orders two things, and ends the service. It may be ended before.
async fn customer(end: Event) -> Result<()> {
    let ordered = async {
        let (reader, writer) = memory::open_connection("orders").await?;
        for order in ["tea\n", "bread\n"] {
            writer.write(order)?;
            reader.readline().await?;
        }
        writer.close();
        Ok(())
    };
    let ordered = ordered.await;
    end.set();
    match ordered {
        Err(Error::Io(_)) => Ok(()),
        other => other,
    }
}

fn main() -> Result<()> {
    let asked = |word: &str| std::env::args().any(|argument| argument == word);
    let worker = if asked("careless") { Worker::Careless } else { Worker::Careful };
    let exploration = Explore::new(move |world: &World| {
        let orders = Orders::new();
        let books = orders.clone();
        world.finally(move || books.balance());
        world.main(service(orders, worker))
    });
    let exploration = exploration.stops().cancel("main").cancel("worker").signals([Signal::SIGTERM]).jobs();
    let exploration = if asked("pairs") { exploration.pairs() } else { exploration };
    print!("{}", exploration.run()?);
    Ok(())
}
