//! Compare: lessons and their twins side by side in the page, and the list of what parts them.

use crate::browser::Browser;
use crate::lessons::{lessons, page_of, record};
use crate::python::{python_and_xray, trace_of};
use looplab::xray::page;
use looplab_tour::align::{Row, align, rows};
use serde_json::{Value, json};
use std::fs;
use support::watchdog;

/// Aligns the two traces of the page. Returns how many rows there are, and those on one side only.
const PARTED: &str = "(() => {
    const [rust, python] = xray.traces.map((trace) => xray.rowsOf(trace, 0));
    const pairs = xray.align(rust, python);
    const parted = pairs.filter((pair) => xray.signOf(pair) === '≠');
    return [pairs.length, parted.map(([left, right]) => `${left ? 'Rust' : 'Python'} | ${(left ?? right).what} ${(left ?? right).name}`)];
})()";

/// Lessons without a difference, on each CPython.
const SAME: [&str; 5] = [
    "01_stop_finishes_the_turn",
    "05_create_task_after_stop",
    "13_signal_late_binding",
    "31_restart_a_stopped_loop",
    "37_cleanup_after_run_forever",
];

#[test]
fn lessons_and_their_twins_are_the_same_in_order_and_output() {
    let (Some(mut browser), Some((python, folder, xray))) = (Browser::start(), python_and_xray()) else {
        return;
    };
    let file = folder.path().join("both.html");
    let both = |lesson: &str| {
        let rust = record(lesson, folder.path()).expect("the lesson has a loop");
        let python = trace_of(&python, &xray, lesson).expect("the twin runs");
        fs::write(&file, page(&[("Rust", rust), ("Python", python)])).expect("the page");
    };
    for lesson in SAME {
        let _watchdog = watchdog();
        both(lesson);
        browser.open(&file, "");
        let parted = browser.eval(PARTED);
        assert!(parted[0].as_u64() > Some(5), "{lesson}: {parted}");
        assert_eq!(parted[1], json!([]), "{lesson}");
    }
    let _watchdog = watchdog();
    both("05_create_task_after_stop");
    browser.open(&file, "");
    browser.press("d");
    assert_eq!(browser.text("document.querySelector('.verdict').innerText"), "The two runs are the same");
    let chosen = "[...document.querySelectorAll('select')].map((select) => select.value)";
    assert_eq!(browser.eval(chosen), json!(["Rust, all loops", "Python, all loops"]));
    browser.press("d");
    assert!(!browser.sentence().is_empty());
    // What parts asyncio.run from looplab::run is found, and nothing else.
    both("18_cancel_needs_a_suspension");
    browser.open(&file, "view=compare");
    let parted: Vec<Value> = browser.eval(PARTED)[1].as_array().expect("a list").clone();
    let twice = ["Python | task *", "Python | own run_until_complete"].repeat(2);
    assert_eq!(parted, twice);
    browser.is_content();
}

/// Reads two traces into an open page, and aligns them: of each row what it is, its name, text, fate and turn.
const ALIGNED: &str = "((...texts) => {
    xray.traces.length = 0;
    for (const text of texts) xray.addTrace(text, 'a side');
    const pairs = xray.align(...xray.traces.map((trace) => xray.rowsOf(trace, 0)));
    return pairs.map((pair) => pair.map((row) => row ? [row.what, row.name, row.text, row.skipped, row.turn ?? 0] : null));
})";

#[test]
fn the_page_aligns_every_lesson_and_its_twin_as_the_tour_does() {
    let (Some(mut browser), Some((python, folder, xray))) = (Browser::start(), python_and_xray()) else {
        return;
    };
    let empty = folder.path().join("empty.html");
    fs::write(&empty, page(&[])).expect("the page");
    browser.open(&empty, "");
    let mut compared = 0;
    for lesson in lessons() {
        let _watchdog = watchdog();
        let (rust, twin) = (record(&lesson, folder.path()), trace_of(&python, &xray, &lesson));
        let Some((rust, twin)) = rust.zip(twin) else { continue };
        // What snapshots hold aligns nothing.
        let rust: String =
            rust.split_inclusive('\n').filter(|line| !line.contains(r#""e":"snap""#)).collect();
        let shown = browser.eval(&format!("{ALIGNED}({}, {})", json!(rust), json!(twin)));
        let row = |row: Option<Row>| {
            row.map(|row| json!([row.what, row.name, row.text, row.skipped, row.turn])).unwrap_or_default()
        };
        let pairs = align(&rows(&rust), &rows(twin));
        let pairs: Vec<Value> =
            pairs.into_iter().map(|(left, right)| json!([row(left), row(right)])).collect();
        assert_eq!(Value::Array(pairs), shown, "{lesson}: the tour aligns as the left one");
        compared += 1;
    }
    assert!(compared > 30, "{compared} lessons were compared");
    browser.is_content();
}

#[test]
fn two_loops_of_one_trace_are_compared_and_a_row_leads_to_its_moment() {
    let Some(mut browser) = Browser::start() else { return };
    let (_watchdog, folder) = (watchdog(), tempfile::tempdir().expect("a folder"));
    browser.open(&page_of("33_shield", folder.path()), "theme=light");
    browser.press("d");
    let chosen = "[...document.querySelectorAll('select')].map((select) => select.value)";
    assert_eq!(browser.eval(chosen), json!(["Rust, loop 1", "Rust, loop 2"]));
    let verdict = browser.text("document.querySelector('.verdict').innerText");
    assert!(verdict.starts_with("The first difference is in row "), "{verdict}");
    let first = browser.text("document.querySelector('.pair.first.differs').innerText");
    assert!(first.contains("commit’s sleep ends"), "{first}");
    let rows = "document.querySelectorAll('.pair:not(.sides, .runs)').length";
    let all = browser.eval(rows).as_u64();
    browser.click(".only input", 0.0);
    let different = browser.eval(rows).as_u64();
    assert!(Some(0) < different && different < all, "{different:?} of {all:?}");
    browser.click("[data-act=difference]", 0.0);
    browser.click(".pair.first button", 0.0);
    assert_eq!(browser.eval("xray.page.view"), "");
    assert_eq!(browser.eval("['run', 'skip'].includes(xray.traces[0].events[xray.page.at].e)"), true);
    browser.press("d");
    assert!(browser.eval("location.hash").is_string());
    browser.press("Escape");
    assert!(!browser.sentence().is_empty());
    browser.is_content();
}
