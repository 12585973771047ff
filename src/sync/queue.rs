//! `Queue`, `PriorityQueue`, `LifoQueue`: items from tasks to tasks.
//!
//! They promise that no item is lost or given twice: an item is in the queue until the very step in which a `get`
//! returns it, and a getter or putter that is cancelled after it was woken wakes the next. They do *not* promise the
//! fairness of a [`Lock`](super::Lock): as in asyncio, who is woken looks again, and if a newcomer was quicker it waits
//! again, at the end of the line.
//!
//! A [`PriorityQueue`] and a [`LifoQueue`] *are* queues, with another order: they give a `&Queue<T>` wherever one is
//! asked for, as asyncio's are subclasses. (Rejected: a type parameter for the order. `Queue::new(3)` would not infer, and
//! every function that takes a queue would have to be generic for no gain.)

use super::event::Event;
use super::store::{Heap, Store};
use super::waiters::{Home, Waiters};
use crate::error::{Error, Result};
use crate::panics::{Apart, Guarded, drop_all};
use crate::trace::Place;
use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::rc::Rc;

/// Items in the order in which they were put (`asyncio.Queue`). Cloning gives another handle of the same queue.
///
/// ```
/// use looplab::{Error, EventLoop, create_task, sync::Queue};
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async {
///     let queue = Queue::new(2);
///     let source = queue.clone();
///     let producer = create_task(async move {
///         for i in 0..5 {
///             source.put(i).await?;                              // waits whenever two are in
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
pub struct Queue<T>(Rc<State<T>>);

struct State<T> {
    name: &'static str,
    maxsize: usize,
    /// Taken out while it is used, because using it may be running the user's code; see [`State::with_store`].
    store: Cell<Option<Box<dyn Store<T>>>>,
    size: Cell<usize>,
    getters: Waiters,
    putters: Waiters,
    unfinished: Cell<usize>,
    finished: Event,
    shut_down: Cell<bool>,
    home: Home,
}

impl<T: 'static> Queue<T> {
    /// An empty one that holds up to `maxsize` items, or any number if that is 0 (`asyncio.Queue(maxsize)`). Needs no
    /// loop.
    ///
    /// ```
    /// let queue = looplab::sync::Queue::new(1);
    /// queue.put_nowait("only")?;
    /// assert!(queue.full());
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[must_use]
    pub fn new(maxsize: usize) -> Self {
        Self::of("Queue", maxsize, Apart::<VecDeque<T>>::default())
    }

    fn of(name: &'static str, maxsize: usize, store: impl Store<T> + 'static) -> Self {
        let finished = Event::new();
        finished.set();
        Self(Rc::new(State {
            name,
            maxsize,
            store: Cell::new(Some(Box::new(store))),
            size: Cell::new(0),
            getters: Waiters::default(),
            putters: Waiters::default(),
            unfinished: Cell::new(0),
            finished,
            shut_down: Cell::new(false),
            home: Home::default(),
        }))
    }

    /// Puts an item, and waits for room if the queue is full (`Queue.put`).
    ///
    /// Fails with [`Error::QueueShutDown`] if the queue is shut down, before or meanwhile; with [`Error::Cancelled`] if
    /// the task is cancelled while it waits; with [`Error::Runtime`] if it would have to wait on another loop than the one
    /// it was first waited for on; and with [`Error::NoRunningLoop`] without one. The item is not in the queue then: it
    /// is dropped.
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Queue};
    /// let queue = Queue::new(0);
    /// EventLoop::new()?.run_until_complete(queue.put("first"))?;
    /// assert_eq!(queue.qsize(), 1);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn put(&self, item: T) -> impl Future<Output = Result<()>> + use<T> {
        let (state, place) = (self.0.clone(), Location::caller());
        async move { state.put_at(item, place).await }
    }

    /// Takes the next item out, and waits for one if the queue is empty (`Queue.get`).
    ///
    /// Fails with [`Error::QueueShutDown`] if the queue is shut down and empty; else as [`put`](Self::put) does. No item
    /// is taken out then.
    ///
    /// ```
    /// # use looplab::{EventLoop, sync::Queue};
    /// let queue = Queue::new(0);
    /// queue.put_nowait("first")?;
    /// assert_eq!(EventLoop::new()?.run_until_complete(queue.get())?, "first");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Result<T>> + use<T> {
        let (state, place) = (self.0.clone(), Location::caller());
        async move { state.get_at(place).await }
    }

    /// Puts an item if there is room (`Queue.put_nowait`). May be called at any time on the loop's thread. To keep the
    /// item if there is none, ask [`full`](Self::full) first: nobody can come between.
    ///
    /// # Errors
    /// [`Error::QueueShutDown`] if the queue is shut down, [`Error::QueueFull`] if it is full; the item is dropped.
    ///
    /// ```
    /// # use looplab::{Error, sync::Queue};
    /// let queue = Queue::new(1);
    /// queue.put_nowait(1)?;
    /// assert!(matches!(queue.put_nowait(2), Err(Error::QueueFull)));
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub fn put_nowait(&self, item: T) -> Result<()> {
        self.0.put_nowait(item)
    }

    /// Takes the next item out if there is one (`Queue.get_nowait`). May be called at any time on the loop's thread.
    ///
    /// # Errors
    /// [`Error::QueueEmpty`] if there is none, or [`Error::QueueShutDown`] if there will be none either.
    ///
    /// ```
    /// # use looplab::{Error, sync::Queue};
    /// assert!(matches!(Queue::<u8>::new(0).get_nowait(), Err(Error::QueueEmpty)));
    /// ```
    pub fn get_nowait(&self) -> Result<T> {
        self.0.get_nowait()
    }

    /// Says that one item which was taken out has been dealt with (`Queue.task_done`).
    ///
    /// # Errors
    /// [`Error::Value`] if that was said of all already.
    ///
    /// ```
    /// # use looplab::sync::Queue;
    /// assert_eq!(Queue::<u8>::new(0).task_done().unwrap_err().to_string(), "task_done() called too many times");
    /// ```
    pub fn task_done(&self) -> Result<()> {
        let state = &*self.0;
        if state.unfinished.get() == 0 {
            return Err(Error::Value("task_done() called too many times".into()));
        }
        state.unfinished.set(state.unfinished.get() - 1);
        state.tell_if_finished();
        Ok(())
    }

    /// Waits until every item that was put has been dealt with (`Queue.join`): as many [`task_done`](Self::task_done) as
    /// items. At once if that is so, or if nothing was put.
    ///
    /// Fails with [`Error::Cancelled`] if the task is cancelled; with [`Error::Runtime`] on another loop than the one it
    /// was first waited for on; and with [`Error::NoRunningLoop`] without one.
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

    /// Ends the queue (`Queue.shutdown`, since Python 3.13): nothing can be put any more, and who waits to put is sent
    /// away with [`Error::QueueShutDown`]. What is in it can still be taken out; who finds it empty is sent away, too. With
    /// `immediate` it is emptied at once: its items are dropped and count as dealt with.
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
    pub fn shutdown(&self, immediate: bool) {
        let state = &*self.0;
        state.shut_down.set(true);
        let mut emptied = Vec::new();
        if immediate {
            // While an item is compared there is no store to empty; then those who get still find the items.
            emptied = state.with_store(|store| store.take_all()).unwrap_or_default();
            state.unfinished.set(state.unfinished.get().saturating_sub(emptied.len()));
            state.tell_if_finished();
        }
        state.getters.release(usize::MAX);
        state.putters.release(usize::MAX);
        // The items' destructors are the user's code: they come last, when the queue is in order.
        drop_all(emptied);
    }

    /// How many items are in it (`Queue.qsize`).
    ///
    /// ```
    /// assert_eq!(looplab::sync::Queue::<u8>::new(2).qsize(), 0);
    /// ```
    #[must_use]
    pub fn qsize(&self) -> usize {
        self.0.size.get()
    }

    /// How many it holds, 0 for any number (`Queue.maxsize`).
    ///
    /// ```
    /// assert_eq!(looplab::sync::Queue::<u8>::new(2).maxsize(), 2);
    /// ```
    #[must_use]
    pub fn maxsize(&self) -> usize {
        self.0.maxsize
    }

    /// Whether nothing is in it (`Queue.empty`).
    ///
    /// ```
    /// assert!(looplab::sync::Queue::<u8>::new(2).empty());
    /// ```
    #[must_use]
    pub fn empty(&self) -> bool {
        self.0.size.get() == 0
    }

    /// Whether it holds as many as it can (`Queue.full`); one without a limit never does.
    ///
    /// ```
    /// assert!(!looplab::sync::Queue::<u8>::new(0).full());
    /// ```
    #[must_use]
    pub fn full(&self) -> bool {
        self.0.full()
    }
}

