//! The lab in a browser: a lesson's five steps by keys, an edit that is seen, themes and widths.

use crate::browser::Browser;
use crate::shots::picture;
use crate::steps::axe;
use serde_json::json;
use std::fs;
use support::{LONG, Served, watchdog_of};
use tempfile::TempDir;

/// The state of the X-ray page in the frame.
const XRAY: &str = "document.querySelector('iframe')?.contentWindow.xray";

fn open() -> Option<(Browser, Served, TempDir)> {
    let mut browser = Browser::start()?;
    let folder = tempfile::tempdir().expect("a folder");
    let lab = Served::start(folder.path(), &["--seconds", "60"]);
    browser.visit(&lab.home(), &lab.address());
    browser.until("document.querySelector('.cards') !== null");
    Some((browser, lab, folder))
}

impl Browser {
    /// Waits for the run of a copy to end, and returns how it ended.
    fn ran(&mut self, language: &str) -> serde_json::Value {
        self.until(&format!("lab.runs['{language}/copy']?.doing === ''"));
        self.eval(&format!("lab.runs['{language}/copy'].ended"))
    }
}

#[test]
fn a_lesson_is_walked_through_its_five_steps_by_keys() {
    let Some((mut browser, _lab, folder)) = open() else { return };
    let _watchdog = watchdog_of(LONG);
    assert!(!browser.text("location.href").contains("key="), "the key is in no address that stays");
    browser.eval("document.querySelector('.cards a[href*=\"05\"]').focus()");
    browser.press("Enter");
    browser.until("document.querySelector('.prose p') !== null");
    assert_eq!(browser.eval("document.activeElement.id"), "here", "the title has the focus");
    assert!(browser.text("document.querySelector('.prose').innerText").starts_with("The pitfall."));

    browser.press("2");
    browser.until(&format!("{XRAY}?.page.view === 'predict'"));
    for _ in 0..2 {
        browser.eval("document.querySelector('iframe').contentDocument.querySelector('.option').click()");
        browser
            .eval("document.querySelector('iframe').contentDocument.querySelector('.answer button').click()");
    }
    browser.until("lab.scores.answered === 2");
    assert_eq!(browser.eval("isDone('05', 'predict')"), true);

    browser.press("3");
    // A step is a link: the page follows it a moment later.
    browser.until("document.querySelector('[aria-current=step]')?.innerText.includes('Run')");
    browser.press("r");
    assert_eq!(browser.ran("rs")["same"], true);
    assert_eq!(
        browser.text("document.querySelector('.run .live').innerText"),
        browser.text("document.querySelector('.transcript pre').innerText")
    );
    browser.ran("py");

    browser.press("4");
    browser.until(&format!("{XRAY} !== undefined"));
    let sentence = "document.querySelector('iframe').contentDocument.querySelector('.sentence').innerText";
    browser.until(&format!(
        "{sentence} === 'on_signal queues the first step of cleanup. It waits after the divider: next run.'"
    ));

    browser.press("5");
    browser.until("document.querySelector('.task') !== null");
    assert_eq!(browser.eval("document.querySelectorAll('.wanted .alarm').length"), 5);
    let copy = folder.path().join("05_create_task_after_stop.rs");
    let text = fs::read_to_string(&copy).expect("the copy");
    let mended = text.replace("looplab::stop()?;\n", "").replace(
        "Task::builder().name(\"cleanup\").spawn(cleanup());",
        "Task::builder().name(\"cleanup\").spawn(cleanup()).add_done_callback(|_| looplab::stop());",
    );
    fs::write(&copy, mended).expect("the copy is saved");
    browser.until("isDone('05', 'fix')"); // the save has run it
    assert_eq!(browser.eval("document.querySelectorAll('.wanted .alarm').length"), 0);
    assert!(browser.text("document.querySelector('.run').innerText").contains("Solved in Rust."));

    browser.press("Escape");
    browser.until("document.querySelector('.cards') !== null");
    assert!(browser.text("document.querySelector('.lead b').innerText").starts_with("1 of "));
    assert_eq!(browser.eval("document.querySelectorAll('.dots .on').length"), 5);
    browser.is_content();
}

#[test]
fn a_save_brings_the_new_run_to_the_same_moment() {
    let Some((mut browser, _lab, folder)) = open() else { return };
    let _watchdog = watchdog_of(LONG);
    browser.eval("location.hash = '#/lesson/01/see'");
    browser.until("lab.runs['rs/copy']?.doing === '' && lab.runs['py/copy']?.doing === ''");
    browser.until(&format!("{XRAY} !== undefined && lab.seen.copy > 0"));
    // Once the lab knows a moment, it listens to the frame. A frame that is loaded anew begins at that moment.
    let moment = "moments['01/copy']";
    browser.until(&format!("{moment} !== undefined"));
    browser.eval(
        "document.querySelector('iframe').contentDocument.querySelector('[data-act=turnNext]')?.click()",
    );
    browser.until(&format!(
        "new URLSearchParams({moment}).get('s') === String({XRAY}?.traces[0]?.events[{XRAY}.page.at].s)"
    ));
    let at = browser.eval(&format!("{XRAY}.page.at"));
    let copy = folder.path().join("01_stop_finishes_the_turn.rs");
    let text = fs::read_to_string(&copy).expect("the copy");
    fs::write(&copy, text.replace("run 2 returned", "run two returned")).expect("the copy is saved");
    browser.until("lab.runs['rs/copy'].doing === '' && lab.runs['rs/copy'].out.includes('run two')");
    browser.until(&format!("{XRAY}?.traces[0]?.events.some((event) => event.text?.includes('run two'))"));
    assert_eq!(browser.eval(&format!("{XRAY}.page.at")), at);

    // What does not compile is shown in place of the run.
    browser.eval("location.hash = '#/lesson/01/run'");
    fs::write(&copy, "fn main() { nothing }\n").expect("the copy is saved");
    browser.until("document.querySelector('.run .wrong')?.innerText.includes('nothing')");
    browser.is_content();
}

