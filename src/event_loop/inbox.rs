//! The inbox: how other threads reach a loop.
//!
//! It guarantees that messages arrive in the order of their sending, and that a sleeping loop is woken with one system call
//! and an awake one with none. The order includes the loop's own calls: each push to the ready queue first delivers what
//! was sent before it. After `close`, sending fails with [`Error::Closed`]. Calls from the loop's own thread do not pass
//! through here: they land in the ready queue at once.
//!
//! One lock guards the messages and the flag that the loop sleeps, so no wake-up is lost. Either the sender finds the flag
//! set, or the loop finds the message before it sleeps; the tests run every order of these steps. No user code runs and no
//! user value is dropped under the lock. Alternative: a channel. Problem: a post costs 1.6 times as much (measured), and the
//! flag beside it needs a proof of its own.

use super::running::{self, LoopId};
use super::transitions::PushInfo;
use super::{EventLoop, Inner};
use crate::drop_guard::DropGuard;
use crate::error::{Error, Result};
use crate::panics::Guarded;
use crate::threads::pool::Job;
use crate::trace::{Place, Via};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The most messages that the kept buffer has room for. A larger one, after a flood, is freed.
const KEPT_ROOM: usize = 1024;

/// How long a loop looks for a job's result before it sleeps. Waking a thread takes the system longer.
const LOOK_FOR: Duration = Duration::from_micros(20);

/// A function for the loop's thread.
pub(super) type RemoteFunction = Box<dyn FnOnce() -> Result<()> + Send>;

/// What another thread asks for.
pub(super) enum Message {
    /// Call this on the loop.
    Call {
        function: Guarded<RemoteFunction>,
        /// The full path of the function.
        name: &'static str,
        place: Place,
        /// The sender's name, for a traced loop only: it costs an allocation for each call.
        thread: Option<Arc<str>>,
    },
    /// Set a job's result, which comes from this thread. In virtual time it waits until nothing else is to be done.
    JobEnded(Arc<dyn Job>, Option<Arc<str>>),
    /// Wake the task with this key, whose waker was called on another thread.
    Wake(NonZeroU64),
}

/// What other threads send to a loop. The loop, its remotes, wakers and jobs share it.
///
/// To hold it does not count as a way to wake the loop: remotes and wakers are counted apart, and the loop counts its jobs
/// itself. A thread that drops it a moment after its result has arrived must not look like a sender of more.
pub(crate) struct Inbox {
    pub(crate) id: LoopId,
    pub(crate) traced: bool,
    sent: Mutex<Sent>,
    /// Whether there are messages: one load for each push, and twice a turn. Written under the lock only, which orders it.
    news: AtomicBool,
}

/// What was sent: to be taken, or taken at once.
#[derive(Default)]
struct Sent {
    messages: Vec<Message>,
    /// The jobs that have begun, with the thread's name and the time if the loop is traced.
    begun: Vec<(u64, Option<Arc<str>>, Option<Instant>)>,
    asleep: bool,
    closed: bool,
    /// Ends the loop's sleep. `None` when the loop is closed: a sender that outlives it keeps no descriptor.
    waker: Option<Arc<mio::Waker>>,
}

/// The side of the senders.
impl Inbox {
    pub(super) fn new(id: LoopId, waker: mio::Waker, traced: bool) -> Arc<Self> {
        let sent = Sent { waker: Some(Arc::new(waker)), ..Sent::default() };
        Arc::new(Self { id, traced, sent: Mutex::new(sent), news: AtomicBool::new(false) })
    }

    /// Only a lack of memory can panic under the lock, so a poisoned one is as good as any.
    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether the loop is the running one of this thread.
    pub(crate) fn is_running_here(&self) -> bool {
        running::running().is_some_and(|lp| lp.0.id == self.id)
    }

    /// Sends a message, and wakes the loop if it sleeps.
    pub(super) fn send(&self, message: Message) -> Result<()> {
        if let Some(waker) = self.post(message)?
            && let Err(error) = waker.wake()
        {
            log_error!("cannot wake the loop from another thread: {error}");
        }
        Ok(())
    }

