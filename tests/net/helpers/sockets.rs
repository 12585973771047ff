//! What the tests of the sockets share.

use looplab::net::TcpStream;
use looplab::{Error, EventLoop, Result, yield_now};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, socket};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
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

/// An address where nothing listens, nor will: a socket that does not listen keeps the port.
pub(crate) fn nowhere() -> Result<SocketAddr> {
    let keeper = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
    let keeper = keeper.map_err(std::io::Error::from)?;
    bind(keeper.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).map_err(std::io::Error::from)?;
    let keeper = std::net::TcpListener::from(keeper);
    let address = keeper.local_addr()?;
    std::mem::forget(keeper);
    Ok(address)
}

/// Until the task waits for a descriptor.
pub(crate) async fn waits() -> Result<()> {
    yield_now().await?;
    yield_now().await
}

pub(crate) fn io_kind(error: &Error) -> Option<ErrorKind> {
    if let Error::Io(error) = error { Some(error.kind()) } else { None }
}
