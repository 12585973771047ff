//! Runs: what makes turns, and how many.
//!
//! Runs keep asyncio's contract of stopping and restarting. `stop` sets a flag, the turn under way
//! is finished, and the flag is cleared when the run ends. What is queued then runs first thing in
//! the next run. A refused run changes nothing: all checks come before the guard is made.
//!
//! ```text
//!                1 run_forever()                 3 the turn ends
//!   NOT RUNNING ────────────────▶ RUNNING ◀──┐ ───────────────┐
//!     ▲  │  ▲                        │ 2 turn└── no stop flag ┤
//!     │  └──┘ 5 stop(): the flag     │                        ▼
//!     │       cuts the next run      └──4 an error leaves──▶ END ── clears the flag ──┐
//!     └──────────────────────────────────────────────────────────────────────────────┘
//!   NOT RUNNING ──6 close()──▶ CLOSED: every run is refused
//! ```

use super::running::{running, set_running};
use super::{EventLoop, Inner};
use crate::drop_guard::DropGuard;
use crate::error::{Error, Result};
use crate::trace::Life;
use std::time::Duration;

impl Inner {
    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.get() { Err(Error::Closed) } else { Ok(()) }
    }

    /// Returns the number of the run that is under way, or of the next one.
    pub(crate) fn this_run(&self) -> u64 {
        self.runs.get() + u64::from(!self.running.get())
    }

    /// Checks that a run may begin.
    pub(crate) fn check_runnable(&self) -> Result<()> {
        self.check_open()?;
        self.id.check_process()?;
        if self.running.get() {
            return Err(Error::AlreadyRunning);
        }
        // In a forked child the parent's loop does not run.
        if running().is_some_and(|lp| lp.0.id.is_of_this_process()) {
            return Err(Error::AnotherLoopRunning);
        }
        Ok(())
    }

    /// Tells whether a turn could find anything to do, now or after a wait.
    fn anything_left(&self) -> bool {
        !self.ready.borrow().is_empty()
            || self.timers.borrow().any_live()
            || !self.reactor.borrow().is_empty()
            || self.reactor.borrow().memory.is_ready()
            || !self.inbox.is_empty()
            || !self.jobs.pending.is_empty()
            || self.signals.borrow().pending()
    }
}

impl EventLoop {
    /// Begins a run. Dropping the guard ends it, also when an error or a panic leaves it.
    fn begin_run(&self) -> Result<DropGuard<impl FnOnce()>> {
        let lp = &*self.0;
        // An observer may have closed the loop since the caller has checked that it may run.
        lp.check_open()?;
        set_running(Some(self.clone()));
        lp.running.set(true);
        lp.runs.set(lp.runs.get() + 1);
        // The guard exists before the observer is called: a panic of a logger may leave this function.
        let run = DropGuard::new(|| {
            lp.batch_end.set(0);
            lp.running_entry.set(None);
            lp.running_task.set(None);
            lp.clear_stop_flag();
            lp.running.set(false);
            lp.life_changed(Life::End);
            set_running(None);
        });
        lp.life_changed(Life::Run);
        Ok(run)
    }

    /// Runs turn after turn until [`stop`](Self::stop) (`loop.run_forever`).
    ///
    /// What is queued or waits when it returns stays, and continues in the next run. After an
    /// earlier `stop` it returns after exactly one turn, which does not sleep.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::AlreadyRunning`] or [`Error::AnotherLoopRunning`] if the loop
    /// may not run; nothing has changed then. [`Error::Exit`] or [`Error::KeyboardInterrupt`] if a
    /// callback or task left with it. The rest of its turn stays queued in order, and the loop can
    /// run again. [`Error::Deadlock`] in virtual time if nothing can wake the loop.
    ///
    /// ```
    /// # use looplab::EventLoop;
    /// let lp = EventLoop::new()?;
    /// lp.call_soon(|| {
    ///     let lp = looplab::get_running_loop()?;
    ///     lp.stop();
    ///     lp.call_soon(|| println!("in the next run"))
    /// })?;
    /// lp.run_forever()?;
    /// assert_eq!(lp.snapshot().ready.len(), 1);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "loop.run_forever")]
    pub fn run_forever(&self) -> Result<()> {
        self.0.check_runnable()?;
        self.run_turns()
    }

    /// Does what [`run_forever`](Self::run_forever) does, for a caller that has checked that the loop may run.
    pub(crate) fn run_turns(&self) -> Result<()> {
        let _run = self.begin_run()?;
        loop {
            self.turn()?;
            if self.0.stopping.get() {
                return Ok(());
            }
        }
    }

    /// Runs exactly one turn, for stepping through a program (`asyncio.base_events._run_once`, made
    /// public). Returns true while anything is left to do: entries, timers, readers or writers,
    /// jobs, or signals that came.
    ///
    /// A turn in which nothing is ready waits, as any turn does. If there is nothing to wait for,
    /// it does not, and returns false. On a stopping loop it makes its turn, clears the flag, and
    /// returns false.
    ///
    /// # Errors
    /// As [`run_forever`](Self::run_forever).
    ///
    /// ```
    /// # use looplab::EventLoop;
    /// let lp = EventLoop::new()?;
    /// lp.call_soon(|| looplab::get_running_loop()?.call_soon(|| println!("second turn")))?;
    /// assert!(lp.run_once()?);
    /// assert!(!lp.run_once()?);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub fn run_once(&self) -> Result<bool> {
        self.0.check_runnable()?;
        let _run = self.begin_run()?;
        let idle = !self.0.anything_left() && !self.0.something_may_wake_it();
        if idle {
            // The stop flag makes the poll return at once: this turn has nothing to wait for.
            self.stop();
        }
        self.turn()?;
        Ok(!self.0.stopping.get() && self.0.anything_left())
    }

    /// Ends the run after the turn that is under way (`loop.stop`). Before a run it limits the next
    /// run to one turn. Idempotent, and harmless on a closed loop. Other threads use
    /// [`Remote::stop`](crate::Remote::stop).
    #[doc(alias = "loop.stop")]
    pub fn stop(&self) {
        self.0.set_stop_flag();
    }

    /// Returns how many turns the loop has made.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.0.turns.get()
    }

    /// Returns how long the loop may sleep in its next turn, for a program that embeds it in
    /// another loop; `None` for ever.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let first = self.0.timers.borrow().first();
        let first = first.map(|(when, _)| when.saturating_duration_since(self.0.clock.now()));
        let waits = self.0.ready.borrow().is_empty()
            && !self.0.stopping.get()
            && !self.0.reactor.borrow().memory.is_ready();
        if waits { first } else { Some(Duration::ZERO) }
    }
}
