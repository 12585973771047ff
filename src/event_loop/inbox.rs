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
use super::tasks::TaskKey;
use super::transitions::PushInfo;
use super::{EventLoop, Inner};
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::panics::Guarded;
use crate::threads::pool::Job;
use crate::trace::{Place, Via};
use std::any::type_name_of_val;
use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The most messages that the kept buffer has room for. A larger one, after a flood, is freed.
const KEPT_ROOM: usize = 1024;

/// How long a loop looks for a job's result before it sleeps. Waking a thread takes the system longer.
const LOOK_FOR: Duration = Duration::from_micros(20);

/// What another thread asks for.
pub(super) enum Message {
    /// Call this on the loop.
    Call(Call),
    /// Set a job's result, which comes from this thread. In virtual time it waits until nothing else is to be done.
    JobEnded(Arc<dyn Job>, Option<Arc<str>>),
    /// Wake a task whose waker was called on another thread.
    Wake(TaskKey),
}

pub(super) struct Call {
    pub(super) function: Guarded<Box<dyn FnOnce() -> Result<()> + Send>>,
    /// The full path of the function.
    pub(super) name: &'static str,
    pub(super) place: Place,
    /// The sender's name, for a traced loop only: it costs an allocation for each call.
    pub(super) thread: Option<Arc<str>>,
}

/// The senders' side: all that a [`Remote`] or a waker holds of a loop. The loop counts these handles, to know whether
/// anything can still wake it.
pub(crate) struct Mailbox(Arc<Line>);

/// The line to a loop, not counted. A job holds only this: the loop counts its jobs itself. A thread that drops the line a
/// moment after its result has arrived must not look like a sender of more.
pub(crate) struct Line {
    id: LoopId,
    traced: bool,
    sent: Mutex<Sent>,
    /// Whether there are messages: one load for each push, and twice a turn. Written under the lock only, which orders it.
    news: AtomicBool,
}

type BegunJob = (u64, Option<(Arc<str>, Instant)>);

/// What was sent and not taken yet.
#[derive(Default)]
struct Sent {
    messages: Vec<Message>,
    /// The jobs that have begun, with the thread's name and the time if the loop is traced.
    begun: Vec<BegunJob>,
    asleep: bool,
    closed: bool,
    /// Ends the loop's sleep. `None` when the loop is closed: a sender that outlives it keeps no descriptor.
    waker: Option<Arc<mio::Waker>>,
}

/// What the loop takes at once.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) messages: Vec<Message>,
    pub(super) begun: Vec<BegunJob>,
}

impl Deref for Mailbox {
    type Target = Line;
    fn deref(&self) -> &Line {
        &self.0
    }
}

impl Line {
    pub(crate) fn loop_id(&self) -> LoopId {
        self.id
    }

    pub(crate) fn is_traced(&self) -> bool {
        self.traced
    }

    /// Only a lack of memory can panic under the lock, so a poisoned one is as good as any.
    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the loop if it is the running one of this thread.
    fn running(&self) -> Option<EventLoop> {
        running::running().filter(|lp| lp.0.id == self.id)
    }

