//! A state rebuilt from a trace is the loop's own; a trace that is wrong is refused.

use super::super::jsonl::JsonLines;
use super::super::recorder::Form;
use super::fake::{FakeLoop, Paper};
use super::lines::parsed;
use crate::trace::*;
use crate::xray::Replay;
use serde_json::{Value, json};
use std::time::Duration;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// One random thing that a program can do to a loop.
fn act(lp: &mut FakeLoop, dice: &mut Dice) {
    match dice.below(12) {
        0 | 1 => drop(lp.call_soon("soon")),
        2 => {
            let after = Duration::from_millis(dice.below(4));
            let when = lp.now.checked_sub(Duration::from_millis(2)).unwrap_or(lp.now) + after;
            lp.call_at(when, "later");
        }
        3 if !lp.state.timers.is_empty() => {
            let h = lp.state.timers[dice.below(lp.state.timers.len() as u64) as usize].h;
            lp.cancel(h);
        }
        4 if !lp.state.ready.is_empty() => {
            let entry = &lp.state.ready[dice.below(lp.state.ready.len() as u64) as usize];
            // A reader's handle is cancelled only with its registration, and never queued again.
            if entry.kind != EntryKind::Io {
                lp.cancel(entry.h);
            }
        }
        5 => drop(lp.create_task("Task")),
        6 => drop(lp.push(Via::Threadsafe, EntryKind::Callback, "from a thread", None)),
        7 => lp.stop(),
        8 => lp.register(dice.below(3) as i32, Direction::Read),
        9 => lp.register(dice.below(3) as i32, Direction::Write),
        10 => {
            let waiting = |task: &&TaskEntry| matches!(task.state, TaskState::Waiting(_));
            if let Some(id) = lp.state.tasks.iter().find(waiting).map(|task| task.id) {
                lp.push(Via::CallSoon, EntryKind::Wakeup, "Task", Some(id));
            }
        }
        _ => {
            // Cancelled before it was queued, as a call from another thread can be.
            lp.hs += 1;
            let h = lp.hs;
            lp.cancel(h);
            lp.push_handle(h, Via::Threadsafe, EntryKind::Callback, "too late", None, true, None);
        }
    }
}

/// A task's step: it ends, yields, or waits on one or more things.
fn step(lp: &mut FakeLoop, dice: &mut Dice, task: u64) {
    lp.set_task(task, TaskState::Running);
    lp.tell(Event::Step { task, thrown: None });
    match dice.below(3) {
        0 => {
            lp.state.tasks.retain(|other| other.id != task);
            lp.tell(Event::TaskDone { task, state: Done::Ok, error: None, by: None });
        }
        1 => drop(lp.push(Via::CallSoon, EntryKind::Step, "Task", Some(task))),
        _ => {
            let on = |on| Wait { on, kind: "future", place: None, holder: None };
            let waits = [on(On::Future(100)), on(On::Task(task)), on(On::Future(102))];
            let waits = waits[..=dice.below(3) as usize].to_vec();
            lp.set_task(task, TaskState::Waiting(waits.clone()));
            lp.tell(Event::Park { task, on: &waits });
        }
    }
}

/// A random program on two loops, with a snapshot after every event.
fn random_trace(seed: u64) -> String {
    let paper = Paper::default();
    let recorder = paper.recorder(Form::Lines(JsonLines::default()), true);
    let mut dice = Dice(seed);
    for _ in 0..2 {
        let mut lp = FakeLoop::new(recorder.recording(), true);
        for _ in 0..3 {
            lp.begin_run();
            for _ in 0..8 {
                (0..dice.below(4)).for_each(|_| act(&mut lp, &mut dice));
                let first = lp.state.io.first().map(|entry| (entry.fd, Ready { read: true, write: false }));
                let fds: Vec<_> = first.into_iter().filter(|_| dice.below(2) == 0).collect();
                lp.begin_turn(&fds);
                while lp.run_next(|lp, entry| match (entry.kind, entry.task) {
                    (EntryKind::Step | EntryKind::Wakeup, Some(task)) => step(lp, &mut dice, task),
                    _ => act(lp, &mut dice),
                }) {}
            }
            lp.end_run();
        }
        let registered: Vec<IoEntry> = lp.state.io.clone();
        for entry in registered {
            entry.reader.iter().for_each(|_| lp.unregister(entry.fd, Direction::Read));
            entry.writer.iter().for_each(|_| lp.unregister(entry.fd, Direction::Write));
        }
        lp.close();
        lp.stop();
    }
    paper.text()
}

fn replayed(text: &str) -> Result<Replay, String> {
    let mut replay = Replay::new();
    for line in text.lines() {
        replay.line(line).map_err(|error| error.to_string())?;
    }
    Ok(replay)
}

#[test]
fn the_rebuilt_state_is_the_loops_own_after_every_event() {
    let mut skips = 0;
    for seed in 0..30 {
        let text = random_trace(seed);
        let mut replay = Replay::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            replay.value(&line).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            if line["e"] == "snap" {
                let number = line["l"].as_u64().unwrap_or(1);
                assert_eq!(replay.state(number).unwrap(), line["state"], "seed {seed}");
            }
            skips += u64::from(line["e"] == "skip");
        }
        assert_eq!(replay.loops(), 2);
    }
    assert!(skips > 100, "the programs must be rich enough to say something: {skips} skips");
}

