//! The live tasks of a loop, and the wakers with which they are polled.
//!
//! The loop keeps every task that is not done alive. (asyncio keeps weak references: a row of `docs/differences.md`.) It
//! runs a task's steps, wakes it by key, shows it in a snapshot, and ends it at `close`. All that it knows of a task is
//! [`AnyTask`], so that the loop does not depend on the task layer.
//!
//! Waking works from any thread and at any time, also between two runs and after the loop's end. Polling a task whose waker
//! is not cloned allocates nothing: the loop *lends* one waker to task after task. A waker that was cloned during the poll
//! stays with its task.

use super::inbox::{Inbox, Message};
use super::ready::Entry;
use super::running;
use super::{EventLoop, Inner};
use crate::trace::{On, TaskEntry};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

/// A task, as its loop sees it. The task layer gets its own type back by a downcast.
pub(crate) trait AnyTask: Entry + Any {
    /// Returns its number. Numbers are given in order of creation.
    fn id(&self) -> u64;
    /// Queues its step, because a waker of it was woken, or because what it waits on is done (the cause).
    fn wake(self: Rc<Self>, lp: &EventLoop, cause: Option<On>);
    /// Reports that the task was destroyed, and drops its body: the loop is closed.
    fn abandon(self: Rc<Self>, lp: &EventLoop);
    /// Describes it for a snapshot.
    fn entry(&self) -> TaskEntry;
}

/// The live tasks under their keys. The low half of a key is the task's slot. The high half is a
/// generation, which tells the task from an earlier one in the same slot.
#[derive(Default)]
pub(crate) struct TaskTable {
    slots: RefCell<slab::Slab<(NonZeroU64, Rc<dyn AnyTask>)>>,
    generation: Cell<u32>,
    /// Whether new tasks make their first step at once.
    pub(crate) eager: Cell<bool>,
}

impl TaskTable {
    pub(crate) fn insert(&self, task: Rc<dyn AnyTask>) -> NonZeroU64 {
        // 0 is left out, so that no key is 0.
        let generation = self.generation.get().checked_add(1).unwrap_or(1);
        self.generation.set(generation);
        let mut slots = self.slots.borrow_mut();
        let slot = slots.vacant_entry();
        let bits = u64::from(generation) << 32 | slot.key() as u64;
        let key = NonZeroU64::new(bits).expect("a generation is never 0");
        slot.insert((key, task));
        key
    }

    pub(crate) fn get(&self, key: NonZeroU64) -> Option<Rc<dyn AnyTask>> {
        let slots = self.slots.borrow();
        let (of, task) = slots.get(slot_of(key))?;
        (*of == key).then(|| task.clone())
    }

    /// Removes a task that is done. The caller drops it with no borrow held.
    pub(crate) fn remove(&self, key: NonZeroU64) -> Option<Rc<dyn AnyTask>> {
        let mut slots = self.slots.borrow_mut();
        let found = slots.get(slot_of(key)).is_some_and(|(of, _)| *of == key);
        found.then(|| slots.remove(slot_of(key)).1)
    }

    /// Lists all tasks in order of creation.
    pub(crate) fn list(&self) -> Vec<Rc<dyn AnyTask>> {
        let mut all: Vec<_> = self.slots.borrow().iter().map(|(_, (_, task))| task.clone()).collect();
        #[cfg(test)]
        tests::LISTED.set(tests::LISTED.get() + all.len());
        all.sort_by_key(|task| task.id());
        all
    }

    /// Removes all tasks and returns them in order of creation, for `close`.
    pub(crate) fn take_all(&self) -> Vec<Rc<dyn AnyTask>> {
        let mut all: Vec<_> = self.slots.borrow_mut().drain().map(|(_, task)| task).collect();
        all.sort_by_key(|task| task.id());
        all
    }
}

fn slot_of(key: NonZeroU64) -> usize {
    key.get() as u32 as usize
}

/// A waker, and the task that it wakes.
pub(crate) struct TaskWaker {
    target: Arc<WakeTarget>,
    pub(crate) waker: Waker,
}

struct WakeTarget {
    /// The bits of the task's key, which change only while no clone of the waker exists.
    key: AtomicU64,
    inbox: Arc<Inbox>,
    /// Held to be counted.
    _counted: Arc<()>,
}

impl Inner {
    /// Lends the loop's waker to a task for one poll.
    #[inline]
    pub(crate) fn lend_waker(&self, key: NonZeroU64) -> Box<TaskWaker> {
        let lent = self.lent.take().unwrap_or_else(|| {
            let (inbox, _counted) = (self.inbox.clone(), self.senders.clone());
            let target = Arc::new(WakeTarget { key: AtomicU64::new(0), inbox, _counted });
            Box::new(TaskWaker { waker: Waker::from(target.clone()), target })
        });
        // Relaxed is enough: a clone for another thread is made later, and whatever carries it there
        // orders the two.
        lent.target.key.store(key.get(), Ordering::Relaxed);
        lent
    }

    /// Takes the waker back after the poll. Returns it if it was cloned: it belongs to the task
    /// then.
    #[inline]
    pub(crate) fn give_back(&self, waker: Box<TaskWaker>) -> Option<Box<TaskWaker>> {
        if Arc::strong_count(&waker.target) > 2 {
            return Some(waker);
        }
        self.lent.set(Some(waker));
        None
    }
}

impl EventLoop {
    /// Wakes a task from this thread.
    pub(super) fn wake_task(&self, key: NonZeroU64) {
        if let Some(task) = self.0.tasks.get(key) {
            task.wake(self, None);
        }
    }
}

impl Wake for WakeTarget {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A waker is lent before it can be woken, so it has a key.
        let Some(key) = NonZeroU64::new(self.key.load(Ordering::Relaxed)) else { return };
        match running::find(self.inbox.id) {
            Some(lp) => lp.wake_task(key),
            // It fails on a closed loop, which has no task left to wake.
            None => drop(self.inbox.send(Message::Wake(key))),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sync::Lock;
    use crate::{EventLoop, Result, run_coroutine_threadsafe};
    use std::cell::Cell;
    use std::time::Duration;

    thread_local! {
        /// How many tasks were listed. What has a key must list none.
        pub(super) static LISTED: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn cancelling_n_remote_tasks_lists_no_tasks() -> Result<()> {
        let lp = EventLoop::new()?;
        let remote = lp.remote();
        let hour = || crate::sleep(Duration::from_secs(3600));
        let tasks: Vec<_> = (0..100).map(|_| run_coroutine_threadsafe(&remote, hour)).collect();
        lp.run_until_complete(crate::yield_now())?;
        let (here, elsewhere) = tasks.split_at(50);
        let elsewhere = elsewhere.to_vec();
        std::thread::spawn(move || assert!(elsewhere.iter().all(|task| task.cancel()))).join().unwrap();
        assert!(here.iter().all(|task| task.cancel()));
        lp.run_until_complete(crate::yield_now())?;
        assert_eq!(LISTED.get(), 0);
        assert!(lp.all_tasks().is_empty());
        Ok(())
    }

    #[test]
    fn asking_for_the_owner_of_a_lock_lists_no_tasks() -> Result<()> {
        EventLoop::new()?.run_until_complete(async {
            let lock = Lock::new();
            let _guard = lock.lock().await?;
            assert_eq!(lock.owner(), crate::current_task());
            assert_eq!(LISTED.get(), 0);
            Ok(())
        })
    }
}
