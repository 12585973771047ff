//! `Builder`: the options of a loop, and those that the environment sets.

use crate::environment;
use crate::error::{Error, Result};
use crate::event_loop::{Clock, EventLoop, Options};
use crate::panics::Guarded;
use crate::signals::signal::Signal;
use crate::trace::Observer;
use std::fmt;
use std::time::Duration;

/// The options of a loop. Created by [`EventLoop::builder`].
///
/// ```
/// use looplab::{Clock, EventLoop};
/// let lp = EventLoop::builder().clock(Clock::virtual_time()).debug(true).build()?;
/// assert!(lp.debug());
/// # Ok::<(), looplab::Error>(())
/// ```
pub struct Builder {
    options: Options,
    traced: bool,
    dump_on: Option<Signal>,
}

impl EventLoop {
    /// Creates a loop on the machine's monotonic clock (`asyncio.new_event_loop`).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the system has no descriptor left;
    /// [`Error::Value`](crate::Error::Value) if `LOOPLAB_TRACE` names an unknown form of trace
    /// (with the feature `xray`).
    #[doc(alias("asyncio.new_event_loop", "new_event_loop"))]
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// Returns the options of a new loop.
    #[must_use]
    pub fn builder() -> Builder {
        Builder { options: Options::default(), traced: true, dump_on: None }
    }
}

