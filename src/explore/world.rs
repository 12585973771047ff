//! `World`: the loop of one explored run, and what the program says about itself.

use crate::error::Result;
use crate::event_loop::EventLoop;
use crate::outcome::Outcome;
use crate::panics::{drop_all, drop_quietly};
use crate::runner::{Runner, RunnerBuilder};
use crate::task::{Task, TaskRef};
use crate::trace::Log;
use std::cell::{Cell, RefCell};
use std::fmt::{self, Display};
use std::rc::Rc;

type Finally = Box<dyn FnOnce() -> Result<()>>;
type Runs = Box<dyn FnOnce(&EventLoop) -> Result<()>>;

/// The world of one run: a loop in virtual time, made for this run alone. Clones are the same world, so the program may keep
/// one.
///
/// ```
/// use looplab::explore::Explore;
/// use looplab::{Error, sleep};
/// use std::time::Duration;
/// let report = Explore::new(|world| {
///     let noting = world.clone();
///     world.main(async move {
///         sleep(Duration::from_secs(1)).await?;
///         noting.note("a second has passed");
///         Ok::<(), Error>(())
///     })
/// }).stops().run()?;
/// assert!(report.failures().is_empty(), "{report}");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct World(Rc<WorldState>);

struct WorldState {
    lp: EventLoop,
    main: RefCell<Option<TaskRef>>,
    /// The programs that run the loop themselves. Only one is allowed.
    runs: RefCell<Vec<Runs>>,
    finally: RefCell<Vec<Finally>>,
    notes: RefCell<Vec<String>>,
    log: Option<Log>,
    guards: Rc<Cell<usize>>,
}

/// Counts as one until it is dropped. Made by [`World::guard`].
#[derive(Debug)]
pub struct WorldGuard(Rc<Cell<usize>>);

impl Drop for WorldGuard {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl World {
    pub(super) fn new(lp: EventLoop, log: Option<Log>) -> Self {
        Self(Rc::new(WorldState {
            lp,
            main: RefCell::default(),
            runs: RefCell::default(),
            finally: RefCell::default(),
            notes: RefCell::default(),
            log,
            guards: Rc::default(),
        }))
    }

    /// Returns the loop on which the program runs.
    #[must_use]
    pub fn event_loop(&self) -> &EventLoop {
        &self.0.lp
    }

    /// Makes the main task. The run waits for it. After a stop that the explorer made, the run continues with the same task.
    ///
    /// # Errors
    /// [`Error::Runtime`](crate::Error::Runtime) if the world has a main task already.
    #[track_caller]
    pub fn main<F>(&self, main: F) -> Result<()>
    where
        F: IntoFuture<Output: Outcome, IntoFuture: 'static>,
    {
        if self.0.main.borrow().is_some() {
            return Err(crate::Error::Runtime("the world has a main task already".into()));
        }
        let main = Task::builder().name("main").spawn_on(&self.0.lp, main.into_future());
        *self.0.main.borrow_mut() = Some(main.to_ref());
        Ok(())
    }

    /// Takes a program that runs the loop itself, with `run_forever` for instance. It stands for the main task. With a second
    /// one, or a main task beside it, the program is refused. Such a program cannot be continued after a stop, so
    /// [`Explore::stops`](super::Explore::stops) leaves it alone.
    ///
    /// ```
    /// use looplab::explore::Explore;
    /// use looplab::{EventLoop, Signal, stop};
    /// use std::time::Duration;
    /// Explore::new(|world| {
    ///     world.runs(|lp: &EventLoop| {
    ///         lp.add_signal_handler(Signal::SIGTERM, stop)?;
    ///         lp.call_later(Duration::from_secs(60), stop)?;
    ///         lp.run_forever()?;
    ///         lp.remove_signal_handler(Signal::SIGTERM).map(drop)
    ///     });
    ///     Ok(())
    /// }).signals([Signal::SIGTERM]).allow_left("timer").check();
    /// ```
    pub fn runs(&self, program: impl FnOnce(&EventLoop) -> Result<()> + 'static) {
        self.0.runs.borrow_mut().push(Box::new(program));
    }

    /// Takes a program that is given to a [`Runner`](crate::Runner), as [`runs`](Self::runs) does otherwise. The runner is
    /// made of these options on the world's loop, and closed after the program. The options of
    /// [`RunnerBuilder::event_loop`] have no effect. The handler of SIGINT is there on any thread, so
    /// [`Explore::signals`](super::Explore::signals) delivers SIGINT as Ctrl-C does: the first cancels main, the second
    /// interrupts. The process gets no signal, and no handler.
    ///
    /// ```
    /// use looplab::explore::Explore;
    /// use looplab::{Error, Runner, Signal, sleep};
    /// use std::time::Duration;
    /// Explore::new(|world| {
    ///     world.runner(Runner::builder(), |runner| {
    ///         runner.run(async { sleep(Duration::from_secs(60)).await })
    ///     });
    ///     Ok(())
    /// }).signals([Signal::SIGINT]).pairs().check();
    /// ```
    pub fn runner(&self, options: RunnerBuilder, program: impl FnOnce(&mut Runner) -> Result<()> + 'static) {
        self.runs(move |lp| {
            let mut runner = options.on_loop(lp.clone());
            let ended = program(&mut runner);
            let closed = runner.close();
            ended.and(closed)
        });
    }

    /// Adds a check for after the main task's end. An error or a panic of the check fails the schedule.
    pub fn finally(&self, check: impl FnOnce() -> Result<()> + 'static) {
        self.0.finally.borrow_mut().push(Box::new(check));
    }

    /// Notes that something happened. A run that was stopped and continued must note the same as an undisturbed one.
    pub fn note(&self, what: impl Display) {
        let what = what.to_string();
        if let Some(log) = &self.0.log {
            log.note(&what);
        }
        self.0.notes.borrow_mut().push(what);
    }

    /// Returns a value to be kept beside what must not be left over. It fails the schedule if it lives when the run is over.
    #[must_use]
    pub fn guard(&self) -> WorldGuard {
        let guards = self.0.guards.clone();
        guards.set(guards.get() + 1);
        WorldGuard(guards)
    }

    pub(super) fn main_task(&self) -> Option<TaskRef> {
        self.0.main.borrow().clone()
    }

    pub(super) fn take_runs(&self) -> Vec<Runs> {
        self.0.runs.take()
    }

    pub(super) fn take_checks(&self) -> Vec<Finally> {
        self.0.finally.take()
    }

    pub(super) fn take_notes(&self) -> Vec<String> {
        self.0.notes.take()
    }

    pub(super) fn guards(&self) -> Rc<Cell<usize>> {
        self.0.guards.clone()
    }

    /// Ends the world's own references, so that only what the program leaks stays.
    pub(super) fn end(&self) {
        drop_quietly(self.0.main.take());
        drop_all(self.0.runs.take());
        drop_all(self.0.finally.take());
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("notes", &self.0.notes.borrow()).finish_non_exhaustive()
    }
}
