//! Sockets, streams and servers.

use crate::program::{BOTH, Program, shapes};
use looplab::net::memory::{self, MemoryListener, MemoryStream};
use looplab::net::{
    Server, StreamReader, StreamWriter, TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream,
    open_connection, open_unix_connection, start_server, start_server_on, start_server_with,
    start_unix_server,
};
use looplab::{Result, sleep};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::cell::RefCell;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

const LOCAL: &str = "127.0.0.1";

/// Runs one thing to its end on the program's loop.
fn run<T: 'static>(p: &Program, body: impl Future<Output = Result<T>> + 'static) -> Result<T> {
    p.lp.run_until_complete(body)
}

fn address(server: &Server) -> SocketAddr {
    ([127, 0, 0, 1], server.port()).into()
}

async fn for_ever(reader: StreamReader, writer: StreamWriter) -> Result<()> {
    reader.readexactly(1000).await?;
    drop(writer);
    Ok(())
}

/// Two connected ends, the one of the loop first.
fn pair() -> Result<(TcpStream, std::net::TcpStream)> {
    let listener = std::net::TcpListener::bind((LOCAL, 0))?;
    let theirs = std::net::TcpStream::connect(listener.local_addr()?)?;
    Ok((TcpStream::from_std(listener.accept()?.0)?, theirs))
}

