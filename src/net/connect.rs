//! Connecting to the addresses of a name, one after the other, until one answers.
//!
//! It guarantees the order and the texts of `loop.create_connection`: one failure keeps its text, several are joined, and
//! equal ones appear once. The error holds every failure. A connection that is abandoned half-way is closed. Trying several
//! addresses at a time is the matter of `staggered`.

use super::async_fd::{AsyncFd, OpKind};
use super::endpoint::tuple;
use crate::error::{Error, IoError, Result};
use crate::trace::Place;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};

pub(super) const CONNECT: OpKind = OpKind::write("connect", "connect");

/// Connects to the first address that answers.
pub(super) async fn connect(addresses: Vec<SocketAddr>, place: Place) -> Result<AsyncFd<TcpStream>> {
    let mut errors = Vec::new();
    for address in addresses {
        match connect_to(address, place).await {
            Err(Error::Io(error)) => errors.push(error),
            other => return other,
        }
    }
    Err(all_failed(errors))
}

/// Joins the errors of all addresses.
pub(super) fn all_failed(errors: Vec<IoError>) -> Error {
    if let [only] = &*errors {
        return only.clone().into();
    }
    let texts: Vec<String> = errors.iter().map(IoError::to_string).collect();
    let text = match texts.first() {
        Some(first) if texts.iter().all(|text| text == first) => first.clone(),
        _ => format!("Multiple exceptions: {}", texts.join(", ")),
    };
    IoError::several(errors, text).map_or_else(|| Error::msg("no address to connect to"), Error::Io)
}

pub(super) async fn connect_to(address: SocketAddr, place: Place) -> Result<AsyncFd<TcpStream>> {
    // An error of this call is the system's (no descriptor, no such family) and keeps its text.
    let socket = mio::net::TcpStream::connect(address)?;
    let fd = AsyncFd::at(TcpStream::from(socket), place);
    let mut begun = false;
    let connected = fd.op(&CONNECT, place, move |fd| {
        // As asyncio, it checks the connection only after the descriptor is writable.
        if !std::mem::replace(&mut begun, true) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let failed = fd.socket().take_error()?;
        if failed.is_some() {
            return Ok(failed);
        }
        match fd.socket().peer_addr() {
            Err(error) if error.kind() == ErrorKind::NotConnected => Err(ErrorKind::WouldBlock.into()),
            Err(error) => Err(error),
            Ok(_) => Ok(None),
        }
    });
    match connected.await? {
        Some(error) => Err(refused(address, error)),
        None => Ok(fd),
    }
}

/// Returns the failure of one address in asyncio's words.
fn refused(address: SocketAddr, error: io::Error) -> Error {
    let number = error.raw_os_error().map(|number| format!("[Errno {number}] ")).unwrap_or_default();
    IoError::told(error, format!("{number}Connect call failed {}", tuple(address))).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventLoop;
    use std::net::TcpListener;
    use std::panic::Location;

    fn nowhere() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("its address")
    }

    fn connects(addresses: Vec<SocketAddr>) -> Result<AsyncFd<TcpStream>> {
        EventLoop::new()?.run_until_complete(connect(addresses, Location::caller()))
    }

    #[test]
    fn every_failure_is_reported_and_equal_ones_once() {
        let (one, other) = (nowhere(), nowhere());
        let text = |address: SocketAddr| connects(vec![address]).err().expect("a refusal").to_string();
        let both = connects(vec![one, other]).err().expect("a refusal");
        assert_eq!(both.to_string(), format!("Multiple exceptions: {}, {}", text(one), text(other)));
        let Error::Io(both) = both else { panic!("{both:?}") };
        let each: Vec<String> = both.attempts().iter().map(ToString::to_string).collect();
        assert_eq!(each, [text(one), text(other)]);
        assert!(both.raw_os_error().is_some() && both.raw_os_error() == both.attempts()[0].raw_os_error());
        assert_eq!(connects(vec![one, one]).err().expect("a refusal").to_string(), text(one));
    }

    #[test]
    fn the_first_address_that_answers_is_taken() -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let stream = connects(vec![nowhere(), listener.local_addr()?])?;
        assert_eq!(stream.socket().peer_addr()?, listener.local_addr()?);
        Ok(())
    }
}
