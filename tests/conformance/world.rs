//! The Rust side of the conformance language: everything but the bodies of tasks, which are in `body`.
//!
//! It writes what `conformance.py` writes, line for line; whoever changes one changes the other.

use crate::body::{oks, values};
use crate::errors::{make_error, show};
use looplab::{
    CallbackId, Clock, Error, EventLoop, ExceptionContext, Future, Gather, GatherAll, Handle, Result, Task,
    TimerHandle, all_tasks, current_task, gather,
};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
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

enum AnyHandle {
    Soon(Handle),
    Timer(TimerHandle),
}

/// One program under way.
pub(crate) struct World {
    program: Value,
    pub(crate) lp: EventLoop,
    other: EventLoop,
    base: Instant,
    log: RefCell<Vec<String>>,
    late: Rc<RefCell<Vec<String>>>,
    tasks: RefCell<HashMap<String, Task<String>>>,
    futures: RefCell<HashMap<String, Future<String>>>,
    handles: RefCell<HashMap<String, AnyHandle>>,
    registered: RefCell<HashMap<String, (Awaited, CallbackId)>>,
    pub(crate) gathers: RefCell<HashMap<String, Gathered>>,
    graveyard: RefCell<Vec<Awaited>>,
    names: RefCell<HashMap<(bool, u64), String>>,
    spent: RefCell<HashMap<String, u32>>,
}

/// Runs a program on looplab.
pub(crate) fn run(program: &Value) -> Output {
    let new = || EventLoop::builder().clock(Clock::virtual_time()).build().expect("a loop");
    let (lp, other) = (new(), new());
    let world = Rc::new(World {
        program: program.clone(),
        base: lp.time(),
        lp,
        other,
        log: RefCell::default(),
        late: Rc::default(),
        tasks: RefCell::default(),
        futures: RefCell::default(),
        handles: RefCell::default(),
        registered: RefCell::default(),
        gathers: RefCell::default(),
        graveyard: RefCell::default(),
        names: RefCell::default(),
        spent: RefCell::default(),
    });
    for lp in [&world.lp, &world.other] {
        let reporter = world.clone();
        let report = move |lp: &EventLoop, context: &ExceptionContext| reporter.report(lp, context);
        lp.set_exception_handler(Some(report));
    }
    for op in list(&world.program["script"]) {
        let _ = world.plain("script", op);
    }
    for lp in [&world.lp, &world.other] {
        let _ = lp.close();
    }
    let log = world.log.take();
    // The last handles go here, and failures that nobody has read are reported.
    drop((
        world.gathers.take(),
        world.tasks.take(),
        world.futures.take(),
        world.handles.take(),
        world.registered.take(),
        world.graveyard.take(),
    ));
    for lp in [&world.lp, &world.other] {
        lp.set_exception_handler(None::<fn(&EventLoop, &ExceptionContext)>);
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

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

impl Awaited {
    fn is_task(&self) -> bool {
        matches!(self, Self::Task(_))
    }

    fn cancel(&self, message: Option<&str>) -> bool {
        match (self, message) {
            (Self::Task(task), Some(message)) => task.cancel_msg(message),
            (Self::Task(task), None) => task.cancel(),
            (Self::Future(future), Some(message)) => future.cancel_msg(message),
            (Self::Future(future), None) => future.cancel(),
        }
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Task(a), Self::Task(b)) => a == b,
            (Self::Future(a), Self::Future(b)) => a == b,
            _ => false,
        }
    }

    fn done(&self) -> bool {
        match self {
            Self::Task(task) => task.done(),
            Self::Future(future) => future.done(),
        }
    }

    fn cancelled(&self) -> bool {
        match self {
            Self::Task(task) => task.cancelled(),
            Self::Future(future) => future.cancelled(),
        }
    }
}

impl World {
    pub(crate) fn say(&self, who: &str, what: impl std::fmt::Display) {
        let time = (self.lp.time() - self.base).as_secs();
        self.log.borrow_mut().push(format!("{}@{time} {who}: {what}", self.lp.turns()));
    }

