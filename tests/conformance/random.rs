//! Random programs on both sides, and what is shown when they differ.

use crate::generate::{self, Dialect};
use crate::oracle::{Oracle, difference};
use crate::shrink;
use crate::world::{self, Output};
use serde_json::Value;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

/// After so many differences it is time to look at them.
const ENOUGH: usize = 10;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The Python to ask.
pub(crate) fn python() -> String {
    std::env::var("CONFORMANCE_PYTHON").unwrap_or("python3".to_owned())
}

/// Runs random programs on both sides; what differs is printed in its smallest form.
pub(crate) fn compare() {
    let mut oracle = Oracle::start(&python()).expect("a Python");
    let dialect = Dialect { uncancel: oracle.minor >= 13, gather: oracle.minor >= 12 };
    let (first, count) = (number("CONFORMANCE_SEED", 1), number("CONFORMANCE_PROGRAMS", 2000));
    let (mut skipped, mut lines, mut found) = (0, 0, Vec::new());
    for seed in first..first + count {
        let program = generate::program(seed, dialect);
        watch(&program);
        let Some(theirs) = oracle.ask(&program) else {
            skipped += 1;
            continue;
        };
        lines += theirs.log.len();
        if difference(&theirs, &world::run(&program)).is_some() {
            found.push(report(seed, &program, &mut oracle));
        }
        if found.len() == ENOUGH {
            break;
        }
    }
    println!(
        "Python 3.{}: {count} programs from seed {first}, {lines} lines, {skipped} skipped, {} differ",
        oracle.minor,
        found.len()
    );
    assert!(found.is_empty(), "CPython on the left, looplab on the right\n\n{}", found.join("\n"));
    assert!(skipped * 10 < count, "{skipped} programs of {count} were skipped");
}

fn report(seed: u64, program: &Value, oracle: &mut Oracle) -> String {
    let small = shrink::shrink(program, |program| {
        watch(program);
        oracle.ask(program).is_some_and(|theirs| difference(&theirs, &world::run(program)).is_some())
    });
    let theirs = oracle.ask(&small).unwrap_or_default();
    format!("seed {seed}: {small}\n{}", side_by_side(&theirs, &world::run(&small)))
}

/// Both outputs in columns, with a mark where they differ.
pub(crate) fn side_by_side(theirs: &Output, ours: &Output) -> String {
    let mut text = String::new();
    for (theirs, ours) in [(&theirs.log, &ours.log), (&theirs.late, &ours.late)] {
        for n in 0..theirs.len().max(ours.len()) {
            let pick = |lines: &[String]| lines.get(n).cloned().unwrap_or_default();
            let (theirs, ours) = (pick(theirs), pick(ours));
            let mark = if theirs == ours { ' ' } else { '|' };
            text += format!("   {theirs:<55} {mark} {ours}").trim_end();
            text.push('\n');
        }
        text += "   --\n";
    }
    text
}

/// Notes the program under way. If it is still the same after a minute, the process ends and tells which it was.
pub(crate) fn watch(program: &Value) {
    static NOW: LazyLock<Mutex<(Instant, String)>> = LazyLock::new(|| {
        std::thread::spawn(|| {
            loop {
                std::thread::sleep(Duration::from_secs(1));
                let now = NOW.lock().expect("nobody panics with it");
                if now.0.elapsed() > Duration::from_secs(60) && !now.1.is_empty() {
                    eprintln!("this program hangs: {}", now.1);
                    std::process::abort();
                }
            }
        });
        Mutex::new((Instant::now(), String::new()))
    });
    *NOW.lock().expect("nobody panics with it") = (Instant::now(), program.to_string());
}
