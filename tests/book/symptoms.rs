//! `tour find` and the table of symptoms that it reads.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use support::{examples, root};

fn find(text: &str) -> Output {
    let tour = Command::new(examples().join("tour")).args(["find", text, "--json"]).output();
    tour.expect("the tour starts")
}

fn lessons(found: &Output) -> Vec<u64> {
    let answer = answer(found);
    let lessons = answer["lessons"].as_array().expect("lessons");
    lessons.iter().map(|lesson| lesson["number"].as_u64().expect("a number")).collect()
}

#[test]
fn what_a_program_says_leads_to_the_lesson_that_explains_it() {
    for (text, first) in [
        ("destroyed but it is pending", 5),
        ("already running", 4),
        ("never retrieved", 9),
        ("Event loop is closed", 31),
        ("SIGHUP", 43),
        ("aiohttp", 41),
        ("aioredis", 46),
        ("second Ctrl-C", 14),
        ("loop.run_until_complete(cleanup())", 4),
        ("RuntimeError: This event loop is already running", 4),
        ("task.add_done_callback(loop.stop)", 6),
        ("asyncio.shield", 33),
        ("loop.stop()", 1),
        ("got Future <Future pending> attached to a different loop", 15),
        ("Executing <Handle job()> took 0.312 seconds", 18),
        ("zombie", 58),
        ("gather(return_exceptions=True)", 12),
    ] {
        let found = find(text);
        assert_eq!(
            lessons(&found).first(),
            Some(&first),
            "{text}: {}",
            String::from_utf8_lossy(&found.stdout)
        );
    }
}

#[test]
fn an_unknown_word_is_answered_with_the_nearest_known_one() {
    let found = find("SIGHUB");
    assert_eq!((found.status.code(), lessons(&found).first()), (Some(1), Some(&43)));
    let found = find("zzzzqqqq");
    assert_eq!((found.status.code(), lessons(&found)), (Some(1), Vec::new()));
}

fn answer(found: &Output) -> Value {
    serde_json::from_slice(&found.stdout).expect("an object")
}

/// What it says that a name is in looplab, each without its place.
fn calls(text: &str) -> Vec<String> {
    let found = find(text);
    assert_eq!(found.status.code(), Some(0), "{text}");
    let answer = answer(&found);
    let calls = answer["calls"].as_array().expect("calls");
    let ours = calls.iter().map(|call| call["looplab"].as_str().expect("a text"));
    ours.map(|ours| ours.split(" (src/").next().unwrap_or(ours).to_owned()).collect()
}

#[test]
fn a_name_of_asyncio_leads_to_what_it_is_in_looplab() {
    assert_eq!(calls("asyncio.run_coroutine_threadsafe"), ["run_coroutine_threadsafe(&remote, || c())"]);
    assert_eq!(answer(&find("asyncio.run_coroutine_threadsafe"))["pages"][0], "docs/from-asyncio.md");
    assert_eq!(calls("asyncio.shield"), ["shield(task)"]);
    // What is in no table is an alias of an item: of a type, a function, a variant.
    assert_eq!(calls("asyncio.Semaphore"), ["Semaphore", "Semaphore::new"]);
    assert_eq!(calls("asyncio.timeout_at"), ["Timeout::at", "timeout_at"]);
    assert_eq!(calls("StreamReader.readuntil"), ["StreamReader::readuntil"]);
    assert_eq!(calls("asyncio.FIRST_COMPLETED"), ["ReturnWhen::FirstCompleted"]);
    assert_eq!(calls("the loop does not stop"), [""; 0]);
}

#[test]
fn a_word_that_only_a_page_has_leads_to_the_page() {
    let found = find("uvloop");
    let pages = answer(&found)["pages"].as_array().expect("pages").clone();
    assert!(pages.contains(&"docs/xray.md".into()), "{pages:?}");
    assert_eq!((found.status.code(), lessons(&found)), (Some(0), Vec::new()));
}

#[test]
fn every_symptom_names_lessons_and_pages_that_exist() {
    let docs = root().join("docs");
    let table = fs::read_to_string(docs.join("symptoms.md")).expect("the table");
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 50, "{} symptoms", rows.len());
    for row in rows {
        let links: Vec<_> = row.split('[').skip(1).filter_map(|link| link.split_once("](")).collect();
        assert!(!links.is_empty(), "no lesson: {row}");
        for (label, target) in links {
            let target = target.split(')').next().expect("a target");
            let page =
                fs::read_to_string(docs.join(target)).unwrap_or_else(|_| panic!("{target}: no such page"));
            let lesson = label.parse::<u32>().is_ok();
            assert!(!lesson || page.contains(&format!("\n## {label}: ")), "{label} is not on {target}");
        }
    }
}
