//! The sockets as `AsyncRead` and `AsyncWrite`: hyper runs on them, and a cancellation goes through foreign code.

use futures::stream::{FuturesUnordered, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use looplab::net::memory::{MemoryListener, MemoryStream};
use looplab::net::{TcpListener, TcpStream, UnixStream};
use looplab::{Clock, Error, EventLoop, Result, cancellable, create_task, sleep, yield_now};
use smol_hyper::rt::FuturesIo;
use std::io::{Read, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;
use support::watchdog;

fn run<T: 'static>(body: impl Future<Output = Result<T>> + 'static) -> Result<T> {
    let _dog = watchdog();
    EventLoop::new()?.run_until_complete(body)
}

/// Reads through the trait.
struct Reading<'a>(&'a UnixStream, Vec<u8>);

impl Future for Reading<'_> {
    type Output = std::io::Result<Vec<u8>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Reading(stream, buf) = &mut *self;
        let polled = futures_io::AsyncRead::poll_read(Pin::new(stream), cx, buf);
        polled.map_ok(|n| buf[..n].to_vec())
    }
}

fn reading(stream: &UnixStream) -> Reading<'_> {
    Reading(stream, vec![0; 16])
}

/// Writes all of it through the trait, in two pieces at a time.
async fn write_all(mut stream: &UnixStream, mut data: &[u8]) -> std::io::Result<()> {
    while !data.is_empty() {
        let (one, other) = data.split_at(data.len() / 2);
        let pieces = [std::io::IoSlice::new(one), std::io::IoSlice::new(other)];
        let n = std::future::poll_fn(|cx| {
            futures_io::AsyncWrite::poll_write_vectored(Pin::new(&mut stream), cx, &pieces)
        });
        data = &data[n.await?..];
    }
    std::future::poll_fn(|cx| futures_io::AsyncWrite::poll_close(Pin::new(&mut stream), cx)).await
}

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    if request.uri().path() == "/slow" {
        sleep(Duration::from_secs(3600)).await?;
    }
    let body = request.into_body().collect().await.map_err(Error::other)?.to_bytes();
    Ok(Response::new(Full::from(format!("hello, {}", String::from_utf8_lossy(&body)))))
}

/// Serves one connection.
async fn serve<S>(stream: S) -> Result<()>
where
    S: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin + 'static,
{
    let serving = hyper::server::conn::http1::Builder::new()
        .serve_connection(FuturesIo::new(stream), service_fn(hello));
    serving.await.map_err(Error::other)
}

#[test]
fn hyper_says_hello_over_a_kept_connection() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let client = thread::spawn(move || -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.write_all(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\n\r\none")?;
        let mut text = Vec::new();
        while !text.ends_with(b"hello, one") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            text.push(byte[0]);
        }
        stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
        let mut rest = String::new();
        stream.read_to_string(&mut rest)?;
        Ok(rest)
    });
    run(async move { serve(listener.accept().await?.0).await })?;
    let rest = client.join().expect("the client")?;
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.ends_with("hello, "), "{rest}");
    Ok(())
}

/// Posts 300,000 bytes by hyper's client and looks at the answer.
async fn post<S>(stream: FuturesIo<S>, path: &str) -> Result<()>
where
    FuturesIo<S>: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(Error::other)?;
    let connection = create_task(async move { connection.await.map_err(Error::other) });
    let body = "x".repeat(300_000);
    let request = Request::post(path).body(Full::<Bytes>::from(body.clone())).map_err(Error::other)?;
    let response = sender.send_request(request).await.map_err(Error::other)?;
    let text = response.into_body().collect().await.map_err(Error::other)?.to_bytes();
    assert_eq!(text.len(), "hello, ".len() + body.len());
    drop(sender);
    connection.await?;
    Ok(())
}

#[test]
fn hypers_client_talks_to_hypers_server_on_one_loop() -> Result<()> {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let server = create_task(async move { serve(listener.accept().await?.0).await });
        post(FuturesIo::new(TcpStream::connect(address).await?), "/").await?;
        server.await
    })
}

#[test]
fn hyper_answers_in_memory_after_an_hour_of_virtual_time() -> Result<()> {
    let _dog = watchdog();
    let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
    let began = lp.time();
    lp.run_until_complete(async {
        let listener = MemoryListener::bind("hello")?;
        let server = create_task(async move { serve(listener.accept().await?.0).await });
        post(FuturesIo::new(MemoryStream::connect("hello").await?), "/slow").await?;
        server.await
    })?;
    assert_eq!(lp.time() - began, Duration::from_secs(3600));
    Ok(())
}

