//! A loop for the tests that is nothing but a state and the events that change it, so that traces can be tested without
//! the real loop. Every method changes the state first and tells of it then, as the real one does.

use super::super::recorder::{Form, Recorder};
use crate::event_loop::Recording;
use crate::trace::*;
use std::io::{self, Write};
use std::panic::Location;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A file in memory.
#[derive(Clone, Default)]
pub(super) struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// A recorder that writes on it.
    pub(super) fn recorder(&self, form: Form, snapshots: bool) -> Arc<Recorder> {
        Arc::new(Recorder::new("paper".to_owned(), Box::new(self.clone()), form, snapshots, None))
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) struct FakeLoop {
    recording: Recording,
    pub(super) state: Snapshot,
    pub(super) now: Instant,
    virtual_time: bool,
    pub(super) qs: u64,
    pub(super) hs: u64,
    /// Tasks and futures share one count.
    pub(super) ids: u64,
    pub(super) running: Option<u64>,
}

impl FakeLoop {
    pub(super) fn new(recording: Recording, virtual_time: bool) -> Self {
        Self::at(recording, virtual_time, Instant::now())
    }

    pub(super) fn at(recording: Recording, virtual_time: bool, now: Instant) -> Self {
        let state = Snapshot::default();
        let mut lp = Self { recording, state, now, virtual_time, qs: 0, hs: 0, ids: 0, running: None };
        lp.tell(Event::Loop(Life::New));
        lp
    }

    pub(super) fn tell(&mut self, event: Event<'_>) {
        let Self { now: time, virtual_time, .. } = *self;
        let snapshot = &|| self.state.clone();
        (self.recording)(&Record { event, loop_number: 1, time, virtual_time, observed: false, snapshot });
    }

