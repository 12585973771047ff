//! The waker with which a task is polled.
//!
//! It promises that waking works from any thread and at any time, also between two runs and after the loop's end, and
//! that polling a task whose waker nobody keeps allocates nothing: the loop *lends* one waker to task after task, and
//! only when somebody cloned it during the poll does it stay with that task.

use super::Inner;
use super::inbox::Mailbox;
use super::running;
use super::tasks::TaskKey;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

/// A waker and the key of the task that it wakes.
pub(crate) struct TaskWaker {
    shared: Arc<Shared>,
    waker: Waker,
}

struct Shared {
    mailbox: Arc<Mailbox>,
    /// It changes only while nobody but the loop holds the waker.
    task: AtomicU64,
}

impl TaskWaker {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        let shared = Arc::new(Shared { mailbox, task: AtomicU64::new(u64::MAX) });
        Self { waker: Waker::from(shared.clone()), shared }
    }

    /// Makes it the waker of this task. Relaxed is enough: a clone that travels to another thread is made later, and
    /// whatever carries it there orders the two.
    #[inline]
    pub(super) fn bind(&self, task: TaskKey) {
        self.shared.task.store(task.to_bits(), Ordering::Relaxed);
    }

    /// Whether somebody cloned it and still holds the clone.
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

    /// Takes it back after the poll; `Some` if it was cloned and so belongs to the task now.
    #[inline]
    pub(crate) fn give_back(&self, waker: Box<TaskWaker>) -> Option<Box<TaskWaker>> {
        if waker.is_kept() {
            return Some(waker);
        }
        self.lent.set(Some(waker));
        None
    }
}

impl Wake for Shared {
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
