//! Names with an IPv6 and an IPv4 address, of which one answers.
//!
//! The order and the end of the attempts are tested beside the race, in `src/net/staggered.rs`.

use looplab::net::open_connection;
use looplab::{EventLoop, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, ToSocketAddrs};
use std::time::Duration;
use support::watchdog;

const HOUR: Duration = Duration::from_secs(3600);
const LOOPBACK: [IpAddr; 2] = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];

/// Returns the address that a connection to `localhost` reaches.
fn reached(port: u16, interleave: usize) -> Result<IpAddr> {
    let _dog = watchdog();
    EventLoop::new()?.run_until_complete(async move {
        let opening = open_connection("localhost", port).happy_eyeballs_delay(HOUR).interleave(interleave);
        let (_reader, writer) = opening.await?;
        Ok(writer.peername().and_then(|peer| peer.ip()).expect("a TCP connection has a peer").ip())
    })
}

/// The delay is an hour, so the next address is tried because the one before refuses.
#[test]
fn the_family_that_answers_is_taken() -> Result<()> {
    let known: Vec<IpAddr> = ("localhost", 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    for address in LOOPBACK {
        if !known.contains(&address) {
            eprintln!("skipped: localhost is {known:?} here, without {address}");
            continue;
        }
        let listener = TcpListener::bind((address, 0))?;
        for interleave in [0, 1] {
            assert_eq!(reached(listener.local_addr()?.port(), interleave)?, address);
        }
    }
    Ok(())
}