    pub(super) fn advance(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    pub(super) fn begin_run(&mut self) {
        self.state.running = true;
        self.tell(Event::Loop(Life::Run));
    }

    pub(super) fn end_run(&mut self) {
        self.state.stopping = false;
        self.tell(Event::Unstop);
        self.state.running = false;
        self.state.batch_left = 0;
        self.tell(Event::Loop(Life::End));
    }

    pub(super) fn close(&mut self) {
        let Snapshot { turn, stopping, .. } = self.state;
        self.state = Snapshot { turn, stopping, closed: true, ..Snapshot::default() };
        self.tell(Event::Loop(Life::Closed));
    }

    pub(super) fn stop(&mut self) {
        self.state.stopping = true;
        self.tell(Event::Stop { by: self.running });
    }

    /// Appends an entry with a handle of its own.
    #[track_caller]
    pub(super) fn push(&mut self, via: Via, kind: EntryKind, label: &str, task: Option<u64>) -> u64 {
        self.hs += 1;
        self.push_handle(self.hs, via, kind, label, task, false, Some(Location::caller()));
        self.hs
    }

    #[allow(clippy::too_many_arguments, reason = "a test's own")]
    pub(super) fn push_handle(
        &mut self,
        h: u64,
        via: Via,
        kind: EntryKind,
        label: &str,
        task: Option<u64>,
        cancelled: bool,
        place: Option<Place>,
    ) {
        self.qs += 1;
        let (q, label) = (self.qs, label.to_owned());
        if matches!(kind, EntryKind::Step | EntryKind::Wakeup) {
            self.set_task(task.unwrap(), TaskState::Queued);
        }
        self.state.ready.push(ReadyEntry { q, h, kind, label: label.clone(), task, cancelled, place });
        let thread = (via == Via::Threadsafe).then_some("helper");
        let (cause, by, label) = (task.map(On::Task), self.running, label.as_str());
        let (fd, signal) = (None, None);
        self.tell(Event::Push {
            q,
            h,
            via,
            kind,
            label,
            own: false,
            task,
            cause,
            by,
            thread,
            fd,
            signal,
            place,
        });
    }

    /// Appends a callback as the thread of that name does.
    pub(super) fn push_from(&mut self, thread: &str, label: &str) {
        (self.qs, self.hs) = (self.qs + 1, self.hs + 1);
        let (q, h, kind, via) = (self.qs, self.hs, EntryKind::Callback, Via::Threadsafe);
        let (task, cancelled, place, label) = (None, false, None, label.to_owned());
        self.state.ready.push(ReadyEntry { q, h, kind, label: label.clone(), task, cancelled, place });
        let (label, cause, by, thread) = (label.as_str(), None, self.running, Some(thread));
        let (fd, signal) = (None, None);
        self.tell(Event::Push {
            q,
            h,
            via,
            kind,
            label,
            own: false,
            task,
            cause,
            by,
            thread,
            fd,
            signal,
            place,
        });
    }

    #[track_caller]
    pub(super) fn call_soon(&mut self, label: &str) -> u64 {
        self.push(Via::CallSoon, EntryKind::Callback, label, None)
    }

    #[track_caller]
    pub(super) fn call_at(&mut self, when: Instant, label: &str) -> u64 {
        self.hs += 1;
        let (h, place) = (self.hs, Some(Location::caller()));
        let timer = TimerEntry { h, when, label: label.to_owned(), cancelled: false, place };
        self.state.timers.push(timer);
        self.state.timers.sort_by_key(|timer| (timer.when, timer.h));
        self.tell(Event::Timer { h, when, label, own: false, by: self.running, task: None, place });
        h
    }

    pub(super) fn cancel(&mut self, h: u64) {
        let by = self.running;
        if let Some(timer) = self.state.timers.iter_mut().find(|timer| timer.h == h) {
            timer.cancelled = true;
            self.tell(Event::TimerCancelled { h, by });
        } else {
            self.state.ready.iter_mut().filter(|entry| entry.h == h).for_each(|entry| entry.cancelled = true);
            self.tell(Event::Cancelled { h, by });
        }
    }

    pub(super) fn create_task(&mut self, name: &str) -> u64 {
        self.ids += 1;
        let (id, place) = (self.ids, Some(Location::caller()));
        self.state.tasks.push(TaskEntry { id, name: name.to_owned(), state: TaskState::Queued, place });
        self.tell(Event::Task { task: id, name, body: "body", parent: None, by: self.running, place });
        self.push(Via::CallSoon, EntryKind::Step, name, Some(id));
        id
    }

    pub(super) fn set_task(&mut self, id: u64, state: TaskState) {
        self.state.tasks.iter_mut().find(|task| task.id == id).unwrap().state = state;
    }

    /// Steps 1 to 5 of a turn: everything before the batch. `fds` are what the poll finds.
    pub(super) fn begin_turn(&mut self, fds: &[(i32, Ready)]) {
        self.state.turn += 1;
        self.tell(Event::Turn { n: self.state.turn });
        let mut dropped = Vec::new();
        while self.state.timers.first().is_some_and(|timer| timer.cancelled) {
            dropped.push(self.state.timers.remove(0).h);
        }
        if !dropped.is_empty() {
            self.tell(Event::TimersDropped { handles: &dropped });
        }
        self.poll(fds);
        while self.state.timers.first().is_some_and(|timer| timer.when <= self.now) {
            let TimerEntry { h, when, label, cancelled, place } = self.state.timers.remove(0);
            self.qs += 1;
            let (q, kind) = (self.qs, EntryKind::Callback);
            self.state.ready.push(ReadyEntry { q, h, kind, label, task: None, cancelled, place });
            self.tell(Event::Due { q, h, late: self.now - when });
        }
        let n = self.state.ready.len();
        self.state.batch_left = n;
        self.tell(Event::Batch { n });
    }

    /// Virtual time: the poll sleeps as long as it said.
    fn poll(&mut self, fds: &[(i32, Ready)]) {
        let first =
            self.state.timers.first().map(|timer| (timer.when.saturating_duration_since(self.now), timer.h));
        let (timeout, why, handle) = match first {
            _ if !self.state.ready.is_empty() => (Some(Duration::ZERO), Why::Ready, None),
            _ if self.state.stopping => (Some(Duration::ZERO), Why::Stopping, None),
            Some((after, h)) => (Some(after), Why::Timer, Some(h)),
            None => (None, Why::Idle, None),
        };
        self.tell(Event::Select { timeout, why, handle });
        if fds.is_empty() {
            self.now += timeout.unwrap_or_default();
        }
        self.tell(Event::Polled { events: fds, wake: None });
        for (fd, _) in fds {
            let entry = *self.state.io.iter().find(|entry| entry.fd == *fd).unwrap();
            let h = entry.reader.or(entry.writer).unwrap();
            self.push_handle(h, Via::Io, EntryKind::Io, "on_io", None, false, None);
        }
    }

    /// Step 6: takes the next entry of the batch and lets `body` be what it does; false when the batch is over.
    pub(super) fn run_next(&mut self, body: impl FnOnce(&mut Self, &ReadyEntry)) -> bool {
        if self.state.batch_left == 0 {
            return false;
        }
        self.state.batch_left -= 1;
        let entry = self.state.ready.remove(0);
        let ReadyEntry { q, h, .. } = entry;
        if entry.cancelled {
            self.tell(Event::Skip { q, h });
            return true;
        }
        self.running = Some(q);
        self.tell(Event::Run { q, h });
        body(self, &entry);
        self.tell(Event::Returned { q, error: None });
        self.running = None;
        true
    }

    pub(super) fn register(&mut self, fd: i32, direction: Direction) {
        self.hs += 1;
        let h = self.hs;
        if self.state.io.iter().all(|entry| entry.fd != fd) {
            self.state.io.push(IoEntry { fd, reader: None, writer: None });
            self.state.io.sort_by_key(|entry| entry.fd);
        }
        *self.slot(fd, direction) = Some(h);
        self.tell(Event::Registered { fd, direction, h, label: "on_io", by: self.running });
    }

    pub(super) fn unregister(&mut self, fd: i32, direction: Direction) {
        *self.slot(fd, direction) = None;
        self.state.io.retain(|entry| entry.reader.is_some() || entry.writer.is_some());
        self.tell(Event::Unregistered { fd, direction, by: self.running });
    }

    pub(super) fn slot(&mut self, fd: i32, direction: Direction) -> &mut Option<u64> {
        let entry = self.state.io.iter_mut().find(|entry| entry.fd == fd).unwrap();
        if direction == Direction::Read { &mut entry.reader } else { &mut entry.writer }
    }
}
