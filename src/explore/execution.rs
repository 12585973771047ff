//! One run of the program with one schedule: what is disturbed, what is recorded, and which promises must hold.
//!
//! An observer on the run's loop finds the points and acts on them. It acts at the announcement of a turn, which comes before
//! the poll, and at the announcement of an entry, which has left the queue and has not run. It records where a later schedule
//! could act.

use super::schedule::{Disturbance, Injection, Point, Schedule};
use super::world::World;
use crate::error::{Error, Result, catch};
use crate::event_loop::{Clock, EventLoop, ExceptionContext, get_running_loop};
use crate::observe::names::stable;
use crate::trace::{Event, Log, Record};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// How many turns the loop may make after the main task's end, while anything is ready.
const LAST_TURNS: usize = 10;

/// Builds the program on a world's loop.
pub(super) type Program = dyn Fn(&World) -> Result<()> + Send + Sync;

/// What must hold, and what is excused.
#[derive(Clone, Debug)]
pub(super) struct Promises {
    pub(super) left: Vec<String>,
    pub(super) reports: Vec<String>,
    pub(super) most_turns: u64,
    /// Whether `LOOPLAB_TRACE` is obeyed.
    pub(super) traced: bool,
}

/// What one run showed.
#[derive(Debug, Default)]
pub(super) struct Execution {
    /// What was broken first, in words.
    pub(super) failure: Option<String>,
    pub(super) notes: Vec<String>,
    /// The main task's error, as text.
    pub(super) ended: Option<String>,
    /// Where a later disturbance could come, in order.
    pub(super) visits: Vec<Visit>,
    /// What ran, a line for each turn and entry: two runs of one schedule must have the same.
    pub(super) story: Vec<String>,
    pub(super) turns: u64,
    /// What ran around the disturbances, a line for each turn.
    pub(super) table: String,
    /// Whether the program runs the loop itself, so that nothing can continue it after a stop.
    pub(super) runs_itself: bool,
}

/// A point that the run came to after its last disturbance.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) point: Point,
    /// The entry that is about to run, and its place.
    pub(super) entry: String,
    /// The tasks that were not done, with their names.
    pub(super) tasks: Vec<(u64, String)>,
    /// The signals that had a handler.
    pub(super) signals: Vec<i32>,
}

/// How much of a run is recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    /// Only whether it fails.
    Failure,
    /// Also the points at which another disturbance could come.
    Visits,
    /// Also what ran, to be shown.
    Table,
}

impl Execution {
    pub(super) fn run(
        program: &Program,
        promises: &Promises,
        schedule: &Schedule,
        recorded: Recorded,
    ) -> Self {
        let script = Rc::new(Script::new(schedule, promises.most_turns, recorded));
        let mut execution = Self::default();
        execution.failure = execution.follow(program, promises, &script).err();
        execution.turns = script.turn.get();
        execution.visits = script.visits.take();
        execution.story = script.story.take();
        if let (Some(log), Some(first), Some(last)) = (&script.log, schedule.0.first(), schedule.0.last()) {
            execution.table = log.between(first.point.turn, last.point.turn);
        }
        if execution.failure.is_none() && !script.injections.borrow().is_empty() {
            let left = Schedule(script.injections.take());
            execution.failure = Some(format!("the program never came to {left}: is it the same program?"));
        }
        execution
    }

    fn follow(&mut self, program: &Program, promises: &Promises, script: &Rc<Script>) -> Result<(), String> {
        let reports: Rc<RefCell<Vec<String>>> = Rc::default();
        let lp = script
            .new_loop(&reports, promises.traced)
            .map_err(|error| format!("no loop can be made: {error}"))?;
        let world = World::new(lp.clone(), script.log.clone());
        let guards = world.guards();
        let followed = self.live(program, promises, script, &world);
        self.notes = world.take_notes();
        world.end();
        drop(world);
        let closed = lp.close();
        drop(lp);
        followed?;
        closed.map_err(|error| format!("the loop cannot be closed: {error}"))?;
        let allowed = |text: &String| promises.reports.iter().any(|part| text.contains(part));
        // The end of a task that may be left is no news.
        let news =
            |text: &&String| !allowed(text) && !text.starts_with("Task was destroyed but it is pending");
        if let Some(report) = reports.borrow().iter().find(news) {
            return Err(format!("reported to the exception handler: {report}"));
        }
        match guards.get() {
            0 => Ok(()),
            n => Err(format!("{n} guarded values are still alive when all is over")),
        }
    }

