//! The example of an explored service: it keeps its promise, and its careless twin does not.

use std::process::{Command, Stdio};

/// Runs the example with these words, and returns what it prints.
fn explored(words: &[&str]) -> String {
    let mut command = Command::new(support::examples().join("explore_service"));
    command.args(words).env_remove("LOOPLAB_EXPLORE").current_dir(support::root());
    let ended = command.stdin(Stdio::null()).output().expect("the example starts");
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    String::from_utf8(ended.stdout).expect("UTF-8")
}

#[test]
fn the_explored_service_saves_what_it_has_taken() {
    let said = explored(&[]);
    let passed =
        said.strip_prefix("explore: all of ").and_then(|rest| rest.split_once(" schedules pass (in "));
    let (count, rest) = passed.unwrap_or_else(|| panic!("{said}"));
    assert!(count.parse::<u32>().is_ok_and(|count| count > 200) && rest.lines().count() == 1, "{said}");
}

#[test]
fn the_careless_twin_of_the_explored_service_loses_an_order() {
    let said = explored(&["careless"]);
    assert!(said.contains("\n        taken 2, saved 1\n") && said.contains("✂ cancel worker"), "{said}");
}
