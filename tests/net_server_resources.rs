//! A server whose process has no descriptor left.

mod net_streams_support;
mod support;

use looplab::net::start_server_with;
use looplab::{Clock, EventLoop, ExceptionContext, Result, get_running_loop, sleep};
use net_streams_support::{dial, turns};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::cell::RefCell;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;
use support::{child, report};

#[test]
fn out_of_descriptors_is_reported_once_tried_again_a_second_later_and_loses_nobody() {
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
