//! Explores a program: disturbs it at every point, one run for each, and says where it breaks.
//!
//! A *point* is before an entry of the ready queue runs, and before a poll. A *disturbance* is a stop, a cancelled task, a
//! signal, or another kind. A *schedule* is a list of points with disturbances. Each run has a loop of its own in virtual
//! time, so the program repeats exactly, and a schedule that fails can be run again by its name.
//!
//! After every run the promises of `docs/testing.md` are checked. It does not handle what is outside of the loop: real
//! sockets and threads do not repeat. A program that is not deterministic is refused, with the first difference.
//!
//! Read `disturbance` first: it has each kind. Then read `search`, which chooses schedules, `execution`, which runs one, and
//! `script`, the observer that disturbs.

mod disturbance;
mod execution;
#[cfg(feature = "xray")]
mod picture;
mod report;
mod schedule;
mod script;
mod search;
mod targets;
mod world;

use crate::error::{Error, Result};
use crate::panics::to_stderr;
use crate::signals::signal::Signal;
use disturbance::Kinds;
use execution::Plan;
use search::Search;
use std::fmt;
use std::sync::Arc;
use std::thread;

pub use disturbance::PeerFault;
pub use report::{Failure, Report};
pub use schedule::Schedule;
pub use world::{World, WorldGuard};

/// An exploration of one program: what disturbs it, and what it may leave.
///
/// ```
/// use looplab::explore::Explore;
/// use looplab::sync::Queue;
/// use looplab::{Error, sleep};
/// use std::{cell::Cell, rc::Rc, time::Duration};
///
/// // An item is lost if the cancellation comes between `get` and the save.
/// let report = Explore::new(|world| {
///     let queue = Queue::new(0);
///     queue.put_nowait(1)?;
///     let (taken, saved) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
///     let books = (taken.clone(), saved.clone());
///     world.finally(move || {
///         let (taken, saved) = (books.0.get(), books.1.get());
///         if taken == saved { Ok(()) } else { Err(Error::msg(format!("taken {taken}, saved {saved}"))) }
///     });
///     world.main(async move {
///         let item = queue.get().await?;
///         taken.set(taken.get() + item);
///         sleep(Duration::from_millis(5)).await?;      // the cancellation is thrown here
///         saved.set(saved.get() + item);
///         Ok::<(), Error>(())
///     })
/// }).cancels().run()?;
/// assert!(report.to_string().contains("taken 1, saved 0"));
/// # Ok::<(), Error>(())
/// ```
pub struct Explore(Search);

