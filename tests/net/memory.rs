//! Connections in memory: the turns of TCP in virtual time, the same in every run.

use crate::helpers::memory::{echo, run, serve_echo};
use looplab::net::memory::{self, MemoryListener, MemoryStream};
use looplab::net::{
    StreamReader, StreamWriter, TcpListener, UnixStream, open_connection, open_connection_on, start_server_on,
};
use looplab::trace::{Event, Record};
use looplab::{Clock, Error, EventLoop, TaskGroup, create_task, gather, sleep};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use support::say;

const ROOM: usize = 64 * 1024;

#[test]
fn an_echo_takes_the_turns_of_tcp() {
    let with_tcp = |memory: bool| {
        run(move |log| async move {
            let handler = {
                let log = log.clone();
                async move |reader: StreamReader, writer: StreamWriter| {
                    say!(log, "handler");
                    while let Some(line) = reader.next_line().await? {
                        say!(log, "got {} bytes", line.len());
                        writer.write(line)?;
                    }
                    writer.close();
                    writer.wait_closed().await?;
                    say!(log, "closed");
                    Ok::<(), Error>(())
                }
            };
            let server = if memory {
                start_server_on(handler, MemoryListener::bind("echo")?).await?
            } else {
                start_server_on(handler, TcpListener::bind("127.0.0.1:0")?).await?
            };
            say!(log, "started");
            let (reader, writer) = if memory {
                memory::open_connection("echo").await?
            } else {
                open_connection("127.0.0.1", server.port()).await?
            };
            say!(log, "open");
            for word in ["one\n", "two\n"] {
                writer.write(word)?;
                say!(log, "answer of {} bytes", reader.readline().await?.len());
            }
            writer.write_eof()?;
            say!(log, "{} bytes left", reader.read_to_end().await?.len());
            writer.close();
            writer.wait_closed().await?;
            server.close();
            server.wait_closed().await?;
            say!(log, "end");
            Ok(())
        })
    };
    assert_eq!(with_tcp(true), with_tcp(false));
}

/// What the polls of a program find, with what it says in between.
fn polls_of_an_echo() -> (Vec<String>, Vec<String>) {
    let (polls, events) = (Rc::<RefCell<Vec<String>>>::default(), Rc::<RefCell<Vec<String>>>::default());
    let (found, all) = (polls.clone(), events.clone());
    let turn = std::cell::Cell::new(0);
    let observer = move |record: &Record<'_>| {
        match record.event {
            Event::Turn { n } => turn.set(n),
            Event::Polled { events, .. } if !events.is_empty() => {
                let side = |ready, word| if ready { word } else { "" };
                let one = |(fd, ready): &(i32, looplab::trace::Ready)| {
                    format!("{fd}{}{}", side(ready.read, "r"), side(ready.write, "w"))
                };
                let one: Vec<String> = events.iter().map(one).collect();
                found.borrow_mut().push(format!("{}: {}", turn.get(), one.join(" ")));
            }
            _ => {}
        }
        all.borrow_mut().push(format!("{:?} {:?}", record.event, record.time));
    };
    let lp = EventLoop::builder().clock(Clock::virtual_time()).observer(observer).build().expect("a loop");
    let ended = lp.run_until_complete(async {
        let server = serve_echo().await?;
        let clients = (0..3).map(|n| async move {
            let (reader, writer) = memory::open_connection("echo").await?;
            sleep(Duration::from_millis(10 * (3 - n))).await?;
            writer.write(format!("{n}\n"))?;
            assert_eq!(reader.readline().await?, format!("{n}\n").as_bytes());
            writer.close();
            writer.wait_closed().await
        });
        gather(clients).await?;
        server.close();
        server.wait_closed().await
    });
    ended.expect("all were served");
    lp.close().expect("it does not run");
    drop(lp);
    (polls.take(), events.take())
}