    /// Sends a message, and wakes the loop if it sleeps.
    fn send(&self, message: Message) -> Result<()> {
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

    /// Has the loop call `function`. From the loop's own thread it is queued at once, after the entries before it.
    fn call<R: Outcome>(
        &self,
        place: Place,
        name: &'static str,
        function: impl FnOnce() -> R + Send + 'static,
    ) -> Result<()> {
        match running::find(self.id) {
            Some(lp) => lp.queue_named(place, name, function).map(drop),
            None => {
                let call = move || function().into_result().map(drop);
                let function: Guarded<Box<dyn FnOnce() -> Result<()> + Send>> = Guarded::new(Box::new(call));
                let thread = self.traced.then(|| std::thread::current().name().unwrap_or("unnamed").into());
                self.send(Message::Call(Call { function, name, place, thread }))
            }
        }
    }

    /// Sends that a job has begun on a thread. This does not wake the loop: waking would cost a turn that asyncio's loop does
    /// not make.
    pub(crate) fn job_begun(&self, job: u64, thread: &Arc<str>) {
        let mut sent = self.sent();
        if !sent.closed {
            sent.begun.push((job, self.traced.then(|| (thread.clone(), Instant::now()))));
        }
    }

    /// Sends a job that is over, to set its result. On the loop's own thread, where a pool was shut down, the result is set
    /// at once if that loop is the running one, else by a queued call. A closed loop drops the job.
    pub(crate) fn job_ended(&self, job: Arc<dyn Job>, thread: Option<&Arc<str>>) {
        if self.running().is_some() {
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

    /// Sends a job that has run on the loop's own thread in the place of another one.
    pub(super) fn job_ran_here(&self, job: Arc<dyn Job>, thread: &Arc<str>) {
        let _ = self.send(Message::JobEnded(job, Some(thread.clone())));
    }

    /// Wakes a task from another thread. On a closed loop this does nothing.
    pub(crate) fn wake(&self, task: TaskKey) {
        let _ = self.send(Message::Wake(task));
    }
}

/// The loop's side.
pub(crate) struct Inbox {
    mailbox: Arc<Mailbox>,
    /// The mailbox's line. Every push looks at it, so it is one step away.
    line: Arc<Line>,
    /// Room for the next batch.
    room: Cell<Vec<Message>>,
    delivering: Cell<bool>,
}

/// When the loop takes what was sent.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Delivery {
    BeforePoll,
    AfterPoll,
}

/// A delivery under way.
pub(super) struct Delivering<'a>(&'a Cell<bool>);

impl Drop for Delivering<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Inbox {
    pub(super) fn new(id: LoopId, waker: mio::Waker, traced: bool) -> Self {
        let sent = Sent { waker: Some(Arc::new(waker)), ..Sent::default() };
        let line = Line { id, traced, sent: Mutex::new(sent), news: AtomicBool::new(false) };
        let line = Arc::new(line);
        let mailbox = Arc::new(Mailbox(line.clone()));
        Self { mailbox, line, room: Cell::default(), delivering: Cell::new(false) }
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Returns whether no message waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        !self.line.news.load(Ordering::Relaxed)
    }

    /// Returns whether messages are being pushed to the ready queue. A message that comes meanwhile is for the next delivery.
    pub(super) fn is_delivering(&self) -> bool {
        self.delivering.get()
    }

    pub(super) fn begin_delivery(&self) -> Delivering<'_> {
        self.delivering.set(true);
        Delivering(&self.delivering)
    }

    /// Takes the messages that have come until now. Later ones are for the next time, so a busy sender cannot hold the turn.
    ///
    /// With a number, at most that many results of jobs are taken. The next result waits with all messages after it, and
    /// begins of jobs are taken only together with a result.
    pub(super) fn take(&self, jobs: Option<usize>) -> Taken {
        let room = self.room.take();
        let mut sent = self.mailbox.sent();
        let mut ends = sent.messages.iter().enumerate().filter(|(_, message)| message.is_end_of_job());
        let (some_end, next) = match jobs {
            None => (true, None),
            Some(0) => (false, ends.next()),
            Some(jobs) => (ends.next().is_some(), ends.nth(jobs - 1)),
        };
        let messages = match next.map(|(i, _)| i) {
            None => std::mem::replace(&mut sent.messages, room),
            Some(i) => sent.messages.drain(..i).collect(),
        };
        let begun = if some_end { std::mem::take(&mut sent.begun) } else { Vec::new() };
        self.mailbox.news.store(!sent.messages.is_empty(), Ordering::Relaxed);
        Taken { messages, begun }
    }

    /// Keeps the buffer of a batch for the next one.
    pub(super) fn give_back(&self, room: Vec<Message>) {
        if room.is_empty() && room.capacity() <= KEPT_ROOM {
            self.room.set(room);
        }
    }

    /// Sets the flag that the loop sleeps, so that the next sender makes the system call. Returns false if there are messages:
    /// the loop must not sleep.
    pub(super) fn going_to_sleep(&self) -> bool {
        let mut sent = self.mailbox.sent();
        sent.asleep = sent.messages.is_empty();
        sent.asleep
    }

