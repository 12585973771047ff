//! The echo server that most texts print, with a client connected: how many Ctrl-C does it take?
//!
//! Ctrl-C cancels the main task, and so `serve_forever()`. A connection's task waits in `readline()`, and is not
//! cancelled by that. In 3.13.18, 3.14 and 3.15 the cancelled `serve_forever()` closes the connections, and one
//! Ctrl-C is enough. In 3.12 and 3.13.0 it waits for the client, and the first Ctrl-C seems to do nothing. Until 3.11 it waits
//! for no client, and the end of `run` cancels the connection's task.

use app::browser::send;
use looplab::net::{StreamReader, StreamWriter, start_server};
use looplab::{Error, Result, Signal, get_running_loop};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

async fn in_capitals(reader: &StreamReader, writer: &StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(line.to_ascii_uppercase())?;
        writer.drain().await?;
    }
    Ok(())
}

async fn echo(reader: StreamReader, writer: StreamWriter) -> Result<()> {
    match in_capitals(&reader, &writer).await {
        Err(Error::Cancelled(_)) => println!("  server: connection dropped"),
        ended => ended.map(|()| println!("  server: client left"))?,
    }
    Ok(())
}

async fn program(serving: impl FnOnce(u16) + 'static) -> Result<()> {
    let server = start_server(echo, "127.0.0.1", 0).await?;
    let port = server.port();
    get_running_loop()?.call_soon(move || serving(port))?;
    let served = server.serve_forever().await;
    server.close();
    server.wait_closed().await?;
    served
}

fn user(port: u16, connects: bool, ended: &Receiver<()>) -> std::io::Result<()> {
    let mut client = None;
    if connects {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.write_all(b"hello\n")?;
        let mut answer = [0; 6];
        stream.read_exact(&mut answer)?;
        println!("  client got {}", String::from_utf8_lossy(&answer).trim());
        client = Some(stream);
    }
    loop {
        println!("  Ctrl-C");
        send(Signal::SIGINT);
        if ended.recv_timeout(Duration::from_secs(2)).is_ok() {
            break;
        }
    }
    drop(client);
    Ok(())
}

fn scenario(connects: bool) -> Result<()> {
    let (end, ended) = channel();
    let (start, started) = channel();
    let serving = move |port| {
        let user = thread::spawn(move || user(port, connects, &ended));
        let _ = start.send(user);
    };
    match looplab::run(program(serving)) {
        Err(Error::KeyboardInterrupt) => println!("  Bye!"),
        ended => ended?,
    }
    let _ = end.send(());
    let user = started.recv().map_err(Error::other)?;
    Ok(user.join().expect("no panic")?)
}

fn main() -> Result<()> {
    println!("no client");
    scenario(false)?;
    println!("a client is connected");
    scenario(true)
}

// Explained in docs/lessons/servers.md.
// Next: 41_aiohttp_run_app_is_already_graceful.rs
