//! Servers and their connections, turn by turn as on CPython 3.15.

use crate::helpers::streams::{connect, dial, said, say, say_as, say_bytes, says, turns};
use looplab::net::{Server, StreamReader, StreamWriter, start_server, start_server_with};
use looplab::sync::Event;
use looplab::{Error, TaskRef, create_task, current_task, get_running_loop, yield_now};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::rc::Rc;

#[test]
fn a_connection_is_accepted_made_and_read_in_asyncios_turns() {
    let program = async {
        let done = Event::new();
        let told = done.clone();
        let handler = async move |reader: StreamReader, writer: StreamWriter| {
            say("handler");
            let line = reader.readline().await?;
            say_as("got ", Ok(line.clone()));
            writer.write(line)?;
            writer.drain().await?;
            say("drained");
            say_as("then ", reader.read(10).await);
            writer.close();
            writer.wait_closed().await?;
            say("closed");
            told.set();
            Ok(())
        };
        say("main");
        let server = start_server(handler, "127.0.0.1", 0).await?;
        say("started");
        let mut client = dial(&server);
        client.write_all(b"hi\n")?;
        say("dialled");
        get_running_loop()?.call_soon(|| say("soon"))?;
        turns(8).await?;
        let mut echo = [0; 3];
        client.read_exact(&mut echo)?;
        say_as("echo ", Ok(echo.to_vec()));
        drop(client);
        done.wait().await?;
        say("end");
        server.close();
        server.wait_closed().await?;
        say("server closed");
        Ok(())
    };
    says(
        program,
        &[
            "1 main",
            "5 started",
            "5 dialled",
            "6 soon",
            "9 handler",
            "10 got 'hi\\n'",
            "10 drained",
            "13 echo 'hi\\n'",
            "15 then ''",
            "17 closed",
            "18 end",
            "18 server closed",
        ],
    );
}

#[test]
fn a_plain_callback_is_called_where_a_handlers_task_would_be_made() {
    let program = async {
        let kept = Rc::new(RefCell::new(None));
        let keeps = kept.clone();
        let callback = move |reader, writer| {
            say("callback");
            *keeps.borrow_mut() = Some((reader, writer));
        };
        let server = start_server_with(callback, "127.0.0.1", 0).await?;
        let mut client = dial(&server);
        say("dialled");
        while kept.borrow().is_none() {
            yield_now().await?;
        }
        say("kept");
        let (reader, writer): (StreamReader, StreamWriter) = kept.take().expect("just seen");
        client.write_all(b"x")?;
        say("sent");
        say_bytes(reader.read(5).await);
        drop(client);
        say("closed");
        say_bytes(reader.read(5).await);
        writer.close();
        writer.wait_closed().await?;
        say("gone");
        server.close();
        Ok(())
    };
    says(
        program,
        &["5 dialled", "8 callback", "9 kept", "9 sent", "11 'x'", "11 closed", "13 ''", "15 gone"],
    );
}

#[test]
fn both_sides_of_a_connection_on_one_loop_take_asyncios_turns() {
    let program = async {
        let handler = async |reader: StreamReader, writer: StreamWriter| {
            say("handler");
            say_bytes(reader.readline().await);
            writer.write("pong\n")?;
            say_bytes(reader.read(1).await);
            writer.close();
            say("handler ends");
            Ok(())
        };
        let server = start_server(handler, "127.0.0.1", 0).await?;
        say("started");
        let (reader, writer) = connect(&server).await?;
        say("open");
        writer.write("ping\n")?;
        say("written");
        say_bytes(reader.readline().await);
        writer.close();
        say("closing");
        writer.wait_closed().await?;
        say("closed");
        server.close();
        server.wait_closed().await?;
        say("server closed");
        Ok(())
    };
    says(
        program,
        &[
            "5 started",
            "9 handler",
            "9 open",
            "9 written",
            "11 'ping\\n'",
            "13 'pong\\n'",
            "13 closing",
            "15 closed",
            "16 ''",
            "16 handler ends",
            "18 server closed",
        ],
    );
}

#[test]
fn a_handler_that_fails_is_reported_and_its_connection_is_closed() {
    let program = async {
        let handler = async |reader: StreamReader, _writer| {
            say("handler");
            reader.readline().await?;
            say("fails");
            Err::<(), _>(Error::msg("boom"))
        };
        let server = start_server(handler, "127.0.0.1", 0).await?;
        let (reader, writer) = connect(&server).await?;
        say("open");
        writer.write("x\n")?;
        say_bytes(reader.read_to_end().await);
        writer.close();
        writer.wait_closed().await?;
        say("closed");
        server.close();
        Ok(())
    };
    says(
        program,
        &[
            "9 handler",
            "9 open",
            "11 fails",
            "12 report: Unhandled exception in client_connected_cb: boom",
            "15 ''",
            "17 closed",
        ],
    );
}

