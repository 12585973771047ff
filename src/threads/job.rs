//! The jobs of a loop: what it has submitted to pools and has no result of yet.
//!
//! The table keeps each job's future on the loop's thread while the job is elsewhere. It also makes a loop that waits for a
//! job differ from a deadlocked one. It does not run jobs, which is the pool's work, and it does not know the futures' type.

use super::pool::{Executor, Job};
use crate::error::{Error, Result};
use crate::task::keyed_list::KeyedList;
use crate::trace::JobEntry;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// A job whose result has not arrived.
pub(crate) struct PendingJob {
    pub(super) job: Arc<dyn Job>,
    /// Gets the result. `run_in_executor` knows its type.
    pub(super) future: Rc<dyn Any>,
    /// Whether the loop has learned that the job has begun. `None` if it does not learn that, and asks the job instead.
    pub(super) begun: Option<bool>,
}

/// A loop's jobs, and its default pool.
pub(crate) struct JobTable {
    /// By their numbers, which are given in order of submission.
    pub(crate) pending: KeyedList<PendingJob>,
    last: Cell<u64>,
    /// Whether a result has arrived since the loop last slept.
    pub(crate) result_arrived: Cell<bool>,
    /// The pool of `run_in_executor`, made when it is first needed. After its shutdown it stays, so that every caller of
    /// that can wait for its threads.
    default: RefCell<Option<Executor>>,
    default_threads: Option<usize>,
    default_is_shut_down: Cell<bool>,
}

impl JobTable {
    pub(crate) fn new(default_threads: Option<usize>) -> Self {
        Self {
            pending: KeyedList::default(),
            last: Cell::new(0),
            result_arrived: Cell::new(false),
            default: RefCell::new(None),
            default_threads,
            default_is_shut_down: Cell::new(false),
        }
    }

    /// Returns a number for a new job.
    pub(super) fn next_number(&self) -> u64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    /// Notes that a job has begun. Returns false if the job is not in the table any more.
    pub(crate) fn set_running(&self, number: u64) -> bool {
        self.pending.update(number, |pending| pending.begun = Some(true)).is_some()
    }

    /// Withdraws a job from its pool. Returns false if it has begun.
    pub(crate) fn withdraw(&self, number: u64) -> bool {
        self.pending.update(number, |pending| pending.job.header().cancel()).unwrap_or_default()
    }

    /// Removes all jobs, for `close`. They are in order of submission.
    pub(crate) fn take_all(&self) -> Vec<PendingJob> {
        let mut all = Vec::new();
        self.pending.drain(|job| all.push(job));
        all
    }

    /// Returns the jobs as data, in order of submission.
    pub(crate) fn list(&self) -> Vec<JobEntry> {
        self.pending.filter_map(|number, pending| {
            let job = pending.job.header();
            let running = pending.begun.unwrap_or_else(|| job.has_begun());
            Some(JobEntry { id: number, label: (job.label)(), running, place: job.place })
        })
    }

    /// Returns the default pool.
    ///
    /// # Errors
    /// [`Error::Runtime`] after its shutdown.
    pub(crate) fn default_executor(&self) -> Result<Executor> {
        if self.default_is_shut_down.get() {
            return Err(Error::Runtime("Executor shutdown has been called".into()));
        }
        let made = || match self.default_threads {
            Some(threads) => Executor::new(threads),
            None => Executor::builder().build(),
        };
        Ok(self.default.borrow_mut().get_or_insert_with(made).clone())
    }

    pub(crate) fn set_default_executor(&self, executor: Executor) {
        let before = self.default.replace(Some(executor));
        drop(before);
    }

    /// Closes the default pool for good. Returns it, unless there never was one.
    pub(crate) fn close_default_executor(&self) -> Option<Executor> {
        self.default_is_shut_down.set(true);
        let executor = self.default.borrow().clone();
        if let Some(executor) = &executor {
            executor.close();
        }
        executor
    }
}
