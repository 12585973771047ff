//! The counts that `docs/architecture.md` names are the limits that CI holds.

use std::fs;
use support::root;

/// Returns a number with a comma between its thousands.
fn grouped(number: &str) -> String {
    match number.len().checked_sub(3) {
        Some(at) if at > 0 => format!("{},{}", &number[..at], &number[at..]),
        _ => number.to_owned(),
    }
}

#[test]
fn the_architecture_names_the_limits_that_ci_holds() {
    let limits = fs::read_to_string(root().join(".ci/budgets.txt")).expect("the limits");
    let page = fs::read_to_string(root().join("docs/architecture.md")).expect("the page");
    for (row, count) in [
        ("the loop", "lines loop"),
        ("tasks", "lines task"),
        ("threads", "lines threads"),
        ("net", "lines net"),
        ("sync", "lines sync"),
        ("all rooms, without those that came later", "lines base"),
        ("named types of loop, tasks, signals, threads and `combine`", "types of the core"),
    ] {
        let limit = limits.lines().find_map(|line| line.strip_prefix(count)?.strip_prefix(" = "));
        let limit = limit.and_then(|rest| rest.split(':').next()).unwrap_or_else(|| panic!("no {count}"));
        let named = page.lines().find(|line| line.starts_with(&format!("| {row} | ")));
        let named = named.unwrap_or_else(|| panic!("the page has no row {row}"));
        assert!(named.ends_with(&format!("| {} |", grouped(limit))), "{count} is {limit}: {named}");
    }
}
