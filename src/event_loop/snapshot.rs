//! `snapshot`: the loop's structures as data.
//!
//! Everything is read between two transitions, so the parts agree with each other. Nothing changes,
//! and no user code runs.

use super::Inner;
use super::callback::Callback;
use super::ready::Entry;
use crate::trace::{ReadyEntry, SignalEntry, Snapshot, TimerEntry, Truth};
use std::rc::Rc;
use std::time::Instant;

impl Truth for Inner {
    fn snapshot(&self) -> Snapshot {
        Snapshot {
            time: Some(self.clock.now()),
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
        let entry = |(q, entry): (u64, Rc<dyn Entry>)| ReadyEntry {
            q,
            h: entry.handle(),
            kind: entry.kind(),
            label: entry.label(),
            task: entry.task(),
            cancelled: entry.is_cancelled(),
            place: Some(entry.place()),
        };
        self.ready.list().into_iter().map(entry).collect()
    }

    fn timer_entries(&self) -> Vec<TimerEntry> {
        let entry = |(when, timer): (Instant, Rc<dyn Callback>)| TimerEntry {
            h: timer.handle(),
            when,
            label: timer.label(),
            cancelled: timer.is_cancelled(),
            place: Some(timer.place()),
        };
        self.timers.list().into_iter().map(entry).collect()
    }

    fn signal_entries(&self) -> Vec<SignalEntry> {
        let handlers = self.signal_handlers.borrow();
        let entry = |(signal, handler): (&i32, &Rc<dyn Callback>)| SignalEntry {
            signal: *signal,
            h: handler.handle(),
            label: handler.label(),
        };
        handlers.iter().map(entry).collect()
    }
}
