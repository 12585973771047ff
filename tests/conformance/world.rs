//! The Rust side of the conformance language: one program under way, its callbacks and its runs.
//!
//! Runs are in `runs`, operations on futures and tasks in `objects`, and the bodies of tasks in `body` and `combine`. Locks
//! and queues are in `sync`, descriptors in `descriptors`, executor jobs in `gates`. They write what the Python files of the
//! same names write, line for line: change both.

use crate::descriptors::{self, End};
use crate::errors::{make_error, show};
use crate::gates::Gates;
use crate::sync::Thing;
use crate::watch::watch;
use looplab::{
    AsCompleted, Builder, CallbackId, Clock, EventLoop, ExceptionContext, Future, Gather, GatherAll, Handle,
    Result, Runner, Shield, Task, TaskGroup, Timeout, TimerHandle, current_task,
};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::{Rc, Weak};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a callback or a body does its operations; after that it only says that it runs. So every program ends.
const BUDGET: u32 = 3;

/// What a program printed: in order, and what came when its objects were dropped, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) log: Vec<String>,
    pub(crate) late: Vec<String>,
}

/// A task or a future.
#[derive(Clone)]
pub(crate) enum Awaited {
    Task(Task<String>),
    Future(Future<String>),
}

/// A gathering that is not awaited yet, in either mode.
pub(crate) enum Gathered {
    First(Gather<Vec<String>>),
    All(GatherAll<Vec<String>>),
}

pub(crate) enum AnyHandle {
    Soon(Handle),
    Timer(TimerHandle),
}

impl AnyHandle {
    pub(crate) fn cancel(&self) {
        match self {
            Self::Soon(handle) => handle.cancel(),
            Self::Timer(timer) => timer.cancel(),
        }
    }

    fn cancelled(&self) -> bool {
        match self {
            Self::Soon(handle) => handle.cancelled(),
            Self::Timer(timer) => timer.cancelled(),
        }
    }
}

/// A table of what a program has named.
pub(crate) type Named<T> = RefCell<HashMap<String, T>>;

/// One program under way.
pub(crate) struct World {
    pub(crate) program: Value,
    pub(crate) lp: EventLoop,
    pub(crate) other: EventLoop,
    /// What the loop belongs to, in programs with a runner.
    pub(crate) runner: RefCell<Option<Runner>>,
    base: Instant,
    /// How long a second of the program is. While a descriptor is registered, virtual time passes as fast as real time, so a
    /// program with descriptors has seconds that are short.
    pub(crate) second: Duration,
    log: RefCell<Vec<String>>,
    late: RefCell<Vec<String>>,
    pub(crate) tasks: Named<Task<String>>,
    pub(crate) futures: Named<Future<String>>,
    handles: Named<AnyHandle>,
    pub(crate) registered: Named<(Awaited, CallbackId)>,
    pub(crate) gathers: Named<Gathered>,
    pub(crate) shields: Named<Shield<String>>,
    pub(crate) groups: Named<TaskGroup>,
    /// Groups that were not entered yet.
    pub(crate) fresh: RefCell<HashSet<String>>,
    pub(crate) limits: Named<Timeout>,
    pub(crate) completing: Named<AsCompleted<String>>,
    pub(crate) things: Named<Thing>,
    pub(crate) bursts: RefCell<Vec<AnyHandle>>,
    pub(crate) ends: RefCell<HashMap<usize, [End; 2]>>,
    pub(crate) graveyard: RefCell<Vec<Awaited>>,
    pub(crate) names: RefCell<HashMap<(bool, u64), String>>,
    spent: Named<u32>,
    signals: RefCell<HashSet<String>>,
    pub(crate) gates: Gates,
}

/// Runs a program on looplab.
pub(crate) fn run(program: &Value) -> Output {
    run_on(program, |builder| builder)
}

