//! The jobs of a loop: what it has given to threads and not got back.
//!
//! It promises that a loop which waits for jobs is not taken for deadlocked, and that what is to get a job's result is kept
//! here, on the loop's thread, while the job is elsewhere. It knows neither how a pool runs a job nor what a future is.

use super::pool::{Executor, Ticket, look};
use crate::error::{Error, Result};
use crate::event_loop::{Callback, Entry, EventLoop, Inner, Line, PushInfo, WhenDone, get_running_loop};
use crate::panics::drop_quietly;
use crate::trace::{EntryKind, JobEntry, Place, Via};
use slab::Slab;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// The name of a job among those of its loop: its number, in order of submission, and where it is kept meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JobId {
    number: u64,
    slot: usize,
}

/// A job that was begun, and the thread's name if the loop is traced.
pub(crate) type Begun = (JobId, Option<Arc<str>>);

/// A job on its way back: it was made on the loop's thread, ran on another, and comes home in the box in which it left, so
/// that a job costs its thread no allocation.
pub(crate) trait Returning: Send {
    fn place(&self) -> Place;
    /// The thread that it comes from; nothing if it never ran, or if nobody wants to know.
    fn thread(&self) -> Option<&Arc<str>>;
    /// Gives what came of it to whom it may concern. On the loop; it is dropped instead if the loop is closed.
    fn arrive(self: Box<Self>, lp: &EventLoop) -> Result<()>;
}

/// What is to get a job's result; the task layer knows its type.
pub(crate) trait Receiver: Any {
    /// Whether it wants no result any more.
    fn is_cancelled(&self) -> bool;
}

/// The way back to its loop that a job takes to its thread.
pub(crate) struct WayBack {
    job: JobId,
    line: Arc<Line>,
    reports_begin: bool,
}

impl WayBack {
    /// The job has begun. This does not wake the loop: it would cost a turn which asyncio's does not make.
    ///
    /// The thread's name, for the job to bring home, if the loop is traced. Else nobody wants it, and a count that the
    /// pool's threads and the loop's all write to would be fetched from one to the other four times for each job.
    pub(crate) fn begun(&self, thread: &Arc<str>) -> Option<Arc<str>> {
        if !self.reports_begin {
            return None;
        }
        let thread = self.line.is_traced().then(|| thread.clone());
        self.line.job_begun((self.job, thread.clone()));
        thread
    }

    /// The job is over, or never will run.
    pub(crate) fn ended(self, job: Box<dyn Returning>) {
        self.line.job_ended(job);
    }
}

#[derive(Default)]
pub(crate) struct Jobs {
    pending: RefCell<Slab<(u64, Pending)>>,
    last: Cell<u64>,
    /// Whether one came home since the loop last slept.
    came_home: Cell<bool>,
}

pub(crate) struct Pending {
    receiver: Rc<dyn Receiver>,
    label: fn() -> String,
    place: Place,
    /// Whether it has begun, as far as the loop has heard; nothing if it does not hear of that.
    begun: Option<bool>,
    /// With it a job that has not begun can be taken back, and the pool be asked whether it has.
    ticket: Option<Ticket>,
}

impl Pending {
    fn is_running(&self) -> bool {
        self.begun.unwrap_or_else(|| self.ticket.as_ref().is_some_and(Ticket::has_begun))
    }
}

impl Jobs {
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.borrow().is_empty()
    }

    fn several_are_out(&self) -> bool {
        self.pending.borrow().len() > 1
    }

    /// All of them, in order of submission, leaving none: for `close`.
    pub(crate) fn take_all(&self) -> Vec<(u64, Pending)> {
        let mut all: Vec<_> = self.pending.borrow_mut().drain().collect();
        all.sort_by_key(|(number, _)| *number);
        all
    }

    /// All of them, in order of submission.
    pub(crate) fn list(&self) -> Vec<JobEntry> {
        let entry = |(_, (id, job)): (usize, &(u64, Pending))| JobEntry {
            id: *id,
            label: (job.label)(),
            running: job.is_running(),
            place: job.place,
        };
        let mut all: Vec<_> = self.pending.borrow().iter().map(entry).collect();
        all.sort_by_key(|job| job.id);
        all
    }

    /// Notes that a job has begun; false if nobody waits for it any more.
    fn set_running(&self, job: JobId) -> bool {
        self.with(job, |pending| pending.begun = Some(true)).is_some()
    }

    /// Looks at a job, if somebody still waits for it. No user code runs meanwhile.
    fn with<T>(&self, job: JobId, look: impl FnOnce(&mut Pending) -> T) -> Option<T> {
        let mut pending = self.pending.borrow_mut();
        let (number, pending) = pending.get_mut(job.slot)?;
        (*number == job.number).then(|| look(pending))
    }

    fn remove(&self, job: JobId) -> Option<Pending> {
        let mut pending = self.pending.borrow_mut();
        let known = pending.get(job.slot).is_some_and(|(number, _)| *number == job.number);
        known.then(|| pending.remove(job.slot).1)
    }
}

