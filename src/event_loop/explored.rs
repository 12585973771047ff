//! What an explorer asks of a loop: which job ends when, and which ready descriptor comes first.
//!
//! An explored loop is alone: nothing reaches it from outside. So no poll waits in real time, no signal of the process is
//! caught, and no thread is started. Jobs run on the loop's thread, when nothing is ready or when the explorer says so. For
//! any other loop this is one empty field.

#![cfg_attr(not(feature = "explore"), allow(dead_code, reason = "only an explorer makes an explored loop"))]

use super::registration::FdCallbacks;
use super::running::{all_here, running, set_running};
use super::{EventLoop, Inner};
use crate::error::{Error, Result};
use crate::panics::drop_quietly;
use crate::threads::pool::{Executor, Job};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

/// The name of the thread that the trace shows for a job.
const THREAD: &str = "explorer";

/// What an explorer has asked for; empty on any other loop.
#[derive(Default)]
pub(crate) struct Explored(Option<Box<Asked>>);

#[derive(Default)]
struct Asked {
    /// Which descriptor of the next poll comes first.
    first: Cell<usize>,
    /// The jobs that have not begun, in order of submission.
    jobs: RefCell<Vec<WaitingJob>>,
    /// The job that runs now. A job may run others, by the shutdown of another pool.
    running: RefCell<Option<Arc<dyn Job>>>,
}

struct WaitingJob {
    number: u64,
    job: Arc<dyn Job>,
    kind: JobKind,
    /// Whether it waits until nothing else can happen.
    kept: bool,
}

/// What a job does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum JobKind {
    /// A function of the program.
    Function,
    /// The shutdown of a pool, which is over when all jobs before it are.
    Shutdown,
}

impl Explored {
    pub(crate) fn on() -> Self {
        Self(Some(Box::default()))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Takes a job that no thread runs.
    pub(crate) fn submit(&self, number: u64, job: Arc<dyn Job>, kind: JobKind) {
        if let Some(asked) = &self.0 {
            asked.jobs.borrow_mut().push(WaitingJob { number, job, kind, kept: false });
        }
    }

    /// Tells whether a job has not run yet.
    pub(crate) fn has(&self, number: u64) -> bool {
        let has = |asked: &Asked| asked.jobs.borrow().iter().any(|waiting| waiting.number == number);
        self.0.as_deref().is_some_and(has)
    }

    /// Keeps a job until nothing else can happen. It counts as begun, so that no cancellation withdraws it. Returns false if
    /// it has run or was withdrawn.
    pub(crate) fn keep_job(&self, number: u64) -> bool {
        let Some(asked) = &self.0 else { return false };
        let mut jobs = asked.jobs.borrow_mut();
        let Some(waiting) = jobs.iter_mut().find(|waiting| waiting.number == number) else { return false };
        waiting.kept |= waiting.job.header().begin();
        waiting.kept
    }

    /// Has the next poll report the ready descriptor at this place first.
    pub(crate) fn put_first(&self, place: usize) {
        if let Some(asked) = &self.0 {
            asked.first.set(place);
        }
    }

    pub(super) fn reorder(&self, ready: &mut [FdCallbacks]) {
        if let Some(asked) = &self.0
            && let Some(front) = ready.get_mut(..=asked.first.take())
        {
            front.rotate_right(1);
        }
    }

    /// Takes all jobs, for `close`.
    pub(super) fn take_jobs(&self) -> Vec<Arc<dyn Job>> {
        let jobs = self.0.as_ref().map(|asked| asked.jobs.take()).unwrap_or_default();
        jobs.into_iter().map(|waiting| waiting.job).collect()
    }

    fn set_running_job(&self, job: Option<Arc<dyn Job>>) -> Option<Arc<dyn Job>> {
        self.0.as_ref().and_then(|asked| asked.running.replace(job))
    }

    /// Tells whether a job of this pool runs now.
    fn runs_job_of(&self, pool: &Executor) -> bool {
        let running =
            |asked: &Asked| asked.running.borrow().as_ref().is_some_and(|job| job.header().is_of(pool));
        self.0.as_deref().is_some_and(running)
    }

    /// Takes the first job for which `chosen` returns true; it gets the job's place as well.
    fn take_job(&self, chosen: impl Fn(usize, &WaitingJob) -> bool) -> Option<WaitingJob> {
        let mut jobs = self.0.as_ref()?.jobs.borrow_mut();
        let at = jobs.iter().enumerate().position(|(i, job)| chosen(i, job))?;
        Some(jobs.remove(at))
    }
}

impl EventLoop {
    /// Ends the next job, or lets the time of the first timer come, because nothing is ready. Kept jobs end if there is
    /// neither.
    ///
    /// # Errors
    /// [`Error::Deadlock`](crate::Error::Deadlock) if nothing will ever happen.
    pub(super) fn poll_alone(&self, timeout: Option<Duration>) -> Result<()> {
        let free = |i: usize, job: &WaitingJob| !job.kept && (i == 0 || job.kind == JobKind::Function);
        match timeout {
            _ if self.end_first_job(free) => Ok(()),
            Some(wait) => {
                self.0.pass_time(wait);
                Ok(())
            }
            None if self.end_first_job(|_, _| true) => Ok(()),
            None => Err(self.0.deadlock()),
        }
    }

