//! Ten thousand connections at once, and clients of every kind among each other: nothing is lost, and nothing is left.
//!
//! Each test runs its server in a process of its own, and its clients in another. What a server's loop holds is counted
//! before and after: tasks, handles, registrations, and the descriptors of the process. A machine whose hard limit of
//! descriptors is low gets fewer connections, and the test says so.

use crate::helpers::clients::{self, FLOOD, Kind};
use crate::helpers::many::{Seen, addresses, descriptors, echo, held, reporting, room_for, settle, told};
use looplab::net::{Server, StreamReader, StreamWriter, start_server};
use looplab::{Result, Task, create_task, get_running_loop, to_thread};
use std::io::{PipeWriter, pipe};
use std::process::Command;
use support::{Process, child, command, name_of, report, role};

/// The name of the test in which it stands.
macro_rules! this_test {
    () => {{
        fn here() {}
        name_of(&here)
    }};
}

const THE_TEST_ALONE: &str = "0 ready, 0 timers, 0 descriptors, 0 jobs, 1 tasks";

/// Two addresses, so that there are ports enough for all clients on any machine.
const LOCAL: [&str; 2] = ["127.0.0.1", "127.0.0.2"];

async fn serve(seen: &Seen) -> Result<Server> {
    let seen = seen.clone();
    start_server(async move |reader, writer| handler(&seen, reader, writer).await, LOCAL, 0).await
}

/// Serves a client as its first byte asks for.
async fn handler(seen: &Seen, reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let _open = seen.begin();
    let asked = reader.readexactly(1).await?;
    writer.write([0])?;
    if asked != [FLOOD] {
        return echo(seen, &reader, &writer).await;
    }
    // It reads no more than the one byte: at some point the kernel takes no more.
    let transport = writer.transport();
    while transport.get_write_buffer_size() <= transport.get_write_buffer_limits().1 {
        writer.write([0; 64 * 1024])?;
    }
    seen.sticks();
    writer.drain().await
}

/// Runs the clients' process, until it has ended: what it reported. It does not end before the pipe is closed.
fn start(mut command: Command, seen: &Seen) -> Result<(PipeWriter, Task<Vec<String>>)> {
    let (reader, writer) = pipe()?;
    let seen = seen.clone();
    let clients = create_task(async move {
        let run = move || Process::start_reading(&mut command, reader.into()).end().fine();
        let reported = to_thread(run).await;
        seen.over();
        reported
    });
    Ok((writer, clients))
}

// ---- ten thousand ----

#[test]
fn ten_thousand_connections_echo_at_once_without_loss_and_leave_nothing() {
    if role().as_deref() == Some("clients") {
        clients::run();
    }
    const WANTED: usize = 10_000;
    let many = room_for(WANTED, 1);
    let test = this_test!();
    let ended = child!(|| {
        assert_eq!(room_for(many, 1), many);
        let (lp, reports) = reporting();
        let program = async move {
            // What the first job and the first process need once and for all.
            to_thread(|| ()).await?;
            for _wave in 0..2 {
                wave(many, command(&test, "clients")).await?;
            }
            Ok(())
        };
        lp.run_until_complete(program).expect("it ends well");
        lp.close().expect("it does not run");
        assert_eq!((reports.resets.get(), &*reports.others.borrow()), (0, &vec![]));
    });
    println!("{}", told(many, WANTED, "connections at once, twice"));
    let expected = [
        // The test's own task, and the one that waits for the clients' process.
        format!("all open: {} descriptors, {} tasks", many + LOCAL.len(), many + 2),
        format!("{many} were open at once, 0 are open, all bytes came back: true"),
        format!("closed: {THE_TEST_ALONE}, all descriptors are free: true"),
    ];
    assert_eq!(ended.fine(), [&expected[..], &expected[..]].concat());
}

