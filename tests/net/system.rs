//! What the operating system decides: names, the words of its errors, the length of a listener's queue.

use crate::helpers::sockets::{nowhere, run};
use looplab::net::{
    TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream, open_connection, open_unix_connection,
    start_server, start_unix_server,
};
use looplab::{Error, Result, get_running_loop, yield_now};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::cell::Cell;
use std::io::{ErrorKind, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;
use support::{child, report, watchdog};

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

/// A part of a name has at most 63 bytes, so the resolver asks no server.
#[test]
fn a_name_that_is_not_known_is_an_error_with_the_name() -> Result<()> {
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

/// The system queues one more than it is asked for, so the last one is in no danger.
#[test]
fn the_queue_of_a_listener_has_room_for_128_whatever_the_backlog() -> Result<()> {
    run(async {
        let server = start_server(async |_, _| {}, "127.0.0.1", 0).backlog(1).start_serving(false).await?;
        let address = server.sockets()[0].local_addr().ip().expect("TCP");
        // asyncio's kernel queue would be full with the second of them, and the others would wait.
        let connect = |_| std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5));
        let clients: std::io::Result<Vec<_>> = (0..128).map(connect).collect();
        assert_eq!(clients?.len(), 128);
        server.close();
        Ok(())
    })
}

fn number(error: &Error) -> (Option<i32>, ErrorKind) {
    let Error::Io(error) = error else { panic!("an error of the system: {error:?}") };
    (error.raw_os_error(), error.kind())
}

#[test]
fn errors_in_asyncios_words_keep_the_systems_number_and_kind() -> Result<()> {
    run(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a file");
        std::fs::write(&path, "")?;
        let used = (Some(Errno::ADDRINUSE.raw_os_error()), ErrorKind::AddrInUse);
        let error = start_server(async |_, _| {}, "127.0.0.1", port).await.unwrap_err();
        let text =
            format!("[Errno {}] error while attempting to bind on address ", Errno::ADDRINUSE.raw_os_error());
        assert!(error.to_string().starts_with(&text), "{error}");
        assert_eq!(number(&error), used);
        let error = start_unix_server(async |_, _| {}, &path).await.unwrap_err();
        assert!(error.to_string().ends_with("is already in use"), "{error}");
        assert_eq!(number(&error), used);

        let port = nowhere()?.port();
        let refused = (Some(Errno::CONNREFUSED.raw_os_error()), ErrorKind::ConnectionRefused);
        let error = open_connection("127.0.0.1", port).await.unwrap_err();
        assert!(
            error.to_string().ends_with(&format!("Connect call failed ('127.0.0.1', {port})")),
            "{error}"
        );
        assert_eq!(number(&error), refused);
        assert_eq!(number(&TcpStream::connect(("127.0.0.1", port)).await.unwrap_err()), refused);
        assert!(
            std::error::Error::source(&error).is_some_and(|system| system.to_string().contains("os error"))
        );
        Ok(())
    })
}

#[test]
fn what_several_attempts_failed_with_is_kept_with_the_first_number() -> Result<()> {
    run(async {
        // Reserved addresses, which no machine has.
        let hosts = ["240.0.0.1", "240.0.0.2"];
        let error = start_server(async |_, _| {}, hosts, 0).await.unwrap_err();
        let text = "could not bind on any address out of [('240.0.0.1', 0), ('240.0.0.2', 0)]";
        assert_eq!(error.to_string(), text);
        let Error::Io(error) = error else { panic!("{error:?}") };
        assert_eq!(error.raw_os_error(), Some(Errno::ADDRNOTAVAIL.raw_os_error()));
        let texts: Vec<String> = error.attempts().iter().map(ToString::to_string).collect();
        assert!(
            texts[0].contains("240.0.0.1") && texts[1].contains("240.0.0.2") && texts.len() == 2,
            "{texts:?}"
        );

        let port = nowhere()?.port();
        let error = open_connection("127.0.0.1", port).await.unwrap_err();
        assert!(matches!(&error, Error::Io(error) if error.attempts().is_empty()), "one attempt is no list");
        Ok(())
    })
}

