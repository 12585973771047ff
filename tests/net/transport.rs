//! The transport below the streams: its limits, its end, and what becomes of what is left behind.

use crate::helpers::streams::{connect, dial, says, turns};
use looplab::net::memory::MemoryStream;
use looplab::net::{
    StreamReader, StreamWriter, open_connection, open_connection_on, start_server, start_server_with,
};
use looplab::{Error, EventLoop, Result, create_task, yield_now};
use std::cell::{Cell, RefCell};
use std::io::Read;
use std::rc::Rc;
use support::{child, logged, report, watchdog};

async fn sink(reader: StreamReader, _writer: StreamWriter) -> Result<()> {
    reader.read_to_end().await.map(drop)
}

#[test]
fn watermarks_follow_each_other_and_bad_ones_are_refused_with_asyncios_text() {
    let program = async {
        let server = start_server(sink, "127.0.0.1", 0).await?;
        let (_reader, writer) = connect(&server).await?;
        let transport = writer.transport();
        for (high, low, limits) in [
            (None, None, (16_384, 65_536)),
            (Some(1_000), None, (250, 1_000)),
            (None, Some(100), (100, 400)),
            (Some(5), Some(5), (5, 5)),
            (Some(0), None, (0, 0)),
        ] {
            transport.set_write_buffer_limits(high, low)?;
            assert_eq!(transport.get_write_buffer_limits(), limits);
        }
        let refused = transport.set_write_buffer_limits(Some(1), Some(2)).unwrap_err();
        assert_eq!(refused.to_string(), "high (1) must be >= low (2) must be >= 0");
        assert_eq!(transport.get_write_buffer_limits(), (0, 0));
        writer.close();
        server.close();
        server.wait_closed().await
    };
    says(program, &[]);
}

#[test]
fn drain_waits_above_the_high_watermark_until_the_low_one_and_several_may_wait() {
    let program = async {
        let reads = looplab::sync::Event::new();
        let go = reads.clone();
        let handler = async move |reader: StreamReader, _writer| {
            go.wait().await?;
            reader.read_to_end().await.map(drop)
        };
        let server = start_server(handler, "127.0.0.1", 0).await?;
        let (_reader, writer) = connect(&server).await?;
        writer.write(vec![1; 20_000_000])?;
        let (a, b, c) =
            (create_task(writer.drain()), create_task(writer.drain()), create_task(writer.drain()));
        turns(20).await?;
        assert!(!a.done() && !b.done());
        b.cancel();
        assert!(b.await.is_err_and(|error| error.is_cancelled()), "one gives up, the others wait on");
        assert!(!a.done() && !c.done());
        reads.set();
        a.await?;
        c.await?;
        assert!(writer.transport().get_write_buffer_size() <= 16_384);
        writer.close();
        server.close();
        server.wait_closed().await
    };
    says(program, &[]);
}

#[test]
fn writelines_holds_back_as_write_does_and_is_dropped_after_the_loss() {
    let program = async {
        let server = start_server(sink, "127.0.0.1", 0).await?;
        let (_reader, writer) = connect(&server).await?;
        writer.writelines([vec![1; 10_000_000], vec![2; 10_000_000]])?;
        let draining = create_task(writer.drain());
        yield_now().await?;
        assert!(!draining.done());
        writer.close();
        writer.writelines(["while it is flushed"])?;
        draining.await?;
        writer.wait_closed().await?;
        writer.writelines(["dropped"])?;
        assert_eq!(writer.transport().get_write_buffer_size(), 0);
        server.close();
        server.wait_closed().await
    };
    says(program, &[]);
}

