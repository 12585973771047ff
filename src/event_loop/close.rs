//! `close`: the end of a loop.
//!
//! It drops everything that the program gave to the loop, and closes the loop's descriptors, even
//! if handles, futures and remotes are kept. Every pending task is reported and its body dropped,
//! in order of creation. Destructors that run meanwhile see a closed loop. It does not cancel
//! tasks: the program does that before.
//!
//! Servers, and futures that have callbacks, end with a loop that does not own them. `close` ends
//! these dependants in order of registration. The loop holds them weakly, so a registration keeps
//! nothing alive.

use super::ready::Entry;
use super::running::delist;
use super::{EventLoop, Inner};
use crate::error::{Error, Result};
use crate::panics::{drop_all, drop_quietly};
use crate::trace::Life;
use std::rc::{Rc, Weak};

impl EventLoop {
    /// Closes the loop (`loop.close`) and drops what the program gave to it. A second call does
    /// nothing.
    ///
    /// The order is this. Calls of other threads, queued callbacks, timers, readers, writers and
    /// signal handlers are dropped, although their handles may be kept. Servers end, and the done
    /// callbacks of pending futures are dropped. Then each pending task, in order of creation, is
    /// reported as `Task was destroyed but it is pending!`, and its body is dropped. The exception
    /// handler, the observer and the hooks are dropped last. Later reports go to the default
    /// handler, unless another handler is set after `close`. The signals' dispositions are what
    /// they were before, and the loop's descriptors are closed.
    ///
    /// Any of these may hold a handle of the loop or of itself: `close` breaks that circle. A
    /// circle outside of the loop leaks, as in any Rust program. Examples are a future whose result
    /// holds that future, an `Rc` that holds itself, and a loop that is never closed and whose
    /// exception handler holds it.
    ///
    /// # Errors
    /// [`Error::CloseWhileRunning`] while the loop runs.
    ///
    /// ```
    /// # use looplab::EventLoop;
    /// # use std::rc::Rc;
    /// let lp = EventLoop::new()?;
    /// let value = Rc::new(());
    /// let kept = value.clone();
    /// let _handle = lp.call_soon(move || drop(kept))?;
    /// lp.close()?;
    /// assert_eq!(Rc::strong_count(&value), 1);
    /// assert_eq!(lp.call_soon(|| ()).unwrap_err().to_string(), "Event loop is closed");
    /// lp.stop();                                              // harmless
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "loop.close")]
    pub fn close(&self) -> Result<()> {
        let lp = &*self.0;
        if lp.running.get() {
            return Err(Error::CloseWhileRunning);
        }
        if lp.closed.replace(true) {
            return Ok(());
        }
        // Everything is taken out before a value of the user is dropped, so a destructor sees a
        // closed and empty loop.
        let tasks = lp.tasks.take_all();
        let dependants = lp.dependants.take();
        let ready = lp.ready.take();
        let timers = lp.timers.borrow_mut().take_all();
        let handlers = std::mem::take(&mut *lp.signal_handlers.borrow_mut());
        if let Some(watchdog) = &lp.watchdog {
            watchdog.end();
        }
        lp.signals.borrow_mut().close();
        let readers = lp.reactor.borrow_mut().close();
        let messages = lp.inbox.close();
        // The jobs of a pool's threads still run; `close` does not wait for them. An explored loop
        // drops its own.
        let explored_jobs = lp.explored.take_jobs();
        let (jobs, executor) = (lp.jobs.take_all(), lp.jobs.close_default_executor());
        lp.life_changed(Life::Closed);

        drop(executor);
        drop_quietly(messages);
        drop_quietly(jobs);
        drop_all(explored_jobs);
        ready.into_iter().for_each(end);
        timers.into_iter().for_each(|timer| end(timer));
        let readers = readers.into_iter().flat_map(|left| left.callbacks).flatten();
        for callback in readers.chain(handlers.into_values()) {
            callback.cancel();
            drop_quietly(callback);
        }
        for dependant in dependants.into_values() {
            // It may have ended in a destructor of an earlier one.
            if let Some(dependant) = dependant.upgrade() {
                dependant.loop_closed();
                drop_quietly(dependant);
            }
        }
        for task in tasks {
            task.abandon(self);
        }
        lp.drop_onlookers();
        Ok(())
    }
}

/// Drops an entry, and its function even if a handle keeps the entry.
fn end(entry: Rc<dyn Entry>) {
    entry.loop_closed();
    drop_quietly(entry);
}

impl Inner {
    /// Drops the exception handler, the observer and the hooks: any of them may hold the loop.
    fn drop_onlookers(&self) {
        self.over.set(true);
        self.traced.set(self.recorder.is_some());
        drop_quietly(self.exception_handler.take());
        drop_quietly(self.observer.take());
        drop_quietly(self.on_park.take());
        drop_quietly(self.on_unpark.take());
    }
}

impl Drop for EventLoop {
    #[inline]
    fn drop(&mut self) {
        // The last handle closes the loop while a handle for the exception handler still exists.
        if Rc::strong_count(&self.0) == 1 {
            self.close_with_the_last_handle();
        }
    }
}

impl EventLoop {
    #[cold]
    fn close_with_the_last_handle(&self) {
        // An error would mean that the loop runs, and then another handle exists.
        let _ = self.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        delist(self.id);
        // A handler that was set after `close`.
        drop_quietly(self.exception_handler.take());
    }
}

/// An object that `close` ends although the loop does not own it.
pub(crate) trait Dependant {
    /// Drops the values of the user that only the closed loop would have used, one by one, each
    /// guarded against a panic.
    fn loop_closed(&self);
}

/// A dependant's registration, which ends when this is dropped.
pub(crate) struct Dependence {
    lp: Weak<Inner>,
    number: u64,
}

impl Drop for Dependence {
    fn drop(&mut self) {
        // A closed loop has no registrations.
        let Some(lp) = self.lp.upgrade().filter(|lp| !lp.closed.get()) else { return };
        let removed = lp.dependants.borrow_mut().remove(&self.number);
        drop(removed);
    }
}

impl EventLoop {
    /// Registers `dependant` for `close`. Returns `None` if the loop is closed already.
    pub(crate) fn add_dependant(&self, dependant: Weak<dyn Dependant>) -> Option<Dependence> {
        let lp = &*self.0;
        lp.check_open().ok()?;
        let mut dependants = lp.dependants.borrow_mut();
        let number = dependants.last_key_value().map_or(0, |(last, _)| last + 1);
        dependants.insert(number, dependant);
        Some(Dependence { lp: Rc::downgrade(&self.0), number })
    }
}
