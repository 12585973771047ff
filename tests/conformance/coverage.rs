//! What random programs reach: every operation, and every error text.
//!
//! The table is in `docs/conformance.md`. The test below asks only whether everything is reached; the counts there are
//! those of the day on which they were written.

use crate::generate::{self, Dialect};
use crate::world::{self, list};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How many programs are looked at.
pub(crate) const PROGRAMS: u64 = 4000;

/// All that there is to reach: operations, in the groups of `docs/conformance.md`.
pub(crate) const OPERATIONS: [(&str, &[&str]); 11] = [
    (
        "runs",
        &[
            "forever",
            "until",
            "step",
            "other",
            "stop",
            "close",
            "running",
            "other_until",
            "runner_run",
            "runner_close",
        ],
    ),
    ("callbacks", &["soon", "later", "at", "drop", "raise", "log", "other_soon", "other_later"]),
    ("many", &["crowd", "burst", "unburst"]),
    ("from outside", &["threadsafe", "thread", "signal", "unsignal", "kill", "job", "default_job"]),
    (
        "descriptors",
        &["reader", "writer", "unreader", "unwriter", "write", "read", "fill", "drain", "half", "shut"],
    ),
    ("futures", &["future", "set", "fail", "add", "remove", "done", "result", "error"]),
    (
        "tasks",
        &[
            "task",
            "cancel",
            "uncancel",
            "cancelling",
            "tasks",
            "current",
            "other_task",
            "name",
            "rename",
            "eager",
            "factory",
        ],
    ),
    ("bodies", &["await", "sleep", "return", "try", "repeat"]),
    (
        "combinators",
        &[
            "gather",
            "gather_bodies",
            "gather_pair",
            "gather_nested",
            "gather_new",
            "gather_await",
            "gather_cancel",
            "gather_done",
            "wait",
            "wait_for",
            "as_completed",
            "completing_new",
            "completing_next",
            "shield",
            "shield_new",
            "shield_await",
            "shield_cancel",
            "shield_done",
            "timeout",
            "reschedule",
            "expired",
            "group",
            "group_task",
            "group_new",
            "group_cancel",
        ],
    ),
    (
        "locks",
        &[
            "acquire",
            "release",
            "with",
            "locked",
            "event_wait",
            "event_set",
            "event_clear",
            "is_set",
            "cond_wait",
            "cond_wait_for",
            "notify",
            "notify_all",
            "barrier",
            "barrier_reset",
            "barrier_abort",
            "barrier_state",
        ],
    ),
    ("queues", &["put", "get", "join", "put_nowait", "get_nowait", "task_done", "qsize", "shutdown"]),
];

/// The errors, as both sides write them; `…` stands for the program's own words.
pub(crate) const ERRORS: [&str; 47] = [
    "Boom(…)",
    "BrokenBarrierError(Abort or reset of barrier)",
    "BrokenBarrierError(Barrier aborted)",
    "Cancelled()",
    "Cancelled(…)",
    "Deadlock",
    "Exit(…)",
    "Group(…)",
    "InvalidState(Exception is not set.)",
    "InvalidState(Result is not set.)",
    "InvalidState(invalid state)",
    "KeyboardInterrupt",
    "QueueEmpty",
    "QueueFull",
    "QueueShutDown",
    "RuntimeError(Cannot change state of expired Timeout)",
    "RuntimeError(Cannot change state of expiring Timeout)",
    "RuntimeError(Cannot change state of finished Timeout)",
    "RuntimeError(Cannot close a running event loop)",
    "RuntimeError(Cannot run the event loop while another loop is running)",
    "RuntimeError(Event loop is closed)",
    "RuntimeError(Event loop stopped before Future completed.)",
    "RuntimeError(Executor shutdown has been called)",
    "RuntimeError(Lock is not acquired.)",
    "RuntimeError(Runner is closed)",
    "RuntimeError(Runner.run() cannot be called from a running event loop)",
    "RuntimeError(Task cannot await on itself)",
    "RuntimeError(TaskGroup <…> has not been entered)",
    "RuntimeError(TaskGroup <…> is finished)",
    "RuntimeError(TaskGroup <…> is shutting down)",
    "RuntimeError(This event loop is already running)",
    "RuntimeError(attached to a different loop)",
    "RuntimeError(is bound to a different event loop)",
    "RuntimeError(cannot notify on un-acquired lock)",
    "RuntimeError(cannot schedule new futures after shutdown)",
    "RuntimeError(cannot wait on un-acquired lock)",
    "TimedOut",
    "ValueError(BoundedSemaphore released too many times)",
    "ValueError(Set of Tasks/Futures is empty.)",
    "ValueError(The future belongs to a different loop than the one specified as the loop argument)",
    "ValueError(task_done() called too many times)",
    "callback failed …",
    "failed in the shutdown …",
    "report: Future exception was never retrieved",
    "report: Task exception was never retrieved",
    "report: Task was destroyed but it is pending",
    "report: _GatheringFuture exception was never retrieved",
];

/// How many of the programs have each operation, and print each error.
#[derive(Default)]
pub(crate) struct Reached {
    pub(crate) operations: BTreeMap<String, u64>,
    pub(crate) errors: BTreeMap<String, u64>,
}

