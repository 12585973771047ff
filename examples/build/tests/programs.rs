//! Each chapter prints its transcript, and looplab's own lessons print theirs on chapter 10.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the names in the manifest's sections of this kind.
fn targets(section: &str) -> Vec<String> {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).expect("the manifest");
    let sections = manifest.split("\n[[").filter(|part| part.starts_with(section));
    let name = |part: &str| {
        part.split("name = \"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned)
    };
    sections.filter_map(name).collect()
}

/// Runs a program; a minute is longer than any of them takes.
fn run(program: &Path) -> Vec<u8> {
    let shown = program.display();
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
    let pid = child.id();
    let (ended, end) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let output = child.wait_with_output();
        let _ = ended.send(());
        output
    });
    if end.recv_timeout(Duration::from_secs(60)).is_err() {
        let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    }
    let output = waiter.join().expect("no panic").expect("its output");
    assert!(output.status.success(), "{shown}: {}", output.status);
    output.stdout
}

/// Compares what a program prints with its transcript. A machine that stands still for a tenth of a second brings timers
/// together, and that changes what some print: three attempts.
fn assert_prints(program: &Path, transcript: &Path) {
    let expected = fs::read(transcript).unwrap_or_else(|error| panic!("{}: {error}", transcript.display()));
    let printed = (0..2).map(|_| run(program)).find(|printed| *printed == expected);
    let printed = printed.unwrap_or_else(|| run(program));
    let [expected, printed] = [&expected, &printed].map(|text| String::from_utf8_lossy(text));
    assert_eq!(printed, expected, "{}", program.display());
}

/// Where cargo has put the programs: `TARGET/PROFILE`, above the folder of this test.
fn programs() -> PathBuf {
    let test = std::env::current_exe().expect("this test's path");
    test.ancestors().nth(2).expect("TARGET/PROFILE/deps/test").to_path_buf()
}

#[test]
fn every_chapter_prints_its_transcript() {
    let chapters = targets("bin]]");
    assert_eq!(chapters.len(), 10);
    for chapter in chapters {
        assert_prints(&programs().join(&chapter), &folder().join(format!("{chapter}.out")));
    }
}

/// The issue of the chapters asks for 20.
#[test]
fn looplabs_lessons_print_their_transcripts_on_chapter_10() {
    let lessons = targets("example]]");
    assert!(lessons.len() >= 20, "{} lessons", lessons.len());
    for lesson in lessons {
        let name = lesson.trim_start_matches("lesson_");
        let transcript = folder().join(format!("../{name}.out"));
        assert_prints(&programs().join("examples").join(&lesson), &transcript);
    }
}
