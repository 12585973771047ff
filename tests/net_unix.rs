//! Unix sockets.

mod net_support;
mod support;

use looplab::net::{UnixListener, UnixStream};
use looplab::{Error, Result, create_task, get_running_loop, yield_now};
use net_support::run;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

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
fn a_path_where_nobody_listens_is_an_error() -> Result<()> {
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