#[test]
fn a_save_of_the_twin_is_seen_beside_the_run_of_rust() {
    let Some((mut browser, _lab, folder)) = open() else { return };
    let _watchdog = watchdog_of(LONG);
    if browser.eval("lab.book.python").is_null() {
        support::complain("no CPython of 3.11 or later here: a save of the twin is not tested");
        return;
    }
    browser.eval("location.hash = '#/lesson/01/see'");
    browser.until("lab.runs['rs/copy']?.doing === '' && lab.runs['py/copy']?.doing === ''");
    browser.until(&format!("{XRAY}?.traces.length === 2"));
    let copy = folder.path().join("01_stop_finishes_the_turn.py");
    let text = fs::read_to_string(&copy).expect("the copy");
    fs::write(&copy, text.replace("run 2 returned", "run two returned")).expect("the copy is saved");
    browser.until("lab.runs['py/copy'].doing === '' && lab.runs['py/copy'].out.includes('run two')");
    let prints =
        |trace: u32| format!("{XRAY}?.traces[{trace}]?.events.some((e) => e.text?.includes('run two'))");
    browser.until(&prints(1));
    assert_eq!(browser.eval(&prints(0)), false, "the run of Rust is as it was");

    // What does not even begin is shown in place of the run.
    browser.eval("location.hash = '#/lesson/01/run'");
    fs::write(&copy, "def nothing(:\n").expect("the copy is saved");
    browser.until("document.body.innerText.includes('SyntaxError')");
    browser.is_content();
}

#[test]
fn the_lab_fits_each_width_and_axe_finds_nothing() {
    let Some((mut browser, _lab, _folder)) = open() else { return };
    let _watchdog = watchdog_of(LONG);
    for (hash, ready) in [
        ("#/", ".cards"),
        ("#/lesson/17/story", ".prose p"),
        ("#/lesson/17/predict", ".card"),
        ("#/lesson/17/run", ".run"),
        ("#/lesson/17/see", ".of-step p.pane"),
        ("#/lesson/17/fix", ".wanted"),
        ("#/chapter/02", ".prose p"),
    ] {
        browser.eval(&format!("location.hash = {}", json!(hash)));
        browser.until(&format!("document.querySelector({}) !== null", json!(ready)));
        for width in [320, 390, 900, 1400] {
            browser.resize(width, 900);
            assert_eq!(browser.eval("document.documentElement.scrollWidth"), width, "{hash} at {width}");
        }
        for theme in ["light", "dark"] {
            browser.eval(&format!("lab.theme = '{theme}'; draw()"));
            assert_eq!(axe(&mut browser), json!([]), "{hash}, {theme}");
        }
    }
    browser.eval("localStorage.setItem('looplab.lab', 'broken')");
    browser.eval("location.hash = '#/lesson/99/story'");
    browser.until("document.querySelector('.nothing') !== null");
    // The browser names the answer, now or later, so nothing is read from it after this.
    browser.complaints.retain(|complaint| !complaint.contains("404"));
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

#[test]
#[ignore = "it writes pictures for people to look at"]
fn pictures_of_the_lab() {
    let Some((mut browser, _lab, _folder)) = open() else { return };
    for (name, hash, ready) in [
        ("list", "#/", "document.querySelector('.cards') !== null".to_owned()),
        ("story", "#/lesson/05/story", "document.querySelector('.prose p') !== null".to_owned()),
        ("predict", "#/lesson/05/predict", format!("{XRAY}?.page.view === 'predict'")),
        (
            "see",
            "#/lesson/05/see",
            format!(
                "{XRAY} !== undefined && ['rs', 'py'].every((l) => lab.runs[`${{l}}/copy`]?.doing === '')"
            ),
        ),
        ("run", "#/lesson/05/run", "document.querySelector('.live') !== null".to_owned()),
        ("fix", "#/lesson/05/fix", "document.querySelector('.wanted') !== null".to_owned()),
        ("chapter", "#/chapter/01", "document.querySelector('.prose p') !== null".to_owned()),
    ] {
        let _watchdog = watchdog_of(LONG);
        browser.eval(&format!("location.hash = {}", json!(hash)));
        browser.until(&ready);
        for (width, height) in [(1400, 1000), (900, 1300), (390, 844)] {
            for theme in ["light", "dark"] {
                browser.resize(width, height);
                browser.eval(&format!(
                    "lab.theme = '{theme}'; draw();
                    if ({XRAY}) {{ {inside}.page.theme = '{theme}'; {inside}.draw(); }}",
                    inside = XRAY.replace('?', "")
                ));
                picture(&mut browser, &format!("lab-{name}-{width}-{theme}"));
            }
        }
    }
}
