//! Explores a program: disturbs it at every point, one run for each, and says where it breaks.
//!
//! A *point* is before an entry of the ready queue runs, and before a poll. A *disturbance* is a stop, a cancelled task, or a
//! signal. A *schedule* is a list of points with disturbances. Each run has a loop of its own in virtual time, so the program
//! repeats exactly, and a schedule that fails can be run again by its name.
//!
//! After every run these promises are checked:
//! - The main task ends, within a bound of turns, and without a deadlock.
//! - Nothing is left on the loop: no task, timer, descriptor, signal handler or job.
//! - Nothing was reported to the exception handler.
//! - The program's own checks hold ([`World::finally`]), and every [`World::guard`] is dropped.
//! - If it was only stopped and continued: it noted the same as undisturbed, and ended in the same way.
//!
//! It does not handle what is outside of the loop: real sockets and threads do not repeat exactly. A program that is not
//! deterministic is refused, with the first difference.

mod execution;
mod report;
mod schedule;
mod world;

use crate::environment;
use crate::error::{Error, Result};
use crate::signals::signal::Signal;
use execution::{Execution, Program, Promises, Recorded, Visit};
use schedule::{Disturbance, Injection};
use std::fmt;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

pub use report::{Failure, Report};
pub use schedule::Schedule;
pub use world::{World, WorldGuard};

/// How many turns a program may make before it is known how many it needs.
const MANY_TURNS: u64 = 1_000_000;

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
pub struct Explore {
    program: Box<Program>,
    stops: bool,
    /// Which tasks are cancelled: `None` stands for each.
    cancels: Vec<Option<String>>,
    signals: Vec<i32>,
    pairs: bool,
    at_most: u64,
    seed: u64,
    threads: usize,
    promises: Promises,
}

impl Explore {
    /// Explores the program that `program` builds. It is called for every schedule, and must build the same program each time.
    ///
    /// Without a kind of disturbance only the undisturbed program is checked.
    pub fn new(program: impl Fn(&World) -> Result<()> + Send + Sync + 'static) -> Self {
        Self {
            program: Box::new(program),
            stops: false,
            cancels: Vec::new(),
            signals: Vec::new(),
            pairs: false,
            at_most: 100_000,
            seed: 1,
            threads: thread::available_parallelism().map_or(1, usize::from),
            promises: Promises { left: Vec::new(), reports: Vec::new(), most_turns: u64::MAX, traced: false },
        }
    }

    /// Stops the loop at every poll and in every batch, and continues the main task in a new run. All moments of a batch are
    /// the same for a stop.
    #[must_use]
    pub fn stops(mut self) -> Self {
        self.stops = true;
        self
    }

    /// Cancels each task at each point.
    #[must_use]
    pub fn cancels(mut self) -> Self {
        self.cancels.push(None);
        self
    }

    /// Cancels the tasks with this name at each point.
    #[must_use]
    pub fn cancel(mut self, name: impl Into<String>) -> Self {
        self.cancels.push(Some(name.into()));
        self
    }

    /// Delivers each of these signals before each poll at which the program handles it. The process gets no signal.
    #[must_use]
    pub fn signals(mut self, signals: impl IntoIterator<Item: Into<Signal>>) -> Self {
        self.signals.extend(signals.into_iter().map(|signal| signal.into().number()));
        self
    }

    /// Also runs every two of the disturbances in a row.
    #[must_use]
    pub fn pairs(mut self) -> Self {
        self.pairs = true;
        self
    }

    /// Limits the number of schedules; the default is 100,000. If there are more, a random sample is run, and the report says
    /// how many were left out.
    #[must_use]
    pub fn at_most(mut self, schedules: u64) -> Self {
        self.at_most = schedules;
        self
    }

    /// Sets the seed of the sample.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the number of threads that run schedules; the default is that of the processors. What is found does not depend on
    /// it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Excuses what is left behind, if its description contains `part`: the name of a task, say.
    #[must_use]
    pub fn allow_left(mut self, part: impl Into<String>) -> Self {
        self.promises.left.push(part.into());
        self
    }

    /// Excuses reports to the exception handler that contain `part`.
    #[must_use]
    pub fn allow_reports(mut self, part: impl Into<String>) -> Self {
        self.promises.reports.push(part.into());
        self
    }

    /// Explores, and panics with the report if a schedule fails. For tests.
    ///
    /// # Panics
    /// If the undisturbed program breaks a promise or is not deterministic, or if a schedule fails.
    pub fn check(self) {
        let report = self.run().unwrap_or_else(|error| panic!("explore: {error}"));
        assert!(report.failures.is_empty(), "{report}");
    }

