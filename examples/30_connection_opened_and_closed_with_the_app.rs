//! A connection is opened when the application starts, and closed, and awaited, when it ends.
//!
//! The context manager is the whole pattern: connect and say hello before the `yield`, close and wait
//! after it, whatever happens between. If the server is down, the application fails at its start and
//! not at the first request. Then there is nothing to clean up, because nothing was opened. A tiny
//! server takes the place of Redis. Lesson 46 talks to the real one. At the end two functions without a
//! common frame: the closing finds nothing, and its error hides the first.
//!
//! Rust has no `async with`, so a function takes the code between as an argument.

use looplab::net::{Server, StreamReader, StreamWriter, open_connection, start_server};
use looplab::{Error, Result, sync::Event};
use std::cell::Cell;
use std::io::ErrorKind::ConnectionRefused;
use std::rc::Rc;

#[derive(Default)]
struct FakeRedis {
    hits: Cell<u32>,
    clients: Cell<u32>,
    gone: Event,
}

impl FakeRedis {
    async fn start(self: &Rc<Self>) -> Result<Server> {
        let fake = self.clone();
        start_server(async move |reader, writer| fake.client(reader, writer).await, "127.0.0.1", 0).await
    }

    async fn client(&self, reader: StreamReader, writer: StreamWriter) -> Result<()> {
        self.clients.set(self.clients.get() + 1);
        while let Some(command) = reader.next_line().await? {
            if command == b"PING\r\n" {
                writer.write("+PONG\r\n")?;
            } else {
                self.hits.set(self.hits.get() + 1);
                writer.write(format!(":{}\r\n", self.hits.get()))?;
            }
        }
        self.clients.set(self.clients.get() - 1);
        self.gone.set();
        writer.close();
        Ok(())
    }
}

struct Connection {
    reader: StreamReader,
    writer: StreamWriter,
}

impl Connection {
    async fn open(port: u16) -> Result<Self> {
        let (reader, writer) = open_connection("127.0.0.1", port).await?;
        Ok(Self { reader, writer })
    }

    async fn call(&self, command: &str) -> Result<String> {
        self.writer.write(format!("{command}\r\n"))?;
        Ok(String::from_utf8_lossy(&self.reader.readline().await?).trim().to_owned())
    }

    async fn close(self) -> Result<()> {
        self.writer.close();
        self.writer.wait_closed().await
    }
}

async fn with_connection(port: u16, between: impl AsyncFnOnce(&Connection) -> Result<()>) -> Result<()> {
    let redis = Connection::open(port).await?;
    println!("  startup: {}", redis.call("PING").await?);
    let ended = between(&redis).await;
    let closed = redis.close().await;
    println!("  cleanup: closed");
    ended.and(closed) // the first error counts
}

/// Opens in one half and closes in the other, which runs whatever the first has done.
async fn two_halves(port: u16) -> Result<()> {
    let mut stored = None;
    let started = Connection::open(port).await.map(|redis| stored = Some(redis));
    let redis: Connection = stored.ok_or_else(|| Error::msg("nothing is stored"))?;
    redis.close().await?;
    started
}

async fn application(port: u16) -> Result<()> {
    with_connection(port, async |redis| {
        println!("  request: {}", redis.call("INCR hits").await?);
        println!("  request: {}", redis.call("INCR hits").await?);
        Ok(())
    })
    .await
}

async fn program() -> Result<()> {
    let fake = Rc::new(FakeRedis::default());
    let server = fake.start().await?;
    let port = server.port();
    println!("the server is up");
    application(port).await?;
    fake.gone.wait().await?;
    println!("  server: clients left: {}", fake.clients.get());

    server.close();
    server.wait_closed().await?;
    println!("the server is down");
    match application(port).await {
        Err(Error::Io(error)) if error.kind() == ConnectionRefused => {
            println!("  startup failed: refused");
        }
        ended => ended?,
    }
    if let Err(error) = two_halves(port).await {
        println!("  two halves: {error}");
    }
    Ok(())
}

fn main() -> Result<()> {
    looplab::run(program())
}

// Explained in docs/lessons/servers.md.
// Next: 38_echo_server_and_the_first_ctrl_c.rs
