//! Goes from a trace back to the loop's state.
//!
//! The state after a line is the loop's own state after that event. A trace with a hole, a missing
//! event or a wrong order is refused, with the line's number. The queue is rebuilt entry by entry,
//! so a missing push is found when its entry should run.
//!
//! It does not start in the middle of a trace, and it keeps no history: to go back, feed a new one
//! from the start.
//!
//! The rules are a short list with one function each, for authors of other readers to copy. `push`
//! appends; `run` and `skip` take the head and check that it is the entry named; `due` moves a
//! timer.

use super::fields::{Check, Fields, ensure};
use super::state::{
    Awaited, Snap, SnapIo, SnapJob, SnapReady, SnapSignal, SnapTask, SnapTaskState, SnapTimer,
};
use crate::error::{Error, Result};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Rebuilds the state of every loop of a trace, line by line.
///
/// A state is the JSON object of a `snap` line, in the form that `docs/trace.md` describes. A
/// `snap` line is checked against the rebuilt state, so a trace with `LOOPLAB_TRACE_SNAPSHOTS=1`
/// proves itself.
///
/// ```
/// use looplab::xray::Replay;
/// let mut replay = Replay::new();
/// replay.line(r#"{"s":0,"t":0,"e":"meta","v":1,"rt":"looplab 0.1.0","unit":"ns","clock":"virtual"}"#)?;
/// replay.line(r#"{"s":1,"t":0,"e":"loop","ev":"new"}"#)?;
/// replay.line(r#"{"s":2,"t":0,"e":"push","q":1,"h":7,"via":"call_soon","kind":"cb","cb":"hello"}"#)?;
/// let state = replay.state(1).expect("there is one loop");
/// assert_eq!(state["ready"][0]["cb"], "hello");
///
/// let wrong = replay.line(r#"{"s":3,"t":0,"e":"run","q":2,"h":8}"#).unwrap_err();
/// assert_eq!(wrong.to_string(), "trace line 4: run of q 2, but the head of the ready queue is q 1");
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Replay {
    /// The number of lines so far.
    lines: u64,
    /// The next line's `s`.
    s: u64,
    t: u64,
    places: HashMap<u64, String>,
    loops: BTreeMap<u64, Loop>,
}

impl Replay {
    /// Makes a replay of no lines.
    ///
    /// ```
    /// assert!(looplab::xray::Replay::new().state(1).is_none());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the trace's next line, as text.
    ///
    /// ```
    /// let cut_off = looplab::xray::Replay::new().line(r#"{"s":0,"t":0,"e":"me"#).unwrap_err();
    /// assert!(cut_off.to_string().starts_with("trace line 1: not JSON: "));
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`] with the line's number, if the line is not JSON or does not fit the lines
    /// before it. The state must not be used after an error.
    pub fn line(&mut self, text: &str) -> Result<()> {
        match serde_json::from_str(text) {
            Ok(line) => self.value(&line),
            Err(error) => {
                self.lines += 1;
                Err(self.error(&format!("not JSON: {error}")))
            }
        }
    }

    /// Takes the trace's next line, already parsed.
    ///
    /// ```
    /// let line = serde_json::json!({"s": 5, "t": 0, "e": "turn", "n": 1});
    /// let wrong = looplab::xray::Replay::new().value(&line).unwrap_err();
    /// assert_eq!(wrong.to_string(), "trace line 1: s is 5, expected 0");
    /// ```
    ///
    /// # Errors
    /// The same as [`line`](Self::line).
    pub fn value(&mut self, line: &Value) -> Result<()> {
        self.lines += 1;
        self.take(line).map_err(|what| self.error(&what))
    }

    /// Returns the state of a loop after the last line, as a `snap` line would hold it; `None` if
    /// no line names the loop. Loops are numbered from 1 in the order of their first events.
    ///
    /// ```
    /// # use looplab::xray::Replay;
    /// # let mut replay = Replay::new();
    /// replay.line(r#"{"s":0,"t":0,"e":"meta","v":1,"rt":"looplab 0.1.0","unit":"ns","clock":"virtual"}"#)?;
    /// replay.line(r#"{"s":1,"t":0,"e":"loop","ev":"new"}"#)?;
    /// assert_eq!(replay.state(1).unwrap()["running"], false);
    /// assert!(replay.state(2).is_none());
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[must_use]
    pub fn state(&self, number: u64) -> Option<Value> {
        self.loops.get(&number).map(Loop::json)
    }

    /// Returns the state of a loop after the last line, as it is kept.
    pub(super) fn snap(&self, number: u64) -> Option<&Snap> {
        self.loops.get(&number).map(|of| &of.state)
    }

