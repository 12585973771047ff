//! The loop as other threads see it: a [`Remote`], and the handle of a call that can be cancelled.
//!
//! It guarantees that a call from another thread lands in the inbox, and one from the loop's own thread in the ready queue. A
//! call that was cancelled in time never runs, whichever thread cancels it, and its function is dropped by the cancellation.
//! No lock is held while the function runs or is dropped. So `cancel` does not wait for a call that has begun, as asyncio's
//! does since 3.14: it returns false.
//!
//! Alternative: every call of a [`Remote`] has a handle. Problem: it costs an allocation, and most calls are never cancelled.

use super::inbox::{Inbox, Message, RemoteFunction};
use super::running;
use crate::drop_guard::DropGuard;
use crate::error::Result;
use crate::outcome::Outcome;
use crate::panics::Guarded;
use crate::trace::Place;
use std::any::type_name_of_val;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A loop seen from another thread: `Send + Sync + Clone`, made by [`EventLoop::remote`](crate::EventLoop::remote).
///
/// It does not keep the loop alive; after `close` every call answers [`Error::Closed`](crate::Error::Closed).
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
    pub(crate) inbox: Arc<Inbox>,
    /// Held to be counted; `None` after [`downgrade`](Self::downgrade).
    pub(super) _counted: Option<Arc<()>>,
}

impl Remote {
    /// Returns a `Remote` that does the same and does not count as a way to wake the loop.
    ///
    /// A loop in [virtual time](crate::Clock::virtual_time) that nothing can wake ends with
    /// [`Error::Deadlock`](crate::Error::Deadlock). It cannot know whether a `Remote` will be used, so it
    /// waits while one exists. Keep a downgraded one where a `Remote` is held for long and rarely
    /// used, as in a logger or a global: a hanging program is then still found out. Its calls arrive
    /// as any others; a loop that has ended with the error runs them in its next run. A loop on the
    /// machine's clock makes no difference between the two.
    ///
    /// (asyncio has neither virtual time nor this error, and so no counterpart.)
    ///
    /// ```
    /// use looplab::{Clock, Error, EventLoop};
    /// let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
    /// let kept = lp.remote().downgrade();
    /// let never = lp.create_future::<()>();
    /// assert!(matches!(lp.run_until_complete(&never), Err(Error::Deadlock(_))));
    /// kept.stop()?;                                         // it still reaches the loop
    /// lp.run_forever()?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[must_use]
    pub fn downgrade(&self) -> Self {
        Self { inbox: self.inbox.clone(), _counted: None }
    }

    /// Whether the loop lives on this thread.
    pub(crate) fn is_here(&self) -> bool {
        running::find(self.inbox.id).is_some()
    }

    /// Runs `function` on the loop's thread and wakes the loop if it sleeps (`call_soon_threadsafe`). From the loop's
    /// own thread it is queued at once, after what was queued before. For a handle that cancels the call, see
    /// [`call_soon_cancellable`](Self::call_soon_cancellable).
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed) after the loop's end; the function is dropped.
    #[doc(alias("loop.call_soon_threadsafe", "call_soon_threadsafe"))]
    #[track_caller]
    pub fn call_soon<R: Outcome>(&self, function: impl FnOnce() -> R + Send + 'static) -> Result<()> {
        self.call_named(Location::caller(), type_name_of_val(&function), function)
    }

    /// Runs `function` as [`call_soon`](Self::call_soon) does, under a name of the caller's.
    pub(crate) fn call_named<R: Outcome>(
        &self,
        place: Place,
        name: &'static str,
        function: impl FnOnce() -> R + Send + 'static,
    ) -> Result<()> {
        match running::find(self.inbox.id) {
            Some(lp) => lp.queue_named(place, name, function).map(drop),
            None => {
                let call = move || function().into_result().map(drop);
                let function: Guarded<RemoteFunction> = Guarded::new(Box::new(call));
                let thread = self.inbox.traced.then(|| thread::current().name().unwrap_or("unnamed").into());
                self.inbox.send(Message::Call { function, name, place, thread })
            }
        }
    }

    /// Stops the loop at the end of the turn in which the request arrives, and wakes it if it sleeps. (asyncio's
    /// `loop.stop()` from another thread is not noticed until something else wakes the loop; this is what
    /// `loop.call_soon_threadsafe(loop.stop)` does.)
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed) after the loop's end.
    #[track_caller]
    pub fn stop(&self) -> Result<()> {
        self.call_soon(running::stop)
    }

    /// Makes a task on the loop from another thread. `make` runs there and returns the task's body,
    /// which need not be `Send`. The task belongs to the loop, which reports a failure that is
    /// never read.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed) after the loop's end.
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
        let place = Location::caller();
        self.call_soon(move || running::get_running_loop()?.create_task_at(place, make()))
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("loop", &self.inbox.id).finish()
    }
}

