//! The observer of one run: what it still has to do to the program, and what it has seen.
//!
//! It acts at the announcement of a turn, which comes before the poll. It also acts at the announcement of an
//! entry, which has left the queue and has not run. There it also records what a later schedule could disturb.

use super::disturbance::{Disturbance, Kinds, Point, Subject, Visit, VisitedPeer};
use super::schedule::{Injection, Schedule};
use crate::error::catch;
use crate::event_loop::{EventLoop, get_running_loop};
use crate::observe::names::stable;
use crate::threads::run_in_executor::SHUTDOWN;
use crate::trace::{Event, Log, Place, Record};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// The entries of how many turns are named if a run does not end.
const REPEATED: u64 = 10;
/// How many of these entries are named.
const NAMED: usize = 10;

/// How much of a run is recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    /// Only whether it fails.
    Failure,
    /// Also the points at which another disturbance could come.
    Visits,
    /// Also all that happened, to be compared.
    Story,
    /// What ran, to be shown.
    Table,
}

/// What one run gets, and what it has shown so far.
pub(super) struct Script {
    kinds: Arc<Kinds>,
    injections: RefCell<Vec<Injection>>,
    /// The disturbances that found nothing to disturb.
    missed: RefCell<Vec<Injection>>,
    /// A tie that the next poll decides, and its point.
    tie: Cell<Option<(usize, Point)>>,
    /// With what text the observer itself panicked first.
    panicked: RefCell<Option<String>>,
    pub(super) most_turns: u64,
    recorded: Recorded,
    turn: Cell<u64>,
    entry: Cell<usize>,
    /// Whether the explorer stopped the run, and the stop has not ended it yet.
    pub(super) stopped: Cell<bool>,
    /// Whether the explorer closes the loop here.
    pub(super) dropped: Cell<bool>,
    /// Whether the program runs the loop itself, so that nothing can continue it after a stop.
    pub(super) runs_itself: Cell<bool>,
    pub(super) gave_up: Cell<bool>,
    /// Whether the main task is done: later points are not the program's.
    pub(super) over: Cell<bool>,
    began: Cell<Option<Instant>>,
    /// The names of the tasks that are not done.
    tasks: RefCell<BTreeMap<u64, String>>,
    jobs: RefCell<BTreeMap<u64, String>>,
    known_jobs: RefCell<BTreeSet<u64>>,
    signals: RefCell<Vec<i32>>,
    queued: RefCell<HashMap<u64, String>>,
    timers: RefCell<HashMap<u64, String>>,
    /// What the last turns of a run that does not end have queued.
    repeated: RefCell<BTreeSet<String>>,
    visits: RefCell<Vec<Visit>>,
    story: RefCell<Vec<String>>,
    /// What ran, what the program noted, and the disturbances among it, if it is to be shown.
    pub(super) log: Option<Log>,
}

impl Script {
    pub(super) fn new(schedule: &Schedule, kinds: Arc<Kinds>, most_turns: u64, recorded: Recorded) -> Self {
        Self {
            kinds,
            injections: RefCell::new(schedule.0.clone()),
            missed: RefCell::default(),
            tie: Cell::default(),
            panicked: RefCell::default(),
            most_turns,
            recorded,
            turn: Cell::default(),
            entry: Cell::default(),
            stopped: Cell::default(),
            dropped: Cell::default(),
            runs_itself: Cell::default(),
            gave_up: Cell::default(),
            over: Cell::default(),
            began: Cell::default(),
            tasks: RefCell::default(),
            jobs: RefCell::default(),
            known_jobs: RefCell::default(),
            signals: RefCell::default(),
            queued: RefCell::default(),
            timers: RefCell::default(),
            repeated: RefCell::default(),
            visits: RefCell::default(),
            story: RefCell::default(),
            log: (recorded == Recorded::Table).then(Log::new),
        }
    }

    pub(super) fn turns(&self) -> u64 {
        self.turn.get()
    }

    pub(super) fn take_visits(&self) -> Vec<Visit> {
        self.visits.take()
    }

    pub(super) fn take_story(&self) -> Vec<String> {
        self.story.take()
    }

    /// Takes the disturbances that found nothing to disturb, and those whose points the run did not come to.
    pub(super) fn take_left(&self) -> Schedule {
        self.end_tie(0);
        let mut left = self.missed.take();
        left.append(&mut self.injections.borrow_mut());
        Schedule(left)
    }

    /// Takes the text of the observer's own panic.
    pub(super) fn take_panic(&self) -> Option<String> {
        self.panicked.take()
    }

