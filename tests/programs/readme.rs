//! The programs of the README and of the page on testing, each built as a crate of its own and run as it stands there.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Returns the fenced blocks of a text, in order.
fn fenced(text: &str) -> Vec<String> {
    let fenced = text.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').expect("a block").1.to_owned()).collect()
}

/// Returns the part of a page under this heading.
fn section<'a>(page: &'a str, title: &str) -> &'a str {
    let (_, after) = page.split_once(&format!("## {title}\n")).expect("the section");
    after.split("\n## ").next().unwrap_or(after)
}

fn page(name: &str) -> String {
    fs::read_to_string(support::root().join(name)).expect("a page")
}

fn cargo(place: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(place).env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme"));
    // As in this repository's Cargo.toml: what is kept for a second build takes more room than all the rest.
    cargo.env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
    cargo
}

/// Makes a crate of this name in `place` and runs it. Each crate names this repository by its one path, or looplab would be
/// built anew for each. The crates have different names, because they share the folder of what is built.
fn run(place: &Path, name: &str, dependencies: &str, program: &str, variables: &[(&str, &str)]) -> Output {
    let root = support::root();
    let new = cargo(place).args(["new", "-q", "--vcs", "none", name]).status().expect("cargo");
    assert!(new.success());
    let own = place.join(name);
    let manifest = fs::read_to_string(own.join("Cargo.toml")).expect("the manifest");
    let beside = "path = \"../looplab\"";
    assert!(dependencies.contains(beside), "{dependencies}");
    let dependencies = dependencies.replace(beside, &format!("path = {:?}", root.to_str().expect("a path")));
    fs::write(own.join("Cargo.toml"), manifest.replace("[dependencies]\n", &dependencies)).expect("written");
    fs::write(own.join("src/main.rs"), program).expect("written");
    // The versions of this repository, so that nothing is fetched.
    fs::copy(root.join("Cargo.lock"), own.join("Cargo.lock")).expect("copied");
    cargo(&own).args(["run", "-q", "--offline"]).envs(variables.iter().copied()).output().expect("cargo")
}

#[test]
fn the_readmes_own_crate_builds_and_ends_as_it_says() {
    let readme = page("README.md");
    let blocks = fenced(section(&readme, "In your own crate"));
    let [dependencies, program, printed] = &blocks[..] else { panic!("{} blocks", blocks.len()) };
    let place = tempfile::tempdir().expect("a folder");
    let ended = run(place.path(), "mine", dependencies, program, &[]);
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(String::from_utf8_lossy(&ended.stdout), *printed, "{stderr}");
    assert_eq!((ended.status.code(), &*stderr), (Some(3), ""));
}

#[test]
fn the_readmes_first_program_records_the_table_that_stands_below_it() {
    let readme = page("README.md");
    let blocks = fenced(&readme);
    let [program, table, ..] = &blocks[..] else { panic!("{} blocks", blocks.len()) };
    let dependencies = &fenced(section(&readme, "In your own crate"))[0];
    let place = tempfile::tempdir().expect("a folder");
    let recorded = place.path().join("turns.txt");
    let variables = [("LOOPLAB_TRACE", recorded.to_str().expect("a path")), ("LOOPLAB_CLOCK", "virtual")];
    let ended = run(place.path(), "first", dependencies, program, &variables);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(fs::read_to_string(recorded).expect("a trace"), *table);
}

/// Removes the time that an exploration took.
fn without_time(report: &str) -> String {
    let (before, rest) = report.split_once(" (in ").expect("a time");
    let (_, after) = rest.split_once(" s)").expect("its end");
    format!("{before}{after}")
}

#[test]
fn the_readmes_exploration_finds_its_fault_in_a_crate_of_its_own() {
    let readme = page("README.md");
    let section = section(&readme, "Every moment of it");
    let blocks = fenced(section);
    let [program, printed] = &blocks[..] else { panic!("{} blocks", blocks.len()) };
    let (_, dependency) = section.split_once("with\n`looplab = ").expect("the dependency");
    let dependency = dependency.split_once('`').expect("its end").0;
    let place = tempfile::tempdir().expect("a folder");
    let dependencies = format!("[dependencies]\nlooplab = {dependency}\n");
    let ended = run(place.path(), "shutdown", &dependencies, program, &[]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let said = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(without_time(&said), without_time(printed));
}

#[test]
fn the_page_on_testing_serves_and_asks_without_a_socket() {
    let testing = page("docs/testing.md");
    let body = &fenced(section(&testing, "Servers and clients without a socket"))[0];
    let program = format!("fn main() -> looplab::Result<()> {{\n{body}\n}}\n").replace("# Ok::", "Ok::");
    let place = tempfile::tempdir().expect("a folder");
    let recorded = place.path().join("turns.txt");
    let variables = [("LOOPLAB_TRACE", recorded.to_str().expect("a path"))];
    let dependencies = "[dependencies]\nlooplab = { path = \"../looplab\", features = [\"xray\"] }\n";
    let ended = run(place.path(), "served", dependencies, &program, &variables);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let table = fs::read_to_string(recorded).expect("a trace");
    assert!(["fd-1 R", "fd-2 W"].iter().all(|fd| table.contains(fd)), "{table}");
}

#[test]
fn the_page_on_testing_finds_its_fault_in_a_crate_of_its_own() {
    let testing = page("docs/testing.md");
    let blocks = fenced(section(&testing, "The first exploration"));
    let [body, printed] = &blocks[..] else { panic!("{} blocks", blocks.len()) };
    let body = body.replace("# Ok::<(), Error>(())\n", "print!(\"{report}\");\nOk::<(), Error>(())\n");
    let program = format!("fn main() -> looplab::Result<()> {{\n{body}\n}}\n");
    let dependencies = "[dependencies]\nlooplab = { path = \"../looplab\", features = [\"explore\"] }\n";
    let place = tempfile::tempdir().expect("a folder");
    let ended = run(place.path(), "explored", dependencies, &program, &[]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let said = String::from_utf8_lossy(&ended.stdout);
    // Neither the time is the same each time, nor has a program the name of a test.
    let (first, rest) = said.split_once('\n').expect("lines");
    assert_eq!(first.split_once(" (in ").expect("a time").0, "explore: 4 of 14 schedules fail");
    let (_, wanted) = printed.split_once('\n').expect("lines");
    assert!(rest.starts_with(&wanted.replace(" cargo test every_parcel_is_saved", "")), "{said}");
}
