//! Pictures of the page, to be looked at: `cargo test --test page -- --ignored pictures`.

use crate::browser::Browser;
use crate::lessons::page_of;
use serde_json::json;
use std::fs;
use std::path::Path;
use support::{root, watchdog};

/// Lessons, each with a moment at which its page has much to show.
const MOMENTS: [(&str, &str); 7] = [
    ("01_stop_finishes_the_turn", "turn=1"),
    ("05_create_task_after_stop", "turn=3&loop=2"),
    ("18_cancel_needs_a_suspension", "turn=11"),
    ("22_echo_server_ctrl_c", "turn=9"),
    ("24_executor_outlives_main", "turn=3"),
    ("33_shield", "turn=5"),
    ("35_taskgroup", "turn=5"),
];

#[test]
#[ignore = "it writes pictures for people to look at"]
fn pictures() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    for (lesson, moment) in MOMENTS {
        let _watchdog = watchdog();
        let file = page_of(lesson, folder.path());
        // Into the turn, to its last entry.
        let to_entry = "(() => { const { page, traces: [trace], go } = xray; const turn = trace.turns[trace.turnOf[page.at]];
            go(turn.ran.at(-1)?.run + 1 || page.at); })()";
        take(&mut browser, &file, moment, to_entry, &lesson[..2]);
    }
    let wrong = "(() => { const { page, traces: [trace] } = xray; const { kind, right } = trace.questions[page.question];
        if (kind !== 'order') document.querySelectorAll('.option')[right === 0 ? 1 : 0].click(); })()";
    for (lesson, link, then, name) in [
        ("01_stop_finishes_the_turn", "view=predict", "1", "predict-asked"),
        ("01_stop_finishes_the_turn", "view=predict", wrong, "predict-answered"),
        ("33_shield", "view=compare", "1", "compare"),
    ] {
        let _watchdog = watchdog();
        take(&mut browser, &page_of(lesson, folder.path()), link, then, name);
    }
    browser.is_content();
}

/// Takes a picture in three widths and both themes.
fn take(browser: &mut Browser, file: &Path, link: &str, then: &str, name: &str) {
    for (width, height) in [(1400, 1000), (900, 1300), (390, 844)] {
        for theme in ["light", "dark"] {
            browser.resize(width, height);
            browser.open(file, &format!("{link}&theme={theme}"));
            browser.eval(then);
            picture(browser, &format!("{name}-{width}-{theme}"));
        }
    }
}

/// Writes a picture of what the browser shows.
pub(crate) fn picture(browser: &mut Browser, name: &str) {
    let answer = browser.call("Page.captureScreenshot", json!({ "format": "png" }));
    let picture = decode(answer["data"].as_str().expect("a picture"));
    let shots = root().join("target/xray/shots");
    fs::create_dir_all(&shots).expect("a folder for the pictures");
    fs::write(shots.join(format!("{name}.png")), picture).expect("a picture is written");
}

/// Decodes base64, which is all that the pictures need of a crate.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(digit).collect();
    let bytes = digits.chunks(4).flat_map(|four| {
        let bits =
            four.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - four.len()));
        let [_, bytes @ ..] = bits.to_be_bytes();
        bytes.into_iter().take(four.len() - 1)
    });
    bytes.collect()
}
