//! A server for telnet, stopped by Ctrl-C while a client is connected.
//!
//! The server answers each line in capitals, and each connection has a task of its own. Ctrl-C cancels
//! only the main task, which has to end the connections. It closes the server, cancels the connection
//! tasks, waits for them, and only then waits for the server. Two kinds of client would keep it waiting:
//! one that connects meanwhile, and one that does not read. `close_clients` and `abort_clients` end these.
//! The client sees the end of its stream, and no task is left over.
//!
//! With a port as argument it serves there for `telnet` and `nc`, until Ctrl-C.

use looplab::net::{Server, StreamReader, StreamWriter, open_connection, start_server};
use looplab::{
    Error, Result, Signal, TaskRef, current_task, gather, get_running_loop, signal, sync::Event, wait_for,
    yield_now,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

type Connections = Rc<RefCell<Vec<TaskRef>>>;
type Stream = (StreamReader, StreamWriter);

async fn in_capitals(reader: &StreamReader, writer: &StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(line.to_ascii_uppercase())?;
        writer.drain().await?;
    }
    Ok(())
}

async fn echo(connections: &Connections, reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let me = current_task();
    connections.borrow_mut().extend(me.clone());
    let ended = in_capitals(&reader, &writer).await;
    connections.borrow_mut().retain(|task| Some(task) != me.as_ref());
    writer.close();
    match ended {
        Ok(()) => println!("server: client left"),
        Err(Error::Cancelled(_)) => println!("server: connection dropped"),
        Err(Error::Io(_)) => println!("server: connection lost"),
        Err(other) => return Err(other),
    }
    Ok(())
}

async fn client(port: u16) -> Result<Stream> {
    let (reader, writer) = open_connection("127.0.0.1", port).await?;
    for word in ["hello\n", "again\n"] {
        writer.write(word)?;
        println!("client got {}", String::from_utf8_lossy(&reader.readline().await?).trim());
    }
    Ok((reader, writer))
}

async fn demonstrate(connections: &Connections, port: u16) -> Result<Stream> {
    let stays = client(port).await?;
    let (_, writer) = client(port).await?;
    writer.close(); // a polite client
    writer.wait_closed().await?;
    while connections.borrow().len() > 1 {
        yield_now().await?;
    }
    println!("open connections: {}", connections.borrow().len());
    get_running_loop()?.call_soon(|| signal::raise(Signal::SIGINT))?;
    Ok(stays)
}

/// Waits for an event that is never set.
async fn until_cancelled() -> Result<()> {
    Event::new().wait().await
}

async fn shut_down(server: &Server, connections: &Connections) -> Result<()> {
    server.close();
    let open = connections.borrow().clone();
    for task in &open {
        task.cancel();
    }
    gather(open).return_exceptions().await?;
    server.close_clients(); // also those that came as the shutdown began
    match wait_for(server.wait_closed(), Duration::from_secs(5)).await {
        Err(Error::TimedOut) => server.abort_clients(), // they do not read
        closed => return closed,
    }
    server.wait_closed().await
}

async fn serve(port: Option<u16>) -> Result<()> {
    let connections = Connections::default();
    let (handler, mut stays) = (connections.clone(), None);
    let connected = async move |reader, writer| echo(&handler, reader, writer).await;
    let server = start_server(connected, "127.0.0.1", port.unwrap_or(0)).await?;
    match port {
        Some(_) => println!("serving on port {}; Ctrl-C stops it", server.port()),
        None => stays = Some(demonstrate(&connections, server.port()).await?),
    }
    let ended = until_cancelled().await;

    shut_down(&server, &connections).await?;
    if let Some((reader, writer)) = stays {
        println!("client then got {} bytes", reader.read_to_end().await?.len());
        writer.close();
    }
    println!("open connections: {}", connections.borrow().len());
    ended
}

fn main() -> Result<()> {
    let port = std::env::args().nth(1).map(|port| port.parse().map_err(Error::other)).transpose()?;
    match looplab::run(serve(port)) {
        Err(Error::KeyboardInterrupt) => println!("Bye!"),
        ended => ended?,
    }
    Ok(())
}

// Explained in docs/lessons/servers.md.
// Next: 23_wait_closed_and_live_clients.rs