    /// Keeps a panic, of the program's closures for instance. The loop would only log it, and the schedule would pass.
    pub(super) fn observe(&self, record: &Record<'_>) {
        if let Err(panic) = catch(|| self.record(record)) {
            self.panicked.borrow_mut().get_or_insert(panic.to_string());
        }
    }

    fn record(&self, record: &Record<'_>) {
        // An entry runs after what disturbs it; a turn begins before.
        let runs = matches!(record.event, Event::Run { .. });
        if let Some(log) = self.log.as_ref().filter(|_| !runs) {
            log.event(&record.event);
        }
        self.follow(record);
        if let Some(log) = self.log.as_ref().filter(|_| runs) {
            log.event(&record.event);
        }
    }

    fn follow(&self, record: &Record<'_>) {
        match record.event {
            Event::Turn { n } => {
                self.turn.set(n);
                self.entry.set(0);
                if n > self.most_turns && !self.over.get() {
                    self.gave_up.set(true);
                    self.on_loop(EventLoop::stop);
                    return;
                }
                self.tell(|| format!("turn {n} at {:?}", self.time_of(record)));
                self.arrive(String::new());
            }
            Event::Run { q, .. } => {
                self.entry.set(self.entry.get() + 1);
                let entry = self.queued.borrow_mut().remove(&q).unwrap_or_default();
                self.tell(|| format!("turn {}, entry {}: {entry}", self.turn.get(), self.entry.get()));
                self.arrive(entry);
            }
            Event::Skip { q, .. } => drop(self.queued.borrow_mut().remove(&q)),
            Event::Task { task, name, .. } => {
                drop(self.tasks.borrow_mut().insert(task, stable(name)));
            }
            Event::TaskDone { task, .. } => drop(self.tasks.borrow_mut().remove(&task)),
            Event::SignalRegistered { signal, .. } => self.signals.borrow_mut().push(signal),
            Event::SignalUnregistered { signal, .. } => {
                self.signals.borrow_mut().retain(|other| *other != signal)
            }
            Event::Polled { events, .. } => self.polled(events.len()),
            Event::Push { label, place, .. } | Event::Timer { label, place, .. } if self.nearly_gave_up() => {
                self.repeat(named(label, place));
            }
            _ if self.records_visits() => self.learn(&record.event),
            _ => {}
        }
    }

    /// Learns what only visits and the story need.
    fn learn(&self, event: &Event<'_>) {
        match *event {
            Event::Push { q, label, place, .. } => {
                drop(self.queued.borrow_mut().insert(q, named(label, place)))
            }
            Event::Timer { h, label, place, .. } => {
                drop(self.timers.borrow_mut().insert(h, named(label, place)))
            }
            Event::Due { q, h, .. } => {
                let timer = self.timers.borrow_mut().remove(&h).unwrap_or_default();
                self.queued.borrow_mut().insert(q, timer);
            }
            Event::Job { job, label, .. } if label != SHUTDOWN => {
                drop(self.jobs.borrow_mut().insert(job, label.to_owned()))
            }
            Event::JobEnds { job, .. } => drop(self.jobs.borrow_mut().remove(&job)),
            _ => {}
        }
    }

    /// A tie is missed if too few descriptors are ready at its poll, or if there is no poll.
    fn end_tie(&self, found: usize) {
        if let Some((place, point)) = self.tie.take().filter(|(place, _)| *place >= found) {
            self.missed.borrow_mut().push(Injection { point, disturbance: Disturbance::Tie(place) });
        }
    }

    /// Learns how many descriptors this poll found ready.
    fn polled(&self, found: usize) {
        self.end_tie(found);
        self.tell(|| format!("ready descriptors in turn {}: {found}", self.turn.get()));
        let here = Point { turn: self.turn.get(), entry: 0 };
        if let Some(visit) = self.visits.borrow_mut().last_mut().filter(|visit| visit.point == here) {
            visit.found = found;
        }
    }

    /// Does what the schedule has for this point, and records the point after all of it is done.
    fn arrive(&self, entry: String) {
        let point = Point { turn: self.turn.get(), entry: self.entry.get() };
        loop {
            let next = self.injections.borrow().first().filter(|next| next.point == point).cloned();
            let Some(next) = next else { break };
            self.injections.borrow_mut().remove(0);
            if !self.disturb(&next.disturbance, point) {
                self.missed.borrow_mut().push(next);
            }
        }
        if self.records_visits() && self.injections.borrow().is_empty() && !self.over.get() {
            let visit = self.visit(point, entry);
            self.visits.borrow_mut().push(visit);
        }
    }

