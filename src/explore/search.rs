//! The search: which schedules are run, on which threads, and which failures are the same.
//!
//! What is found does not depend on the number of threads. What is left out is counted.

use super::execution::{Execution, Plan};
use super::report::{Failure, Report, SHOWN};
use super::schedule::{Injection, Schedule};
use super::script::Recorded;
use super::targets::Targets;
use crate::environment;
use crate::error::{Error, Result};
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
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
            let targets = Targets::new(&self.plan.kinds);
            targets.look(&undisturbed.visits);
            report.failures = self.search_all(&undisturbed, &targets, &mut report);
            // A failure is reported first: what comes after it may have hidden the target.
            if report.failures.is_empty() {
                targets.check()?;
            }
        }
        report.took = began.elapsed();
        Ok(report)
    }

    /// Runs all single disturbances, and then the pairs of those that did not fail by themselves.
    fn search_all(&self, undisturbed: &Execution, targets: &Targets, report: &mut Report) -> Vec<Failure> {
        let progress = Progress::new();
        let mut singles = self.schedules_after(&Schedule::default(), undisturbed);
        let mut sample = self.sample(singles.len() as u64, report);
        singles.retain(|_| sample.keeps());
        progress.more(singles.len() as u64);
        let run_single = |i: usize| {
            let (schedule, before) = &singles[i];
            let recorded = if self.pairs { Recorded::Visits } else { Recorded::Failure };
            let execution = self.run_compared(schedule, recorded, undisturbed, &progress);
            targets.look(&execution.visits);
            // What fails by itself says nothing new in a pair.
            let pairs = if execution.failure.is_none() { self.count_after(&execution) } else { 0 };
            (execution.failure.map(|message| failure(schedule.clone(), before.clone(), message)), pairs)
        };
        let (failures, pairs): (Vec<_>, Vec<_>) =
            self.in_parallel(singles.len(), run_single).into_iter().unzip();
        let mut found = Vec::new();
        failures.into_iter().flatten().for_each(|failure| add(&mut found, failure));
        if self.pairs {
            let failures = self.search_pairs(&singles, &pairs, undisturbed, report, &progress);
            failures.into_iter().for_each(|failure| add(&mut found, failure));
        }
        progress.end();
        for failure in found.iter_mut().take(SHOWN) {
            failure.turns = self.execute(&failure.schedule, Recorded::Table).table;
        }
        found
    }

    /// Runs each single disturbance with each that can come after it: `pairs` says how many these are.
    ///
    /// The pairs of one single are listed when their turn comes. Alternative: list all pairs first. Problem: the memory grows
    /// with their number, which is the square of the program's length.
    fn search_pairs(
        &self,
        singles: &[(Schedule, String)],
        pairs: &[u64],
        undisturbed: &Execution,
        report: &mut Report,
        progress: &Progress,
    ) -> Vec<Failure> {
        let mut sample = self.sample(pairs.iter().sum(), report);
        progress.more(sample.wanted);
        let part = |count: &u64| {
            let own = sample.clone();
            for _ in 0..*count {
                sample.keeps();
            }
            (own, sample.wanted)
        };
        let parts: Vec<(Sample, u64)> = pairs.iter().map(part).collect();
        let run_pairs = |i: usize| {
            let ((mut sample, wanted_after), mut found) = (parts[i].clone(), Vec::new());
            if sample.wanted == wanted_after {
                return found;
            }
            let (single, before) = &singles[i];
            let all = self.schedules_after(single, &self.execute(single, Recorded::Visits));
            let (counted, now) = (pairs[i], all.len() as u64);
            if counted != now {
                let message = format!(
                    "the program is not deterministic after this: {counted} schedules could come next, and then {now}"
                );
                return vec![failure(single.clone(), before.clone(), message)];
            }
            for (schedule, before) in all {
                if sample.keeps() {
                    let second = self.run_compared(&schedule, Recorded::Failure, undisturbed, progress);
                    if let Some(message) = second.failure {
                        add(&mut found, failure(schedule, before, message));
                    }
                }
            }
            found
        };
        self.in_parallel(singles.len(), run_pairs).into_iter().flatten().collect()
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

    /// Returns how many schedules add one disturbance to the execution's own.
    fn count_after(&self, execution: &Execution) -> u64 {
        execution.visits.iter().map(|visit| self.plan.kinds.at(visit).len() as u64).sum()
    }

    /// Returns the choice among this number of schedules that keeps to the limit, and reports what it leaves out.
    fn sample(&self, schedules: u64, report: &mut Report) -> Sample {
        let wanted = schedules.min(self.at_most.saturating_sub(report.schedules));
        report.schedules += wanted;
        if wanted < schedules {
            report.left_out += schedules - wanted;
            report.seed = Some(self.seed);
        }
        Sample { random: Random(self.seed), wanted, left: schedules }
    }

    fn run_compared(
        &self,
        schedule: &Schedule,
        recorded: Recorded,
        undisturbed: &Execution,
        progress: &Progress,
    ) -> Execution {
        let mut execution = self.execute(schedule, recorded);
        compare(schedule, &mut execution, undisturbed);
        progress.step(&execution);
        execution
    }

    /// Does the work for each number below `count`, on several threads. Returns the results in the order of the numbers.
    fn in_parallel<T: Send>(&self, count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(count)));
        thread::scope(|scope| {
            for _ in 0..self.threads.min(count) {
                scope.spawn(|| {
                    let numbers =
                        std::iter::from_fn(|| Some(next.fetch_add(1, Relaxed)).filter(|i| *i < count));
                    let mut own: Vec<(usize, T)> = numbers.map(|i| (i, work(i))).collect();
                    done.lock().expect("no panic").append(&mut own);
                });
            }
        });
        let mut done = done.into_inner().expect("no panic");
        done.sort_by_key(|(i, _)| *i);
        done.into_iter().map(|(_, result)| result).collect()
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

