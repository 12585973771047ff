//! Other threads reach a loop through an inbox: a list and a flag under one lock, and a waker.
//!
//! The loop sets the flag when it goes to sleep, and only if the list is empty. A sender pushes to the
//! list, and wakes the loop if the flag is set. Because one lock guards both, no wake-up is lost: the
//! loop finds the call before it sleeps, or the sender finds the flag.

use mio::{Events, Poll, Token, Waker};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

type Callback = Box<dyn FnOnce()>;

/// A call that another thread has sent.
type Message = Box<dyn FnOnce() + Send>;

/// What other threads and the loop share.
#[derive(Default)]
struct Sent {
    messages: Vec<Message>,
    asleep: bool,
}

/// A handle for other threads. It is the only part of a loop that may leave its thread.
#[derive(Clone)]
struct Remote {
    sent: Arc<Mutex<Sent>>,
    waker: Arc<Waker>,
}

impl Remote {
    // ANCHOR: send
    /// Has the loop call `function`, from any thread (`loop.call_soon_threadsafe`).
    fn call_soon(&self, function: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut sent = self.sent.lock().expect("no thread panics under the lock");
        sent.messages.push(Box::new(function));
        let asleep = std::mem::take(&mut sent.asleep);
        drop(sent);
        // A loop that is awake looks into its inbox anyway: only a sleeping one costs a system call.
        if asleep { self.waker.wake() } else { Ok(()) }
    }
    // ANCHOR_END: send

    // ANCHOR: sleep
    /// Notes that the loop goes to sleep. Returns false if a call has come: then it must not sleep.
    fn going_to_sleep(&self) -> bool {
        let mut sent = self.sent.lock().expect("no thread panics under the lock");
        sent.asleep = sent.messages.is_empty();
        sent.asleep
    }
    // ANCHOR_END: sleep

    // ANCHOR: take
    /// Takes what was sent until now, and notes that the loop is awake.
    fn take(&self) -> Vec<Message> {
        let mut sent = self.sent.lock().expect("no thread panics under the lock");
        sent.asleep = false;
        std::mem::take(&mut sent.messages)
    }
    // ANCHOR_END: take
}

#[derive(Clone)]
struct EventLoop(Rc<Inner>);

struct Inner {
    ready: RefCell<VecDeque<Callback>>,
    poll: RefCell<Poll>,
    inbox: Remote,
    stopping: Cell<bool>,
}

impl EventLoop {
    fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), Token(0))?);
        Ok(Self(Rc::new(Inner {
            ready: RefCell::default(),
            poll: RefCell::new(poll),
            inbox: Remote { sent: Arc::default(), waker },
            stopping: Cell::new(false),
        })))
    }

    fn call_soon(&self, function: impl FnOnce() + 'static) {
        self.0.ready.borrow_mut().push_back(Box::new(function));
    }

    /// Returns the handle that other threads use.
    fn remote(&self) -> Remote {
        self.0.inbox.clone()
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

    /// Makes one turn: empties the inbox, polls, empties it again, runs the batch.
    fn turn(&self) -> io::Result<()> {
        // Calls of other threads come first, so that the choice of the timeout knows of them.
        self.empty_inbox();
        self.poll()?;
        self.empty_inbox();
        let frozen = self.0.ready.borrow().len();
        for _ in 0..frozen {
            let next = self.0.ready.borrow_mut().pop_front();
            if let Some(callback) = next {
                callback();
            }
        }
        Ok(())
    }

    // ANCHOR: poll
    /// Polls, and sleeps there only if there is nothing to do and the inbox is empty.
    fn poll(&self) -> io::Result<()> {
        let idle = self.0.ready.borrow().is_empty() && !self.0.stopping.get();
        let sleeps = idle && self.0.inbox.going_to_sleep();
        let timeout = if sleeps { None } else { Some(Duration::ZERO) };
        match self.0.poll.borrow_mut().poll(&mut Events::with_capacity(8), timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
    // ANCHOR_END: poll

    // ANCHOR: empty
    /// Queues what other threads have sent. The calls run with the batch, not here.
    fn empty_inbox(&self) {
        for message in self.0.inbox.take() {
            self.0.ready.borrow_mut().push_back(message);
        }
    }
    // ANCHOR_END: empty
}

thread_local! {
    /// The loop of this thread. A message is `Send` and a loop is not, so a message finds it here.
    static RUNNING: RefCell<Option<EventLoop>> = const { RefCell::new(None) };
}

fn running_loop() -> EventLoop {
    RUNNING.with_borrow(|lp| lp.clone().expect("a loop runs in this thread"))
}

/// Works for a moment and sends what comes of it.
fn work(remote: Remote) -> io::Result<()> {
    thread::sleep(Duration::from_millis(50)); // the loop is asleep when this is over
    for number in 1..=3 {
        remote.call_soon(move || println!("  from the thread: {number}"))?;
    }
    let sender = remote.clone();
    remote.call_soon(move || {
        println!("  a call that sends a call");
        sender.call_soon(|| running_loop().stop()).expect("the loop is open");
        running_loop().call_soon(|| println!("  a call of the loop's own"));
    })
}

fn main() -> io::Result<()> {
    let lp = EventLoop::new()?;
    RUNNING.set(Some(lp.clone()));
    let remote = lp.remote();
    println!("the loop has nothing to do");
    lp.call_soon(move || drop(thread::spawn(move || work(remote))));
    lp.run_forever()?;
    println!("the loop is stopped");
    Ok(())
}
