//! `wait_closed()` waits for clients that are still connected.
//!
//! `close()` stops the listening. The connections go on, and `wait_closed()` returns when the last of
//! them has ended. A program that closes its server and waits for it, and ends the handlers only
//! afterwards, waits for ever. End the handlers first, the server last: that is right on every version.
//! (Until 3.11 `wait_closed()` returned at once, and hid the mistake.)
//!
//! A `serve_forever()` that is cancelled closes its server and the connections, then waits for both. In
//! 3.12 and 3.13.0 it did not close the connections, and an idle client kept it waiting.

use looplab::net::{StreamReader, StreamWriter, open_connection, start_server};
use looplab::{Error, Result, ReturnWhen, create_task, sync::Event, wait, wait_for};
use std::time::Duration;

async fn scenario(connections_first: bool) -> Result<()> {
    let (connected, leave) = (Event::new(), Event::new());

    let (tell, told) = (connected.clone(), leave.clone());
    let handler = async move |_: StreamReader, writer: StreamWriter| {
        tell.set();
        told.wait().await?;
        writer.close();
        Ok(())
    };

    let server = start_server(handler, "127.0.0.1", 0).await?;
    let (reader, writer) = open_connection("127.0.0.1", server.port()).await?;
    connected.wait().await?;
    server.close();
    if connections_first {
        leave.set();
    }
    match wait_for(server.wait_closed(), Duration::from_millis(100)).await {
        Err(Error::TimedOut) => println!("  wait_closed() still waits for the client"),
        closed => closed.map(|()| println!("  wait_closed() has returned"))?,
    }
    leave.set();
    println!("  the client then reads {} bytes", reader.read_to_end().await?.len());
    writer.close();
    Ok(())
}

async fn cancelled() -> Result<()> {
    let (connected, left) = (Event::new(), Event::new());

    let (tell, gone) = (connected.clone(), left.clone());
    let handler = async move |reader: StreamReader, _writer: StreamWriter| {
        tell.set();
        println!("  the handler reads {} bytes", reader.read_to_end().await?.len());
        gone.set();
        Ok(())
    };

    let server = start_server(handler, "127.0.0.1", 0).await?;
    let serving = create_task(server.serve_forever());
    let (_, writer) = open_connection("127.0.0.1", server.port()).await?;
    connected.wait().await?;
    serving.cancel();
    let (done, _) = wait([serving], ReturnWhen::AllCompleted, Some(Duration::from_secs(1))).await?;
    let how = if done.is_empty() { "still waits for the client" } else { "has ended" };
    println!("  serve_forever() {how}");
    writer.close(); // the client goes
    left.wait().await
}

fn main() -> Result<()> {
    println!("the server first");
    looplab::run(scenario(false))?;
    println!("the connections first");
    looplab::run(scenario(true))?;
    println!("serve_forever() is cancelled");
    looplab::run(cancelled())
}

// Explained in docs/lessons/servers.md.
// Next: 30_connection_opened_and_closed_with_the_app.rs
