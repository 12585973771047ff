//! Tasks for another thread: it submits a body to a loop and waits for the result.
//!
//! This keeps asyncio's `run_coroutine_threadsafe`. The task is made in the turn in which the call arrives, and the handle is
//! done one turn after the task. Cancelling the handle takes effect at once; the task is cancelled through its loop, unless
//! that is the running one. Two things differ because they would block forever: closing the loop first fails the handle with
//! [`Error::Closed`], and waiting on the loop's own thread is refused.
//!
//! A body that awaits anything of looplab cannot be sent to another thread. The closure that makes it can.

use super::pool::lock;
use crate::drop_guard::DropGuard;
use crate::error::{Error, Result, catch};
use crate::event_loop::{EventLoop, Remote, get_running_loop};
use crate::outcome::Outcome;
use crate::panics::Guarded;
use crate::task::Task;
use crate::trace::Place;
use std::fmt;
use std::num::NonZeroU64;
use std::panic::Location;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Submits a body to the loop behind `remote`, from any thread (`asyncio.run_coroutine_threadsafe`).
///
/// The body is a future that is `Send`, or a closure that makes a future on the loop's thread. A future made there may await
/// anything. It runs as a task of that loop. Dropping the handle does not cancel the task, and a failure that no handle is
/// left to read is dropped, as in asyncio.
///
/// The function never blocks. If the loop is closed, the handle has failed already with [`Error::Closed`].
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
#[doc(alias = "asyncio.run_coroutine_threadsafe")]
#[track_caller]
pub fn run_coroutine_threadsafe<S: Submit<Kind>, Kind>(remote: &Remote, body: S) -> RemoteTask<S::Value> {
    let shared = Arc::new(SharedOutcome {
        state: Mutex::new(OutcomeState { task: None, result: None }),
        settled: Condvar::new(),
    });
    let (place, body) = (Location::caller(), Guarded::new(body));
    let (tied, unsettled) = (shared.clone(), shared.clone());
    // The end of the loop drops it before the task is done. A loop that is closed already does so now.
    let closed = DropGuard::new(move || unsettled.settle(Err(Error::Closed)));
    let _ = remote.call_soon(move || {
        let lp = get_running_loop()?;
        let task = catch(|| body.into_inner().start(&lp, place)).unwrap_or_else(Err);
        // The error goes to the waiting thread and to the loop, as in asyncio.
        let task = task.inspect_err(|error| tied.settle(Err(error.clone())))?;
        tied.tie(task, place, closed);
        Ok(())
    });
    RemoteTask { remote: remote.clone(), shared }
}

/// What [`run_coroutine_threadsafe`] takes: a future that is `Send`, or a closure that is `Send` and makes a future. The value
/// is `Send + Sync`, because several threads may read it. The trait cannot be implemented elsewhere. `Kind` tells the
/// compiler which of the two it is, and is never written.
pub trait Submit<Kind>: sealed::Submit<Kind> {}

impl<S: sealed::Submit<Kind>, Kind> Submit<Kind> for S {}

mod sealed {
    use super::{EventLoop, Outcome, Place, Result, Task};

    pub trait Submit<Kind>: Send + 'static {
        type Value: Send + Sync + 'static;
        #[doc(hidden)]
        fn start(self, lp: &EventLoop, place: Place) -> Result<Task<Self::Value>>;
    }

    /// A future. `Kind` keeps the two implementations apart for the compiler.
    impl<F: Future<Output: Outcome<Value: Send + Sync>> + Send + 'static> Submit<()> for F {
        type Value = <F::Output as Outcome>::Value;

        fn start(self, lp: &EventLoop, place: Place) -> Result<Task<Self::Value>> {
            lp.create_task_at(place, self)
        }
    }

    /// A function that makes a future.
    impl<M, F> Submit<fn() -> F> for M
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

/// The handle of a task on another thread's loop (`concurrent.futures.Future`): `Send + Sync + Clone`, made by
/// [`run_coroutine_threadsafe`]. All methods may be called from any thread, whether the loop runs or not.
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
    shared: Arc<SharedOutcome<T>>,
}

struct SharedOutcome<T: 'static> {
    state: Mutex<OutcomeState<T>>,
    settled: Condvar,
}

struct OutcomeState<T: 'static> {
    /// The key of the task, once it is made.
    task: Option<NonZeroU64>,
    /// Shared, so that it is cloned for a reader without the lock. Guarded: it may hold the next handle, whose result holds
    /// the next.
    result: Option<Arc<Guarded<Result<T>>>>,
}

