//! TCP sockets: what their operations do, and in which turns.

use crate::helpers::sockets::{io_kind, nowhere, pair, run};
use looplab::net::{TcpListener, TcpStream};
use looplab::trace::{Event, Record};
use looplab::{Error, EventLoop, Result, create_task, get_running_loop, yield_now};
use std::cell::OnceCell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use support::{Lab, watchdog};

#[test]
fn what_is_sent_comes_back() -> Result<()> {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let server = create_task(async move {
            let (stream, peer) = listener.accept().await?;
            assert_eq!(peer, stream.peer_addr()?);
            let mut buf = [0; 4096];
            loop {
                match stream.read(&mut buf).await? {
                    0 => return Ok(()),
                    n => stream.write_all(&buf[..n]).await?,
                }
            }
        });
        let stream = Rc::new(TcpStream::connect(address).await?);
        stream.set_nodelay(true)?;
        let data: Vec<u8> = (0..3_000_000u32).map(|i| i as u8).collect();
        let (writer, sent) = (stream.clone(), data.clone());
        let writing = create_task(async move {
            writer.write_all(&sent).await?;
            writer.shutdown(Shutdown::Write)
        });
        let mut got = Vec::new();
        let mut buf = vec![0; 70_000];
        loop {
            match stream.read(&mut buf).await? {
                0 => break,
                n => got.extend_from_slice(&buf[..n]),
            }
        }
        writing.await?;
        assert!(got == data);
        server.await
    })
}

