//! Places in traces and reports are lines of the program, whichever part of looplab it calls.

use looplab::net::{
    StreamReader, StreamWriter, TcpStream, UdpSocket, open_connection, open_unix_connection, start_server,
    start_server_with, start_unix_server,
};
use looplab::sync::{Barrier, Condition, Event, Lock, Queue, Semaphore};
use looplab::trace::{Event as Traced, Place, Record};
use looplab::{
    EventLoop, Result, ReturnWhen, TaskGroup, as_completed, create_task, gather, get_running_loop,
    run_coroutine_threadsafe, shield, sleep, timeout, to_thread, wait, wait_for, yield_now,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::thread;
use std::time::Duration;
use support::{HOUR, watchdog};

const SHORT: Duration = Duration::from_millis(1);

/// The places of an event.
fn places(event: &Traced<'_>) -> Vec<Place> {
    match event {
        Traced::Push { place, .. }
        | Traced::Timer { place, .. }
        | Traced::Task { place, .. }
        | Traced::Future { place, .. } => place.iter().copied().collect(),
        Traced::Job { place, .. } => vec![place],
        Traced::Park { on, .. } => on.iter().filter_map(|wait| wait.place).collect(),
        _ => Vec::new(),
    }
}

/// Runs a program; every place that its trace names.
fn traced(program: impl Future<Output = Result<()>> + 'static) -> Vec<String> {
    let _dog = watchdog();
    let seen: Rc<RefCell<Vec<String>>> = Rc::default();
    let sees = seen.clone();
    let observer = move |record: &Record<'_>| {
        sees.borrow_mut().extend(places(&record.event).iter().map(ToString::to_string));
    };
    let lp = EventLoop::builder().observer(observer).build().expect("a loop");
    lp.run_until_complete(program).expect("it ends well");
    lp.run_until_complete(lp.shutdown_default_executor(None)).expect("its threads end");
    lp.close().expect("it does not run");
    seen.take()
}

#[track_caller]
fn all_are_lines_of_this_file(places: &[String], at_least: usize) {
    let others: Vec<_> = places.iter().filter(|place| !place.starts_with(file!())).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(places.len() >= at_least, "{} places", places.len());
}

async fn echo(reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(line)?;
        writer.drain().await?;
    }
    writer.close();
    writer.wait_closed().await
}

async fn asks(reader: StreamReader, writer: StreamWriter) -> Result<()> {
    writer.write("hello\n")?;
    assert_eq!(reader.readline().await?, b"hello\n");
    writer.close();
    writer.wait_closed().await
}

#[test]
fn servers_and_connections_name_the_lines_that_made_them() {
    let program = async {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        let server = start_server(echo, "localhost", 0).await?;
        let calls = start_server_with(|_, writer| drop(writer), "127.0.0.1", 0).await?;
        let unix = start_unix_server(echo, &path).await?;
        let (reader, writer) = open_connection("localhost", server.port()).await?;
        asks(reader, writer).await?;
        let (reader, writer) = open_unix_connection(&path).await?;
        asks(reader, writer).await?;
        let (reader, _writer) = open_connection("127.0.0.1", calls.port()).await?;
        reader.read_to_end().await?;
        let stream = TcpStream::connect(("localhost", server.port())).await?;
        stream.write_all(b"x\n").await?;
        assert_eq!(stream.read(&mut [0; 8]).await?, 2);
        drop(stream);
        let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
        let to = other.local_addr()?;
        create_task(async move { one.send_to(b"x", to).await });
        other.recv_from(&mut [0; 8]).await?;
        let serving = create_task(server.serve_forever());
        yield_now().await?;
        serving.cancel();
        assert!(serving.await.is_err());
        calls.close();
        unix.close();
        unix.wait_closed().await
    };
    all_are_lines_of_this_file(&traced(program), 50);
}

#[test]
fn combinators_locks_and_jobs_name_the_lines_that_made_them() {
    let program = async {
        gather([sleep(SHORT), sleep(SHORT)]).await?;
        wait([create_task(async { sleep(SHORT).await })], ReturnWhen::AllCompleted, Some(HOUR)).await?;
        wait_for(sleep(SHORT), HOUR).await?;
        shield(create_task(async { sleep(SHORT).await })).await?;
        for next in as_completed([sleep(SHORT)]).timeout(HOUR) {
            next.await?;
        }
        assert!(timeout(SHORT, async { Event::new().wait().await }).await.is_err());
        let group = async |group: TaskGroup| group.create_task(async { sleep(SHORT).await });
        TaskGroup::scope(group).await?;
        let (lock, semaphore, queue) = (Lock::new(), Semaphore::new(1), Queue::new(1));
        let (condition, barrier) = (Condition::new(), Barrier::new(1)?);
        {
            let _locked = lock.lock().await?;
            let _permit = semaphore.permit().await?;
        }
        queue.put(1).await?;
        queue.get().await?;
        barrier.wait().await?;
        let told = condition.clone();
        create_task(async move {
            let _held = told.lock().await?;
            told.notify_all()
        });
        let held = condition.lock().await?;
        condition.wait().await?;
        drop(held);
        to_thread(|| ()).await?;
        Ok(())
    };
    all_are_lines_of_this_file(&traced(program), 50);
}

#[test]
fn calls_of_other_threads_name_the_lines_that_made_them() {
    let program = async {
        let remote = get_running_loop()?.remote();
        let calls = move || -> Result<()> {
            remote.spawn(|| async { sleep(SHORT).await })?;
            remote.call_soon(|| ())?;
            run_coroutine_threadsafe(&remote, || async { sleep(SHORT).await }).result(None)?;
            assert!(run_coroutine_threadsafe(&remote, || async { Event::new().wait().await }).cancel());
            Ok(())
        };
        to_thread(move || thread::spawn(calls).join().expect("no panic")).await??;
        // The cancellation was sent before the job was over.
        yield_now().await?;
        yield_now().await
    };
    all_are_lines_of_this_file(&traced(program), 10);
}
