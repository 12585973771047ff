//! The lessons' client of Redis, the small server for machines that have none, and lesson 46 on such a machine.

use app::redis::{Redis, is_connection_error};
use app::redis_embedded::EmbeddedRedis;
use app::redis_frames::{DEEPEST, LARGEST};
use app::redis_server::RedisServer;
use looplab::{Error, EventLoop, Result};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use support::watchdog;

fn embedded() -> EmbeddedRedis {
    EmbeddedRedis::start().expect("a server")
}

fn url(server: &EmbeddedRedis) -> String {
    format!("redis://{}", server.address)
}

/// What the client makes of an answer.
fn ping_answered_by(answer: Vec<u8>) -> Result<bool> {
    let _dog = watchdog();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut command = [0; 14];
        stream.read_exact(&mut command).expect("a command");
        // The client may break off before all is sent.
        let _ = stream.write_all(&answer);
        let _ = stream.read(&mut [0]);
        command
    });
    let answered = EventLoop::new()?
        .run_until_complete(async move { Redis::from_url(&format!("redis://{address}"))?.ping().await });
    assert_eq!(server.join().expect("no panic"), *b"*1\r\n$4\r\nPING\r\n");
    answered
}

#[test]
fn an_answer_of_many_nested_arrays_is_an_error_and_overflows_no_stack() -> Result<()> {
    let text = format!("a Redis frame of more than {DEEPEST} arrays inside of each other");
    for depth in [DEEPEST + 1, 100_000] {
        assert_eq!(ping_answered_by(b"*1\r\n".repeat(depth)).unwrap_err().to_string(), text);
    }
    // In the second element, behind a string that looks like arrays.
    let mut behind = b"*2\r\n$8\r\n*1\r\n*1\r\n\r\n".to_vec();
    behind.extend(b"*1\r\n".repeat(100_000));
    assert_eq!(ping_answered_by(behind).unwrap_err().to_string(), text);
    Ok(())
}

#[test]
fn an_answer_as_deep_as_is_allowed_and_one_with_many_elements_are_none() -> Result<()> {
    let mut deep = b"*1\r\n".repeat(DEEPEST);
    deep.extend(b":1\r\n");
    assert!(!ping_answered_by(deep)?, "it is an answer, and no PONG");
    let mut wide = b"*100000\r\n".to_vec();
    wide.extend(b"*0\r\n".repeat(100_000));
    assert!(!ping_answered_by(wide)?);
    // Depth is counted in one answer: the next one is none of it.
    let mut several = b"+PONG\r\n".to_vec();
    several.extend(b"*1\r\n".repeat(100_000));
    assert!(ping_answered_by(several)?);
    Ok(())
}

#[test]
fn an_answer_that_grows_too_large_is_an_error() {
    let mut large = b"$1000000000\r\n".to_vec();
    large.resize(LARGEST + (1 << 20), b'x');
    let text = ping_answered_by(large).unwrap_err().to_string();
    assert_eq!(text, format!("a Redis frame of more than {LARGEST} bytes"));
}

#[test]
fn a_line_that_is_no_answer_is_an_error() {
    assert!(ping_answered_by(b"hello\r\n".to_vec()).is_err());
    let ended = ping_answered_by(b"$-1\r\n".to_vec());
    assert!(matches!(ended, Ok(false)), "{ended:?}");
}

#[test]
fn the_embedded_server_answers_what_the_lesson_asks() -> Result<()> {
    let _dog = watchdog();
    let server = embedded();
    let url = url(&server);
    EventLoop::new()?.run_until_complete(async move {
        let (one, two) = (Redis::from_url(&url)?, Redis::from_url(&url)?);
        assert!(one.ping().await?);
        assert_eq!(one.clients().await?, 1);
        assert_eq!((one.incr("a").await?, two.incr("a").await?, one.incr("b").await?), (1, 2, 1));
        assert_eq!(one.clients().await?, 2);
        assert_eq!((one.delete("a").await?, one.delete("a").await?), (1, 0));
        assert_eq!(one.incr("a").await?, 1);
        one.close().await?;
        two.close().await
    })
}

#[test]
fn the_embedded_server_refuses_what_it_does_not_know_and_outlives_bad_clients() -> Result<()> {
    let _dog = watchdog();
    let server = embedded();
    // Commands may come in pieces, and several at once.
    let mut stream = TcpStream::connect(server.address)?;
    stream.write_all(b"*1\r\n$4\r\nPI")?;
    stream.write_all(b"NG\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n*0\r\n")?;
    let expected = b"+PONG\r\n-ERR unknown command 'GET'\r\n-ERR unknown command ''\r\n";
    let mut answered = [0; 64];
    stream.read_exact(&mut answered[..expected.len()])?;
    assert_eq!(&answered[..expected.len()], expected);
    // One that does not speak the protocol, and one that nests too deep, lose their connections.
    for bad in [b"GET / HTTP/1.1\r\n".to_vec(), b"*1\r\n".repeat(100_000)] {
        let mut stream = TcpStream::connect(server.address)?;
        let _ = stream.write_all(&bad);
        // The end, or a reset if something was still to be read.
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    }
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    stream.read_exact(&mut answered[..7])?;
    assert_eq!(&answered[..7], b"+PONG\r\n");
    Ok(())
}

#[test]
fn the_embedded_server_ends_with_its_value_and_its_connections_with_it() -> Result<()> {
    let _dog = watchdog();
    let server = embedded();
    let (address, url) = (server.address, url(&server));
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    stream.read_exact(&mut [0; 7])?;
    drop(server);
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    let refused = EventLoop::new()?.run_until_complete(async move { Redis::from_url(&url)?.ping().await });
    assert!(refused.is_err_and(|error| is_connection_error(&error) || matches!(error, Error::Io(_))));
    Ok(())
}

#[test]
fn a_real_server_answers_the_same_where_there_is_one() -> Result<()> {
    let _dog = watchdog();
    let server = RedisServer::find().expect("a server");
    let url = server.url.clone();
    EventLoop::new()?.run_until_complete(async move {
        let redis = Redis::from_url(&url)?;
        assert!(redis.ping().await?);
        let key = format!("looplab:test:{}", std::process::id());
        assert_eq!((redis.incr(&key).await?, redis.incr(&key).await?), (1, 2));
        assert_eq!((redis.delete(&key).await?, redis.delete(&key).await?), (1, 0));
        redis.close().await
    })
}

#[test]
fn lesson_46_shows_the_same_on_a_machine_without_redis_and_says_so() {
    // Building the examples may take longer than the watchdog waits.
    let lesson = support::examples().join("46_aiohttp_redis");
    let _dog = watchdog();
    let run = Command::new(lesson).env("PATH", "").env_remove("REDIS_URL").output().expect("the lesson");
    assert!(run.status.success(), "{run:?}");
    let transcript = support::root().join("examples/46_aiohttp_redis.out");
    assert_eq!(String::from_utf8_lossy(&run.stdout), fs::read_to_string(transcript).expect("a transcript"));
    let note = "There is no redis-server here: a small server within this lesson answers.\n";
    assert_eq!(String::from_utf8_lossy(&run.stderr), note);
}
