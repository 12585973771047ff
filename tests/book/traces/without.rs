//! `LOOPLAB_TRACE` in a program whose looplab has no feature `xray`.
//!
//! The tests themselves always have it, so this one builds a small program of its own, in the folder of the build.

use looplab::Result;
use std::fs;
use std::path::Path;
use std::process::Command;
use support::Process;

const PROGRAM: &str = "
    fn main() -> looplab::Result<()> {
        for _ in 0..2 {
            looplab::EventLoop::new()?.run_until_complete(async { Ok(()) })?;
        }
        Ok(())
    }
";

/// The path of the program, built by the cargo that builds this test and with the same versions.
fn build(folder: &Path) -> Result<std::path::PathBuf> {
    let looplab = support::root();
    let manifest = format!(
        "[package]\nname = \"without-xray\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [dependencies]\nlooplab = {{ path = {looplab:?} }}\n[workspace]\n"
    );
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::copy(looplab.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    fs::write(folder.join("src/main.rs"), PROGRAM)?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--offline", "--target-dir", "target"]).current_dir(folder);
    // As in this repository's Cargo.toml.
    cargo.env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
    let built = cargo.output()?;
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Ok(folder.join("target/debug/without-xray"))
}

#[test]
fn without_the_feature_a_trace_that_is_asked_for_is_one_warning() -> Result<()> {
    let program = build(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("without-xray"))?;
    let folder = tempfile::tempdir()?;
    for (variable, warning) in [
        (
            "x.jsonl",
            "looplab: LOOPLAB_TRACE is set, but nothing is recorded: looplab's feature `xray` is off\n",
        ),
        ("", ""),
    ] {
        let ended =
            Process::start(Command::new(&program).current_dir(folder.path()).env("LOOPLAB_TRACE", variable))
                .end();
        assert!(ended.status.success(), "{}", ended.stderr);
        assert_eq!(ended.stderr, warning);
        assert!(!folder.path().join("x.jsonl").exists());
    }
    Ok(())
}