#[test]
fn what_is_there_is_read_without_suspending() -> Result<()> {
    let lab = Lab::in_real_time();
    let (ours, mut theirs) = pair()?;
    theirs.write_all(b"hello")?;
    lab.run_until_complete(async move {
        let mut buf = [0; 16];
        assert_eq!(ours.peek(&mut buf).await?, 5);
        assert_eq!(ours.read(&mut buf).await?, 5);
        ours.write_all(b"world").await
    })?;
    lab.is("task t1 | +h1 step t1
        run
        turn 1 | select 0 ready | batch 1 | run h1 | step t1 | t1 ok | +h2 done
        turn 2 | select 0 ready | batch 1 | run h2 | stop
        unstop | end");
    let mut buf = [0; 5];
    theirs.read_exact(&mut buf)?;
    Ok(())
}

#[test]
fn an_operation_goes_on_one_turn_after_the_turn_of_its_readiness() -> Result<()> {
    let lab = Lab::in_real_time();
    let (ours, mut theirs) = pair()?;
    lab.run_until_complete(async move {
        get_running_loop()?.call_soon(move || theirs.write_all(b"hello").map_err(Error::from))?;
        assert_eq!(ours.read(&mut [0; 16]).await?, 5);
        Ok(())
    })?;
    lab.is("task t1 | +h1 step t1
        run
        turn 1 | select 0 ready | batch 1 | run h1 | step t1 | +h3 | socket read f2 | reader a h4 | park t1 socket read
        turn 2 | select 0 ready | batch 1 | run h3
        turn 3 | select for ever idle | polled a:r | +h4 io a | batch 1 | run h4 | no reader a | f2 ok | +h1 wakeup t1
        turn 4 | select 0 ready | batch 1 | run h1 | step t1 | t1 ok | +h2 done
        turn 5 | select 0 ready | batch 1 | run h2 | stop
        unstop | end");
    Ok(())
}

#[test]
fn a_read_after_one_that_emptied_the_socket_waits_for_the_descriptor() -> Result<()> {
    run(async {
        let lp = get_running_loop()?;
        let (ours, mut theirs) = pair()?;
        let mut again = theirs.try_clone()?;
        lp.call_soon(move || theirs.write_all(b"one").map_err(Error::from))?;
        let mut buf = [0; 16];
        assert_eq!(ours.read(&mut buf).await?, 3);
        // Something comes between the two reads: the second one does not look, the poll will tell it.
        again.write_all(b"two")?;
        let turn = lp.turns();
        assert_eq!(ours.read(&mut buf).await?, 3);
        assert_eq!(lp.turns() - turn, 2);
        Ok(())
    })
}

#[test]
fn a_read_that_filled_its_buffer_is_followed_by_one_that_looks_at_once() -> Result<()> {
    run(async {
        let lp = get_running_loop()?;
        let (ours, mut theirs) = pair()?;
        lp.call_soon(move || theirs.write_all(b"hello").map_err(Error::from))?;
        let mut buf = [0; 3];
        assert_eq!(ours.read(&mut buf).await?, 3);
        let turn = lp.turns();
        assert_eq!(ours.read(&mut buf).await?, 2);
        assert_eq!(lp.turns(), turn);
        Ok(())
    })
}

#[test]
fn the_end_that_came_with_the_last_bytes_is_not_missed() -> Result<()> {
    run(async {
        let (ours, mut theirs) = pair()?;
        let last = move || {
            theirs.write_all(b"bye").map_err(Error::from)?;
            drop(theirs.try_clone()?);
            theirs.shutdown(Shutdown::Both).map_err(Error::from)
        };
        get_running_loop()?.call_soon(last)?;
        let mut buf = [0; 16];
        assert_eq!(ours.read(&mut buf).await?, 3);
        assert_eq!(ours.read(&mut buf).await?, 0);
        assert_eq!(ours.read(&mut buf).await?, 0);
        Ok(())
    })
}

#[test]
fn a_refused_connection_is_reported_in_asyncios_words() -> Result<()> {
    let nowhere = nowhere()?;
    let error = run(TcpStream::connect(nowhere)).unwrap_err();
    assert_eq!(io_kind(&error), Some(ErrorKind::ConnectionRefused));
    let text = format!("[Errno 111] Connect call failed ('127.0.0.1', {})", nowhere.port());
    if cfg!(target_os = "linux") {
        assert_eq!(error.to_string(), text);
    }
    Ok(())
}

#[test]
fn connecting_and_accepting_take_asyncios_turns() -> Result<()> {
    // As measured on CPython 3.13 with `sock_connect` and `sock_accept`: in turn 3, and with a client that comes in turn 2
    // in turn 4.
    run(async {
        let lp = get_running_loop()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        TcpStream::connect(listener.local_addr()?).await?;
        assert_eq!(lp.turns(), 3);
        Ok(())
    })?;
    let nowhere = nowhere()?;
    run(async move {
        assert!(TcpStream::connect(nowhere).await.is_err());
        assert_eq!(get_running_loop()?.turns(), 3);
        Ok(())
    })?;
    run(async {
        let lp = get_running_loop()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, client) = (listener.local_addr()?, Rc::new(OnceCell::new()));
        lp.call_soon(move || client.set(std::net::TcpStream::connect(address)).expect("once"))?;
        listener.accept().await?;
        assert_eq!(lp.turns(), 4);
        Ok(())
    })
}

#[test]
fn a_text_that_is_no_address_is_an_error() {
    for text in ["localhost", "localhost:http", "::1:80", ""] {
        let error = run(TcpStream::connect(text)).unwrap_err();
        assert_eq!(error.to_string(), format!("not an address with a port: {text:?}"));
    }
}

/// How many jobs a body gives to the executor.
fn jobs_of<T: 'static>(body: impl Future<Output = Result<T>> + 'static) -> Result<usize> {
    let (_dog, jobs) = (watchdog(), Rc::new(std::cell::Cell::new(0)));
    let seen = jobs.clone();
    let observer = move |record: &Record<'_>| {
        if let Event::Job { .. } = record.event {
            seen.set(seen.get() + 1);
        }
    };
    EventLoop::builder().observer(observer).build()?.run_until_complete(body)?;
    Ok(jobs.get())
}

#[test]
fn names_are_looked_up_in_the_executor_and_numbers_are_not() -> Result<()> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    assert_eq!(jobs_of(TcpStream::connect(format!("localhost:{port}")))?, 1);
    assert_eq!(jobs_of(TcpStream::connect(("localhost", port)))?, 1);
    assert_eq!(jobs_of(TcpStream::connect(("127.0.0.1", port)))?, 0);
    assert_eq!(jobs_of(TcpStream::connect(listener.local_addr()?))?, 0);
    Ok(())
}

