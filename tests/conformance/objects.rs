//! What is done to futures, tasks and combinators without waiting.

use crate::body::body;
use crate::combine::{of_one_kind, split};
use crate::errors::{make_error, show};
use crate::world::{Awaited, Gathered, World, made, shown_name, text};
use looplab::{
    Error, Executor, Result, Task, TaskFactory, TaskGroup, all_tasks, as_completed, current_task, gather,
    shield,
};
use serde_json::Value;
use std::rc::Rc;

impl Awaited {
    pub(crate) fn is_task(&self) -> bool {
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

    fn state(&self) -> String {
        match self {
            Self::Task(task) => format!("{} {}", task.done(), task.cancelled()),
            Self::Future(future) => format!("{} {}", future.done(), future.cancelled()),
        }
    }
}

impl World {
    pub(crate) fn object_op<'a>(
        self: &Rc<Self>,
        kind: &str,
        arg: impl Fn(usize) -> &'a Value,
    ) -> Result<Option<String>> {
        let x = text(arg(1));
        let closed = self.lp.is_closed();
        let told = match kind {
            "future" => {
                let lp = if x.starts_with('o') { &self.other } else { &self.lp };
                self.name_future(x, lp.create_future());
                None
            }
            "job" => {
                let start = |pool: &_, job| self.lp.run_in(pool, job);
                self.name_future(x, self.gates.submit(x, text(arg(2)), start)?);
                None
            }
            "default_job" if closed => return Err(Error::Closed),
            "default_job" => {
                let start = |pool: &Executor, job| {
                    self.lp.set_default_executor(pool.clone());
                    self.lp.run_in_executor(job)
                };
                self.name_future(x, self.gates.submit(x, text(arg(2)), start)?);
                None
            }
            "task" => {
                let body = body(self.clone(), x.into(), text(arg(2)).to_owned());
                self.name_task(x, made(Task::builder().name(x).spawn_on(&self.lp, body))?);
                None
            }
            "eager" => {
                let body = body(self.clone(), x.into(), text(arg(2)).to_owned());
                self.name_task(x, made(Task::builder().name(x).eager().spawn_on(&self.lp, body))?);
                None
            }
            "factory" => {
                self.lp.set_task_factory(if x == "eager" { TaskFactory::Eager } else { TaskFactory::Queued });
                None
            }
            "fail" if closed => None,
            "set" | "fail" => return self.settle(kind, x, text(arg(2))),
            "cancel" => self
                .find(x)
                .filter(|found| !(closed && found.is_task()))
                .map(|found| found.cancel(arg(2).as_str()).to_string()),
            "other_task" => {
                let body = body(self.clone(), x.into(), text(arg(2)).to_owned());
                self.name_task(x, made(Task::builder().name(x).spawn_on(&self.other, body))?);
                None
            }
            "name" => self.find_task(x).map(|task| shown_name(&task.name())),
            "rename" => {
                if let Some(task) = self.find_task(x).filter(|_| !closed) {
                    task.set_name(text(arg(2)));
                }
                None
            }
            "uncancel" => self.find_task(x).filter(|_| !closed).map(|task| task.uncancel().to_string()),
            "cancelling" => self.find_task(x).filter(|_| !closed).map(|task| task.cancelling().to_string()),
            "done" => self.find(x).map(|found| found.state()),
            "result" | "error" => return self.read(kind, x),
            "add" | "remove" => self.done_callback(kind, x, &arg),
            "tasks" => (!closed).then(|| self.all_tasks()),
            "current" => Some(current_task().map_or("none".to_owned(), |task| shown_name(&task.name()))),
            "log" => Some(x.to_owned()),
            _ => return self.combinator_op(kind, x, arg),
        };
        Ok(told)
    }

    fn name_future(&self, x: &str, future: looplab::Future<String>) {
        let other = future.event_loop().is_some_and(|lp| lp == self.other);
        self.names.borrow_mut().insert((other, future.id()), x.to_owned());
        let before = self.futures.borrow_mut().insert(x.to_owned(), future);
        self.graveyard.borrow_mut().extend(before.map(Awaited::Future));
    }

    pub(crate) fn name_task(&self, x: &str, task: Task<String>) {
        let before = self.tasks.borrow_mut().insert(x.to_owned(), task);
        self.graveyard.borrow_mut().extend(before.map(Awaited::Task));
    }

