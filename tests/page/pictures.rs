//! The pictures in the README and in the lessons' pages: the page makes each, and each shows what the page shows today.
//!
//! A mark in the text says the moment (`support::pictures`). `LOOPLAB_BLESS=1 cargo test --test page pictures::` makes each
//! picture that is out of date, its text for readers that cannot see it, and the record of what it shows. `LOOPLAB_BLESS=all`
//! makes all of them.
//!
//! The record, `docs/pictures/shown.txt`, is what a test compares: the texts of each picture with their classes, a
//! hash of the strip, and a hash of what makes the looks. Alternative: compare the pictures. Problem: fonts and Chromium
//! differ from machine to machine.
//!
//! The turns of some lessons depend on sockets, processes or threads. Their record has the sentence and the source alone:
//! the queue, the tasks, the output and the strip may differ from run to run.

use crate::browser::Browser;
use crate::lessons::record;
use crate::shots::decode;
use looplab::xray::{Sentence, page, sentences};
use serde_json::json;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use support::{PICTURES, Picture, illustrated_pages, pictures, root, watchdog, with_pictures};

/// Lines of the source in a picture.
const LINES: u32 = 10;
/// The width of a picture in CSS pixels. GitHub shows a page's pictures in about nine hundred.
const WIDTH: u32 = 860;
/// Of a hundred. Below this the edges of small letters begin to blur.
const QUALITY: u32 = 40;

/// What makes the looks, beside the texts and their classes.
const LOOKS: [&str; 6] = [
    include_str!("../../src/xray/page/style.css"),
    include_str!("../../src/xray/page/strip.js"),
    include_str!("../../src/xray/page/lanes.js"),
    include_str!("../../src/xray/page/icons.js"),
    POSE_STYLE,
    POSE,
];
const POSE: &str = include_str!("pose.js");
const POSE_STYLE: &str = include_str!("pose.css");

/// What a picture shows, as the record keeps it.
#[derive(PartialEq, Eq)]
struct Shown {
    looks: String,
    strip: String,
    texts: String,
}

#[test]
fn each_picture_shows_what_the_page_shows_today() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let bless = env::var("LOOPLAB_BLESS").ok();
    let old = fs::read_to_string(root().join(PICTURES).join("shown.txt")).unwrap_or_default();
    let old = blocks_of(&old);
    let (mut record, mut texts, mut stale) = (String::new(), BTreeMap::new(), Vec::new());
    for picture in pictures() {
        let _watchdog = watchdog();
        let (shown, moment) = show(&mut browser, &picture, folder.path());
        let mut block = picture.block_with(&text_of(&picture, &moment));
        let tells_it =
            if varies(&picture.lesson) { tells(&picture, &moment) } else { block == picture.block };
        let is_current = tells_it && old.get(picture.name.as_str()).is_some_and(|old| *old == shown);
        if bless.as_deref() == Some("all") || (bless.is_some() && !is_current) {
            take(&mut browser, &picture);
        } else if !is_current {
            stale.push(format!("{}\n{block}\n{shown}", picture.name));
        } else {
            block.clone_from(&picture.block);
        }
        record += &format!("## {}\n{shown}\n", picture.name);
        texts.insert(picture.name.clone(), block);
    }
    browser.is_content();
    if bless.is_some() {
        fs::write(root().join(PICTURES).join("shown.txt"), record).expect("the record is written");
        for page in illustrated_pages() {
            let text = with_pictures(&page, |picture| texts[&picture.name].clone());
            fs::write(root().join(&page), text).expect("the page is written");
        }
        return;
    }
    assert!(stale.is_empty(), "out of date, see the head of this test. Now:\n{}", stale.join("\n"));
}

/// Brings the page to a picture's moment. Returns what it shows, and the moment's sentence.
fn show(browser: &mut Browser, picture: &Picture, folder: &Path) -> (Shown, Sentence) {
    let trace = record(&picture.lesson, folder).expect("the lesson has a loop");
    let file = folder.join("picture.html");
    fs::write(&file, page(&[("Rust", trace)])).expect("the page");
    size(browser, 1000);
    browser.open(&file, &format!("{}&theme=light", picture.link));
    let varies = varies(&picture.lesson);
    let what = json!({ "words": picture.words, "panes": picture.panes, "lines": LINES, "varies": varies, "style": POSE_STYLE });
    let posed = browser.eval(&format!("{POSE}({what})"));
    let texts = |part: &str| -> String {
        let texts = posed[part].as_array().expect("texts").iter();
        texts.map(|text| text.as_str().expect("a text").to_owned() + "\n").collect()
    };
    let shown = Shown { looks: hash(&LOOKS.concat()), strip: hash(&texts("strip")), texts: texts("texts") };
    let mut told = sentences(trace).expect("a trace").into_iter();
    (shown, told.find(|sentence| json!(sentence.s) == posed["s"]).expect("the moment's sentence"))
}

