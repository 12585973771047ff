//! Where servers listen: addresses, all interfaces, Unix sockets, and what is refused.

use crate::helpers::streams::{says, turns};
use looplab::net::{
    Server, StreamWriter, open_connection, open_unix_connection, start_server, start_unix_server,
};
use looplab::{Error, Result};
use std::io::ErrorKind;

#[test]
fn every_address_is_bound_each_once() {
    let program = async {
        let hello = async |_reader, writer: StreamWriter| writer.write("hello");
        let server = start_server(hello, ["127.0.0.1", "127.0.0.2", "127.0.0.1"], 0).await?;
        let names: Vec<_> = server.sockets().iter().map(|socket| socket.local_addr()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        for name in names {
            let address = name.ip().expect("TCP");
            let (reader, _writer) = open_connection(address.ip().to_string(), address.port()).await?;
            assert_eq!(reader.read_to_end().await?, b"hello");
        }
        server.close();
        server.wait_closed().await
    };
    says(program, &[]);
}

#[test]
fn without_a_host_all_interfaces_are_served_at_one_port() {
    let program = async {
        for server in [
            start_server(async |_, w: StreamWriter| w.write("hello"), None, 0).await?,
            start_server(async |_, w: StreamWriter| w.write("hello"), "", 0).await?,
        ] {
            let port = server.port();
            for host in ["127.0.0.1", "127.0.0.2"] {
                let (reader, writer) = open_connection(host, port).await?;
                assert_eq!(reader.read_to_end().await?, b"hello");
                let peer = writer.peername().expect("a peer");
                assert_eq!(peer.to_string(), format!("{host}:{port}"));
            }
            server.close();
            server.wait_closed().await?;
        }
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn an_address_in_use_is_an_error_with_asyncios_text() {
    let program = async {
        let server = start_server(async |_, _| {}, "127.0.0.1", 0).await?;
        let port = server.port();
        let error = start_server(async |_, _| {}, "127.0.0.1", port).await.unwrap_err();
        let expected = format!(
            "[Errno 98] error while attempting to bind on address ('127.0.0.1', {port}): \
             [errno 98] address already in use"
        );
        assert_eq!(error.to_string(), expected);
        let error = start_server(async |_, _| {}, "127.0.0.1", 0).limit(0).await.unwrap_err();
        assert_eq!(error.to_string(), "Limit cannot be <= 0");
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn a_unix_server_replaces_a_stale_socket_and_removes_its_own_and_no_others() {
    let program = async {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        drop(std::os::unix::net::UnixListener::bind(&path)?);
        assert!(path.exists(), "left behind");
        let hello = async |_reader, writer: StreamWriter| writer.write("hello");
        let server = start_unix_server(hello, &path).await?;
        assert_eq!(server.sockets()[0].local_addr().path(), Some(&*path));
        let (reader, writer) = open_unix_connection(&path).await?;
        assert_eq!(reader.read_to_end().await?, b"hello");
        assert_eq!(writer.peername().expect("a peer").path(), Some(&*path));
        server.close();
        assert!(!path.exists(), "its own");

        let first = start_unix_server(hello, &path).await?;
        // The second removes the first's file and makes its own.
        let second = start_unix_server(hello, &path).await?;
        first.close();
        assert!(path.exists(), "the second's");
        assert_eq!(open_unix_connection(&path).await?.0.read_to_end().await?, b"hello");
        second.close();
        std::fs::write(&path, "a file")?;
        let error = start_unix_server(hello, &path).await.unwrap_err();
        assert_eq!(error.to_string(), format!("[Errno 98] Address '{}' is already in use", path.display()));
        assert_eq!(std::fs::read(&path)?, b"a file");
        Ok(())
    };
    says(program, &[]);
}

/// Serves both hosts at a free port. Another test may be quicker to take that port, so several are tried.
async fn serve_at_one_port(hosts: [&str; 2]) -> Result<Server> {
    let mut tries = 0;
    loop {
        tries += 1;
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        match start_server(async |_, _| Ok(()), hosts, free).await {
            Err(Error::Io(error)) if error.kind() == ErrorKind::AddrInUse && tries < 20 => {}
            served => return served,
        }
    }
}

#[test]
fn both_families_at_one_port_are_bound_in_either_order() {
    let program = async {
        for hosts in [["0.0.0.0", "::"], ["::", "0.0.0.0"]] {
            let server = serve_at_one_port(hosts).await?;
            drop(std::net::TcpStream::connect(("127.0.0.1", server.port()))?);
            server.close();
            turns(6).await?;
            server.close_clients();
            server.wait_closed().await?;
        }
        Ok(())
    };
    says(program, &[]);
}