    /// Returns how many loops the trace has.
    ///
    /// ```
    /// assert_eq!(looplab::xray::Replay::new().loops(), 0);
    /// ```
    #[must_use]
    pub fn loops(&self) -> usize {
        self.loops.len()
    }

    fn error(&self, what: &str) -> Error {
        Error::Value(format!("trace line {}: {what}", self.lines).into())
    }

    fn take(&mut self, line: &Value) -> Check {
        let line = Fields::new(line, &self.places);
        let (s, t) = (line.number("s")?, line.number("t")?);
        ensure(s == self.s, || format!("s is {s}, expected {}", self.s))?;
        ensure(t >= self.t, || format!("t goes back from {} to {t}", self.t))?;
        (self.s, self.t) = (s + 1, t);
        let kind = line.text("e")?;
        ensure((kind == "meta") == (s == 0), || "the first line, and no other, must be meta".to_owned())?;
        match kind {
            "meta" => {
                let version = line.number("v")?;
                ensure(version == 1, || format!("trace version {version}; this reader knows version 1"))
            }
            "def" => {
                let (id, text) = (line.number("id")?, line.text("v")?.to_owned());
                if line.text("k")? == "src" {
                    self.places.insert(id, text);
                }
                Ok(())
            }
            "drop" => Err(format!("{} events were lost, the state cannot be rebuilt", line.number("n")?)),
            _ => {
                // A kind without a rule changes nothing in the state, or is of a later version of the format.
                let Some(rule) = rule(kind) else { return Ok(()) };
                let number = line.maybe_number("l")?.unwrap_or(1);
                if kind == "loop" && line.text("ev")? == "new" {
                    let before = self.loops.insert(number, Loop::default());
                    return ensure(before.is_none(), || format!("loop {number} is made a second time"));
                }
                let of =
                    self.loops.get_mut(&number).ok_or_else(|| format!("loop {number} was never made"))?;
                // `close` removes everything at once. Later lines about the tasks that it ends
                // change nothing.
                let survives = matches!(kind, "loop" | "stop" | "unstop" | "snap");
                if of.state.closed && !survives { Ok(()) } else { rule(of, line) }
            }
        }
    }
}

