//! The loop's structures as data, and as text.

use super::Inner;
use super::handle::Entry;
use crate::trace::{ReadyEntry, SignalEntry, Snapshot, TaskEntry, TaskState, TimerEntry, Truth, Wait};
use std::fmt;

impl Truth for Inner {
    fn snapshot(&self) -> Snapshot {
        Snapshot {
            turn: self.turns.get(),
            running: self.running.get(),
            closed: self.closed.get(),
            stopping: self.stopping.get(),
            ready: self.ready_entries(),
            batch_left: self.batch_left.get(),
            timers: self.timer_entries(),
            io: self.reactor.borrow().list(),
            signals: self.signal_entries(),
            jobs: self.jobs.list(),
            tasks: self.residents.list().iter().map(|resident| resident.entry()).collect(),
        }
    }
}

impl Inner {
    fn ready_entries(&self) -> Vec<ReadyEntry> {
        let entry = |(q, entry): (u64, std::rc::Rc<dyn Entry>)| {
            let about = entry.about();
            ReadyEntry {
                q,
                h: entry.id(),
                kind: about.kind,
                label: about.label,
                task: about.task,
                cancelled: entry.is_cancelled(),
                place: about.place,
            }
        };
        self.ready.list().into_iter().map(entry).collect()
    }

    fn timer_entries(&self) -> Vec<TimerEntry> {
        let entry = |(when, entry): (_, std::rc::Rc<dyn super::Timed>)| {
            let about = entry.about();
            let (h, cancelled) = (entry.id(), entry.is_cancelled());
            TimerEntry { h, when, label: about.label, cancelled, place: about.place }
        };
        self.timers.list().into_iter().map(entry).collect()
    }

    fn signal_entries(&self) -> Vec<SignalEntry> {
        let handlers = self.signal_handlers.borrow();
        let entry = |(signal, handler): (&i32, &std::rc::Rc<super::Repeating>)| SignalEntry {
            signal: *signal,
            h: handler.id(),
            label: handler.label().to_owned(),
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
                    f.write_str("waiting for ")?;
                    let list: Vec<String> = waits.iter().map(|wait| describe(wait, &self.tasks)).collect();
                    f.write_str(&list.join(", "))?;
                }
            }
        }
        Ok(())
    }
}

fn describe(wait: &Wait, tasks: &[TaskEntry]) -> String {
    let place = wait.place.map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    let holder = wait.holder.and_then(|id| tasks.iter().find(|task| task.id == id));
    let holder = holder.map(|task| format!(", held by {}", task.name)).unwrap_or_default();
    format!("{}{place}{holder}", wait.kind)
}

struct Count(usize, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str(self.1) } else { self.0.fmt(f) }
    }
}
