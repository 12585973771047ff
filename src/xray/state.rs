//! The form of a `snap` line's `state`: a loop's structures as plain data.
//!
//! A snapshot of the loop and a state rebuilt from its events become the same JSON, so they can be compared field by field.
//! Therefore it holds only what events tell. A task's place and the kinds of what it waits on are left out. Places are
//! texts and not numbers of `def` lines, so that a state can be read by itself.

use super::place::place_text;
use super::stamp::Zero;
use crate::trace::{On, Snapshot, TaskState};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The state of one loop.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Snap {
    pub(super) turn: u64,
    pub(super) running: bool,
    pub(super) closed: bool,
    pub(super) stopping: bool,
    /// The first entry first.
    pub(super) ready: VecDeque<SnapReady>,
    /// How many of `ready` still run in this turn.
    pub(super) left: u64,
    /// By (`when`, `h`).
    pub(super) timers: Vec<SnapTimer>,
    /// By `fd`.
    pub(super) io: Vec<SnapIo>,
    /// By `sig`.
    pub(super) signals: Vec<SnapSignal>,
    /// The jobs that are not over, by `id`.
    pub(super) jobs: Vec<SnapJob>,
    /// The tasks that are not done, by `id`, which is the order of creation.
    pub(super) tasks: Vec<SnapTask>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct SnapReady {
    pub(super) q: u64,
    pub(super) h: u64,
    pub(super) kind: String,
    pub(super) cb: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task: Option<u64>,
    pub(super) cancelled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) src: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct SnapTimer {
    pub(super) h: u64,
    pub(super) when: u64,
    pub(super) cancelled: bool,
    pub(super) cb: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) src: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct SnapIo {
    pub(super) fd: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) r: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) w: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct SnapSignal {
    pub(super) sig: i64,
    pub(super) h: u64,
    pub(super) cb: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct SnapJob {
    pub(super) id: u64,
    pub(super) cb: String,
    pub(super) running: bool,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct SnapTask {
    pub(super) id: u64,
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) state: SnapTaskState,
}

/// What a task does, as `"state":"waiting","on":[{"fut":3}]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(super) enum SnapTaskState {
    Queued,
    Running,
    Waiting { on: Vec<Awaited> },
}

/// `{"fut":3}` or `{"task":4}`, as in a `park` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Awaited {
    Fut(u64),
    Task(u64),
}

impl Snap {
    /// Brings the loop's own structures into this form.
    pub(super) fn of(snapshot: &Snapshot, zero: &Zero) -> Self {
        let mut state = Self {
            turn: snapshot.turn,
            running: snapshot.running,
            closed: snapshot.closed,
            stopping: snapshot.stopping,
            left: snapshot.batch_left as u64,
            ..Self::default()
        };
        for entry in &snapshot.ready {
            state.ready.push_back(SnapReady {
                q: entry.q,
                h: entry.h,
                kind: entry.kind.as_str().to_owned(),
                cb: entry.label.clone(),
                task: entry.task,
                cancelled: entry.cancelled,
                src: entry.place.map(place_text),
            });
        }
        for timer in &snapshot.timers {
            state.timers.push(SnapTimer {
                h: timer.h,
                when: zero.ns(timer.when),
                cancelled: timer.cancelled,
                cb: timer.label.clone(),
                src: timer.place.map(place_text),
            });
        }
        state.timers.sort_by_key(|timer| (timer.when, timer.h));
        for entry in &snapshot.io {
            state.io.push(SnapIo { fd: entry.fd.into(), r: entry.reader, w: entry.writer });
        }
        state.io.sort_by_key(|entry| entry.fd);
        for entry in &snapshot.signals {
            state.signals.push(SnapSignal { sig: entry.signal.into(), h: entry.h, cb: entry.label.clone() });
        }
        state.signals.sort_by_key(|entry| entry.sig);
        for job in &snapshot.jobs {
            state.jobs.push(SnapJob { id: job.id, cb: job.label.clone(), running: job.running });
        }
        for task in &snapshot.tasks {
            state.tasks.push(SnapTask { id: task.id, name: task.name.clone(), state: (&task.state).into() });
        }
        state.tasks.sort_by_key(|task| task.id);
        state
    }
}

impl From<&TaskState> for SnapTaskState {
    fn from(state: &TaskState) -> Self {
        match state {
            TaskState::Queued => Self::Queued,
            TaskState::Running => Self::Running,
            TaskState::Waiting(on) => Self::Waiting { on: on.iter().map(|wait| wait.on.into()).collect() },
        }
    }
}

impl From<On> for Awaited {
    fn from(on: On) -> Self {
        match on {
            On::Future(id) => Self::Fut(id),
            On::Task(id) => Self::Task(id),
        }
    }
}
