//! Hundreds of datagram sockets and Unix connections, connections that break in the middle of a write, and a loop that is
//! closed while a thousand wait. Nothing is lost that the kernel has taken, and nothing is left.
//!
//! Both ends are on one loop here. Each test has a process of its own, whose descriptors are counted.

use crate::helpers::many::{Seen, descriptors, echo, held, reporting, room_for, settle};
use looplab::net::{StreamReader, StreamWriter, TcpStream, UdpSocket};
use looplab::net::{open_unix_connection, start_server, start_unix_server};
use looplab::sync::{Barrier, Semaphore};
use looplab::{Error, Result, Task, create_task, gather, get_running_loop, yield_now};
use std::cell::RefCell;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use support::{Drops, child, report};

const THE_TEST_ALONE: &str = "0 ready, 0 timers, 0 descriptors, 0 jobs, 1 tasks";

/// Runs a body on a loop that must have nothing to report, and whose descriptors are all free in the end.
fn frees_all(body: impl Future<Output = Result<()>> + 'static) {
    let (lp, reports) = reporting();
    let before = descriptors();
    let program = async move {
        body.await?;
        settle().await?;
        report(held()?);
        Ok(())
    };
    lp.run_until_complete(program).expect("it ends well");
    assert_eq!(descriptors(), before, "all descriptors are free");
    assert_eq!((reports.resets.get(), &*reports.others.borrow()), (0, &vec![]));
}

/// What only this one sends.
fn message(number: usize, round: usize) -> Vec<u8> {
    let text = format!("{number}/{round} ");
    text.bytes().cycle().take(10 + (number * 7 + round * 31) % 300).collect()
}

// ---- UDP ----

const DATAGRAM_SOCKETS: usize = 300;

#[test]
fn hundreds_of_udp_sockets_get_each_its_own_answers_and_are_freed() {
    let ended = child!(|| {
        assert_eq!(room_for(DATAGRAM_SOCKETS, 1), DATAGRAM_SOCKETS);
        frees_all(async {
            let server = UdpSocket::bind("127.0.0.1:0")?;
            let address = server.local_addr()?;
            let server: Task<()> = create_task(answer(server));
            // The kernel drops what finds no room, so only a few are on their way at the same time.
            let few = Rc::new(Semaphore::new(50));
            let seen = Seen::default();
            let clients: Vec<Task<()>> = (0..DATAGRAM_SOCKETS)
                .map(|number| create_task(datagrams(number, address, few.clone(), seen.clone())))
                .collect();
            seen.until(|seen| seen.stuck() == DATAGRAM_SOCKETS).await?;
            settle().await?;
            let now = get_running_loop()?.snapshot();
            report(format!("{} descriptors, {} tasks", now.io.len(), now.tasks.len()));
            clients.iter().for_each(|task| assert!(task.cancel()));
            assert!(server.cancel());
            Ok(())
        });
    });
    let expected = format!("{} descriptors, {} tasks", DATAGRAM_SOCKETS + 1, DATAGRAM_SOCKETS + 2);
    assert_eq!(ended.fine(), [&expected, THE_TEST_ALONE]);
}

async fn answer(server: UdpSocket) -> Result<()> {
    let mut buf = [0; 1024];
    loop {
        let (n, peer) = server.recv_from(&mut buf).await?;
        server.send_to(&buf[..n], peer).await?;
    }
}

async fn datagrams(number: usize, to: SocketAddr, few: Rc<Semaphore>, seen: Seen) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(to)?;
    let mut buf = [0; 1024];
    for round in 0..10 {
        let permit = few.permit().await?;
        socket.send(&message(number, round)).await?;
        let n = socket.recv(&mut buf).await?;
        assert_eq!(buf[..n], message(number, round));
        drop(permit);
    }
    seen.sticks();
    // This will not come.
    socket.recv(&mut buf).await.map(drop)
}

// ---- Unix ----

const UNIX_CONNECTIONS: usize = 400;

#[test]
fn hundreds_of_unix_connections_echo_at_once_and_are_freed() {
    let ended = child!(|| {
        assert_eq!(room_for(UNIX_CONNECTIONS, 2), UNIX_CONNECTIONS);
        frees_all(async {
            let folder = tempfile::tempdir()?;
            let path = folder.path().join("socket");
            let seen = Seen::default();
            let serves = seen.clone();
            let handler = async move |reader, writer| {
                let _open = serves.begin();
                echo(&serves, &reader, &writer).await
            };
            let server = start_unix_server(handler, &path).await?;
            // The kernel refuses a client that finds its queue full, so no more than these connect at the same time.
            let few = Rc::new(Semaphore::new(50));
            let all = Rc::new(Barrier::new(UNIX_CONNECTIONS + 1)?);
            let clients: Vec<Task<()>> = (0..UNIX_CONNECTIONS)
                .map(|number| create_task(unix_client(number, path.clone(), few.clone(), all.clone())))
                .collect();
            all.wait().await?;
            let io = get_running_loop()?.snapshot().io.len();
            report(format!("{} are open, {io} descriptors", seen.open()));
            gather(clients).await?;
            seen.until(|seen| seen.open() == 0).await?;
            server.close();
            server.wait_closed().await
        });
    });
    let expected = format!("{UNIX_CONNECTIONS} are open, {} descriptors", 2 * UNIX_CONNECTIONS + 1);
    assert_eq!(ended.fine(), [&expected, THE_TEST_ALONE]);
}

