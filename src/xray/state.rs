//! The form of a `snap` line's `state`: the loop's structures as plain data.
//!
//! It promises that a snapshot of the loop and a state rebuilt from events come out as the same JSON when they are the
//! same, so they can be compared field by field. So it holds exactly what the events can tell: a task's place, or the
//! kinds of what it waits on, are left out. Places are texts, not numbers of `def` lines: a state can be read by itself.

use super::place::place_text;
use super::stamp::Zero;
use super::words::kind_word;
use crate::trace::{On, Snapshot, TaskState};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// All of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct State {
    pub(super) turn: u64,
    pub(super) running: bool,
    pub(super) closed: bool,
    pub(super) stopping: bool,
    /// First entry first.
    pub(super) ready: VecDeque<Ready>,
    /// How many of `ready` still run in this turn.
    pub(super) left: u64,
    /// By (`when`, `h`).
    pub(super) timers: Vec<Timer>,
    /// By `fd`.
    pub(super) io: Vec<Io>,
    /// By `sig`.
    pub(super) signals: Vec<Signal>,
    /// Those that are not over, by `id`.
    pub(super) jobs: Vec<Job>,
    /// Those that are not done, by `id`, which is the order of creation.
    pub(super) tasks: Vec<Task>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Ready {
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
pub(super) struct Timer {
    pub(super) h: u64,
    pub(super) when: u64,
    pub(super) cancelled: bool,
    pub(super) cb: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) src: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Io {
    pub(super) fd: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) r: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) w: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Signal {
    pub(super) sig: i64,
    pub(super) h: u64,
    pub(super) cb: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) cb: String,
    pub(super) running: bool,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Task {
    pub(super) id: u64,
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) doing: Doing,
}

/// What a task does: `"state":"waiting","on":[{"fut":3}]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(super) enum Doing {
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

impl State {
    /// The loop's own structures in this form.
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
            state.ready.push_back(Ready {
                q: entry.q,
                h: entry.h,
                kind: kind_word(entry.kind).to_owned(),
                cb: entry.label.clone(),
                task: entry.task,
                cancelled: entry.cancelled,
                src: entry.place.map(place_text),
            });
        }
        for timer in &snapshot.timers {
            state.timers.push(Timer {
                h: timer.h,
                when: zero.ns(timer.when),
                cancelled: timer.cancelled,
                cb: timer.label.clone(),
                src: timer.place.map(place_text),
            });
        }
        state.timers.sort_by_key(|timer| (timer.when, timer.h));
        for entry in &snapshot.io {
            state.io.push(Io { fd: entry.fd.into(), r: entry.reader, w: entry.writer });
        }
        state.io.sort_by_key(|entry| entry.fd);
        for entry in &snapshot.signals {
            state.signals.push(Signal { sig: entry.signal.into(), h: entry.h, cb: entry.label.clone() });
        }
        state.signals.sort_by_key(|entry| entry.sig);
        for job in &snapshot.jobs {
            state.jobs.push(Job { id: job.id, cb: job.label.clone(), running: job.running });
        }
        for task in &snapshot.tasks {
            state.tasks.push(Task { id: task.id, name: task.name.clone(), doing: doing(&task.state) });
        }
        state.tasks.sort_by_key(|task| task.id);
        state
    }
}

fn doing(state: &TaskState) -> Doing {
    match state {
        TaskState::Queued => Doing::Queued,
        TaskState::Running => Doing::Running,
        TaskState::Waiting(on) => Doing::Waiting {
            on: on
                .iter()
                .map(|wait| match wait.on {
                    On::Future(id) => Awaited::Fut(id),
                    On::Task(id) => Awaited::Task(id),
                })
                .collect(),
        },
    }
}
