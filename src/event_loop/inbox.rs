//! The inbox: how other threads reach a loop.
//!
//! It promises that what is sent arrives in order, that a sleeping loop is woken with one system call and a loop that
//! is awake with none, and that a sender who outlives the loop is told so instead of filling a channel that nobody
//! reads. From the loop's own thread nothing goes through here: a call lands in the ready queue at once, in call order.
//!
//! How a wake-up cannot be lost: the loop sets `asleep`, then looks at `news` once more, then polls; a sender sends, sets
//! `news`, then looks at `asleep`. Whoever comes second sees the other.

use super::handle::short_name;
use super::jobs::{Begun, Returning};
use super::residents::TaskKey;
use super::running::{self, LoopId};
use crate::error::{Error, Result};
use crate::trace::{Place, Via};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What another thread wants.
pub(super) enum Message {
    /// Run this on the loop.
    Call(Call),
    /// A job is over: it is to arrive.
    JobEnded(Box<dyn Returning>),
    /// A task's waker was woken there.
    Wake(TaskKey),
}

pub(super) struct Call {
    pub(super) function: Box<dyn FnOnce() -> Result<()> + Send>,
    /// How a reader knows the function.
    pub(super) name: fn() -> String,
    pub(super) place: Place,
    pub(super) thread: Box<str>,
}

/// The senders' side: all that a [`Remote`] or a waker holds of a loop. The loop counts who holds one, to know whether
/// anybody can still wake it.
pub(crate) struct Mailbox(Arc<Line>);

/// The line to a loop, not counted. A job's thread holds this alone: the loop keeps its jobs itself, and a thread that lets
/// go of the line a moment after its result has arrived must not count as somebody who may send more.
pub(crate) struct Line {
    id: LoopId,
    sender: Sender<Message>,
    begun: Sender<Begun>,
    /// Something was sent that the loop has not looked at: so that looking in vain, twice in every turn, costs one load.
    news: AtomicBool,
    asleep: AtomicBool,
    waker: mio::Waker,
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

    /// Sends, and wakes the loop if it sleeps.
    fn send(&self, message: Message) -> Result<()> {
        self.sender.send(message).map_err(|_| Error::Closed)?;
        self.news.store(true, Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            log::error!(target: "looplab", "cannot wake the loop from another thread: {error}");
        }
        Ok(())
    }

    /// Has the loop call `function`; from its own thread it is queued at once, behind what was queued before.
    fn call<F, R>(&self, place: Place, thread: &str, function: F) -> Result<()>
    where
        F: FnOnce() -> R + Send + 'static,
        R: crate::Outcome,
    {
        match running::find(self.id) {
            Some(lp) => lp.queue(place, function).map(drop),
            None => {
                let function = Box::new(move || function().into_result().map(drop));
                self.send(Message::Call(Call {
                    function,
                    name: short_name::<F>,
                    place,
                    thread: thread.into(),
                }))
            }
        }
    }

    /// A job has begun. Nobody is woken.
    pub(super) fn job_begun(&self, job: Begun) {
        let _ = self.begun.send(job);
    }

    /// A job is over: has the loop make it arrive. On the loop's own thread, where a pool was shut down, that is queued at
    /// once. The job is dropped if the loop is closed.
    pub(super) fn job_ended(&self, job: Box<dyn Returning>) {
        match running::find(self.id) {
            Some(lp) if lp.is_closed() => drop(job),
            Some(lp) => lp.0.queue_returned(job, Via::CallSoon),
            None => {
                let _ = self.send(Message::JobEnded(job));
            }
        }
    }

    /// Wakes a task from another thread. After the loop's end there is nobody to wake, and that is fine.
    pub(crate) fn wake(&self, task: TaskKey) {
        let _ = self.send(Message::Wake(task));
    }
}

/// The loop's side.
pub(super) struct Inbox {
    mailbox: Arc<Mailbox>,
    receiver: RefCell<Option<Receiver<Message>>>,
    /// A job's end that was received before its time.
    held: RefCell<Option<Message>>,
}