impl Inner {
    /// Enters a job with whatever its result is to be given to.
    pub(crate) fn enter_job(&self, receiver: Rc<dyn Receiver>, label: fn() -> String, place: Place) -> JobId {
        let number = self.jobs.last.get() + 1;
        self.jobs.last.set(number);
        let begun = self.hears_of_begins().then_some(false);
        let pending = Pending { receiver, label, place, begun, ticket: None };
        let slot = self.jobs.pending.borrow_mut().insert((number, pending));
        if self.is_traced() {
            self.job_created(number, &label(), place);
        }
        JobId { number, slot }
    }

    /// The way back for a job.
    pub(crate) fn way_back(&self, job: JobId) -> WayBack {
        WayBack { job, line: self.inbox.line().clone(), reports_begin: self.hears_of_begins() }
    }

    /// Whether the loop is to hear when a job begins: for a trace, and in virtual time, where whatever is seen repeats.
    /// Others ask the pool when they want to know, and most never do.
    fn hears_of_begins(&self) -> bool {
        self.inbox.line().is_traced() || self.clock.is_virtual()
    }

    /// A pool has taken a job. What is to be queued when its future is done: as in asyncio that tells the pool, one turn
    /// after a cancellation.
    pub(crate) fn job_submitted(&self, job: JobId, ticket: Ticket, place: Place) -> Rc<Callback> {
        self.jobs.with(job, |pending| pending.ticket = Some(ticket));
        let check = move |future: Rc<dyn Any>| {
            drop(future);
            get_running_loop().map(|lp| lp.0.check_cancel(job))
        };
        let h = self.next_handle();
        Rc::new(Callback::new(h, EntryKind::DoneCallback, place, "job.check_cancel", WhenDone::new(check)))
    }

    /// A job's future is done. If it was cancelled, and the job has not begun, the job never will.
    pub(super) fn check_cancel(&self, job: JobId) {
        let withdrawn = |pending: &mut Pending| match &pending.ticket {
            Some(ticket) if pending.receiver.is_cancelled() => ticket.withdraw(),
            _ => None,
        };
        let Some(work) = self.jobs.with(job, withdrawn).flatten() else { return };
        drop_quietly(work);
        drop_quietly(self.leave_job(job, "", "cancelled"));
    }

    /// Hears which jobs have begun, which is later than they did.
    pub(crate) fn hear_of_begun_jobs(&self, mut begun: Vec<Begun>) {
        // Of threads that began together it does not matter which was first; of a trace, that it repeats.
        if self.is_traced() {
            begun.sort_by_key(|(job, _)| *job);
        }
        for (job, thread) in begun {
            if self.jobs.set_running(job) {
                let thread = thread.as_deref().unwrap_or_default();
                self.job_began(job.number, thread);
            }
        }
    }

    /// Before the loop goes to sleep: when a job has come home since it last did, and several are out, the next one may be
    /// there sooner than the system puts this thread to sleep and wakes it again, which would take the job's thread a system
    /// call, too. So it [looks](look) for some microseconds, awake. A message of any thread ends that at once; a signal waits
    /// until it is over, and the first timer may be late by so much. Not while descriptors are watched, for they would wait,
    /// too; and not for a single job, for which one wake-up does: on a busy machine a look may cost a time slice.
    pub(crate) fn look_for_jobs(&self) {
        let came_home = self.jobs.came_home.replace(false);
        if came_home && self.jobs.several_are_out() && self.reactor.borrow().is_empty() {
            look(|| !self.inbox.is_empty());
        }
    }

    /// Takes a job out that is over, or never will run.
    pub(crate) fn leave_job(&self, job: JobId, thread: &str, state: &str) -> Option<Rc<dyn Receiver>> {
        let pending = self.jobs.remove(job)?;
        self.job_ended(job.number, thread, state);
        Some(pending.receiver)
    }
}

impl EventLoop {
    /// Queues the call with which a job arrives.
    pub(crate) fn queue_returned(&self, job: Box<dyn Returning>, via: Via) {
        let thread = if self.0.is_traced() { job.thread().cloned() } else { None };
        self.0.jobs.came_home.set(true);
        let place = job.place();
        let arrive = move || job.arrive(&get_running_loop()?);
        let callback = self.named_once(place, "job.set_result", arrive);
        let thread = (via == Via::Threadsafe).then(|| thread.as_deref().unwrap_or_default());
        self.0.enqueue(Entry::Callback(callback), PushInfo { via, thread, ..PushInfo::CALL_SOON });
    }
}

/// The pool for jobs that name none: made when it is first needed, and refused after its shutdown.
pub(crate) struct DefaultExecutor {
    threads: Option<usize>,
    executor: RefCell<Option<Executor>>,
    forbidden: Cell<bool>,
}

impl DefaultExecutor {
    pub(crate) fn new(threads: Option<usize>) -> Self {
        Self { threads, executor: RefCell::new(None), forbidden: Cell::new(false) }
    }

    /// From now on it takes no jobs. It stays, so that everyone who shuts it down can wait for its threads.
    pub(crate) fn forbid(&self) -> Option<Executor> {
        self.forbidden.set(true);
        self.executor.borrow().clone()
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
