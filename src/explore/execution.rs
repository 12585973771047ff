//! One run of the program with one schedule, and the promises that must hold.

use super::disturbance::{Kinds, Visit};
use super::schedule::Schedule;
use super::script::{Recorded, Script, named};
use super::world::World;
use crate::error::{Error, Result, catch};
use crate::event_loop::{Clock, EventLoop, ExceptionContext};
use crate::observe::names::stable_text;
use crate::panics::take_destructor_panic;
use crate::trace::Record;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

#[cfg(feature = "xray")]
use crate::event_loop::Recording;

/// How many turns the loop may make after the main task's end, while anything is ready.
const LAST_TURNS: usize = 10;

/// Builds the program on a world's loop.
pub(super) type Program = dyn Fn(&World) -> Result<()> + Send + Sync;

/// The program, what it is disturbed with, what must hold, and what is excused.
pub(super) struct Plan {
    pub(super) program: Box<Program>,
    pub(super) kinds: Arc<Kinds>,
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
    /// What happened, in lines: two runs of one schedule must have the same.
    pub(super) story: Vec<String>,
    pub(super) turns: u64,
    /// What ran around the disturbances, a line for each turn.
    pub(super) table: String,
}

impl Execution {
    pub(super) fn run(plan: &Plan, schedule: &Schedule, recorded: Recorded) -> Self {
        Self::on(plan, schedule, recorded, |script| script.new_loop(plan.traced))
    }

    /// Runs the program, and records it for a page.
    #[cfg(feature = "xray")]
    pub(super) fn recorded(plan: &Plan, schedule: &Schedule, recording: Recording) -> Self {
        Self::on(plan, schedule, Recorded::Failure, |script| script.recorded_loop(recording))
    }

    fn on(
        plan: &Plan,
        schedule: &Schedule,
        recorded: Recorded,
        new_loop: impl FnOnce(&Rc<Script>) -> Result<EventLoop>,
    ) -> Self {
        let script = Rc::new(Script::new(schedule, plan.kinds.clone(), plan.most_turns, recorded));
        let mut execution = Self::default();
        drop(take_destructor_panic());
        let followed = match new_loop(&script) {
            Ok(lp) => execution.follow(plan, &script, lp),
            Err(error) => Err(format!("no loop can be made: {error}")),
        };
        let panicked = take_destructor_panic().map(|panic| format!("a destructor panicked: {panic}"));
        let observer = script.take_panic().map(|panic| format!("the explorer's observer panicked: {panic}"));
        execution.failure = observer.or(followed.err()).or(panicked).map(|failure| stable_text(&failure));
        execution.turns = script.turns();
        execution.visits = script.take_visits();
        execution.story = script.take_story();
        if let (Some(log), Some(first), Some(last)) = (&script.log, schedule.0.first(), schedule.0.last()) {
            execution.table = log.between(first.point.turn, last.point.turn);
        }
        let left = script.take_left();
        if execution.failure.is_none() && !left.0.is_empty() {
            execution.failure = Some(format!("the program never came to {left}: is it the same program?"));
        }
        execution
    }

