//! The lab in a browser: a lesson's five steps, an edit that is seen, themes and widths.

use crate::browser::Browser;
use crate::shots::picture;
use serde_json::json;
use support::{Served, watchdog};

#[test]
#[ignore = "writes pictures"]
fn lab_pictures() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let lab = Served::start(folder.path(), &[]);
    browser.visit(&lab.home(), &lab.address());
    for (name, hash, until) in [
        ("list", "#/", "document.querySelector('.cards') !== null"),
        ("story", "#/lesson/05/story", "document.querySelector('.prose p') !== null"),
        (
            "predict",
            "#/lesson/05/predict",
            "document.querySelector('iframe')?.contentWindow.xray?.page.view === 'predict'",
        ),
        ("run", "#/lesson/05/run", "document.querySelector('.run') !== null"),
        (
            "see",
            "#/lesson/05/see",
            "document.querySelector('iframe')?.contentWindow.xray !== undefined && lab.runs['rs/copy']?.doing === '' && lab.runs['py/copy']?.doing === ''",
        ),
        ("ran", "#/lesson/05/run", "document.querySelector('.live') !== null"),
        ("fix", "#/lesson/05/fix", "document.querySelector('.of-step .pane') !== null"),
        ("chapter", "#/chapter/01", "document.querySelector('.prose p') !== null"),
    ] {
        let _watchdog = watchdog();
        browser.eval(&format!("location.hash = {}", json!(hash)));
        browser.until(until);
        for (width, height) in [(1400, 1000), (900, 1300), (390, 844)] {
            for theme in ["light", "dark"] {
                browser.resize(width, height);
                browser.eval(&format!("lab.theme = '{theme}'; draw(); document.querySelector('iframe')?.contentWindow.xray && (document.querySelector('iframe').contentWindow.xray.page.theme = '{theme}', document.querySelector('iframe').contentWindow.xray.draw())"));
                picture(&mut browser, &format!("lab-{name}-{width}-{theme}"));
            }
        }
    }
    println!("{:#?}", browser.complaints);
}