async fn wave(many: usize, mut command: Command) -> Result<()> {
    let before = descriptors();
    let seen = Seen::default();
    let server = serve(&seen).await?;
    clients::plan(&mut command, many, &[Kind::Echo], &addresses(&server));
    let (pipe, clients) = start(command, &seen)?;
    drop(pipe);
    // None of them closes before each had its first answer, and the last one has not had it yet.
    seen.until(|seen| seen.begun() == many).await?;
    let most = seen.open();
    settle().await?;
    let all_open = get_running_loop()?.snapshot();
    seen.until(|seen| seen.open() == 0).await?;
    let came_back = clients.await?;
    let whole = came_back == [format!("{} bytes came back", seen.bytes())];
    report(format!("all open: {} descriptors, {} tasks", all_open.io.len(), all_open.tasks.len()));
    report(format!("{most} were open at once, {} are open, all bytes came back: {whole}", seen.open()));
    server.close();
    server.wait_closed().await?;
    settle().await?;
    let freed = descriptors() == before;
    report(format!("closed: {}, all descriptors are free: {freed}", held()?));
    Ok(())
}

// ---- all kinds ----

#[test]
fn clients_that_reset_stay_half_open_or_never_read_cost_the_others_nothing_and_all_are_freed() {
    if role().as_deref() == Some("clients") {
        clients::run();
    }
    const WANTED: usize = 2_000;
    let many = room_for(WANTED, 1);
    // Few never read: the kernel keeps megabytes for each of those. Of the others half reset.
    let some = [
        Kind::Reset,
        Kind::Echo,
        Kind::Reset,
        Kind::HalfOpen,
        Kind::Reset,
        Kind::Echo,
        Kind::Reset,
        Kind::Idle,
    ];
    let mut kinds = some.repeat(25);
    kinds[199] = Kind::NeverReads;
    let [resets, idle, stuck] =
        [Kind::Reset, Kind::Idle, Kind::NeverReads].map(|kind| kind.among(&kinds, many));
    let test = this_test!();
    let ended = child!(|| {
        assert_eq!(room_for(many, 1), many);
        let (lp, reports) = reporting();
        let program = async move {
            to_thread(|| ()).await?;
            all_kinds(many, command(&test, "clients"), &kinds).await
        };
        lp.run_until_complete(program).expect("it ends well");
        report(format!("{} resets, {:?}", reports.resets.get(), reports.others.borrow()));
    });
    println!("{}", told(many, WANTED, "connections of all kinds"));
    let expected = [
        format!("{} wait for the server's end", idle + stuck),
        format!("after close_clients: {stuck} are open"),
        format!("after abort_clients: 0 are open, {THE_TEST_ALONE}"),
        "all bytes came back: true, all descriptors are free: true".to_owned(),
        format!("{resets} resets, []"),
    ];
    assert_eq!(ended.fine(), expected);
}

async fn all_kinds(many: usize, mut command: Command, kinds: &[Kind]) -> Result<()> {
    let before = descriptors();
    let seen = Seen::default();
    let server = serve(&seen).await?;
    clients::plan(&mut command, many, kinds, &addresses(&server));
    let (pipe, clients) = start(command, &seen)?;
    let [idle, stuck] = [Kind::Idle, Kind::NeverReads].map(|kind| kind.among(kinds, many));
    seen.until(|seen| seen.ended() == many - idle - stuck && seen.stuck() == stuck).await?;
    report(format!("{} wait for the server's end", seen.open()));
    server.close();
    server.close_clients();
    seen.until(|seen| seen.open() <= stuck).await?;
    settle().await?;
    report(format!("after close_clients: {} are open", seen.open()));
    server.abort_clients();
    server.wait_closed().await?;
    seen.until(|seen| seen.open() == 0).await?;
    drop(pipe);
    let came_back = clients.await?;
    settle().await?;
    report(format!("after abort_clients: {} are open, {}", seen.open(), held()?));
    let whole = came_back == [format!("{} bytes came back", seen.bytes())];
    let freed = descriptors() == before;
    report(format!("all bytes came back: {whole}, all descriptors are free: {freed}"));
    Ok(())
}
