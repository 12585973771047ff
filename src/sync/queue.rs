//! `Queue`, `PriorityQueue`, `LifoQueue`: items from tasks to tasks.
//!
//! They guarantee that no item is lost or returned twice: it is in the queue until the step in
//! which a `get` returns it. A getter or putter that is cancelled after it was woken wakes the next
//! one. They do *not* guarantee the fairness of a [`Lock`](super::Lock): as in asyncio, a newcomer
//! may be faster than a woken task, which then waits again, as the last.
//!
//! A [`PriorityQueue`] and a [`LifoQueue`] dereference to a [`Queue`], as asyncio's are subclasses.
//! Alternative: a type parameter for the order. Problem: `Queue::new(3)` would not infer it, and
//! functions that take a queue would be generic.

use super::event::Event;
use super::store::{Deque, Heap, Store};
use super::wait_queue::{LoopBound, WaitQueue};
use crate::error::{Error, Result};
use crate::panics::{Guarded, drop_all};
use crate::task::Future as Waiter;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::rc::Rc;

/// Items in the order in which they were put (`asyncio.Queue`). A clone is another handle of the
/// same queue.
///
/// ```
/// use looplab::{Error, EventLoop, create_task, sync::Queue};
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async {
///     let queue = Queue::new(2);
///     let source = queue.clone();
///     let producer = create_task(async move {
///         for i in 0..5 {
///             source.put(i).await?;                              // waits while two are in
///         }
///         source.shutdown(false);
///         Ok(())
///     });
///     let mut sum = 0;
///     loop {
///         match queue.get().await {
///             Ok(item) => sum += item,
///             Err(Error::QueueShutDown) => break,
///             Err(error) => return Err(error),
///         }
///     }
///     assert_eq!(sum, 10);
///     producer.await
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.Queue")]
pub struct Queue<T>(Rc<QueueInner<T>>);

struct QueueInner<T> {
    name: &'static str,
    maxsize: usize,
    store: RefCell<Box<dyn Store<T>>>,
    /// The store's length, also while the store is borrowed.
    size: Cell<usize>,
    getters: WaitQueue,
    putters: WaitQueue,
    unfinished: Cell<usize>,
    finished: Event,
    shut_down: Cell<bool>,
    bound: LoopBound,
}

impl<T: 'static> Queue<T> {
    /// Creates an empty queue for up to `maxsize` items, or for any number if that is 0
    /// (`asyncio.Queue(maxsize)`). Needs no loop.
    ///
    /// ```
    /// let queue = looplab::sync::Queue::new(1);
    /// queue.put_nowait("only")?;
    /// assert!(queue.full());
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias("asyncio.Queue", "Queue"))]
    #[must_use]
    pub fn new(maxsize: usize) -> Self {
        Self::of("Queue", maxsize, Deque::fifo())
    }

    fn of(name: &'static str, maxsize: usize, store: impl Store<T> + 'static) -> Self {
        let finished = Event::new();
        finished.set();
        Self(Rc::new(QueueInner {
            name,
            maxsize,
            store: RefCell::new(Box::new(store)),
            size: Cell::new(0),
            getters: WaitQueue::default(),
            putters: WaitQueue::default(),
            unfinished: Cell::new(0),
            finished,
            shut_down: Cell::new(false),
            bound: LoopBound::default(),
        }))
    }

    /// Puts an item; waits while the queue is full (`Queue.put`).
    ///
    /// Fails with [`Error::QueueShutDown`] if the queue is or becomes shut down, and with
    /// [`Error::Cancelled`] if the task is cancelled while it waits. A wait fails with
    /// [`Error::Runtime`] on another loop than the first wait's, and with
    /// [`Error::NoRunningLoop`] without a running loop. Each failure drops the item.
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Queue};
    /// let queue = Queue::new(0);
    /// EventLoop::new()?.run_until_complete(queue.put("first"))?;
    /// assert_eq!(queue.qsize(), 1);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Queue.put")]
    #[track_caller]
    pub fn put(&self, item: T) -> impl Future<Output = Result<()>> + use<T> {
        let (queue, place) = (self.clone(), Location::caller());
        async move {
            let QueueInner { putters, bound, .. } = &*queue.0;
            while queue.full() {
                queue.check_not_shut_down()?;
                let putter = bound.waiter(&queue, "queue.put", place)?;
                let hand_over = |putter: &Waiter<()>| {
                    if !queue.full() && !putter.cancelled() {
                        putters.pop_and_wake(1);
                    }
                };
                putters.wait_or(putter, hand_over).await?;
            }
            queue.put_nowait(item)
        }
    }

    /// Removes and returns the next item; waits while the queue is empty (`Queue.get`).
    ///
    /// Fails with [`Error::QueueShutDown`] if the queue is shut down and empty, and otherwise as
    /// [`put`](Self::put) does. A failure removes no item.
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Queue};
    /// let queue = Queue::new(0);
    /// queue.put_nowait("first")?;
    /// assert_eq!(EventLoop::new()?.run_until_complete(queue.get())?, "first");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Queue.get")]
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Result<T>> + use<T> {
        let (queue, place) = (self.clone(), Location::caller());
        async move {
            let QueueInner { getters, bound, .. } = &*queue.0;
            while queue.empty() {
                queue.check_not_shut_down()?;
                let getter = bound.waiter(&queue, "queue.get", place)?;
                let hand_over = |getter: &Waiter<()>| {
                    if !queue.empty() && !getter.cancelled() {
                        getters.pop_and_wake(1);
                    }
                };
                getters.wait_or(getter, hand_over).await?;
            }
            queue.get_nowait()
        }
    }

    /// Puts an item if the queue is not full (`Queue.put_nowait`). It may be called at any time on
    /// the loop's thread. To keep the item, check [`full`](Self::full) first: no other task runs in
    /// between.
    ///
    /// # Errors
    /// [`Error::QueueShutDown`] if the queue is shut down, [`Error::QueueFull`] if it is full. The
    /// item is dropped.
    ///
    /// ```
    /// # use looplab::{Error, sync::Queue};
    /// let queue = Queue::new(1);
    /// queue.put_nowait(1)?;
    /// assert!(matches!(queue.put_nowait(2), Err(Error::QueueFull)));
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Queue.put_nowait")]
    pub fn put_nowait(&self, item: T) -> Result<()> {
        let item = Guarded::new(item);
        self.check_not_shut_down()?;
        if self.full() {
            return Err(Error::QueueFull);
        }
        self.0.with_store(|store| store.push(item.into_inner()))?;
        self.0.unfinished.set(self.0.unfinished.get() + 1);
        self.0.finished.clear();
        self.0.getters.pop_and_wake(1);
        Ok(())
    }

    /// Removes and returns the next item, if there is one (`Queue.get_nowait`). It may be called at
    /// any time on the loop's thread.
    ///
    /// # Errors
    /// [`Error::QueueShutDown`] if the queue is empty and shut down, [`Error::QueueEmpty`] if it is
    /// only empty.
    ///
    /// ```
    /// # use looplab::{Error, sync::Queue};
    /// assert!(matches!(Queue::<u8>::new(0).get_nowait(), Err(Error::QueueEmpty)));
    /// ```
    #[doc(alias = "Queue.get_nowait")]
    pub fn get_nowait(&self) -> Result<T> {
        if self.empty() {
            self.check_not_shut_down()?;
            return Err(Error::QueueEmpty);
        }
        let item = self.0.with_store(|store| store.pop())?.ok_or(Error::QueueEmpty)?;
        self.0.putters.pop_and_wake(1);
        Ok(item)
    }

    /// Marks one item that was removed as processed (`Queue.task_done`).
    ///
    /// # Errors
    /// [`Error::Value`] if all items are marked already.
    ///
    /// ```
    /// # use looplab::sync::Queue;
    /// assert_eq!(Queue::<u8>::new(0).task_done().unwrap_err().to_string(), "task_done() called too many times");
    /// ```
    #[doc(alias = "Queue.task_done")]
    pub fn task_done(&self) -> Result<()> {
        let state = &*self.0;
        if state.unfinished.get() == 0 {
            return Err(Error::Value("task_done() called too many times".into()));
        }
        state.finish(1);
        Ok(())
    }

    /// Waits until [`task_done`](Self::task_done) was called for every item that was put
    /// (`Queue.join`). Does not suspend if that is so already.
    ///
    /// Fails with [`Error::Cancelled`] if the task is cancelled. Fails with [`Error::Runtime`] on
    /// another loop than the first wait's, and with [`Error::NoRunningLoop`] without a
    /// running loop.
    ///
    /// ```
    /// # use looplab::{EventLoop, create_task, sync::Queue};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let queue = Queue::new(0);
    ///     queue.put_nowait("work")?;
    ///     let worker = queue.clone();
    ///     create_task(async move {
    ///         worker.get().await?;
    ///         worker.task_done()
    ///     });
    ///     queue.join().await
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Queue.join")]
    #[track_caller]
    pub fn join(&self) -> impl Future<Output = Result<()>> + use<T> {
        let (state, place) = (self.0.clone(), Location::caller());
        async move {
            if state.unfinished.get() > 0 {
                state.finished.wait_at("queue.join", place).await?;
            }
            Ok(())
        }
    }

    /// Shuts the queue down (`Queue.shutdown`, since Python 3.13). Every `put` fails with
    /// [`Error::QueueShutDown`] from now on, and so does every `get` once the queue is empty. With
    /// `immediate`, all items are dropped at once and count as processed.
    ///
    /// ```
    /// # use looplab::{Error, sync::Queue};
    /// let queue = Queue::new(0);
    /// queue.put_nowait("last")?;
    /// queue.shutdown(false);
    /// assert_eq!(queue.get_nowait()?, "last");
    /// assert!(matches!(queue.get_nowait(), Err(Error::QueueShutDown)));
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "Queue.shutdown")]
    pub fn shutdown(&self, immediate: bool) {
        let state = &*self.0;
        state.shut_down.set(true);
        let mut removed = Vec::new();
        if immediate {
            // This fails if the comparison of items calls it. The items then stay in the queue.
            removed = state.with_store(|store| store.take_all()).unwrap_or_default();
            state.finish(removed.len());
        }
        state.getters.pop_and_wake(usize::MAX);
        state.putters.pop_and_wake(usize::MAX);
        // The items' destructors are user code: they run last, when the queue is consistent.
        drop_all(removed);
    }

    /// Returns the number of items in the queue (`Queue.qsize`).
    ///
    /// ```
    /// assert_eq!(looplab::sync::Queue::<u8>::new(2).qsize(), 0);
    /// ```
    #[doc(alias = "Queue.qsize")]
    #[must_use]
    pub fn qsize(&self) -> usize {
        self.0.size.get()
    }

    /// Returns the maximum number of items, or 0 for a queue without a limit (`Queue.maxsize`).
    ///
    /// ```
    /// assert_eq!(looplab::sync::Queue::<u8>::new(2).maxsize(), 2);
    /// ```
    #[doc(alias = "Queue.maxsize")]
    #[must_use]
    pub fn maxsize(&self) -> usize {
        self.0.maxsize
    }

    /// Returns whether the queue is empty (`Queue.empty`).
    ///
    /// ```
    /// assert!(looplab::sync::Queue::<u8>::new(2).empty());
    /// ```
    #[doc(alias = "Queue.empty")]
    #[must_use]
    pub fn empty(&self) -> bool {
        self.0.size.get() == 0
    }

    /// Returns whether the queue holds its maximum (`Queue.full`). A queue without a limit is never
    /// full.
    ///
    /// ```
    /// assert!(!looplab::sync::Queue::<u8>::new(0).full());
    /// ```
    #[doc(alias = "Queue.full")]
    #[must_use]
    pub fn full(&self) -> bool {
        self.0.maxsize > 0 && self.0.size.get() >= self.0.maxsize
    }

    fn check_not_shut_down(&self) -> Result<()> {
        if self.0.shut_down.get() { Err(Error::QueueShutDown) } else { Ok(()) }
    }
}

