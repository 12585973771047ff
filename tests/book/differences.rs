//! `docs/differences.md` names a test for each of its rows: every one of them exists.

use std::fs;
use std::path::{Path, PathBuf};

/// The source of a test that is named as `room::file::test`, as in the table.
fn source(root: &Path, path: &[&str]) -> Option<String> {
    let mut candidates: Vec<PathBuf> = vec![root.join(format!("{}.rs", path.join("/")))];
    if let [room, file, ..] = path {
        let file = format!("{room}/{file}");
        candidates.push(root.join(format!("{file}.rs")));
        // A large test file keeps its parts in a folder of its name.
        let parts = fs::read_dir(root.join(file)).into_iter().flatten();
        candidates.extend(parts.filter_map(|entry| Some(entry.ok()?.path())));
    }
    let sources: Vec<String> = candidates.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    (!sources.is_empty()).then(|| sources.concat())
}

#[test]
fn every_row_of_the_differences_names_a_test_that_exists() {
    let root = support::root();
    let table = fs::read_to_string(root.join("docs/differences.md")).expect("the table");
    let mut named = 0;
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what")) {
        let last = row.trim_end_matches('|').rsplit('|').next().expect("a last cell");
        for name in
            last.split('`').skip(1).step_by(2).filter(|name| name.contains("::") && name.contains('_'))
        {
            if name.starts_with("Task::") {
                continue; // an example in the documentation
            }
            let (path, test) = name.rsplit_once("::").expect("a path");
            let parts: Vec<&str> = path.split("::").collect();
            let source = source(&root.join("tests"), &parts)
                .or_else(|| source(&root.join("src"), &parts))
                .unwrap_or_else(|| panic!("{name}: no such file"));
            assert!(source.contains(&format!("fn {test}(")), "{name}: no such test");
            named += 1;
        }
    }
    assert!(named >= 30, "{named} tests named");
}