/// Adds a failure, or counts it with the known one of its kind.
fn add(found: &mut Vec<Failure>, new: Failure) {
    let kind = |failure: &Failure| -> Vec<String> {
        failure.schedule.0.iter().map(|injection| injection.disturbance.describe()).collect()
    };
    let same = |known: &&mut Failure| {
        known.message == new.message && known.before == new.before && kind(known) == kind(&new)
    };
    match found.iter_mut().find(same) {
        Some(known) => known.count += new.count,
        None => found.push(new),
    }
}

/// A random choice of some schedules among those that are left. Each is kept with the chance that fills what is still wanted
/// (Knuth's algorithm S).
#[derive(Clone)]
struct Sample {
    random: Random,
    wanted: u64,
    left: u64,
}

impl Sample {
    /// Decides about the next schedule.
    fn keeps(&mut self) -> bool {
        let kept = self.random.below(self.left) < self.wanted;
        self.wanted -= u64::from(kept);
        self.left -= 1;
        kept
    }
}

/// A small generator (xorshift64*): the sample must be the same everywhere, and needs no quality.
#[derive(Clone)]
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
    all: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
}

impl Progress {
    fn new() -> Self {
        let (all, done, failed) = Default::default();
        let terminal = std::io::stderr().is_terminal();
        Self { began: Instant::now(), shown: Mutex::new(None), terminal, all, done, failed }
    }

    /// Adds this number to the schedules that will be run.
    fn more(&self, schedules: u64) {
        self.all.fetch_add(schedules, Relaxed);
    }

    fn step(&self, execution: &Execution) {
        let done = self.done.fetch_add(1, Relaxed) + 1;
        self.failed.fetch_add(u64::from(execution.failure.is_some()), Relaxed);
        if !self.terminal || self.began.elapsed() < Duration::from_secs(1) {
            return;
        }
        let Ok(mut shown) = self.shown.try_lock() else { return };
        if shown.is_none_or(|shown| shown.elapsed() > Duration::from_millis(100)) {
            *shown = Some(Instant::now());
            let (all, failed) = (self.all.load(Relaxed), self.failed.load(Relaxed));
            let rate = done as f64 / self.began.elapsed().as_secs_f64();
            let line = format!("explore: {done} of {all} schedules, {rate:.0} a second, {failed} failed …");
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        }
    }

    fn end(&self) {
        if self.shown.lock().is_ok_and(|shown| shown.is_some()) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
