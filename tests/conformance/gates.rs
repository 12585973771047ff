//! Executor jobs behind gates: a job is over when the loop has nothing else to do, one at a time, so that a program with
//! jobs prints the same lines in every run.
//!
//! The jobs are real ones, on a pool of one thread. Each waits on its thread for its gate.

use looplab::{EventLoop, Executor, Future, Result};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};

pub(crate) struct Gates {
    pool: OnceCell<Executor>,
    closed: RefCell<HashMap<String, Sender<()>>>,
    /// The job that runs, waiting for its gate.
    running: RefCell<Option<String>>,
    /// A thread tells here which job it has begun.
    begun: (Sender<String>, Receiver<String>),
    count: RefCell<usize>,
}

impl Gates {
    pub(crate) fn new() -> Self {
        Self {
            pool: OnceCell::new(),
            closed: RefCell::default(),
            running: RefCell::default(),
            begun: channel(),
            count: RefCell::default(),
        }
    }

    /// Submits a job that comes to `what`: a value, or an error if it has a colon.
    pub(crate) fn submit(&self, lp: &EventLoop, name: &str, what: &str) -> Result<Future<String>> {
        let pool = self.pool.get_or_init(|| Executor::new(1));
        let (open, gate) = channel();
        let (begun, what) = (self.begun.0.clone(), what.to_owned());
        // A name may be used again while its first job is still queued.
        let key = format!("{name} {}", self.count.replace_with(|n| *n + 1));
        let told = key.clone();
        let future = lp.run_in(pool, move || {
            let _ = begun.send(told);
            let _ = gate.recv();
            match what.split_once(':') {
                // Without the panic hook: it is no bug, it is the job's error.
                Some((_, error)) => std::panic::resume_unwind(Box::new(error.to_owned())),
                None => what,
            }
        })?;
        self.closed.borrow_mut().insert(key, open);
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

    fn await_the_next(&self) {
        let key = self.begun.1.recv().expect("we hold a sender ourselves");
        *self.running.borrow_mut() = Some(key);
    }

    pub(crate) fn open_all(&self) {
        self.closed.borrow_mut().clear();
    }
}