impl Inbox {
    pub(super) fn new(id: LoopId, waker: mio::Waker, begun: Sender<Begun>) -> Self {
        let (sender, receiver) = unbounded();
        let line =
            Line { id, sender, begun, news: AtomicBool::new(false), asleep: AtomicBool::new(false), waker };
        let mailbox = Arc::new(Mailbox(Arc::new(line)));
        Self { mailbox, receiver: RefCell::new(Some(receiver)), held: RefCell::new(None) }
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    pub(super) fn line(&self) -> &Arc<Line> {
        &self.mailbox.0
    }

    /// Whether anything waits.
    pub(super) fn is_empty(&self) -> bool {
        // The flag may be set for what was taken meanwhile; the channel knows.
        !self.mailbox.news.load(Ordering::SeqCst)
            || (self.held.borrow().is_none()
                && self.receiver.borrow().as_ref().is_none_or(Receiver::is_empty))
    }

    /// What has come until now; what comes meanwhile is for the next time, so that a busy sender cannot hold the turn.
    /// With a number, of so many jobs at most the end is taken, and what came behind the next one's waits with it.
    pub(super) fn take(&self, jobs: Option<usize>) -> Vec<Message> {
        let mut taken = Vec::new();
        if self.is_empty() {
            return taken;
        }
        // First the flag, then the channel: what is sent from here on sets the flag again.
        self.mailbox.news.store(false, Ordering::SeqCst);
        let receiver = self.receiver.borrow();
        let waiting = receiver.as_ref().map_or(0, Receiver::len);
        let mut jobs = jobs.unwrap_or(usize::MAX);
        let held = self.held.borrow_mut().take();
        for message in held.into_iter().chain(receiver.iter().flat_map(Receiver::try_iter).take(waiting)) {
            if let Message::JobEnded(_) = message {
                if jobs == 0 {
                    *self.held.borrow_mut() = Some(message);
                    self.mailbox.news.store(true, Ordering::SeqCst);
                    break;
                }
                jobs -= 1;
            }
            taken.push(message);
        }
        taken
    }

    /// From now on a sender makes the system call. Look into the inbox once more after this, and then sleep.
    pub(super) fn going_to_sleep(&self) {
        self.mailbox.asleep.store(true, Ordering::SeqCst);
    }

    pub(super) fn awake(&self) {
        self.mailbox.asleep.store(false, Ordering::SeqCst);
    }

    /// Closes it. The receiver holds user values: the caller drops it with no borrow held.
    pub(super) fn close(&self) -> impl Sized + use<> {
        (self.held.borrow_mut().take(), self.receiver.borrow_mut().take())
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
    mailbox: Arc<Mailbox>,
}

impl Remote {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { mailbox }
    }

    /// Whether the loop lives on this thread.
    pub(crate) fn is_here(&self) -> bool {
        running::find(self.mailbox.id).is_some()
    }

    /// Runs `function` on the loop's thread and wakes the loop if it sleeps (`call_soon_threadsafe`). From the loop's
    /// own thread it is queued at once, behind what was queued before.
    ///
    /// # Errors
    /// [`Error::Closed`] after the loop's end; the function is dropped.
    #[track_caller]
    pub fn call_soon<F, R>(&self, function: F) -> Result<()>
    where
        F: FnOnce() -> R + Send + 'static,
        R: crate::Outcome,
    {
        let thread = std::thread::current();
        self.mailbox.call(Location::caller(), thread.name().unwrap_or("unnamed"), function)
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

    /// Makes a task on the loop from another thread: `make` runs there and returns the task's body, which need not be
    /// `Send`. The task belongs to the loop; a failure that nobody reads is reported there.
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
        self.call_soon(move || running::get_running_loop()?.create_task(make()))
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("loop", &self.mailbox.id).finish()
    }
}
