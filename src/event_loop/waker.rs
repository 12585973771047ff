//! The waker with which a task is polled.
//!
//! Waking works from any thread and at any time, also between two runs and after the loop's end.
//! Polling a task whose waker is not cloned allocates nothing: the loop *lends* one waker to task
//! after task. A waker that was cloned during the poll stays with its task.

use super::Inner;
use super::inbox::Mailbox;
use super::running;
use super::tasks::TaskKey;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

/// A waker and the key of the task that it wakes.
pub(crate) struct TaskWaker {
    shared: Arc<WakeTarget>,
    waker: Waker,
}

struct WakeTarget {
    mailbox: Arc<Mailbox>,
    /// It changes only while no clone of the waker exists.
    task: AtomicU64,
}

impl TaskWaker {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        let shared = Arc::new(WakeTarget { mailbox, task: AtomicU64::new(u64::MAX) });
        Self { waker: Waker::from(shared.clone()), shared }
    }

    /// Makes it the waker of this task. Relaxed is enough: a clone for another thread is made
    /// later, and whatever carries it there orders the two.
    #[inline]
    pub(super) fn bind(&self, task: TaskKey) {
        self.shared.task.store(task.to_bits(), Ordering::Relaxed);
    }

    /// Tells whether a clone of it exists.
    #[inline]
    pub(super) fn is_kept(&self) -> bool {
        Arc::strong_count(&self.shared) > 2
    }

    #[inline]
    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }
}

impl Inner {
    /// Lends the loop's waker to a task for one poll.
    #[inline]
    pub(crate) fn lend_waker(&self, task: TaskKey) -> Box<TaskWaker> {
        let lent = self.lent.take();
        let waker = lent.unwrap_or_else(|| Box::new(TaskWaker::new(self.inbox.mailbox().clone())));
        waker.bind(task);
        waker
    }

    /// Takes the waker back after the poll. Returns it if it was cloned: it belongs to the task
    /// then.
    #[inline]
    pub(crate) fn give_back(&self, waker: Box<TaskWaker>) -> Option<Box<TaskWaker>> {
        if waker.is_kept() {
            return Some(waker);
        }
        self.lent.set(Some(waker));
        None
    }
}

impl Wake for WakeTarget {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let task = TaskKey::from_bits(self.task.load(Ordering::Relaxed));
        match running::find(self.mailbox.loop_id()) {
            Some(lp) => lp.wake_task(task),
            None => self.mailbox.wake(task),
        }
    }
}
