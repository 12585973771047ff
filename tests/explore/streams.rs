//! Servers, streams and runners under the explorer: what they promise holds at every point.

use super::library::{holds, join, ms, worker};
use looplab::explore::{Explore, World};
use looplab::net::memory::{self, MemoryListener, MemoryStream};
use looplab::net::{StreamReader, StreamWriter, open_connection_on, start_server_on};
use looplab::{Error, Result, Runner, Signal, create_task, sleep, to_thread};
use std::cell::RefCell;
use std::rc::Rc;

/// Closes a stream and waits for its end, also if the waiting is cancelled.
async fn close(writer: StreamWriter) -> Result<()> {
    writer.close();
    join(vec![worker("closing", writer.wait_closed())]).await
}

/// Reads three lines that a peer writes one by one. What a cancelled reader leaves is read afterwards.
fn reader(world: &World) -> Result<()> {
    let (lines, rest) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(None)));
    let books = (lines.clone(), rest.clone());
    world.finally(move || {
        let Some(rest) = books.1.take() else { return Ok(()) };
        let read = [books.0.take().concat(), rest].concat();
        if read == b"0\n1\n2\n" { Ok(()) } else { Err(Error::msg(format!("read {read:?}"))) }
    });
    world.main(async move {
        let (ours, peer) = MemoryStream::pair()?;
        let writing = worker("peer", async move {
            for i in 0..3 {
                peer.write_all(format!("{i}\n").as_bytes()).await?;
                sleep(ms(1)).await?;
            }
            Ok(())
        });
        let ended = match open_connection_on(ours).await {
            Ok((reader, writer)) => {
                let reader = Rc::new(reader);
                let lines_of = reader.clone();
                let reading = worker("reader", async move {
                    while let Some(line) = lines_of.next_line().await? {
                        lines.borrow_mut().push(line);
                    }
                    Ok(())
                });
                let ended = join(vec![reading]).await;
                *rest.borrow_mut() = reader.read_to_end().await.ok();
                close(writer).await.and(ended)
            }
            Err(error) => Err(error),
        };
        join(vec![writing]).await.and(ended)
    })
}

/// Serves two clients, and ends them with itself.
fn server(world: &World) -> Result<()> {
    let guards = world.clone();
    world.main(async move {
        let echo = async move |reader: StreamReader, writer: StreamWriter| {
            let _guard = guards.guard();
            let served = async {
                while let Some(line) = reader.next_line().await? {
                    writer.write(line)?;
                    writer.drain().await?;
                }
                Ok::<(), Error>(())
            };
            match served.await {
                // A client that is cancelled closes its end before it has read the answer.
                Err(Error::Io(_)) => Ok(()),
                served => served,
            }
        };
        let server = start_server_on(echo, MemoryListener::bind("echo")?).await?;
        let client = || {
            worker("client", async {
                let (reader, writer) = memory::open_connection("echo").await?;
                let answered = async {
                    writer.write("hello\n")?;
                    reader.readline().await.map(drop)
                }
                .await;
                close(writer).await.and(answered)
            })
        };
        let ended = join(vec![client(), client()]).await;
        server.close();
        server.close_clients();
        join(vec![worker("closing", server.wait_closed())]).await.and(ended)
    })
}

pub(super) fn programs_hold() {
    holds(&["main", "reader"], reader);
    holds(&["main", "client"], server);
}

#[test]
fn a_reader_gives_each_byte_once_and_a_server_ends_with_its_clients() {
    programs_hold();
}

/// Leaves two tasks and a job to the end of the runner.
fn busy(world: &World) -> Result<()> {
    let guards = world.clone();
    world.runner(Runner::builder().sigterm(true), move |runner| {
        runner.run(async move {
            for n in 1..=2 {
                let guard = guards.guard();
                drop(create_task(async move {
                    let _guard = guard;
                    sleep(ms(10 * n)).await
                }));
            }
            to_thread(|| ()).await?;
            sleep(ms(15)).await
        })
    });
    Ok(())
}

#[test]
fn a_runner_ends_all_that_its_program_has_begun() {
    let explore = Explore::new(busy).signals([Signal::SIGINT, Signal::SIGTERM]).cancels().drops();
    let report = explore.pairs().at_most(1_000).run().expect("the undisturbed program is right");
    assert!(report.failures().is_empty() && report.schedules() > 50, "{report}");
}
