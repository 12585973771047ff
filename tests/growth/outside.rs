//! Jobs, descriptors and connections.

use crate::grows_with_the_number;
use looplab::net::{UnixStream, start_server};
use looplab::{Error, Result, gather, run_coroutine_threadsafe};
use std::os::unix::net::UnixStream as StdUnixStream;

/// Ten times as many are still below the usual limit of 1024 descriptors.
const FEW: usize = 40;
const N: usize = 300;

#[test]
fn jobs() {
    grows_with_the_number(N, |lp, n| {
        let lp = lp.clone();
        let jobs = (0..n).map(|i| lp.run_in_executor(move || i)).collect::<Result<Vec<_>>>()?;
        lp.run_until_complete(async move { gather(&jobs).await.map(drop) })
    });
}

#[test]
fn withdrawn_jobs_newest_first() {
    grows_with_the_number(N, |lp, n| {
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let pool = looplab::Executor::new(1);
        let first = lp.run_in(&pool, move || gate.recv().is_err())?;
        let jobs = (0..n).map(|i| lp.run_in(&pool, move || i)).collect::<Result<Vec<_>>>()?;
        for job in jobs.iter().rev() {
            job.cancel();
        }
        lp.run_once()?;
        drop(open);
        lp.run_until_complete(first).map(drop)
    });
}

#[test]
fn readers_that_come_and_go() {
    grows_with_the_number(FEW, |lp, n| {
        let pairs = (0..n).map(|_| StdUnixStream::pair()).collect::<std::io::Result<Vec<_>>>()?;
        for (ours, _) in &pairs {
            lp.add_reader(ours, || ())?;
            lp.add_writer(ours, || ())?;
        }
        lp.run_once()?;
        for (ours, _) in pairs.iter().rev() {
            lp.remove_reader(ours)?;
            lp.remove_writer(ours)?;
        }
        Ok(())
    });
}

#[test]
fn connections_that_wait_and_are_cancelled() {
    grows_with_the_number(FEW, |lp, n| {
        let mut kept = Vec::new();
        let mut tasks = Vec::new();
        for _ in 0..n {
            let (ours, theirs) = StdUnixStream::pair()?;
            kept.push(theirs);
            let ours = UnixStream::from_std(ours)?;
            tasks.push(lp.create_task(async move { ours.read(&mut [0; 16]).await.map(drop) }));
        }
        lp.run_once()?;
        for task in tasks.iter().rev() {
            task.cancel();
        }
        lp.run_once()?;
        assert!(tasks.iter().all(looplab::Task::cancelled));
        Ok(())
    });
}

#[test]
fn connections_of_a_server() {
    grows_with_the_number(FEW / 2, |lp, n| {
        lp.run_until_complete(async move {
            let server = start_server(
                async |reader, writer| {
                    reader.read(1).await?;
                    writer.close();
                    Ok::<(), Error>(())
                },
                "127.0.0.1",
                0,
            )
            .await?;
            let mut clients = Vec::new();
            for _ in 0..n {
                clients.push(looplab::net::open_connection("127.0.0.1", server.port()).await?);
            }
            for (reader, writer) in &clients {
                writer.write(b"x")?;
                reader.read(1).await?;
            }
            drop(clients);
            server.close();
            server.wait_closed().await
        })
    });
}

#[test]
fn coroutines_from_another_thread() {
    grows_with_the_number(N, |lp, n| {
        let remote = lp.remote();
        let posting = std::thread::spawn(move || {
            (0..n).map(|i| run_coroutine_threadsafe(&remote, async move { Ok(i) })).collect::<Vec<_>>()
        });
        let tasks = posting.join().expect("no panic");
        while !tasks.iter().rev().all(looplab::RemoteTask::done) {
            lp.run_once()?;
        }
        for task in &tasks {
            task.result(std::time::Duration::ZERO)?;
        }
        Ok(())
    });
}
