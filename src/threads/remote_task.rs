//! Tasks for another thread: submit a body to a loop, and wait for it as a thread does.
//!
//! It promises asyncio's `run_coroutine_threadsafe`: the task is made in the turn in which the call arrives; the handle is
//! done one turn after the task; cancelling the handle is decided at once, and the task hears of it through the loop, unless
//! that loop is the running one. Two things are different, because they would block for ever: a loop that is closed first
//! fails the handle with [`Error::Closed`], and waiting on the loop's own thread is refused.
//!
//! A body of looplab's cannot be sent to another thread once it awaits anything of looplab's; what can be sent is the
//! closure that makes it.

use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Remote, TaskKey, get_running_loop};
use crate::outcome::Outcome;
use crate::panics::{Guarded, catch, drop_quietly};
use crate::task::Task;
use crate::trace::Place;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Submits a body to the loop behind `remote`, from any thread (`asyncio.run_coroutine_threadsafe`).
///
/// The body is a future that is `Send`, or a closure that makes the body on the loop's thread; with the latter the body
/// may await whatever it likes. It runs as a task of that loop. Dropping the handle does not cancel it; a failure that
/// no handle is left to read is dropped with its outcome, as in asyncio.
///
/// It never blocks and never fails by itself: without the loop the handle has failed already with [`Error::Closed`].
///
/// ```
/// use looplab::{EventLoop, run_coroutine_threadsafe, sleep};
/// use std::time::Duration;
/// async fn double(n: u32) -> looplab::Result<u32> {
///     sleep(Duration::from_millis(1)).await?;
///     Ok(2 * n)
/// }
/// let lp = EventLoop::new()?;
/// let remote = lp.remote();
/// let thread = std::thread::spawn(move || {
///     let doubled = run_coroutine_threadsafe(&remote, || double(21)).result(None);
///     remote.stop()?;
///     doubled
/// });
/// lp.run_forever()?;
/// assert_eq!(thread.join().unwrap()?, 42);
/// # Ok::<(), looplab::Error>(())
/// ```
#[track_caller]
pub fn run_coroutine_threadsafe<S, Kind>(remote: &Remote, body: S) -> RemoteTask<S::Value>
where
    S: Submit<Kind>,
{
    let shared =
        Arc::new(Shared { state: Mutex::new(State::Pending { task: None }), settled: Condvar::new() });
    let (promise, place, body) = (Promise(shared.clone()), Location::caller(), Guarded::new(body));
    let sent = remote.call_soon(move || {
        let lp = get_running_loop()?;
        match catch(|| body.into_inner().start(&lp, place)).unwrap_or_else(Err) {
            Ok(task) => promise.tie(task, place),
            Err(error) => {
                // Both hear of it, as in asyncio: who waits, and the loop.
                drop(promise.0.settle(Err(error.clone())));
                return Err(error);
            }
        }
        Ok(())
    });
    // Unless it could be sent, the promise is gone by now and has said so.
    drop(sent);
    RemoteTask { remote: remote.clone(), shared }
}

/// What can be submitted from another thread: a future that is `Send`, or a closure that is and makes a future. Its value
/// is `Send + Sync`, because several threads may read it. It cannot be implemented elsewhere; `Kind` tells the compiler
/// which of the two it is, and is never written.
pub trait Submit<Kind>: sealed::Submit<Kind> {}

impl<S: sealed::Submit<Kind>, Kind> Submit<Kind> for S {}

mod sealed {
    use super::{EventLoop, Outcome, Place, Result, Task};

    pub trait Submit<Kind>: Send + 'static {
        type Value: Send + Sync + 'static;
        #[doc(hidden)]
        fn start(self, lp: &EventLoop, place: Place) -> Result<Task<Self::Value>>;
    }

    /// Tells the two implementations apart, which the compiler could not do.
    #[allow(missing_debug_implementations, reason = "never made")]
    pub enum Body {}
    #[allow(missing_debug_implementations, reason = "never made")]
    pub enum Maker {}

    impl<F> Submit<Body> for F
    where
        F: Future<Output: Outcome<Value: Send + Sync>> + Send + 'static,
    {
        type Value = <F::Output as Outcome>::Value;

        fn start(self, lp: &EventLoop, place: Place) -> Result<Task<Self::Value>> {
            lp.create_task_at(place, self)
        }
    }

    impl<M, F> Submit<Maker> for M
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output: Outcome<Value: Send + Sync>> + 'static,
    {
        type Value = <F::Output as Outcome>::Value;

        fn start(self, lp: &EventLoop, place: Place) -> Result<Task<Self::Value>> {
            lp.create_task_at(place, self())
        }
    }
}

/// A task of a loop on another thread, as this thread sees it (`concurrent.futures.Future`): `Send + Sync + Clone`, made
/// by [`run_coroutine_threadsafe`]. All of it may be called from any thread, whether the loop runs or not.
///
/// ```
/// use looplab::{Error, EventLoop, run_coroutine_threadsafe, sleep};
/// use std::time::Duration;
/// let lp = EventLoop::new()?;
/// let remote = lp.remote();
/// let thread = std::thread::spawn(move || {
///     let task = run_coroutine_threadsafe(&remote, || sleep(Duration::from_secs(3600)));
///     assert!(matches!(task.result(Duration::ZERO), Err(Error::TimedOut)));        // it goes on
///     assert!(task.cancel() && task.cancelled());
///     remote.stop()
/// });
/// lp.run_forever()?;
/// thread.join().unwrap()?;
/// # Ok::<(), looplab::Error>(())
/// ```
pub struct RemoteTask<T: 'static> {
    remote: Remote,
    shared: Arc<Shared<T>>,
}

