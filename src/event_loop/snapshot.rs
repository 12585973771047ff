//! The loop's structures as data, and as text.

use super::Inner;
use super::callback::Callback;
use super::ready::Entry;
use crate::trace::{On, ReadyEntry, SignalEntry, Snapshot, TaskEntry, TaskState, TimerEntry, Truth, Wait};
use std::fmt;
use std::rc::Rc;
use std::time::Instant;

impl Truth for Inner {
    fn snapshot(&self) -> Snapshot {
        Snapshot {
            turn: self.turns.get(),
            running: self.running.get(),
            closed: self.closed.get(),
            stopping: self.stopping.get(),
            ready: self.ready_entries(),
            batch_left: self.batch_left(),
            timers: self.timer_entries(),
            io: self.reactor.borrow().list(),
            signals: self.signal_entries(),
            jobs: self.jobs.list(),
            tasks: self.tasks.list().iter().map(|task| task.entry()).collect(),
        }
    }
}

impl Inner {
    fn ready_entries(&self) -> Vec<ReadyEntry> {
        let entry = |(q, entry): (u64, Entry)| ReadyEntry {
            q,
            h: entry.id(),
            kind: entry.kind(),
            label: entry.label(),
            task: entry.task(),
            cancelled: entry.is_cancelled(),
            place: Some(entry.place()),
        };
        self.ready.list().into_iter().map(entry).collect()
    }

    fn timer_entries(&self) -> Vec<TimerEntry> {
        let entry = |(when, timer): (Instant, Rc<Callback>)| TimerEntry {
            h: timer.id,
            when,
            label: timer.label(),
            cancelled: timer.is_cancelled(),
            place: Some(timer.place),
        };
        self.timers.list().into_iter().map(entry).collect()
    }

    fn signal_entries(&self) -> Vec<SignalEntry> {
        let handlers = self.signal_handlers.borrow();
        let entry = |(signal, handler): (&i32, &Rc<Callback>)| SignalEntry {
            signal: *signal,
            h: handler.id,
            label: handler.label(),
        };
        handlers.iter().map(entry).collect()
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = match (self.closed, self.running) {
            (true, _) => "closed",
            (false, true) => "running",
            (false, false) => "not running",
        };
        writeln!(f, "turn {}, {running}{}", self.turn, if self.stopping { ", STOP flag set" } else { "" })?;
        write!(f, "ready   {}", Count(self.ready.len(), "nothing"))?;
        for (i, entry) in self.ready.iter().enumerate() {
            let turn = if i < self.batch_left { "this turn" } else { "next turn" };
            let skipped = if entry.cancelled { ", cancelled" } else { "" };
            write!(f, "\n  q{:<5} {} ({turn}{skipped})", entry.q, entry.label)?;
        }
        write!(f, "\ntimers  {}", Count(self.timers.len(), "none"))?;
        for timer in &self.timers {
            let cancelled = if timer.cancelled { " (cancelled)" } else { "" };
            write!(f, "\n  h{:<5} {}{cancelled}", timer.h, timer.label)?;
        }
        write!(f, "\nI/O     {}", Count(self.io.len(), "none"))?;
        for io in &self.io {
            let side = |h: Option<u64>, name| h.map(|_| name).unwrap_or_default();
            write!(f, "\n  fd{:<4} {} {}", io.fd, side(io.reader, "reader"), side(io.writer, "writer"))?;
        }
        write!(f, "\nsignals {}", Count(self.signals.len(), "none"))?;
        for signal in &self.signals {
            write!(f, "\n  {:<6} {}", signal.signal, signal.label)?;
        }
        write!(f, "\njobs    {}", Count(self.jobs.len(), "none"))?;
        for job in &self.jobs {
            let runs = if job.running { "running" } else { "queued" };
            write!(f, "\n  job{:<3} {} ({runs})", job.id, job.label)?;
        }
        write!(f, "\ntasks   {}", Count(self.tasks.len(), "none"))?;
        for task in &self.tasks {
            write!(f, "\n  {:<6} ", task.name)?;
            match &task.state {
                TaskState::Queued => f.write_str("ready")?,
                TaskState::Running => f.write_str("running")?,
                TaskState::Waiting(waits) => {
                    write!(f, "waiting for {}", describe_all(waits, &self.tasks))?;
                }
            }
        }
        Ok(())
    }
}

/// Describes what a task waits on. `tasks` are all tasks that are not done, by number.
pub(super) fn describe_all(waits: &[Wait], tasks: &[TaskEntry]) -> String {
    let list: Vec<String> = waits.iter().map(|wait| describe(wait, tasks)).collect();
    list.join(", ")
}

/// Describes one wait, such as `lock at src/main.rs:12, held by Task-3`. An awaited task comes with
/// its name.
fn describe(wait: &Wait, tasks: &[TaskEntry]) -> String {
    let name_of = |id| tasks.binary_search_by_key(&id, |task| task.id).ok().map(|i| &tasks[i].name);
    let awaited = match wait.on {
        On::Task(id) => name_of(id).map(|name| format!(" {name}")),
        On::Future(_) => None,
    };
    let place = wait.place.map(|place| format!(" at {}:{}", place.file(), place.line()));
    let holder = wait.holder.and_then(name_of).map(|name| format!(", held by {name}"));
    let [awaited, place, holder] = [awaited, place, holder].map(Option::unwrap_or_default);
    format!("{}{awaited}{place}{holder}", wait.kind)
}

struct Count(usize, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str(self.1) } else { self.0.fmt(f) }
    }
}