#[test]
fn a_process_without_descriptors_is_recognised_in_every_error() {
    let ended = child!(|| {
        let lp = looplab::EventLoop::new().expect("a loop");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let _listener = UnixListener::bind(&path).expect("a listener");
        let other = folder.path().join("other");
        let program = async move {
            let none = Rlimit { current: Some(0), maximum: getrlimit(Resource::Nofile).maximum };
            setrlimit(Resource::Nofile, none).expect("less than before");
            let serve = async |_, _| {};
            let errors = [
                ("start_server", start_server(serve, "127.0.0.1", 0).await.map(drop).unwrap_err()),
                ("start_unix_server", start_unix_server(serve, &other).await.map(drop).unwrap_err()),
                ("open_connection", open_connection("127.0.0.1", 9).await.map(drop).unwrap_err()),
                ("open_unix_connection", open_unix_connection(&path).await.map(drop).unwrap_err()),
                ("TcpStream", TcpStream::connect(("127.0.0.1", 9)).await.map(drop).unwrap_err()),
                ("UnixStream", UnixStream::connect(&path).await.map(drop).unwrap_err()),
                ("TcpListener", TcpListener::bind("127.0.0.1:0").map(drop).unwrap_err()),
                ("UnixListener", UnixListener::bind(&other).map(drop).unwrap_err()),
                ("pair", UnixStream::pair().map(drop).unwrap_err()),
                ("UdpSocket", UdpSocket::bind("127.0.0.1:0").map(drop).unwrap_err()),
                ("EventLoop", looplab::EventLoop::new().map(drop).unwrap_err()),
            ];
            for (name, error) in errors {
                report(format!("{name} {:?}", number(&error).0));
            }
            let lp = looplab::get_running_loop()?;
            report(format!("add_reader {:?}", number(&lp.add_reader(&999_999, || ()).unwrap_err()).0));
            Ok(())
        };
        lp.run_until_complete(program).expect("it ends well");
    });
    let sockets = ["start_server", "start_unix_server", "open_connection", "open_unix_connection"];
    let others = ["TcpStream", "UnixStream", "TcpListener", "UnixListener", "pair", "UdpSocket", "EventLoop"];
    let mut expected: Vec<String> =
        sockets.iter().chain(&others).map(|name| format!("{name} Some(24)")).collect();
    expected.push("add_reader Some(9)".to_owned());
    assert_eq!(ended.lines, expected);
}

/// Writes until the system answers with EPIPE. (The first answer of TCP is that the connection was reset.)
async fn until_broken_pipe(mut write: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    while write().await.map_or_else(|error| number(&error).1 != ErrorKind::BrokenPipe, |()| true) {
        yield_now().await?;
    }
    Ok(())
}

#[test]
fn a_write_to_a_lost_connection_is_an_error_and_raises_no_sigpipe_unless_it_is_vectored() {
    let ended = child!(|| {
        let _dog = watchdog();
        let program = async {
            let pipes = Rc::new(Cell::new(0));
            let counts = pipes.clone();
            get_running_loop()?.add_signal_handler(13, move || counts.set(counts.get() + 1))?;
            let server = start_server(async |_, _| {}, "127.0.0.1", 0).await?;
            let stream = TcpStream::connect(("127.0.0.1", server.port())).await?;
            until_broken_pipe(async || stream.write(b"x").await.map(drop)).await?;
            let (ours, theirs) = UnixStream::pair()?;
            drop(theirs);
            until_broken_pipe(async || ours.write(b"x").await.map(drop)).await?;
            let (_reader, writer) = open_connection("127.0.0.1", server.port()).await?;
            while !writer.is_closing() {
                writer.write("x")?;
                yield_now().await?;
            }
            assert!(writer.wait_closed().await.is_err());
            // A signal would be read in one turn and delivered in the next.
            yield_now().await?;
            yield_now().await?;
            yield_now().await?;
            report(format!("signals: {}", pipes.get()));
            let vectored = until_broken_pipe(async || {
                let pieces = [IoSlice::new(b"x"), IoSlice::new(b"y")];
                let write = |cx: &mut Context<'_>| {
                    futures_io::AsyncWrite::poll_write_vectored(Pin::new(&mut &ours), cx, &pieces)
                };
                Ok(std::future::poll_fn(write).await.map(drop)?)
            });
            vectored.await?;
            while pipes.get() == 0 {
                yield_now().await?;
            }
            report(format!("signals: {}", pipes.get()));
            Ok(())
        };
        looplab::EventLoop::new().and_then(|lp| lp.run_until_complete(program)).expect("it ends well");
    });
    assert_eq!(ended.lines, ["signals: 0", "signals: 1"]);
}
