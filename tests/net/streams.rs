//! Streams: readers and writers over real sockets, against clients of every kind.

use crate::helpers::streams::{connect, dial, say, say_as, say_bytes, says, turns};
use looplab::net::{StreamReader, StreamWriter, open_connection, start_server};
use looplab::sync::Event;
use looplab::trace::{Event as Traced, Record};
use looplab::{Clock, Error, EventLoop, Result, create_task, get_running_loop, yield_now};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// A handler that reads to the end and does nothing.
async fn sink(reader: StreamReader, _writer: StreamWriter) -> Result<()> {
    reader.read_to_end().await.map(drop)
}

#[test]
fn drain_on_a_closed_connection_yields_and_says_connection_lost() {
    let program = async {
        let server = start_server(sink, "127.0.0.1", 0).await?;
        let (_reader, writer) = connect(&server).await?;
        writer.drain().await?;
        say("drained");
        writer.close();
        say("close");
        say(writer.drain().await.unwrap_err());
        writer.write("x")?;
        say("written");
        say(writer.drain().await.unwrap_err());
        writer.wait_closed().await?;
        say("closed");
        Ok(())
    };
    says(
        program,
        &["9 drained", "9 close", "10 Connection lost", "10 written", "11 Connection lost", "11 closed"],
    );
}

#[test]
fn write_eof_ends_one_direction_and_the_other_goes_on() {
    let program = async {
        let handler = async |reader: StreamReader, writer: StreamWriter| {
            say_bytes(reader.read_to_end().await);
            writer.write("answer")?;
            say("answered");
            writer.close();
            Ok(())
        };
        let server = start_server(handler, "127.0.0.1", 0).await?;
        let (reader, writer) = connect(&server).await?;
        assert!(writer.can_write_eof());
        writer.writelines(["a", "b"])?;
        writer.write_eof()?;
        writer.write_eof()?;
        say("eof");
        say(writer.write("c").unwrap_err());
        say(writer.writelines(["c"]).unwrap_err());
        say_bytes(reader.read_to_end().await);
        writer.close();
        writer.wait_closed().await?;
        say("closed");
        Ok(())
    };
    says(
        program,
        &[
            "9 eof",
            "9 Cannot call write() after write_eof()",
            "9 Cannot call writelines() after write_eof()",
            "12 'ab'",
            "12 answered",
            "15 'answer'",
            "17 closed",
        ],
    );
}

#[test]
fn a_second_reader_that_would_wait_is_refused() {
    let program = async {
        let reader = StreamReader::new()?;
        let first = reader.clone();
        let first = create_task(async move { say_as("a ", first.read(3).await) });
        yield_now().await?;
        say_as("b ", reader.readline().await);
        say_as("c ", reader.readexactly(2).await);
        say_as("d ", reader.read_to_end().await);
        get_running_loop()?.call_soon(move || {
            say("feed");
            reader.feed_data(b"abcdef")
        })?;
        first.await?;
        say("end");
        Ok(())
    };
    let refused =
        |who| format!("{who}() called while another coroutine is already waiting for incoming data");
    let (b, c, d) = (refused("2 b readuntil"), refused("2 c readexactly"), refused("2 d read"));
    says(program, &[&b, &c, &d, "3 feed", "4 a 'abc'", "5 end"]);
}

#[test]
fn a_reset_connection_fails_reads_drains_and_wait_closed_with_its_error() {
    let program = async {
        let done = Event::new();
        let told = done.clone();
        let handler = async move |reader: StreamReader, writer: StreamWriter| {
            writer.write("never read")?;
            say_bytes(reader.read(5).await);
            say_bytes(reader.read(5).await);
            say(writer.drain().await.unwrap_err());
            writer.write("dropped")?;
            say(writer.is_closing());
            say(writer.wait_closed().await.unwrap_err());
            say(reader.exception().expect("the error"));
            told.set();
            Ok(())
        };
        let server = start_server(handler, "127.0.0.1", 0).await?;
        let mut client = dial(&server);
        client.write_all(b"hello")?;
        turns(8).await?;
        // What it leaves unread makes its end a reset.
        drop(client);
        say("reset");
        done.wait().await?;
        say("end");
        Ok(())
    };
    let reset = "16 Connection reset by peer (os error 104)";
    says(program, &["10 'hello'", "13 reset", reset, reset, "16 true", reset, reset, "17 end"]);
}