    /// From the building of the program to the end of all that it made.
    fn follow(&mut self, plan: &Plan, script: &Rc<Script>, lp: EventLoop) -> Result<(), String> {
        let reports: Rc<RefCell<Vec<String>>> = Rc::default();
        let reporting = reports.clone();
        lp.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| {
            let error = context.error().map(|error| format!(": {error}")).unwrap_or_default();
            reporting.borrow_mut().push(format!("{}{error}", context.message()));
        }));
        let world = World::new(lp.clone(), script.log.clone());
        let guards = world.guards();
        let followed = self.live(plan, script, &world);
        self.notes = world.take_notes();
        world.end();
        drop(world);
        let closed = lp.close();
        drop(lp);
        followed?;
        closed.map_err(|error| format!("the loop cannot be closed: {error}"))?;
        // The end of a task that may be left is no news, nor is what is lost with a program that gives up.
        let excused = |text: &String| {
            script.dropped.get()
                || text.starts_with("Task was destroyed but it is pending")
                || plan.reports.iter().any(|part| text.contains(part))
        };
        if let Some(report) = reports.borrow().iter().find(|text| !excused(text)) {
            return Err(format!("reported to the exception handler: {report}"));
        }
        match guards.get() {
            0 => Ok(()),
            n => Err(format!("{n} guarded values are still alive when all is over")),
        }
    }

    /// From the building of the program to the last check.
    fn live(&mut self, plan: &Plan, script: &Script, world: &World) -> Result<(), String> {
        let lp = world.event_loop();
        let built = catch(|| (plan.program)(world)).and_then(|built| built);
        built.map_err(|error| format!("the program cannot be built: {error}"))?;
        let mut runs = world.take_runs();
        let ended = match (world.main_task(), runs.pop()) {
            (Some(main), None) => loop {
                match lp.run_until_complete(&main) {
                    Err(Error::StoppedBeforeComplete) if script.stopped.take() => {}
                    ended => break ended,
                }
            },
            (None, Some(program)) if runs.is_empty() => {
                script.runs_itself.set(true);
                catch(|| program(lp)).and_then(|ended| ended)
            }
            _ => {
                let text = "the program needs world.main, world.runs or world.runner, and only one of them";
                return Err(text.into());
            }
        };
        script.over.set(true);
        if script.gave_up.get() {
            return Err(script.why_endless());
        }
        if script.dropped.get() {
            return Ok(());
        }
        if let Err(error @ (Error::Deadlock(_) | Error::StoppedBeforeComplete)) = &ended {
            return Err(error.to_string());
        }
        self.ended = ended.err().map(|error| stable_text(&error.to_string()));
        for _ in 0..LAST_TURNS {
            if lp.next_deadline() != Some(std::time::Duration::ZERO) {
                break;
            }
            lp.run_once().map_err(|error| format!("after the main task's end: {error}"))?;
        }
        for check in world.take_checks() {
            catch(check).and_then(|checked| checked).map_err(|error| error.to_string())?;
        }
        left_over(lp, &plan.left)
    }
}

impl Script {
    /// Makes the loop of this run.
    fn new_loop(self: &Rc<Self>, traced: bool) -> Result<EventLoop> {
        let builder = EventLoop::builder();
        self.observed(if traced { builder } else { builder.untraced() })
    }

    #[cfg(feature = "xray")]
    fn recorded_loop(self: &Rc<Self>, recording: Recording) -> Result<EventLoop> {
        self.observed(EventLoop::builder().untraced().recorded(recording))
    }

    fn observed(self: &Rc<Self>, builder: crate::Builder) -> Result<EventLoop> {
        let script = self.clone();
        let builder = builder.clock(Clock::virtual_time()).explored();
        builder.observer(move |record: &Record<'_>| script.observe(record)).build()
    }
}

/// Fails if the program left something on the loop.
fn left_over(lp: &EventLoop, excused: &[String]) -> Result<(), String> {
    let state = lp.snapshot();
    let tasks = state.tasks.iter().map(|task| format!("the task {}", named(&task.name, task.place)));
    let timers = state.timers.iter().filter(|timer| !timer.cancelled);
    let timers = timers.map(|timer| format!("the timer {}", named(&timer.label, timer.place)));
    // A negative number stands for a socket in memory.
    let io = state.io.iter().map(|io| {
        if io.fd < 0 { format!("the socket {}", io.fd) } else { format!("the descriptor {}", io.fd) }
    });
    let signals = state.signals.iter().map(|signal| format!("the handler of signal {}", signal.signal));
    let jobs = state.jobs.iter().map(|job| format!("the job {}", named(&job.label, Some(job.place))));
    let left = tasks.chain(timers).chain(io).chain(signals).chain(jobs);
    let left: Vec<_> = left.filter(|what| !excused.iter().any(|part| what.contains(part))).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("left behind: {}", left.join(", "))) }
}