pub(crate) fn look() -> Reached {
    let mut reached = Reached::default();
    for seed in 1..=PROGRAMS {
        let program = generate::program(seed, Dialect::LATEST);
        let mut operations = BTreeSet::new();
        for lists in [&program["callbacks"], &program["bodies"]] {
            lists
                .as_object()
                .into_iter()
                .flat_map(|map| map.values())
                .for_each(|ops| walk(ops, &mut operations));
        }
        walk(&program["script"], &mut operations);
        let output = world::run(&program);
        let errors = output.log.iter().flat_map(|line| errors_of(line));
        let reports = output.late.iter().filter_map(|line| report_of(line));
        let errors: BTreeSet<String> = errors.chain(reports).collect();
        operations.into_iter().for_each(|name| *reached.operations.entry(name).or_default() += 1);
        errors.into_iter().for_each(|name| *reached.errors.entry(name).or_default() += 1);
    }
    reached
}

/// The names of the operations in this list, and inside of them.
fn walk(ops: &Value, into: &mut BTreeSet<String>) {
    for op in list(ops) {
        let parts = list(op);
        let Some(name) = parts.first().and_then(Value::as_str) else { continue };
        into.insert(name.to_owned());
        parts
            .iter()
            .filter(|part| list(part).iter().any(Value::is_array))
            .for_each(|inner| walk(inner, into));
    }
}

/// The errors in a line. One may be inside of another: a group's.
fn errors_of(line: &str) -> Vec<String> {
    const KINDS: [&str; 13] = [
        "Boom",
        "BrokenBarrierError",
        "Cancelled",
        "Deadlock",
        "Exit",
        "Group",
        "InvalidState",
        "KeyboardInterrupt",
        "QueueEmpty",
        "QueueFull",
        "QueueShutDown",
        "TimedOut",
        "RuntimeError",
    ];
    let mut found = Vec::new();
    if line.contains(": callback failed ") {
        found.push("callback failed …".to_owned());
    }
    if line.contains(" failed in the shutdown ") {
        found.push("failed in the shutdown …".to_owned());
    }
    for kind in KINDS.into_iter().chain(["ValueError"]) {
        let whole = |at: usize| !line[..at].ends_with(char::is_alphabetic);
        for (at, _) in line.match_indices(kind).filter(|(at, _)| whole(*at)) {
            found.push(normal(kind, &line[at + kind.len()..]));
        }
    }
    found
}

/// An error by its kind and what follows it, without the program's own words.
fn normal(kind: &str, rest: &str) -> String {
    let own = matches!(kind, "Boom" | "Exit" | "Group");
    match rest.strip_prefix('(') {
        Some(_) if own => format!("{kind}(…)"),
        Some(rest) if kind == "Cancelled" => {
            if rest.starts_with(')') {
                "Cancelled()".to_owned()
            } else {
                "Cancelled(…)".to_owned()
            }
        }
        // In a list of results a cancellation stands without its message.
        None if kind == "Cancelled" => "Cancelled()".to_owned(),
        Some(rest) => {
            let text = match (rest.find('<'), rest.find('>')) {
                (Some(from), Some(to)) => format!("{}<…>{}", &rest[..from], &rest[to + 1..]),
                _ => rest.to_owned(),
            };
            // Texts with brackets of their own end in a letter or a full stop.
            let end = text.find("() ").map_or(0, |at| at + 2);
            let end = end + text[end..].find(')').unwrap_or(text.len() - end);
            format!("{kind}({})", &text[..end])
        }
        None => kind.to_owned(),
    }
}

fn report_of(line: &str) -> Option<String> {
    let (name, what) = line.split_once(": ")?;
    let gather = if name == "gather" && what.starts_with("Future") { "_Gathering" } else { "" };
    let end =
        what.find("retrieved").map(|at| at + "retrieved".len()).or(what.find("pending").map(|at| at + 7))?;
    Some(format!("report: {gather}{}", &what[..end]))
}

/// What is not reached, and what is reached and not known.
pub(crate) fn gaps(reached: &Reached) -> Vec<String> {
    let known: BTreeSet<&str> = OPERATIONS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let mut gaps = Vec::new();
    let mut compare = |what: &str, known: BTreeSet<&str>, found: &BTreeMap<String, u64>| {
        let missing = known.iter().filter(|name| !found.contains_key(**name));
        gaps.extend(missing.map(|name| format!("{what} is never reached: {name}")));
        let strange = found.keys().filter(|name| !known.contains(name.as_str()));
        gaps.extend(strange.map(|name| format!("{what} that is not in the table: {name}")));
    };
    compare("an operation", known, &reached.operations);
    compare("an error", ERRORS.into_iter().collect(), &reached.errors);
    gaps
}

/// Writes the tables into `docs/conformance.md`, if `LOOPLAB_BLESS` is set.
pub(crate) fn bless(reached: &Reached) {
    if std::env::var_os("LOOPLAB_BLESS").is_none() {
        return;
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance.md");
    let text = std::fs::read_to_string(page).expect("the page");
    let (before, rest) = text.split_once("<!-- coverage -->\n").expect("the mark of the tables");
    let (_, after) = rest.split_once("<!-- /coverage -->").expect("the mark of their end");
    let text = format!("{before}<!-- coverage -->\n{}<!-- /coverage -->{after}", table(reached));
    std::fs::write(page, text).expect("the page");
}

fn table(reached: &Reached) -> String {
    let count = |of: &BTreeMap<String, u64>, name: &str| of.get(name).copied().unwrap_or(0);
    let mut table = String::from("| operations | programs of 4,000 with each |\n|---|---|\n");
    for (group, names) in OPERATIONS {
        let told: Vec<_> =
            names.iter().map(|name| format!("`{name}` {}", count(&reached.operations, name))).collect();
        table += &format!("| {group} | {} |\n", told.join(" · "));
    }
    table += "\n| error | programs of 4,000 that print it |\n|---|---|\n";
    for name in ERRORS {
        table += &format!("| `{name}` | {} |\n", count(&reached.errors, name));
    }
    table
}
