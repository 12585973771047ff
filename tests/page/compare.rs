//! Compare: lessons and their twins side by side in the page, and the list of what parts them.

use crate::browser::Browser;
use crate::lessons::{page_of, record};
use crate::python::{python_and_xray, record as record_twin};
use looplab::xray::page;
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
        let python = record_twin(&python, &xray, lesson, folder.path());
        fs::write(&file, page(&[("Rust", &rust), ("Python", &python)])).expect("the page");
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
    assert_eq!(browser.eval("document.querySelectorAll('.pair.first.differs').length"), 1);
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
