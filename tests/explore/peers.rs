//! Peers that reset, stall, half-close and cut: each finds the fault that it is for, and passes the mended twin.

use looplab::explore::{Explore, PeerFault, Report, World};
use looplab::net::memory::{self, MemoryListener, MemoryStream};
use looplab::net::{StreamReader, StreamWriter, start_server_on};
use looplab::{Error, Result, Runner, Signal, create_task, sleep, timeout, yield_now};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

fn explored(explore: Explore) -> Report {
    explore.run().expect("the undisturbed program is right")
}

fn passes(explore: Explore, at_least: u64) {
    let report = explored(explore);
    assert!(report.failures().is_empty() && report.schedules() >= at_least, "{report}");
}

/// The first failure has this schedule, and its message contains this.
fn fails(explore: Explore, schedule: &str, message: &str) {
    let report = explored(explore);
    let first = report.failures().first().unwrap_or_else(|| panic!("{report}"));
    assert_eq!(first.schedule.to_string(), schedule, "{report}");
    assert!(first.message.contains(message), "{report}");
}

/// Gives what a client does whatever its connection does to it, and closes the server at its end.
async fn beside<F: Future<Output = Result<()>>>(
    handler: impl AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
    client: impl FnOnce(StreamReader, StreamWriter) -> F,
) -> Result<()> {
    let server = start_server_on(handler, MemoryListener::bind("shop")?).await?;
    let served = async {
        let (reader, writer) = memory::open_connection("shop").await?;
        client(reader, writer).await
    };
    let served = served.await;
    server.close();
    server.close_clients();
    server.wait_closed().await?;
    served
}

/// Serves lines until the peer is gone, whatever it does.
async fn echo(reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let served = async {
        while let Some(line) = reader.next_line().await? {
            writer.write(line)?;
            writer.drain().await?;
        }
        Ok::<(), Error>(())
    };
    match served.await {
        // A lost peer is the everyday of a server.
        Err(Error::Io(_)) => Ok(()),
        other => other,
    }
}

fn takes_orders(world: &World, whole_lines: bool) -> Result<()> {
    let taken: Rc<RefCell<Vec<u8>>> = Rc::default();
    let order = taken.clone();
    world.finally(move || match &order.borrow()[..] {
        b"" | b"pay 100\n" => Ok(()),
        part => Err(Error::msg(format!("took {:?}", part.escape_ascii().to_string()))),
    });
    world.main(beside(
        async |_, writer| writer.write("pay 100\n"),
        async move |reader, _writer| {
            let line = reader.readline().await?;
            if !whole_lines || line.ends_with(b"\n") {
                taken.replace(line);
            }
            Ok(())
        },
    ))
}

#[test]
fn a_cut_finds_half_a_line_that_is_taken_for_one() {
    let cuts = |whole| Explore::new(move |world| takes_orders(world, whole)).peers([PeerFault::Cut]);
    fails(cuts(false), "cut:shop#3+1@6.1", "took \"p\"");
    passes(cuts(true), 8);
    let report = explored(cuts(false));
    assert_eq!(report.failures().iter().map(|failure| failure.count).sum::<u64>(), 7, "{report}");
    let described = report.to_string();
    assert!(
        described.contains("cut socket -3 of shop after 1 byte in turn 6, before entry 1"),
        "{described}"
    );
}

#[test]
fn a_reset_finds_a_handler_that_fails_with_its_peer() {
    let resets = |careful: bool| {
        let explore = Explore::new(move |world| {
            let handler = async move |reader: StreamReader, writer: StreamWriter| {
                if careful {
                    return echo(reader, writer).await;
                }
                while let Some(line) = reader.next_line().await? {
                    writer.write(line)?;
                }
                Ok(())
            };
            world.main(beside(handler, async |reader, writer| {
                writer.write("hello\n")?;
                reader.readline().await.map(drop)
            }))
        });
        explore.peers([PeerFault::Reset])
    };
    let report = explored(resets(false));
    assert!(report.to_string().contains("client_connected_cb: Connection reset by peer"), "{report}");
    passes(resets(true), 10);
}

#[test]
fn a_stall_finds_a_client_without_a_timeout() {
    let stalls = |patient: bool| {
        let explore = Explore::new(move |world| {
            world.main(beside(echo, async move |reader, writer| {
                writer.write("hello\n")?;
                if patient {
                    reader.readline().await.map(drop)
                } else {
                    timeout(Duration::from_secs(30), reader.readline()).await.map(drop)
                }
            }))
        });
        explore.peers([PeerFault::Stall])
    };
    let report = explored(stalls(true));
    assert!(report.to_string().contains("deadlock"), "{report}");
    passes(stalls(false), 10);
}

