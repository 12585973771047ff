//! What a loop does to tasks and futures, one line each.

use crate::show;
use looplab::trace::{Done, EntryKind, Event, On};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// `turn 2`, `queue main.wakeup`, `step main`, `main waits for sleep#2`, `cancel main`, `sleep#2 cancelled`, `main ok`.
#[derive(Clone, Default)]
pub struct Trace {
    lines: Rc<RefCell<Vec<String>>>,
    names: Rc<RefCell<BTreeMap<u64, String>>>,
}

impl Trace {
    /// Returns the lines so far, and forgets them.
    pub fn take(&self) -> Vec<String> {
        self.lines.take()
    }

    pub(crate) fn note(&self, event: &Event<'_>) {
        if let Some(line) = self.line(event) {
            self.lines.borrow_mut().push(line);
        }
    }

    fn name(&self, object: u64) -> String {
        self.names.borrow().get(&object).cloned().unwrap_or_default()
    }

    fn line(&self, event: &Event<'_>) -> Option<String> {
        Some(match *event {
            Event::Turn { n } => format!("turn {n}"),
            Event::Task { task, name, .. } => {
                self.names.borrow_mut().insert(task, name.to_owned());
                format!("new {name}")
            }
            Event::Future { future, kind, .. } => {
                self.names.borrow_mut().insert(future, format!("{kind}#{future}"));
                return None;
            }
            Event::Push { kind, label, .. } => match kind {
                EntryKind::Step | EntryKind::Wakeup => format!("queue {label}"),
                EntryKind::DoneCallback => "queue done callback".to_owned(),
                _ => return None,
            },
            Event::Step { task, thrown: None } => format!("step {}", self.name(task)),
            Event::Step { task, thrown: Some(error) } => {
                format!("step {}, thrown {}", self.name(task), show(error))
            }
            Event::Park { task, on } => {
                let on = on.iter().map(|wait| match wait.on {
                    On::Future(id) | On::Task(id) => self.name(id),
                });
                format!("{} waits for {}", self.name(task), on.collect::<Vec<_>>().join(", "))
            }
            Event::CancelRequested { task, .. } => format!("cancel {}", self.name(task)),
            Event::TaskDone { task, state, .. } => format!("{} {}", self.name(task), word(state)),
            Event::FutureDone { future, state, .. } => format!("{} {}", self.name(future), word(state)),
            Event::TimerCancelled { .. } => "timer cancelled".to_owned(),
            _ => return None,
        })
    }
}

fn word(state: Done) -> &'static str {
    match state {
        Done::Ok => "ok",
        Done::Err => "failed",
        Done::Cancelled => "cancelled",
    }
}
