//! The jobs of a loop: what it has given to threads and not got back.
//!
//! It promises that a loop which waits for jobs is not taken for deadlocked, and that what is to get a job's result is kept
//! here, on the loop's thread, while the job is elsewhere. It knows neither how a pool runs a job nor what a future is.

use super::Inner;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::trace::{Event, JobEntry, Place};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// The name of a job among those of its loop.
pub(crate) type JobId = u64;

#[derive(Default)]
pub(super) struct Jobs {
    pending: RefCell<BTreeMap<JobId, Pending>>,
    last: Cell<JobId>,
}

pub(super) struct Pending {
    /// What the result is given to; the task layer knows its type.
    receiver: Box<dyn Any>,
    label: String,
    place: Place,
    running: Cell<bool>,
}

impl Jobs {
    pub(super) fn is_empty(&self) -> bool {
        self.pending.borrow().is_empty()
    }

    pub(super) fn take_all(&self) -> BTreeMap<JobId, Pending> {
        std::mem::take(&mut *self.pending.borrow_mut())
    }

    pub(super) fn list(&self) -> Vec<JobEntry> {
        let entry = |(id, job): (&JobId, &Pending)| JobEntry {
            id: *id,
            label: job.label.clone(),
            running: job.running.get(),
            place: job.place,
        };
        self.pending.borrow().iter().map(entry).collect()
    }
}

impl Inner {
    /// Enters a job with whatever its result is to be given to.
    pub(crate) fn enter_job(&self, receiver: Box<dyn Any>, label: &str, place: Place) -> JobId {
        let job = self.jobs.last.get() + 1;
        self.jobs.last.set(job);
        let pending = Pending { receiver, label: label.to_owned(), place, running: Cell::new(false) };
        self.jobs.pending.borrow_mut().insert(job, pending);
        self.trace(|| Event::Job { job, label, by: self.running_entry(), place });
        job
    }

    /// A thread has begun a job. Told when the loop hears of it, which is later.
    pub(crate) fn job_runs(&self, job: JobId, thread: &str) {
        let known = self.jobs.pending.borrow().get(&job).map(|job| job.running.set(true)).is_some();
        if known {
            self.trace(|| Event::JobRuns { job, thread });
        }
    }

    /// Takes a job out that is over, or was cancelled before it began.
    pub(crate) fn leave_job(&self, job: JobId, thread: &str, state: &str) -> Option<Box<dyn Any>> {
        let pending = self.jobs.pending.borrow_mut().remove(&job)?;
        self.trace(|| Event::JobEnds { job, thread, state });
        Some(pending.receiver)
    }
}

/// The pool for jobs that name none: made when it is first needed, and refused after its shutdown.
pub(super) struct DefaultExecutor {
    threads: Option<usize>,
    executor: RefCell<Option<Executor>>,
    forbidden: Cell<bool>,
}

impl DefaultExecutor {
    pub(super) fn new(threads: Option<usize>) -> Self {
        Self { threads, executor: RefCell::new(None), forbidden: Cell::new(false) }
    }

    /// From now on there is none; the one there was.
    pub(super) fn forbid(&self) -> Option<Executor> {
        self.forbidden.set(true);
        self.executor.borrow_mut().take()
    }
}

impl Inner {
    pub(crate) fn default_executor(&self) -> Result<Executor> {
        if self.executor.forbidden.get() {
            return Err(Error::Runtime("Executor shutdown has been called".into()));
        }
        let made = || match self.executor.threads {
            Some(threads) => Executor::new(threads),
            None => Executor::builder().build(),
        };
        Ok(self.executor.executor.borrow_mut().get_or_insert_with(made).clone())
    }

    pub(crate) fn set_default_executor(&self, executor: Executor) {
        let before = self.executor.executor.replace(Some(executor));
        drop(before);
    }

    pub(crate) fn forbid_default_executor(&self) -> Option<Executor> {
        self.executor.forbid()
    }
}
