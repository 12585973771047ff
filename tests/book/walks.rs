//! The walks through the code in `docs/anatomy.md` name files and lines: each line exists and shows the code that the page
//! quotes.
//!
//! After a change of the code, `LOOPLAB_BLESS=1 cargo test --test book walks` writes the lines anew.

use std::collections::BTreeSet;
use std::fs;

/// How many files the two walks may touch.
const MOST_FILES: [usize; 2] = [6, 12];

/// Returns the number of the first line of `file` that contains `code`.
fn line_of(file: &str, code: &str) -> usize {
    let source =
        fs::read_to_string(support::root().join(file)).unwrap_or_else(|_| panic!("{file}: no such file"));
    let found = source.lines().position(|line| line.contains(code));
    found.unwrap_or_else(|| panic!("{file}: no line with {code}")) + 1
}

/// Renews one row, `| what | `file:line` | `code` |`. Returns it with its file; `None` for other lines.
fn renewed(row: &str) -> Option<(String, String)> {
    let cells: Vec<&str> = row.strip_prefix("| ")?.strip_suffix('`')?.split(" | `").collect();
    let [what, place, code] = cells[..] else { return None };
    let (file, _) = place.trim_end_matches('`').rsplit_once(':')?;
    let line = line_of(file, code);
    Some((format!("| {what} | `{file}:{line}` | `{code}` |"), file.to_owned()))
}

#[test]
fn every_step_of_the_walks_is_the_line_that_the_page_names() {
    let path = support::root().join("docs/anatomy.md");
    let page = fs::read_to_string(&path).expect("the page");
    let (before, walks) = page.split_once("## Two walks through the code\n").expect("the walks");
    let mut files: Vec<BTreeSet<String>> = Vec::new();
    let mut lines = Vec::new();
    for line in walks.lines() {
        if line.starts_with("### ") {
            files.push(BTreeSet::new());
        }
        match line.strip_suffix(" |").and_then(renewed) {
            Some((row, file)) => {
                files.last_mut().expect("a heading stands before each table").insert(file);
                lines.push(row);
            }
            None => lines.push(line.to_owned()),
        }
    }
    for (files, most) in files.iter().zip(MOST_FILES) {
        assert!((4..=most).contains(&files.len()), "{} files: {files:?}", files.len());
    }
    assert_eq!(files.len(), MOST_FILES.len());
    let now = format!("{before}## Two walks through the code\n{}\n", lines.join("\n"));
    if std::env::var_os("LOOPLAB_BLESS").is_some() {
        fs::write(&path, now).expect("the page can be written");
    } else {
        assert!(page == now, "docs/anatomy.md names other lines; see the head of this test");
    }
}
