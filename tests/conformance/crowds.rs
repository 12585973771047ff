//! Many of one kind: a crowd of tasks with one body, a burst of callbacks, timers or done callbacks.
//!
//! The tasks of a crowd are `y0` to `y9`. A program makes three crowds and three bursts at most, as a callback does its
//! operations three times at most.

use crate::body::body;
use crate::world::{AnyHandle, Awaited, World, made, text};
use looplab::{Result, Task};
use serde_json::Value;
use std::rc::Rc;

/// A crowd has no more names, and a burst is large enough for the heap of timers to be rebuilt.
const CROWD: u64 = 10;
const BURST: u64 = 130;

impl World {
    /// `None` if it is no such operation.
    pub(crate) fn crowd_op<'a>(
        self: &Rc<Self>,
        kind: &str,
        arg: impl Fn(usize) -> &'a Value,
    ) -> Option<Result<Option<String>>> {
        let number = |n: usize| arg(n).as_u64().unwrap_or(0);
        let done = match kind {
            "crowd" => self.crowd(number(1), text(arg(2)), arg(3).as_str()),
            "burst" => self.burst(text(arg(1)), number(2)),
            "unburst" => {
                self.unburst(number(1));
                Ok(())
            }
            _ => return None,
        };
        Some(done.map(|()| None))
    }

    /// Makes tasks with one body, in a group if one is named.
    fn crowd(self: &Rc<Self>, count: u64, of: &str, group: Option<&str>) -> Result<()> {
        if !self.spend("crowd") || self.lp.is_closed() {
            return Ok(());
        }
        for name in (0..count.min(CROWD)).map(|n| format!("y{n}")) {
            let body = body(self.clone(), name.as_str().into(), of.to_owned());
            let builder = Task::builder().name(name.as_str());
            let task = match group {
                None => builder.spawn_on(&self.lp, body),
                Some(group) => {
                    let group = self.groups.borrow().get(group).cloned();
                    let Some(group) = group else { return Ok(()) };
                    builder.spawn_in(&group, body)
                }
            };
            self.name_task(&name, made(task)?);
        }
        Ok(())
    }

    /// Schedules callbacks that say their number; `x` is a kind of call, or what they are done callbacks of.
    fn burst(self: &Rc<Self>, x: &str, count: u64) -> Result<()> {
        if !self.spend("burst") {
            return Ok(());
        }
        let found = self.find(x);
        if found.is_some() && self.lp.is_closed() {
            return Ok(());
        }
        let mut handles = Vec::new();
        for n in 0..count.min(BURST) {
            let world = self.clone();
            let call = move || world.say("burst", n);
            match (x, &found) {
                ("soon", _) => handles.push(AnyHandle::Soon(self.lp.call_soon(call)?)),
                ("later", _) => {
                    let delay = self.second * (n as u32 * 7 % 5);
                    handles.push(AnyHandle::Timer(self.lp.call_later(delay, call)?));
                }
                (_, Some(Awaited::Task(task))) => drop(task.add_done_callback(move |_| call())),
                (_, Some(Awaited::Future(future))) => drop(future.add_done_callback(move |_| call())),
                (_, None) => return Ok(()),
            }
        }
        let before = self.bursts.replace(handles);
        drop(before);
        Ok(())
    }

    /// Cancels the handles of the last burst, but for one in `kept`.
    fn unburst(&self, kept: u64) {
        let handles = self.bursts.take();
        let cancelled =
            handles.iter().enumerate().filter(|(n, _)| kept == 0 || !(*n as u64).is_multiple_of(kept));
        cancelled.for_each(|(_, handle)| handle.cancel());
    }
}