/// What comes of a connection that is cancelled after its client has sent this.
fn cancelled_after<F>(request: &'static [u8], serve: impl FnOnce(TcpStream) -> F + 'static) -> Result<()>
where
    F: Future<Output = Result<()>> + 'static,
{
    run(async move {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut client = std::net::TcpStream::connect(listener.local_addr()?)?;
        let (stream, _) = listener.accept().await?;
        client.write_all(request)?;
        if !request.is_empty() {
            // It has arrived, so hyper is not idle between two requests.
            stream.peek(&mut [0]).await?;
        }
        let server = create_task(serve(stream));
        for _ in 0..5 {
            yield_now().await?;
        }
        assert!(server.cancel_msg("enough"));
        server.await
    })
}

#[test]
fn a_cancellation_goes_through_hyper_and_is_one_again() {
    for request in ["GET /slow HTTP/1.1\r\nHost: here\r\n\r\n", "GET / HTT"] {
        let error = cancelled_after(request.as_bytes(), serve).unwrap_err();
        assert_eq!(error.cancel_message(), Some("enough"), "{request:?}: {error:?}");
    }
}

#[test]
fn hyper_takes_the_cancellation_of_an_idle_connection_for_its_end_unless_it_is_cancellable() {
    // hyper calls any I/O error between two requests a quiet end: the task ends, and not as cancelled.
    assert!(cancelled_after(b"", serve).is_ok());
    let interruptible = |stream| async { cancellable(serve(stream)).await? };
    assert_eq!(cancelled_after(b"", interruptible).unwrap_err().cancel_message(), Some("enough"));
}

#[test]
fn a_cancelled_read_is_an_io_error_that_question_mark_makes_a_cancellation() -> Result<()> {
    run(async {
        let (ours, theirs) = UnixStream::pair()?;
        let task = create_task(async move {
            let error = reading(&ours).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::Other);
            assert!(Error::from(error).is_cancelled());
            // Swallowed; the stream can be read again, and nothing was lost.
            let bytes = reading(&ours).await?;
            // And passed on.
            reading(&ours).await?;
            assert_eq!(bytes, b"hello");
            Ok(())
        });
        yield_now().await?;
        task.cancel();
        theirs.write_all(b"hello").await?;
        for _ in 0..5 {
            yield_now().await?;
        }
        task.cancel_msg("now");
        assert_eq!(task.await.unwrap_err().cancel_message(), Some("now"));
        Ok(())
    })
}

#[test]
fn any_waker_will_do() -> Result<()> {
    run(async {
        let mut ends = Vec::new();
        let reads = FuturesUnordered::new();
        for _ in 0..5u8 {
            let (ours, theirs) = UnixStream::pair()?;
            ends.push(theirs);
            reads.push(async move { reading(&ours).await });
        }
        let collecting = create_task(async move { Ok(reads.collect::<Vec<_>>().await) });
        yield_now().await?;
        for (i, end) in (0u8..).zip(ends.iter().rev()) {
            write_all(end, &[i; 2]).await?;
            yield_now().await?;
        }
        let got: Result<Vec<_>, _> = collecting.into_output().await?.into_iter().collect();
        assert_eq!(got?, (0..5u8).map(|i| vec![i; 2]).collect::<Vec<_>>());
        Ok(())
    })
}

#[test]
fn a_cancellation_reaches_the_reads_behind_other_wakers() -> Result<()> {
    run(async {
        let (ours, _theirs) = UnixStream::pair()?;
        let (other, _others) = UnixStream::pair()?;
        let both = create_task(async move {
            let (one, two) = futures::join!(reading(&ours), reading(&other));
            Ok((one.map_err(Error::from).is_err_and(|e| e.is_cancelled()), two.is_err()))
        });
        yield_now().await?;
        assert!(both.cancel());
        assert_eq!(both.await?, (true, true));
        Ok(())
    })
}

#[test]
fn what_does_not_fit_is_written_when_there_is_room() -> Result<()> {
    run(async {
        let (ours, theirs) = UnixStream::pair()?;
        let writing = create_task(async move { Ok(write_all(&ours, &vec![7; 1_000_000]).await?) });
        yield_now().await?;
        assert!(!writing.done());
        let (mut got, mut buf) = (0, vec![0; 10_000]);
        loop {
            match theirs.read(&mut buf).await? {
                0 => break,
                n => got += n,
            }
        }
        assert_eq!(got, 1_000_000);
        writing.await
    })
}

#[test]
fn outside_of_any_loop_it_is_an_error() -> Result<()> {
    let (ours, _theirs) = UnixStream::pair()?;
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(Err(error)) = pin!(reading(&ours)).poll(&mut cx) else { panic!("it waits for nobody") };
    assert_eq!(error.to_string(), "no running event loop");
    Ok(())
}