    /// Explores and returns what was found. With `LOOPLAB_EXPLORE` in the environment only the schedule that it names is run,
    /// after the undisturbed program, and `LOOPLAB_TRACE` records it.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the undisturbed program breaks a promise or is not deterministic; [`Error::Value`] if
    /// `LOOPLAB_EXPLORE` names no schedule.
    pub fn run(mut self) -> Result<Report> {
        let began = Instant::now();
        let mut report = Report {
            name: thread::current().name().filter(|name| *name != "main").map(str::to_owned),
            failures: Vec::new(),
            schedules: 0,
            left_out: 0,
            seed: None,
            took: Duration::ZERO,
        };
        let undisturbed = self.undisturbed()?;
        // A disturbed program may take longer, for its cleanup and for what it tries again.
        self.promises.most_turns = 10 * undisturbed.turns + 1000;
        if let Some(named) = environment::variable("LOOPLAB_EXPLORE") {
            let schedule: Schedule = named.to_string_lossy().parse()?;
            report.schedules = 1;
            report.failures = self.repeat(schedule, &undisturbed).into_iter().collect();
            report.took = began.elapsed();
            return Ok(report);
        }

        let progress = Progress::new();
        let singles = self.schedules_after(&Schedule::default(), &undisturbed);
        let singles = self.sample(singles, self.at_most, &mut report);
        let recorded = if self.pairs { Recorded::Visits } else { Recorded::Failure };
        let executions = self.execute_all(&singles, recorded, &undisturbed, &progress);
        let mut found: Vec<Failure> = Vec::new();
        let mut pairs = Vec::new();
        for ((schedule, before), execution) in singles.iter().zip(executions) {
            match execution.failure {
                Some(message) => add(&mut found, failure(schedule.clone(), before.clone(), message)),
                // What fails by itself says nothing new in a pair.
                None => pairs.extend(self.schedules_after(schedule, &execution)),
            }
        }
        report.schedules = singles.len() as u64;
        if self.pairs {
            let pairs = self.sample(pairs, self.at_most.saturating_sub(report.schedules), &mut report);
            let executions = self.execute_all(&pairs, Recorded::Failure, &undisturbed, &progress);
            for ((schedule, before), execution) in pairs.iter().zip(executions) {
                if let Some(message) = execution.failure {
                    add(&mut found, failure(schedule.clone(), before.clone(), message));
                }
            }
            report.schedules += pairs.len() as u64;
        }
        progress.end();
        for failure in found.iter_mut().take(report::SHOWN) {
            failure.turns = self.execute(&failure.schedule, Recorded::Table).table;
        }
        report.failures = found;
        report.took = began.elapsed();
        Ok(report)
    }

    /// Runs one schedule, with the trace that the environment asks for.
    fn repeat(&mut self, schedule: Schedule, undisturbed: &Execution) -> Option<Failure> {
        self.promises.traced = true;
        let mut execution = self.execute(&schedule, Recorded::Table);
        compare(&schedule, &mut execution, undisturbed);
        let Execution { failure: message, table: turns, .. } = execution;
        message.map(|message| Failure { turns, ..failure(schedule, String::new(), message) })
    }

    /// Runs the program undisturbed, twice.
    fn undisturbed(&mut self) -> Result<Execution> {
        self.promises.most_turns = MANY_TURNS;
        let nothing = Schedule::default();
        let first = self.execute(&nothing, Recorded::Visits);
        if let Some(failure) = first.failure {
            return Err(Error::Runtime(
                format!("the undisturbed program breaks a promise: {failure}").into(),
            ));
        }
        let second = self.execute(&nothing, Recorded::Visits);
        let length = first.story.len().max(second.story.len());
        let differs = (0..length).find(|i| first.story.get(*i) != second.story.get(*i));
        if let Some(i) = differs {
            let said = |story: &[String]| story.get(i).cloned().unwrap_or_else(|| "nothing".to_owned());
            return Err(Error::Runtime(
                format!(
                    "the program is not deterministic: two undisturbed runs differ, at `{}` and `{}`. The usual causes are \
                     real time, the order of a HashMap, threads outside of jobs, and sockets to another process",
                    said(&first.story),
                    said(&second.story)
                )
                .into(),
            ));
        }
        Ok(first)
    }

    fn execute(&self, schedule: &Schedule, recorded: Recorded) -> Execution {
        Execution::run(&*self.program, &self.promises, schedule, recorded)
    }

    /// Lists the schedules that add one disturbance to `schedule`, with the entry that it comes before.
    fn schedules_after(&self, schedule: &Schedule, execution: &Execution) -> Vec<(Schedule, String)> {
        let mut all = Vec::new();
        for Visit { point, entry, tasks, signals } in &execution.visits {
            let mut add = |disturbance| {
                let mut injections = schedule.0.clone();
                injections.push(Injection { point: *point, disturbance });
                all.push((Schedule(injections), entry.clone()));
            };
            if self.stops && !execution.runs_itself && point.entry <= 1 {
                add(Disturbance::Stop);
            }
            for (task, name) in tasks {
                if self.cancels.iter().any(|chosen| chosen.as_ref().is_none_or(|chosen| chosen == name)) {
                    add(Disturbance::Cancel { task: *task, name: name.clone() });
                }
            }
            for signal in self.signals.iter().filter(|signal| point.entry == 0 && signals.contains(signal)) {
                add(Disturbance::Signal(*signal));
            }
        }
        all
    }

