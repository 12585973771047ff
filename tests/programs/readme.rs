//! The README's "In your own crate", built and run as it stands there.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Returns the fenced blocks of a section, in order.
fn blocks(text: &str, section: &str) -> Vec<String> {
    let (_, after) = text.split_once(&format!("## {section}\n")).expect("the section");
    let section = after.split("\n## ").next().unwrap_or(after);
    let fenced = section.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').expect("a block").1.to_owned()).collect()
}

fn cargo(place: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(place).env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme"));
    cargo
}

#[test]
fn the_readmes_own_crate_builds_and_ends_as_it_says() {
    let root = support::root();
    let readme = fs::read_to_string(root.join("README.md")).expect("the README");
    let blocks = blocks(&readme, "In your own crate");
    let [dependencies, program, printed] = &blocks[..] else { panic!("{} blocks", blocks.len()) };
    let place = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(root, place.path().join("looplab")).expect("a link");
    let new = cargo(place.path()).args(["new", "-q", "--vcs", "none", "mine"]).status().expect("cargo");
    assert!(new.success());
    let mine = place.path().join("mine");
    let manifest = fs::read_to_string(mine.join("Cargo.toml")).expect("the manifest");
    fs::write(mine.join("Cargo.toml"), manifest.replace("[dependencies]\n", dependencies)).expect("written");
    fs::write(mine.join("src/main.rs"), program).expect("written");
    // The versions of this repository, so that nothing is fetched.
    fs::copy(root.join("Cargo.lock"), mine.join("Cargo.lock")).expect("copied");
    let ended = cargo(&mine).args(["run", "-q", "--offline"]).output().expect("cargo");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(String::from_utf8_lossy(&ended.stdout), *printed, "{stderr}");
    assert_eq!((ended.status.code(), &*stderr), (Some(3), ""));
}
