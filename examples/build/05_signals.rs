//! A signal handler of the system may do almost nothing, so it writes one byte into a pipe.
//!
//! The pipe is the loop's own: the self-pipe. A signal so becomes what the loop can wait for already,
//! a readable descriptor. The loop reads the bytes and queues the program's handler once for each. So
//! a handler runs between callbacks, never inside one. A byte means "at least one came": the kernel
//! merges signals that it holds back, and a full pipe takes no more bytes.

use mio::net::UnixStream as Reader;
use mio::{Events, Interest, Poll, Token};
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGTERM, SIGUSR1};
use signal_hook::low_level::{pipe, raise, unregister};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

type Callback = Rc<dyn Fn()>;

/// The self-pipe of one signal, and the handler that its bytes call.
struct SignalHandler {
    pipe: Reader,
    /// The action that the kernel calls. It writes a byte into the other end.
    action: SigId,
    handler: Callback,
}

#[derive(Clone)]
struct EventLoop(Rc<Inner>);

struct Inner {
    ready: RefCell<VecDeque<Callback>>,
    poll: RefCell<Poll>,
    /// By the signal's number, which is also its name in the poll.
    signals: RefCell<BTreeMap<i32, SignalHandler>>,
    stopping: Cell<bool>,
}

impl EventLoop {
    fn new() -> io::Result<Self> {
        Ok(Self(Rc::new(Inner {
            ready: RefCell::default(),
            poll: RefCell::new(Poll::new()?),
            signals: RefCell::default(),
            stopping: Cell::new(false),
        })))
    }

    fn call_soon(&self, function: impl Fn() + 'static) {
        self.0.ready.borrow_mut().push_back(Rc::new(function));
    }

    // ANCHOR: add
    /// Has the loop call `handler` when the signal has come, at least once (`loop.add_signal_handler`).
    fn add_signal_handler(&self, signal: i32, handler: impl Fn() + 'static) -> io::Result<()> {
        self.remove_signal_handler(signal)?;
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        let mut pipe = Reader::from_std(read);
        let token = Token(signal as usize);
        self.0.poll.borrow().registry().register(&mut pipe, token, Interest::READABLE)?;
        let action = pipe::register(signal, write)?;
        let handler = SignalHandler { pipe, action, handler: Rc::new(handler) };
        self.0.signals.borrow_mut().insert(signal, handler);
        Ok(())
    }
    // ANCHOR_END: add

    /// Returns whether there was a handler (`loop.remove_signal_handler`).
    fn remove_signal_handler(&self, signal: i32) -> io::Result<bool> {
        let Some(mut removed) = self.0.signals.borrow_mut().remove(&signal) else { return Ok(false) };
        unregister(removed.action);
        self.0.poll.borrow().registry().deregister(&mut removed.pipe)?;
        Ok(true)
    }

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
    /// Makes one turn: polls, queues the reading of each self-pipe that has bytes, runs the batch.
    fn turn(&self) -> io::Result<()> {
        for signal in self.poll()? {
            let this = self.clone();
            self.call_soon(move || this.read_signal(signal));
        }
        let frozen = self.0.ready.borrow().len();
        for _ in 0..frozen {
            let next = self.0.ready.borrow_mut().pop_front();
            if let Some(callback) = next {
                callback();
            }
        }
        Ok(())
    }
    // ANCHOR_END: turn

    /// Waits until something is to be done, and returns the signals whose pipes have bytes.
    fn poll(&self) -> io::Result<Vec<i32>> {
        let busy = !self.0.ready.borrow().is_empty() || self.0.stopping.get();
        let mut events = Events::with_capacity(64);
        match self.0.poll.borrow_mut().poll(&mut events, busy.then_some(Duration::ZERO)) {
            // The signal itself has ended the wait. Its byte is found by the next poll.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Vec::new()),
            polled => polled?,
        }
        Ok(events.iter().map(|event| event.token().0 as i32).collect())
    }

    // ANCHOR: read
    /// Reads a self-pipe until it is empty, and queues the handler once for each byte.
    fn read_signal(&self, signal: i32) {
        let signals = self.0.signals.borrow();
        let Some(SignalHandler { pipe, handler, .. }) = signals.get(&signal) else { return };
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = (&*pipe).read(&mut bytes) {
            for _ in 0..count {
                self.0.ready.borrow_mut().push_back(handler.clone());
            }
        }
    }
    // ANCHOR_END: read
}

/// Sends a signal to this process, as `kill` would.
fn send(signal: i32, times: usize) {
    for _ in 0..times {
        raise(signal).expect("a signal of this system");
    }
}

/// Calls `function` after this number of turns.
fn after(lp: &EventLoop, turns: usize, function: fn(&EventLoop)) {
    let this = lp.clone();
    lp.call_soon(move || if turns == 0 { function(&this) } else { after(&this, turns - 1, function) });
}

fn main() -> io::Result<()> {
    let lp = EventLoop::new()?;
    let handled = Rc::new(Cell::new(0));

    println!("one, in the middle of a callback");
    lp.add_signal_handler(SIGUSR1, || println!("  SIGUSR1"))?;
    lp.add_signal_handler(SIGHUP, || println!("  never printed"))?;
    lp.add_signal_handler(SIGHUP, || println!("  SIGHUP"))?;
    let this = lp.clone();
    lp.add_signal_handler(SIGTERM, move || {
        println!("  SIGTERM stops the loop");
        this.stop();
    })?;
    let this = lp.clone();
    lp.call_soon(move || {
        send(SIGUSR1, 1);
        println!("  after the signal");
        this.call_soon(|| println!("  a callback of the next turn"));
    });
    lp.call_soon(|| println!("  another callback of the same turn"));
    after(&lp, 5, EventLoop::stop);
    lp.run_forever()?;

    println!("three, one by one, then two others");
    lp.call_soon(|| send(SIGUSR1, 3));
    lp.call_soon(|| send(SIGHUP, 1));
    lp.call_soon(|| send(SIGTERM, 1));
    lp.run_forever()?;

    println!("a thousand");
    let count = handled.clone();
    lp.add_signal_handler(SIGUSR1, move || count.set(count.get() + 1))?;
    lp.call_soon(|| send(SIGUSR1, 1000));
    after(&lp, 5, EventLoop::stop);
    lp.run_forever()?;
    println!("  some were handled: {}, and all: {}", handled.get() > 0, handled.get() == 1000);
    for _ in 0..2 {
        println!("  removed: {}", lp.remove_signal_handler(SIGUSR1)?);
    }
    Ok(())
}