/// A short trace without snapshots, as parsed lines.
fn short_trace() -> Vec<Value> {
    let paper = Paper::default();
    let recorder = paper.recorder(Form::Lines(JsonLines::default()), false);
    let mut lp = FakeLoop::new(recorder.recording(), true);
    lp.call_soon("a");
    lp.call_soon("b");
    lp.begin_run();
    lp.begin_turn(&[]);
    while lp.run_next(|_, _| {}) {}
    let when = lp.now + Duration::from_millis(1);
    lp.call_at(when, "later");
    lp.begin_turn(&[]);
    lp.run_next(|lp, _| lp.stop());
    lp.end_run();
    drop(lp);
    let lines = parsed(&paper.text());
    assert!(refusal(lines.clone()).is_none());
    lines
}

/// Numbers the lines anew and replays them; what is wrong.
fn refusal(mut lines: Vec<Value>) -> Option<String> {
    for (s, line) in lines.iter_mut().enumerate() {
        line["s"] = json!(s);
    }
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    replayed(&text.join("\n")).err()
}

fn position(lines: &[Value], e: &str) -> usize {
    lines.iter().position(|line| line["e"] == e).unwrap()
}

#[test]
fn a_push_that_no_line_told_is_found() {
    let mut lines = short_trace();
    lines.remove(position(&lines, "push"));
    let batch = position(&lines, "batch");
    assert_eq!(
        refusal(lines.clone()).unwrap(),
        format!("trace line {}: a batch of 2, but 1 entries are ready", batch + 1)
    );
    lines[batch]["n"] = json!(1);
    let run = position(&lines, "run");
    assert_eq!(
        refusal(lines).unwrap(),
        format!("trace line {}: run of q 1, but the head of the ready queue is q 2", run + 1)
    );
}

#[test]
fn a_wrong_entry_is_refused() {
    let lines = short_trace();
    let with = |e: &str, key: &str, value: Value| {
        let mut lines = lines.clone();
        let at = position(&lines, e);
        lines[at][key] = value;
        refusal(lines).unwrap_or_else(|| panic!("{e} with another {key} was accepted"))
    };
    assert!(with("run", "q", json!(9)).ends_with("run of q 9, but the head of the ready queue is q 1"));
    assert!(with("run", "h", json!(9)).ends_with("run of q 1 with handle 9, but it was queued with 1"));
    assert!(with("run", "e", json!("skip")).ends_with("skip of q 1, which was not cancelled"));
    assert!(with("ret", "q", json!(9)).ends_with("return of q 9, but q 1 runs"));
    assert!(with("due", "h", json!(9)).ends_with("no timer has the handle 9"));
    assert!(with("turn", "n", json!(2)).ends_with("turn 2 after turn 0"));
    assert!(with("push", "src", json!(9)).ends_with("src 9 was not defined"));
    assert!(with("push", "q", json!("1")).ends_with("q is \"1\", not a whole number"));
    assert!(with("push", "l", json!(7)).ends_with("loop 7 was never made"));
    assert!(with("loop", "l", json!(7)).ends_with("loop 1 was never made"));
    assert!(with("meta", "v", json!(2)).ends_with("trace version 2; this reader knows version 1"));
}

#[test]
fn a_hole_in_the_trace_is_refused() {
    let mut replay = Replay::new();
    let lines = short_trace();
    for (i, line) in lines.iter().enumerate().filter(|(i, _)| *i != 4) {
        match replay.value(line) {
            Ok(()) => assert!(i < 4),
            Err(error) => {
                assert_eq!(error.to_string(), "trace line 5: s is 5, expected 4");
                break;
            }
        }
    }
    let mut lost = lines.clone();
    lost.insert(4, json!({"s": 0, "t": 0, "e": "drop", "n": 3}));
    assert_eq!(refusal(lost).unwrap(), "trace line 5: 3 events were lost, the state cannot be rebuilt");
    let mut back = lines;
    back.push(json!({"s": 0, "t": 0, "e": "unstop"}));
    assert!(refusal(back).unwrap().ends_with("t goes back from 1000000 to 0"));
}

#[test]
fn a_snapshot_that_differs_from_the_rebuilt_state_is_refused() {
    let mut lines = short_trace();
    lines.truncate(position(&lines, "turn"));
    let state = replayed(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
        .unwrap()
        .state(1)
        .unwrap();
    let snap = |state: &Value| json!({"s": 0, "t": 0, "e": "snap", "state": state});
    let right = [lines.clone(), vec![snap(&state)]].concat();
    assert_eq!(refusal(right), None);
    let mut wrong = state;
    wrong["stopping"] = json!(true);
    let wrong = [lines, vec![snap(&wrong)]].concat();
    assert!(refusal(wrong).unwrap().ends_with("stopping of the snapshot is true, rebuilt was false"));
}

#[test]
fn what_a_later_version_adds_is_passed_over() {
    let mut lines = short_trace();
    lines.push(json!({"s": 0, "t": 2_000_000, "e": "gc", "l": 9}));
    lines.push(json!({"s": 0, "t": 2_000_000, "e": "unstop", "colour": "blue"}));
    assert_eq!(refusal(lines), None);
}
