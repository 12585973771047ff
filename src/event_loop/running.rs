//! The running loop of a thread, and all loops of the thread.
//!
//! The answers are right inside destructors too. Asking never panics, not even while the thread's
//! locals are destroyed. A waker on the loop's own thread finds its loop here, so a result may be
//! set between two runs.

use super::{EventLoop, Inner};
use crate::error::{Error, Result};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem::ManuallyDrop;
use std::process;
use std::rc::Weak;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    /// `set_running` always takes the value back, so the thread needs no destructor for it. Access
    /// to a thread-local without a destructor is a plain load.
    static RUNNING: RefCell<ManuallyDrop<Option<EventLoop>>> = const { RefCell::new(ManuallyDrop::new(None)) };
    static LOOPS: RefCell<Vec<(LoopId, Weak<Inner>)>> = const { RefCell::new(Vec::new()) };
    static MADE: Cell<u64> = const { Cell::new(0) };
}

/// Names a loop among all loops of the process. A forked child has copies of its parent's loops, under their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoopId {
    number: u64,
    process: u32,
}

impl LoopId {
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { number: NEXT.fetch_add(1, Ordering::Relaxed), process: process::id() }
    }

    /// Tells whether this process has made the loop. It costs a system call, so most turns do not
    /// ask. Alternative: a handler at fork, which costs nothing. Problem: it takes unsafe code.
    pub(super) fn is_of_this_process(self) -> bool {
        process::id() == self.process
    }

    /// # Errors
    /// In a forked child, which must not touch the epoll and the pipes that it shares with its parent.
    pub(super) fn check_process(self) -> Result<()> {
        if self.is_of_this_process() {
            return Ok(());
        }
        let text = "this event loop belongs to the parent process; after a fork, make a loop of your own";
        Err(Error::Runtime(text.into()))
    }
}

impl fmt::Display for LoopId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}

/// Returns the loop that runs on this thread (`asyncio.get_running_loop`).
///
/// The first call in a turn makes a system call, which detects a fork. Later calls in that turn
/// repeat its answer, also in a child that is forked meanwhile.
///
/// # Errors
/// [`Error::NoRunningLoop`] between two runs, on a thread without a loop, or in a forked child.
///
/// ```
/// use looplab::{EventLoop, get_running_loop};
/// assert!(get_running_loop().is_err());
/// EventLoop::new()?.run_until_complete(async {
///     get_running_loop()?.call_soon(|| println!("from inside"))?;
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias("asyncio.get_running_loop", "asyncio.get_event_loop", "get_event_loop"))]
#[inline]
pub fn get_running_loop() -> Result<EventLoop> {
    RUNNING.with_borrow(|running| match &**running {
        Some(lp) if lp.0.is_here_in_this_turn() => Ok(lp.clone()),
        _ => Err(Error::NoRunningLoop),
    })
}

/// Returns the running loop for the library itself. It does not look for a fork: the next poll or
/// registration does.
#[inline]
pub(crate) fn running_loop() -> Result<EventLoop> {
    running().ok_or(Error::NoRunningLoop)
}

#[inline]
pub(crate) fn running() -> Option<EventLoop> {
    RUNNING.with_borrow(|running| Option::clone(running))
}

impl Inner {
    /// Tells whether this process has made the loop, and asks once in a turn. Alternative: ask at
    /// each call. Problem: the system call takes longer than all the rest of a callback's turn.
    #[inline]
    fn is_here_in_this_turn(&self) -> bool {
        self.checked_in_turn.get() == self.turns.get() || self.check_in_this_turn()
    }

    #[cold]
    fn check_in_this_turn(&self) -> bool {
        let here = self.id.is_of_this_process();
        if here {
            self.checked_in_turn.set(self.turns.get());
        }
        here
    }
}

/// Stops the running loop at the end of this turn. This is [`EventLoop::stop`] without a handle, so
/// it can be passed as a callback.
///
/// # Errors
/// [`Error::NoRunningLoop`] if no loop runs on this thread.
///
/// ```
/// # use looplab::EventLoop;
/// # use std::time::Duration;
/// let lp = EventLoop::new()?;
/// lp.call_later(Duration::from_millis(5), looplab::stop)?;
/// lp.run_forever()?;
/// # Ok::<(), looplab::Error>(())
/// ```
pub fn stop() -> Result<()> {
    get_running_loop()?.stop();
    Ok(())
}

/// Sets or clears the running loop. The loop before is dropped outside of the borrow.
pub(super) fn set_running(lp: Option<EventLoop>) {
    let before = RUNNING.replace(ManuallyDrop::new(lp));
    drop(ManuallyDrop::into_inner(before));
}

/// Adds a new loop to the thread's list and returns its number on this thread.
pub(super) fn enlist(id: LoopId, lp: Weak<Inner>) -> u64 {
    let _ = LOOPS.try_with(|loops| loops.borrow_mut().push((id, lp)));
    MADE.try_with(|made| {
        made.set(made.get() + 1);
        made.get()
    })
    .unwrap_or(0)
}

pub(super) fn delist(id: LoopId) {
    let _ = LOOPS.try_with(|loops| loops.borrow_mut().retain(|(other, _)| *other != id));
}

/// Returns the loop with this id if it lives on this thread.
pub(crate) fn find(id: LoopId) -> Option<EventLoop> {
    if let Some(lp) = running()
        && lp.0.id == id
    {
        return Some(lp);
    }
    let found = LOOPS
        .try_with(|loops| loops.borrow().iter().find(|(other, _)| *other == id).map(|(_, lp)| lp.clone()));
    found.ok().flatten().and_then(|lp| lp.upgrade()).map(EventLoop)
}

/// Returns the open loops of this thread.
pub(super) fn all_here() -> Vec<EventLoop> {
    let listed = |loops: &RefCell<Vec<(LoopId, Weak<Inner>)>>| loops.borrow().clone();
    let loops = LOOPS.try_with(listed).unwrap_or_default().into_iter();
    loops.filter_map(|(_, lp)| lp.upgrade()).map(EventLoop).filter(|lp| !lp.is_closed()).collect()
}
