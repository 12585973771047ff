//! What the tests of connections in memory share: an echo server, and a run in virtual time.

use looplab::net::memory::MemoryListener;
use looplab::net::{Server, StreamReader, StreamWriter, start_server_on};
use looplab::{Error, Result};
use std::io::ErrorKind;
use support::Lab;

pub(crate) async fn echo(reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(line)?;
        writer.drain().await?;
    }
    writer.close();
    writer.wait_closed().await
}

pub(crate) async fn serve_echo() -> Result<Server> {
    start_server_on(echo, MemoryListener::bind("echo")?).await
}

/// Runs a program in virtual time; what it said with its turns, and how it ended.
pub(crate) fn run<F: Future<Output = Result<()>> + 'static>(
    program: impl FnOnce(support::Log) -> F,
) -> Vec<String> {
    let lab = Lab::reporting();
    let said = lab.run(program(lab.log.clone()));
    lab.lp.close().expect("it does not run");
    said
}

/// Returns the kind of an error of the system.
pub(crate) fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    match result {
        Err(Error::Io(error)) => Some(error.kind()),
        _ => None,
    }
}
