//! An application's life, from its startup to its cleanup: what signals mean to it, and what becomes of its requests.
//!
//! Each test runs in a process of its own, as signals belong to the process. The clients are threads of it with blocking
//! sockets; nothing waits for time to pass but the deadlines that are tested themselves.

use app::browser::{Answer, answer, ask, gate, get, listen, send};
use app::{App, Options, Request, Response, Running, Serving, run_app, text};
use looplab::sync::Event;
use looplab::{Error, Result, Signal, sleep};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use support::{child, report};

const HOUR: Duration = Duration::from_secs(3600);

/// One whose hooks report themselves.
fn app() -> App {
    let app = App::new();
    app.route("/", async |_, _| Ok(text("hello")));
    app.on_shutdown(reports("on_shutdown"));
    app.on_cleanup(reports("on_cleanup"));
    app
}

fn reports(name: &'static str) -> impl AsyncFn(App) -> Result<()> {
    async move |_| {
        report(name);
        Ok(())
    }
}

/// A handler that sends the first signal, and never answers.
async fn stuck(_: App, _: Request) -> Result<Response> {
    send(Signal::SIGTERM);
    let slept = sleep(HOUR).await;
    report("request cancelled");
    slept.map(|()| text(""))
}

/// Reports when it is entered and when it is left, and how.
fn context(name: &'static str) -> impl AsyncFn(App, Serving) -> Result<()> {
    async move |_, serving| {
        report(format!("{name} opened"));
        let served = serving.await;
        report(format!("{name} closed, {}", if served.is_ok() { "after serving" } else { "unserved" }));
        served
    }
}

fn said(answer: &std::result::Result<Answer, &'static str>) -> String {
    answer.as_ref().map_or_else(|name| (*name).to_owned(), Answer::to_string)
}

/// Asks for `path` and tells what came of it.
fn user(address: SocketAddr, path: &'static str) -> JoinHandle<String> {
    thread::spawn(move || said(&get(address, path)))
}

fn signalled_in_mid_request(signal: Signal) -> Result<()> {
    let socket = listen()?;
    let address = socket.local_addr()?;
    let app = app();
    let closing = Event::new();
    let closed = closing.clone();
    app.route("/slow", async move |_, _| {
        report("request begins");
        send(signal);
        closed.wait().await?; // set when the port is closed
        report("request ends");
        Ok(text("done"))
    });
    app.on_shutdown(async move |_| {
        report(said(&get(address, "/")));
        closing.set();
        Ok(())
    });
    let user = user(address, "/slow");
    run_app(&app, socket, Options::default())?;
    report(user.join().expect("no panic"));
    Ok(())
}

const IN_MID_REQUEST: [&str; 6] =
    ["request begins", "on_shutdown", "ConnectionRefusedError", "request ends", "on_cleanup", "200 done"];

#[test]
fn sigterm_in_mid_request_refuses_the_next_and_answers_this_one() {
    assert_eq!(child!(|| signalled_in_mid_request(Signal::SIGTERM)).fine(), IN_MID_REQUEST);
}

#[test]
fn ctrl_c_in_mid_request_does_the_same() {
    assert_eq!(child!(|| signalled_in_mid_request(Signal::SIGINT)).fine(), IN_MID_REQUEST);
}

#[test]
fn an_idle_connection_is_closed_at_once_while_a_request_is_in_flight() {
    let ended = child!(|| {
        let socket = listen()?;
        let address = socket.local_addr()?;
        let app = app();
        let ((kept, is_kept), (closed, is_closed)) = (gate(), gate());
        app.route("/slow", async move |_, _| {
            send(Signal::SIGTERM);
            while is_closed.try_recv().is_err() {
                sleep(Duration::from_millis(1)).await?;
            }
            Ok(text("done"))
        });
        let idle = thread::spawn(move || -> std::io::Result<usize> {
            let mut stream = TcpStream::connect(address)?;
            ask(&mut stream, "/")?;
            let _ = kept.send(());
            let rest = stream.read_to_end(&mut Vec::new())?;
            let _ = closed.send(());
            Ok(rest)
        });
        let busy = thread::spawn(move || {
            let _ = is_kept.recv();
            said(&get(address, "/slow"))
        });
        run_app(&app, socket, Options::default())?;
        report(format!("idle: {} bytes", idle.join().expect("no panic")?));
        report(busy.join().expect("no panic"));
        Ok(())
    });
    assert_eq!(ended.fine(), ["on_shutdown", "on_cleanup", "idle: 0 bytes", "200 done"]);
}