    /// From the building of the program to the last check.
    fn live(
        &mut self,
        program: &Program,
        promises: &Promises,
        script: &Script,
        world: &World,
    ) -> Result<(), String> {
        let lp = world.event_loop();
        let built = catch(|| program(world)).and_then(|built| built);
        built.map_err(|error| format!("the program cannot be built: {error}"))?;
        let ended = match (world.main_task(), world.take_runs()) {
            (Some(main), None) => loop {
                match lp.run_until_complete(&main) {
                    Err(Error::StoppedBeforeComplete) if script.stopped.take() => {}
                    ended => break ended,
                }
            },
            (None, Some(runs)) => {
                self.runs_itself = true;
                catch(|| runs(lp)).and_then(|ended| ended)
            }
            _ => return Err("the program needs world.main or world.runs, and not both".into()),
        };
        script.over.set(true);
        if script.gave_up.get() {
            return Err(format!("does not end within {} turns; {}", script.most_turns, script.repeated()));
        }
        if let Err(error @ (Error::Deadlock(_) | Error::StoppedBeforeComplete)) = &ended {
            return Err(error.to_string());
        }
        self.ended = ended.err().map(|error| error.to_string());
        for _ in 0..LAST_TURNS {
            if lp.snapshot().ready.is_empty() {
                break;
            }
            lp.run_once().map_err(|error| format!("after the main task's end: {error}"))?;
        }
        for check in world.take_checks() {
            catch(check).and_then(|checked| checked).map_err(|error| error.to_string())?;
        }
        left_over(lp, promises)
    }
}

/// Fails if the program left something on the loop.
fn left_over(lp: &EventLoop, promises: &Promises) -> Result<(), String> {
    let state = lp.snapshot();
    let tasks = state.tasks.iter().map(|task| format!("the task {}", named(&task.name, task.place)));
    let timers = state.timers.iter().filter(|timer| !timer.cancelled);
    let timers = timers.map(|timer| format!("the timer {}", named(&timer.label, timer.place)));
    let io = state.io.iter().map(|io| format!("the descriptor {}", io.fd));
    let signals = state.signals.iter().map(|signal| format!("the handler of signal {}", signal.signal));
    let jobs = state.jobs.iter().map(|job| format!("the job {}", job.label));
    let left = tasks.chain(timers).chain(io).chain(signals).chain(jobs);
    let left: Vec<_> = left.filter(|what| !promises.left.iter().any(|part| what.contains(part))).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("left behind: {}", left.join(", "))) }
}

/// The observer of one run: what it still has to do, and what it saw.
struct Script {
    injections: RefCell<Vec<Injection>>,
    most_turns: u64,
    recorded: Recorded,
    turn: Cell<u64>,
    entry: Cell<usize>,
    /// Whether the explorer stopped the run, and the stop has not ended it yet.
    stopped: Cell<bool>,
    gave_up: Cell<bool>,
    /// Whether the main task is done: later points are not the program's.
    over: Cell<bool>,
    tasks: RefCell<BTreeMap<u64, String>>,
    signals: RefCell<Vec<i32>>,
    queued: RefCell<HashMap<u64, String>>,
    timers: RefCell<HashMap<u64, String>>,
    visits: RefCell<Vec<Visit>>,
    story: RefCell<Vec<String>>,
    /// What ran, what the program noted, and the disturbances among it, if it is to be shown.
    log: Option<Log>,
}

impl Script {
    fn new(schedule: &Schedule, most_turns: u64, recorded: Recorded) -> Self {
        Self {
            injections: RefCell::new(schedule.0.clone()),
            most_turns,
            recorded,
            turn: Cell::default(),
            entry: Cell::default(),
            stopped: Cell::default(),
            gave_up: Cell::default(),
            over: Cell::default(),
            tasks: RefCell::default(),
            signals: RefCell::default(),
            queued: RefCell::default(),
            timers: RefCell::default(),
            visits: RefCell::default(),
            story: RefCell::default(),
            log: (recorded == Recorded::Table).then(Log::new),
        }
    }

