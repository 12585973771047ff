//! Runs: who calls a turn, and how often.
//!
//! It promises asyncio's contract of stopping and restarting: `stop` sets a flag, the turn that is under way is finished,
//! the flag is cleared when the run ends, and whatever is queued then runs first thing in the next run. A run that is
//! refused changes nothing: all checks come first, and the guard is made only when they have passed.
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

use super::running::{self, set_running};
use super::{EventLoop, Inner};
use crate::error::{Error, Result};
use crate::trace::Life;
use std::time::Duration;

/// A run under way. Dropping it ends the run, also when an error or a panic leaves it.
struct Run<'a>(&'a Inner);

impl<'a> Run<'a> {
    fn begin(lp: &'a EventLoop) -> Result<Self> {
        lp.0.check_runnable()?;
        set_running(Some(lp.clone()));
        lp.0.running.set(true);
        lp.0.runs.set(lp.0.runs.get() + 1);
        let run = Self(&lp.0);
        // From here on it ends also by a panic: that of an observer is caught, but that of a logger who is told of it is not.
        lp.0.life_changed(Life::Run);
        Ok(run)
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let lp = self.0;
        lp.batch_left.set(0);
        lp.running_entry.set(0);
        lp.clear_stop_flag();
        lp.running.set(false);
        lp.life_changed(Life::End);
        set_running(None);
    }
}

impl Inner {
    /// Whether a run may begin.
    pub(crate) fn check_runnable(&self) -> Result<()> {
        self.check_open()?;
        self.id.check_process()?;
        if self.running.get() {
            return Err(Error::AlreadyRunning);
        }
        if running::is_any_running() {
            return Err(Error::AnotherLoopRunning);
        }
        Ok(())
    }

    /// Whether a turn could find anything to do, now or after a wait.
    fn anything_left(&self) -> bool {
        !self.ready.is_empty()
            || self.timers.any_live()
            || !self.reactor.borrow().is_empty()
            || !self.inbox.is_empty()
            || !self.jobs.is_empty()
            || self.signals.borrow().pending()
    }
}

impl EventLoop {
    /// Runs turn after turn until [`stop`](Self::stop) (`loop.run_forever`).
    ///
    /// What is queued or waits when it returns stays, and goes on in the next run. A stop requested before makes it
    /// return after exactly one turn, which does not sleep.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::AlreadyRunning`] or [`Error::AnotherLoopRunning`] if it may not run, with nothing
    /// changed; [`Error::Exit`] or [`Error::KeyboardInterrupt`] if a callback or task left with it (the rest of its turn
    /// stays queued in order, and the loop can run again); [`Error::Deadlock`] in virtual time if nothing can wake it.
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
    pub fn run_forever(&self) -> Result<()> {
        let _run = Run::begin(self)?;
        loop {
            self.turn()?;
            if self.0.stopping.get() {
                return Ok(());
            }
        }
    }

    /// Runs exactly one turn, for stepping through a program; true while anything is left to do: entries, timers,
    /// readers or writers, jobs, signals that came (`asyncio.base_events._run_once`, made public).
    ///
    /// A turn in which nothing is ready waits as any turn does; only if there is nothing to wait for it does not, and
    /// answers false. On a stopping loop it makes its turn, clears the flag, and answers false.
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
        let _run = Run::begin(self)?;
        let idle = !self.0.anything_left() && !self.0.somebody_may_wake_it();
        if idle {
            // A stop flag makes the poll return at once; this turn has nothing to wait for.
            self.stop();
        }
        self.turn()?;
        Ok(!self.0.stopping.get() && self.0.anything_left())
    }

    /// Asks the run to end after the turn that is under way (`loop.stop`). Before a run it makes the next one end after
    /// one turn. Idempotent; harmless on a closed loop. From another thread use [`Remote::stop`](crate::Remote::stop).
    pub fn stop(&self) {
        self.0.set_stop_flag();
    }

    /// How many turns the loop has made.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.0.turns.get()
    }

    /// How long the loop may sleep in its next turn: what an embedding program (a GUI's loop) would wait for. `None` for
    /// ever.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let first = self.0.timers.first().map(|(when, _)| when.saturating_duration_since(self.0.now()));
        if self.0.ready.is_empty() && !self.0.stopping.get() { first } else { Some(Duration::ZERO) }
    }
}