/// The same on loops that are made in some way.
pub(crate) fn run_on(program: &Value, made: fn(Builder) -> Builder) -> Output {
    // Signals are the whole process's: one program at a time.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let _watched = watch(program);
    // With no logger, what a failing exception handler leaves behind would fill the screen.
    log::set_max_level(log::LevelFilter::Error);
    let world = World::new(program, made);
    for op in list(&world.program["script"]) {
        let _ = world.plain("script", op);
    }
    let _ = world.plain("script", &json!(["runner_close"]));
    for lp in [&world.lp, &world.other] {
        let _ = world.close(lp);
    }
    let log = world.log.take();
    world.forget();
    for lp in [&world.lp, &world.other] {
        lp.clear_exception_handler();
    }
    let mut late = world.late.take();
    drop(CALLS.take());
    // Every callback and every body holds the world: what still holds it was not dropped.
    let left = Rc::strong_count(&world) - 1;
    if left > 0 {
        late.push(format!("{left} callbacks or bodies are left"));
    }
    late.sort();
    Output { log, late }
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Fails if the task could not be made, as `create_task` raises in asyncio.
pub(crate) fn made<T>(task: Task<T>) -> Result<Task<T>> {
    // One that failed in its eager step was made, and its error is unread.
    match task.event_loop().is_none().then(|| task.error()).transpose()?.flatten() {
        Some(error) => Err(error),
        None => Ok(task),
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

impl World {
    fn new(program: &Value, made: fn(Builder) -> Builder) -> Rc<Self> {
        let new = || made(EventLoop::builder().clock(Clock::virtual_time()));
        Rc::new_cyclic(|weak: &Weak<Self>| {
            let parked = weak.clone();
            let hook = move || parked.upgrade().map_or((), |world| world.parked());
            let builder = new().on_park(hook);
            let (lp, runner) = if program["runner"] == true {
                let mut runner = Runner::builder().event_loop(builder).build();
                (runner.get_loop().expect("a loop"), Some(runner))
            } else {
                (builder.build().expect("a loop"), None)
            };
            let other = new().build().expect("a loop");
            for lp in [&lp, &other] {
                Self::listen(weak, lp);
            }
            Self {
                program: program.clone(),
                base: lp.time(),
                second: if descriptors::are_in(program) {
                    Duration::from_micros(1)
                } else {
                    Duration::from_secs(1)
                },
                gates: Gates::new(),
                lp,
                other,
                runner: RefCell::new(runner),
                log: RefCell::default(),
                late: RefCell::default(),
                tasks: RefCell::default(),
                futures: RefCell::default(),
                handles: RefCell::default(),
                registered: RefCell::default(),
                gathers: RefCell::default(),
                shields: RefCell::default(),
                groups: RefCell::default(),
                fresh: RefCell::default(),
                limits: RefCell::default(),
                completing: RefCell::default(),
                things: RefCell::default(),
                bursts: RefCell::default(),
                ends: RefCell::default(),
                graveyard: RefCell::default(),
                names: RefCell::default(),
                spent: RefCell::default(),
                signals: RefCell::default(),
            }
        })
    }

    fn listen(world: &Weak<Self>, lp: &EventLoop) {
        let world = world.clone();
        lp.set_exception_handler(Some(move |lp: &EventLoop, context: &ExceptionContext| {
            world.upgrade().map_or(Ok(()), |world| world.report(lp, context))
        }));
    }

    /// Closing drops the exception handler, where CPython keeps it (a row of `docs/differences.md`): it is set again.
    pub(crate) fn close(self: &Rc<Self>, lp: &EventLoop) -> Result<()> {
        lp.close()?;
        self.listen_again(lp);
        Ok(())
    }

    pub(crate) fn listen_again(self: &Rc<Self>, lp: &EventLoop) {
        Self::listen(&Rc::downgrade(self), lp);
    }

    /// Drops everything, so that failures which were not read are reported.
    fn forget(&self) {
        self.gates.open_all();
        drop((self.gathers.take(), self.shields.take(), self.groups.take(), self.limits.take()));
        drop((self.tasks.take(), self.futures.take(), self.handles.take(), self.registered.take()));
        drop((
            self.completing.take(),
            self.runner.take(),
            self.things.take(),
            self.graveyard.take(),
            self.ends.take(),
            self.bursts.take(),
        ));
    }

    /// Seconds of the program, or none.
    pub(crate) fn seconds(&self, value: &Value) -> Option<Duration> {
        value.as_u64().map(|seconds| self.second * seconds as u32)
    }

    pub(crate) fn say(&self, who: &str, what: impl std::fmt::Display) {
        let time = (self.lp.time() - self.base).as_nanos() / self.second.as_nanos();
        self.log.borrow_mut().push(format!("{}@{time} {who}: {what}", self.lp.turns()));
    }

    fn report(&self, lp: &EventLoop, context: &ExceptionContext) -> Result<()> {
        let error = context.error().map(show);
        let message = context.message();
        if message.starts_with("Exception in callback") {
            self.say("handler", format_args!("callback failed {}", error.unwrap_or_default()));
            return self.program["handler"].as_str().map_or(Ok(()), |error| Err(make_error(error)));
        }
        let task = context.task().map(|task| shown_name(&task.name));
        if message.starts_with("unhandled exception during") {
            let (task, error) = (task.unwrap_or_default(), error.unwrap_or_default());
            self.say("handler", format_args!("{task} failed in the shutdown {error}"));
            return Ok(());
        }
        let name = match (task, context.future()) {
            (Some(task), _) => task,
            _ if message.starts_with("_Gathering") => "gather".to_owned(),
            (None, Some(future)) => {
                let named = self.names.borrow().get(&(*lp == self.other, future.id)).cloned();
                named.unwrap_or("shield".to_owned())
            }
            (None, None) => "?".to_owned(),
        };
        let error = error.map_or(String::new(), |error| format!(" {error}"));
        let message = message.trim_start_matches("_Gathering").trim_end_matches('!');
        self.late.borrow_mut().push(format!("{name}: {message}{error}"));
        Ok(())
    }

    /// The loop that runs, if one does.
    pub(crate) fn here(&self) -> Option<&EventLoop> {
        [&self.other, &self.lp].into_iter().find(|lp| lp.is_running())
    }

    pub(crate) fn spend(&self, name: &str) -> bool {
        let mut spent = self.spent.borrow_mut();
        let times = spent.entry(name.to_owned()).or_default();
        *times += 1;
        *times <= BUDGET
    }

    /// Whether it has done its operations as often as it may.
    pub(crate) fn is_tired(&self, name: &str) -> bool {
        self.spent.borrow().get(name).is_some_and(|times| *times >= BUDGET)
    }

    pub(crate) fn body_ops(&self, body: &str) -> Vec<Value> {
        list(&self.program["bodies"][body]).to_vec()
    }

    /// The loop is about to sleep, because a job runs, a signal may come or a descriptor is registered. Now the job is over, one
    /// at a time. A signal or bytes that nothing sends are not waited for, a timer is.
    fn parked(&self) {
        match self.gates.open_one() {
            Some(job) => self.say(&job, "works"),
            None if self.gates.let_the_thread_end(&self.lp) => {}
            None if self.lp.next_deadline().is_some() => {}
            None => self.lp.remote().stop().unwrap_or(()),
        }
    }

    fn fire(self: &Rc<Self>, name: &str, of: &str) -> Result<()> {
        self.say(name, format_args!("runs{of}"));
        if self.spend(name) {
            for op in list(&self.program["callbacks"][name]) {
                self.plain(name, op)?;
            }
        }
        Ok(())
    }

    /// What calls the callback with this name; ` for x` is said with it.
    pub(crate) fn caller(self: &Rc<Self>, name: &str, of: String) -> impl Fn() -> Result<()> + use<> {
        let (world, name) = (self.clone(), name.to_owned());
        move || world.fire(&name, &of)
    }

    /// One operation that does not wait; only `raise` has an error for the caller; all others are printed.
    pub(crate) fn plain(self: &Rc<Self>, who: &str, op: &Value) -> Result<()> {
        let op = list(op);
        let kind = op.first().map_or("", text);
        let arg = |n: usize| op.get(n).unwrap_or(&Value::Null);
        if kind == "raise" {
            return Err(make_error(text(arg(1))));
        }
        let outcome = match kind {
            "soon" | "later" | "at" | "other_soon" | "other_later" => self.schedule(kind, arg).map(|()| None),
            "threadsafe" | "thread" => self.from_outside(kind, text(arg(1))).map(|()| None),
            "drop" => Ok(self.drop_handle(text(arg(1)))),
            "signal" | "unsignal" | "kill" => self.signal_op(kind, text(arg(1)), text(arg(2))),
            "forever" | "until" | "step" | "stop" | "close" | "running" | "other" | "other_until"
            | "runner_run" | "runner_close" => self.run_op(kind, text(arg(1))),
            _ => match self
                .sync_op(kind, arg)
                .or_else(|| self.descriptor_op(kind, arg))
                .or_else(|| self.crowd_op(kind, arg))
            {
                Some(outcome) => outcome,
                None => self.object_op(kind, arg),
            },
        };
        let outcome = outcome.unwrap_or_else(|error| Some(show(&error)));
        if let Some(outcome) = outcome {
            let name = arg(1).as_str().map_or(String::new(), |name| format!(" {name}"));
            self.say(who, format_args!("{kind}{name} = {outcome}"));
        }
        Ok(())
    }

    fn schedule<'a>(self: &Rc<Self>, kind: &str, arg: impl Fn(usize) -> &'a Value) -> Result<()> {
        let call = self.caller(text(arg(2)), String::new());
        let delay = self.seconds(arg(3)).unwrap_or_default();
        let handle = match kind {
            "soon" => AnyHandle::Soon(self.lp.call_soon(call)?),
            "later" => AnyHandle::Timer(self.lp.call_later(delay, call)?),
            "other_soon" => AnyHandle::Soon(self.other.call_soon(call)?),
            "other_later" => AnyHandle::Timer(self.other.call_later(delay, call)?),
            _ => AnyHandle::Timer(self.lp.call_at(self.base + delay, call)?),
        };
        let before = self.handles.borrow_mut().insert(text(arg(1)).to_owned(), handle);
        drop(before);
        Ok(())
    }

    fn drop_handle(&self, name: &str) -> Option<String> {
        let handles = self.handles.borrow();
        let handle = handles.get(name)?;
        let before = handle.cancelled();
        handle.cancel();
        Some(format!("{before} {}", handle.cancelled()))
    }

    /// A call through the cross-thread handle: from the loop's own thread, or from another one, which is joined.
    fn from_outside(self: &Rc<Self>, kind: &str, name: &str) -> Result<()> {
        let call = self.caller(name, String::new());
        let number = CALLS.with_borrow_mut(|calls| {
            calls.push(Some(Box::new(call)));
            calls.len() - 1
        });
        let call = move || match CALLS.with_borrow_mut(|calls| calls[number].take()) {
            Some(call) => call(),
            None => Ok(()),
        };
        let remote = self.lp.remote();
        match kind {
            "thread" => std::thread::spawn(move || remote.call_soon(call)).join().expect("it does not panic"),
            _ => remote.call_soon(call),
        }
    }

    fn signal_op(self: &Rc<Self>, kind: &str, name: &str, callback: &str) -> Result<Option<String>> {
        let signal = match name {
            "SIGUSR1" => nix::sys::signal::SIGUSR1,
            _ => nix::sys::signal::SIGUSR2,
        };
        let known = self.signals.borrow().contains(name);
        match kind {
            "signal" => {
                let call = self.caller(callback, String::new());
                self.lp.add_signal_handler(signal as i32, call)?;
                self.signals.borrow_mut().insert(name.to_owned());
            }
            "unsignal" => {
                self.signals.borrow_mut().remove(name);
                return self.lp.remove_signal_handler(signal as i32).map(|was| Some(was.to_string()));
            }
            _ if known && !self.lp.is_closed() => nix::sys::signal::raise(signal).expect("a signal"),
            _ => {}
        }
        Ok(None)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Awaited> {
        if name == "self" {
            return current_task().and_then(|task| task.downcast()).map(Awaited::Task);
        }
        let task = self.tasks.borrow().get(name).cloned().map(Awaited::Task);
        task.or_else(|| self.futures.borrow().get(name).cloned().map(Awaited::Future))
    }
}

/// The name of a task as both sides write it. Only a runner's tasks have none of the program's.
pub(crate) fn shown_name(name: &str) -> String {
    if name.starts_with("Task-") { "runner".to_owned() } else { name.to_owned() }
}

type Call = Box<dyn Fn() -> Result<()>>;

thread_local! {
    /// Calls through the cross-thread handle. What is sent must be `Send`, so a call travels by its number.
    static CALLS: RefCell<Vec<Option<Call>>> = RefCell::default();
}
