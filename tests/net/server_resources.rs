//! What a server holds, and when it gives it back: with its loop, and in a process that has no descriptor left.

use crate::helpers::streams::{dial, turns};
use looplab::net::{Server, start_server_with, start_unix_server};
use looplab::{Clock, EventLoop, ExceptionContext, Result, create_task, get_running_loop, sleep, yield_now};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::cell::{Cell, RefCell};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;
use support::{Drops, child, report, watchdog};

#[test]
fn out_of_descriptors_is_reported_once_tried_again_a_second_later_and_loses_no_client() {
    let ended = child!(|| {
        let reports = Rc::new(RefCell::new(Vec::new()));
        let seen = reports.clone();
        let lp = EventLoop::builder().clock(Clock::virtual_time()).build().expect("a loop");
        lp.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| {
            seen.borrow_mut().push(format!("{}: {}", context.message(), context.error().expect("an error")));
        }));
        let program = async move {
            let kept = Rc::new(RefCell::new(Vec::new()));
            let keeps = kept.clone();
            let keep = move |reader, writer| keeps.borrow_mut().push(Some((reader, writer)));
            let server = start_server_with(keep, "127.0.0.1", 0).backlog(5).await?;
            let began = get_running_loop()?.time();
            let say = |what: &str| -> Result<()> {
                let passed = get_running_loop()?.time() - began;
                let counts = (kept.borrow().len(), reports.borrow().len());
                report(format!(
                    "{what} after {} s: {} accepted, {} reports",
                    passed.as_secs(),
                    counts.0,
                    counts.1
                ));
                Ok(())
            };
            let clients = [dial(&server), dial(&server), dial(&server)];
            let before = no_more_descriptors();
            sleep(Duration::from_millis(500)).await?;
            say("exhausted")?;
            sleep(Duration::from_secs(2)).await?;
            say("still")?;
            descriptors(before);
            sleep(Duration::from_secs(1)).await?;
            say("freed")?;

            let fourth = dial(&server);
            no_more_descriptors();
            turns(10).await?;
            say("again")?;
            server.close();
            descriptors(before);
            // While a connection is open, virtual time passes no faster than the real one.
            kept.borrow_mut().iter_mut().for_each(|connection| *connection = None);
            turns(3).await?;
            sleep(Duration::from_secs(5)).await?;
            say("closed in the pause")?;
            report(&reports.borrow()[0]);
            drop((clients, fourth));
            Ok(())
        };
        lp.run_until_complete(program).expect("it ends well");
    });
    assert_eq!(
        ended.lines,
        [
            "exhausted after 0 s: 0 accepted, 1 reports",
            "still after 2 s: 0 accepted, 3 reports",
            "freed after 3 s: 3 accepted, 3 reports",
            "again after 3 s: 3 accepted, 4 reports",
            "closed in the pause after 8 s: 3 accepted, 4 reports",
            "socket.accept() out of system resource: Too many open files (os error 24)",
        ]
    );
}

/// Sets the limit so that no descriptor can be had any more; the limit before.
fn no_more_descriptors() -> Option<u64> {
    let before = getrlimit(Resource::Nofile);
    let free = std::fs::File::open("/dev/null").expect("one more").as_raw_fd();
    descriptors(u64::try_from(free).ok());
    before.current
}

fn descriptors(most: Option<u64>) {
    let limit = Rlimit { current: most, maximum: getrlimit(Resource::Nofile).maximum };
    setrlimit(Resource::Nofile, limit).expect("a lower limit than the hard one");
}

/// Nothing is left of a server but its handle.
fn is_over(server: &Server, port: u16) {
    assert!(!server.is_serving() && server.sockets().is_empty());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nobody listens");
}

#[test]
fn closing_a_loop_ends_its_servers_whether_they_serve_or_only_listen() {
    let _dog = watchdog();
    for serving in [true, false] {
        let lp = EventLoop::new().expect("a loop");
        let program = async move {
            let server = start_server_with(|_, _| (), "127.0.0.1", 0).start_serving(serving).await?;
            Ok((server.clone(), server.port()))
        };
        let (server, port) = lp.run_until_complete(program).expect("it ends well");
        let client = dial(&server);
        lp.close().expect("it does not run");
        is_over(&server, port);
        drop(client);
    }
}

#[test]
fn dropping_a_loop_ends_a_server_that_its_own_handler_holds() {
    let _dog = watchdog();
    let drops = Drops::default();
    for (open_client, close_first) in [(false, false), (true, false), (false, true)] {
        let lp = EventLoop::new().expect("a loop");
        let (held, guard) = (Rc::new(RefCell::new(None::<Server>)), drops.guard());
        let (keeps, seen) = (held.clone(), drops.count());
        let program = async move {
            let connected = Rc::new(Cell::new(false));
            let (told, writers) = (connected.clone(), RefCell::new(Vec::new()));
            let handler = move |_, writer| {
                let _ = (&guard, &keeps);
                writers.borrow_mut().push(writer);
                told.set(true);
            };
            let server = start_server_with(handler, "127.0.0.1", 0).await?;
            *held.borrow_mut() = Some(server.clone());
            let client = open_client.then(|| dial(&server));
            while open_client && !connected.get() {
                yield_now().await?;
            }
            let port = server.port();
            if close_first {
                server.close();
            }
            drop(client);
            Ok(port)
        };
        let port = lp.run_until_complete(program).expect("it ends well");
        // A closed server without connections has let go of its handler already.
        assert_eq!(drops.count() - seen, usize::from(close_first));
        drop(lp);
        assert_eq!(drops.count() - seen, 1, "the handler is dropped");
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nobody listens");
    }
}

#[test]
fn closing_a_loop_removes_a_unix_servers_file_and_ends_its_serve_forever() {
    let _dog = watchdog();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let lp = EventLoop::new().expect("a loop");
    let bound = path.clone();
    let program = async move {
        let server = start_unix_server(async |_, _| {}, &bound).await?;
        let serving = create_task(server.serve_forever());
        yield_now().await?;
        Ok((server, serving))
    };
    let (server, serving) = lp.run_until_complete(program).expect("it ends well");
    assert!(path.exists() && server.is_serving());
    lp.close().expect("it does not run");
    assert!(!path.exists() && !server.is_serving() && !serving.done());
}

#[test]
fn a_server_that_rests_without_descriptors_frees_its_port_with_its_loop() {
    let ended = child!(|| {
        let lp = EventLoop::new().expect("a loop");
        lp.set_exception_handler(Some(|_: &EventLoop, context: &ExceptionContext| report(context.message())));
        let program = async move {
            let server = start_server_with(|_, _| (), "127.0.0.1", 0).await?;
            let client = dial(&server);
            let before = no_more_descriptors();
            turns(5).await?;
            descriptors(before);
            drop(client);
            Ok(server.port())
        };
        let port = lp.run_until_complete(program).expect("it ends well");
        lp.close().expect("it does not run");
        report(format!("connected: {}", TcpStream::connect(("127.0.0.1", port)).is_ok()));
    });
    assert_eq!(ended.lines, ["socket.accept() out of system resource", "connected: false"]);
}