    pub(super) fn awake(&self) {
        self.mailbox.sent().asleep = false;
    }

    /// Closes the inbox. Returns its content, which may hold values of the user: the caller drops it with no borrow held.
    pub(super) fn close(&self) -> impl Sized + use<> {
        let mut sent = self.mailbox.sent();
        self.mailbox.news.store(false, Ordering::Relaxed);
        std::mem::replace(&mut *sent, Sent { closed: true, ..Sent::default() })
    }
}

impl EventLoop {
    /// Queues what other threads have sent until now.
    ///
    /// Virtual time stands still while anything happens. So a job's result is delivered there only
    /// when nothing else is to be done, and only one in a turn. A program whose jobs wait for each
    /// other then makes the same turns in every run, however quick its threads are.
    #[inline]
    pub(super) fn empty_inbox(&self, when: Delivery) {
        let jobs_begin = !self.0.jobs.is_empty() && self.0.learns_of_begun_jobs();
        if jobs_begin || !self.0.inbox.is_empty() {
            self.receive(when);
        }
    }

    #[cold]
    fn receive(&self, when: Delivery) {
        let lp = &*self.0;
        let quiet = when == Delivery::AfterPoll && lp.ready.is_empty() && !lp.stopping.get();
        self.receive_at_most(lp.clock.is_virtual().then_some(usize::from(quiet)));
    }

    /// Queues what was sent, with at most this number of jobs' results.
    pub(super) fn receive_at_most(&self, jobs: Option<usize>) {
        let lp = &*self.0;
        let _delivery = lp.inbox.begin_delivery();
        // Another thread has sent this, not the entry that runs.
        let running = lp.running_entry.replace(0);
        let taken = lp.inbox.take(jobs);
        lp.note_begun_jobs(taken.begun);
        let mut messages = taken.messages;
        for message in messages.drain(..) {
            match message {
                Message::Call(call) => self.queue_call(call),
                Message::JobEnded(job, thread) => self.queue_set_result(job, thread, Via::Threadsafe),
                Message::Wake(task) => self.wake_task(task),
            }
        }
        lp.running_entry.set(running);
        lp.inbox.give_back(messages);
    }

    /// Queues a call of another thread.
    fn queue_call(&self, call: Call) {
        let Call { function, name, place, thread } = call;
        let callback = self.named_once(place, name, function.into_inner());
        let info = PushInfo { via: Via::Threadsafe, thread: thread.as_deref(), ..PushInfo::CALL_SOON };
        self.0.enqueue_from(callback, || info);
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
        if !self.inbox.is_delivering()
            && let Some(lp) = running::find(self.id)
        {
            lp.receive(Delivery::BeforePoll);
        }
    }