impl Explore {
    /// Explores the program that `program` builds. It is called for every schedule, and must build the same program each time.
    ///
    /// Without a kind of disturbance only the undisturbed program is checked.
    pub fn new(program: impl Fn(&World) -> Result<()> + Send + Sync + 'static) -> Self {
        let plan = Plan {
            program: Box::new(program),
            kinds: Arc::default(),
            left: Vec::new(),
            reports: Vec::new(),
            most_turns: u64::MAX,
            traced: false,
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self(Search { plan, pairs: false, at_most: 100_000, seed: 1, threads })
    }

    /// Changes the kinds. No run shares them yet.
    fn with(mut self, change: impl FnOnce(&mut Kinds)) -> Self {
        change(Arc::make_mut(&mut self.0.plan.kinds));
        self
    }

    /// Stops the loop at every poll and in every batch, and continues the main task in a new run. All moments of a batch are
    /// the same for a stop.
    #[must_use]
    pub fn stops(self) -> Self {
        self.with(|kinds| kinds.stops = true)
    }

    /// Cancels each task at each point.
    #[must_use]
    pub fn cancels(self) -> Self {
        self.with(|kinds| kinds.cancels.push(None))
    }

    /// Cancels the tasks with this name at each point.
    #[must_use]
    pub fn cancel(self, name: impl Into<String>) -> Self {
        self.with(|kinds| kinds.cancels.push(Some(name.into())))
    }

    /// Delivers each of these signals before each poll at which the program handles it. The process gets no signal.
    #[must_use]
    pub fn signals(self, signals: impl IntoIterator<Item: Into<Signal>>) -> Self {
        self.with(|kinds| kinds.signals.extend(signals.into_iter().map(|signal| signal.into().number())))
    }

    /// Fails the await at which a task with this name is suspended, at each point, as a failing peer would. The error is
    /// thrown at the await; what is awaited goes on. A second call for the same name has no effect. An await of a future that
    /// is not looplab's takes no error: the task is polled once more.
    ///
    /// ```
    /// use looplab::explore::Explore;
    /// use looplab::{Error, sleep};
    /// use std::time::Duration;
    /// let report = Explore::new(|world| {
    ///     let connected = world.guard();
    ///     world.main(async move {
    ///         sleep(Duration::from_secs(1)).await?;            // a query, say
    ///         drop(connected);
    ///         Ok::<(), Error>(())
    ///     })
    /// }).errors("main", || Error::msg("connection reset")).run()?;
    /// assert!(report.failures().is_empty() && report.schedules() > 0, "{report}");
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn errors(self, task: impl Into<String>, error: impl Fn() -> Error + Send + Sync + 'static) -> Self {
        self.with(|kinds| kinds.errors.push((task.into(), Arc::new(error))))
    }

    /// Ends each job at each point, whatever was submitted before it, and lets each one end only when nothing else can
    /// happen. The jobs of an explored program start no threads. They run on the loop's thread, by default when nothing is
    /// ready, in the order of their submission.
    #[must_use]
    pub fn jobs(self) -> Self {
        self.with(|kinds| kinds.jobs = true)
    }

    /// Changes the order of descriptors that one poll finds ready: each of them comes first once. asyncio leaves that order
    /// to the system. (Calls of other threads have no order either, but an explored program has no threads but its jobs.)
    #[must_use]
    pub fn ties(self) -> Self {
        self.with(|kinds| kinds.ties = true)
    }

    /// Lets peers misbehave: each connection of [`net::memory`](crate::net::memory) has each of these faults at each point. A
    /// [`Cut`](PeerFault::Cut) comes after each byte that an end writes, but for those that are written in the entry that
    /// makes the connection.
    ///
    /// ```
    /// use looplab::explore::{Explore, PeerFault};
    /// use looplab::net::memory::{self, MemoryListener};
    /// use looplab::net::{StreamWriter, start_server_on};
    /// use looplab::Error;
    /// use std::{cell::RefCell, rc::Rc};
    /// let report = Explore::new(|world| {
    ///     let taken: Rc<RefCell<Vec<u8>>> = Rc::default();
    ///     let order = taken.clone();
    ///     world.finally(move || match order.borrow().trim_ascii() {
    ///         b"" | b"pay 100" => Ok(()),
    ///         part => Err(Error::msg(format!("took `{}` for an order", part.escape_ascii()))),
    ///     });
    ///     world.main(async move {
    ///         let sells = async |_, writer: StreamWriter| writer.write("pay 100\n");
    ///         let server = start_server_on(sells, MemoryListener::bind("orders")?).await?;
    ///         let (reader, writer) = memory::open_connection("orders").await?;
    ///         taken.replace(reader.readline().await?);         // the last line may lack its end
    ///         drop(writer);
    ///         server.close();
    ///         server.wait_closed().await
    ///     })
    /// }).peers([PeerFault::Cut]).run()?;
    /// assert!(report.to_string().contains("took `pa` for an order"), "{report}");
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn peers(self, faults: impl IntoIterator<Item = PeerFault>) -> Self {
        self.with(|kinds| kinds.peers.extend(faults))
    }

    /// Leaves the run after each entry, closes the loop, and drops everything, as in a process that gives up. No destructor
    /// may panic, and every [`World::guard`] must be dropped. The checks of [`World::finally`] are not made, and reports
    /// to the exception handler do not count.
    #[must_use]
    pub fn drops(self) -> Self {
        self.with(|kinds| kinds.drops = true)
    }

    /// Also runs every two of the disturbances in a row.
    #[must_use]
    pub fn pairs(mut self) -> Self {
        self.0.pairs = true;
        self
    }

    /// Limits the number of schedules; the default is 100,000. If there are more, a random sample is run, and the report says
    /// how many were left out.
    #[must_use]
    pub fn at_most(mut self, schedules: u64) -> Self {
        self.0.at_most = schedules;
        self
    }

    /// Sets the seed of the sample.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = seed;
        self
    }

    /// Sets the number of threads that run schedules; the default is the number of processors. What is found does
    /// not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.0.threads = threads.max(1);
        self
    }

    /// Excuses what is left behind, if its description contains `part`: the name of a task, say.
    #[must_use]
    pub fn allow_left(mut self, part: impl Into<String>) -> Self {
        self.0.plan.left.push(part.into());
        self
    }

    /// Excuses reports to the exception handler that contain `part`.
    #[must_use]
    pub fn allow_reports(mut self, part: impl Into<String>) -> Self {
        self.0.plan.reports.push(part.into());
        self
    }

    /// Explores, and panics with the report if a schedule fails. For tests. If schedules were left out, it prints the report
    /// to standard error.
    ///
    /// With the feature `xray` it also writes a page of the smallest failing schedule, `target/looplab/TEST.html`.
    ///
    /// # Panics
    /// If a schedule fails, or if [`run`](Self::run) fails. Also if kinds are chosen, and nothing in the program can be
    /// disturbed so.
    pub fn check(mut self) {
        #[cfg_attr(not(feature = "xray"), allow(unused_mut))]
        let mut report = self.0.run().unwrap_or_else(|error| panic!("explore: {error}"));
        #[cfg(feature = "xray")]
        if let (Some(first), Some(test)) = (report.failures.first(), &report.name) {
            report.picture = picture::write(&self.0.plan, test, &first.schedule);
        }
        assert!(report.failures.is_empty(), "{report}");
        let kinds = &self.0.plan.kinds;
        assert!(
            kinds.is_empty() || report.schedules + report.left_out > 0,
            "explore: nothing was explored: the program has nothing that could be disturbed so"
        );
        if report.left_out > 0 {
            to_stderr(report.to_string().trim_end());
        }
    }

    /// Explores and returns what was found. With `LOOPLAB_EXPLORE` in the environment only the schedule that it names is run,
    /// after the undisturbed program, and `LOOPLAB_TRACE` records it.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the undisturbed program breaks a promise or is not deterministic. [`Error::Value`] if
    /// `LOOPLAB_EXPLORE` names no schedule. [`Error::Value`] if no schedule fails, and a task or a signal that is named
    /// was never there to be disturbed: the name may be mistyped.
    pub fn run(mut self) -> Result<Report> {
        self.0.run()
    }
}

impl fmt::Debug for Explore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explore")
            .field("pairs", &self.0.pairs)
            .field("at_most", &self.0.at_most)
            .finish_non_exhaustive()
    }
}
