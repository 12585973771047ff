//! Unix sockets.

use crate::helpers::sockets::run;
use looplab::net::{
    Endpoint, StreamWriter, UnixListener, UnixStream, open_unix_connection, start_unix_server,
};
use looplab::{Error, Result, create_task, get_running_loop, yield_now};
use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;

#[test]
fn what_is_sent_through_a_path_comes_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("socket");
    run(async move {
        let listener = UnixListener::bind(&path)?;
        assert_eq!(listener.local_addr()?.as_pathname(), Some(path.as_path()));
        let server = create_task(async move {
            let (stream, _) = listener.accept().await?;
            let mut buf = [0; 1000];
            loop {
                match stream.read(&mut buf).await? {
                    0 => return Ok(()),
                    n => stream.write_all(&buf[..n]).await?,
                }
            }
        });
        yield_now().await?;
        let stream = UnixStream::connect(&path).await?;
        assert_eq!(stream.peer_addr()?.as_pathname(), Some(path.as_path()));
        assert!(stream.local_addr()?.is_unnamed());
        for text in [&b"hello"[..], b"world"] {
            stream.write_all(text).await?;
            let mut buf = [0; 16];
            let n = stream.read(&mut buf).await?;
            assert_eq!(&buf[..n], text);
        }
        stream.shutdown(Shutdown::Write)?;
        server.await?;
        assert_eq!(stream.read(&mut [0; 16]).await?, 0);
        Ok(())
    })
}

#[test]
fn a_pair_waits_in_both_directions() -> Result<()> {
    run(async {
        let (ours, theirs) = UnixStream::pair()?;
        let data: Vec<u8> = (0..2_000_000u32).map(|i| i as u8).collect();
        let sent = data.clone();
        let writing = create_task(async move {
            ours.write_all(&sent).await?;
            let mut buf = [0; 16];
            let n = ours.read(&mut buf).await?;
            Ok(buf[..n].to_vec())
        });
        let (mut got, mut buf) = (Vec::new(), vec![0; 30_000]);
        while got.len() < data.len() {
            let n = theirs.read(&mut buf).await?;
            got.extend_from_slice(&buf[..n]);
        }
        assert!(got == data);
        theirs.write_all(b"thanks").await?;
        assert_eq!(writing.await?, b"thanks");
        Ok(())
    })
}

#[test]
fn a_path_without_a_listener_is_an_error() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("socket");
    let kind = |path| match run(UnixStream::connect(path)) {
        Err(Error::Io(error)) => Some(error.kind()),
        _ => None,
    };
    assert_eq!(kind(path.clone()), Some(ErrorKind::NotFound));
    drop(std::os::unix::net::UnixListener::bind(&path)?);
    assert_eq!(kind(path), Some(ErrorKind::ConnectionRefused));
    Ok(())
}

#[test]
fn streams_come_from_the_standard_library_and_go_back() -> Result<()> {
    run(async {
        let (one, mut other) = std::os::unix::net::UnixStream::pair()?;
        let stream = UnixStream::from_std(one)?;
        other.write_all(b"hello")?;
        assert_eq!(stream.read(&mut [0; 2]).await?, 2);
        let mut back = stream.into_std();
        assert_eq!(back.read(&mut [0; 16])?, 3);
        Ok(())
    })
}

#[test]
fn bytes_behind_a_message_with_descriptors_are_not_missed() -> Result<()> {
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    use std::os::fd::AsRawFd;
    run(async {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair()?;
        let stream = UnixStream::from_std(ours)?;
        // The kernel ends a read behind such a message, however large the buffer is.
        get_running_loop()?.call_soon(move || {
            let descriptors = [theirs.as_raw_fd()];
            let rights = [ControlMessage::ScmRights(&descriptors)];
            let parts = [std::io::IoSlice::new(b"one")];
            let sent = sendmsg::<()>(theirs.as_raw_fd(), &parts, &rights, MsgFlags::empty(), None);
            assert_eq!(sent.map_err(std::io::Error::from)?, 3);
            theirs.write_all(b"two")?;
            // It stays open: an end would be news of its own.
            std::mem::forget(theirs);
            Ok(())
        })?;
        let (mut all, mut buf) = (Vec::new(), [0; 1000]);
        while all.len() < 6 {
            let n = stream.read(&mut buf).await?;
            all.extend_from_slice(&buf[..n]);
        }
        assert_eq!(all, b"onetwo");
        Ok(())
    })
}