#[test]
fn a_handler_that_is_cancelled_closes_its_connection_without_a_word() {
    let program = async {
        let handlers: Rc<RefCell<Vec<TaskRef>>> = Rc::default();
        let list = handlers.clone();
        let handler = async move |reader: StreamReader, _writer| {
            list.borrow_mut().extend(current_task());
            let line = reader.readline().await;
            if line.as_ref().is_err_and(Error::is_cancelled) {
                say("cancelled");
            }
            line.map(drop)
        };
        let server = start_server(handler, "127.0.0.1", 0).await?;
        let (reader, writer) = connect(&server).await?;
        say("open");
        while handlers.borrow().is_empty() {
            yield_now().await?;
        }
        yield_now().await?;
        handlers.borrow()[0].cancel();
        say("cancel");
        say_bytes(reader.read_to_end().await);
        writer.close();
        writer.wait_closed().await?;
        say("closed");
        server.close();
        Ok(())
    };
    says(program, &["9 open", "10 cancel", "11 cancelled", "15 ''", "17 closed"]);
}

/// Without its port, which is another one each time.
fn without_socket(error: Error) -> String {
    let text = error.to_string();
    match (text.find('<'), text.rfind('>')) {
        (Some(from), Some(to)) => format!("{}{}", &text[..from], &text[to + 1..]),
        _ => text,
    }
}

#[test]
fn cancelling_serve_forever_closes_the_server_and_only_one_may_wait_there() {
    let program = async {
        let server = start_server(async |_, _| {}, "127.0.0.1", 0).await?;
        let serving = create_task(server.serve_forever());
        yield_now().await?;
        say("serving");
        say(without_socket(server.serve_forever().await.unwrap_err()));
        serving.cancel();
        say("cancel");
        assert!(serving.await.is_err_and(|error| error.is_cancelled()));
        say("cancelled");
        say(server.is_serving());
        say(server.sockets().len());
        say(server.serve_forever().await.unwrap_err());
        Ok(())
    };
    says(
        program,
        &[
            "6 serving",
            "6 server  is already being awaited on serve_forever()",
            "6 cancel",
            "8 cancelled",
            "8 false",
            "8 0",
            "8 server <Server sockets=()> is closed",
        ],
    );
}

#[test]
fn closing_a_server_cancels_its_serve_forever() {
    let program = async {
        let server = start_server(async |_, _| {}, "127.0.0.1", 0).await?;
        let serving = create_task(server.serve_forever());
        yield_now().await?;
        say("serving");
        server.close();
        server.close();
        say("close");
        assert!(serving.await.is_err_and(|error| error.is_cancelled()));
        say("cancelled");
        Ok(())
    };
    says(program, &["6 serving", "6 close", "8 cancelled"]);
}

#[test]
fn a_cancelled_serve_forever_closes_its_idle_clients_and_keeps_its_place_until_they_are_gone() {
    let program = async {
        let handler = async |reader: StreamReader, _writer| {
            say_bytes(reader.read_to_end().await);
            say("handler ends");
        };
        let server = start_server(handler, "127.0.0.1", 0).await?;
        let serving = create_task(server.serve_forever());
        yield_now().await?;
        let (reader, _writer) = connect(&server).await?;
        turns(5).await?;
        serving.cancel();
        say("cancel");
        yield_now().await?;
        say(server.serve_forever().await.unwrap_err());
        assert!(serving.await.is_err_and(|error| error.is_cancelled()));
        say("cancelled");
        say_bytes(reader.read_to_end().await);
        say(server.serve_forever().await.unwrap_err());
        Ok(())
    };
    says(
        program,
        &[
            "15 cancel",
            "16 server <Server sockets=()> is already being awaited on serve_forever()",
            "18 ''",
            "18 handler ends",
            "19 cancelled",
            "19 ''",
            "19 server <Server sockets=()> is closed",
        ],
    );
}

#[test]
fn a_cancelled_serve_forever_waits_for_what_a_client_does_not_take_until_it_is_cancelled_again() {
    let program = async {
        let handler = async |reader: StreamReader, writer: StreamWriter| {
            writer.write(vec![b'x'; 20_000_000])?;
            say_bytes(reader.read_to_end().await);
            Ok(())
        };
        let server = start_server(handler, "127.0.0.1", 0).await?;
        let serving = create_task(server.serve_forever());
        yield_now().await?;
        let (_reader, writer) = connect(&server).await?;
        writer.transport().pause_reading();
        turns(5).await?;
        serving.cancel_msg("one");
        say("cancel");
        turns(5).await?;
        say(serving.done());
        serving.cancel_msg("two");
        say(serving.await.unwrap_err());
        server.abort_clients();
        server.wait_closed().await?;
        say("closed");
        Ok(())
    };
    says(program, &["15 cancel", "20 false", "22 two", "24 ''", "24 closed"]);
}