impl Builder {
    /// Sets the clock. The default is [`Clock::monotonic`], or [`Clock::virtual_time`] if the
    /// environment has `LOOPLAB_CLOCK=virtual`. In virtual time any program runs without its waits,
    /// and its trace repeats exactly.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.options.clock = Some(clock);
        self
    }

    /// Sets debug mode, which reports slow callbacks (`loop.set_debug`). On the machine's clock it
    /// also answers SIGQUIT, as [`dump_on`](Self::dump_on) does, if nothing else handles or ignores
    /// that signal.
    #[doc(alias("loop.set_debug", "set_debug"))]
    #[must_use]
    pub fn debug(mut self, debug: bool) -> Self {
        self.options.debug = debug;
        self
    }

    /// Sets the highest number of threads of the default pool; see
    /// [`ExecutorBuilder::threads`](crate::ExecutorBuilder::threads).
    #[must_use]
    pub fn executor_threads(mut self, max: usize) -> Self {
        self.options.executor_threads = Some(max);
        self
    }

    /// Sets the observer, which is called at every transition; see [`Observer`].
    /// [`EventLoop::close`] drops it.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.options.observer = Some(Guarded::new(Box::new(observer)));
        self
    }

    /// Warns of a callback or a task's step that runs for longer than `limit`, *while* it runs, and
    /// again whenever that time has doubled. The `log::warn!` has its name and the place where it
    /// was made. The watchdog is a thread on the machine's clock, and ends with the loop. It costs
    /// two locks and the formatting of a name for each entry. ([Debug mode](Self::debug) needs no
    /// thread, but reports a callback only after its end.)
    ///
    /// For a limit of zero, [`build`](Self::build) fails.
    ///
    /// ```
    /// # use looplab::EventLoop;
    /// # use std::time::Duration;
    /// let lp = EventLoop::builder().watchdog(Duration::from_millis(100)).build()?;
    /// lp.run_until_complete(async { Ok(()) })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[must_use]
    pub fn watchdog(mut self, limit: Duration) -> Self {
        self.options.watchdog = Some(limit);
        self
    }

    /// Prints the loop's [`snapshot`](EventLoop::snapshot) to standard error whenever the signal
    /// comes, with the tree of which task waits for which. With [`Signal::SIGQUIT`], Ctrl-\\ asks a
    /// program that seems to hang. In debug mode that is so without this call.
    ///
    /// It works on an idle loop. A loop that is busy, in a callback or a task's step that does not
    /// return, answers afterwards only; what it runs meanwhile is for the
    /// [`watchdog`](Self::watchdog) to name. A loop that does not run answers in its next run. A
    /// handler that the program adds for the signal takes the place of this one.
    ///
    /// [`build`](Self::build) fails for a signal that cannot be caught. (asyncio has no counterpart
    /// within a process; since 3.14, `python -m asyncio pstree` looks from outside.)
    ///
    /// ```
    /// # use looplab::{EventLoop, Signal};
    /// let lp = EventLoop::builder().dump_on(Signal::SIGQUIT).build()?;
    /// lp.run_until_complete(async { Ok(()) })?;
    /// assert!(EventLoop::builder().dump_on(Signal::SIGKILL).build().is_err());
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[must_use]
    pub fn dump_on(mut self, signal: impl Into<Signal>) -> Self {
        self.dump_on = Some(signal.into());
        self
    }

    /// Sets a hook that is called before a poll that may sleep. It must not use the loop.
    /// [`EventLoop::close`] drops it.
    #[must_use]
    pub fn on_park(mut self, hook: impl FnMut() + 'static) -> Self {
        self.options.on_park = Some(Guarded::new(Box::new(hook)));
        self
    }

    /// Sets a hook that is called after a poll that may have slept. [`EventLoop::close`] drops it.
    #[must_use]
    pub fn on_unpark(mut self, hook: impl FnMut() + 'static) -> Self {
        self.options.on_unpark = Some(Guarded::new(Box::new(hook)));
        self
    }

    /// Makes a loop that an explorer disturbs, and that nothing else reaches from outside.
    #[cfg(feature = "explore")]
    pub(crate) fn explored(mut self) -> Self {
        self.options.explored = crate::event_loop::Explored::on();
        self
    }

    /// Makes a loop that is recorded in this way, whatever `LOOPLAB_TRACE` says.
    #[cfg(all(feature = "explore", feature = "xray"))]
    pub(crate) fn recorded(mut self, recording: crate::event_loop::Recording) -> Self {
        self.options.recorder = Some(recording);
        self.untraced()
    }

    /// Makes a loop that `LOOPLAB_TRACE` does not record.
    #[cfg(feature = "explore")]
    pub(crate) fn untraced(mut self) -> Self {
        self.traced = false;
        self
    }

    /// Creates the loop.
    ///
    /// # Errors
    /// The errors of [`EventLoop::new`] and, with [`dump_on`](Self::dump_on), of
    /// [`EventLoop::add_signal_handler`]; [`Error::Value`] for a [`watchdog`](Self::watchdog) with
    /// a limit of zero, and [`Error::Io`] if its thread cannot be started.
    pub fn build(self) -> Result<EventLoop> {
        let mut options = self.options;
        let clock = options.clock.take().map_or_else(environment_clock, Ok)?;
        let asked = options.debug && !clock.is_virtual() && !options.explored.is_on();
        options.clock = Some(clock);
        #[cfg(feature = "xray")]
        if self.traced {
            options.recorder = crate::xray::from_env()?;
        }
        #[cfg(not(feature = "xray"))]
        if self.traced {
            warn_that_no_trace_is_written();
        }
        let lp = EventLoop::with(options)?;
        match self.dump_on {
            Some(signal) => lp.dump_on(signal)?,
            None if asked => lp.dump_on_quit()?,
            None => {}
        }
        Ok(lp)
    }
}

/// Warns once in a process that `LOOPLAB_TRACE` has no effect.
#[cfg(not(feature = "xray"))]
fn warn_that_no_trace_is_written() {
    static WARNED: std::sync::Once = std::sync::Once::new();
    if environment::variable("LOOPLAB_TRACE").is_some() {
        WARNED.call_once(|| {
            environment::warn(
                "LOOPLAB_TRACE is set, but nothing is recorded: looplab's feature `xray` is off",
            );
        });
    }
}

fn environment_clock() -> Result<Clock> {
    let named = environment::variable("LOOPLAB_CLOCK");
    match named.as_ref().map(|named| named.to_string_lossy()).as_deref() {
        None | Some("monotonic") => Ok(Clock::monotonic()),
        Some("virtual") => Ok(Clock::virtual_time()),
        Some(other) => Err(Error::Value(
            format!("LOOPLAB_CLOCK={other} names no clock; the known ones are: monotonic, virtual").into(),
        )),
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("clock", &self.options.clock)
            .field("debug", &self.options.debug)
            .finish()
    }
}