struct Shared<T: 'static> {
    state: Mutex<State<T>>,
    settled: Condvar,
}

enum State<T: 'static> {
    /// The key of the task, once it is made.
    Pending { task: Option<TaskKey> },
    /// Shared, so that a clone for a reader is made without the lock.
    Settled(Arc<Result<T>>),
}

impl<T: 'static> State<T> {
    fn is_cancelled(&self) -> bool {
        matches!(self, Self::Settled(result) if matches!(**result, Err(Error::Cancelled(_))))
    }
}

impl<T: 'static> RemoteTask<T> {
    /// Whether it is over: the task is done, or this was cancelled, or the loop was closed (`future.done`).
    #[must_use]
    pub fn done(&self) -> bool {
        matches!(*self.shared.lock(), State::Settled(_))
    }

    /// Whether it was cancelled, by [`cancel`](Self::cancel) or because the task was (`future.cancelled`).
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.shared.lock().is_cancelled()
    }

    /// Cancels it (`future.cancel`); false if it is over otherwise. A thread that waits gets [`Error::Cancelled`] at once.
    /// The task is cancelled at once too if its loop runs on this thread, else by a call in one of the loop's next turns.
    /// What the task makes of that is not told here any more.
    #[track_caller]
    pub fn cancel(&self) -> bool {
        let task = {
            let mut state = self.shared.lock();
            let State::Pending { task } = *state else { return state.is_cancelled() };
            *state = State::Settled(Arc::new(Err(Error::cancelled())));
            task
        };
        self.shared.settled.notify_all();
        let Some(task) = task else { return true };
        match self.remote.running() {
            Some(lp) => cancel_task(&lp, task),
            // On a closed loop there is no task left to be told.
            None => drop(self.remote.call_soon(move || {
                cancel_task(&get_running_loop()?, task);
                Ok(())
            })),
        }
        true
    }

    /// Blocks the thread until it is over, or for `timeout` of real time at most, and gives the result, any number of
    /// times (`future.result(timeout)`).
    ///
    /// # Errors
    /// What the task failed with; [`Error::TimedOut`] (the task goes on); [`Error::Cancelled`]; [`Error::Closed`] if the
    /// loop was closed first; [`Error::Runtime`] on the loop's own thread while it is not over: the task could not run.
    pub fn result(&self, timeout: impl Into<Option<Duration>>) -> Result<T>
    where
        T: Clone,
    {
        let mut state = self.shared.lock();
        if matches!(*state, State::Pending { .. }) && self.remote.is_here() {
            return Err(Error::Runtime("result() would wait on the thread of the task's own loop".into()));
        }
        let pending = |state: &mut State<T>| matches!(state, State::Pending { .. });
        let settled = &self.shared.settled;
        state = match timeout.into() {
            None => settled.wait_while(state, pending).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                settled.wait_timeout_while(state, timeout, pending).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        let State::Settled(result) = &*state else { return Err(Error::TimedOut) };
        let result = result.clone();
        drop(state);
        (*result).clone()
    }
}

/// Cancels the task with this key, if it is not done.
fn cancel_task(lp: &EventLoop, task: TaskKey) {
    if let Some(task) = lp.task(task) {
        task.cancel();
    }
}

impl<T: 'static> Shared<T> {
    /// Poisoned or not: nothing of the user's runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first to settle it counts; what comes too late is given back, to be dropped without the lock.
    fn settle(&self, result: Result<T>) -> Option<Result<T>> {
        let mut state = self.lock();
        if let State::Settled(_) = *state {
            return Some(result);
        }
        *state = State::Settled(Arc::new(result));
        drop(state);
        self.settled.notify_all();
        None
    }
}

/// The loop's end of it. If it goes before the task is done, the loop was closed: nobody else drops it.
struct Promise<T: 'static>(Arc<Shared<T>>);

impl<T: Send + Sync + 'static> Promise<T> {
    /// Ties it to its task.
    fn tie(self, task: Task<T>, place: Place) {
        let cancelled = match &mut *self.0.lock() {
            State::Pending { task: key } => {
                *key = task.key();
                false
            }
            State::Settled(_) => true,
        };
        if cancelled {
            // Before the call arrived: the task does not begin.
            task.cancel();
        }
        task.add_done_callback_at(place, move |task| {
            if task.cancelled() {
                self.0.settle(Err(Error::cancelled()));
            } else if matches!(*self.0.lock(), State::Pending { .. }) {
                // Read only if somebody can hear of it: else a failure is reported.
                drop_quietly(self.0.settle(task.clone().take()));
            }
        });
    }
}

/// A result may hold the next handle, and that one's result the next.
impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop_quietly(std::mem::replace(state, State::Pending { task: None }));
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        drop(self.0.settle(Err(Error::Closed)));
    }
}

impl<T: 'static> Clone for RemoteTask<T> {
    fn clone(&self) -> Self {
        Self { remote: self.remote.clone(), shared: self.shared.clone() }
    }
}

impl<T: 'static> fmt::Debug for RemoteTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.shared.lock() {
            State::Pending { .. } => "pending",
            State::Settled(result) => match &**result {
                Ok(_) => "finished",
                Err(Error::Cancelled(_)) => "cancelled",
                Err(_) => "failed",
            },
        };
        write!(f, "<RemoteTask {state}>")
    }
}
