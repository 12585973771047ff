//! Connections in memory with a latency: what is sent is on its way, in virtual time, in order.

use looplab::net::memory::{self, MemoryListener, MemoryStream};
use looplab::net::{StreamReader, StreamWriter, open_connection_on, start_server_on};
use looplab::trace::{Event, Log, Record};
use looplab::{Clock, Error, EventLoop, Result, create_task, get_running_loop, sleep, timeout, yield_now};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const FAR: Duration = Duration::from_millis(40);

/// Runs a program in virtual time, and returns how long it took. It must leave nothing on the loop.
fn took(program: impl Future<Output = Result<()>> + 'static) -> Duration {
    let log = Log::new();
    let lp = EventLoop::builder().clock(Clock::virtual_time()).observer(log.observer()).build();
    let lp = lp.expect("a loop");
    let began = lp.time();
    lp.run_until_complete(program).expect("a program");
    let took = lp.time() - began;
    while lp.next_deadline() == Some(Duration::ZERO) {
        lp.run_once().expect("a turn");
    }
    log.assert_idle(&lp.snapshot());
    took
}

fn pair() -> Result<(MemoryStream, MemoryStream)> {
    let (ours, peer) = MemoryStream::pair()?;
    peer.set_latency(FAR);
    Ok((ours, peer))
}

/// Returns how much time of the loop has passed since the first call with this cell.
fn since(began: std::time::Instant) -> Result<Duration> {
    Ok(get_running_loop()?.time() - began)
}

#[test]
fn a_byte_arrives_after_the_latency_and_no_real_time_passes() {
    let took = took(async {
        let (ours, peer) = pair()?;
        let began = get_running_loop()?.time();
        peer.write_all(b"one").await?;
        assert_eq!(since(began)?, Duration::ZERO, "a write does not wait");
        let early = timeout(FAR - Duration::from_nanos(1), ours.read(&mut [0; 8])).await;
        assert!(matches!(early, Err(Error::TimedOut)));
        assert_eq!(ours.read(&mut [0; 8]).await?, 3);
        assert_eq!(since(began)?, FAR);
        // The other direction has it, too.
        ours.write_all(b"answer").await?;
        assert_eq!(peer.read(&mut [0; 8]).await?, 6);
        assert_eq!(since(began)?, 2 * FAR);
        Ok(())
    });
    assert_eq!(took, 2 * FAR);
}

/// Bytes do not overtake each other, nor does the end overtake them.
#[test]
fn what_was_sent_first_arrives_first_whatever_the_latency_is_by_then() {
    took(async {
        let (ours, peer) = pair()?;
        let began = get_running_loop()?.time();
        peer.write_all(b"slow ").await?;
        peer.set_latency(Duration::from_millis(1));
        peer.write_all(b"quick ").await?;
        peer.set_latency(Duration::ZERO);
        peer.write_all(b"at once").await?;
        drop(peer);
        let (reader, _writer) = open_connection_on(ours).await?;
        assert_eq!(reader.read_to_end().await?, b"slow quick at once");
        assert_eq!(since(began)?, FAR);
        Ok(())
    });
}

#[test]
fn writes_at_different_times_arrive_at_different_times() {
    took(async {
        let (ours, peer) = pair()?;
        let began = get_running_loop()?.time();
        let writes = create_task(async move {
            for byte in b"abc" {
                peer.write_all(&[*byte]).await?;
                sleep(Duration::from_millis(10)).await?;
            }
            Ok::<_, Error>(peer)
        });
        let mut arrived = Vec::new();
        for _ in 0..3 {
            let mut buf = [0; 8];
            let n = ours.read(&mut buf).await?;
            arrived.push((since(began)?.as_millis(), buf[..n].to_vec()));
        }
        assert_eq!(arrived, [(40, b"a".to_vec()), (50, b"b".to_vec()), (60, b"c".to_vec())]);
        writes.into_output().await.map(drop)
    });
}

/// A connect takes there and back, and so does a question.
#[test]
fn a_connect_takes_there_and_back() {
    let took = took(async {
        let listener = MemoryListener::bind("far")?;
        listener.set_latency(FAR);
        let began = get_running_loop()?.time();
        let accepting = create_task(async move {
            let (end, _) = listener.accept().await?;
            assert_eq!(since(began)?, FAR, "the connect has arrived");
            let mut buf = [0; 8];
            let n = end.read(&mut buf).await?;
            end.write_all(&buf[..n]).await?;
            Ok::<(), Error>(())
        });
        let client = MemoryStream::connect("far").await?;
        assert_eq!(since(began)?, 2 * FAR);
        client.write_all(b"ping").await?;
        assert_eq!(client.read(&mut [0; 8]).await?, 4);
        accepting.await
    });
    assert_eq!(took, 4 * FAR);
}