/// A handle of a call that was made through a [`Remote`], to cancel it with (`asyncio.Handle`, as `call_soon_threadsafe`
/// returns it). It may be used on any thread. Dropping it does not cancel.
///
/// ```
/// # use looplab::EventLoop;
/// let lp = EventLoop::new()?;
/// let remote = lp.remote();
/// let poster = std::thread::spawn(move || {
///     let call = remote.call_soon_cancellable(|| println!("never printed"))?;
///     assert!(call.cancel());
///     remote.stop()
/// });
/// // A loop that was running could have made the call before it was cancelled.
/// poster.join().expect("the call was cancelled in time")?;
/// lp.run_forever()?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.Handle")]
#[derive(Clone)]
pub struct RemoteHandle(Arc<RemoteCall>);

struct RemoteCall {
    /// Empty once the call has begun, or was cancelled.
    function: Mutex<Option<Guarded<RemoteFunction>>>,
    cancelled: AtomicBool,
    name: &'static str,
}

impl RemoteCall {
    /// Nothing can panic under the lock, so a poisoned one is as good as any.
    fn take(&self) -> Option<Guarded<RemoteFunction>> {
        self.function.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Remote {
    /// Runs `function` as [`call_soon`](Self::call_soon) does, and returns a handle that can cancel it.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed) after the loop's end; the function is dropped.
    #[doc(alias("loop.call_soon_threadsafe", "call_soon_threadsafe"))]
    #[track_caller]
    pub fn call_soon_cancellable<R: Outcome>(
        &self,
        function: impl FnOnce() -> R + Send + 'static,
    ) -> Result<RemoteHandle> {
        let name = type_name_of_val(&function);
        let call: RemoteFunction = Box::new(move || function().into_result().map(drop));
        let function = Mutex::new(Some(Guarded::new(call)));
        let handle = RemoteHandle(Arc::new(RemoteCall { function, cancelled: AtomicBool::new(false), name }));
        let call = handle.0.clone();
        // A closed loop drops the call, and with it the function, although a handle is left.
        let dropped = DropGuard::new({
            let call = call.clone();
            move || drop(call.take())
        });
        self.call_named(Location::caller(), name, move || {
            let function = call.take();
            drop(dropped);
            function.map_or(Ok(()), |function| function.into_inner()())
        })?;
        Ok(handle)
    }
}

impl RemoteHandle {
    /// Cancels the call: its function will not run, and is dropped now, on this thread (`asyncio.Handle.cancel`). Returns
    /// false if it has begun before, was cancelled before, or the loop was closed. A cancelled call keeps its place in the
    /// queue, and does nothing there.
    #[doc(alias = "asyncio.Handle.cancel")]
    pub fn cancel(&self) -> bool {
        self.0.cancelled.store(true, Ordering::Relaxed);
        self.0.take().is_some()
    }

    /// Tells whether `cancel` was called (`asyncio.Handle.cancelled`).
    #[doc(alias = "asyncio.Handle.cancelled")]
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for RemoteHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cancelled = if self.cancelled() { "cancelled " } else { "" };
        write!(f, "<RemoteHandle {cancelled}{}>", crate::observe::names::shorten(self.0.name))
    }
}
