//! A client for Redis: the crate `redis-protocol` over looplab's streams.
//!
//! It promises what `redis.asyncio` does in the lesson. It connects with the first command and not before. One connection
//! serves all tasks, one command after the other. After a failure the next command connects anew. A command that is
//! cancelled closes its connection, because its reply would be read as the next command's. So does a reply that is too deep or
//! too large. Nothing is retried.

use crate::redis_frames::{take_frame, to_bytes};
use looplab::net::{StreamReader, StreamWriter, memory, open_connection};
use looplab::sync::Lock;
use looplab::{Error, Result};
use redis_protocol::resp2::types::OwnedFrame;
use std::cell::RefCell;
use std::io::{self, ErrorKind};

/// A client with one connection, which its first command opens.
pub struct Redis {
    url: Url,
    line: RefCell<Option<Line>>,
    turn: Lock,
}

/// `redis://[:PASSWORD@]HOST[:PORT][/DATABASE]`, or `memory://NAME` for a server in memory.
struct Url {
    host: String,
    /// `None` for a name in memory.
    port: Option<u16>,
    greetings: Vec<Vec<String>>,
}

/// One connection, between two commands.
struct Line {
    reader: StreamReader,
    writer: StreamWriter,
    received: Vec<u8>,
}

impl Redis {
    /// Does not connect.
    pub fn from_url(url: &str) -> Result<Self> {
        Ok(Self { url: Url::parse(url)?, line: RefCell::new(None), turn: Lock::new() })
    }

    /// Returns whether the server answers.
    pub async fn ping(&self) -> Result<bool> {
        Ok(self.call(&["PING"]).await? == OwnedFrame::SimpleString(b"PONG".into()))
    }

    /// Adds one to a number, and returns the sum.
    pub async fn incr(&self, key: &str) -> Result<i64> {
        self.number(&["INCR", key]).await
    }

    /// Deletes a key, and returns how many keys there were.
    pub async fn delete(&self, key: &str) -> Result<i64> {
        self.number(&["DEL", key]).await
    }

    /// How many clients the server has, this one included.
    pub async fn clients(&self) -> Result<usize> {
        match self.call(&["CLIENT", "LIST"]).await? {
            OwnedFrame::BulkString(text) => Ok(String::from_utf8_lossy(&text).lines().count()),
            other => Err(unexpected(&other)),
        }
    }

    /// Closes the connection, if there is one, and waits until it is closed.
    pub async fn close(&self) -> Result<()> {
        let _turn = self.turn.lock().await?;
        let line = self.line.take();
        if let Some(Line { writer, .. }) = line {
            writer.close();
            writer.wait_closed().await?;
        }
        Ok(())
    }

    async fn number(&self, command: &[&str]) -> Result<i64> {
        match self.call(command).await? {
            OwnedFrame::Integer(number) => Ok(number),
            other => Err(unexpected(&other)),
        }
    }

    async fn call(&self, command: &[&str]) -> Result<OwnedFrame> {
        let _turn = self.turn.lock().await?;
        let line = self.line.take(); // put back when its reply has come
        let mut line = match line {
            Some(line) => line,
            None => self.url.connect().await?,
        };
        let reply = line.call(command).await?;
        *self.line.borrow_mut() = Some(line);
        match reply {
            OwnedFrame::Error(text) => Err(Error::msg(text)),
            reply => Ok(reply),
        }
    }
}

/// Whether the server could not be reached, or was lost (`redis.ConnectionError`).
pub fn is_connection_error(error: &Error) -> bool {
    matches!(error, Error::Io(_) | Error::IncompleteRead { .. })
}

impl Line {
    async fn call(&mut self, command: &[&str]) -> Result<OwnedFrame> {
        let words = command.iter().map(|word| OwnedFrame::BulkString(word.as_bytes().to_vec())).collect();
        self.writer.write(to_bytes(&OwnedFrame::Array(words))?)?;
        self.writer.drain().await?;
        loop {
            if let Some(reply) = take_frame(&mut self.received)? {
                return Ok(reply);
            }
            let more = self.reader.read(1 << 16).await?;
            if more.is_empty() {
                return Err(
                    io::Error::new(ErrorKind::UnexpectedEof, "Redis has closed the connection").into()
                );
            }
            self.received.extend(more);
        }
    }
}

impl Url {
    fn parse(url: &str) -> Result<Self> {
        let bad = || Error::msg(format!("not redis://[:PASSWORD@]HOST[:PORT][/DATABASE]: {url}"));
        if let Some(name) = url.strip_prefix("memory://") {
            return Ok(Self { host: name.to_owned(), port: None, greetings: Vec::new() });
        }
        let rest = url.strip_prefix("redis://").ok_or_else(bad)?;
        let (place, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = place.rsplit_once('@').unwrap_or(("", place));
        // The colons of an IPv6 address stand in brackets.
        let ported = place.rsplit_once(':').filter(|(host, _)| !host.starts_with('[') || host.ends_with(']'));
        let (host, port) = ported.unwrap_or((place, "6379"));
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let mut greetings = Vec::new();
        match user.split_once(':') {
            Some(("", password)) => greetings.push(words(&["AUTH", password])),
            Some((name, password)) => greetings.push(words(&["AUTH", name, password])),
            None => {}
        }
        if !database.is_empty() {
            greetings.push(words(&["SELECT", database]));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: Some(port.parse().map_err(|_| bad())?), greetings })
    }

    async fn connect(&self) -> Result<Line> {
        let (reader, writer) = match self.port {
            Some(port) => open_connection(self.host.as_str(), port).await?,
            None => memory::open_connection(self.host.as_str()).await?,
        };
        let mut line = Line { reader, writer, received: Vec::new() };
        for greeting in &self.greetings {
            let words: Vec<&str> = greeting.iter().map(String::as_str).collect();
            if let OwnedFrame::Error(text) = line.call(&words).await? {
                return Err(Error::msg(text));
            }
        }
        Ok(line)
    }
}

fn unexpected(reply: &OwnedFrame) -> Error {
    Error::msg(format!("Redis gave an unexpected reply: {reply:?}"))
}
