//! What the tests with many connections share: descriptors enough for them, clients in a process of their own, and a
//! server that counts.
//!
//! The clients are blocking sockets on a few threads, which know nothing of looplab. They stand in another process so
//! that one process's limit of descriptors has to hold only one end of each connection, and so that the server's
//! descriptors can be counted.

use looplab::net::{Server, StreamReader, StreamWriter};
use looplab::sync::Event;
use looplab::{Error, EventLoop, ExceptionContext, Result, get_running_loop, yield_now};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;

/// A process needs some for itself: its standard streams, the poll, pipes, listening sockets.
const OWN: usize = 100;

/// Raises the limit of descriptors as far as it may be, and says how many connections of `wanted` there can be if each
/// takes `each` descriptors of this process.
pub(crate) fn room_for(wanted: usize, each: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .expect("no more than the hard limit");
    let most = limit.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    wanted.min(most.saturating_sub(OWN) / each)
}

/// What of `wanted` connections there were.
pub(crate) fn told(made: usize, wanted: usize, what: &str) -> String {
    let less = if made < wanted { " (the hard limit of descriptors allows no more)" } else { "" };
    format!("{made} of {wanted} {what}{less}")
}

/// How many descriptors this process has open.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}

/// What a loop holds. A test's own loop holds nothing but the task of the test and what it has begun.
pub(crate) fn held() -> Result<String> {
    let now = get_running_loop()?.snapshot();
    let (ready, timers) = (now.ready.len(), now.timers.len());
    let (io, jobs, tasks) = (now.io.len(), now.jobs.len(), now.tasks.len());
    Ok(format!("{ready} ready, {timers} timers, {io} descriptors, {jobs} jobs, {tasks} tasks"))
}

/// Until nothing is left to run at once: a few turns for what ends.
pub(crate) async fn settle() -> Result<()> {
    for _ in 0..5 {
        yield_now().await?;
    }
    Ok(())
}

/// Numbers, and a wait for them to come.
#[derive(Clone, Default)]
pub(crate) struct Seen(Rc<Numbers>);

#[derive(Default)]
struct Numbers {
    begun: Cell<usize>,
    ended: Cell<usize>,
    bytes: Cell<usize>,
    stuck: Cell<usize>,
    /// The clients' process has ended.
    over: Cell<bool>,
    changed: Event,
}

impl Seen {
    /// One more connection; it has ended when the guard is dropped.
    pub(crate) fn begin(&self) -> Begun {
        self.0.begun.set(self.0.begun.get() + 1);
        self.0.changed.set();
        Begun(self.clone())
    }

    pub(crate) fn count(&self, bytes: usize) {
        self.0.bytes.set(self.0.bytes.get() + bytes);
    }

    /// One more connection that takes no more bytes.
    pub(crate) fn sticks(&self) {
        self.0.stuck.set(self.0.stuck.get() + 1);
        self.0.changed.set();
    }

    pub(crate) fn stuck(&self) -> usize {
        self.0.stuck.get()
    }

    pub(crate) fn begun(&self) -> usize {
        self.0.begun.get()
    }

    pub(crate) fn ended(&self) -> usize {
        self.0.ended.get()
    }

    pub(crate) fn open(&self) -> usize {
        self.begun() - self.ended()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes.get()
    }

    /// The clients' process has ended: nothing more will come.
    pub(crate) fn over(&self) {
        self.0.over.set(true);
        self.0.changed.set();
    }

    /// Waits until this holds; looks again whenever a connection has begun, sticks or ended.
    pub(crate) async fn until(&self, holds: impl Fn(&Self) -> bool) -> Result<()> {
        while !holds(self) {
            if self.0.over.get() && self.open() == 0 {
                return Err(Error::msg("the clients have ended too early"));
            }
            self.0.changed.clear();
            self.0.changed.wait().await?;
        }
        Ok(())
    }
}

/// A connection that counts as open.
pub(crate) struct Begun(Seen);

impl Drop for Begun {
    fn drop(&mut self) {
        let numbers = &self.0.0;
        numbers.ended.set(numbers.ended.get() + 1);
        numbers.changed.set();
    }
}

/// Sends back what comes until the client says no more.
pub(crate) async fn echo(seen: &Seen, reader: &StreamReader, writer: &StreamWriter) -> Result<()> {
    loop {
        let bytes = reader.read(64 * 1024).await?;
        if bytes.is_empty() {
            break;
        }
        seen.count(bytes.len());
        writer.write(&bytes)?;
        writer.drain().await?;
    }
    writer.close();
    writer.wait_closed().await
}

/// Where it listens, for [`clients`].
pub(crate) fn addresses(server: &Server) -> String {
    let each = server.sockets().into_iter().map(|socket| socket.local_addr().to_string());
    each.collect::<Vec<_>>().join(",")
}

/// A loop, and what its exception handler gets: how often a connection was reset, and every other report in words.
pub(crate) fn reporting() -> (EventLoop, Reports) {
    let reports = Reports::default();
    let told = reports.clone();
    let lp = EventLoop::new().expect("a loop");
    lp.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| match context.error() {
        Some(Error::Io(error)) if error.kind() == ErrorKind::ConnectionReset => {
            told.resets.set(told.resets.get() + 1);
        }
        other => told.others.borrow_mut().push(format!("{}: {other:?}", context.message())),
    }));
    (lp, reports)
}

#[derive(Clone, Default)]
pub(crate) struct Reports {
    pub(crate) resets: Rc<Cell<usize>>,
    pub(crate) others: Rc<RefCell<Vec<String>>>,
}
