//! What the `tour` example promises, asked of its program.
//!
//! Most tests put a copy of the tour beside lessons of their own, which are shell scripts. Such a lesson can hang, lie or
//! die, and such a "Python" answers whatever a test needs. Few tests need a Python or the package's own lessons. A
//! test that needs a terminal makes a pseudo-terminal.

mod compare;
mod run;
mod traces;

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use support::examples;
use tempfile::TempDir;

fn tour() -> PathBuf {
    examples().join("tour")
}

/// A folder like a target directory and a folder of lessons, both made up.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = TempDir::new().expect("a temporary folder");
        let place = Place { folder };
        fs::create_dir_all(place.programs()).expect("a folder for programs");
        fs::create_dir_all(place.lessons()).expect("a folder for lessons");
        let copied = Command::new("cp").arg(tour()).arg(place.programs()).status();
        assert!(copied.expect("cp starts").success(), "a copy of the tour");
        place
    }

    fn programs(&self) -> PathBuf {
        self.folder.path().join("debug/examples")
    }

    fn lessons(&self) -> PathBuf {
        self.folder.path().join("lessons")
    }

    /// A lesson whose program is `script`, with what it should print.
    fn lesson(&self, name: &str, script: &str, transcript: &str) -> &Place {
        self.file(
            &format!("{name}.rs"),
            "//! A title.\n//!\n//! One line\n//! in two.\n//!\n//! More.\nfn main() {}\n",
        );
        self.file(&format!("{name}.out"), transcript);
        self.script(&self.programs().join(name), script);
        self
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.lessons().join(name), text).expect("a file in the temporary folder");
    }

    fn script(&self, path: &Path, script: &str) {
        // Another process writes it. Alternative: this one does. Problem: a child that another test starts meanwhile
        // inherits the open file, and the system runs no file that is open for writing ("Text file busy").
        let written = Command::new("sh")
            .args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$2\" >\"$1\" && chmod 755 \"$1\"", "sh"])
            .arg(path)
            .arg(script)
            .status();
        assert!(written.expect("sh starts").success(), "a script in the temporary folder");
    }

    /// A program that says it is this CPython, and runs `script` when it is given a twin.
    fn python(&self, version: &str, script: &str) -> String {
        let path = self.folder.path().join(format!("python{}", version.replace(' ', ".")));
        self.script(&path, &format!("if [ \"$1\" = -c ]; then echo cpython {version}; exit; fi\n{script}"));
        path.display().to_string()
    }

    /// Makes a named pipe. A reader of it sees the end once all programs that hold it open are gone.
    fn fifo(&self) -> PathBuf {
        let fifo = self.folder.path().join("held open");
        let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs");
        assert!(made.success());
        fifo
    }

    /// A script that prints `b` when it is run first, and `a` afterwards.
    fn right_at_last(&self, name: &str) -> String {
        let been = self.folder.path().join(name);
        format!("if [ -e '{0}' ]; then echo a; else : >'{0}'; echo b; fi", been.display())
    }

    fn tour(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.programs().join("tour"));
        command.args(arguments).arg("--no-build").arg("--lessons").arg(self.lessons());
        output(&mut command)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        json(&self.tour(&[arguments, &["--json"]].concat()))
    }
}

fn start(command: &mut Command) -> Child {
    command.spawn().expect("the tour starts")
}

fn output(command: &mut Command) -> Output {
    let child = start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    child.wait_with_output().expect("the tour ends")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error} in {output:?}"))
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("the tour prints UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("the tour prints UTF-8")
}

#[track_caller]
fn assert_status(output: &Output, status: i32) {
    assert_eq!(output.status.code(), Some(status), "{}{}", stdout(output), stderr(output));
}

