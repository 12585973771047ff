//! Code that blocks gets a thread of its own, and its result comes back as a call of another thread.
//!
//! The jobs wait in a channel. A thread takes one, runs it, and sends the result to the loop's inbox.
//! The loop then sets the job's future: a thread never touches a future. Cancelling the future of a
//! job that has begun does not stop the job, because nothing can stop a thread. A job that has not
//! begun is withdrawn. A shutdown waits for what runs and for what is queued.

use crossbeam_channel::{Receiver, Sender, unbounded};
use mio::{Events, Poll, Token, Waker};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

type Callback = Box<dyn FnOnce()>;
type Outcome = Result<&'static str, &'static str>;
type Function = Box<dyn FnOnce() -> Outcome + Send>;

/// What a thread needs of a job. A thread that takes a job claims it, and a cancel claims it, too: the
/// first of them wins.
struct Job {
    key: usize,
    function: Function,
    claimed: Arc<AtomicBool>,
}

/// The result of a job, on its way to the loop.
struct Ended {
    key: usize,
    outcome: Outcome,
}

/// How threads reach the loop: chapter 4's inbox, for one kind of message.
#[derive(Clone)]
struct Remote {
    sent: Arc<Mutex<(Vec<Ended>, bool)>>,
    waker: Arc<Waker>,
}

impl Remote {
    fn send(&self, ended: Ended) {
        let mut sent = self.sent.lock().expect("no panic under the lock");
        sent.0.push(ended);
        let asleep = std::mem::take(&mut sent.1);
        drop(sent);
        if asleep {
            self.waker.wake().expect("the loop's poll is open");
        }
    }

    fn take(&self, goes_to_sleep: bool) -> Vec<Ended> {
        let mut sent = self.sent.lock().expect("no panic under the lock");
        sent.1 = goes_to_sleep && sent.0.is_empty();
        std::mem::take(&mut sent.0)
    }
}

// ANCHOR: pool
/// Threads that take jobs from a channel. Each job starts a thread, until there are `most`.
struct Pool {
    jobs: Sender<Job>,
    queue: Receiver<Job>,
    threads: Vec<JoinHandle<()>>,
    most: usize,
}

impl Pool {
    fn new(most: usize) -> Self {
        let (jobs, queue) = unbounded();
        Self { jobs, queue, threads: Vec::new(), most }
    }

    fn submit(&mut self, job: Job, remote: &Remote) {
        // Sending never blocks: the channel has no limit, and a loop must not wait for a thread.
        self.jobs.send(job).expect("the pool holds a receiver");
        if self.threads.len() < self.most {
            let (queue, remote) = (self.queue.clone(), remote.clone());
            self.threads.push(thread::spawn(move || work(&queue, &remote)));
        }
    }

    /// Waits for all jobs, those in the channel, too. Without a sender the threads end.
    fn shutdown(self) {
        drop(self.jobs);
        for thread in self.threads {
            thread.join().expect("a thread catches the panics of its jobs");
        }
    }
}
// ANCHOR_END: pool

// ANCHOR: work
/// Runs jobs until the channel is closed and empty.
fn work(queue: &Receiver<Job>, remote: &Remote) {
    for Job { key, function, claimed } in queue {
        if claimed.swap(true, Ordering::Relaxed) {
            continue; // it was withdrawn
        }
        let outcome = catch_unwind(AssertUnwindSafe(function)).unwrap_or(Err("the job panicked"));
        remote.send(Ended { key, outcome });
    }
}
// ANCHOR_END: work

/// The future of a job. It lives on the loop's thread only.
#[derive(Default)]
struct JobFuture {
    outcome: Cell<Option<Outcome>>,
    callbacks: RefCell<Vec<Callback>>,
    claimed: Arc<AtomicBool>,
}

impl JobFuture {
    // ANCHOR: cancel
    /// Cancels the future; false if it is done. A job that has not begun will not run.
    fn cancel(&self, lp: &EventLoop) -> bool {
        let pending = self.outcome.get().is_none();
        if pending {
            self.claimed.store(true, Ordering::Relaxed);
            self.set(Err("cancelled"), lp);
        }
        pending
    }
    // ANCHOR_END: cancel

    fn set(&self, outcome: Outcome, lp: &EventLoop) {
        self.outcome.set(Some(outcome));
        lp.0.ready.borrow_mut().extend(self.callbacks.take());
    }

    fn add_done_callback(&self, callback: impl FnOnce() + 'static) {
        self.callbacks.borrow_mut().push(Box::new(callback));
    }
}

#[derive(Clone)]
struct EventLoop(Rc<Inner>);

