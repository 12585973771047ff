//! The pages of "Build the loop yourself" show what the chapters have and do.
//!
//! Blocks of code stand after marks: `<!-- quote CHAPTER ANCHOR -->`, `<!-- prints CHAPTER -->` and
//! `<!-- break NAME -->`. After a change `LOOPLAB_BLESS=1 cargo test --test book chapters` writes them anew.

use similar::TextDiff;
use std::fs;
use std::path::PathBuf;

fn chapters() -> PathBuf {
    support::root().join("examples/build")
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the chapters, in order.
fn names() -> Vec<String> {
    let files = fs::read_dir(chapters()).expect("the chapters").flatten();
    let name = |file: fs::DirEntry| Some(file.file_name().to_str()?.strip_suffix(".rs")?.to_owned());
    // `turns.rs` is the program of chapter 10.
    let mut names: Vec<String> = files.filter_map(name).filter(|name| name.contains('_')).collect();
    names.sort();
    names
}

/// Returns a part of a chapter, without its marks and its indentation.
fn quote(chapter: &str, anchor: &str) -> String {
    let source = read(chapters().join(format!("{chapter}.rs")));
    let lines = source.lines().skip_while(|line| line.trim() != format!("// ANCHOR: {anchor}")).skip(1);
    let lines: Vec<&str> =
        lines.take_while(|line| line.trim() != format!("// ANCHOR_END: {anchor}")).collect();
    assert!(!lines.is_empty(), "{chapter} has no part {anchor}");
    let indented = lines.iter().filter(|line| !line.is_empty());
    let margin = indented.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let quoted: Vec<&str> = lines.iter().map(|line| line.get(margin..).unwrap_or("")).collect();
    format!("```rust,ignore\n{}\n```\n", quoted.join("\n"))
}

/// Returns a chapter's transcript.
fn prints(chapter: &str) -> String {
    format!("```text\n{}```\n", read(chapters().join(format!("{chapter}.out"))))
}

/// Returns what a change does to a chapter, and to what the chapter prints.
fn broken(name: &str) -> String {
    let patch = read(chapters().join(format!("breaks/{name}.patch")));
    let (title, diff) = patch.split_once('\n').expect("a line of text, and a diff");
    let hunks = &diff[diff.find("@@ ").expect("a hunk")..];
    let hunks: Vec<&str> =
        hunks.lines().map(|line| if line.starts_with("@@ ") { "@@" } else { line }).collect();
    let chapter = names().into_iter().find(|chapter| chapter[..2] == name[..2]).expect("its chapter");
    let (whole, broken) = (
        read(chapters().join(format!("{chapter}.out"))),
        read(chapters().join(format!("breaks/{name}.out"))),
    );
    let printed = TextDiff::from_lines(&whole, &broken).unified_diff().context_radius(1).to_string();
    let printed: Vec<&str> =
        printed.lines().map(|line| if line.starts_with("@@ ") { "@@" } else { line }).collect();
    let hunks = hunks.join("\n");
    format!(
        "**{title}**\n\n```diff\n{}\n```\n\nWhat is printed then:\n\n```diff\n{}\n```\n",
        hunks.trim_start_matches("@@\n"),
        printed.join("\n").trim_start_matches("@@\n")
    )
}

/// Returns the page with its marked blocks as they would be written today.
///
/// What a mark has written ends before the next empty line that an own word, a mark or a tag follows.
fn renewed(page: &str) -> (String, usize) {
    let (mut out, mut marks) = (String::new(), 0);
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let Some(mark) = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->")) else {
            continue;
        };
        let words: Vec<&str> = mark.split(' ').collect();
        let (text, blocks) = match words[..] {
            ["quote", chapter, anchor] => (quote(chapter, anchor), 1),
            ["prints", chapter] => (prints(chapter), 1),
            ["break", name] => (broken(name), 2),
            _ => continue,
        };
        marks += 1;
        out.push_str(&text);
        // The old text: its fenced blocks, and what stands before them.
        let begins = |line: &str| line.starts_with("```") || line.starts_with("**") && words[0] == "break";
        if lines.peek().is_some_and(|line| begins(line)) {
            let mut fences = 0;
            while fences < 2 * blocks {
                let line = lines.next().expect("the blocks of a mark end");
                fences += usize::from(line.starts_with("```"));
            }
        }
    }
    (out, marks)
}

#[test]
fn every_block_in_the_pages_is_what_the_chapters_have() {
    for name in names() {
        let path = support::root().join(format!("docs/build/{name}.md"));
        let page = read(path.clone());
        let (now, marks) = renewed(&page);
        assert!(marks >= 5, "{name}: {marks} marks");
        let breaks = page.matches("<!-- break ").count();
        assert_eq!(breaks, 3, "{name}: changes to break it");
        if std::env::var_os("LOOPLAB_BLESS").is_some() {
            fs::write(&path, &now).expect("the page can be written");
        } else {
            assert_eq!(page, now, "{name}: LOOPLAB_BLESS=1 cargo test --test book chapters");
        }
    }
}

/// A page names its program, its twin, its time and the next chapter, and the index names the page.
#[test]
fn every_page_has_its_parts_and_its_links_lead_somewhere() {
    let index = read(support::root().join("docs/build/index.md"));
    for name in names() {
        let folder = support::root().join("docs/build");
        let page = read(folder.join(format!("{name}.md")));
        for part in
            ["## The picture", "## Predict", "## Break it", "## What the real loop does besides", "## Next"]
        {
            assert!(page.contains(part), "{name}: {part}");
        }
        assert!(page.contains("minutes.") || page.contains("hours."), "{name}: how long it takes");
        assert!(index.contains(&format!("({name}.md)")), "{name} is not in the index");
        let source = read(chapters().join(format!("{name}.rs")));
        let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        let count = source.lines().filter(is_code).count().to_string();
        let count = if count.len() > 3 { format!("{},{}", &count[..1], &count[1..]) } else { count };
        assert!(page.contains(&format!("{count} lines of code")), "{name} has {count} lines of code");
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or(link);
            assert!(link.starts_with("http") || folder.join(file).exists(), "{name}: {link}");
        }
    }
}
