//! The tasks that live on a loop, as far as the loop must know them.
//!
//! The loop keeps every task that is not done alive (asyncio keeps weak references: a row of `docs/differences.md`),
//! wakes it by key, shows it in a snapshot, and ends it at `close`. It knows nothing else of tasks: they are
//! [`Resident`]s behind this small trait, so that the loop does not import the task layer.

use super::EventLoop;
use crate::trace::TaskEntry;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A task, as its loop sees it.
pub(crate) trait Resident {
    /// Its number; they are given in order of creation.
    fn id(&self) -> u64;
    /// A waker of it was woken on the loop's thread.
    fn wake(self: Rc<Self>, lp: &EventLoop);
    /// The loop is closed: report that the task was destroyed, and drop its body.
    fn abandon(self: Rc<Self>, lp: &EventLoop);
    /// For a snapshot.
    fn entry(&self) -> TaskEntry;
    /// The task layer's own handle (`TaskRef`), boxed because the loop cannot name it.
    fn reveal(self: Rc<Self>) -> Box<dyn Any>;
}

/// A task's key: its slot, and a generation that tells it from a task which had the slot before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskKey {
    slot: u32,
    generation: u32,
}

impl TaskKey {
    /// Packed, for an atomic in a waker.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
}

#[derive(Default)]
pub(super) struct Residents {
    slots: RefCell<slab::Slab<(u32, Rc<dyn Resident>)>>,
    generation: Cell<u32>,
}

impl Residents {
    pub(super) fn insert(&self, resident: Rc<dyn Resident>) -> TaskKey {
        let generation = self.generation.get();
        self.generation.set(generation.wrapping_add(1));
        let slot = self.slots.borrow_mut().insert((generation, resident));
        TaskKey { slot: slot as u32, generation }
    }

    pub(super) fn get(&self, key: TaskKey) -> Option<Rc<dyn Resident>> {
        let slots = self.slots.borrow();
        let (generation, resident) = slots.get(key.slot as usize)?;
        (*generation == key.generation).then(|| resident.clone())
    }

    /// Takes a task that is done out. It is returned so that it is dropped with no borrow held.
    pub(super) fn remove(&self, key: TaskKey) -> Option<Rc<dyn Resident>> {
        let mut slots = self.slots.borrow_mut();
        match slots.get(key.slot as usize) {
            Some((generation, _)) if *generation == key.generation => Some(slots.remove(key.slot as usize).1),
            _ => None,
        }
    }

    /// All of them, in order of creation.
    pub(super) fn list(&self) -> Vec<Rc<dyn Resident>> {
        let mut all: Vec<_> = self.slots.borrow().iter().map(|(_, (_, resident))| resident.clone()).collect();
        #[cfg(test)]
        tests::LISTED.set(tests::LISTED.get() + all.len());
        all.sort_by_key(|resident| resident.id());
        all
    }

    /// All of them, in order of creation, leaving none: for `close`.
    pub(super) fn take_all(&self) -> Vec<Rc<dyn Resident>> {
        let mut all: Vec<_> = self.slots.borrow_mut().drain().map(|(_, resident)| resident).collect();
        all.sort_by_key(|resident| resident.id());
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
        /// How many tasks were listed: what is to be found by its key lists none.
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