shapes! { BOTH;
    a_stream_that_is_read_and_written(p) {
        let (ours, theirs) = pair()?;
        let ours = Rc::new(ours);
        let (reads, writes) = (ours.clone(), ours);
        p.waits(async move { reads.read(&mut [0; 16]).await.map(drop) });
        p.waits(async move { loop { writes.write_all(&[0; 100_000]).await?; } });
        p.turns(3)?;
        p.keep_open(theirs);
    }

    a_kept_stream(p) {
        let (ours, theirs) = pair()?;
        let ours = Rc::new(ours);
        let reads = ours.clone();
        p.waits(async move { reads.read(&mut [0; 16]).await.map(drop) });
        p.turns(3)?;
        p.keep_open(ours);
        p.keep_open(theirs);
    }

    a_listener(p) {
        let listener = TcpListener::bind((LOCAL, 0))?;
        p.uses(listener.local_addr()?);
        p.waits(async move { listener.accept().await.map(drop) });
        p.turns(3)?;
    }

    sockets_in_memory(p) {
        let (ours, theirs) = run(p, async { MemoryStream::pair() })?;
        p.waits(async move { ours.read(&mut [0; 16]).await.map(drop) });
        p.keep(theirs);
        let guard = Rc::new(p.guard());
        let handler = async move |reader, writer| {
            let _guard = guard.clone();
            for_ever(reader, writer).await
        };
        let server = run(p, async { start_server_on(handler, MemoryListener::bind("held")?).await })?;
        let client = run(p, async { memory::open_connection("held").await })?;
        p.waits(async move { MemoryListener::bind("idle")?.accept().await.map(drop) });
        p.turns(3)?;
        p.keep((server, client));
    }

    a_datagram_socket(p) {
        let socket = UdpSocket::bind((LOCAL, 0))?;
        p.waits(async move { socket.recv_from(&mut [0; 16]).await.map(drop) });
        p.turns(3)?;
    }

    unix_streams(p) {
        let (ours, theirs) = UnixStream::pair()?;
        p.waits(async move { ours.read(&mut [0; 16]).await.map(drop) });
        let folder = tempfile::tempdir()?;
        let listener = UnixListener::bind(folder.path().join("socket"))?;
        p.waits(async move { listener.accept().await.map(drop) });
        p.turns(3)?;
        p.keep_open(theirs);
    }

    a_connection(p) {
        let listener = std::net::TcpListener::bind((LOCAL, 0))?;
        let port = listener.local_addr()?.port();
        let (reader, writer) = run(p, open_connection(LOCAL, port).into_future())?;
        let theirs = listener.accept()?.0;
        let (kept, reading) = (writer.clone(), reader.clone());
        p.waits(async move { reading.readline().await.map(drop) });
        p.waits(async move {
            loop {
                writer.write(vec![0; 100_000])?;
                writer.drain().await?;
            }
        });
        p.turns(4)?;
        p.keep((kept, reader));
        p.keep_open(theirs);
    }

    a_connection_that_is_being_closed(p) {
        let listener = std::net::TcpListener::bind((LOCAL, 0))?;
        let port = listener.local_addr()?.port();
        let (_reader, writer) = run(p, open_connection(LOCAL, port).into_future())?;
        let theirs = listener.accept()?.0;
        writer.close();
        p.waits(async move {
            writer.wait_closed().await?;
            sleep(Duration::MAX).await
        });
        p.keep_open(theirs);
    }

    a_name_that_is_looked_up(p) {
        p.waits(async { open_connection("localhost", 1).await.map(drop) });
        p.turns(1)?;
    }

    a_unix_server(p) {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        let server = run(p, start_unix_server(for_ever, &path).into_future())?;
        let client = run(p, open_unix_connection(&path).into_future())?;
        p.turns(4)?;
        p.keep((server, client));
    }

    a_server_with_a_client(p) {
        let guard = p.guard();
        let handler = move |reader: StreamReader, writer: StreamWriter| {
            let _guard = &guard;
            for_ever(reader, writer)
        };
        let server = run(p, start_server(handler, LOCAL, 0).into_future())?;
        p.uses(address(&server));
        let client = std::net::TcpStream::connect(address(&server))?;
        p.turns(5)?;
        p.keep_open(client);
    }

    a_server_whose_clients_are_kept_by_callbacks(p) {
        let clients = Rc::new(RefCell::new(Vec::new()));
        let kept = clients.clone();
        let handler = move |reader, writer| kept.borrow_mut().push((reader, writer));
        let server = run(p, start_server_with(handler, LOCAL, 0).into_future())?;
        p.uses(address(&server));
        let mut client = std::net::TcpStream::connect(address(&server))?;
        client.write_all(b"hello")?;
        p.turns(5)?;
        p.keep(clients);
        p.keep_open(client);
    }

    a_kept_server(p) {
        let server = run(p, start_server(for_ever, LOCAL, 0).into_future())?;
        p.uses(address(&server));
        p.turns(2)?;
        p.keep(server);
    }

    a_server_that_has_not_begun(p) {
        let server = run(p, start_server(for_ever, LOCAL, 0).start_serving(false).into_future())?;
        p.uses(address(&server));
        p.keep(server);
    }

    a_server_whose_handler_holds_it(p) {
        let own: Rc<RefCell<Option<Server>>> = Rc::default();
        let (held, guard) = (own.clone(), p.guard());
        let handler = move |reader, writer| {
            let _both = (&held, &guard);
            for_ever(reader, writer)
        };
        let server = run(p, start_server(handler, LOCAL, 0).into_future())?;
        p.uses(address(&server));
        *own.borrow_mut() = Some(server);
        p.turns(2)?;
    }

    a_server_that_rests_without_descriptors(p) {
        let server = run(p, start_server(for_ever, LOCAL, 0).into_future())?;
        p.uses(address(&server));
        let client = std::net::TcpStream::connect(address(&server))?;
        let limit = getrlimit(Resource::Nofile);
        let next = std::fs::File::open("/dev/null")?.as_raw_fd();
        let none = Rlimit { current: u64::try_from(next).ok(), maximum: limit.maximum };
        setrlimit(Resource::Nofile, none).map_err(io::Error::from)?;
        // It rests as soon as the kernel shows it the client.
        while p.lp.snapshot().timers.is_empty() {
            p.turns(1)?;
        }
        setrlimit(Resource::Nofile, limit).map_err(io::Error::from)?;
        assert_eq!(p.lp.snapshot().timers.len(), 1, "it rests");
        p.keep(server);
        p.keep_open(client);
    }

    a_server_that_serves_for_ever(p) {
        let server = run(p, start_server(for_ever, LOCAL, 0).into_future())?;
        p.uses(address(&server));
        p.waits(async move { server.serve_forever().await });
        p.turns(3)?;
    }
}