    /// Notes which jobs have begun, some time after they did.
    fn note_begun_jobs(&self, mut begun: Vec<BegunJob>) {
        // The order of threads that began together does not matter, but a trace must repeat.
        if self.is_traced() {
            begun.sort_by_key(|(job, _)| *job);
        }
        for (job, seen) in begun {
            if self.jobs.set_running(job) {
                let (thread, at) = seen.unzip();
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
        if !arrived || self.jobs.len() < 2 || !self.reactor.borrow().is_empty() {
            return;
        }
        let began = Instant::now();
        while self.inbox.is_empty() && began.elapsed() < LOOK_FOR {
            thread::yield_now();
        }
    }
}

impl Message {
    fn is_end_of_job(&self) -> bool {
        matches!(self, Self::JobEnded(..))
    }
}

/// A loop seen from another thread: `Send + Sync + Clone`, made by [`EventLoop::remote`](crate::EventLoop::remote).
///
/// It does not keep the loop alive; after `close` every call answers [`Error::Closed`].
///
/// ```
/// let lp = looplab::EventLoop::new()?;
/// let remote = lp.remote();
/// let thread = std::thread::spawn(move || remote.stop());
/// lp.run_forever()?;                                    // sleeps until the other thread stops it
/// thread.join().unwrap()?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone)]
pub struct Remote {
    line: Arc<Line>,
    /// Held to be counted; `None` after [`downgrade`](Self::downgrade).
    _counted: Option<Arc<Mailbox>>,
}

impl Remote {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { line: mailbox.0.clone(), _counted: Some(mailbox) }
    }

    /// Returns a `Remote` that does the same and does not count as a way to wake the loop.
    ///
    /// A loop in [virtual time](crate::Clock::virtual_time) that nothing can wake ends with
    /// [`Error::Deadlock`]. It cannot know whether a `Remote` will be used, so it waits while one exists. Keep a
    /// downgraded one where a `Remote` is held for long and rarely used, as in a logger or a global: a hanging program
    /// is then still found out. Its calls arrive as any others; a loop that has ended with the error runs them in its
    /// next run. A loop on the machine's clock makes no difference between the two.
    ///
    /// (asyncio has neither virtual time nor this error, and so no counterpart.)
    ///
    /// ```
    /// use looplab::{Clock, Error, EventLoop};
    /// let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
    /// let kept = lp.remote().downgrade();
    /// let never = lp.create_future::<()>();
    /// assert!(matches!(lp.run_until_complete(&never), Err(Error::Deadlock(_))));
    /// kept.stop()?;                                         // it still reaches the loop
    /// lp.run_forever()?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[must_use]
    pub fn downgrade(&self) -> Self {
        Self { line: self.line.clone(), _counted: None }
    }

    #[cfg(feature = "process")]
    pub(crate) fn loop_id(&self) -> LoopId {
        self.line.id
    }

    /// Whether the loop lives on this thread.
    pub(crate) fn is_here(&self) -> bool {
        running::find(self.line.id).is_some()
    }

    /// Returns the loop if it is the running one of this thread.
    pub(crate) fn running(&self) -> Option<EventLoop> {
        self.line.running()
    }

    /// Runs `function` on the loop's thread and wakes the loop if it sleeps (`call_soon_threadsafe`). From the loop's
    /// own thread it is queued at once, behind what was queued before. For a handle that cancels the call, see
    /// [`call_soon_cancellable`](Self::call_soon_cancellable).
    ///
    /// # Errors
    /// [`Error::Closed`] after the loop's end; the function is dropped.
    #[doc(alias("loop.call_soon_threadsafe", "call_soon_threadsafe"))]
    #[track_caller]
    pub fn call_soon<R: Outcome>(&self, function: impl FnOnce() -> R + Send + 'static) -> Result<()> {
        self.line.call(Location::caller(), type_name_of_val(&function), function)
    }

    /// Runs `function` as [`call_soon`](Self::call_soon) does, under a name of the caller's.
    pub(crate) fn call_named<R: Outcome>(
        &self,
        place: Place,
        name: &'static str,
        function: impl FnOnce() -> R + Send + 'static,
    ) -> Result<()> {
        self.line.call(place, name, function)
    }

    /// Stops the loop at the end of the turn in which the request arrives, and wakes it if it sleeps. (asyncio's
    /// `loop.stop()` from another thread is not noticed until something else wakes the loop; this is what
    /// `loop.call_soon_threadsafe(loop.stop)` does.)
    ///
    /// # Errors
    /// [`Error::Closed`] after the loop's end.
    #[track_caller]
    pub fn stop(&self) -> Result<()> {
        self.call_soon(running::stop)
    }

    /// Makes a task on the loop from another thread. `make` runs there and returns the task's body,
    /// which need not be `Send`. The task belongs to the loop, which reports a failure that is
    /// never read.
    ///
    /// # Errors
    /// [`Error::Closed`] after the loop's end.
    ///
    /// ```
    /// # use looplab::EventLoop;
    /// let lp = EventLoop::new()?;
    /// let remote = lp.remote();
    /// std::thread::spawn(move || remote.spawn(|| async { looplab::stop() })).join().unwrap()?;
    /// lp.run_forever()?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<M, F>(&self, make: M) -> Result<()>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output: crate::Outcome> + 'static,
    {
        let place = Location::caller();
        self.call_soon(move || running::get_running_loop()?.create_task_at(place, make()))
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("loop", &self.line.id).finish()
    }
}

#[cfg(test)]
#[path = "tests/inbox.rs"]
mod tests;
