//! The live tasks of a loop.
//!
//! The loop keeps every task that is not done alive. (asyncio keeps weak references: a row of `docs/differences.md`.) It
//! runs a task's steps, wakes it by key, shows it in a snapshot, and ends it at `close`. All that it knows of a task is
//! [`AnyTask`], so that the loop does not depend on the task layer.

use super::EventLoop;
use super::ready::Entry;
use crate::trace::{On, TaskEntry};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

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

/// A task's key: its slot, and a generation that tells it from an earlier task in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskKey {
    slot: u32,
    generation: u32,
}

impl TaskKey {
    /// Packs the key for an atomic in a waker.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
}

#[derive(Default)]
pub(crate) struct TaskTable {
    slots: RefCell<slab::Slab<(u32, Rc<dyn AnyTask>)>>,
    generation: Cell<u32>,
    /// Whether new tasks make their first step at once.
    pub(crate) eager: Cell<bool>,
}

impl TaskTable {
    pub(crate) fn insert(&self, task: Rc<dyn AnyTask>) -> TaskKey {
        let generation = self.generation.get();
        self.generation.set(generation.wrapping_add(1));
        let slot = self.slots.borrow_mut().insert((generation, task));
        TaskKey { slot: slot as u32, generation }
    }

    pub(crate) fn get(&self, key: TaskKey) -> Option<Rc<dyn AnyTask>> {
        let slots = self.slots.borrow();
        let (generation, task) = slots.get(key.slot as usize)?;
        (*generation == key.generation).then(|| task.clone())
    }

    /// Removes a task that is done. The caller drops it with no borrow held.
    pub(crate) fn remove(&self, key: TaskKey) -> Option<Rc<dyn AnyTask>> {
        let mut slots = self.slots.borrow_mut();
        match slots.get(key.slot as usize) {
            Some((generation, _)) if *generation == key.generation => Some(slots.remove(key.slot as usize).1),
            _ => None,
        }
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
    fn asking_who_holds_a_lock_lists_no_tasks() -> Result<()> {
        EventLoop::new()?.run_until_complete(async {
            let lock = Lock::new();
            let _guard = lock.lock().await?;
            assert_eq!(lock.owner(), crate::current_task());
            assert_eq!(LISTED.get(), 0);
            Ok(())
        })
    }
}