#[test]
fn a_connect_that_is_given_up_or_not_answered_leaves_nothing() {
    took(async {
        let listener = MemoryListener::bind("far")?;
        listener.set_latency(FAR);
        let given_up = timeout(Duration::from_millis(10), MemoryStream::connect("far")).await;
        assert!(matches!(given_up, Err(Error::TimedOut)));
        // Its request is on its way, and arrives.
        let (end, _) = listener.accept().await?;
        assert_eq!(end.read(&mut [0; 8]).await?, 0, "the client has gone");
        // Another one is on its way when the listener goes.
        let connecting = create_task(async { MemoryStream::connect("far").await });
        yield_now().await?;
        drop(listener);
        let client = connecting.into_output().await?;
        assert!(client.read(&mut [0; 8]).await.is_err(), "reset");
        Ok(())
    });
}

/// Like a window of TCP: what is on its way takes room, too.
#[test]
fn sixty_four_kib_are_on_their_way_and_the_rest_waits() {
    took(async {
        let (ours, peer) = pair()?;
        let mut sent = 0;
        while let Ok(n) = timeout(Duration::ZERO, peer.write(&[b'x'; 10_000])).await {
            sent += n;
        }
        assert_eq!(sent, 64 * 1024);
        let mut buf = vec![0; 100_000];
        assert_eq!(ours.read(&mut buf).await?, sent);
        assert_eq!(peer.write(b"more").await?, 4);
        assert_eq!(ours.read(&mut buf).await?, 4);
        Ok(())
    });
}

#[test]
fn a_closed_peer_is_noticed_there_and_back() {
    took(async {
        // Bytes are on their way to it when it closes: its answer breaks the pipe.
        let (ours, peer) = pair()?;
        ours.write_all(b"lost").await?;
        drop(peer);
        assert_eq!(ours.write(b"lost, too").await?, 9);
        assert_eq!(ours.read(&mut [0; 8]).await?, 0, "the end comes after the latency");
        sleep(FAR).await?;
        assert!(ours.write(b"broken").await.is_err());
        // One that closes with unread bytes resets the connection.
        let (ours, peer) = pair()?;
        ours.write_all(b"unread").await?;
        sleep(FAR).await?;
        drop(peer);
        let began = get_running_loop()?.time();
        assert!(ours.read(&mut [0; 8]).await.is_err());
        assert_eq!(since(began)?, FAR);
        Ok(())
    });
}

#[test]
fn a_cut_comes_after_the_bytes_and_a_reset_at_once() {
    took(async {
        let (ours, peer) = pair()?;
        peer.cut_after(3);
        peer.write_all(b"hello").await?;
        let (reader, _writer) = open_connection_on(ours).await?;
        assert_eq!(reader.read_to_end().await?, b"hel");
        let (ours, peer) = pair()?;
        peer.write_all(b"lost").await?;
        peer.reset();
        let began = get_running_loop()?.time();
        assert!(ours.read(&mut [0; 8]).await.is_err());
        assert_eq!(since(began)?, Duration::ZERO);
        sleep(2 * FAR).await
    });
}

/// Serves one client, which asks twice. Returns its polls and entries with their times, and what ran.
fn conversation() -> (Vec<String>, String) {
    let events = Rc::<RefCell<Vec<String>>>::default();
    let (all, log) = (events.clone(), Log::new());
    let (mut shown, began) = (log.observer(), Cell::new(None));
    let observer = move |record: &Record<'_>| {
        let first = *began.get().get_or_insert(record.time);
        began.set(Some(first));
        if let Event::Polled { .. } | Event::Run { .. } = record.event {
            all.borrow_mut().push(format!("{:?} {:?}", record.time - first, record.event));
        }
        shown(record);
    };
    let lp = EventLoop::builder().clock(Clock::virtual_time()).observer(observer).build().expect("a loop");
    let ended = lp.run_until_complete(async {
        let listener = MemoryListener::bind("far")?;
        listener.set_latency(FAR);
        let echo = async |reader: StreamReader, writer: StreamWriter| {
            while let Some(line) = reader.next_line().await? {
                writer.write(line)?;
            }
            Ok::<(), Error>(())
        };
        let server = start_server_on(echo, listener).await?;
        let (reader, writer) = memory::open_connection("far").await?;
        for word in ["one\n", "two\n"] {
            writer.write(word)?;
            assert_eq!(reader.readline().await?, word.as_bytes());
        }
        writer.close();
        server.close();
        server.wait_closed().await
    });
    ended.expect("a conversation");
    (events.take(), log.to_string())
}

#[test]
fn every_run_with_a_latency_is_the_same() {
    let (events, shown) = conversation();
    assert!(shown.contains("network"), "{shown}");
    assert!(conversation() == (events, shown), "two runs differ");
}
