//! How a connection in memory ends or fails, as TCP does: half-closed, reset, cut, refused, or with its server.

use crate::helpers::memory::{echo, kind, run, serve_echo};
use looplab::net::memory::{self, MemoryListener, MemoryStream};
use looplab::net::{TcpListener, open_connection_on, start_server_on};
use looplab::{Error, EventLoop, Result, create_task, timeout, yield_now};
use std::io::ErrorKind;
use std::time::Duration;
use support::say;

#[test]
fn a_half_closed_connection_carries_the_other_direction() {
    run(|_| async {
        let (ours, theirs) = MemoryStream::pair()?;
        let (reader, writer) = open_connection_on(ours).await?;
        writer.write("question")?;
        writer.write_eof()?;
        let mut buf = [0; 100];
        assert_eq!(theirs.read(&mut buf).await?, 8);
        assert_eq!(theirs.read(&mut buf).await?, 0);
        theirs.write_all(b"answer").await?;
        theirs.shutdown(std::net::Shutdown::Write)?;
        assert_eq!(reader.read_to_end().await?, b"answer");
        assert_eq!(kind(theirs.write(b"more").await), Some(ErrorKind::BrokenPipe));
        Ok(())
    });
}

#[test]
fn a_reset_fails_reads_and_breaks_writes_at_both_ends() {
    let said = run(|log| async move {
        let (ours, theirs) = MemoryStream::pair()?;
        let (reader, writer) = open_connection_on(ours).await?;
        theirs.write_all(b"lost").await?;
        theirs.reset();
        assert_eq!(kind(reader.read(10).await), Some(ErrorKind::ConnectionReset));
        say!(log, "{}", writer.drain().await.expect_err("the connection is lost"));
        assert_eq!(kind(theirs.read(&mut [0; 10]).await), Some(ErrorKind::ConnectionReset));
        assert_eq!(kind(theirs.write(b"more").await), Some(ErrorKind::BrokenPipe));
        Ok(())
    });
    assert!(said[0].contains("Connection reset by peer"), "{said:?}");
}

#[test]
fn a_write_of_nothing_to_a_closed_peer_is_not_its_first_write() {
    let said = run(|_| async move {
        let (ours, theirs) = MemoryStream::pair()?;
        drop(theirs);
        assert_eq!(ours.write(b"").await?, 0);
        assert_eq!(ours.write(b"lost").await?, 4);
        assert_eq!(kind(ours.write(b"more").await), Some(ErrorKind::BrokenPipe));
        Ok(())
    });
    assert!(said[0].ends_with("returned ()"), "{said:?}");
}

#[test]
fn a_closed_peer_is_noticed_as_with_tcp() {
    /// What reads and writes say after the peer has closed.
    async fn after<S>(pair: (S, S), unread: bool) -> Result<Vec<String>>
    where
        looplab::net::AnyStream: From<S>,
    {
        let (reader, writer) = open_connection_on(pair.0).await?;
        let (their_reader, theirs) = open_connection_on(pair.1).await?;
        if unread {
            their_reader.read(0).await?;
            theirs.transport().pause_reading();
            writer.write("unread")?;
        }
        theirs.write("last")?;
        theirs.transport().abort();
        drop((theirs, their_reader));
        let mut said = Vec::new();
        for _ in 0..3 {
            yield_now().await?;
        }
        said.push(format!("{:?}", reader.read_to_end().await.map_err(|error| kind::<()>(Err(error)))));
        for _ in 0..3 {
            writer.write("more")?;
            yield_now().await?;
            yield_now().await?;
            said.push(format!("{:?}", kind(writer.drain().await)));
        }
        Ok(said)
    }
    let lp = EventLoop::new().expect("a loop");
    let both = lp.run_until_complete(async {
        let mut both = Vec::new();
        for unread in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let client = looplab::net::TcpStream::connect(listener.local_addr()?).await?;
            let tcp = after((client, listener.accept().await?.0), unread).await?;
            both.push((after(MemoryStream::pair()?, unread).await?, tcp));
        }
        Ok(both)
    });
    for (memory, tcp) in both.expect("a program") {
        assert_eq!(memory, tcp);
    }
}

#[test]
fn a_stalled_connection_delivers_everything_when_it_resumes() {
    run(|_| async {
        let (ours, theirs) = MemoryStream::pair()?;
        let (reader, writer) = open_connection_on(ours).await?;
        theirs.stall();
        theirs.write_all(b"line\n").await?;
        writer.write("sent meanwhile")?;
        assert!(matches!(timeout(Duration::from_secs(60), reader.readline()).await, Err(Error::TimedOut)));
        theirs.resume();
        assert_eq!(reader.readline().await?, b"line\n");
        let mut buf = [0; 100];
        assert_eq!(theirs.read(&mut buf).await?, 14);
        Ok(())
    });
}

#[test]
fn a_connection_is_cut_at_each_byte() {
    for cut in 0..6 {
        run(move |_| async move {
            let (ours, theirs) = MemoryStream::pair()?;
            theirs.cut_after(cut);
            let written = theirs.write_all(b"he\nllo").await;
            assert_eq!(kind(written), (cut == 0).then_some(ErrorKind::BrokenPipe));
            let (reader, writer) = open_connection_on(ours).await?;
            assert_eq!(reader.read_to_end().await?, &b"he\nllo"[..cut]);
            assert_eq!(kind(theirs.read(&mut [0]).await), Some(ErrorKind::ConnectionReset));
            writer.write("lost")?;
            writer.write("broken")?;
            assert_eq!(kind(writer.wait_closed().await), Some(ErrorKind::BrokenPipe));
            Ok(())
        });
    }
}

#[test]
fn a_name_without_a_listener_is_refused_and_a_name_in_use_is_taken() {
    let said = run(|log| async move {
        let refused = MemoryStream::connect("nowhere").await;
        say!(log, "{}", refused.expect_err("nothing listens"));
        assert_eq!(kind(memory::open_connection("nowhere").await), Some(ErrorKind::ConnectionRefused));
        let server = serve_echo().await?;
        say!(log, "{}", MemoryListener::bind("echo").expect_err("a server listens"));
        let sockets = server.sockets();
        assert_eq!((sockets[0].local_addr().to_string(), sockets[0].fileno()), ("echo".to_owned(), -5));
        server.close();
        assert_eq!(kind(MemoryStream::connect("echo").await), Some(ErrorKind::ConnectionRefused));
        serve_echo().await?.close();
        Ok(())
    });
    assert_eq!(
        said,
        [
            "3 [Errno 111] Connect call failed ('nowhere')",
            "6 [Errno 98] Address 'echo' is already in use",
            "10 returned ()"
        ]
    );
}

#[test]
fn a_client_that_nothing_accepted_is_reset_when_the_server_closes() {
    run(|_| async {
        let server = start_server_on(echo, MemoryListener::bind("echo")?).start_serving(false).await?;
        let client = MemoryStream::connect("echo").await?;
        server.close();
        server.wait_closed().await?;
        assert_eq!(kind(client.read(&mut [0; 10]).await), Some(ErrorKind::ConnectionReset));
        Ok(())
    });
}

#[test]
fn a_cancelled_server_ends_its_connections() {
    run(|_| async {
        let server = serve_echo().await?;
        let serving = create_task(server.serve_forever());
        let (reader, writer) = memory::open_connection("echo").await?;
        writer.write("hello\n")?;
        assert_eq!(reader.readline().await?, b"hello\n");
        serving.cancel();
        assert!(serving.await.is_err_and(|error| error.is_cancelled()));
        assert_eq!(reader.read_to_end().await?, b"");
        Ok(())
    });
}
