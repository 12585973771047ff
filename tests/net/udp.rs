//! UDP sockets.

use crate::helpers::sockets::run;
use looplab::net::UdpSocket;
use looplab::{Error, Result, create_task, get_running_loop, yield_now};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::rc::Rc;

fn socket() -> Result<UdpSocket> {
    UdpSocket::bind("127.0.0.1:0")
}

#[test]
fn a_datagram_is_received_whole_with_its_sender() -> Result<()> {
    run(async {
        let (one, other) = (socket()?, socket()?);
        let to = other.local_addr()?;
        let from = one.local_addr()?;
        let waiting = create_task(async move {
            let mut buf = [0; 16];
            let (n, from) = other.recv_from(&mut buf).await?;
            // The second one came meanwhile: every datagram is a call of its own.
            let (more, _) = other.recv_from(&mut buf[n..]).await?;
            Ok((buf[..n + more].to_vec(), from))
        });
        yield_now().await?;
        assert_eq!(one.send_to(b"ping", to).await?, 4);
        assert_eq!(one.send_to(b"pong", to).await?, 4);
        assert_eq!(waiting.await?, (b"pingpong".to_vec(), from));
        Ok(())
    })
}

#[test]
fn a_wait_for_a_datagram_goes_on_one_turn_after_the_turn_of_its_readiness() -> Result<()> {
    run(async {
        let lp = get_running_loop()?;
        let (one, other) = (socket()?, socket()?);
        one.connect(other.local_addr()?)?;
        other.connect(one.local_addr()?)?;
        assert_eq!(one.peer_addr()?, other.local_addr()?);
        let sender = one.into_std();
        lp.call_soon(move || sender.send(b"hello").map(drop).map_err(Error::from))?;
        let turn = lp.turns();
        assert_eq!(other.recv(&mut [0; 16]).await?, 5);
        assert_eq!(lp.turns() - turn, 3);
        Ok(())
    })
}

#[test]
fn a_cancelled_receive_loses_no_datagram() -> Result<()> {
    run(async {
        let (one, other) = (socket()?, Rc::new(socket()?));
        let receiver = other.clone();
        let waiting = create_task(async move { receiver.recv(&mut [0; 16]).await });
        yield_now().await?;
        let error = other.recv(&mut [0; 16]).await.unwrap_err();
        assert!(error.to_string().starts_with("recv() called while another coroutine"), "{error}");
        one.send_to(b"hello", other.local_addr()?).await?;
        assert!(waiting.cancel());
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert_eq!(other.recv(&mut [0; 16]).await?, 5);
        Ok(())
    })
}

#[test]
fn a_datagram_that_is_not_taken_is_an_error_of_the_next_call_and_the_socket_lives_on() -> Result<()> {
    run(async {
        // No other test takes a number of this address.
        let (one, gone) = (socket()?, UdpSocket::bind("127.0.0.3:0")?);
        let (address, back) = (gone.local_addr()?, one.local_addr()?);
        one.connect(address)?;
        drop(gone);
        one.send(b"anybody?").await?;
        let error = one.recv(&mut [0; 16]).await.unwrap_err();
        assert!(
            matches!(&error, Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused),
            "{error}"
        );
        let again = UdpSocket::bind(address)?;
        let sending = create_task(async move { again.send_to(b"here", back).await });
        assert_eq!(one.recv(&mut [0; 16]).await?, 4);
        sending.await.map(drop)
    })
}

/// A socket for both families, whatever the system's default is; `None` where there is no IPv6.
fn for_both_families() -> Result<Option<UdpSocket>> {
    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrIn6, bind, setsockopt, socket, sockopt,
    };
    let Ok(six) = socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::empty(), None) else {
        return Ok(None);
    };
    setsockopt(&six, sockopt::Ipv6V6Only, &false).map_err(std::io::Error::from)?;
    let anywhere = SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
    bind(six.as_raw_fd(), &anywhere).is_ok().then(|| UdpSocket::from_std(six.into())).transpose()
}

#[test]
fn an_ipv4_sender_to_an_ipv6_socket_is_shown_as_the_system_does_and_can_be_answered() -> Result<()> {
    run(async {
        let Some(six) = for_both_families()? else { return Ok(()) };
        let four = socket()?;
        let port = six.local_addr()?.port();
        four.send_to(b"ping", (Ipv4Addr::LOCALHOST, port).into()).await?;
        let (_, from) = six.recv_from(&mut [0; 16]).await?;
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        assert_eq!(from, (mapped, four.local_addr()?.port()).into());
        six.send_to(b"pong", from).await?;
        assert_eq!(four.recv_from(&mut [0; 16]).await?, (4, (Ipv4Addr::LOCALHOST, port).into()));
        six.connect(from)?;
        assert_eq!((six.peer_addr()?, six.local_addr()?), (from, (mapped, port).into()));
        Ok(())
    })
}

#[test]
fn datagrams_go_between_ipv6_sockets() -> Result<()> {
    run(async {
        let (Ok(one), Ok(other)) = (UdpSocket::bind("[::1]:0"), UdpSocket::bind("[::1]:0")) else {
            return Ok(()); // no IPv6 here
        };
        one.send_to(b"hello", other.local_addr()?).await?;
        let mut buf = [0; 16];
        assert_eq!(other.recv_from(&mut buf).await?, (5, one.local_addr()?));
        assert_eq!(&buf[..5], b"hello");
        Ok(())
    })
}