impl<T: 'static> OutcomeState<T> {
    fn result(&self) -> Option<&Result<T>> {
        self.result.as_ref().map(|result| &***result)
    }

    fn is_cancelled(&self) -> bool {
        matches!(self.result(), Some(Err(Error::Cancelled(_))))
    }
}

impl<T: 'static> RemoteTask<T> {
    /// Returns whether the task is done, or the handle was cancelled, or the loop was closed (`future.done`).
    #[must_use]
    pub fn done(&self) -> bool {
        self.shared.lock().result.is_some()
    }

    /// Returns whether the handle was [cancelled](Self::cancel), or the task was (`future.cancelled`).
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.shared.lock().is_cancelled()
    }

    /// Cancels the handle and its task (`future.cancel`). Returns false if the handle is done and was not cancelled.
    ///
    /// A thread that waits gets [`Error::Cancelled`] at once. The task is cancelled at once too if its loop runs on this
    /// thread, else by a call in one of the loop's next turns. The handle stays cancelled, whatever the task does then.
    #[track_caller]
    pub fn cancel(&self) -> bool {
        let task = {
            let mut state = self.shared.lock();
            if state.result.is_some() {
                return state.is_cancelled();
            }
            state.result = Some(Arc::new(Guarded::new(Err(Error::cancelled()))));
            state.task
        };
        self.shared.settled.notify_all();
        let Some(task) = task else { return true };
        let cancel = move || {
            if let Some(task) = get_running_loop()?.task(task) {
                task.cancel();
            }
            Ok(())
        };
        // A closed loop has no task left to cancel.
        let _ = if self.remote.inbox.is_running_here() { cancel() } else { self.remote.call_soon(cancel) };
        true
    }

    /// Blocks the thread until the task is done, at most for `timeout` of real time, and returns the result
    /// (`future.result(timeout)`). May be called again.
    ///
    /// # Errors
    /// The task's error; [`Error::TimedOut`], after which the task continues; [`Error::Cancelled`]; [`Error::Closed`] if the
    /// loop was closed first. [`Error::Runtime`] on the loop's own thread before the task is done: it could not run.
    pub fn result(&self, timeout: impl Into<Option<Duration>>) -> Result<T>
    where
        T: Clone,
    {
        let state = self.shared.lock();
        if state.result.is_none() && self.remote.is_here() {
            return Err(Error::Runtime("result() would wait on the thread of the task's own loop".into()));
        }
        let pending = |state: &mut OutcomeState<T>| state.result.is_none();
        let settled = &self.shared.settled;
        let state = match timeout.into() {
            None => settled.wait_while(state, pending).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                settled.wait_timeout_while(state, timeout, pending).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        let result = state.result.clone();
        drop(state);
        result.map_or(Err(Error::TimedOut), |result| Result::clone(&result))
    }
}

impl<T: 'static> SharedOutcome<T> {
    fn lock(&self) -> MutexGuard<'_, OutcomeState<T>> {
        lock(&self.state)
    }

    /// Sets the result unless there is one.
    fn settle(&self, result: Result<T>) {
        // A late one is dropped after the lock is released.
        let result = Guarded::new(result);
        let mut state = self.lock();
        if state.result.is_none() {
            state.result = Some(Arc::new(result));
            drop(state);
            self.settled.notify_all();
        }
    }
}

impl<T: Send + Sync + 'static> SharedOutcome<T> {
    /// Makes the end of the task set the result. If `closed` is dropped first, it fails the handle.
    fn tie(self: Arc<Self>, task: Task<T>, place: Place, closed: DropGuard<impl FnOnce() + 'static>) {
        let cancelled = {
            let mut state = self.lock();
            state.task = task.key();
            state.result.is_some()
        };
        if cancelled {
            // The handle was cancelled before the call arrived, so the task does not begin.
            task.cancel();
        }
        task.add_done_callback_at(place, "call_set_state", move |task| {
            let _closed = closed;
            if task.cancelled() {
                self.settle(Err(Error::cancelled()));
            } else if self.lock().result.is_none() {
                // Not read if the handle was cancelled: then the loop reports a failure.
                self.settle(task.clone().take());
            }
        });
    }
}

impl<T: 'static> Clone for RemoteTask<T> {
    fn clone(&self) -> Self {
        Self { remote: self.remote.clone(), shared: self.shared.clone() }
    }
}

impl<T: 'static> fmt::Debug for RemoteTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.shared.lock().result() {
            None => "pending",
            Some(Ok(_)) => "finished",
            Some(Err(Error::Cancelled(_))) => "cancelled",
            Some(Err(_)) => "failed",
        };
        write!(f, "<RemoteTask {state}>")
    }
}