    /// Appends a message. If the loop sleeps, the caller must call the waker that is returned.
    fn post(&self, message: Message) -> Result<Option<Arc<mio::Waker>>> {
        // The message is a parameter, so it is dropped after the lock is released. It may hold values of the user.
        let mut sent = self.sent();
        if sent.closed {
            return Err(Error::Closed);
        }
        sent.messages.push(message);
        self.news.store(true, Ordering::Relaxed);
        let asleep = std::mem::replace(&mut sent.asleep, false);
        // A forked child must not wake its parent, whose waker it shares.
        Ok(if asleep && self.id.is_of_this_process() { sent.waker.clone() } else { None })
    }

    /// Sends that a job has begun on a thread. This does not wake the loop: waking would cost a turn that asyncio's loop does
    /// not make.
    pub(crate) fn job_begun(&self, job: u64, thread: &Arc<str>) {
        let mut sent = self.sent();
        if !sent.closed {
            let (thread, at) = self.traced.then(|| (thread.clone(), Instant::now())).unzip();
            sent.begun.push((job, thread, at));
        }
    }

    /// Sends a job that is over, to set its result. On the loop's own thread, where a pool was shut down, the result is set
    /// at once if that loop is the running one, else by a queued call. A closed loop drops the job.
    pub(crate) fn job_ended(&self, job: Arc<dyn Job>, thread: Option<&Arc<str>>) {
        if self.is_running_here() {
            // It can only fail on a closed loop.
            let _ = job.set_result("");
            return;
        }
        match running::find(self.id) {
            Some(lp) if lp.is_closed() => drop(job),
            Some(lp) => lp.queue_set_result(job, None, Via::CallSoon),
            None => {
                // Only a trace shows the thread. For other loops its count is not touched, which all threads would share.
                let thread = thread.filter(|_| self.traced).cloned();
                let _ = self.send(Message::JobEnded(job, thread));
            }
        }
    }
}

/// The side of the loop.
impl Inbox {
    /// Returns whether no message waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        !self.news.load(Ordering::Relaxed)
    }

    /// Takes the messages that have come until now, and the jobs that have begun. Later ones are for the next time, so a busy
    /// sender cannot hold the turn. `room` is an empty list for the messages to come.
    ///
    /// With a number, at most that many results of jobs are taken. The next result waits with all messages after it, and
    /// begins of jobs are taken only together with a result.
    fn take(&self, room: Vec<Message>, results: Option<usize>) -> Sent {
        let mut sent = self.sent();
        let is_result = |(_, message): &(usize, &Message)| matches!(message, Message::JobEnded(..));
        let mut ends = sent.messages.iter().enumerate().filter(is_result);
        let (some_end, next) = match results {
            None => (true, None),
            Some(0) => (false, ends.next()),
            Some(results) => (ends.next().is_some(), ends.nth(results - 1)),
        };
        let messages = match next.map(|(i, _)| i) {
            None => std::mem::replace(&mut sent.messages, room),
            Some(i) => sent.messages.drain(..i).collect(),
        };
        let begun = if some_end { std::mem::take(&mut sent.begun) } else { Vec::new() };
        self.news.store(!sent.messages.is_empty(), Ordering::Relaxed);
        Sent { messages, begun, ..Sent::default() }
    }

    /// Sets the flag that the loop sleeps, so that the next sender makes the system call. Returns false if there are messages:
    /// the loop must not sleep.
    pub(super) fn going_to_sleep(&self) -> bool {
        let mut sent = self.sent();
        sent.asleep = sent.messages.is_empty();
        sent.asleep
    }

    pub(super) fn awake(&self) {
        self.sent().asleep = false;
    }

    /// Closes the inbox. Returns its content, which may hold values of the user: the caller drops it with no borrow held.
    pub(super) fn close(&self) -> impl Sized + use<> {
        let mut sent = self.sent();
        self.news.store(false, Ordering::Relaxed);
        std::mem::replace(&mut *sent, Sent { closed: true, ..Sent::default() })
    }
}

impl EventLoop {
    /// Queues what other threads have sent until now, in virtual time with at most this number of jobs' results.
    ///
    /// Virtual time stands still while anything happens. So a job's result is delivered there only
    /// when nothing else is to be done, and only one in a turn. A program whose jobs wait for each
    /// other then makes the same turns in every run, however quick its threads are.
    #[inline]
    pub(super) fn empty_inbox(&self, results: usize) {
        if self.0.has_messages() {
            self.receive(self.0.clock.is_virtual().then_some(results));
        }
    }