#[test]
fn a_half_close_finds_a_loop_that_reads_the_end_again_and_again() {
    let closes = |looks: bool| {
        let explore = Explore::new(move |world| {
            world.main(beside(echo, async move |reader, writer| {
                for word in ["one\n", "two\n"] {
                    writer.write(word)?;
                    while reader.readline().await?.is_empty() {
                        if looks {
                            return Ok(());
                        }
                        yield_now().await?;
                    }
                }
                Ok(())
            }))
        });
        explore.peers([PeerFault::HalfClose])
    };
    let report = explored(closes(false));
    assert!(report.to_string().contains("does not end within"), "{report}");
    passes(closes(true), 10);
}

#[test]
fn a_peer_that_the_program_plays_itself_is_disturbed_too() {
    let explore = Explore::new(|world| {
        world.main(async {
            let (ours, theirs) = MemoryStream::pair()?;
            yield_now().await?;
            let wrote = theirs.write_all(b"four").await;
            yield_now().await?;
            drop(theirs);
            let mut buf = [0; 10];
            let read = timeout(Duration::from_secs(1), ours.read(&mut buf)).await;
            wrote.and(read).map(drop)
        })
    });
    passes(explore.peers(PeerFault::ALL).pairs(), 20);
}

#[test]
fn a_schedule_of_a_peer_is_repeated_by_its_name() -> Result<()> {
    for name in ["reset:echo#2@7", "stall:echo#2@7.1", "halfclose:echo#3@7.2", "cut:echo#3+17@7.2,stop@9"] {
        let schedule: looplab::explore::Schedule = name.parse()?;
        assert_eq!(schedule.to_string(), name);
    }
    for wrong in ["reset@7", "cut:echo#3@7", "cut:echo#3+x@7", "stall:echo@7"] {
        assert!(wrong.parse::<looplab::explore::Schedule>().is_err(), "{wrong}");
    }
    Ok(())
}

/// An echo server with its Ctrl-C, and clients that give up.
fn served_until_ctrl_c(world: &World, latency: Duration) -> Result<()> {
    let open = Rc::new(Cell::new(0));
    let check = open.clone();
    world.finally(move || match check.get() {
        0 => Ok(()),
        n => Err(Error::msg(format!("{n} handlers did not end"))),
    });
    world.runner(Runner::builder(), move |runner| {
        runner.run(async move {
            let handler = async move |reader: StreamReader, writer: StreamWriter| {
                open.set(open.get() + 1);
                let served = timeout(Duration::from_secs(60), echo(reader, writer)).await;
                open.set(open.get() - 1);
                match served {
                    Err(Error::TimedOut) => Ok(()),
                    other => other,
                }
            };
            let listener = MemoryListener::bind("echo")?;
            listener.set_latency(latency);
            let server = start_server_on(handler, listener).await?;
            for n in 0..2 {
                create_task(async move {
                    let client = async {
                        let (reader, writer) = memory::open_connection("echo").await?;
                        writer.write(format!("{n}\n"))?;
                        reader.readline().await?;
                        sleep(Duration::from_secs(n)).await
                    };
                    match timeout(Duration::from_secs(10), client).await {
                        Err(Error::Io(_) | Error::TimedOut) => Ok(()),
                        other => other,
                    }
                });
            }
            match timeout(Duration::from_secs(100), server.serve_forever()).await {
                Err(Error::TimedOut) => Ok(()),
                other => other,
            }
        })
    });
    Ok(())
}

#[test]
fn an_echo_server_holds_against_its_peers_and_ctrl_c_and_cancellations() {
    let explore = |latency| {
        let program = move |world: &World| served_until_ctrl_c(world, latency);
        Explore::new(program).signals([Signal::SIGINT]).peers(PeerFault::ALL)
    };
    passes(explore(Duration::ZERO).cancels().ties(), 500);
    passes(explore(Duration::ZERO).pairs().at_most(1_000), 1_000);
    passes(explore(Duration::from_millis(40)).cancels(), 500);
}

/// An answer that is on its way comes too late for the client's patience.
fn asks_far_away(world: &World, patience: Duration) -> Result<()> {
    world.main(async move {
        let (ours, peer) = MemoryStream::pair()?;
        peer.set_latency(Duration::from_millis(40));
        peer.write_all(b"answer\n").await?;
        let (reader, _writer) = looplab::net::open_connection_on(ours).await?;
        match timeout(patience, reader.readline()).await {
            Ok(line) if line == b"answer\n" => Ok(()),
            other => Err(Error::msg(format!("{other:?}"))),
        }
    })
}

#[test]
fn what_is_on_its_way_is_waited_for_and_at_the_end_it_is_no_leftover() {
    let patient = |world: &World| asks_far_away(world, Duration::from_millis(41));
    passes(Explore::new(patient).stops().pairs(), 10);
    let hurried = |world: &World| asks_far_away(world, Duration::from_millis(39));
    let report = explored(Explore::new(hurried).stops());
    assert!(report.failures().is_empty(), "{report}");
}
