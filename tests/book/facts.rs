//! Facts that the lessons' pages state about CPython and aiohttp alone. Each is a program in `facts/`, and its output.
//!
//! They are run on each CPython that answers, of those in `LOOPLAB_PYTHON` and on the PATH. `NAME.py3.12.out` is what that
//! version prints if it differs. A program whose module is missing is not run there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the CPythons that answer, each version once, with their versions.
fn pythons() -> Vec<(String, String)> {
    const ASK: &str =
        "import sys; print(*sys.version_info[:3], sep='.') if sys.version_info >= (3, 11) else exit(1)";
    let named = std::env::var("LOOPLAB_PYTHON").unwrap_or_default();
    let own = ["python3.15", "python3.14", "python3.13", "python3.12", "python3.11", "python3"];
    let mut versions = BTreeSet::new();
    let mut found = Vec::new();
    for name in named.split(':').filter(|name| !name.is_empty()).chain(own) {
        let Ok(asked) = Command::new(name).args(["-c", ASK]).output() else { continue };
        let version = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
        if asked.status.success() && versions.insert(version.clone()) {
            found.push((name.to_owned(), version));
        }
    }
    found
}

fn programs() -> Vec<PathBuf> {
    let folder = support::root().join("tests/book/facts");
    let entries = fs::read_dir(folder).expect("the facts").flatten().map(|entry| entry.path());
    let mut programs: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "py")).collect();
    programs.sort();
    programs
}

/// Returns what this version prints: `3.13.0`, else `3.13`, else all others.
fn recorded(program: &Path, version: &str) -> String {
    let (minor, _) = version.rsplit_once('.').expect("three numbers");
    let endings = [format!("py{version}.out"), format!("py{minor}.out"), "out".to_owned()];
    let read = |ending: &String| fs::read_to_string(program.with_extension(ending)).ok();
    endings.iter().find_map(read).unwrap_or_else(|| panic!("{}: no output", program.display()))
}

#[test]
fn cpython_does_what_the_pages_say_of_it() {
    let pythons = pythons();
    if pythons.is_empty() {
        return support::complain("no CPython 3.11 or later answers here: the facts are not asked");
    }
    for program in programs() {
        let mut asked = 0;
        for (python, version) in &pythons {
            // One for each run: a machine may have many Pythons.
            let _dog = support::watchdog();
            let run = || Command::new(python).arg(&program).output().expect("it has answered before");
            let (mut ran, expected) = (run(), recorded(&program, version));
            if String::from_utf8_lossy(&ran.stderr).contains("ModuleNotFoundError") {
                continue;
            }
            if ran.stdout != expected.as_bytes() {
                // A machine that stands still for a tenth of a second brings timers together: once more.
                ran = run();
            }
            let (said, name) = (String::from_utf8_lossy(&ran.stdout), program.display());
            assert_eq!(said, expected, "{name} on CPython {version}: {ran:?}");
            asked += 1;
        }
        if asked == 0 {
            support::complain(&format!("no CPython here has the modules of {}", program.display()));
        }
    }
}

/// A fact that no page states would be dead weight.
#[test]
fn every_fact_is_named_by_a_page() {
    let pages = fs::read_dir(support::root().join("docs/lessons")).expect("the pages").flatten();
    let text: String = pages.map(|page| fs::read_to_string(page.path()).expect("a page")).collect();
    let programs = programs();
    for program in &programs {
        let name = program.file_stem().expect("a name").to_string_lossy();
        let mark = format!("<!-- shown by tests/book/facts/{name}.out -->");
        assert!(text.contains(&mark), "no page has {mark}");
    }
    assert!(programs.len() >= 8, "{} facts", programs.len());
}
