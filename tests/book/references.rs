//! What documents say about tests: each test that `docs/differences.md`, the lessons' pages and the tables of the test
//! programs name exists.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the source of the file `room::file`, with all its parts.
fn source(root: &Path, path: &[&str]) -> Option<String> {
    let mut candidates: Vec<PathBuf> = vec![root.join(format!("{}.rs", path.join("/")))];
    match path {
        [room] => candidates.push(root.join(room).join("main.rs")),
        [room, file, ..] => {
            let file = root.join(room).join(file);
            candidates.push(file.with_extension("rs"));
            // A large test file keeps its parts in a folder of its name.
            let parts = fs::read_dir(file).into_iter().flatten();
            candidates.extend(parts.filter_map(|entry| Some(entry.ok()?.path())));
        }
        [] => {}
    }
    let sources: Vec<String> = candidates.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    (!sources.is_empty()).then(|| sources.concat())
}

/// Asserts that the test `room::file::test` is in one of these folders.
fn assert_exists(name: &str, folders: &[&str]) {
    let (path, test) = name.rsplit_once("::").expect("a path");
    let path: Vec<&str> = path.split("::").collect();
    let source = folders
        .iter()
        .find_map(|folder| source(&support::root().join(folder), &path))
        .unwrap_or_else(|| panic!("{name}: no such file"));
    // The second is a shape of `tests/leaks`.
    let found = source.contains(&format!("fn {test}(")) || source.contains(&format!("    {test}(p) {{"));
    assert!(found, "{name}: no such test");
}

/// Returns what the last cell of a table's row has in backticks.
fn quoted_in_last_cell(row: &str) -> impl Iterator<Item = &str> {
    let last = row.trim_end_matches('|').rsplit('|').next().expect("a last cell");
    last.split('`').skip(1).step_by(2)
}

#[test]
fn every_row_of_the_differences_names_a_test_that_exists() {
    let table = fs::read_to_string(support::root().join("docs/differences.md")).expect("the table");
    let mut named = 0;
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what")) {
        for name in quoted_in_last_cell(row).filter(|name| name.contains("::") && name.contains('_')) {
            if name.starts_with("Task::") {
                continue; // an example in the documentation
            }
            assert_exists(name, &["tests", "src"]);
            named += 1;
        }
    }
    assert!(named >= 30, "{named} tests named");
}

/// And each file with tests is named in its program's table.
#[test]
fn every_promise_of_a_test_program_names_a_test_that_exists() {
    let tests = support::root().join("tests");
    let programs = fs::read_dir(&tests).expect("tests").flatten();
    let programs: Vec<_> = programs.filter(|entry| entry.path().join("main.rs").is_file()).collect();
    assert!(programs.len() >= 12, "{} programs found", programs.len());
    for program in programs {
        let room = program.file_name().into_string().expect("a name");
        let main = fs::read_to_string(program.path().join("main.rs")).expect("a program");
        let table: String = main.lines().filter(|line| line.starts_with("//! | ")).collect();
        for row in main.lines().filter(|line| line.starts_with("//! | ") && !line.contains("| promise |")) {
            let name =
                quoted_in_last_cell(row).next().unwrap_or_else(|| panic!("{room}: {row} names no test"));
            assert_exists(&format!("{room}::{name}"), &["tests"]);
        }
        assert!(!table.is_empty(), "{room} has no table");
        for module in main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')) {
            let source = source(&tests, &[&room, module]).expect("a module has a file");
            let has_tests = source.contains("\n#[test]") || source.contains("\nshapes! {");
            let named = table.contains(&format!("`{module}::"));
            assert!(!has_tests || named, "{room}: the table names no test of {module}");
        }
    }
}