    /// Queues what was sent, with at most this number of jobs' results.
    #[inline(never)]
    pub(super) fn receive(&self, results: Option<usize>) {
        let lp = &*self.0;
        lp.delivering.set(true);
        let _delivered = DropGuard::new(|| lp.delivering.set(false));
        // Another thread has sent this, not the entry that runs.
        let running = lp.running_entry.take();
        let Sent { mut messages, begun, .. } = lp.inbox.take(lp.message_room.take(), results);
        lp.note_begun_jobs(begun);
        for message in messages.drain(..) {
            match message {
                Message::Call { function, name, place, thread } => {
                    let callback = self.named_once(place, name, function.into_inner());
                    let thread = thread.as_deref();
                    let info = PushInfo { via: Via::Threadsafe, thread, ..PushInfo::CALL_SOON };
                    lp.enqueue_from(callback, || info);
                }
                Message::JobEnded(job, thread) => self.queue_set_result(job, thread, Via::Threadsafe),
                Message::Wake(key) => self.wake_task(key),
            }
        }
        lp.running_entry.set(running);
        if messages.capacity() <= KEPT_ROOM {
            lp.message_room.set(messages);
        }
    }

    /// Queues the call that sets a job's result.
    fn queue_set_result(&self, job: Arc<dyn Job>, thread: Option<Arc<str>>, via: Via) {
        self.0.jobs.result_arrived.set(true);
        let (place, name) = (job.header().place, thread.clone());
        let set_result = move || job.set_result(thread.as_deref().unwrap_or_default());
        let callback = self.named_once(place, "job.set_result", set_result);
        let thread = (via == Via::Threadsafe).then(|| name.as_deref().unwrap_or_default());
        self.0.enqueue_from(callback, || PushInfo { via, thread, ..PushInfo::CALL_SOON });
    }
}

impl Inner {
    /// Tells whether there is anything to take.
    #[inline]
    fn has_messages(&self) -> bool {
        !self.inbox.is_empty() || !self.jobs.pending.is_empty() && self.learns_of_begun_jobs()
    }

    /// Queues what other threads have sent until now: asyncio has one queue for their calls and the loop's own.
    #[inline]
    pub(crate) fn deliver_sent(&self) {
        if !self.inbox.is_empty() {
            self.deliver_before_push();
        }
    }

    #[cold]
    fn deliver_before_push(&self) {
        // During a delivery each message is pushed, too.
        if !self.delivering.get()
            && let Some(lp) = running::find(self.id)
        {
            lp.empty_inbox(0);
        }
    }

    /// Notes which jobs have begun, some time after they did.
    fn note_begun_jobs(&self, mut begun: Vec<(u64, Option<Arc<str>>, Option<Instant>)>) {
        // The order of threads that began together does not matter, but a trace must repeat.
        if self.traced.get() {
            begun.sort_by_key(|(job, ..)| *job);
        }
        for (job, thread, at) in begun {
            if self.jobs.set_running(job) {
                self.job_began(job, thread.as_deref().unwrap_or_default(), at);
            }
        }
    }

    /// Looks for a job's result for some microseconds, awake, before the loop goes to sleep. If a result has arrived since
    /// the last sleep and several jobs are out, the next result may be there before the system has put this thread to sleep.
    /// A sleep would also cost the job's thread a system call, to end it. Any message ends the look at once. A signal waits
    /// until it is over, and so would descriptors: with one registered there is no look. Nor is there for a single job,
    /// where one wake-up does: on a busy machine a look may cost a time slice.
    pub(super) fn look_for_results(&self) {
        let arrived = self.jobs.result_arrived.replace(false);
        if !arrived || self.jobs.pending.len() < 2 || !self.reactor.borrow().is_empty() {
            return;
        }
        let began = Instant::now();
        while self.inbox.is_empty() && began.elapsed() < LOOK_FOR {
            thread::yield_now();
        }
    }
}

#[cfg(test)]
#[path = "tests/inbox.rs"]
mod tests;
