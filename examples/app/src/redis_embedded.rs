//! A small Redis within the program, for a machine that has none: looplab's streams on a thread of its own.
//!
//! It promises the commands that the lesson uses, as Redis answers them: `PING`, `INCR`, `DEL` and `CLIENT LIST`. It keeps
//! numbers in memory, and ends with its value. It is no substitute for Redis.

use crate::redis_frames::{take_frame, to_bytes};
use looplab::net::{StreamReader, StreamWriter, start_server};
use looplab::{EventLoop, Remote, Result};
use redis_protocol::resp2::types::OwnedFrame;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

/// The server; it ends when this value is dropped.
pub struct EmbeddedRedis {
    /// Where it listens.
    pub address: SocketAddr,
    remote: Remote,
    thread: Option<JoinHandle<()>>,
}

/// What all connections share.
#[derive(Default)]
struct Store {
    numbers: RefCell<HashMap<Vec<u8>, i64>>,
    clients: Cell<usize>,
}

impl EmbeddedRedis {
    /// Starts it on a free port of this machine.
    pub fn start() -> Result<Self, String> {
        let (started, starts) = channel();
        let thread = thread::Builder::new().name("redis".to_owned()).spawn(move || {
            if let Err(error) = serve(&started) {
                // It matters only if it comes before the server has started.
                let _ = started.send(Err(error.to_string()));
            }
        });
        let thread = thread.map_err(|error| error.to_string())?;
        let (address, remote) = starts.recv().map_err(|error| error.to_string())??;
        Ok(Self { address, remote, thread: Some(thread) })
    }
}

impl Drop for EmbeddedRedis {
    fn drop(&mut self) {
        // A loop that has ended needs no stop.
        let _ = self.remote.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(started: &Sender<Result<(SocketAddr, Remote), String>>) -> Result<()> {
    let lp = EventLoop::new()?;
    let store = Rc::new(Store::default());
    let connected = async move |reader, writer| connection(&store, reader, writer).await;
    let server = lp.run_until_complete(start_server(connected, "127.0.0.1", 0))?;
    let address = SocketAddr::from(([127, 0, 0, 1], server.port()));
    let _ = started.send(Ok((address, lp.remote())));
    lp.run_forever()?;
    // What is still connected ends with the loop, without a report.
    server.close();
    let tasks = lp.all_tasks();
    for task in &tasks {
        task.cancel();
    }
    lp.run_until_complete(async move { looplab::gather(tasks).return_exceptions().await })?;
    lp.close()
}

async fn connection(store: &Store, reader: StreamReader, writer: StreamWriter) -> Result<()> {
    store.clients.set(store.clients.get() + 1);
    let ended = answer_all(store, &reader, &writer).await;
    store.clients.set(store.clients.get() - 1);
    match ended {
        Err(error) if error.is_cancelled() => Err(error),
        // A client that breaks off or does not speak Redis's protocol loses its connection.
        _ => Ok(()),
    }
}

async fn answer_all(store: &Store, reader: &StreamReader, writer: &StreamWriter) -> Result<()> {
    let mut received = Vec::new();
    loop {
        while let Some(command) = take_frame(&mut received)? {
            writer.write(to_bytes(&store.answer(command))?)?;
            writer.drain().await?;
        }
        let more = reader.read(1 << 16).await?;
        if more.is_empty() {
            return Ok(());
        }
        received.extend(more);
    }
}

impl Store {
    fn answer(&self, command: OwnedFrame) -> OwnedFrame {
        let words: Vec<Vec<u8>> = match command {
            OwnedFrame::Array(words) => words
                .into_iter()
                .filter_map(|word| if let OwnedFrame::BulkString(word) = word { Some(word) } else { None })
                .collect(),
            _ => Vec::new(),
        };
        let name = words.first().map(|word| String::from_utf8_lossy(word).to_uppercase()).unwrap_or_default();
        match (name.as_str(), &words[words.len().min(1)..]) {
            ("PING", []) => OwnedFrame::SimpleString(b"PONG".into()),
            ("INCR", [key]) => {
                let mut numbers = self.numbers.borrow_mut();
                let number = numbers.entry(key.clone()).or_default();
                *number += 1;
                OwnedFrame::Integer(*number)
            }
            ("DEL", keys) => {
                let mut numbers = self.numbers.borrow_mut();
                let deleted = keys.iter().filter(|key| numbers.remove(*key).is_some()).count();
                OwnedFrame::Integer(i64::try_from(deleted).unwrap_or(i64::MAX))
            }
            ("CLIENT", [list]) if list.eq_ignore_ascii_case(b"LIST") => {
                let lines = (1..=self.clients.get()).fold(String::new(), |mut lines, id| {
                    let _ = writeln!(lines, "id={id}");
                    lines
                });
                OwnedFrame::BulkString(lines.into_bytes())
            }
            _ => OwnedFrame::Error(format!("ERR unknown command '{name}'")),
        }
    }
}