#[test]
fn a_second_reader_that_takes_the_bytes_lets_the_first_wait_on() {
    let program = async {
        let reader = StreamReader::new()?;
        let first = create_task(reader.read(9));
        yield_now().await?;
        // Woken in this turn, and before it goes on another reader takes what it was woken for.
        reader.feed_data(b"quick")?;
        assert_eq!(reader.read(9).await?, b"quick");
        turns(3).await?;
        assert!(!first.done(), "nothing came: that would mean the end of the stream");
        reader.feed_data(b"late")?;
        assert_eq!(first.await?, b"late");

        let line = create_task(reader.readline());
        reader.feed_data(b"abc")?;
        turns(2).await?;
        assert_eq!(reader.read(3).await?, b"abc");
        reader.feed_data(b"\nde\n")?;
        assert_eq!(line.await?, b"\n", "not searched from where the other's bytes ended");
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn an_error_between_the_wake_up_and_the_next_step_is_not_missed() {
    let program = async {
        let reader = StreamReader::new()?;
        let exactly = create_task(reader.readexactly(9));
        yield_now().await?;
        reader.feed_data(b"part")?;
        reader.set_exception(Error::msg("cut"));
        assert_eq!(exactly.await.unwrap_err().to_string(), "cut");
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn a_cancelled_read_to_end_puts_back_what_it_had() {
    let program = async {
        let reader = StreamReader::with_limit(2)?;
        reader.feed_data(b"abcdef")?;
        let all = create_task(reader.read_to_end());
        yield_now().await?;
        all.cancel();
        assert!(all.await.is_err_and(|error| error.is_cancelled()));
        assert_eq!(reader.readexactly(6).await?, b"abcdef");
        Ok(())
    };
    says(program, &[]);
}

/// Pattern bytes, so that a missing or doubled piece shows.
fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i % 251) as u8).collect()
}

#[test]
fn close_flushes_all_that_was_written() {
    let program = async {
        let gone = Event::new();
        let told = gone.clone();
        // The client reads nothing before: else it might take all while it is written.
        let (begin, begins) = channel();
        let handler = async move |_reader, writer: StreamWriter| {
            writer.write(pattern(20_000_000))?;
            assert!(writer.transport().get_write_buffer_size() > 0, "the kernel has no room for so much");
            writer.close();
            writer.write("more, while it is flushed")?;
            begin.send(()).map_err(Error::other)?;
            writer.wait_closed().await?;
            assert_eq!(writer.transport().get_write_buffer_size(), 0);
            told.set();
            Ok(())
        };
        let server = start_server(handler, "127.0.0.1", 0).await?;
        let mut client = dial(&server);
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            begins.recv().expect("it is written");
            client.read_to_end(&mut all).map(|_| all)
        });
        gone.wait().await?;
        let all = reading.join().expect("no panic")?;
        assert!(all == [pattern(20_000_000), b"more, while it is flushed".to_vec()].concat());
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn a_client_that_never_reads_holds_the_writer_back_and_not_the_loop() {
    let program = async {
        let (server_side, drained) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(0)));
        let (shown, count) = (server_side.clone(), drained.clone());
        let handler = async move |_reader, writer: StreamWriter| {
            shown.set(Some(writer.transport()));
            for _ in 0..1_000 {
                writer.write(pattern(100_000))?;
                writer.drain().await?;
                count.set(count.get() + 1);
            }
            Ok(())
        };
        let server = start_server(handler, "127.0.0.1", 0).await?;
        let mut client = dial(&server);
        let mut before = usize::MAX;
        // Until nothing moves any more: the kernel is full.
        while drained.get() != before || before == 0 {
            before = drained.get();
            turns(100).await?;
        }
        assert!(before < 1_000, "the kernel does not take all of it");
        let transport = server_side.take().expect("it was connected");
        assert!(transport.get_write_buffer_size() <= 100_000 + 64 * 1024, "what is held is bounded");
        // The client wakes up, and gets everything.
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            client.read_to_end(&mut all).map(|_| all.len())
        });
        server.close();
        server.wait_closed().await?;
        assert_eq!(reading.join().expect("no panic")?, 100_000_000);
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn a_client_that_floods_is_paused_until_its_data_is_read() {
    let program = async {
        let kept = Rc::new(Cell::new(None));
        let keeps = kept.clone();
        let keep = move |reader, writer| keeps.set(Some((reader, writer)));
        let server = looplab::net::start_server_with(keep, "127.0.0.1", 0).limit(1_000).await?;
        let mut client = dial(&server);
        client.set_nonblocking(true)?;
        let (mut sent, data) = (0, pattern(1 << 16));
        let mut idle = 0;
        // The kernel takes what it has room for; the loop reads a little of it and stops.
        while idle < 100 {
            match client.write(&data) {
                Ok(n) => (sent, idle) = (sent + n, 0),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => idle += 1,
                Err(error) => return Err(error.into()),
            }
            yield_now().await?;
        }
        let (reader, writer): (StreamReader, StreamWriter) = kept.take().expect("it was connected");
        assert!(!writer.transport().is_reading(), "paused");
        let shown = format!("{reader:?}");
        let buffered: usize =
            shown.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number of bytes");
        // One read of the loop's may go beyond.
        assert!(buffered > 2_000 && buffered <= 2_000 + 256 * 1024, "{shown}");
        assert!(shown.contains(" paused"), "{shown}");

        // A read that needs more than the limit goes on reading, and nothing is lost.
        client.shutdown(Shutdown::Write)?;
        let all = reader.read_to_end().await?;
        assert_eq!(all.len(), sent);
        assert!(all.chunks(1 << 16).next().is_some_and(|chunk| data.starts_with(chunk)));
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn a_client_that_sends_byte_by_byte_is_read_in_lines() {
    let program = async {
        let handler = async |reader: StreamReader, writer: StreamWriter| {
            while let Some(line) = reader.next_line().await? {
                writer.write(line)?;
            }
            Ok(())
        };
        let server = start_server(handler, "127.0.0.1", 0).await?;
        let mut client = dial(&server);
        client.set_nodelay(true)?;
        for byte in b"one\ntwo\nthree" {
            client.write_all(&[*byte])?;
            turns(3).await?;
        }
        client.shutdown(Shutdown::Write)?;
        server.close();
        server.wait_closed().await?;
        let mut echo = String::new();
        client.read_to_string(&mut echo)?;
        assert_eq!(echo, "one\ntwo\nthree");
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn a_half_open_client_gets_its_answer() {
    let program = async {
        let handler = async |reader: StreamReader, writer: StreamWriter| {
            let all = reader.read_to_end().await?;
            assert!(reader.at_eof());
            turns(5).await?;
            writer.write(all)?;
            turns(5).await?;
            writer.write(" and more")
        };
        let server = start_server(handler, "127.0.0.1", 0).await?;
        let mut client = dial(&server);
        client.write_all(b"request")?;
        client.shutdown(Shutdown::Write)?;
        turns(2).await?;
        server.close();
        server.wait_closed().await?;
        let mut answer = String::new();
        client.read_to_string(&mut answer)?;
        assert_eq!(answer, "request and more");
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn a_cancelled_read_of_a_socket_loses_nothing() {
    let program = async {
        let kept = Rc::new(Cell::new(None));
        let keeps = kept.clone();
        let keep = move |reader, writer| keeps.set(Some((reader, writer)));
        let server = looplab::net::start_server_with(keep, "127.0.0.1", 0).await?;
        let mut client = dial(&server);
        turns(5).await?;
        let (reader, _writer): (StreamReader, StreamWriter) = kept.take().expect("it was connected");
        for cancel_after in 0..6 {
            let task = create_task(reader.readexactly(4));
            yield_now().await?;
            client.write_all(b"abcd")?;
            turns(cancel_after).await?;
            task.cancel();
            let bytes = match task.await {
                Ok(bytes) => bytes,
                Err(error) if error.is_cancelled() => reader.readexactly(4).await?,
                Err(error) => return Err(error),
            };
            assert_eq!(bytes, b"abcd", "cancelled {cancel_after} turns after the bytes were sent");
        }
        Ok(())
    };
    says(program, &[]);
}

/// Writes to both in the one order, then in the other, each time after the turn's reads.
fn write_in_turns(mut peers: [std::net::TcpStream; 2], rounds: u32) -> Result<()> {
    if rounds == 0 {
        return looplab::stop();
    }
    for peer in &mut peers {
        peer.write_all(b"x")?;
    }
    peers.reverse();
    get_running_loop()?.call_later(Duration::ZERO, move || write_in_turns(peers, rounds - 1)).map(drop)
}

/// As for CPython's selector, which reports what stays registered in the order of the last report.
#[test]
fn connections_that_are_ready_in_two_polls_running_keep_their_order() -> Result<()> {
    let polls = Rc::new(RefCell::new(Vec::new()));
    let seen = polls.clone();
    let builder = EventLoop::builder().clock(Clock::monotonic());
    let lp = builder
        .observer(move |record: &Record<'_>| {
            if let Traced::Polled { events, .. } = record.event {
                seen.borrow_mut().push(events.iter().map(|(fd, _)| *fd).collect::<Vec<_>>());
            }
        })
        .build()?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let peers = lp.run_until_complete(async move {
        let mut peers = Vec::new();
        for _ in 0..2 {
            let (reader, writer) = open_connection("127.0.0.1", port).await?;
            peers.push(listener.accept()?.0);
            create_task(async move {
                while !reader.read(100).await?.is_empty() {}
                drop(writer);
                Ok(())
            });
        }
        Ok(peers)
    })?;
    let peers = <[_; 2]>::try_from(peers).map_err(|_| Error::msg("two"))?;
    polls.borrow_mut().clear();
    lp.call_soon(move || write_in_turns(peers, 50))?;
    lp.run_forever()?;
    let polls = polls.take();
    let both = polls.windows(2).filter(|pair| pair[0].len() == 2 && pair[1].len() == 2);
    let both: Vec<_> = both.collect();
    assert!(!both.is_empty(), "{polls:?}");
    assert!(both.iter().all(|pair| pair[0] == pair[1]), "{polls:?}");
    Ok(())
}