struct Inner {
    ready: RefCell<VecDeque<Callback>>,
    poll: RefCell<Poll>,
    inbox: Remote,
    pool: RefCell<Pool>,
    /// The futures of the jobs under way. Threads know a job by its key here.
    jobs: RefCell<Slab<Rc<JobFuture>>>,
    stopping: Cell<bool>,
}

impl EventLoop {
    fn new(threads: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), Token(0))?);
        Ok(Self(Rc::new(Inner {
            ready: RefCell::default(),
            poll: RefCell::new(poll),
            inbox: Remote { sent: Arc::default(), waker },
            pool: RefCell::new(Pool::new(threads)),
            jobs: RefCell::default(),
            stopping: Cell::new(false),
        })))
    }

    fn call_soon(&self, function: impl FnOnce() + 'static) {
        self.0.ready.borrow_mut().push_back(Box::new(function));
    }

    // ANCHOR: run_in_executor
    /// Runs `function` on a thread, and returns the future of its result (`loop.run_in_executor`).
    fn run_in_executor(&self, function: impl FnOnce() -> Outcome + Send + 'static) -> Rc<JobFuture> {
        let future = Rc::new(JobFuture::default());
        let key = self.0.jobs.borrow_mut().insert(future.clone());
        let job = Job { key, function: Box::new(function), claimed: future.claimed.clone() };
        self.0.pool.borrow_mut().submit(job, &self.0.inbox);
        future
    }
    // ANCHOR_END: run_in_executor

    /// Waits until all jobs are over (`loop.shutdown_default_executor`). The results are in the inbox then.
    fn shutdown_executor(&self) {
        self.0.pool.replace(Pool::new(0)).shutdown();
    }

    fn stop(&self) {
        self.0.stopping.set(true);
    }

    fn run_forever(&self) -> io::Result<()> {
        loop {
            self.turn()?;
            if self.0.stopping.take() {
                return Ok(());
            }
        }
    }

    fn turn(&self) -> io::Result<()> {
        let idle = self.0.ready.borrow().is_empty() && !self.0.stopping.get();
        let found = self.deliver(idle);
        let timeout = if idle && !found { None } else { Some(Duration::ZERO) };
        match self.0.poll.borrow_mut().poll(&mut Events::with_capacity(8), timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => self.deliver(false),
        };
        let frozen = self.0.ready.borrow().len();
        for _ in 0..frozen {
            let next = self.0.ready.borrow_mut().pop_front();
            if let Some(callback) = next {
                callback();
            }
        }
        Ok(())
    }

    // ANCHOR: deliver
    /// Sets the results that threads have sent. Returns false if there was none.
    fn deliver(&self, goes_to_sleep: bool) -> bool {
        let sent = self.0.inbox.take(goes_to_sleep);
        for Ended { key, outcome } in &sent {
            let future = self.0.jobs.borrow_mut().remove(*key);
            if future.outcome.get().is_none() {
                future.set(*outcome, self);
            }
        }
        !sent.is_empty()
    }
    // ANCHOR_END: deliver
}

fn main() -> io::Result<()> {
    let lp = EventLoop::new(1)?;

    println!("a job that blocks");
    let (open, gate) = mpsc::channel::<()>();
    let job = lp.run_in_executor(move || {
        gate.recv().map_err(|_| "no gate")?;
        println!("  thread: finished");
        Ok("the result")
    });
    let (this, done) = (lp.clone(), job.clone());
    job.add_done_callback(move || {
        println!("  loop: {}", done.outcome.get().and_then(Result::ok).unwrap_or("no result"));
        this.stop();
    });
    let this = lp.clone();
    lp.call_soon(move || {
        println!("  loop: runs on");
        this.call_soon(move || open.send(()).expect("the job waits"));
    });
    lp.run_forever()?;

    println!("two jobs for one thread, and both are cancelled");
    let ((began, has_begun), (open, gate)) = (mpsc::channel::<()>(), mpsc::channel::<()>());
    let first = lp.run_in_executor(move || {
        began.send(()).map_err(|_| "no loop")?;
        gate.recv().map_err(|_| "no gate")?;
        println!("  thread: the first job is not stopped");
        Ok("a result that is not needed")
    });
    let second = lp.run_in_executor(|| {
        println!("  thread: never printed");
        Ok("")
    });
    has_begun.recv().expect("the thread runs");
    println!("  the first: {}, the second: {}", first.cancel(&lp), second.cancel(&lp));
    let cancelled = first.outcome.get() == Some(Err("cancelled"));
    println!("  the first: cancelled {cancelled}, again: {}", first.cancel(&lp));
    open.send(()).expect("the job waits");
    lp.shutdown_executor();
    println!("  the executor is shut down");
    Ok(())
}