    fn visit(&self, point: Point, entry: String) -> Visit {
        let subject = |(id, name): (&u64, &String)| Subject { id: *id, name: name.clone() };
        let mut jobs: Vec<_> = self.jobs.borrow().iter().map(subject).collect();
        // A job that has run is listed by the loop until its result is set.
        self.on_loop(|lp| jobs.retain(|job| lp.0.explored.has(job.id)));
        let mut known = self.known_jobs.borrow_mut();
        Visit {
            point,
            entry,
            continues: !self.runs_itself.get(),
            tasks: self.tasks.borrow().iter().map(subject).collect(),
            waiting: self.visit_waiting(),
            signals: self.signals.borrow().clone(),
            new_jobs: jobs.iter().filter(|job| known.insert(job.id)).cloned().collect(),
            jobs,
            found: 0,
            peers: self.visit_peers(),
        }
    }

    fn visit_waiting(&self) -> Vec<Subject> {
        if self.kinds.errors.is_empty() {
            return Vec::new();
        }
        let tasks = self.on_loop(EventLoop::all_tasks).unwrap_or_default();
        let waiting = tasks.iter().filter(|task| task.is_suspended());
        waiting.map(|task| Subject { id: task.id(), name: stable(&task.name()) }).collect()
    }

    fn visit_peers(&self) -> Vec<VisitedPeer> {
        if self.kinds.peers.is_empty() {
            return Vec::new();
        }
        let mut visits = self.visits.borrow_mut();
        let before = visits.last_mut().map(|visit| &mut visit.peers[..]).unwrap_or_default();
        self.on_loop(|lp| VisitedPeer::all(lp, before)).unwrap_or_default()
    }

    /// Returns false if there was nothing to disturb.
    fn disturb(&self, disturbance: &Disturbance, point: Point) -> bool {
        let what = disturbance.describe();
        if let Some(log) = &self.log {
            log.mark(format!("✂ {what}"));
        }
        match disturbance {
            Disturbance::Stop => self.stopped.set(true),
            Disturbance::Drop => self.dropped.set(true),
            Disturbance::Late(job) => _ = self.known_jobs.borrow_mut().insert(job.id),
            Disturbance::Tie(place) => self.tie.set(Some((*place, point))),
            _ => {}
        }
        let acted = self.on_loop(|lp| {
            lp.0.disturbed(&what);
            let acted = self.kinds.act(disturbance, lp, point);
            self.learn_names(lp);
            acted
        });
        acted.unwrap_or_default()
    }

    /// Learns the names of what a disturbance has queued: an observer is not called for what it does itself.
    fn learn_names(&self, lp: &EventLoop) {
        if self.recorded == Recorded::Failure {
            return;
        }
        let state = lp.snapshot();
        let mut queued = self.queued.borrow_mut();
        for entry in &state.ready {
            queued.entry(entry.q).or_insert_with(|| named(&entry.label, entry.place));
        }
        let running: BTreeSet<u64> = state.jobs.iter().map(|job| job.id).collect();
        self.jobs.borrow_mut().retain(|job, _| running.contains(job));
        if let Some(log) = &self.log {
            log.learn(&state);
        }
    }

    /// The observer is called for events of a run only, but for the loop's last ones.
    fn on_loop<R>(&self, act: impl FnOnce(&EventLoop) -> R) -> Option<R> {
        get_running_loop().ok().map(|lp| act(&lp))
    }

    fn records_visits(&self) -> bool {
        matches!(self.recorded, Recorded::Visits | Recorded::Story)
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.recorded == Recorded::Story {
            self.story.borrow_mut().push(what());
        }
    }

    /// Returns the loop's time since its first turn.
    fn time_of(&self, record: &Record<'_>) -> std::time::Duration {
        let began = self.began.get().unwrap_or(record.time);
        self.began.set(Some(began));
        record.time - began
    }

    fn nearly_gave_up(&self) -> bool {
        self.turn.get() + REPEATED > self.most_turns
    }

    fn repeat(&self, entry: String) {
        let mut repeated = self.repeated.borrow_mut();
        if repeated.len() < NAMED {
            repeated.insert(entry);
        }
    }

    /// Names what a run that does not end does again and again, and the tasks that are not done.
    pub(super) fn why_endless(&self) -> String {
        let tasks: Vec<_> = self.tasks.borrow().values().cloned().collect();
        let repeated: Vec<_> = self.repeated.take().into_iter().collect();
        let (tasks, repeated) = (tasks.join(", "), repeated.join(", "));
        format!(
            "does not end within {} turns; not done: {tasks}; again and again: {repeated}",
            self.most_turns
        )
    }
}

/// Names an entry, a task or a timer, with the place where it was made.
pub(super) fn named(label: &str, place: Option<Place>) -> String {
    let label = stable(label);
    match place {
        Some(place) => format!("{label} ({}:{})", place.file(), place.line()),
        None => label,
    }
}
