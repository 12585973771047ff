//! What the operating system decides: names, the words of its errors, the length of a listener's queue.

mod net_support;
mod support;

use looplab::net::{
    TcpListener, TcpStream, UnixStream, open_connection, open_unix_connection, start_server,
    start_unix_server,
};
use looplab::{Error, Result};
use net_support::run;
use std::io::ErrorKind;
use std::time::Duration;

#[test]
fn an_empty_name_is_this_machine() -> Result<()> {
    run(async {
        let server = start_server(async |_, _| {}, "localhost", 0).start_serving(false).await?;
        let (_reader, writer) = open_connection("", server.port()).await?;
        let peer = writer.peername().and_then(|peer| peer.ip()).expect("a TCP peer");
        assert!(peer.ip().is_loopback(), "{peer}");
        let stream = TcpStream::connect(("", server.port())).await?;
        assert!(stream.peer_addr()?.ip().is_loopback());
        server.close();
        Ok(())
    })
}

/// A part of a name has at most 63 bytes: the resolver asks nobody.
#[test]
fn a_name_that_is_not_known_is_told_with_the_name() -> Result<()> {
    run(async {
        let name = "x".repeat(64);
        let error = open_connection(name.as_str(), 80).await.unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("{name}: failed to lookup address information: ")), "{text}");
        Ok(())
    })
}

#[test]
fn what_the_system_refuses_keeps_rusts_words() -> Result<()> {
    run(async {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("no folder").join("socket");
        let refused = [
            open_unix_connection(&path).await.map(drop).unwrap_err(),
            start_unix_server(async |_, _| {}, &path).await.map(drop).unwrap_err(),
            UnixStream::connect(&path).await.map(drop).unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error.to_string(), "No such file or directory (os error 2)");
            assert!(matches!(error, Error::Io(error) if error.kind() == ErrorKind::NotFound));
        }
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let error = TcpListener::bind(listener.local_addr()?).unwrap_err();
        let number = if cfg!(target_os = "linux") { 98 } else { 48 };
        assert_eq!(error.to_string(), format!("Address already in use (os error {number})"));
        Ok(())
    })
}

#[test]
fn the_queue_of_a_listener_is_as_long_as_the_system_allows() -> Result<()> {
    run(async {
        let server = start_server(async |_, _| {}, "127.0.0.1", 0).backlog(1).start_serving(false).await?;
        let address = server.sockets()[0].local_addr().ip().expect("TCP");
        // asyncio's kernel queue would be full with the second of them, and the others would wait.
        let connect = |_| std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5));
        let clients: std::io::Result<Vec<_>> = (0..10).map(connect).collect();
        assert_eq!(clients?.len(), 10);
        server.close();
        Ok(())
    })
}