#[test]
fn a_cancelled_connect_closes_what_was_begun() -> Result<()> {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let connecting = create_task(TcpStream::connect(listener.local_addr()?));
        yield_now().await?;
        assert!(connecting.cancel());
        assert!(connecting.into_output().await.unwrap_err().is_cancelled());
        let (stream, _) = listener.accept().await?;
        assert_eq!(stream.read(&mut [0; 16]).await?, 0);
        Ok(())
    })
}

#[test]
fn each_direction_is_shut_down_by_itself() -> Result<()> {
    run(async {
        let (ours, mut theirs) = pair()?;
        ours.shutdown(Shutdown::Write)?;
        assert_eq!(theirs.read(&mut [0; 16])?, 0);
        theirs.write_all(b"still here")?;
        assert_eq!(ours.read(&mut [0; 16]).await?, 10);
        let error = ours.write(b"x").await.unwrap_err();
        assert_eq!(io_kind(&error), Some(ErrorKind::BrokenPipe));
        Ok(())
    })
}

#[test]
fn a_reset_by_the_peer_ends_the_read_that_waits() -> Result<()> {
    run(async {
        let (ours, theirs) = pair()?;
        // What is closed with unread bytes is reset.
        ours.write_all(b"never read").await?;
        get_running_loop()?.call_soon(move || drop(theirs))?;
        let error = ours.read(&mut [0; 16]).await.unwrap_err();
        assert_eq!(io_kind(&error), Some(ErrorKind::ConnectionReset));
        Ok(())
    })
}

#[test]
fn a_listener_and_a_connection_come_from_the_standard_library_and_go_back() -> Result<()> {
    run(async {
        let (ours, mut theirs) = pair()?;
        theirs.write_all(b"hello")?;
        let mut buf = [0; 2];
        assert_eq!(ours.read(&mut buf).await?, 2);
        let mut back = ours.into_std();
        back.set_nonblocking(false)?;
        let mut rest = [0; 3];
        back.read_exact(&mut rest)?;
        assert_eq!(&rest, b"llo");
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let number: OwnedFd = listener.into();
        let listener = TcpListener::from_std(number.into())?;
        let connecting = create_task(TcpStream::connect(listener.local_addr()?));
        listener.accept().await?;
        connecting.into_output().await.map(drop)
    })
}

#[test]
fn bytes_behind_urgent_data_are_not_missed() -> Result<()> {
    use nix::sys::socket::{MsgFlags, send};
    use std::os::fd::AsRawFd;
    run(async {
        let (ours, mut theirs) = pair()?;
        get_running_loop()?.call_soon(move || {
            theirs.write_all(b"one")?;
            send(theirs.as_raw_fd(), b"!", MsgFlags::MSG_OOB).map_err(std::io::Error::from)?;
            theirs.write_all(b"two")?;
            // It stays open: an end would be news of its own.
            std::mem::forget(theirs);
            Ok(())
        })?;
        let (mut all, mut buf) = (Vec::new(), [0; 1000]);
        while all.len() < 6 {
            let n = ours.read(&mut buf).await?;
            all.extend_from_slice(&buf[..n]);
        }
        assert_eq!(all, b"onetwo");
        Ok(())
    })
}

#[test]
fn writing_nothing_waits_for_nothing() -> Result<()> {
    run(async {
        let (ours, theirs) = pair()?;
        let full = vec![0; 16 << 20];
        let (ours, writing) = (Rc::new(ours), Rc::new(full));
        let writer = create_task({
            let (ours, full) = (ours.clone(), writing.clone());
            async move { ours.write_all(&full).await }
        });
        yield_now().await?;
        writer.cancel();
        assert!(writer.await.is_err());
        // The socket is full; a byte would have to wait.
        let turn = get_running_loop()?.turns();
        ours.write_all(b"").await?;
        assert_eq!(get_running_loop()?.turns(), turn);
        drop(theirs);
        Ok(())
    })
}