/// Whether a lesson's turns depend on sockets, processes or threads.
fn varies(lesson: &str) -> bool {
    let source =
        fs::read_to_string(root().join(format!("examples/{lesson}.rs"))).expect("the lesson's source");
    ["net::", "process::", "use app::", "executor"].iter().any(|word| source.contains(word))
}

/// Whether the text of a picture in the page begins with the moment's sentence.
fn tells(picture: &Picture, moment: &Sentence) -> bool {
    let masked = |text: &str| -> String { text.chars().filter(|c| !c.is_ascii_digit()).collect() };
    let block = picture.block_with(&beginning(picture, moment));
    let (begin, _) = block.rsplit_once("](").expect("a picture in Markdown");
    masked(&picture.block).starts_with(&masked(begin))
}

/// Returns what a picture shows, for readers that cannot see it.
fn text_of(picture: &Picture, moment: &Sentence) -> String {
    let mut text = beginning(picture, moment);
    let queue = &moment.queue;
    let list = |names: &[String]| names.join(", ").replace('`', "");
    if !queue.ran.is_empty() {
        text += &format!(" Of the batch ran: {}.", list(&queue.ran));
    }
    if let Some(name) = &queue.running {
        text += &format!(" Now runs: {}.", name.replace('`', ""));
    }
    if !queue.left.is_empty() {
        text += &format!(" Still in the batch: {}.", list(&queue.left));
    }
    if !queue.behind.is_empty() {
        text += &format!(" After the divider: {}.", list(&queue.behind));
    }
    text
}

/// Returns the text as far as the moment's sentence.
fn beginning(picture: &Picture, moment: &Sentence) -> String {
    let shows = match moment.turn {
        _ if varies(&picture.lesson) => "The X-ray page.".to_owned(),
        0 => "The X-ray page before the first turn.".to_owned(),
        turn if moment.event_loop > 1 => {
            format!("The X-ray page in turn {turn} of loop {}.", moment.event_loop)
        }
        turn => format!("The X-ray page in turn {turn}."),
    };
    format!("{shows} {}", moment.text.replace('`', ""))
}

fn size(browser: &mut Browser, height: u64) {
    // Between the screens that have one dot for a CSS pixel and those that have two.
    let size = json!({ "width": WIDTH, "height": height, "deviceScaleFactor": 1.5, "mobile": false });
    browser.call("Emulation.setDeviceMetricsOverride", size);
}

/// Writes a picture of what the browser shows.
fn take(browser: &mut Browser, picture: &Picture) {
    let folder = root().join(PICTURES);
    fs::create_dir_all(&folder).expect("a folder for the pictures");
    let height =
        browser.eval("Math.ceil(document.querySelector('main').getBoundingClientRect().bottom) + 14");
    size(browser, height.as_u64().expect("a height"));
    for (file, theme) in picture.files() {
        browser.eval(&format!("xray.page.theme = '{theme}'; xray.draw()"));
        // Chromium's WebP with little loss has a quarter of the bytes of its PNG.
        let shot = browser.call("Page.captureScreenshot", json!({ "format": "webp", "quality": QUALITY }));
        let webp = shot["data"].as_str().expect("a picture");
        fs::write(folder.join(file), decode(webp)).expect("the picture is written");
    }
}

/// Reads the record: what each picture shows.
fn blocks_of(record: &str) -> BTreeMap<&str, Shown> {
    let blocks = record.split("## ").skip(1).map(|block| {
        let (name, block) = block.split_once('\n').expect("a name");
        let (hashes, texts) = block.split_once('\n').expect("two hashes");
        let (looks, strip) = hashes.split_once(' ').expect("two hashes");
        let texts = texts.strip_suffix('\n').unwrap_or(texts).to_owned();
        (name, Shown { looks: looks.to_owned(), strip: strip.to_owned(), texts })
    });
    blocks.collect()
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}\n{}", self.looks, self.strip, self.texts)
    }
}

/// FNV-1a: a hash that is the same with every release of Rust.
fn hash(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