impl<T: 'static> QueueInner<T> {
    /// Marks `n` items as processed.
    fn finish(&self, n: usize) {
        self.unfinished.set(self.unfinished.get().saturating_sub(n));
        if self.unfinished.get() == 0 {
            self.finished.set();
        }
    }

    /// Uses the store. A priority queue compares items meanwhile, which is user code. It may panic,
    /// so the size is set in any case.
    ///
    /// # Errors
    /// [`Error::Runtime`] if a comparison uses the queue.
    fn with_store<R>(&self, using: impl FnOnce(&mut dyn Store<T>) -> R) -> Result<R> {
        let Ok(mut store) = self.store.try_borrow_mut() else {
            return Err(Error::Runtime("comparing the items of a queue uses the queue".into()));
        };
        let used = catch_unwind(AssertUnwindSafe(|| using(&mut **store)));
        self.size.set(store.len());
        drop(store);
        Ok(used.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Writes `<Queue maxsize=2 qsize=1 _getters[1] tasks=1 shutdown>`. It does not show the items, so
/// it needs no `T: Debug` and runs no user code.
impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QueueInner { name, maxsize, size, getters, putters, unfinished, shut_down, .. } = &*self.0;
        write!(f, "<{name} maxsize={maxsize} qsize={}", size.get())?;
        for (name, waiters) in [("_getters", getters), ("_putters", putters)] {
            if waiters.len() > 0 {
                write!(f, " {name}[{}]", waiters.len())?;
            }
        }
        if unfinished.get() > 0 {
            write!(f, " tasks={}", unfinished.get())?;
        }
        f.write_str(if shut_down.get() { " shutdown>" } else { ">" })
    }
}

