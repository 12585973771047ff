//! The order in which the lessons are read: each names the page that explains it, and the next lesson.

use serde_json::Value;
use std::fs;
use std::process::Command;
use support::{examples, root};

fn listed() -> Vec<Value> {
    let listed = Command::new(examples().join("tour")).args(["list", "--json"]).output();
    let listed: Value = serde_json::from_slice(&listed.expect("the tour starts").stdout).expect("an object");
    listed["lessons"].as_array().expect("lessons").clone()
}

#[test]
fn each_example_names_its_page_and_the_next_one_and_each_is_reached_from_the_first() {
    let lessons = listed();
    let lesson = |number: &Value| lessons.iter().find(|lesson| lesson["number"] == *number);
    let mut read = 0;
    let mut now = lesson(&1.into());
    while let Some(one) = now {
        let source = fs::read_to_string(one["source"].as_str().expect("a path")).expect("a source");
        let page = one["page"].as_str().expect("a page");
        assert!(root().join(page).is_file(), "{page}");
        let next = lesson(&one["next"]);
        let next_line = next.and_then(|next| next["name"].as_str());
        let next_line = next_line.map_or(String::new(), |name| format!("// Next: {name}.rs\n"));
        let end = format!("\n// Explained in {page}.\n{next_line}");
        assert!(source.ends_with(&end), "{} does not end with{end}", one["name"]);
        read += 1;
        assert!(read <= lessons.len(), "it goes round");
        now = next;
    }
    assert_eq!(read, lessons.len());
}
