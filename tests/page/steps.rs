//! A reader's steps through a page: keys, buttons, search, strip, link, themes and widths.

use crate::browser::Browser;
use crate::lessons::page_of;
use serde_json::json;
use std::fs;
use support::watchdog;

const SENTENCE: &str = "document.querySelector('.sentence').innerText";
const LINK: &str = "new Promise((done) => setTimeout(() => done(location.hash), 200))";

impl Browser {
    fn sentence(&mut self) -> String {
        self.text(SENTENCE)
    }

    /// Returns the names of the chips in one box of the ready queue.
    fn chips(&mut self, of: &str) -> serde_json::Value {
        self.eval(&format!(
            "[...document.querySelectorAll('.{of} .chip .name')].map((name) => name.innerText)"
        ))
    }
}

#[test]
fn keys_step_forward_and_back_through_the_same_sentences() {
    let Some(mut browser) = Browser::start() else { return };
    let (_watchdog, folder) = (watchdog(), tempfile::tempdir().expect("a folder"));
    browser.open(&page_of("05_create_task_after_stop", folder.path()), "turn=3&loop=2&step=event");
    assert_eq!(browser.sentence(), "Turn 3. 1 entry in the queue.");
    while !browser.sentence().contains("stop flag") {
        browser.press("ArrowRight");
    }
    assert_eq!(
        browser.sentence(),
        "on_signal sets the stop flag. This was the last entry of the batch. Then the run ends."
    );
    assert_eq!(browser.text("document.querySelector('.pill').innerText"), "Your code");
    browser.press("ArrowRight");
    browser.press("ArrowRight");
    assert_eq!(browser.chips("divided"), json!(["cleanup"]));
    assert_eq!(browser.text("document.querySelector('.divided h3').innerText"), "Waits for the next run 1");

    browser.press("Home");
    let mut forward = vec![browser.sentence()];
    let events = browser.eval("xray.traces[0].events.length").as_u64().expect("a number");
    for _ in 1..events {
        browser.press("ArrowRight");
        forward.push(browser.sentence());
    }
    browser.press("ArrowRight"); // nothing comes after the end
    let mut back = vec![browser.sentence()];
    for _ in 1..events {
        browser.press("ArrowLeft");
        back.push(browser.sentence());
    }
    back.reverse();
    assert_eq!(forward, back);

    browser.press("Home");
    for (key, begins) in [
        ("Shift+ArrowRight", "Run 1 begins."),
        ("Shift+ArrowRight", "Turn 1."),
        ("Shift+ArrowLeft", "Run 1 begins."),
        (".", "Turn 1."),
        (",", "Run 1 begins."),
        ("]", "The run is over;"),
        ("]", "The loop is closed. 1 queued entry is thrown away."),
        ("[", "The run is over;"),
        ("End", "The loop is closed."),
        ("n", "The loop is closed."), // no task steps after the end
        ("N", "cleanup goes on after its await."),
    ] {
        browser.press(key);
        let sentence = browser.sentence();
        assert!(sentence.starts_with(begins), "{key}: {sentence}");
    }
    browser.press("g");
    assert_eq!(
        browser.text("document.querySelector('[data-act=unit][aria-pressed=true]').innerText"),
        "callback"
    );
    browser.is_content();
}

#[test]
fn search_strip_chips_and_theme_lead_to_their_moments() {
    let Some(mut browser) = Browser::start() else { return };
    let (_watchdog, folder) = (watchdog(), tempfile::tempdir().expect("a folder"));
    let file = page_of("33_shield", folder.path());
    browser.open(&file, "s=0&step=callback&theme=light");
    browser.press("/");
    assert_eq!(browser.eval("document.activeElement.type"), "search");
    browser.call("Input.insertText", json!({ "text": "stop flag" }));
    assert!(browser.eval("document.querySelectorAll('.found li').length").as_u64() > Some(0));
    browser.press("Enter");
    assert!(browser.sentence().contains("sets the stop flag"), "{}", browser.sentence());
    assert_eq!(browser.eval("document.querySelector('.dialog')"), json!(null));

    browser.click(".strip", 0.3);
    assert!(browser.sentence().starts_with("Turn "), "{}", browser.sentence());
    let link = browser.text(LINK);
    let sentence = browser.sentence();
    browser.open(&file, link.trim_start_matches('#'));
    assert_eq!(browser.sentence(), sentence, "the link keeps the moment");

    browser.click("[data-act=unit][data-value=turn]", 0.0);
    browser.click(".step.main", 0.0);
    assert_ne!(browser.sentence(), sentence);
    while browser.chips("queue") == json!([]) {
        browser.press("ArrowRight");
    }
    browser.click(".chip", 0.0);
    assert_eq!(browser.eval("document.querySelector('.chip').ariaPressed"), "true");

    let paper = "getComputedStyle(document.body).backgroundColor";
    assert_eq!(browser.text(paper), "rgb(246, 244, 239)");
    browser.press("t");
    assert_eq!(browser.text(paper), "rgb(14, 17, 22)");
    assert!(browser.text(LINK).contains("theme=dark"));
    browser.press("?");
    assert!(browser.text("document.querySelector('.dialog').innerText").contains("previous turn"));
    browser.press("Escape");
    assert_eq!(browser.eval("document.querySelector('.dialog')"), json!(null));
    browser.is_content();
}

#[test]
fn a_page_that_is_cut_off_in_a_line_opens_and_ends_there() {
    let Some(mut browser) = Browser::start() else { return };
    let (_watchdog, folder) = (watchdog(), tempfile::tempdir().expect("a folder"));
    let whole = fs::read_to_string(page_of("01_stop_finishes_the_turn", folder.path())).expect("the page");
    let turn = whole.find(r#""e":"turn","n":2"#).expect("a second turn");
    let file = folder.path().join("cut.html");
    fs::write(&file, &whole[..turn + 12]).expect("a page");
    browser.open(&file, "");
    browser.press("End");
    assert!(browser.sentence().starts_with("Run 2 begins."), "{}", browser.sentence());
    assert!(browser.text("document.querySelector('header').innerText").contains("cut off"));
    browser.is_content();
}

#[test]
fn no_width_scrolls_sideways() {
    let Some(mut browser) = Browser::start() else { return };
    let (_watchdog, folder) = (watchdog(), tempfile::tempdir().expect("a folder"));
    for lesson in ["01_stop_finishes_the_turn", "22_echo_server_ctrl_c", "35_taskgroup"] {
        let file = page_of(lesson, folder.path());
        for width in [320, 390, 700, 701, 900, 1180, 1400] {
            browser.resize(width, 900);
            browser.open(&file, "turn=4");
            let wide = browser.eval("document.documentElement.scrollWidth");
            assert_eq!(wide, width, "{lesson} at {width} pixels");
        }
    }
    browser.is_content();
}