    fn report(&self, lp: &EventLoop, context: &ExceptionContext) -> Result<()> {
        let error = context.error().map(show);
        if context.message().starts_with("Exception in callback") {
            self.say("handler", format_args!("callback failed {}", error.unwrap_or_default()));
            return self.program["handler"].as_str().map_or(Ok(()), |error| Err(make_error(error)));
        }
        let name = match (context.task(), context.future()) {
            (Some(task), _) => task.name.clone(),
            (None, Some(future)) => self
                .names
                .borrow()
                .get(&(*lp == self.other, future.id))
                .cloned()
                .unwrap_or("gather".to_owned()),
            (None, None) => "?".to_owned(),
        };
        let error = error.map_or(String::new(), |error| format!(" {error}"));
        let message = context.message().trim_start_matches("_Gathering").trim_end_matches('!');
        self.late.borrow_mut().push(format!("{name}: {message}{error}"));
        Ok(())
    }

    pub(crate) fn spend(&self, name: &str) -> bool {
        let mut spent = self.spent.borrow_mut();
        let times = spent.entry(name.to_owned()).or_default();
        *times += 1;
        *times <= BUDGET
    }

    pub(crate) fn body_ops(&self, body: &str) -> Vec<Value> {
        list(&self.program["bodies"][body]).to_vec()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Awaited> {
        if name == "self" {
            return current_task().and_then(|task| task.downcast()).map(Awaited::Task);
        }
        let task = self.tasks.borrow().get(name).cloned().map(Awaited::Task);
        task.or_else(|| self.futures.borrow().get(name).cloned().map(Awaited::Future))
    }

    fn find_task(&self, name: &str) -> Option<Task<String>> {
        match self.find(name)? {
            Awaited::Task(task) => Some(task),
            Awaited::Future(_) => None,
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

    /// One operation that does not wait; its error is that of `raise`, all others are printed.
    pub(crate) fn plain(self: &Rc<Self>, who: &str, op: &Value) -> Result<()> {
        let op = list(op);
        let kind = op.first().map_or("", text);
        let arg = |n: usize| op.get(n).unwrap_or(&Value::Null);
        if kind == "raise" {
            return Err(make_error(text(arg(1))));
        }
        let outcome = match kind {
            "soon" | "later" | "at" | "threadsafe" | "drop" => self.callback_op(kind, arg),
            "forever" | "until" | "step" | "stop" | "close" | "running" | "other" => {
                self.run_op(kind, text(arg(1)))
            }
            _ => self.object_op(kind, arg),
        };
        let outcome = outcome.unwrap_or_else(|error| Some(show(&error)));
        if let Some(outcome) = outcome {
            let name = arg(1).as_str().map_or(String::new(), |name| format!(" {name}"));
            self.say(who, format_args!("{kind}{name} = {outcome}"));
        }
        Ok(())
    }

    fn callback_op<'a>(
        self: &Rc<Self>,
        kind: &str,
        arg: impl Fn(usize) -> &'a Value,
    ) -> Result<Option<String>> {
        let world = self.clone();
        let name = text(arg(if kind == "threadsafe" { 1 } else { 2 })).to_owned();
        let seconds = Duration::from_secs(arg(3).as_u64().unwrap_or(0));
        let call = move || world.fire(&name, "");
        let handle = match kind {
            "soon" => AnyHandle::Soon(self.lp.call_soon(call)?),
            "later" => AnyHandle::Timer(self.lp.call_later(seconds, call)?),
            "at" => AnyHandle::Timer(self.lp.call_at(self.base + seconds, call)?),
            "threadsafe" => {
                let lp = self.lp.clone();
                return threadsafe(&lp, call).map(|()| None);
            }
            _ => {
                return Ok(self.handles.borrow().get(text(arg(1))).map(|handle| match handle {
                    AnyHandle::Soon(handle) => {
                        let before = handle.cancelled();
                        handle.cancel();
                        format!("{before} {}", handle.cancelled())
                    }
                    AnyHandle::Timer(handle) => {
                        let before = handle.cancelled();
                        handle.cancel();
                        format!("{before} {}", handle.cancelled())
                    }
                }));
            }
        };
        let before = self.handles.borrow_mut().insert(text(arg(1)).to_owned(), handle);
        drop(before);
        Ok(None)
    }

    fn run_op(self: &Rc<Self>, kind: &str, target: &str) -> Result<Option<String>> {
        match kind {
            "stop" => {
                self.lp.stop();
                return Ok(None);
            }
            "step" => {
                self.lp.stop();
                self.lp.run_forever()?;
            }
            "other" => {
                self.other.stop();
                self.other.run_forever()?;
            }
            "forever" => self.lp.run_forever()?,
            "close" => self.lp.close()?,
            "running" => return Ok(Some(format!("{} {}", self.lp.is_running(), self.lp.is_closed()))),
            _ if target.starts_with('g') => {
                let gathered = self.gathers.borrow_mut().remove(target);
                let results = match gathered {
                    None => return Ok(None),
                    Some(Gathered::First(gathering)) => oks(self.lp.run_until_complete(gathering)?),
                    Some(Gathered::All(gathering)) => self.lp.run_until_complete(gathering)?,
                };
                return Ok(Some(values(results)));
            }
            _ if target.starts_with('b') => {
                let name: Rc<str> = format!("main/{target}").into();
                let body = crate::body::body(self.clone(), name.clone(), target.to_owned());
                return self.lp.run_until_complete(Task::builder().name(name).prepare(body)).map(Some);
            }
            _ => {
                return match self.find(target) {
                    None => Ok(None),
                    Some(Awaited::Task(task)) => self.lp.run_until_complete(&task).map(Some),
                    Some(Awaited::Future(future)) => self.lp.run_until_complete(&future).map(Some),
                };
            }
        }
        Ok(Some("ok".to_owned()))
    }

    fn object_op<'a>(
        self: &Rc<Self>,
        kind: &str,
        arg: impl Fn(usize) -> &'a Value,
    ) -> Result<Option<String>> {
        let x = text(arg(1));
        let closed = self.lp.is_closed();
        let told = match kind {
            "future" => {
                let lp = if x.starts_with('o') { &self.other } else { &self.lp };
                let future = lp.create_future();
                self.names.borrow_mut().insert((*lp == self.other, future.id()), x.to_owned());
                let before = self.futures.borrow_mut().insert(x.to_owned(), future);
                self.graveyard.borrow_mut().extend(before.map(Awaited::Future));
                None
            }
            "task" => {
                let body = crate::body::body(self.clone(), x.into(), text(arg(2)).to_owned());
                let task = Task::builder().name(x).spawn_on(&self.lp, body)?;
                let before = self.tasks.borrow_mut().insert(x.to_owned(), task);
                self.graveyard.borrow_mut().extend(before.map(Awaited::Task));
                None
            }
            "fail" if closed => None,
            "set" | "fail" => {
                let Some(future) = self.futures.borrow().get(x).cloned() else { return Ok(None) };
                let set = match kind {
                    "set" => future.set_result(text(arg(2)).to_owned()),
                    _ => future.set_error(make_error(text(arg(2)))),
                };
                // On a closed loop it is told who cannot be told; who that is differs (see `conformance.py`).
                if !matches!(set, Err(Error::Closed)) {
                    set?;
                }
                Some("ok".to_owned())
            }
            "cancel" => self
                .find(x)
                .filter(|found| !(closed && found.is_task()))
                .map(|found| found.cancel(arg(2).as_str()).to_string()),
            "uncancel" => self.find_task(x).filter(|_| !closed).map(|task| task.uncancel().to_string()),
            "cancelling" => self.find_task(x).filter(|_| !closed).map(|task| task.cancelling().to_string()),
            "done" => self.find(x).map(|found| format!("{} {}", found.done(), found.cancelled())),
            "result" | "error" => return self.read(kind, x),
            "add" | "remove" => self.done_callback(kind, x, &arg),
            "gather_new" if self.lp.is_running() => {
                let (tasks, futures) = crate::body::split(&crate::body::of_one_kind(self, arg(3)));
                let gathering = if futures.is_empty() { gather(tasks) } else { gather(futures) };
                let gathered = match text(arg(2)) {
                    "all" => Gathered::All(gathering.return_exceptions()),
                    _ => Gathered::First(gathering),
                };
                let before = self.gathers.borrow_mut().insert(x.to_owned(), gathered);
                drop(before);
                None
            }
            "gather_cancel" => {
                self.gathers.borrow().get(x).filter(|_| !closed).map(|gathered| match gathered {
                    Gathered::First(gathering) => gathering.cancel().to_string(),
                    Gathered::All(gathering) => gathering.cancel().to_string(),
                })
            }
            "gather_done" => self.gathers.borrow().get(x).map(|gathered| match gathered {
                Gathered::First(gathering) => gathering.done().to_string(),
                Gathered::All(gathering) => gathering.done().to_string(),
            }),
            "tasks" => (!closed).then(|| self.all_tasks()),
            "current" => Some(current_task().map_or("none".to_owned(), |task| task.name().to_string())),
            "log" => Some(x.to_owned()),
            _ => None,
        };
        Ok(told)
    }

    fn read(&self, kind: &str, x: &str) -> Result<Option<String>> {
        let Some(found) = self.find(x) else { return Ok(None) };
        let error = match (kind, &found) {
            ("result", Awaited::Task(task)) => return task.result().map(Some),
            ("result", Awaited::Future(future)) => return future.result().map(Some),
            (_, Awaited::Task(task)) => task.error()?,
            (_, Awaited::Future(future)) => future.error()?,
        };
        Ok(Some(error.map_or("none".to_owned(), |error| format!("some {}", show(&error)))))
    }

    fn done_callback<'a>(
        self: &Rc<Self>,
        kind: &str,
        x: &str,
        arg: impl Fn(usize) -> &'a Value,
    ) -> Option<String> {
        let found = self.find(x)?;
        if self.lp.is_closed() {
            return None;
        }
        if kind == "remove" {
            let (of, id) = self.registered.borrow().get(text(arg(2))).cloned()?;
            let removed = match &found {
                _ if !of.is(&found) => 0,
                Awaited::Task(task) => task.remove_done_callback(id),
                Awaited::Future(future) => future.remove_done_callback(id),
            };
            return Some(removed.to_string());
        }
        let (world, name, of) = (self.clone(), text(arg(2)).to_owned(), format!(" for {x}"));
        let id = match &found {
            Awaited::Task(task) => task.add_done_callback(move |_| world.fire(&name, &of)),
            Awaited::Future(future) => future.add_done_callback(move |_| world.fire(&name, &of)),
        };
        self.registered.borrow_mut().insert(text(arg(3)).to_owned(), (found, id));
        None
    }

    fn all_tasks(&self) -> String {
        let tasks = if self.lp.is_running() { all_tasks() } else { self.lp.all_tasks() };
        let mut names: Vec<_> = tasks.iter().map(|task| task.name().to_string()).collect();
        names.sort();
        names.join(" ")
    }
}

type Call = Box<dyn FnOnce() -> Result<()>>;

thread_local! {
    /// Calls from the loop's own thread. What is sent must be `Send` all the same, so a call travels by its number.
    static CALLS: RefCell<Vec<Option<Call>>> = RefCell::default();
}

fn threadsafe(lp: &EventLoop, call: impl FnOnce() -> Result<()> + 'static) -> Result<()> {
    let number = CALLS.with_borrow_mut(|calls| {
        calls.push(Some(Box::new(call)));
        calls.len() - 1
    });
    lp.remote().call_soon(move || match CALLS.with_borrow_mut(|calls| calls[number].take()) {
        Some(call) => call(),
        None => Ok(()),
    })
}