    fn find_task(&self, name: &str) -> Option<Task<String>> {
        match self.find(name)? {
            Awaited::Task(task) => Some(task),
            Awaited::Future(_) => None,
        }
    }

    fn settle(&self, kind: &str, x: &str, with: &str) -> Result<Option<String>> {
        let Some(future) = self.futures.borrow().get(x).cloned() else { return Ok(None) };
        let set = match kind {
            "set" => future.set_result(with.to_owned()),
            _ => future.set_error(make_error(with)),
        };
        // On a closed loop a waiter cannot be woken, and the error names it. Its name differs (see `world.py`).
        if !matches!(set, Err(Error::Closed)) {
            set?;
        }
        Ok(Some("ok".to_owned()))
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
        let call = self.caller(text(arg(2)), format!(" for {x}"));
        let id = match &found {
            Awaited::Task(task) => task.add_done_callback(move |_| call()),
            Awaited::Future(future) => future.add_done_callback(move |_| call()),
        };
        self.registered.borrow_mut().insert(text(arg(3)).to_owned(), (found, id));
        None
    }

    fn all_tasks(&self) -> String {
        let tasks = if self.lp.is_running() { all_tasks() } else { self.lp.all_tasks() };
        let mut names: Vec<_> = tasks.iter().map(|task| shown_name(&task.name())).collect();
        names.sort();
        names.join(" ")
    }

    /// Combinators that are made and awaited at different times.
    fn combinator_op<'a>(
        self: &Rc<Self>,
        kind: &str,
        x: &str,
        arg: impl Fn(usize) -> &'a Value,
    ) -> Result<Option<String>> {
        let closed = self.lp.is_closed();
        let told = match kind {
            // With futures of another loop CPython fails here, looplab at the await.
            "gather_new" if self.lp.is_running() => {
                let (tasks, futures) = split(&of_one_kind(self, arg(3)));
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
            "completing_new" if self.lp.is_running() && !self.completing.borrow().contains_key(x) => {
                let (tasks, futures) = split(&of_one_kind(self, arg(3)));
                let several = if futures.is_empty() { as_completed(tasks) } else { as_completed(futures) };
                let several = several.timeout(self.seconds(arg(2)));
                self.completing.borrow_mut().insert(x.to_owned(), several);
                None
            }
            "shield_new" if self.here().is_some() => {
                let shielded = self.find(text(arg(2))).map(|inner| match inner {
                    Awaited::Task(task) => shield(task),
                    Awaited::Future(future) => shield(future),
                });
                let before =
                    shielded.and_then(|shield| self.shields.borrow_mut().insert(x.to_owned(), shield));
                drop(before);
                None
            }
            "shield_cancel" => {
                self.shields.borrow().get(x).filter(|_| !closed).map(|shield| shield.cancel().to_string())
            }
            "shield_done" => {
                self.shields.borrow().get(x).map(|shield| format!("{} {}", shield.done(), shield.cancelled()))
            }
            "group_new" => {
                let before = self.groups.borrow_mut().insert(x.to_owned(), TaskGroup::new());
                drop(before);
                self.fresh.borrow_mut().insert(x.to_owned());
                None
            }
            "group_cancel" => {
                let group = self.groups.borrow().get(x).filter(|_| !closed).cloned();
                if let Some(group) = group {
                    group.cancel();
                }
                None
            }
            "group_task" => {
                let group = self.groups.borrow().get(x).filter(|_| !closed).cloned();
                if let Some(group) = group {
                    let t = text(arg(2));
                    let body = body(self.clone(), t.into(), text(arg(3)).to_owned());
                    self.name_task(t, made(Task::builder().name(t).spawn_in(&group, body))?);
                }
                None
            }
            "reschedule" => {
                let limit = self.limits.borrow().get(x).cloned();
                if let (Some(limit), Some(lp)) = (limit, self.here()) {
                    limit.reschedule(self.seconds(arg(2)).map(|delay| lp.time() + delay))?;
                }
                None
            }
            "expired" => self.limits.borrow().get(x).map(|limit| limit.expired().to_string()),
            _ => None,
        };
        Ok(told)
    }
}