#[test]
fn what_had_come_when_the_port_was_closed_is_answered() {
    let ended = child!(|| {
        let socket = listen()?;
        let address = socket.local_addr()?;
        let app = app();
        let (kept, is_kept) = gate();
        let (written, is_written) = gate();
        app.route("/go", async move |_, _| {
            // The kept connection asks, and in the same callback the signal is sent.
            let _ = kept.send(());
            let _ = is_written.recv();
            send(Signal::SIGTERM);
            Ok(text("gone"))
        });
        let idle = thread::spawn(move || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(address)?;
            ask(&mut stream, "/")?;
            let other = thread::spawn(move || get(address, "/go"));
            let _ = is_kept.recv();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
            let _ = written.send(());
            let answers = format!("{}, {}", answer(&mut stream)?, said(&other.join().expect("no panic")));
            assert_eq!(stream.read(&mut [0])?, 0);
            Ok(answers)
        });
        run_app(&app, socket, Options::default())?;
        report(idle.join().expect("no panic")?);
        Ok(())
    });
    assert_eq!(ended.fine(), ["on_shutdown", "on_cleanup", "200 hello, 200 gone"]);
}

#[test]
fn behind_the_deadline_the_rest_is_cancelled_and_the_cleanup_runs() {
    let ended = child!(|| {
        let socket = listen()?;
        let address = socket.local_addr()?;
        let app = app();
        app.context(context("redis"));
        app.route("/stuck", stuck);
        // Has begun a request and does not go on.
        let mut half = TcpStream::connect(address)?;
        half.write_all(b"GET / HTTP/1.1\r\nHos")?;
        let user = user(address, "/stuck");
        let options = Options { shutdown_timeout: Duration::from_millis(50), ..Options::default() };
        run_app(&app, socket, options)?;
        report(user.join().expect("no panic"));
        report(format!("half a request: {} bytes", half.read_to_end(&mut Vec::new())?));
        Ok(())
    });
    let expected = [
        "redis opened",
        "on_shutdown",
        "request cancelled",
        "redis closed, after serving",
        "on_cleanup",
        "RemoteDisconnected",
        "half a request: 0 bytes",
    ];
    assert_eq!(ended.fine(), expected);
}

#[test]
fn a_second_signal_gives_up_the_requests_and_the_cleanup() {
    let ended = child!(|| {
        let socket = listen()?;
        let address = socket.local_addr()?;
        let app = app();
        app.context(context("redis"));
        app.on_shutdown(async |_| {
            send(Signal::SIGTERM);
            Ok(())
        });
        app.route("/stuck", stuck);
        let user = user(address, "/stuck");
        report(format!("{:?}", run_app(&app, socket, Options::default())));
        report(user.join().expect("no panic"));
        Ok(())
    });
    let expected = [
        "redis opened",
        "on_shutdown",
        "request cancelled",
        "redis closed, unserved",
        "Err(SystemExit: 1)",
        "RemoteDisconnected",
    ];
    assert_eq!(ended.fine(), expected);
}

#[test]
fn a_request_that_will_not_end_is_left_by_the_third_signal() {
    let ended = child!(|| {
        let socket = listen()?;
        let address = socket.local_addr()?;
        let app = app();
        app.on_shutdown(async |_| {
            send(Signal::SIGTERM); // the second
            Ok(())
        });
        app.route("/stubborn", async |_, _| {
            send(Signal::SIGTERM); // the first
            loop {
                let _ = sleep(HOUR).await;
                report("I stay");
                send(Signal::SIGTERM); // the third
            }
        });
        let user = user(address, "/stubborn");
        report(format!("{:?}", run_app(&app, socket, Options::default())));
        report(user.join().expect("no panic"));
        Ok(())
    });
    assert_eq!(ended.fine(), ["on_shutdown", "I stay", "Err(SystemExit: 1)", "RemoteDisconnected"]);
}

fn signalled_in_the_startup(signal: Signal) -> Result<()> {
    let app = app();
    app.context(context("database"));
    app.context(context("redis"));
    app.on_startup(async move |_| {
        send(signal);
        let slept = sleep(HOUR).await;
        report("startup cancelled");
        slept
    });
    app.on_startup(reports("a later hook"));
    run_app(&app, listen()?, Options::default())?;
    report("returned");
    Ok(())
}

const IN_THE_STARTUP: [&str; 6] = [
    "database opened",
    "redis opened",
    "startup cancelled",
    "redis closed, unserved",
    "database closed, unserved",
    "returned",
];

#[test]
fn sigterm_ends_an_endless_startup_and_what_was_opened_is_closed() {
    assert_eq!(child!(|| signalled_in_the_startup(Signal::SIGTERM)).fine(), IN_THE_STARTUP);
}

#[test]
fn ctrl_c_ends_an_endless_startup_in_the_same_way() {
    assert_eq!(child!(|| signalled_in_the_startup(Signal::SIGINT)).fine(), IN_THE_STARTUP);
}

