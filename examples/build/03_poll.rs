//! The loop sleeps in the poll: one system call waits for timers and for descriptors at once.
//!
//! The kernel reports an edge: "there is something new to read". asyncio promises a level: "there is
//! something to read", again in each turn until it is read. So the loop arms what was reported anew
//! before the next poll. A ready descriptor only queues its reader; the reader runs with the batch.

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

struct Callback {
    function: Box<dyn Fn()>,
    cancelled: Cell<bool>,
}

type Handle = Rc<Callback>;

impl Callback {
    fn new(function: impl Fn() + 'static) -> Handle {
        Rc::new(Self { function: Box::new(function), cancelled: Cell::new(false) })
    }

    fn run(&self) {
        if !self.cancelled.get() {
            (self.function)();
        }
    }
}

/// What waits for descriptors.
struct Reactor {
    poll: Poll,
    events: Events,
    readers: BTreeMap<RawFd, Handle>,
    /// What the last poll reported: to be armed again, because the kernel reports it only once.
    reported: Vec<RawFd>,
}

impl Reactor {
    fn new() -> io::Result<Self> {
        let (readers, reported) = (BTreeMap::new(), Vec::new());
        Ok(Self { poll: Poll::new()?, events: Events::with_capacity(64), readers, reported })
    }

    fn add(&mut self, fd: RawFd, reader: Handle) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&fd), token(fd), Interest::READABLE)?;
        self.readers.insert(fd, reader);
        Ok(())
    }

    fn remove(&mut self, fd: RawFd) -> io::Result<Option<Handle>> {
        self.poll.registry().deregister(&mut SourceFd(&fd))?;
        Ok(self.readers.remove(&fd))
    }

    // ANCHOR: rearm
    /// Arms again what the last poll reported, so that the next one reports what is still ready.
    fn rearm(&mut self) -> io::Result<()> {
        for fd in std::mem::take(&mut self.reported) {
            if self.readers.contains_key(&fd) {
                self.poll.registry().reregister(&mut SourceFd(&fd), token(fd), Interest::READABLE)?;
            }
        }
        Ok(())
    }
    // ANCHOR_END: rearm

    // ANCHOR: poll
    /// Waits until a descriptor is ready or the time is over, and returns the readers to be queued.
    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<Vec<Handle>> {
        self.rearm()?;
        match self.poll.poll(&mut self.events, timeout) {
            // A signal has interrupted the wait: this turn finds nothing, and the next one waits on.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Vec::new()),
            polled => polled?,
        }
        self.reported = self.events.iter().map(|event| event.token().0 as RawFd).collect();
        Ok(self.reported.iter().filter_map(|fd| self.readers.get(fd).cloned()).collect())
    }
    // ANCHOR_END: poll
}

/// A descriptor is its own name in the poll.
fn token(fd: RawFd) -> Token {
    Token(fd as usize)
}

#[derive(Clone)]
struct EventLoop(Rc<Inner>);

struct Inner {
    ready: RefCell<VecDeque<Handle>>,
    timers: RefCell<BTreeMap<(Instant, u64), Handle>>,
    timers_set: Cell<u64>,
    reactor: RefCell<Reactor>,
    stopping: Cell<bool>,
}

impl EventLoop {
    fn new() -> io::Result<Self> {
        Ok(Self(Rc::new(Inner {
            ready: RefCell::default(),
            timers: RefCell::default(),
            timers_set: Cell::new(0),
            reactor: RefCell::new(Reactor::new()?),
            stopping: Cell::new(false),
        })))
    }

    fn call_soon(&self, function: impl Fn() + 'static) {
        self.0.ready.borrow_mut().push_back(Callback::new(function));
    }

    fn call_later(&self, delay: Duration, function: impl Fn() + 'static) {
        let sequence = self.0.timers_set.get();
        self.0.timers_set.set(sequence + 1);
        let key = (Instant::now() + delay, sequence);
        self.0.timers.borrow_mut().insert(key, Callback::new(function));
    }

    /// Calls `function` in each turn in which the descriptor can be read (`loop.add_reader`).
    fn add_reader(&self, fd: RawFd, function: impl Fn() + 'static) -> io::Result<()> {
        self.0.reactor.borrow_mut().add(fd, Callback::new(function))
    }

    // ANCHOR: remove
    /// Removes a reader (`loop.remove_reader`). If the poll has queued it already, it is skipped.
    fn remove_reader(&self, fd: RawFd) -> io::Result<()> {
        let removed = self.0.reactor.borrow_mut().remove(fd)?;
        if let Some(reader) = removed {
            reader.cancelled.set(true);
        }
        Ok(())
    }
    // ANCHOR_END: remove

    fn stop(&self) {
        self.0.stopping.set(true);
    }

    fn run_forever(&self) -> io::Result<()> {
        loop {
            self.turn()?;
            if self.0.stopping.get() {
                break;
            }
        }
        self.0.stopping.set(false);
        Ok(())
    }

    // ANCHOR: turn
    /// Makes one turn: polls, queues the readers and then the due timers, runs the batch.
    fn turn(&self) -> io::Result<()> {
        let readers = self.0.reactor.borrow_mut().poll(self.timeout())?;
        self.0.ready.borrow_mut().extend(readers);
        self.queue_due_timers();
        let frozen = self.0.ready.borrow().len();
        for _ in 0..frozen {
            let next = self.0.ready.borrow_mut().pop_front();
            if let Some(callback) = next {
                callback.run();
            }
        }
        Ok(())
    }
    // ANCHOR_END: turn

    fn timeout(&self) -> Option<Duration> {
        if !self.0.ready.borrow().is_empty() || self.0.stopping.get() {
            return Some(Duration::ZERO);
        }
        let timers = self.0.timers.borrow();
        let ((when, _), _) = timers.first_key_value()?;
        Some(when.saturating_duration_since(Instant::now()))
    }

    fn queue_due_timers(&self) {
        let now = Instant::now();
        let mut timers = self.0.timers.borrow_mut();
        while let Some(first) = timers.first_entry().filter(|first| first.key().0 <= now) {
            self.0.ready.borrow_mut().push_back(first.remove());
        }
    }
}

/// Queues itself turn after turn, until `done` is set.
fn keep_busy(lp: &EventLoop, done: &Rc<Cell<bool>>) {
    let (this, until) = (lp.clone(), done.clone());
    if !done.get() {
        lp.call_soon(move || keep_busy(&this, &until));
    }
}

fn main() -> io::Result<()> {
    let lp = EventLoop::new()?;
    let done = Rc::new(Cell::new(false));
    let (reader, writer) = io::pipe()?;
    let fd = reader.as_raw_fd();

    let (this, all_read) = (lp.clone(), done.clone());
    lp.add_reader(fd, move || {
        let mut byte = [0];
        (&reader).read_exact(&mut byte).expect("the loop says that there is one");
        println!("  reads {}", byte[0] as char);
        this.call_soon(|| println!("  a callback between"));
        if &byte == b"c" {
            this.remove_reader(fd).expect("it is there");
            all_read.set(true);
            let stops = this.clone();
            this.call_later(Duration::from_millis(10), move || stops.stop());
        }
    })?;

    let this = lp.clone();
    lp.call_later(Duration::from_millis(20), move || {
        println!("  a timer writes abc");
        (&writer).write_all(b"abc").expect("the pipe has room");
        this.call_soon(|| println!("  ready before the poll"));
        keep_busy(&this, &done);
    });
    println!("the loop sleeps in the poll");
    lp.run_forever()?;
    println!("the loop is stopped");
    Ok(())
}