    /// Ends the first job for which `chosen` returns true. Returns false if there is none.
    fn end_first_job(&self, chosen: impl Fn(usize, &WaitingJob) -> bool) -> bool {
        while let Some(waiting) = self.0.explored.take_job(&chosen) {
            if self.run_job(waiting) {
                return true;
            }
        }
        false
    }

    /// Ends a job now, and queues the call that sets its result. Returns false if it has run or was withdrawn.
    pub(crate) fn end_job(&self, number: u64) -> bool {
        let chosen = |_: usize, job: &WaitingJob| job.number == number && job.kind == JobKind::Function;
        let ended = self.end_first_job(chosen);
        if ended {
            self.receive(None);
        }
        ended
    }

    /// Does for the pool's jobs on this loop what `Executor::shutdown` does for those of threads.
    ///
    /// # Errors
    /// [`Error::Runtime`] if a job of the pool would wait for itself.
    pub(crate) fn shut_pool_down(&self, pool: &Executor, wait: bool, cancel: bool) -> Result<()> {
        let of_pool =
            |_: usize, job: &WaitingJob| job.kind == JobKind::Function && job.job.header().is_of(pool);
        if cancel {
            let unbegun = |i: usize, job: &WaitingJob| of_pool(i, job) && !job.kept;
            while let Some(WaitingJob { job, .. }) = self.0.explored.take_job(unbegun) {
                if job.header().cancel() {
                    job.end(None);
                }
            }
        }
        if wait && self.0.explored.runs_job_of(pool) {
            return Err(Error::Runtime("cannot join current thread".into()));
        }
        while wait && self.end_first_job(of_pool) {}
        Ok(())
    }

    /// Runs a job as a thread of its pool would. Returns false if it was withdrawn.
    fn run_job(&self, WaitingJob { job, kind, kept, .. }: WaitingJob) -> bool {
        let thread = Arc::from(THREAD);
        if kind == JobKind::Function {
            if !kept && !job.header().begin() {
                drop_quietly(job);
                return false;
            }
            // A thread of a pool has no running loop.
            let outer = running();
            set_running(None);
            let outer_job = self.0.explored.set_running_job(Some(job.clone()));
            job.run(&thread);
            drop(self.0.explored.set_running_job(outer_job));
            set_running(outer);
            job.header().finish();
        }
        let _ = self.0.inbox.send(super::inbox::Message::JobEnded(job, Some(thread)));
        true
    }
}

/// Returns the explored loops of this thread.
pub(crate) fn explored_here() -> impl Iterator<Item = EventLoop> {
    all_here().into_iter().filter(|lp| lp.0.explored.is_on())
}

impl Inner {
    /// Tells whether something could wake the loop if it were not alone.
    pub(super) fn waits_for_outside(&self) -> bool {
        self.explored.is_on()
            && (!self.reactor.borrow().is_empty()
                || !self.signal_handlers.borrow().is_empty()
                || self.has_senders())
    }
}

#[cfg(test)]
#[cfg(feature = "explore")]
mod tests {
    use crate::{EventLoop, Result};
    use std::sync::Arc;

    #[test]
    fn a_loop_that_closes_drops_the_functions_of_its_jobs() -> Result<()> {
        let lp = EventLoop::builder().explored().build()?;
        let held = Arc::new(());
        let function = {
            let held = held.clone();
            move || drop(held)
        };
        let _job = lp.run_in_executor(function)?;
        lp.close()?;
        assert_eq!(Arc::strong_count(&held), 1);
        Ok(())
    }
}
