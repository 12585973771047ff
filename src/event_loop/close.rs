//! The end of a loop.
//!
//! It promises that nothing of the loop is left when `close` returns, that every task which was pending is reported and
//! its body dropped, in order of creation, and that destructors which run meanwhile see a loop that is closed already.
//! It does not cancel tasks: that is the program's matter, before.

use super::running::delist;
use super::{EventLoop, Inner, Parking};
use crate::error::{Error, Result};
use crate::panics::drop_quietly;
use crate::trace::{Event, Life};
use std::rc::Rc;

impl EventLoop {
    /// Closes the loop (`loop.close`): every queued callback, timer, reader, writer and signal handler is dropped, the
    /// dispositions of the signals are what they were, and each task that is still pending is reported as
    /// `Task was destroyed but it is pending!` and its body dropped. A second call does nothing.
    ///
    /// # Errors
    /// [`Error::CloseWhileRunning`] while the loop runs.
    ///
    /// ```
    /// # use looplab::EventLoop;
    /// let lp = EventLoop::new()?;
    /// lp.close()?;
    /// assert_eq!(lp.call_soon(|| ()).unwrap_err().to_string(), "Event loop is closed");
    /// lp.stop();                                              // harmless
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub fn close(&self) -> Result<()> {
        let lp = &*self.0;
        if lp.running.get() {
            return Err(Error::CloseWhileRunning);
        }
        if lp.closed.replace(true) {
            return Ok(());
        }
        // Everything is taken out first, so that whoever looks from here on sees a closed and empty loop; only then are
        // user values dropped.
        let tasks = lp.residents.take_all();
        let ready = lp.ready.take_all();
        let timers = lp.timers.take_all();
        let readers = lp.reactor.borrow_mut().take_all();
        let handlers = std::mem::take(&mut *lp.signal_handlers.borrow_mut());
        if let Some(watchdog) = &lp.watchdog {
            watchdog.end();
        }
        lp.signals.borrow_mut().close(lp.reactor.borrow().registry());
        let messages = lp.inbox.close();
        let (jobs, executor) = (lp.jobs.take_all(), lp.executor.forbid());
        let servers = lp.at_close.take();
        lp.trace(|| Event::Loop(Life::Closed));

        // Queued jobs still run and running ones go on, but nobody waits for them here.
        if let Some(executor) = executor {
            executor.close(false);
        }
        drop_quietly(messages);
        drop_quietly(jobs);
        for entry in ready {
            drop_quietly(entry);
        }
        for timer in timers {
            drop_quietly(timer);
        }
        for (_, _, callback) in readers {
            callback.cancel();
        }
        for (_, callback) in handlers {
            drop_quietly(callback);
        }
        for (_, end) in servers {
            end();
        }
        for task in tasks {
            task.abandon(self);
        }
        Ok(())
    }
}

impl Drop for EventLoop {
    #[inline]
    fn drop(&mut self) {
        // The last handle closes the loop, while there still is a handle for those who are told.
        if Rc::strong_count(&self.0) == 1 {
            self.close_unless_closed();
        }
    }
}

impl EventLoop {
    #[cold]
    fn close_unless_closed(&self) {
        if !self.0.closed.get() {
            let _ = self.close();
            let handler = self.0.drop_exception_handler();
            drop_quietly(handler);
        }
    }
}

impl Inner {
    /// Calls `end` when the loop closes, for what owns descriptors without a callback on the loop. Returns the key for
    /// [`not_at_close`](Self::not_at_close). `end` must not panic.
    pub(crate) fn at_close(&self, end: impl FnOnce() + 'static) -> usize {
        self.at_close.borrow_mut().insert(Box::new(end))
    }

    /// Takes that back.
    pub(crate) fn not_at_close(&self, key: usize) {
        let end = self.at_close.borrow_mut().try_remove(key);
        drop(end);
    }
}

/// What the user gave to the loop itself is dropped one by one.
impl Drop for Inner {
    fn drop(&mut self) {
        delist(self.id);
        let Parking { on_park, on_unpark } = std::mem::take(self.parking.get_mut());
        drop_quietly(on_park);
        drop_quietly(on_unpark);
        drop_quietly(self.drop_exception_handler());
        drop_quietly(self.observer.get_mut().take());
    }
}
