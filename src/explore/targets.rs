//! `Targets`: the tasks and signals that an exploration names, and which of them it has not found.
//!
//! A name that is mistyped disturbs nothing, and every schedule of it would pass because there is none.

use super::disturbance::{Kinds, Visit, name_of};
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// What is chosen by name.
#[derive(Clone)]
enum Chosen {
    Cancel(String),
    Error(String),
    Signal(i32),
}

/// The targets that no point has had so far, and the names of the tasks that were seen.
pub(super) struct Targets(Mutex<(Vec<Chosen>, BTreeSet<String>)>);

impl Targets {
    pub(super) fn new(kinds: &Kinds) -> Self {
        let cancels = kinds.cancels.iter().flatten().cloned().map(Chosen::Cancel);
        let errors = kinds.errors.iter().map(|(task, _)| Chosen::Error(task.clone()));
        let signals = kinds.signals.iter().copied().map(Chosen::Signal);
        Self(Mutex::new((cancels.chain(errors).chain(signals).collect(), BTreeSet::new())))
    }

    /// Looks for them at the points of a run.
    pub(super) fn look(&self, visits: &[Visit]) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (missing, tasks) = &mut *found;
        if missing.is_empty() {
            return;
        }
        missing.retain(|target| !visits.iter().any(|visit| target.is_at(visit)));
        tasks.extend(visits.iter().flat_map(|visit| &visit.tasks).map(|task| task.name.clone()));
    }

    /// # Errors
    /// [`Error::Value`] if a target was not found.
    pub(super) fn check(&self) -> Result<()> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (missing, tasks) = &*found;
        let tasks: Vec<&str> = tasks.iter().map(String::as_str).collect();
        let Some(target) = missing.first() else { return Ok(()) };
        let text = match target {
            Chosen::Cancel(name) => format!(".cancel(\"{name}\"): no task has this name at any point"),
            Chosen::Error(name) => {
                format!(".errors(\"{name}\", …): no task of this name waits at any point")
            }
            Chosen::Signal(signal) => {
                let signal = name_of(*signal);
                format!(".signals([{signal}]): the program handles it at no poll")
            }
        };
        let tasks = tasks.join(", ");
        let text = format!(
            "nothing is disturbed by {text}; the tasks are: {tasks}. (What only another disturbance brings needs pairs().)"
        );
        Err(Error::Value(text.into()))
    }
}

impl Chosen {
    fn is_at(&self, visit: &Visit) -> bool {
        match self {
            Self::Cancel(name) => visit.tasks.iter().any(|task| task.name == *name),
            Self::Error(name) => visit.waiting.iter().any(|task| task.name == *name),
            Self::Signal(signal) => visit.point.entry == 0 && visit.signals.contains(signal),
        }
    }
}
