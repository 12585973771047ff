//! asyncio's idioms: a call that connects or serves may be given wherever asyncio takes a coroutine.

use looplab::net::{
    Server, StreamReader, StreamWriter, TcpListener, TcpStream, open_connection, open_connection_on,
    start_server, start_server_on,
};
use looplab::{
    Error, EventLoop, Result, TaskGroup, create_task, gather, shield, timeout, wait, wait_for, yield_now,
};
use looplab::{ReturnWhen, as_completed};
use std::time::Duration;
use support::watchdog;

const MINUTE: Duration = Duration::from_secs(60);

async fn hello(_: StreamReader, writer: StreamWriter) -> Result<()> {
    writer.write("hello")
}

/// What a connection that was opened in some way has to say.
async fn hears((reader, _writer): (StreamReader, StreamWriter)) -> Result<()> {
    assert_eq!(reader.read_to_end().await?, b"hello");
    Ok(())
}

/// Runs `body` with the port of a server.
fn with_server<F: Future<Output = Result<()>> + 'static>(body: impl FnOnce(u16) -> F) -> Result<()> {
    let _dog = watchdog();
    let lp = EventLoop::new()?;
    let server: Server = lp.run_until_complete(start_server(hello, "127.0.0.1", 0))?;
    lp.run_until_complete(body(server.port()))
}

#[test]
fn a_loop_runs_a_call_that_connects_and_one_that_serves() -> Result<()> {
    let _dog = watchdog();
    let lp = EventLoop::new()?;
    let server = lp.run_until_complete(start_server(hello, "127.0.0.1", 0).limit(1024).backlog(5))?;
    let connection = lp.run_until_complete(open_connection("127.0.0.1", server.port()).limit(1024))?;
    lp.run_until_complete(hears(connection))
}

#[test]
fn they_are_waited_for_with_a_limit() -> Result<()> {
    with_server(async |port| {
        hears(wait_for(open_connection("127.0.0.1", port), MINUTE).await?).await?;
        wait_for(start_server(hello, "127.0.0.1", 0), MINUTE).await?.close();
        hears(timeout(MINUTE, open_connection("127.0.0.1", port)).await?).await?;
        // Without time the call does not even begin.
        let late = wait_for(open_connection("127.0.0.1", port), Duration::ZERO).await;
        assert!(matches!(late, Err(Error::TimedOut)));
        Ok(())
    })
}

#[test]
fn they_are_tasks() -> Result<()> {
    with_server(async |port| {
        hears(create_task(open_connection("127.0.0.1", port)).await?).await?;
        create_task(start_server(hello, "127.0.0.1", 0)).await?.close();
        let connecting = create_task(open_connection("127.0.0.1", port));
        wait([connecting.clone()], ReturnWhen::AllCompleted, Some(MINUTE)).await?;
        hears(connecting.result()?).await?;
        // A cancelled one opens nothing, and passes the cancellation on.
        let connecting = create_task(open_connection("127.0.0.1", port));
        yield_now().await?;
        connecting.cancel();
        assert!(connecting.await.unwrap_err().is_cancelled());
        Ok(())
    })
}

#[test]
fn they_are_gathered_and_shielded() -> Result<()> {
    with_server(async |port| {
        for connection in gather([1, 2].map(|_| open_connection("127.0.0.1", port))).await? {
            hears(connection).await?;
        }
        let (connection, server) =
            gather!(open_connection("127.0.0.1", port), start_server(hello, "127.0.0.1", 0)).await?;
        server.close();
        hears(connection).await?;
        hears(shield(open_connection("127.0.0.1", port)).await?).await?;
        shield(start_server(hello, "127.0.0.1", 0)).await?.close();
        for connection in as_completed([1, 2].map(|_| open_connection("127.0.0.1", port))) {
            hears(connection.await?).await?;
        }
        Ok(())
    })
}

#[test]
fn they_are_children_of_a_group() -> Result<()> {
    with_server(async |port| {
        let connection = TaskGroup::scope(async |group| {
            let connecting = group.create_task(open_connection("127.0.0.1", port));
            let serving = group.create_task(start_server(hello, "127.0.0.1", 0));
            serving.await?.close();
            connecting.await
        });
        hears(connection.await?).await
    })
}

#[test]
fn so_are_those_on_sockets_that_exist() -> Result<()> {
    let _dog = watchdog();
    EventLoop::new()?.run_until_complete(async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = create_task(start_server_on(hello, listener)).await?;
        let stream = TcpStream::connect(("127.0.0.1", server.port())).await?;
        hears(wait_for(open_connection_on(stream), MINUTE).await?).await
    })
}

#[test]
fn a_read_of_a_stream_is_waited_for_with_a_limit_and_one_into_a_buffer_with_a_timeout() -> Result<()> {
    with_server(async |port| {
        let (reader, _writer) = open_connection("127.0.0.1", port).await?;
        let reading = reader.clone();
        assert_eq!(wait_for(async move { reading.read(100).await }, MINUTE).await?, b"hello");
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let mut buffer = [0; 100];
        let read = timeout(MINUTE, stream.read(&mut buffer)).await?;
        assert_eq!(&buffer[..read], b"hello");
        Ok(())
    })
}

#[test]
fn a_call_shows_whether_it_has_begun() -> Result<()> {
    let _dog = watchdog();
    EventLoop::new()?.run_until_complete(async {
        let mut call = open_connection("127.0.0.1", 1);
        assert_eq!(format!("{call:?}"), "<connection to be opened to Tcp(\"127.0.0.1\", 1)>");
        let refused = (&mut call).await.unwrap_err();
        assert!(matches!(refused, Error::Io(_)));
        assert_eq!(format!("{call:?}"), "<connection that is being opened>");
        Ok(())
    })
}