/// An abstract name that no other test has, without its null byte.
#[cfg(target_os = "linux")]
fn abstract_name(what: &str) -> String {
    format!("looplab-{}-{what}", std::process::id())
}

/// A client that has an abstract name itself, connected to another.
#[cfg(target_os = "linux")]
fn named_client(name: &str, server: &str) -> nix::Result<std::os::fd::OwnedFd> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, socket};
    use std::os::fd::AsRawFd;
    let client = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    bind(client.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
    connect(client.as_raw_fd(), &UnixAddr::new_abstract(server.as_bytes())?)?;
    Ok(client)
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_is_served_and_reached_and_shown_to_both_sides_as_in_cpython() -> Result<()> {
    run(async {
        let name = format!("\0{}", abstract_name("server"));
        let seen = Rc::new(RefCell::new(Vec::new()));
        let sees = seen.clone();
        let handler = async move |_, writer: StreamWriter| {
            sees.borrow_mut().push((writer.peername(), writer.sockname()));
            writer.write("hello")
        };
        let server = start_unix_server(handler, &name).await?;
        let (ours, nameless) = (Some(Endpoint::Unix(Some(name.clone().into()))), Some(Endpoint::Unix(None)));
        assert_eq!(Some(server.sockets()[0].local_addr()), ours);
        assert_eq!(server.sockets()[0].local_addr().to_string(), name.replace('\0', "\\x00"));
        let (reader, writer) = open_unix_connection(&name).await?;
        assert_eq!((writer.peername(), writer.sockname()), (ours.clone(), nameless.clone()));
        assert_eq!(reader.read_to_end().await?, b"hello");
        assert_eq!(seen.take(), [(nameless, ours.clone())]);

        let taken = start_unix_server(async |_, _| {}, &name).await.unwrap_err();
        let shown = name.replace('\0', "\\x00");
        assert_eq!(taken.to_string(), format!("[Errno 98] Address '{shown}' is already in use"));

        let client = named_client(&abstract_name("client"), &name[1..]).map_err(std::io::Error::from)?;
        while seen.borrow().is_empty() {
            yield_now().await?;
        }
        let client_name = format!("\0{}", abstract_name("client"));
        assert_eq!(seen.take(), [(Some(Endpoint::Unix(Some(client_name.into()))), ours)]);
        drop(client);

        server.close();
        let again = start_unix_server(async |_, _| {}, &name).await?;
        again.close();
        let error = open_unix_connection(&name).await.unwrap_err();
        assert!(
            matches!(&error, Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused),
            "{error:?}"
        );
        Ok(())
    })
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_names_work_for_listeners_and_streams_and_one_too_long_is_an_error() -> Result<()> {
    use std::os::linux::net::SocketAddrExt;
    run(async {
        let name = abstract_name("listener");
        let listener = UnixListener::bind(format!("\0{name}"))?;
        assert_eq!(listener.local_addr()?.as_abstract_name(), Some(name.as_bytes()));
        let stream = UnixStream::connect(format!("\0{name}")).await?;
        assert_eq!(stream.peer_addr()?.as_abstract_name(), Some(name.as_bytes()));
        let (_, peer) = listener.accept().await?;
        assert!(peer.is_unnamed());

        let long = format!("\0{}", "x".repeat(108));
        let bound = UnixListener::bind(&long).map(drop).unwrap_err();
        let connected = UnixStream::connect(&long).await.map(drop).unwrap_err();
        let inside = UnixStream::connect("a\0b").await.map(drop).unwrap_err();
        for error in [bound, connected, inside] {
            assert!(
                matches!(&error, Error::Io(error) if error.kind() == ErrorKind::InvalidInput),
                "{error:?}"
            );
        }
        Ok(())
    })
}