/// As in CPython: `writelines` sends as the ready socket does, so it ends what it flushes.
#[test]
fn writelines_that_flushes_a_closing_connection_ends_it_at_once() {
    let program = async {
        let (ours, theirs) = MemoryStream::pair()?;
        let (_reader, writer) = open_connection_on(ours).await?;
        writer.write(vec![1; 64 * 1024 + 1])?;
        writer.close();
        let state = || format!("{:?}", writer.transport());
        assert_eq!(state(), "<Transport closing peer=-2 bufsize=1>");
        let room = theirs.read(&mut [0; 64 * 1024]).await?;
        assert_eq!(room, 64 * 1024);
        writer.writelines(["the last ", "words"])?;
        assert_eq!(state(), "<Transport closed peer=-2 bufsize=0>");
        writer.wait_closed().await?;
        assert_eq!(theirs.read(&mut [0; 100]).await?, 1 + "the last words".len());
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn abort_drops_what_is_not_sent_and_wakes_a_drain() {
    let program = async {
        let kept = Rc::new(RefCell::new(Vec::new()));
        let keeps = kept.clone();
        let keep = move |reader, writer| keeps.borrow_mut().push((reader, writer));
        let server = start_server_with(keep, "127.0.0.1", 0).await?;
        let (reader, writer) = connect(&server).await?;
        writer.write(vec![1; 20_000_000])?;
        let drained = create_task(writer.drain());
        yield_now().await?;
        writer.transport().abort();
        writer.transport().abort();
        assert_eq!(writer.transport().get_write_buffer_size(), 0);
        drained.await?;
        writer.wait_closed().await?;
        assert!(reader.at_eof() && reader.exception().is_none());
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn giving_up_wait_closed_harms_no_other_waiter() {
    let program = async {
        let server = start_server(sink, "127.0.0.1", 0).await?;
        let (_reader, writer) = connect(&server).await?;
        let (a, b) = (create_task(writer.wait_closed()), create_task(writer.wait_closed()));
        yield_now().await?;
        a.cancel();
        assert!(a.await.is_err_and(|error| error.is_cancelled()));
        writer.close();
        b.await?;
        writer.wait_closed().await
    };
    says(program, &[]);
}

#[test]
fn pausing_and_resuming_may_be_repeated_and_a_closed_one_does_neither() {
    let program = async {
        let hello = async |_reader, writer: StreamWriter| writer.write("hello");
        let server = start_server(hello, "127.0.0.1", 0).await?;
        let (reader, writer) = connect(&server).await?;
        let transport = writer.transport();
        assert!(transport.is_reading());
        transport.pause_reading();
        transport.pause_reading();
        assert!(!transport.is_reading());
        turns(10).await?;
        assert!(format!("{reader:?}") == "<StreamReader>", "{reader:?}");
        transport.resume_reading()?;
        transport.resume_reading()?;
        assert_eq!(reader.read_to_end().await?, b"hello");
        transport.close();
        transport.pause_reading();
        transport.resume_reading()?;
        assert!(!transport.is_reading());
        writer.wait_closed().await
    };
    says(program, &[]);
}

#[test]
fn a_writer_that_is_dropped_closes_its_connection_and_loses_nothing() {
    let program = async {
        let drops = async |_reader, writer: StreamWriter| {
            let another = writer.clone();
            another.write(vec![7; 3_000_000])?;
            drop(another);
            assert!(!writer.is_closing(), "one handle is left");
            Ok(())
        };
        let server = start_server(drops, "127.0.0.1", 0).await?;
        let mut client = dial(&server);
        let reading = std::thread::spawn(move || client.read_to_end(&mut Vec::new()));
        turns(5).await?;
        server.close();
        server.wait_closed().await?;
        assert_eq!(reading.join().expect("no panic")?, 3_000_000);
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn writes_after_the_loss_are_dropped_and_from_the_fifth_on_there_is_a_warning() {
    let ended = child!(|| {
        drop(logged());
        EventLoop::new()
            .and_then(|lp| {
                lp.run_until_complete(async {
                    let server = start_server(sink, "127.0.0.1", 0).await?;
                    let (_reader, writer) = connect(&server).await?;
                    writer.close();
                    for n in 1..=6 {
                        writer.write("dropped")?;
                        report(format!("{n}: {}", logged().len()));
                    }
                    // All the same when it was flushed first.
                    let (_reader, writer) = connect(&server).await?;
                    writer.write(vec![0; 20_000_000])?;
                    writer.close();
                    writer.wait_closed().await?;
                    let before = logged().len();
                    for n in 1..=5 {
                        writer.write("dropped")?;
                        report(format!("after a flush, {n}: {}", logged().len() - before));
                    }
                    writer.writelines(["dropped"])?;
                    report(format!("writelines: {}", logged().len() - before));
                    report(&logged()[0]);
                    Ok(())
                })
            })
            .expect("it ends well");
    });
    assert_eq!(
        ended.lines,
        [
            "1: 0",
            "2: 0",
            "3: 0",
            "4: 0",
            "5: 1",
            "6: 2",
            "after a flush, 1: 0",
            "after a flush, 2: 0",
            "after a flush, 3: 0",
            "after a flush, 4: 0",
            "after a flush, 5: 1",
            "writelines: 2",
            "WARN socket.send() raised exception."
        ]
    );
}

#[test]
fn a_dropped_writer_is_mentioned_in_debug_mode_only() {
    let ended = child!(|| {
        drop(logged());
        for debug in [false, true] {
            let lp = EventLoop::new().expect("a loop");
            lp.set_debug(debug);
            lp.set_slow_callback_duration(std::time::Duration::MAX);
            let program = async {
                let server = start_server(sink, "127.0.0.1", 0).await?;
                drop(connect(&server).await?);
                server.close();
                server.wait_closed().await
            };
            lp.run_until_complete(program).expect("it ends well");
            report(logged().iter().filter(|line| line.starts_with("WARN unclosed <StreamWriter")).count());
        }
    });
    // The client's and the handler's.
    assert_eq!(ended.lines, ["0", "2"]);
}

#[test]
fn closing_the_loop_closes_its_connections_and_servers() {
    let _dog = watchdog();
    let lp = EventLoop::new().expect("a loop");
    let kept: Rc<RefCell<Vec<(StreamReader, StreamWriter)>>> = Rc::default();
    let keeps = kept.clone();
    let program = async move {
        let keep = move |reader, writer| keeps.borrow_mut().push((reader, writer));
        let server = start_server_with(keep, "127.0.0.1", 0).await?;
        let clients = [dial(&server), dial(&server)];
        turns(5).await?;
        Ok((server.port(), Rc::new(Cell::new(Some(clients)))))
    };
    let (port, clients) = lp.run_until_complete(program).expect("it ends well");
    let [mut first, second] = clients.take().expect("two clients");
    // One of them has something to flush, too.
    kept.borrow()[1].1.write(vec![0; 20_000_000]).expect("it is open");
    lp.close().expect("it does not run");
    assert_eq!(first.read(&mut [0; 8]).expect("an end"), 0, "the sockets are closed, though handles live");
    drop(second);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "and nobody listens");
    let kept = kept.take();
    for (reader, writer) in &kept {
        assert!(writer.is_closing() && reader.at_eof());
        writer.write("dropped").expect("as after any loss");
        writer.close();
        writer.transport().abort();
    }
}

#[test]
fn opening_a_connection_that_is_cancelled_at_any_point_leaves_none_open() {
    let program = async {
        for cancel_after in 0..8 {
            let server = start_server(sink, "127.0.0.1", 0).await?;
            let port = server.port();
            let opening = create_task(async move { open_connection("127.0.0.1", port).await.map(drop) });
            turns(cancel_after).await?;
            opening.cancel();
            let _ = opening.await;
            turns(8).await?;
            server.close();
            server.wait_closed().await?;
        }
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn a_connection_that_is_never_accepted_is_an_error_with_asyncios_text() {
    let program = async {
        let server = start_server(sink, "127.0.0.1", 0).await?;
        let port = server.port();
        server.close();
        let error = open_connection("127.0.0.1", port).await.unwrap_err();
        assert_eq!(error.to_string(), format!("[Errno 111] Connect call failed ('127.0.0.1', {port})"));
        assert!(matches!(error, Error::Io(_)));
        Ok(())
    };
    says(program, &[]);
}