/// A page says behind each "Why" what shows it: `<!-- shown by NAME -->`, a transcript or a test.
#[test]
fn every_why_of_the_lessons_names_what_shows_it() {
    let folder = support::root().join("docs/lessons");
    let (mut whys, mut marks) = (0, 0);
    for page in fs::read_dir(folder).expect("docs/lessons").flatten() {
        let text = fs::read_to_string(page.path()).expect("a page");
        for mark in text.lines().filter_map(|line| line.strip_prefix("<!-- shown by ")) {
            let name = mark.strip_suffix(" -->").expect("a mark of one line");
            if name.ends_with(".out") {
                assert!(support::root().join(name).is_file(), "{name}: no such transcript");
            } else {
                assert_exists(name, &["tests"]);
            }
            marks += 1;
        }
        // Lesson by lesson; what comes before the first is the introduction.
        for lesson in text.split("\n## ").skip(1) {
            let title = lesson.lines().next().expect("a title");
            let (_, why) = lesson.split_once("**Why.**").unwrap_or_else(|| panic!("{title}: no \"Why\""));
            let (why, _) = why.split_once("**The safe pattern.**").expect("a safe pattern after it");
            assert!(why.contains("<!-- shown by "), "{title}: nothing shows its \"Why\"");
            whys += 1;
        }
    }
    assert!(whys >= 44 && marks >= whys, "{whys} whys, {marks} marks");
}

/// In the repository a link leads to a file. On the page of the documentation the definition in `src/lib.rs` comes first.
#[test]
fn every_link_of_the_readme_leads_somewhere_in_the_repository_and_on_its_page() {
    let root = support::root();
    let read = |path: &str| fs::read_to_string(root.join(path)).expect(path);
    let (readme, lib) = (read("README.md"), read("src/lib.rs"));
    let inline = readme.split("](").skip(1).filter(|rest| !rest.starts_with("https://"));
    assert_eq!(inline.collect::<Vec<_>>(), [""; 0], "a link that is not a reference");
    let definitions = || readme.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: "));
    for (label, target) in definitions() {
        assert!(root.join(target).exists(), "{label}: no {target}");
        assert!(lib.contains(&format!("    /// [{label}]: crate::")), "{label}: no page in src/lib.rs");
    }
    let used = readme.split("][").skip(1).filter_map(|rest| Some(rest.split_once(']')?.0));
    let mut count = 0;
    for label in used {
        assert!(definitions().any(|(known, _)| known == label), "{label}: not defined");
        count += 1;
    }
    assert!(count >= 10, "{count} links");
}

/// `docs/documents.md` names lessons as `[lesson NN](lessons/PAGE.md)`: each stands on that page.
#[test]
fn every_claim_of_the_documents_names_a_lesson_that_exists_or_a_reason() {
    let docs = support::root().join("docs");
    let text = fs::read_to_string(docs.join("documents.md")).expect("the page");
    let rows: Vec<_> =
        text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| the text")).collect();
    assert!(rows.len() >= 50, "{} claims", rows.len());
    for row in rows {
        let shown = row.trim_end_matches('|').rsplit('|').next().expect("a last cell").trim();
        let mut links = 0;
        for link in shown.split("[lesson ").skip(1) {
            let (number, page) = link.split_once("](").expect("a link");
            let page = page.split(')').next().expect("an end");
            let page = fs::read_to_string(docs.join(page)).unwrap_or_else(|_| panic!("{page}: no such page"));
            assert!(page.contains(&format!("\n## {number}: ")), "lesson {number} is not on its page: {row}");
            links += 1;
        }
        assert!(links > 0 || shown.starts_with("no lesson: "), "neither a lesson nor a reason: {row}");
    }
}

/// Signals have names in looplab, and `looplab::signal::raise` sends one. Another crate is needed only to block them, and to
/// send one to another process.
#[test]
fn lessons_and_their_pages_need_no_other_crate_for_a_signal() {
    let root = support::root();
    let files =
        ["examples", "docs", "docs/lessons"].into_iter().flat_map(|folder| fs::read_dir(root.join(folder)));
    let mut read = 0;
    for file in files.flat_map(|folder| folder.flatten()) {
        let path = file.path();
        if path.extension().is_some_and(|end| end == "rs" || end == "md") {
            let text = fs::read_to_string(&path).expect("a text");
            let others = text.lines().filter(|line| line.contains("nix::sys::signal"));
            let needless = others.filter(|line| !line.contains("SigSet") && !line.contains("kill"));
            assert_eq!(needless.collect::<Vec<_>>(), [""; 0], "{}", path.display());
            read += 1;
        }
    }
    assert!(read > 70, "{read} files");
}