#[test]
fn three_clients_of_an_echo_server_make_this_trace_each_time() {
    // Tasks are numbered by thread, and the number is in their names.
    let in_its_own_thread = || std::thread::spawn(polls_of_an_echo).join().expect("a program");
    let (polls, events) = in_its_own_thread();
    // The listener is -1. Each client is followed by its other end.
    let expected = [
        "4: -1r -2w -4w -6w",
        "10: -7r",
        "12: -6r",
        "15: -7r",
        "22: -5r",
        "24: -4r",
        "27: -5r",
        "34: -3r",
        "36: -2r",
        "39: -3r",
    ];
    assert_eq!(polls, expected);
    assert!(in_its_own_thread() == (polls, events), "two runs differ");
}

#[test]
fn a_server_waits_an_hour_of_virtual_time_and_deadlocks_without_a_client() {
    let began = std::time::Instant::now();
    let said = run(|log| async move {
        let slow = async |reader: StreamReader, writer: StreamWriter| {
            let line = reader.readline().await?;
            sleep(Duration::from_secs(3600)).await?;
            writer.write(line)
        };
        let _server = start_server_on(slow, MemoryListener::bind("slow")?).await?;
        let (reader, writer) = memory::open_connection("slow").await?;
        writer.write("hello\n")?;
        assert_eq!(reader.readline().await?, b"hello\n");
        say!(log, "an hour later");
        Ok(())
    });
    assert_eq!(said, ["12 an hour later", "13 returned ()"]);
    assert!(began.elapsed() < Duration::from_secs(3600));
    let said = run(|_| async { serve_echo().await?.serve_forever().await });
    let [deadlock] = &said[..] else { panic!("{said:?}") };
    assert!(deadlock.contains("deadlock") && deadlock.contains("serve_forever"), "{deadlock}");
}

#[test]
fn sixty_four_kib_fit_into_a_direction_and_the_rest_waits() {
    let said = run(|log| async move {
        let (ours, theirs) = MemoryStream::pair()?;
        let all = vec![7; ROOM + 1];
        assert_eq!(ours.write(&all).await?, ROOM);
        let writing = create_task({
            let log = log.clone();
            async move {
                say!(log, "full");
                ours.write_all(&[8]).await?;
                say!(log, "written");
                Ok::<(), Error>(())
            }
        });
        sleep(Duration::from_secs(1)).await?;
        let mut buf = vec![0; 2 * ROOM];
        assert_eq!(theirs.read(&mut buf[..1]).await?, 1);
        say!(log, "one byte read");
        writing.await?;
        assert_eq!(theirs.read(&mut buf).await?, ROOM);
        assert_eq!(theirs.read(&mut buf).await?, 0);
        Ok(())
    });
    assert_eq!(said, ["2 full", "4 one byte read", "6 written", "8 returned ()"]);
}

#[test]
fn drain_waits_for_a_slow_reader_and_nothing_is_lost() {
    let said = run(|log| async move {
        let (ours, theirs) = MemoryStream::pair()?;
        let (reader, _writer) = open_connection_on(theirs).await?;
        let (_reader, writer) = open_connection_on(ours).await?;
        let all: Vec<u8> = (0..1_000_000).map(|i| (i % 251) as u8).collect();
        let sent = all.clone();
        let sending = create_task(async move {
            writer.write(&sent)?;
            assert!(writer.transport().get_write_buffer_size() > 0);
            writer.drain().await?;
            writer.close();
            writer.wait_closed().await
        });
        sleep(Duration::from_secs(1)).await?;
        assert!(!sending.done());
        say!(log, "it waits");
        assert!(reader.read_to_end().await? == all);
        sending.await
    });
    assert_eq!(said[0].split_once(' ').map(|(_, word)| word), Some("it waits"));
    assert!(said[1].ends_with("returned ()"), "{said:?}");
}

#[test]
fn what_was_written_first_is_reported_first() {
    let said = run(|log| async move {
        let (mut peers, mut reads) = (Vec::new(), Vec::new());
        for n in 0..5 {
            let (ours, theirs) = MemoryStream::pair()?;
            let log = log.clone();
            reads.push(create_task(async move {
                ours.read(&mut [0; 10]).await?;
                say!(log, "{n}");
                Ok::<(), Error>(())
            }));
            peers.push(theirs);
        }
        sleep(Duration::from_secs(1)).await?;
        for n in [3, 0, 4, 1, 2] {
            peers[n].write_all(b"x").await?;
        }
        gather(&reads).await.map(drop)
    });
    assert_eq!(said, ["6 3", "6 0", "6 4", "6 1", "6 2", "9 returned ()"]);
}