/// The numbers of the lessons in this package's own folder.
fn own_lessons() -> Vec<u64> {
    let folder = fs::read_dir(support::root().join("examples")).expect("a folder of examples");
    let names = folder.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8 names"));
    let mut numbers: Vec<u64> = names
        .filter(|name| name.ends_with(".rs"))
        .filter_map(|name| name.split_once('_').filter(|(digits, _)| digits.len() == 2)?.0.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn list_names_every_lesson_of_the_package() {
    let listed = json(&output(Command::new(tour()).args(["list", "--json"])));
    let lessons = listed["lessons"].as_array().expect("an array of lessons");
    let numbers: Vec<u64> =
        lessons.iter().map(|lesson| lesson["number"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, own_lessons());
    for lesson in lessons {
        for field in ["name", "title", "about", "source", "transcript", "twin"] {
            assert!(lesson[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {lesson}");
        }
    }
}

#[test]
fn the_list_shows_number_title_one_line_page_and_source() {
    let place = Place::new();
    place.lesson("05_five", "", "").lesson("03_three", "", "");
    let list = place.tour(&["list"]);
    assert_status(&list, 0);
    assert_eq!(
        stdout(&list),
        "looplab tour: 2 lessons\n\n 03 A title.\n    One line in two.\n    docs/lessons/stopping.md, examples/03_three.rs; next: 04\n \
         05 A title.\n    One line in two.\n    docs/lessons/stopping.md, examples/05_five.rs; next: 06\n"
    );
}

#[test]
fn a_wrong_chapter_is_not_called_a_lesson() {
    let refused = output(Command::new(tour()).args(["build", "11"]));
    assert_status(&refused, 2);
    let answer = String::from_utf8_lossy(&refused.stderr);
    assert!(answer.contains("there is no chapter \"11\"; the nearest:\n      10_looplab: "), "{answer}");
}

#[test]
fn a_wrong_name_is_answered_with_the_nearest_one() {
    let place = Place::new();
    place.lesson("05_create_task_after_stop", "", "").lesson("33_shield", "", "").lesson(
        "35_taskgroup",
        "",
        "",
    );
    let cases = [
        (
            "creat_tsk",
            "there is no lesson \"creat_tsk\"; the nearest:\n      05_create_task_after_stop: A title.\n",
        ),
        ("shild", "the nearest:\n      33_shield: A title.\n"),
        ("34", "the nearest:\n      33_shield: A title.\n      35_taskgroup: A title.\n"),
        (
            "task",
            "\"task\" is part of several names:\n      05_create_task_after_stop: A title.\n      35_taskgroup: A title.\n",
        ),
    ];
    for command in ["run", "compare", "trace", "diff", "step", "xray"] {
        for (name, answer) in cases {
            let refused = place.tour(&[command, name]);
            assert_status(&refused, 2);
            assert!(stderr(&refused).contains(answer), "{command} {name}: {}", stderr(&refused));
            assert_eq!(stdout(&refused), "");
        }
    }
}

#[test]
fn lab_and_practice_become_programs_of_their_own() {
    let place = Place::new();
    let cargo = place.folder.path().join("cargo");
    place.script(&cargo, "echo \"$@\"");
    let manifest = support::root().join("Cargo.toml").display().to_string();
    for (words, becomes) in [
        (&["lab", "--seconds", "3"][..], format!("--example lab --manifest-path {manifest} -- --seconds 3")),
        (&["practice", "list"], format!("--package looplab-practice --manifest-path {manifest} -- list")),
    ] {
        let became = output(Command::new(tour()).args(words).env("CARGO", &cargo));
        assert_status(&became, 0);
        assert_eq!(stdout(&became), format!("run -q {becomes}\n"));
    }
    let help = output(Command::new(tour()).arg("--help"));
    assert!(stdout(&help).contains("\n  lab "), "{}", stdout(&help));
}

#[test]
fn a_reader_that_has_gone_ends_the_tour_without_a_word() {
    let place = Place::new();
    place.lesson("01_any", "echo a", "a\n");
    for arguments in [&["list"][..], &["run", "1"], &["--json"]] {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(place.programs().join("tour"));
        command.args(arguments).args(["--no-build", "--lessons"]).arg(place.lessons());
        let child = start(command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()));
        let ended = child.wait_with_output().expect("the tour ends");
        assert_eq!(ended.status.signal(), Some(13), "SIGPIPE, as other programs: {}", stderr(&ended));
        assert!(!stderr(&ended).contains("panicked"), "{}", stderr(&ended));
    }
}
