//! The search: which schedules are run, on which threads, and which failures are the same.
//!
//! What is found does not depend on the number of threads. What is left out is counted.

use super::execution::{Execution, Plan};
use super::report::{Failure, Report, SHOWN};
use super::schedule::{Injection, Schedule};
use super::script::Recorded;
use crate::environment;
use crate::error::{Error, Result};
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// How many turns a program may make before it is known how many it needs.
const MANY_TURNS: u64 = 1_000_000;

/// What is explored, and how many schedules of it.
pub(super) struct Search {
    pub(super) plan: Plan,
    pub(super) pairs: bool,
    pub(super) at_most: u64,
    pub(super) seed: u64,
    pub(super) threads: usize,
}

impl Search {
    /// Explores the program, or runs the one schedule that the environment names.
    pub(super) fn run(&mut self) -> Result<Report> {
        let began = Instant::now();
        let mut report = Report {
            name: thread::current().name().filter(|name| *name != "main").map(str::to_owned),
            failures: Vec::new(),
            schedules: 0,
            left_out: 0,
            seed: None,
            took: Duration::ZERO,
            picture: None,
        };
        let undisturbed = self.undisturbed()?;
        // A disturbed program may take longer, for its cleanup and for what it tries again.
        self.plan.most_turns = 10 * undisturbed.turns + 1000;
        if let Some(named) = environment::variable("LOOPLAB_EXPLORE") {
            let schedule: Schedule = named.to_string_lossy().parse()?;
            report.schedules = 1;
            report.failures = self.repeat(schedule, &undisturbed).into_iter().collect();
        } else {
            report.failures = self.search_all(&undisturbed, &mut report);
        }
        report.took = began.elapsed();
        Ok(report)
    }

    /// Runs all single disturbances, and then the pairs of those that did not fail by themselves.
    fn search_all(&self, undisturbed: &Execution, report: &mut Report) -> Vec<Failure> {
        let progress = Progress::new();
        let singles = self.schedules_after(&Schedule::default(), undisturbed);
        let singles = self.sample(singles, self.at_most, report);
        let recorded = if self.pairs { Recorded::Visits } else { Recorded::Failure };
        let executions = self.execute_all(&singles, recorded, undisturbed, &progress);
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
            let pairs = self.sample(pairs, self.at_most.saturating_sub(report.schedules), report);
            let executions = self.execute_all(&pairs, Recorded::Failure, undisturbed, &progress);
            for ((schedule, before), execution) in pairs.iter().zip(executions) {
                if let Some(message) = execution.failure {
                    add(&mut found, failure(schedule.clone(), before.clone(), message));
                }
            }
            report.schedules += pairs.len() as u64;
        }
        progress.end();
        for failure in found.iter_mut().take(SHOWN) {
            failure.turns = self.execute(&failure.schedule, Recorded::Table).table;
        }
        found
    }

    /// Runs one schedule, with the trace that the environment asks for.
    fn repeat(&mut self, schedule: Schedule, undisturbed: &Execution) -> Option<Failure> {
        self.plan.traced = true;
        let mut execution = self.execute(&schedule, Recorded::Table);
        compare(&schedule, &mut execution, undisturbed);
        let Execution { failure: message, table: turns, .. } = execution;
        message.map(|message| Failure { turns, ..failure(schedule, String::new(), message) })
    }

    /// Runs the program undisturbed, twice.
    fn undisturbed(&mut self) -> Result<Execution> {
        self.plan.most_turns = MANY_TURNS;
        let nothing = Schedule::default();
        let first = self.execute(&nothing, Recorded::Story);
        if let Some(failure) = first.failure {
            let text = format!("the undisturbed program breaks a promise: {failure}");
            return Err(Error::Runtime(text.into()));
        }
        let second = self.execute(&nothing, Recorded::Story);
        match difference(&first, &second) {
            None => Ok(first),
            Some((one, other)) => {
                let text = format!(
                    "the program is not deterministic: two undisturbed runs differ, at `{one}` and `{other}`. The usual causes \
                     are real time, the order of a HashMap, threads outside of jobs, and sockets to another process"
                );
                Err(Error::Runtime(text.into()))
            }
        }
    }

    fn execute(&self, schedule: &Schedule, recorded: Recorded) -> Execution {
        Execution::run(&self.plan, schedule, recorded)
    }

    /// Lists the schedules that add one disturbance to `schedule`, with the entry that it comes before.
    fn schedules_after(&self, schedule: &Schedule, execution: &Execution) -> Vec<(Schedule, String)> {
        let mut all = Vec::new();
        for visit in &execution.visits {
            for disturbance in self.plan.kinds.at(visit) {
                let mut injections = schedule.0.clone();
                injections.push(Injection { point: visit.point, disturbance });
                all.push((Schedule(injections), visit.entry.clone()));
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

/// Finds where two runs of one schedule differ first.
fn difference(one: &Execution, other: &Execution) -> Option<(String, String)> {
    let ended = |execution: &Execution| vec![execution.ended.clone().unwrap_or_else(|| "success".to_owned())];
    let lists = [
        (one.story.clone(), other.story.clone()),
        (one.notes.clone(), other.notes.clone()),
        (ended(one), ended(other)),
    ];
    let (one, other, i) = lists.into_iter().find_map(|(one, other)| {
        let i = (0..one.len().max(other.len())).find(|i| one.get(*i) != other.get(*i))?;
        Some((one, other, i))
    })?;
    let said = |list: &[String]| list.get(i).cloned().unwrap_or_else(|| "nothing".to_owned());
    Some((said(&one), said(&other)))
}

/// A run that was only stopped must show what the undisturbed one showed.
fn compare(schedule: &Schedule, execution: &mut Execution, undisturbed: &Execution) {
    use super::disturbance::Disturbance::Stop;
    let stopped = schedule.0.iter().all(|injection| injection.disturbance == Stop);
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