#[test]
fn a_loop_that_closes_ends_connections_and_frees_all() {
    let held = Rc::new(());
    let lp = EventLoop::builder().clock(Clock::virtual_time()).build().expect("a loop");
    let holds = held.clone();
    let kept = lp.run_until_complete(async move {
        let handler = async move |reader: StreamReader, _writer| {
            let _held = holds.clone();
            reader.read_to_end().await.map(drop)
        };
        let server = start_server_on(handler, MemoryListener::bind("held")?).await?;
        let (reader, writer) = memory::open_connection("held").await?;
        let (ours, theirs) = MemoryStream::pair()?;
        let waits = create_task(async move { theirs.read(&mut [0]).await });
        sleep(Duration::from_secs(1)).await?;
        writer.write("some bytes")?;
        Ok((server, reader, writer, ours, waits))
    });
    let kept = kept.expect("a program");
    lp.set_exception_handler(Some(|_: &EventLoop, _: &looplab::ExceptionContext| ()));
    lp.close().expect("it does not run");
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(kept.2.is_closing() && kept.3.peer_addr() != kept.3.local_addr());
    // Nothing tells the closed loop anything.
    kept.3.reset();
    drop(kept);
}

#[test]
fn a_socket_stays_on_its_loop() {
    let make = || EventLoop::builder().clock(Clock::virtual_time()).build().expect("a loop");
    let (one, other) = (make(), make());
    let pair = one.run_until_complete(async { MemoryStream::pair() }).expect("two ends");
    let listener = one.run_until_complete(async { MemoryListener::bind("here") }).expect("a name");
    let said = other.run_until_complete(async move {
        // A name belongs to one loop.
        MemoryListener::bind("here")?;
        let (ours, theirs) = pair;
        let mut said = Vec::new();
        said.push(ours.read(&mut [0]).await.expect_err("another loop's").to_string());
        said.push(open_connection_on(theirs).await.expect_err("another loop's").to_string());
        said.push(start_server_on(echo, listener).await.expect_err("another loop's").to_string());
        Ok(said)
    });
    let text = |n: i32| format!("the socket with descriptor {n} is bound to a different event loop");
    assert_eq!(said.expect("a program"), [text(-1), text(-2), text(-3)]);
}

#[test]
fn it_works_in_real_time_beside_real_sockets() {
    let _dog = support::watchdog();
    let lp = EventLoop::new().expect("a loop");
    let ended = lp.run_until_complete(TaskGroup::scope(async |group| {
        let _server = serve_echo().await?;
        let (real, peer) = UnixStream::pair()?;
        group.create_task(async move {
            let mut buf = [0; 10];
            assert_eq!(real.read(&mut buf).await?, 4);
            Ok::<(), Error>(())
        });
        for n in 0..20 {
            let (reader, writer) = memory::open_connection("echo").await?;
            writer.write(format!("{n}\n"))?;
            assert_eq!(reader.readline().await?, format!("{n}\n").as_bytes());
            sleep(Duration::from_millis(1)).await?;
        }
        peer.write_all(b"late").await
    }));
    ended.expect("all was served");
}

#[test]
fn one_turn_at_a_time_is_enough() {
    let lp = EventLoop::builder().clock(Clock::virtual_time()).build().expect("a loop");
    let task = lp.create_task(async {
        let server = serve_echo().await?;
        let (reader, writer) = memory::open_connection("echo").await?;
        writer.write("x\n")?;
        assert_eq!(reader.readline().await?, b"x\n");
        drop((reader, writer));
        server.close();
        server.wait_closed().await
    });
    let mut turns = 0;
    while lp.run_once().expect("a turn") {
        turns += 1;
        assert!(turns < 100);
    }
    assert!(task.done() && lp.next_deadline().is_none());
    task.result().expect("all was served");
}