async fn unix_client(number: usize, path: PathBuf, few: Rc<Semaphore>, all: Rc<Barrier>) -> Result<()> {
    let permit = few.permit().await?;
    let (reader, writer) = open_unix_connection(path).await?;
    writer.write([0])?;
    reader.readexactly(1).await?;
    drop(permit);
    all.wait().await?;
    for round in 0..10 {
        let sent = message(number, round);
        writer.write(&sent)?;
        assert_eq!(reader.readexactly(sent.len()).await?, sent);
    }
    writer.close();
    writer.wait_closed().await
}

// ---- broken in the middle ----

#[test]
fn a_write_all_whose_peer_resets_fails_and_frees_its_registration() {
    let ended = child!(|| {
        frees_all(async {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let address = listener.local_addr()?;
            // More than the kernel takes for a peer that does not read.
            let data: Rc<[u8]> = vec![b'x'; 16 << 20].into();
            let mut writes = Vec::new();
            let mut peers = Vec::new();
            for _ in 0..20 {
                let stream = TcpStream::connect(address).await?;
                peers.push(listener.accept()?.0);
                let data = data.clone();
                writes.push(create_task(async move {
                    let failed = stream.write_all(&data).await.expect_err("it is reset");
                    // One after the failure sees it, too, and waits for nothing.
                    let again = stream.write(b"x").await.expect_err("it is reset");
                    let waiting = get_running_loop()?.snapshot().io.len();
                    Ok((is_lost(&failed) && is_lost(&again), waiting))
                }));
            }
            // Until all of them wait; while the kernel still makes room, one or the other goes on.
            while get_running_loop()?.snapshot().io.len() < writes.len() {
                yield_now().await?;
            }
            // In the middle: each has read something, and leaves more.
            for mut peer in peers.drain(..) {
                peer.read_exact(&mut [0; 1000])?;
            }
            let ends = gather(writes).await?;
            assert!(ends.iter().all(|(lost, _)| *lost), "{ends:?}");
            // The resets may come in several turns.
            let last = ends.iter().map(|(_, waiting)| *waiting).min();
            report(format!("{} descriptors after the last", last.unwrap_or(99)));
            Ok(())
        });
    });
    assert_eq!(ended.fine(), ["0 descriptors after the last", THE_TEST_ALONE]);
}

fn is_lost(error: &Error) -> bool {
    let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    matches!(error, Error::Io(error) if kinds.contains(&error.kind()))
}

// ---- closed while all wait ----

#[test]
fn closing_a_loop_on_which_a_thousand_connections_wait_ends_them_all() {
    let ended = child!(|| {
        let many = room_for(1_000, 2);
        let before = descriptors();
        let (lp, reports) = reporting();
        let drops = Drops::default();
        let (each, clients) = (drops.clone(), Rc::new(RefCell::new(Vec::new())));
        let theirs = clients.clone();
        let program = async move {
            let seen = Seen::default();
            let (serves, guards) = (seen.clone(), each.clone());
            let handler = async move |reader: StreamReader, writer: StreamWriter| {
                let _guard = (guards.guard(), serves.begin());
                // What is written and not flushed is lost; the reader waits.
                writer.write([0])?;
                reader.read(1).await.map(drop)
            };
            let server = start_server(handler, "127.0.0.1", 0).await?;
            let listener = TcpListener::bind("127.0.0.1:0")?;
            for number in 0..many {
                // Half of them are a server's, the others sockets on which tasks wait.
                let blocking = if number % 2 == 0 {
                    std::net::TcpStream::connect(("127.0.0.1", server.port()))?
                } else {
                    let blocking = std::net::TcpStream::connect(listener.local_addr()?)?;
                    let stream = TcpStream::from_std(listener.accept()?.0)?;
                    let guard = each.guard();
                    create_task(async move {
                        let _guard = guard;
                        stream.read(&mut [0; 8]).await.map(drop)
                    });
                    blocking
                };
                theirs.borrow_mut().push(blocking);
                seen.until(|seen| seen.begun() == number / 2 + 1).await?;
            }
            settle().await?;
            let now = get_running_loop()?.snapshot();
            // The server's own is one of them.
            let all = (now.io.len(), now.tasks.len()) == (many + 1, many + 1);
            report(format!("all wait: {all}"));
            Ok(())
        };
        lp.run_until_complete(program).expect("it ends well");
        assert_eq!(drops.count(), 0);
        lp.close().expect("it does not run");
        drop(lp);
        let reports = reports.others.take();
        let pending =
            reports.iter().filter(|report| report.starts_with("Task was destroyed but it is pending!"));
        assert_eq!((pending.count(), reports.len(), drops.count()), (many, many, many));
        for mut client in clients.take() {
            let mut came = Vec::new();
            client.read_to_end(&mut came).expect("the end of the stream");
            assert!(came.len() <= 1);
        }
        assert_eq!(descriptors(), before, "all descriptors are free");
        report("all are ended");
    });
    assert_eq!(ended.fine(), ["all wait: true", "all are ended"]);
}