    /// Takes a random sample if there are too many, in the order in which they came.
    fn sample<T>(&self, mut schedules: Vec<T>, most: u64, report: &mut Report) -> Vec<T> {
        let left_out = (schedules.len() as u64).saturating_sub(most);
        if left_out > 0 {
            report.left_out += left_out;
            report.seed = Some(self.seed);
            let mut random = Random(self.seed);
            // Each is kept with the chance that fills what is still to be chosen (Knuth's algorithm S).
            let (mut wanted, mut left) = (most, schedules.len() as u64);
            schedules.retain(|_| {
                let kept = random.below(left) < wanted;
                wanted -= u64::from(kept);
                left -= 1;
                kept
            });
        }
        schedules
    }

    /// Runs the schedules on several threads, and returns what came of them in their order.
    fn execute_all(
        &self,
        schedules: &[(Schedule, String)],
        recorded: Recorded,
        undisturbed: &Execution,
        progress: &Progress,
    ) -> Vec<Execution> {
        let next = AtomicUsize::new(0);
        let executions = Mutex::new(Vec::with_capacity(schedules.len()));
        thread::scope(|scope| {
            for _ in 0..self.threads.min(schedules.len().max(1)) {
                scope.spawn(|| {
                    let mut own = Vec::new();
                    loop {
                        let i = next.fetch_add(1, Relaxed);
                        let Some((schedule, _)) = schedules.get(i) else { break };
                        let mut execution = self.execute(schedule, recorded);
                        compare(schedule, &mut execution, undisturbed);
                        progress.step(i, schedules.len());
                        own.push((i, execution));
                    }
                    executions.lock().expect("no panic").append(&mut own);
                });
            }
        });
        let mut executions = executions.into_inner().expect("no panic");
        executions.sort_by_key(|(i, _)| *i);
        executions.into_iter().map(|(_, execution)| execution).collect()
    }
}

/// A run that was only stopped must show what the undisturbed one showed.
fn compare(schedule: &Schedule, execution: &mut Execution, undisturbed: &Execution) {
    let stopped = schedule.0.iter().all(|injection| injection.disturbance == Disturbance::Stop);
    if execution.failure.is_some() || !stopped {
        return;
    }
    if execution.ended != undisturbed.ended {
        let said = |ended: &Option<String>| ended.clone().unwrap_or_else(|| "success".to_owned());
        let (now, before) = (said(&execution.ended), said(&undisturbed.ended));
        execution.failure =
            Some(format!("the restart is visible: main ends with {now}, undisturbed with {before}"));
    } else if execution.notes != undisturbed.notes {
        let length = execution.notes.len().max(undisturbed.notes.len());
        let i =
            (0..length).find(|i| execution.notes.get(*i) != undisturbed.notes.get(*i)).unwrap_or_default();
        let said =
            |notes: &[String]| notes.get(i).map_or_else(|| "nothing".to_owned(), |note| format!("`{note}`"));
        let (now, before) = (said(&execution.notes), said(&undisturbed.notes));
        execution.failure =
            Some(format!("the restart is visible: note {} is {now}, undisturbed {before}", i + 1));
    }
}

fn failure(schedule: Schedule, before: String, message: String) -> Failure {
    Failure { schedule, message, before, count: 1, turns: String::new() }
}

/// Adds a failure, or counts it if one of its kind is known.
fn add(found: &mut Vec<Failure>, new: Failure) {
    let kind = |failure: &Failure| -> Vec<String> {
        failure.schedule.0.iter().map(|injection| injection.disturbance.describe()).collect()
    };
    let same = |known: &&mut Failure| {
        known.message == new.message && known.before == new.before && kind(known) == kind(&new)
    };
    match found.iter_mut().find(same) {
        Some(known) => known.count += 1,
        None => found.push(new),
    }
}

/// A small generator (xorshift64*): the sample must be the same everywhere, and needs no quality.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % limit.max(1)
    }
}

/// A line on the terminal, once an exploration has taken longer than a second.
struct Progress {
    began: Instant,
    shown: Mutex<Option<Instant>>,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { began: Instant::now(), shown: Mutex::new(None), terminal: std::io::stderr().is_terminal() }
    }

    fn step(&self, done: usize, all: usize) {
        if !self.terminal || self.began.elapsed() < Duration::from_secs(1) {
            return;
        }
        let Ok(mut shown) = self.shown.try_lock() else { return };
        if shown.is_none_or(|shown| shown.elapsed() > Duration::from_millis(100)) {
            *shown = Some(Instant::now());
            let _ = write!(std::io::stderr(), "\r\x1b[Kexplore: {done} of {all} schedules …");
        }
    }

    fn end(&self) {
        if self.shown.lock().is_ok_and(|shown| shown.is_some()) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl fmt::Debug for Explore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explore")
            .field("stops", &self.stops)
            .field("cancels", &self.cancels)
            .field("signals", &self.signals)
            .field("pairs", &self.pairs)
            .finish_non_exhaustive()
    }
}
