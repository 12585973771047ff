//! The handle of a call from another thread.
//!
//! It guarantees that a call that was cancelled in time never runs, whichever thread cancels it, and that its function is
//! dropped by the cancellation. No lock is held while the function runs or is dropped. So `cancel` does not wait for a call
//! that has begun, as asyncio's does since 3.14: it returns false.
//!
//! Alternative: every call of a [`Remote`] has a handle. Problem: it costs an allocation, and most calls are never cancelled.

use super::inbox::Remote;
use crate::drop_guard::DropGuard;
use crate::error::Result;
use crate::outcome::Outcome;
use crate::panics::drop_quietly;
use std::any::type_name_of_val;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A handle of a call that was made through a [`Remote`], to cancel it with (`asyncio.Handle`, as `call_soon_threadsafe`
/// returns it). It may be used on any thread. Dropping it does not cancel.
///
/// ```
/// # use looplab::EventLoop;
/// let lp = EventLoop::new()?;
/// let remote = lp.remote();
/// std::thread::spawn(move || {
///     let call = remote.call_soon_cancellable(|| unreachable!("cancelled"))?;
///     assert!(call.cancel());
///     remote.stop()
/// });
/// lp.run_forever()?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.Handle")]
#[derive(Clone)]
pub struct RemoteHandle(Arc<RemoteCall>);

struct RemoteCall {
    /// Empty once the call has begun, or was cancelled.
    function: Mutex<Option<Function>>,
    cancelled: AtomicBool,
    name: &'static str,
}

type Function = Box<dyn FnOnce() -> Result<()> + Send>;

impl RemoteCall {
    /// Nothing can panic under the lock, so a poisoned one is as good as any.
    fn take(&self) -> Option<Function> {
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
        let function: Function = Box::new(move || function().into_result().map(drop));
        let call =
            RemoteCall { function: Mutex::new(Some(function)), cancelled: AtomicBool::new(false), name };
        let handle = RemoteHandle(Arc::new(call));
        let call = handle.0.clone();
        // A closed loop drops the call, and with it the function, although a handle is left.
        let dropped = DropGuard::new({
            let call = call.clone();
            move || drop_quietly(call.take())
        });
        self.call_named(Location::caller(), name, move || {
            let function = call.take();
            drop(dropped);
            function.map_or(Ok(()), |function| function())
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
        let function = self.0.take();
        let in_time = function.is_some();
        drop_quietly(function);
        in_time
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
