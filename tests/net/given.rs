//! Sockets that exist: passed on by another process, or opened by other code.

use looplab::net::{
    AnyListener, AnyStream, StreamReader, StreamWriter, TcpStream, open_connection, open_connection_on,
    open_unix_connection, start_server, start_server_on,
};
use looplab::{Error, EventLoop, Result};
use nix::sys::socket::sockopt::{KeepAlive, TcpNoDelay};
use nix::sys::socket::{getsockopt, setsockopt};
use std::io::{Read, Write};
use std::net::{self, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net as unix;
use std::process::Stdio;
use support::{Process, again, report, role, watchdog};

async fn shout(reader: StreamReader, writer: StreamWriter) -> Result<()> {
    writer.write(reader.readline().await?.to_ascii_uppercase())
}

fn run(program: impl Future<Output = Result<()>> + 'static) {
    let _dog = watchdog();
    EventLoop::new().and_then(|lp| lp.run_until_complete(program)).expect("the program ends well");
}

#[test]
fn a_listener_that_is_standard_input_is_served() -> Result<()> {
    if role().is_some() {
        let _dog = watchdog();
        return looplab::run(async {
            let listener = AnyListener::from_fd(std::io::stdin().as_fd().try_clone_to_owned()?)?;
            let server = start_server_on(shout, listener).await?;
            let (reader, writer) = open_connection("127.0.0.1", server.port()).await?;
            writer.write("hello\n")?;
            report(String::from_utf8_lossy(&reader.readline().await?).trim_end());
            Ok(())
        });
    }
    let listener = net::TcpListener::bind("127.0.0.1:0")?;
    let input = Stdio::from(OwnedFd::from(listener));
    assert_eq!(Process::start_reading(&mut again!("activated"), input).end().fine(), ["HELLO"]);
    Ok(())
}

#[test]
fn tcp_and_unix_sockets_are_told_apart() {
    run(async {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        let listener = AnyListener::from_fd(unix::UnixListener::bind(&path)?)?;
        let server = start_server_on(shout, listener).await?;
        let (reader, writer) = open_unix_connection(&path).await?;
        writer.write("unix\n")?;
        assert_eq!(reader.readline().await?, b"UNIX\n");
        server.close();
        assert!(!path.exists());

        let server = start_server(shout, "127.0.0.1", 0).await?;
        let plain = net::TcpStream::connect(("127.0.0.1", server.port()))?;
        let (reader, writer) = open_connection_on(AnyStream::from_fd(plain)?).await?;
        writer.write("tcp\n")?;
        assert_eq!(reader.readline().await?, b"TCP\n");
        assert_eq!(writer.peername().and_then(|peer| peer.port()), Some(server.port()));

        let (ours, mut theirs) = unix::UnixStream::pair()?;
        let (reader, _writer) = open_connection_on(AnyStream::from_fd(ours)?).await?;
        theirs.write_all(b"pair\n")?;
        assert_eq!(reader.readline().await?, b"pair\n");
        Ok(())
    });
}

#[test]
fn what_is_no_stream_socket_is_refused() {
    for refused in [
        AnyStream::from_fd(UdpSocket::bind("127.0.0.1:0").expect("a socket")).map(drop),
        AnyStream::from_fd(std::io::pipe().expect("a pipe").0).map(drop),
        AnyListener::from_fd(std::io::pipe().expect("a pipe").0).map(drop),
        AnyListener::from_fd(unix::UnixStream::pair().expect("a pair").0).map(drop),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::Value(_)), "{error:?}");
        assert!(error.to_string().starts_with("A Stream Socket was expected, got "), "{error}");
    }
}

#[test]
fn an_option_is_set_on_the_connection_itself() {
    run(async {
        let server = start_server(shout, "127.0.0.1", 0).await?;
        let (_reader, writer) = open_connection("127.0.0.1", server.port()).await?;
        let transport = writer.transport();
        setsockopt(&transport.socket()?, KeepAlive, &true).map_err(Error::other)?;
        assert_eq!(getsockopt(&transport.socket()?, KeepAlive), Ok(true));
        assert_eq!(getsockopt(&transport.socket()?, TcpNoDelay), Ok(true));

        let stream = TcpStream::connect(("127.0.0.1", server.port())).await?;
        setsockopt(&stream, KeepAlive, &true).map_err(Error::other)?;
        assert_eq!(getsockopt(&stream.as_fd(), KeepAlive), Ok(true));

        writer.close();
        writer.wait_closed().await?;
        assert!(matches!(transport.socket(), Err(Error::Io(_))));
        Ok(())
    });
}

#[test]
fn the_peer_sees_the_end_once_the_duplicate_is_closed_too() {
    run(async {
        let (ours, mut theirs) = unix::UnixStream::pair()?;
        let (_reader, writer) = open_connection_on(AnyStream::from_fd(ours)?).await?;
        let duplicate = writer.transport().socket()?;
        writer.close();
        writer.wait_closed().await?;
        theirs.set_nonblocking(true)?;
        assert_eq!(theirs.read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        drop(duplicate);
        assert_eq!(theirs.read(&mut [0; 1])?, 0);
        Ok(())
    });
}