#[test]
fn wait_closed_waits_for_close_and_for_the_last_client() {
    let program = async {
        let server = start_server(
            async |reader: StreamReader, _writer| reader.read_to_end().await.map(drop),
            "127.0.0.1",
            0,
        )
        .await?;
        let (_reader, writer) = connect(&server).await?;
        turns(5).await?;
        let wait = |name: &'static str, server: Server| async move {
            server.wait_closed().await?;
            say(name);
            Ok::<(), Error>(())
        };
        let a = create_task(wait("a", server.clone()));
        yield_now().await?;
        server.close();
        let b = create_task(wait("b", server.clone()));
        say("close");
        turns(4).await?;
        say("client leaves");
        writer.close();
        writer.wait_closed().await?;
        say("gone");
        a.await?;
        b.await?;
        wait("c", server).await
    };
    says(program, &["15 close", "19 client leaves", "21 gone", "24 a", "24 b", "25 c"]);
}

#[test]
fn a_connection_accepted_in_the_turn_of_close_is_served() {
    let program = async {
        let hello = async |_reader, writer: StreamWriter| writer.write("hello");
        let server = start_server(hello, "127.0.0.1", 0).await?;
        let mut client = dial(&server);
        // The next turn accepts it; the one after comes here before it makes the connection.
        turns(2).await?;
        server.close();
        server.wait_closed().await?;
        let mut all = String::new();
        client.read_to_string(&mut all)?;
        assert_eq!(all, "hello");
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn a_server_without_start_serving_accepts_once_it_is_started() {
    let program = async {
        let hello = async |_reader, writer: StreamWriter| writer.write("hello");
        let server = start_server(hello, "127.0.0.1", 0).start_serving(false).await?;
        assert!(!server.is_serving());
        let mut client = dial(&server);
        turns(5).await?;
        server.start_serving().await?;
        server.start_serving().await?;
        assert!(server.is_serving());
        turns(5).await?;
        let mut all = String::new();
        client.read_to_string(&mut all)?;
        assert_eq!(all, "hello");
        server.close();
        let error = server.start_serving().await.unwrap_err();
        assert_eq!(error.to_string(), "server <Server sockets=()> is closed");
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn one_turn_accepts_one_connection_more_than_the_backlog() {
    let program = async {
        let count = Rc::new(Cell::new(0));
        let counts = count.clone();
        let keep = move |_, _| counts.set(counts.get() + 1);
        let server = start_server_with(keep, "127.0.0.1", 0).backlog(2).await?;
        let clients: Vec<_> = (0..7).map(|_| dial(&server)).collect();
        for _ in 0..7 {
            say(count.get());
            yield_now().await?;
        }
        drop(clients);
        server.close();
        Ok(())
    };
    says(program, &["5 0", "6 0", "7 0", "8 0", "9 3", "10 6", "11 7"]);
}

#[test]
fn a_server_whose_handles_are_dropped_serves_on() {
    let program = async {
        let server = start_server(async |_, w: StreamWriter| w.write("hello"), "127.0.0.1", 0).await?;
        let port = server.port();
        drop(server);
        let (reader, _writer) = looplab::net::open_connection("127.0.0.1", port).await?;
        assert_eq!(reader.read_to_end().await?, b"hello");
        Ok(())
    };
    says(program, &[]);
}

#[test]
fn a_plain_callback_that_fails_is_reported_and_its_connection_is_closed() {
    let program = async {
        let kept = RefCell::new(Vec::new());
        let fails = move |_, writer| {
            kept.borrow_mut().push(writer);
            Err::<(), _>(Error::msg("boom"))
        };
        let server = start_server_with(fails, "127.0.0.1", 0).await?;
        let (reader, _writer) = connect(&server).await?;
        say("open");
        say_bytes(reader.read_to_end().await);
        Ok(())
    };
    says(program, &["8 report: Unhandled exception in client_connected_cb: boom", "9 open", "11 ''"]);
}

#[test]
fn a_plain_callback_that_panics_is_reported_and_its_connection_is_closed() {
    let program = async {
        let panics = |_, _| -> () { panic!("boom") };
        let server = start_server_with(panics, "127.0.0.1", 0).await?;
        let (reader, _writer) = connect(&server).await?;
        say_bytes(reader.read_to_end().await);
        Ok(())
    };
    says(program, &["8 report: Unhandled exception in client_connected_cb: boom", "11 ''"]);
}

#[test]
fn a_cancellation_out_of_a_plain_callback_is_reported_as_any_callbacks_at_the_servers_place() {
    let program = async {
        let kept = Rc::new(RefCell::new(Vec::new()));
        let keeps = kept.clone();
        let cancelled = move |_, writer: StreamWriter| {
            keeps.borrow_mut().push(writer);
            Err::<(), _>(Error::cancelled())
        };
        let server = start_server_with(cancelled, "127.0.0.1", 0).await?;
        connect(&server).await?;
        assert!(!kept.borrow()[0].is_closing());
        Ok(())
    };
    let said = said(program);
    assert!(said.len() == 1 && said[0].starts_with("8 report: Exception in callback "), "{said:?}");
    assert!(said[0].contains("tests/net/server.rs"), "{said:?}");
}
