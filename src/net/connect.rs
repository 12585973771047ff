//! Connecting: a name's addresses, one after the other, until one answers.
//!
//! It promises `loop.create_connection`'s way and texts. One failure keeps its text; several are joined, and equal ones are
//! named once. Every failure is kept in the error's list. A connection that is given up half-way is closed.
//! There are no happy eyeballs: asyncio has them off, too, unless asked.

use super::readiness::{Drained, Io, What};
use super::resolve::{Address, resolve, tuple};
use super::tcp::TcpStream;
use crate::error::{Error, IoError, Result};
use crate::trace::Place;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

const CONNECT: What = What::write("connect", "connect");

pub(super) async fn connect(address: Address, place: Place) -> Result<TcpStream> {
    connect_any(address.resolve(place).await?, place).await
}

/// As `create_connection(host, port)`.
pub(crate) async fn connect_tcp(host: &str, port: u16, place: Place) -> Result<TcpStream> {
    connect_any(resolve(host, port, place).await?, place).await
}

async fn connect_any(addresses: Vec<SocketAddr>, place: Place) -> Result<TcpStream> {
    let mut errors = Vec::new();
    for address in addresses {
        match connect_to(address, place).await {
            Err(Error::Io(error)) => errors.push(error),
            other => return other,
        }
    }
    if let [only] = &*errors {
        return Err(only.clone().into());
    }
    let texts: Vec<String> = errors.iter().map(IoError::to_string).collect();
    let text = match texts.first() {
        Some(first) if texts.iter().all(|text| text == first) => first.clone(),
        _ => format!("Multiple exceptions: {}", texts.join(", ")),
    };
    Err(IoError::several(errors, text).map_or_else(|| Error::msg("no address to connect to"), Error::Io))
}

async fn connect_to(address: SocketAddr, place: Place) -> Result<TcpStream> {
    // What fails here and not in the network (no descriptor left, no such family) keeps the system's words.
    let socket = mio::net::TcpStream::connect(address)?;
    let io = Io::at(std::net::TcpStream::from(socket), place);
    let mut begun = false;
    let connected = io.op(&CONNECT, place, move |socket| {
        // The connection has just been begun: asyncio looks at it when the descriptor is writable, and not before.
        if !std::mem::replace(&mut begun, true) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let failed = socket.take_error()?;
        if failed.is_some() {
            return Ok((failed, Drained::Unknown));
        }
        match socket.peer_addr() {
            Err(error) if error.kind() == ErrorKind::NotConnected => Err(ErrorKind::WouldBlock.into()),
            Err(error) => Err(error),
            Ok(_) => Ok((None, Drained::Unknown)),
        }
    });
    match connected.await? {
        Some(error) => Err(refused(address, error)),
        None => Ok(TcpStream::over(io)),
    }
}

/// An attempt's failure in asyncio's words.
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

    fn connect(addresses: Vec<SocketAddr>) -> Result<TcpStream> {
        EventLoop::new()?.run_until_complete(connect_any(addresses, Location::caller()))
    }

    #[test]
    fn every_failure_is_told_and_the_same_one_once() {
        let (one, other) = (nowhere(), nowhere());
        let text = |address: SocketAddr| connect(vec![address]).expect_err("nobody listens").to_string();
        let both = connect(vec![one, other]).expect_err("nobody listens");
        assert_eq!(both.to_string(), format!("Multiple exceptions: {}, {}", text(one), text(other)));
        let Error::Io(both) = both else { panic!("{both:?}") };
        let each: Vec<String> = both.attempts().iter().map(ToString::to_string).collect();
        assert_eq!(each, [text(one), text(other)]);
        assert!(both.raw_os_error().is_some() && both.raw_os_error() == both.attempts()[0].raw_os_error());
        assert_eq!(connect(vec![one, one]).expect_err("nobody listens").to_string(), text(one));
    }

    #[test]
    fn the_first_address_that_answers_is_taken() -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let stream = connect(vec![nowhere(), listener.local_addr()?])?;
        assert_eq!(stream.peer_addr()?, listener.local_addr()?);
        Ok(())
    }
}