#[test]
fn a_failing_startup_is_the_programs_error_and_what_was_opened_is_closed() {
    let ended = child!(|| {
        let app = app();
        app.context(context("database"));
        app.context(async |_, _| Err(Error::msg("no redis")));
        app.context(context("never"));
        app.on_startup(reports("a later hook"));
        report(run_app(&app, listen()?, Options::default()).expect_err("no redis"));
        Ok(())
    });
    assert_eq!(ended.fine(), ["database opened", "database closed, unserved", "no redis"]);
}

#[test]
fn a_context_that_ends_before_the_serving_is_an_error() {
    let ended = child!(|| {
        let app = app();
        app.context(async |_, _| Ok(()));
        report(run_app(&app, listen()?, Options::default()).expect_err("it has not waited"));
        Ok(())
    });
    assert_eq!(ended.fine(), ["a context ended before the application has served"]);
}

#[test]
fn an_address_in_use_fails_behind_the_startup_and_runs_the_cleanup() {
    let ended = child!(|| {
        let taken = listen()?;
        let app = app();
        app.context(context("redis"));
        let error = run_app(&app, taken.local_addr()?, Options::default()).expect_err("the port is taken");
        report(matches!(error, Error::Io(error) if error.kind() == std::io::ErrorKind::AddrInUse));
        Ok(())
    });
    let expected = ["redis opened", "on_shutdown", "redis closed, after serving", "on_cleanup", "true"];
    assert_eq!(ended.fine(), expected);
}

#[test]
fn a_context_that_fails_at_its_end_keeps_no_other_from_being_left() {
    let ended = child!(|| {
        let app = app();
        app.context(context("database"));
        app.context(async |_, serving: Serving| {
            serving.await?;
            Err(Error::msg("it would not close"))
        });
        let ended =
            looplab::run(async move { Running::start(app, listen()?).await?.end(Duration::ZERO).await });
        report(ended.expect_err("a context failed"));
        Ok(())
    });
    let expected = ["database opened", "on_shutdown", "database closed, after serving", "it would not close"];
    assert_eq!(ended.fine(), expected);
}

#[test]
fn several_contexts_that_fail_at_their_end_are_told_as_errors_of_the_cleanup() {
    let ended = child!(|| {
        let app = app();
        for name in ["cache", "database"] {
            app.context(async move |_, serving: Serving| {
                serving.await?;
                Err(Error::msg(format!("{name} would not close")))
            });
        }
        let ended =
            looplab::run(async move { Running::start(app, listen()?).await?.end(Duration::ZERO).await });
        let error = ended.expect_err("two contexts failed");
        report(&error);
        let Error::Group(errors) = error else { panic!("a group") };
        errors.iter().for_each(report);
        Ok(())
    });
    let expected = [
        "on_shutdown",
        "Multiple errors on cleanup stage (2 sub-exceptions)",
        "database would not close",
        "cache would not close",
    ];
    assert_eq!(ended.fine(), expected);
}

#[test]
fn a_client_that_goes_away_does_not_cancel_its_handler() {
    let ended = child!(|| {
        let socket = listen()?;
        let address = socket.local_addr()?;
        let app = app();
        let (begun, has_begun) = gate();
        app.route("/work", async move |_, _| {
            let _ = begun.send(());
            sleep(Duration::from_millis(50)).await?;
            report("work done");
            send(Signal::SIGTERM);
            Ok(text(""))
        });
        let user = thread::spawn(move || -> std::io::Result<()> {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(b"GET /work HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
            let _ = has_begun.recv();
            Ok(())
        });
        run_app(&app, socket, Options::default())?;
        user.join().expect("no panic")?;
        Ok(())
    });
    assert_eq!(ended.fine(), ["work done", "on_shutdown", "on_cleanup"]);
}

#[test]
fn a_handler_that_fails_or_panics_answers_500_and_the_connection_goes_on() {
    let ended = child!(|| {
        let socket = listen()?;
        let address = socket.local_addr()?;
        let app = app();
        app.route("/error", async |_, _| Err(Error::msg("no")));
        app.route("/panic", async |_, _| panic!("no"));
        let user = thread::spawn(move || -> std::io::Result<()> {
            let mut stream = TcpStream::connect(address)?;
            for path in ["/error", "/panic", "/nowhere", "/"] {
                report(format!("{path} {}", ask(&mut stream, path)?));
            }
            send(Signal::SIGTERM);
            Ok(())
        });
        run_app(&app, socket, Options::default())?;
        user.join().expect("no panic")?;
        Ok(())
    });
    let answers = [
        "/error 500 500 Internal Server Error",
        "/panic 500 500 Internal Server Error",
        "/nowhere 404 404: Not Found",
        "/ 200 hello",
    ];
    let lines = ended.fine();
    assert_eq!(lines[..4], answers);
    assert_eq!(lines[4..], ["on_shutdown", "on_cleanup"]);
}
