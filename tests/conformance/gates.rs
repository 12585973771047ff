//! Executor jobs that wait at gates. A job is over when the loop has nothing else to do, one at a time. So a program with
//! jobs prints the same lines in every run.
//!
//! The jobs are real ones, on a pool of one thread. Each waits on its thread for its gate. After the pool's shutdown the
//! thread itself waits before it ends, so that the end of the last job and the end of the thread are two events.

use looplab::{EventLoop, Executor, Future, Result};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What a job runs.
pub(crate) type Job = Box<dyn FnOnce() -> String + Send>;

thread_local! {
    /// What a thread of the pool waits for before it ends.
    static LAST_GATE: OnceCell<LastGate> = const { OnceCell::new() };
}

struct LastGate(Receiver<()>);

impl Drop for LastGate {
    fn drop(&mut self) {
        let _ = self.0.recv();
    }
}

pub(crate) struct Gates {
    pool: OnceCell<Executor>,
    closed: RefCell<HashMap<String, Sender<()>>>,
    /// The job that runs, waiting for its gate.
    running: RefCell<Option<String>>,
    /// A thread tells here which job it has begun.
    begun: (Sender<String>, Receiver<String>),
    count: RefCell<usize>,
    /// The gates of the pool's threads.
    last: RefCell<Vec<Sender<()>>>,
}

impl Gates {
    pub(crate) fn new() -> Self {
        Self {
            pool: OnceCell::new(),
            closed: RefCell::default(),
            running: RefCell::default(),
            begun: channel(),
            count: RefCell::default(),
            last: RefCell::default(),
        }
    }

    /// Submits a job that comes to `what`: a value, or an error if it has a colon. `start` gives it to the pool.
    pub(crate) fn submit(
        &self,
        name: &str,
        what: &str,
        start: impl FnOnce(&Executor, Job) -> Result<Future<String>>,
    ) -> Result<Future<String>> {
        let pool = self.pool.get_or_init(|| Executor::new(1));
        let (open, gate) = channel();
        let (last_open, last_gate) = channel();
        let (begun, what) = (self.begun.0.clone(), what.to_owned());
        // A name may be used again while its first job is still queued.
        let key = format!("{name} {}", self.count.replace_with(|n| *n + 1));
        let told = key.clone();
        let job = move || {
            LAST_GATE.with(|last| _ = last.get_or_init(|| LastGate(last_gate)));
            let _ = begun.send(told);
            let _ = gate.recv();
            match what.split_once(':') {
                // Without the panic hook: it is no bug, it is the job's error.
                Some((_, error)) => std::panic::resume_unwind(Box::new(error.to_owned())),
                None => what,
            }
        };
        let future = start(pool, Box::new(job))?;
        self.closed.borrow_mut().insert(key, open);
        self.last.borrow_mut().push(last_open);
        if self.running.borrow().is_none() {
            self.await_the_next();
        }
        Ok(future)
    }

    /// Ends the job that runs, and waits until the next one has begun; says which has ended.
    pub(crate) fn open_one(&self) -> Option<String> {
        let key = self.running.take()?;
        // Those that were cancelled while they waited are not in the queue any more.
        let more = self.pool.get().is_some_and(|pool| pool.queued() > 0);
        drop(self.closed.borrow_mut().remove(&key));
        if more {
            self.await_the_next();
        }
        key.split_once(' ').map(|(name, _)| name.to_owned())
    }

    /// Lets the pool's thread end, if the loop waits for that: when its default executor, which the pool is then, was shut
    /// down. Whether it does.
    pub(crate) fn let_the_thread_end(&self, lp: &EventLoop) -> bool {
        let waits = lp.snapshot().jobs.iter().any(|job| job.label == "executor shutdown");
        if waits {
            self.last.borrow_mut().clear();
        }
        waits
    }

    fn await_the_next(&self) {
        let key = self.begun.1.recv().expect("we hold a sender ourselves");
        *self.running.borrow_mut() = Some(key);
    }

    pub(crate) fn open_all(&self) {
        self.closed.borrow_mut().clear();
        self.last.borrow_mut().clear();
    }
}