impl<T: 'static> State<T> {
    async fn put_at(&self, item: T, place: Place) -> Result<()> {
        while self.full() {
            if self.shut_down.get() {
                return Err(Error::QueueShutDown);
            }
            let waiter = self.home.waiter(self, "queue.put", place, None)?;
            let pass_on = |woken| {
                if woken && !self.full() {
                    self.putters.release(1);
                }
            };
            self.putters.wait(waiter, pass_on).await?;
        }
        self.put_nowait(item)
    }

    async fn get_at(&self, place: Place) -> Result<T> {
        while self.size.get() == 0 {
            if self.shut_down.get() {
                return Err(Error::QueueShutDown);
            }
            let waiter = self.home.waiter(self, "queue.get", place, None)?;
            let pass_on = |woken| {
                if woken && self.size.get() > 0 {
                    self.getters.release(1);
                }
            };
            self.getters.wait(waiter, pass_on).await?;
        }
        self.get_nowait()
    }

    fn put_nowait(&self, item: T) -> Result<()> {
        let item = Guarded::new(item);
        if self.shut_down.get() {
            return Err(Error::QueueShutDown);
        }
        if self.full() {
            return Err(Error::QueueFull);
        }
        self.with_store(|store| store.push(item.into_inner()))?;
        self.unfinished.set(self.unfinished.get() + 1);
        self.finished.clear();
        self.getters.release(1);
        Ok(())
    }

    fn get_nowait(&self) -> Result<T> {
        if self.size.get() == 0 {
            return Err(if self.shut_down.get() { Error::QueueShutDown } else { Error::QueueEmpty });
        }
        let item = self.with_store(|store| store.pop())?.ok_or(Error::QueueEmpty)?;
        self.putters.release(1);
        Ok(item)
    }

    fn full(&self) -> bool {
        self.maxsize > 0 && self.size.get() >= self.maxsize
    }

    fn tell_if_finished(&self) {
        if self.unfinished.get() == 0 {
            self.finished.set();
        }
    }

    /// Uses the store. A priority queue compares items in it, which is the user's code, so it is out of its cell
    /// meanwhile; it is put back whatever happens.
    ///
    /// # Errors
    /// [`Error::Runtime`] if that code comes back here.
    fn with_store<R>(&self, using: impl FnOnce(&mut dyn Store<T>) -> R) -> Result<R> {
        let Some(store) = self.store.take() else {
            return Err(Error::Runtime("comparing the items of a queue uses the queue".into()));
        };
        let mut out = Out { state: self, store: Some(store) };
        match &mut out.store {
            Some(store) => Ok(using(&mut **store)),
            None => Err(Error::QueueEmpty),
        }
    }
}

