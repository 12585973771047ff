//! A reader's steps through a page: keys, buttons, search, strip, link, themes and widths.

use crate::browser::Browser;
use crate::lessons::page_of;
use looplab::EventLoop;
use serde_json::json;
use std::fs;
use std::process::Stdio;
use std::thread;
use support::{again, role, watchdog};

const SENTENCE: &str = "document.querySelector('.sentence').innerText";
const LINK: &str = "new Promise((done) => setTimeout(() => done(location.hash), 200))";

impl Browser {
    pub(crate) fn sentence(&mut self) -> String {
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
    let spoken = format!("Turn 3. Your code: {}", browser.sentence());
    assert_eq!(browser.text("document.querySelector('[aria-live]').textContent"), spoken);
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
        ("Shift+ArrowRight", "An event loop is made."), // the program has printed something before
        ("Shift+ArrowRight", "Run 1 begins."),
        ("Shift+ArrowRight", "Turn 1."),
        ("Shift+ArrowLeft", "Run 1 begins."),
        (".", "Turn 1."),
        (",", "Run 1 begins."),
        ("]", "The run is over;"),
        ("]", "The loop is closed. 1 queued entry is thrown away."),
        ("[", "The run is over;"),
        ("End", "The program prints “closed”."),
        ("n", "The program prints “closed”."), // no task steps after the end
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

/// The page behind a dialog takes no focus, and has it again afterwards.
#[test]
fn tab_stays_in_the_dialog_of_keys_and_its_buttons_close_the_dialog_alone() {
    let Some(mut browser) = Browser::start() else { return };
    let (_watchdog, folder) = (watchdog(), tempfile::tempdir().expect("a folder"));
    browser.open(&page_of("33_shield", folder.path()), "view=compare");
    let dialog = "document.querySelector('.dialog')";
    browser.press("?");
    let keys = browser.eval("document.querySelectorAll('.dialog button').length").as_u64().expect("a number");
    let mut inside = 0;
    for _ in 0..keys + 5 {
        browser.press("Tab");
        // After the last button the browser's own bar has it.
        let at = "(({activeElement: at}) => at === document.body ? 'none' : at.closest('.dialog') ? 'dialog' : 'page')(document)";
        let at = browser.text(at);
        assert_ne!(at, "page");
        inside += u64::from(at == "dialog");
    }
    assert!(inside >= keys, "{inside} of {keys}");
    for act in ["close", "keys"] {
        browser.eval(&format!("document.querySelector('.keys [data-act={act}]').click()"));
        assert_eq!(browser.eval(dialog), json!(null), "{act}");
        assert_eq!(browser.eval("xray.page.view"), "compare", "{act}");
        assert_eq!(browser.eval("document.activeElement.dataset.act"), "keys", "{act}");
        browser.press("?");
    }
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
fn a_program_that_is_killed_leaves_a_page_that_ends_where_its_trace_ends() {
    if role().is_some() {
        let lp = EventLoop::new().expect("a loop");
        lp.call_soon(|| ()).expect("open");
        return lp.run_forever().expect("nothing ends it");
    }
    let Some(mut browser) = Browser::start() else { return };
    let (_watchdog, folder) = (watchdog(), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("killed.html");
    let mut program = again!("killed");
    let mut program = program.env("LOOPLAB_TRACE", &file).stdout(Stdio::null()).spawn().expect("a program");
    while fs::read_to_string(&file).map_or(true, |text| !text.contains(r#""why":"idle""#)) {
        thread::yield_now();
    }
    program.kill().and_then(|()| program.wait()).expect("it is killed");
    browser.open(&file, "");
    browser.press("End");
    let last = "Nothing is ready and no timer is set. I sleep until something outside wakes me.";
    assert_eq!(browser.sentence(), last);
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

#[test]
fn the_chain_of_causes_leads_back_to_the_signal() {
    let Some(mut browser) = Browser::start() else { return };
    let (_watchdog, folder) = (watchdog(), tempfile::tempdir().expect("a folder"));
    browser.open(&page_of("05_create_task_after_stop", folder.path()), "turn=6&loop=2");
    browser.click(".chip", 0.0);
    let causes = "[...document.querySelectorAll('.causes button > span')].map((cause) => cause.innerText)";
    assert_eq!(
        browser.eval(causes),
        json!([
            "cleanup runs in turn 6, 1 of 1",
            "because the future of a sleep was done, and cleanup’s sleep ends queued it",
            "because its time had come",
            "because cleanup set the timer",
            "because on_signal queued it",
            "because SIGINT arrived",
            "because something was written to the self-pipe",
        ])
    );
    browser.click(".causes li:nth-child(4) button", 0.0);
    assert_eq!(browser.sentence(), "A timer is set: cleanup’s sleep ends in 20 ms.");
    browser.press("Home");
    browser.press("w");
    assert_eq!(browser.eval("document.querySelector('.why .empty') !== null"), true);
    browser.is_content();
}

#[test]
fn arrows_lead_from_what_queued_to_what_ran() {
    let Some(mut browser) = Browser::start() else { return };
    let (_watchdog, folder) = (watchdog(), tempfile::tempdir().expect("a folder"));
    browser.open(&page_of("05_create_task_after_stop", folder.path()), "turn=6&loop=2&step=callback");
    while !browser.sentence().contains("cleanup goes on after its await") {
        browser.press("ArrowRight");
    }
    let rows = "[...document.querySelectorAll('.lane')].map((name) => name.textContent)";
    assert_eq!(browser.eval(rows), json!(["the loop’s own", "callbacks", "cleanup"]));
    let count = |selector: &str| format!("document.querySelectorAll('.lanes {selector}').length");
    assert_eq!(browser.eval(&count(".call")), 7, "a block for each callback of the second loop");
    assert_eq!(browser.eval(&count(".call.to-come")), 1);
    // From the self-pipe over the handler, the first step and the end of its sleep.
    assert_eq!(browser.eval(&count(".arrow.bold")), 4);
    assert_eq!(browser.text("document.querySelector('.call.now title').textContent"), "cleanup");
    let first = "document.querySelector('.call').dispatchEvent(new MouseEvent('click', { bubbles: true }))";
    browser.eval(first);
    assert!(browser.sentence().ends_with("runs: 1 of 1."), "{}", browser.sentence());
    browser.is_content();
}

#[test]
fn play_steps_by_itself_and_a_dropped_trace_joins_the_page() {
    let Some(mut browser) = Browser::start() else { return };
    let (_watchdog, folder) = (watchdog(), tempfile::tempdir().expect("a folder"));
    browser.open(&page_of("01_stop_finishes_the_turn", folder.path()), "s=0&step=run");
    browser.press(" ");
    // It steps until nothing comes any more, and then stops.
    while browser.eval("xray.page.playing !== 0") == true {}
    assert_eq!(browser.eval("xray.page.at === xray.traces[0].events.length - 1"), true);

    let dropped = format!(
        "(async () => {{
            const data = new DataTransfer();
            data.items.add(new File([{}], 'other.jsonl'));
            document.dispatchEvent(new DragEvent('drop', {{ dataTransfer: data, cancelable: true }}));
            while (xray.traces.length < 2) await new Promise((next) => setTimeout(next));
        }})()",
        json!(PRINTS)
    );
    browser.eval(&dropped);
    let names = "[...document.querySelectorAll('header .choice button')].map((button) => button.innerText)";
    assert_eq!(browser.eval(names), json!(["Rust", "other.jsonl"]));
    browser.click("header .choice button", 0.0);
    assert!(browser.text("document.querySelector('h1').innerText").starts_with("01 stop()"));
    // What is no trace is left out, and lines that are no events.
    for other in ["", "no JSON", "null\n[1]\n{}\n", r#"{"e":1}"#] {
        assert_eq!(browser.eval(&format!("xray.addTrace({}, 'other')", json!(other))), false, "{other}");
    }
    assert_eq!(browser.eval("xray.traces.length"), 2);
    browser.is_content();
}

/// A trace with everything that a recorder may add: output, source, and what woke the loop.
const PRINTS: &str = r#"{"s":0,"t":0,"e":"meta","v":1,"rt":"looplab 0.1.0","unit":"ns","clock":"monotonic","prog":"prints"}
{"s":1,"t":0,"e":"loop","ev":"new"}
{"s":2,"t":0,"e":"def","k":"src","id":1,"v":"prints.rs:4:8"}
{"s":3,"t":0,"e":"push","q":1,"h":1,"via":"call_soon","kind":"cb","cb":"prints::main::{closure}","src":1}
{"s":4,"t":0,"e":"out","text":"before the run\n"}
{"s":5,"t":0,"e":"loop","ev":"run"}
{"s":6,"t":0,"e":"turn","n":1}
{"s":7,"t":0,"e":"sel","to":0,"why":"ready"}
{"s":8,"t":0,"e":"polled","ev":[]}
{"s":9,"t":0,"e":"batch","n":1}
{"s":10,"t":0,"e":"run","q":1,"h":1}
{"s":11,"t":0,"e":"job","job":1,"fn":"prints::work","by":1}
{"s":12,"t":0,"e":"out","text":"<b>one</b>\n","by":1}
{"s":13,"t":0,"e":"ret","q":1}
{"s":14,"t":0,"e":"turn","n":2}
{"s":15,"t":0,"e":"sel","to":null,"why":"idle"}
{"s":16,"t":2000000,"e":"polled","ev":[],"wake":"thread"}
{"s":17,"t":2000000,"e":"jrun","job":1,"thr":"looplab_0","at":1000}
{"s":18,"t":2000000,"e":"def","k":"file","id":1,"v":"prints.rs","text":"//! Prints.\n\nfn main() {\n    lp.call_soon(|| println!(\"one\"));\n}\n"}
"#;

#[test]
fn output_stands_beside_what_printed_it() {
    let Some(mut browser) = Browser::start() else { return };
    let (_watchdog, folder) = (watchdog(), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("prints.html");
    fs::write(&file, looplab::xray::page(&[("Rust", PRINTS)])).expect("the page");
    browser.open(&file, "step=event");
    let told = looplab::xray::sentences(PRINTS).expect("a trace");
    for sentence in &told {
        assert_eq!(browser.sentence(), sentence.text.replace('`', ""));
        browser.press("ArrowRight");
    }
    assert_eq!(told[10].text, "`println!(\"one\")` prints “<b>one</b>”.");
    assert_eq!(told[14].text, "I slept 2 ms. Another thread woke me.");
    let rows = "[...document.querySelectorAll('.printed button')].map((row) => row.innerText.split(/\\s*\\n\\s*/).join('|'))";
    assert_eq!(browser.eval(rows), json!(["before the run", "1|<b>one</b>|println!(\"one\")"]));
    browser.press("O");
    assert!(browser.sentence().contains("<b>one</b>"), "{}", browser.sentence());
    browser.press("O");
    assert_eq!(browser.sentence(), "The program prints “before the run”.");
    assert_eq!(browser.eval("document.querySelectorAll('.printed li').length"), 1);
    browser.is_content();
}

/// axe-core asks a page for what the accessibility guidelines demand. It is in this package for tests only.
const AXE: &str = include_str!("axe-core/axe.min.js");

/// Returns what axe finds wrong with what the browser shows.
pub(crate) fn axe(browser: &mut Browser) -> serde_json::Value {
    browser.eval(&format!(
        "(async () => {{ {AXE}; const found = await axe.run(document);
            return found.violations.map(({{ id, nodes }}) => [id, nodes.map(({{ html }}) => html)]); }})()"
    ))
}

#[test]
fn axe_finds_nothing_in_either_theme() {
    let Some(mut browser) = Browser::start() else { return };
    let (_watchdog, folder) = (watchdog(), tempfile::tempdir().expect("a folder"));
    for (lesson, moment, width, key) in [
        ("05_create_task_after_stop", "turn=3&loop=2", 1400, ""),
        ("33_shield", "turn=5", 390, ""),
        ("22_echo_server_ctrl_c", "turn=20", 900, ""),
        ("18_cancel_needs_a_suspension", "turn=10", 1400, "?"),
        ("35_taskgroup", "turn=5", 1400, "/"),
        ("33_shield", "view=compare", 1400, ""),
        ("33_shield", "view=compare", 390, ""),
        ("01_stop_finishes_the_turn", "view=predict", 1400, ""),
        ("18_cancel_needs_a_suspension", "view=predict", 390, "1"),
    ] {
        let file = page_of(lesson, folder.path());
        for theme in ["light", "dark"] {
            browser.resize(width, 900);
            browser.open(&file, &format!("{moment}&theme={theme}"));
            browser.eval("xray.go(xray.page.at + 7)");
            if !key.is_empty() {
                browser.press(key);
                browser.call("Input.insertText", json!({ "text": "a" }));
            }
            let found = axe(&mut browser);
            assert_eq!(found, json!([]), "{lesson}, {theme}");
        }
    }
}
