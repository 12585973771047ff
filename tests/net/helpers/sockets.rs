//! What the tests of the sockets share.

use looplab::net::TcpStream;
use looplab::{Error, EventLoop, Result, yield_now};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use support::watchdog;

/// Runs a body on a loop of its own.
pub(crate) fn run<T: 'static>(body: impl Future<Output = Result<T>> + 'static) -> Result<T> {
    let _dog = watchdog();
    EventLoop::new()?.run_until_complete(body)
}

/// One end on the loop, the other blocking.
pub(crate) fn pair() -> Result<(TcpStream, std::net::TcpStream)> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let theirs = std::net::TcpStream::connect(listener.local_addr()?)?;
    Ok((TcpStream::from_std(listener.accept()?.0)?, theirs))
}

/// An address where nobody listens.
pub(crate) fn nowhere() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Until the task waits for a descriptor.
pub(crate) async fn waits() -> Result<()> {
    yield_now().await?;
    yield_now().await
}

pub(crate) fn io_kind(error: &Error) -> Option<ErrorKind> {
    if let Error::Io(error) = error { Some(error.kind()) } else { None }
}