/// The store, out of its cell.
struct Out<'a, T> {
    state: &'a State<T>,
    store: Option<Box<dyn Store<T>>>,
}

impl<T> Drop for Out<'_, T> {
    fn drop(&mut self) {
        self.state.size.set(self.store.as_ref().map_or(0, |store| store.len()));
        self.state.store.set(self.store.take());
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `<Queue maxsize=2 qsize=1 _getters[1] tasks=1 shutdown>`. The items are not shown, which needs no `T: Debug` and runs
/// none of the user's code.
impl<T> fmt::Debug for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} maxsize={} qsize={}", self.name, self.maxsize, self.size.get())?;
        for (name, waiters) in [("_getters", &self.getters), ("_putters", &self.putters)] {
            if waiters.len() > 0 {
                write!(f, " {name}[{}]", waiters.len())?;
            }
        }
        if self.unfinished.get() > 0 {
            write!(f, " tasks={}", self.unfinished.get())?;
        }
        f.write_str(if self.shut_down.get() { " shutdown>" } else { ">" })
    }
}

/// A [`Queue`] whose lowest item comes first (`asyncio.PriorityQueue`), and among equal ones the one that was put first.
/// It has all of a queue's methods.
///
/// Items are usually `(priority, data)`. Comparing them must not use this queue: it would be answered with an error. And
/// it must not panic: the item that was to come out then may be lost.
///
/// ```
/// use looplab::sync::PriorityQueue;
/// let jobs = PriorityQueue::new(0);
/// jobs.put_nowait((3, "later"))?;
/// jobs.put_nowait((1, "urgent"))?;
/// assert_eq!(jobs.get_nowait()?, (1, "urgent"));
/// # Ok::<(), looplab::Error>(())
/// ```
pub struct PriorityQueue<T>(Queue<T>);

impl<T: Ord + 'static> PriorityQueue<T> {
    /// As [`Queue::new`].
    #[must_use]
    pub fn new(maxsize: usize) -> Self {
        Self(Queue::of("PriorityQueue", maxsize, Heap::new()))
    }
}

/// A [`Queue`] whose youngest item comes first (`asyncio.LifoQueue`). It has all of a queue's methods.
///
/// ```
/// use looplab::sync::LifoQueue;
/// let stack = LifoQueue::new(0);
/// stack.put_nowait("below")?;
/// stack.put_nowait("on top")?;
/// assert_eq!(stack.get_nowait()?, "on top");
/// # Ok::<(), looplab::Error>(())
/// ```
pub struct LifoQueue<T>(Queue<T>);

impl<T: 'static> LifoQueue<T> {
    /// As [`Queue::new`].
    #[must_use]
    pub fn new(maxsize: usize) -> Self {
        Self(Queue::of("LifoQueue", maxsize, Apart::<Vec<T>>::default()))
    }
}

/// What makes one of the other two a queue.
macro_rules! is_a_queue {
    ($name:ident) => {
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
    };
}

is_a_queue!(PriorityQueue);
is_a_queue!(LifoQueue);