/// A [`Queue`] that returns the lowest item first, and equal items in the order in which they were
/// put (`asyncio.PriorityQueue`). It has all methods of a queue.
///
/// Items are usually `(priority, data)`. Their comparison must not use this queue, which would
/// return an error. It must not panic: the item that is removed meanwhile may be lost.
///
/// ```
/// use looplab::sync::PriorityQueue;
/// let jobs = PriorityQueue::new(0);
/// jobs.put_nowait((3, "later"))?;
/// jobs.put_nowait((1, "urgent"))?;
/// assert_eq!(jobs.get_nowait()?, (1, "urgent"));
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.PriorityQueue")]
pub struct PriorityQueue<T>(Queue<T>);

impl<T: Ord + 'static> PriorityQueue<T> {
    /// Creates an empty queue, as [`Queue::new`] does.
    #[must_use]
    pub fn new(maxsize: usize) -> Self {
        Self(Queue::of("PriorityQueue", maxsize, Heap::new()))
    }
}

/// A [`Queue`] that returns the last item first (`asyncio.LifoQueue`). It has all methods of a
/// queue.
///
/// ```
/// use looplab::sync::LifoQueue;
/// let stack = LifoQueue::new(0);
/// stack.put_nowait("below")?;
/// stack.put_nowait("on top")?;
/// assert_eq!(stack.get_nowait()?, "on top");
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.LifoQueue")]
pub struct LifoQueue<T>(Queue<T>);

impl<T: 'static> LifoQueue<T> {
    /// Creates an empty queue, as [`Queue::new`] does.
    #[must_use]
    pub fn new(maxsize: usize) -> Self {
        Self(Queue::of("LifoQueue", maxsize, Deque::lifo()))
    }
}

/// Implements what makes the other two a queue.
macro_rules! is_a_queue {
    ($($name:ident)*) => {$(
        impl<T> Deref for $name<T> {
            type Target = Queue<T>;
            fn deref(&self) -> &Queue<T> {
                &self.0
            }
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

is_a_queue!(PriorityQueue LifoQueue);
