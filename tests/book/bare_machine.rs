//! A machine with nothing but looplab on it: no Redis, no Python, no network tools, no shell's commands.

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use support::{LONG, examples, watchdog_of};

/// Runs these lessons, or all, and returns how each one ended.
fn shown(tour: &Path, names: &[&str]) -> Vec<Value> {
    let mut command = Command::new(tour);
    command.arg("run").args(names).args(["--no-build", "--json"]).env("PATH", "").env_remove("REDIS_URL");
    let shown = command.output().expect("the tour starts");
    let answer: Value = serde_json::from_slice(&shown.stdout).expect("an object");
    answer["lessons"].as_array().expect("lessons").clone()
}

#[test]
fn a_machine_without_any_other_program_shows_every_lesson() {
    // Building the examples may take longer than the watchdog waits.
    let tour = examples().join("tour");
    let _dog = watchdog_of(LONG);
    let lessons = shown(&tour, &[]);
    assert!(lessons.len() > 50, "{} lessons", lessons.len());
    for lesson in lessons.iter().filter(|lesson| lesson["ok"] != true) {
        // A machine that stands still for a tenth of a second brings timers of a lesson together: once more, alone.
        let again = shown(&tour, &[lesson["name"].as_str().expect("a name")]);
        assert_eq!(again[0]["ok"], true, "{lesson}\nand again: {}", again[0]);
    }
}