/// What a line does to its loop.
type Rule = fn(&mut Loop, Fields<'_>) -> Check;

fn rule(kind: &str) -> Option<Rule> {
    Some(match kind {
        "loop" => Loop::life,
        "turn" => Loop::turn,
        "batch" => Loop::batch,
        "push" => Loop::push,
        "due" => Loop::due,
        "run" | "skip" => Loop::pop,
        "ret" => Loop::ret,
        "timer" => Loop::timer,
        "tcancel" => Loop::timer_cancelled,
        "tdrop" => Loop::timers_dropped,
        "cancel" => Loop::cancel,
        "stop" | "unstop" => Loop::stop,
        "reg" | "unreg" => Loop::io,
        "sigreg" | "sigunreg" => Loop::signal,
        "task" => Loop::task,
        "step" => Loop::step,
        "park" => Loop::park,
        "tdone" => Loop::task_done,
        "job" | "jrun" | "jend" => Loop::job,
        "snap" => Loop::check,
        _ => return None,
    })
}

/// One loop: its state, and what is needed to rebuild it.
#[derive(Debug, Default)]
struct Loop {
    state: Snap,
    /// The entry that runs.
    running: Option<u64>,
    /// Every handle that was cancelled: a handle may be cancelled before it is queued.
    cancelled: HashSet<u64>,
}

impl Loop {
    fn json(&self) -> Value {
        serde_json::to_value(&self.state).expect("a state is plain data")
    }

    fn life(&mut self, line: Fields<'_>) -> Check {
        let to = line.text("ev")?;
        match to {
            "run" => {
                ensure(!self.state.running, || "a run begins inside a run".to_owned())?;
                self.state.running = true;
            }
            "end" => {
                ensure(self.state.running, || "a run ends, but none began".to_owned())?;
                self.state.running = false;
                // The stop flag may not have been set, so `unstop` may not have come.
                self.state.left = 0;
            }
            "closed" => {
                let (turn, stopping) = (self.state.turn, self.state.stopping);
                *self = Self {
                    state: Snap { turn, stopping, closed: true, ..Snap::default() },
                    ..Self::default()
                };
            }
            _ => return Err(format!("a loop's life has no station {to:?}")),
        }
        Ok(())
    }

    fn turn(&mut self, line: Fields<'_>) -> Check {
        let n = line.number("n")?;
        ensure(n == self.state.turn + 1, || format!("turn {n} after turn {}", self.state.turn))?;
        self.state.turn = n;
        self.state.left = 0;
        Ok(())
    }

    fn batch(&mut self, line: Fields<'_>) -> Check {
        let n = line.number("n")?;
        let len = self.state.ready.len() as u64;
        ensure(n == len, || format!("a batch of {n}, but {len} entries are ready"))?;
        self.state.left = n;
        Ok(())
    }

    fn push(&mut self, line: Fields<'_>) -> Check {
        let (h, task, kind) = (line.number("h")?, line.maybe_number("task")?, line.text("kind")?);
        if let ("step" | "wakeup", Some(task)) = (kind, task) {
            self.known_task(task)?.state = SnapTaskState::Queued;
        }
        self.state.ready.push_back(SnapReady {
            q: line.number("q")?,
            h,
            kind: kind.to_owned(),
            cb: line.text("cb")?.to_owned(),
            task,
            cancelled: self.cancelled.contains(&h),
            src: line.place()?,
        });
        Ok(())
    }

    /// Moves a timer to the ready queue, with its label, place and cancellation. A timer's task is the one that waits on it,
    /// and no step of it is queued yet.
    fn due(&mut self, line: Fields<'_>) -> Check {
        let (q, h) = (line.number("q")?, line.number("h")?);
        let timer = self.take_timer(h)?;
        self.state.ready.push_back(SnapReady {
            q,
            h,
            kind: "cb".to_owned(),
            cb: timer.cb,
            task: None,
            cancelled: timer.cancelled,
            src: timer.src,
        });
        Ok(())
    }

    /// Takes the head for `run` and `skip`: the integrity check of the whole replay.
    fn pop(&mut self, line: Fields<'_>) -> Check {
        let (kind, q, h) = (line.text("e")?, line.number("q")?, line.number("h")?);
        let head = self.state.ready.pop_front();
        let head = head.ok_or_else(|| format!("{kind} of q {q}, but nothing is ready"))?;
        ensure(head.q == q, || format!("{kind} of q {q}, but the head of the ready queue is q {}", head.q))?;
        ensure(head.h == h, || {
            format!("{kind} of q {q} with handle {h}, but it was queued with {}", head.h)
        })?;
        let skipped = kind == "skip";
        ensure(head.cancelled == skipped, || {
            let was = if head.cancelled { "was" } else { "was not" };
            format!("{kind} of q {q}, which {was} cancelled")
        })?;
        let left = self.state.left.checked_sub(1);
        self.state.left = left.ok_or_else(|| format!("{kind} of q {q}, but the batch is over"))?;
        if !skipped {
            self.running = Some(q);
        }
        Ok(())
    }

    fn ret(&mut self, line: Fields<'_>) -> Check {
        let q = line.number("q")?;
        let running = self.running.take();
        ensure(running == Some(q), || match running {
            Some(running) => format!("return of q {q}, but q {running} runs"),
            None => format!("return of q {q}, but nothing runs"),
        })
    }

    fn timer(&mut self, line: Fields<'_>) -> Check {
        let (h, when) = (line.number("h")?, line.number("when")?);
        let timer = SnapTimer {
            h,
            when,
            cancelled: self.cancelled.contains(&h),
            cb: line.text("cb")?.to_owned(),
            src: line.place()?,
        };
        let at = self.state.timers.partition_point(|other| (other.when, other.h) < (when, h));
        self.state.timers.insert(at, timer);
        Ok(())
    }

    fn timer_cancelled(&mut self, line: Fields<'_>) -> Check {
        let h = line.number("h")?;
        let timer = self.state.timers.iter_mut().find(|timer| timer.h == h);
        timer.ok_or_else(|| format!("no timer has the handle {h}"))?.cancelled = true;
        self.cancelled.insert(h);
        Ok(())
    }

    fn timers_dropped(&mut self, line: Fields<'_>) -> Check {
        for h in line.numbers("hs")? {
            self.take_timer(h)?;
        }
        Ok(())
    }

    fn take_timer(&mut self, h: u64) -> Check<SnapTimer> {
        let at = self.state.timers.iter().position(|timer| timer.h == h);
        Ok(self.state.timers.remove(at.ok_or_else(|| format!("no timer has the handle {h}"))?))
    }

    fn cancel(&mut self, line: Fields<'_>) -> Check {
        let h = line.number("h")?;
        self.cancelled.insert(h);
        for entry in self.state.ready.iter_mut().filter(|entry| entry.h == h) {
            entry.cancelled = true;
        }
        Ok(())
    }

    fn stop(&mut self, line: Fields<'_>) -> Check {
        self.state.stopping = line.text("e")? == "stop";
        if !self.state.stopping {
            self.state.left = 0; // the run is over, and with it what an error may have left of its batch
        }
        Ok(())
    }

    fn io(&mut self, line: Fields<'_>) -> Check {
        let (fd, dir) = (line.signed("fd")?, line.text("dir")?);
        let h = if line.text("e")? == "reg" { Some(line.number("h")?) } else { None };
        let io = &mut self.state.io;
        let at = io.binary_search_by_key(&fd, |entry| entry.fd).unwrap_or_else(|at| {
            io.insert(at, SnapIo { fd, r: None, w: None });
            at
        });
        let slot = if dir == "r" { &mut io[at].r } else { &mut io[at].w };
        ensure(h.is_some() || slot.is_some(), || format!("fd {fd} is not registered for {dir:?}"))?;
        *slot = h;
        if io[at].r.is_none() && io[at].w.is_none() {
            io.remove(at);
        }
        Ok(())
    }

    fn signal(&mut self, line: Fields<'_>) -> Check {
        let sig = line.signed("sig")?;
        let before = self.state.signals.len();
        self.state.signals.retain(|entry| entry.sig != sig);
        if line.text("e")? == "sigunreg" {
            let known = self.state.signals.len() < before;
            return ensure(known, || format!("signal {sig} has no handler"));
        }
        let cb = line.maybe_text("cb")?.unwrap_or_default().to_owned();
        let at = self.state.signals.partition_point(|entry| entry.sig < sig);
        self.state.signals.insert(at, SnapSignal { sig, h: line.number("h")?, cb });
        Ok(())
    }

    /// Adds a task. A second line for a known task gives it a new name, under which its queued step
    /// is shown.
    fn task(&mut self, line: Fields<'_>) -> Check {
        let (id, name) = (line.number("task")?, line.text("name")?.to_owned());
        match self.find_task(id) {
            Ok(at) => {
                for entry in self.state.ready.iter_mut().filter(|entry| entry.task == Some(id)) {
                    entry.cb = format!("{name}.{}", entry.kind);
                }
                self.state.tasks[at].name = name;
            }
            Err(at) => self.state.tasks.insert(at, SnapTask { id, name, state: SnapTaskState::Queued }),
        }
        Ok(())
    }

    fn step(&mut self, line: Fields<'_>) -> Check {
        let id = line.number("task")?;
        let task = self.known_task(id)?;
        ensure(task.state == SnapTaskState::Queued, || {
            format!("task {id} steps, but no step of it was queued")
        })?;
        task.state = SnapTaskState::Running;
        Ok(())
    }

    fn park(&mut self, line: Fields<'_>) -> Check {
        let id = line.number("task")?;
        let yields = line.maybe_value("on").is_none() && line.maybe_text("kind")? == Some("yield");
        let mut on = if yields { Vec::new() } else { vec![awaited(line.value("on"))?] };
        if let Some(also) = line.maybe_value("also") {
            for other in also.as_array().ok_or("also is no array")? {
                on.push(awaited(other)?);
            }
        }
        let task = self.known_task(id)?;
        ensure(task.state == SnapTaskState::Running, || {
            format!("task {id} is suspended, but it was not in a step")
        })?;
        // A task that yields waits on nothing: the `push` that follows says that it is queued.
        if !yields {
            task.state = SnapTaskState::Waiting { on };
        }
        Ok(())
    }

    fn task_done(&mut self, line: Fields<'_>) -> Check {
        let id = line.number("task")?;
        let at = self.find_task(id).map_err(|_| format!("there is no task {id}"))?;
        self.state.tasks.remove(at);
        Ok(())
    }

    fn job(&mut self, line: Fields<'_>) -> Check {
        let id = line.number("job")?;
        if line.text("e")? == "job" {
            self.state.jobs.push(SnapJob { id, cb: line.text("fn")?.to_owned(), running: false });
            return Ok(());
        }
        let at = self.state.jobs.iter().position(|job| job.id == id);
        let at = at.ok_or_else(|| format!("there is no job {id}"))?;
        match line.text("e")? {
            "jrun" => self.state.jobs[at].running = true,
            _ => drop(self.state.jobs.remove(at)),
        }
        Ok(())
    }

    fn known_task(&mut self, id: u64) -> Check<&mut SnapTask> {
        let at = self.find_task(id).map_err(|_| format!("there is no task {id}"))?;
        Ok(&mut self.state.tasks[at])
    }

    fn find_task(&self, id: u64) -> std::result::Result<usize, usize> {
        self.state.tasks.binary_search_by_key(&id, |task| task.id)
    }

    /// Compares a `snap` line with the rebuilt state. An error names the first field that differs.
    fn check(&mut self, line: Fields<'_>) -> Check {
        let recorded = line.value("state");
        let rebuilt = self.json();
        for (key, ours) in rebuilt.as_object().into_iter().flatten() {
            let theirs = &recorded[key];
            ensure(ours == theirs, || format!("{key} of the snapshot is {theirs}, rebuilt was {ours}"))?;
        }
        Ok(())
    }
}

fn awaited(on: &Value) -> Check<Awaited> {
    Awaited::deserialize(on).map_err(|error| format!("what a task waits on: {error}"))
}