    fn new_loop(self: &Rc<Self>, reports: &Rc<RefCell<Vec<String>>>, traced: bool) -> Result<EventLoop> {
        let script = self.clone();
        let builder = EventLoop::builder().clock(Clock::virtual_time());
        let builder = if traced { builder } else { builder.untraced() };
        let lp = builder.observer(move |record: &Record<'_>| script.observe(&record.event)).build()?;
        let reports = reports.clone();
        lp.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| {
            let error = context.error().map(|error| format!(": {error}")).unwrap_or_default();
            reports.borrow_mut().push(format!("{}{error}", context.message()));
        }));
        Ok(lp)
    }

    fn observe(&self, event: &Event<'_>) {
        // An entry runs after what disturbs it; a turn begins before.
        let runs = matches!(event, Event::Run { .. });
        if let Some(log) = self.log.as_ref().filter(|_| !runs) {
            log.event(event);
        }
        self.act(event);
        if let Some(log) = self.log.as_ref().filter(|_| runs) {
            log.event(event);
        }
    }

    fn act(&self, event: &Event<'_>) {
        match *event {
            Event::Turn { n } => {
                self.turn.set(n);
                self.entry.set(0);
                if n > self.most_turns && !self.over.get() {
                    self.gave_up.set(true);
                    return self.on_loop(|lp| lp.stop());
                }
                self.arrive("");
            }
            Event::Run { q, .. } => {
                self.entry.set(self.entry.get() + 1);
                let entry = self.queued.borrow_mut().remove(&q).unwrap_or_default();
                self.arrive(&entry);
            }
            Event::Skip { q, .. } => drop(self.queued.borrow_mut().remove(&q)),
            Event::Task { task, name, .. } => drop(self.tasks.borrow_mut().insert(task, stable(name))),
            Event::TaskDone { task, .. } => drop(self.tasks.borrow_mut().remove(&task)),
            Event::SignalRegistered { signal, .. } => self.signals.borrow_mut().push(signal),
            Event::SignalUnregistered { signal, .. } => {
                self.signals.borrow_mut().retain(|other| *other != signal)
            }
            _ if self.recorded != Recorded::Visits => {}
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
            _ => {}
        }
    }

    /// Does what the schedule has for this point, or records the point after all of it is done.
    fn arrive(&self, entry: &str) {
        let point = Point { turn: self.turn.get(), entry: self.entry.get() };
        loop {
            let next = self.injections.borrow().first().filter(|next| next.point == point).cloned();
            let Some(next) = next else { break };
            self.injections.borrow_mut().remove(0);
            let what = next.disturbance.describe();
            if let Some(log) = &self.log {
                log.mark(format!("✂ {what}"));
            }
            self.on_loop(|lp| {
                lp.0.disturbed(&what);
                self.disturb(lp, &next.disturbance, point);
                self.learn(lp);
            });
        }
        if self.recorded != Recorded::Visits {
            return;
        }
        self.story.borrow_mut().push(format!("{point} {entry}"));
        if self.injections.borrow().is_empty() && !self.over.get() {
            let tasks = self.tasks.borrow().iter().map(|(task, name)| (*task, name.clone())).collect();
            let signals = self.signals.borrow().clone();
            self.visits.borrow_mut().push(Visit { point, entry: entry.to_owned(), tasks, signals });
        }
    }

    fn disturb(&self, lp: &EventLoop, disturbance: &Disturbance, point: Point) {
        match disturbance {
            Disturbance::Stop => {
                self.stopped.set(true);
                lp.stop();
            }
            Disturbance::Cancel { task, .. } => {
                if let Some(task) = lp.all_tasks().iter().find(|other| other.id() == *task) {
                    task.cancel_msg(format!("explore: at {point}"));
                }
            }
            Disturbance::Signal(signal) => lp.0.deliver_signal(*signal),
        }
    }

    /// Learns the names of what the disturbance has queued: an observer is not called for what it does itself.
    fn learn(&self, lp: &EventLoop) {
        if self.recorded == Recorded::Failure {
            return;
        }
        let state = lp.snapshot();
        let mut queued = self.queued.borrow_mut();
        for entry in &state.ready {
            queued.entry(entry.q).or_insert_with(|| named(&entry.label, entry.place));
        }
        if let Some(log) = &self.log {
            log.learn(&state);
        }
    }

    /// The observer is called for events of a run only, but for the loop's last ones.
    fn on_loop(&self, act: impl FnOnce(&EventLoop)) {
        if let Ok(lp) = get_running_loop() {
            act(&lp);
        }
    }

    /// Names the entries of the last turns of a run that does not end.
    fn repeated(&self) -> String {
        let names: Vec<_> = self.tasks.borrow().values().cloned().collect();
        format!("not done: {}", names.join(", "))
    }
}

/// Names an entry, a task or a timer, with the place where it was made.
fn named(label: &str, place: Option<crate::trace::Place>) -> String {
    let label = stable(label);
    match place {
        Some(place) => format!("{label} ({}:{})", place.file(), place.line()),
        None => label,
    }
}
