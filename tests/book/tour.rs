//! What the `tour` example promises, asked of its program.
//!
//! Most tests put a copy of the tour beside lessons of their own, which are shell scripts: so a lesson that
//! hangs, lies or dies can be had, and a "Python" that answers whatever a test needs. None needs a terminal or a
//! Python; three take the package's own lessons, and cargo builds what they need.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
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
fn a_lesson_of_the_package_is_built_and_prints_its_transcript() {
    let number = own_lessons()[0].to_string();
    let run = json(&output(Command::new(tour()).args(["run", &number, "--json"])));
    assert_eq!(run["ok"], true, "{run}");
    assert_eq!(run["lessons"][0]["printed"], run["lessons"][0]["expected"]);
    assert_ne!(run["lessons"][0]["printed"], "");
}

#[test]
fn the_list_shows_number_title_one_line_page_and_source() {
    let place = Place::new();
    place.lesson("05_five", "", "").lesson("03_three", "", "");
    let list = place.tour(&["list"]);
    assert_status(&list, 0);
    assert_eq!(
        stdout(&list),
        "looplab tour: 2 lessons\n\n 03 A title.\n    One line in two.\n    docs/lessons/stopping.md, examples/03_three.rs\n \
         05 A title.\n    One line in two.\n    docs/lessons/stopping.md, examples/05_five.rs\n"
    );
}

#[test]
fn every_lesson_gets_a_mark_and_one_cross_makes_the_exit_status_1() {
    let place = Place::new();
    place.lesson("01_right", "echo yes", "yes\n").lesson("02_wrong", "echo yes; echo why >&2", "no\n");
    let run = place.tour(&["--ascii"]);
    assert_status(&run, 1);
    let text = stdout(&run);
    assert!(text.contains(" 01 ok   A title.\n         One line in two.\n 02 FAIL A title.\n"), "{text}");
    assert!(text.contains("    - no\n    + yes\n    standard error:\n      why\n"), "{text}");
    assert!(
        text.ends_with("1 of 2 differs: 02; `cargo run --example tour run 02` shows it alone.\n"),
        "{text}"
    );

    place.lesson("02_wrong", "echo no", "no\n");
    let run = place.tour(&["--ascii"]);
    assert_status(&run, 0);
    assert!(stdout(&run).ends_with("2 of 2 print what CPython prints.\n"), "{run:?}");
}

#[test]
fn a_changed_transcript_of_a_real_lesson_is_a_cross() {
    let place = Place::new();
    let number = own_lessons()[0];
    let real = json(&output(Command::new(tour()).args(["list", "--json"])));
    let lesson = &real["lessons"][0];
    let name = lesson["name"].as_str().expect("a name");
    fs::copy(lesson["source"].as_str().expect("a source"), place.lessons().join(format!("{name}.rs")))
        .expect("a copy");
    let transcript =
        fs::read_to_string(lesson["transcript"].as_str().expect("a transcript")).expect("a text");
    place.file(&format!("{name}.out"), &format!("{transcript}one line more\n"));

    let doctored = output(Command::new(tour()).arg("--lessons").arg(place.lessons()));
    assert_status(&doctored, 1);
    let text = stdout(&doctored);
    assert!(text.contains("    - one line more\n"), "{text}");
    assert!(text.contains(&format!("1 of 1 differs: {number:02};")), "{text}");
}

#[test]
fn run_shows_the_text_the_output_and_the_verdict() {
    let place = Place::new();
    place.lesson("05_create_task", "echo one; printf two", "one\ntwo");
    for name in ["5", "05", "05_create_task", "Create-Task", "examples/05_create_task.rs", "task"] {
        let run = place.tour(&["run", name, "--ascii"]);
        assert_status(&run, 0);
        let expected = " 05 A title.\n    One line\n    in two.\n\n    More.\n\n  | one\n  | two\n\n 05 ok   prints what CPython prints\n\n";
        let whereabouts = "    examples/05_create_task.rs, explained in docs/lessons/stopping.md\n\n";
        assert_eq!(stdout(&run), format!("{expected}{whereabouts}"), "{name}");
    }
}

#[test]
fn a_right_output_with_a_wrong_end_is_a_cross() {
    let place = Place::new();
    place.lesson("01_status", "echo yes; exit 3", "yes\n").lesson(
        "02_signal",
        "echo yes; kill -SEGV $$",
        "yes\n",
    );
    let run = place.json(&[]);
    assert_eq!(run["failed"], 2);
    assert_eq!(run["lessons"][0]["status"], 3);
    assert_eq!(run["lessons"][0]["problem"], "ended with exit status 3");
    assert_eq!(run["lessons"][1]["signal"], 11);
    assert_eq!(run["lessons"][1]["problem"], "was killed by SIGSEGV (signal 11)");
    let text = stdout(&place.tour(&["run", "1", "--ascii"]));
    assert!(
        text.contains("    the lesson ended with exit status 3, but what it printed is right\n"),
        "{text}"
    );
}

#[test]
fn a_difference_that_a_terminal_hides_is_written_out() {
    let place = Place::new();
    place.lesson("01_hidden", r"printf 'one \ntwo\t\n\033[2Jthree'", "one\ntwo\nthree\n");
    let text = stdout(&place.tour(&["--ascii"]));
    for line in [r"    + one\x20", r"    + two\t", r"    + \u{1b}[2Jthree  (no newline at the end)"] {
        assert!(text.contains(&format!("{line}\n")), "{line} in {text}");
    }
}

#[test]
fn a_lesson_that_hangs_is_killed_with_what_it_started() {
    let place = Place::new();
    let fifo = place.folder.path().join("held open by what the lesson started");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs");
    assert!(made.success());
    place.lesson("01_hangs", &format!("echo begun; sleep 600 > '{}' & wait", fifo.display()), "begun\n");
    // Opening waits for the writer, reading for its end: only its death closes the pipe.
    let (ended, told) = channel();
    thread::spawn(move || ended.send(fs::read(fifo).map(|bytes| bytes.len())));
    let run = place.json(&["--timeout", "5"]);
    assert_eq!(run["lessons"][0]["timed_out"], true);
    assert_eq!(run["lessons"][0]["printed"], "begun\n");
    let read = told.recv_timeout(Duration::from_secs(60)).expect("what the lesson started lives on");
    assert_eq!(read.expect("a pipe can be read"), 0);
}

#[test]
fn ctrl_c_ends_the_lesson_and_then_the_tour() {
    let place = Place::new();
    let fifo = place.folder.path().join("held open by the lesson");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs");
    assert!(made.success());
    place.lesson("01_waits", &format!("exec sleep 600 > '{}'", fifo.display()), "");
    for (signal, number) in [(Signal::INT, 2), (Signal::TERM, 15)] {
        let (say, told) = channel();
        let path = fifo.clone();
        thread::spawn(move || {
            let mut fifo = fs::File::open(path)?;
            let _ = say.send("the lesson runs");
            io::copy(&mut fifo, &mut io::sink())?;
            let _ = say.send("the lesson has ended");
            io::Result::Ok(())
        });
        let mut command = Command::new(place.programs().join("tour"));
        command.args(["--no-build", "--timeout", "600", "--lessons"]).arg(place.lessons());
        let child = start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok("the lesson runs"));
        kill_process(Pid::from_child(&child), signal).expect("the tour runs");
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok("the lesson has ended"));
        let ended = child.wait_with_output().expect("the tour ends");
        assert_eq!(ended.status.signal(), Some(number));
    }
}

#[test]
fn a_lesson_that_prints_for_ever_is_killed_long_before_the_timeout() {
    let place = Place::new();
    place.lesson("01_floods", "while :; do echo again; done", "again\n");
    let run = place.json(&["--timeout", "600"]);
    assert_eq!(run["lessons"][0]["problem"], "printed more than 1024 KiB and was killed");
}

#[test]
fn a_lesson_hears_nothing_of_the_readers_looplab_variables() {
    let place = Place::new();
    place.lesson("01_env", "echo ${LOOPLAB_TRACE:-clean}", "clean\n");
    let mut command = Command::new(place.programs().join("tour"));
    command.env("LOOPLAB_TRACE", "x").args(["--no-build", "--json", "--lessons"]).arg(place.lessons());
    assert_status(&output(&mut command), 0);
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
fn compare_without_a_python_says_what_is_missing() {
    let place = Place::new();
    place.lesson("01_any", "", "");
    let old = place.python("3 10 13", "");
    let silent = place.folder.path().join("silent");
    place.script(&silent, "");
    let silent = silent.display().to_string();
    let answers = [
        ("/nonexistent/python", "  /nonexistent/python: not found\n"),
        (old.as_str(), "3.10.13 is older than 3.11\n"),
        (silent.as_str(), "silent: it is no Python\n"),
    ];
    for (python, answer) in answers {
        let refused = place.tour(&["compare", "1", "--python", python]);
        assert_status(&refused, 2);
        assert!(stderr(&refused).contains(answer), "{}", stderr(&refused));
        assert!(stderr(&refused).contains("Name one by its command or path"), "{}", stderr(&refused));
    }
    let mut nowhere = Command::new(place.programs().join("tour"));
    nowhere
        .env("PATH", "/nonexistent")
        .env_remove("LOOPLAB_PYTHON")
        .args(["compare", "1", "--no-build", "--lessons"])
        .arg(place.lessons());
    let refused = output(&mut nowhere);
    assert_status(&refused, 2);
    for python in ["python3.15", "python3.14", "python3.13", "python3.12", "python3.11", "python3"] {
        assert!(stderr(&refused).contains(&format!("  {python}: not found\n")), "{}", stderr(&refused));
    }
}

/// The verdict of one lesson that prints `rust` and one Python 3.12.1 that runs `python`; the transcript is
/// "a".
fn verdict(rust: &str, python: &str, of_version: Option<&str>) -> Value {
    let place = Place::new();
    place.lesson("01_any", rust, "a\n");
    place.file("01_any.py", "# differs: because\n");
    if let Some(text) = of_version {
        place.file("01_any.py3.12.out", text);
    }
    let python = place.python("3 12 1", python);
    let compared = place.json(&["compare", "1", "--python", &python]);
    compared["lessons"][0]["pythons"][0].clone()
}

#[test]
fn compare_names_the_odd_one_out() {
    assert_eq!(verdict("echo a", "echo a", None)["verdict"], "same");
    assert_eq!(verdict("echo b", "echo a", None)["verdict"], "rust_differs");
    assert_eq!(verdict("echo a; exit 1", "echo a", None)["verdict"], "rust_differs");
    assert_eq!(verdict("echo a", "echo b", None)["verdict"], "python_differs");
    assert_eq!(verdict("echo b", "echo b", None)["verdict"], "transcript_differs");
    assert_eq!(verdict("echo b", "echo c", None)["verdict"], "all_differ");
    assert_eq!(verdict("echo a", "echo a", Some("b\n"))["verdict"], "python_differs");
    let by_version = verdict("echo a", "echo b", Some("b\n"));
    assert_eq!(by_version["verdict"], "by_version");
    assert_eq!(by_version["reason"], "because");
}

#[test]
fn a_twin_that_lacks_a_module_is_skipped_and_said_so() {
    let place = Place::new();
    place.lesson("41_web", "echo a", "a\n");
    place.file("41_web.py", "");
    let python =
        place.python("3 13 0", "echo \"ModuleNotFoundError: No module named 'aiohttp'\" >&2; exit 1");
    let compared = place.tour(&["compare", "--all", "--python", &python, "--ascii"]);
    assert_status(&compared, 0);
    let text = stdout(&compared);
    assert!(text.contains("    - 3.13.0: no aiohttp\n"), "{text}");
    assert!(text.contains(&format!(" skipped 41: {python} (CPython 3.13.0): no aiohttp\n")), "{text}");
    assert!(text.ends_with("0 of 1 the same; 1 skipped.\n"), "{text}");
}

#[test]
fn what_no_python_here_has_is_said_with_the_way_to_get_it() {
    let place = Place::new();
    place.lesson("41_web", "echo a", "a\n");
    place.file("41_web.py", "");
    let without = "echo \"ModuleNotFoundError: No module named 'aiohttp'\" >&2; exit 1";
    let (old, new) = (place.python("3 12 1", without), place.python("3 13 0", without));
    let none = stdout(&place.tour(&["compare", "41", "--python", &old, "--python", &new]));
    assert!(none.contains("\n no Python here has aiohttp: make one that has,\n"), "{none}");
    assert!(none.contains("pip install aiohttp redis\n"), "{none}");

    let with = place.python("3 12 1", "echo a");
    let one = stdout(&place.tour(&["compare", "41", "--python", &with, "--python", &new]));
    assert!(!one.contains("no Python here has"), "{one}");
}

#[test]
fn looplab_python_names_pythons_that_are_preferred_to_the_usual_ones() {
    let place = Place::new();
    place.lesson("01_any", "echo a", "a\n");
    place.file("01_any.py", "");
    let (one, other) = (place.python("3 11 7", "echo a"), place.python("3 99 0", "echo a"));
    let mut compare = Command::new(place.programs().join("tour"));
    compare.env("LOOPLAB_PYTHON", format!("{one}:{other}")).env("PATH", "/nonexistent");
    compare.args(["compare", "1", "--json", "--no-build", "--lessons"]).arg(place.lessons());
    let compared = json(&output(&mut compare));
    let commands: Vec<&str> = compared["pythons"]
        .as_array()
        .expect("an array")
        .iter()
        .filter_map(|p| p["command"].as_str())
        .collect();
    assert_eq!(commands, [one, other]);
}

#[test]
fn a_lesson_that_this_machine_cannot_show_is_neither_right_nor_wrong() {
    let place = Place::new();
    place.lesson("01_right", "echo yes", "yes\n");
    place.lesson("46_redis", "echo 'not shown: there is no server'", "shown\n");
    let run = place.tour(&["--ascii"]);
    assert_status(&run, 0);
    let text = stdout(&run);
    assert!(text.contains("\n 46 -    A title.\n"), "{text}");
    assert!(text.contains("\n 46 not shown: there is no server\n"), "{text}");
    assert!(text.ends_with("1 of 2 print what CPython prints; 1 not shown.\n"), "{text}");
    assert!(stdout(&place.tour(&["run", "46", "--ascii"])).contains("\n 46 -    not shown\n"));

    let run = place.json(&[]);
    assert_eq!((&run["ok"], &run["failed"]), (&true.into(), &0.into()));
    assert_eq!(run["lessons"][1]["not_shown"], "there is no server");

    // Nor does it differ from its twin.
    place.file("46_redis.py", "");
    let python = place.python("3 13 0", "echo shown");
    let compared = place.json(&["compare", "46", "--python", &python]);
    assert_eq!(compared["lessons"][0]["pythons"][0]["verdict"], "skipped");

    // More than the one line, or a bad end, is no excuse.
    place.lesson("46_redis", "echo 'not shown: no'; echo more", "shown\n");
    assert_status(&place.tour(&[]), 1);
    place.lesson("46_redis", "echo 'not shown: no'; exit 1", "shown\n");
    assert_status(&place.tour(&[]), 1);
}

#[test]
fn every_version_is_compared_once_and_a_difference_is_shown() {
    let place = Place::new();
    place.lesson("01_any", "echo a", "a\n");
    place.file("01_any.py", "");
    let right = place.python("3 11 7", "echo a");
    let again = place.python("3 11 7", "echo a");
    let wrong = place.python("3 13 0", "echo b");
    let arguments = ["compare", "1", "--ascii", "--python", &wrong, "--python", &right, "--python", &again];
    let compared = place.tour(&arguments);
    assert_status(&compared, 1);
    let text = stdout(&compared);
    assert!(text.contains("    ok 3.11.7    FAIL 3.13.0: python differs\n"), "{text}");
    assert!(text.contains("    CPython 3.13.0 differs; on looplab it is as recorded\n"), "{text}");
    assert!(text.contains("    - a\n    + b\n"), "{text}");
    assert!(text.ends_with("1 of 2 the same; 1 not the same.\n"), "{text}");
}

#[test]
fn trace_prints_what_the_lesson_wrote_and_leaves_nothing_behind() {
    let place = Place::new();
    let temporary = place.folder.path().join("tmp");
    fs::create_dir(&temporary).expect("a folder");
    place.lesson("01_traced", "echo out; echo \"rows of ${LOOPLAB_TRACE##*.}\" > $LOOPLAB_TRACE", "out\n");
    let trace = |arguments: &[&str]| {
        let mut command = Command::new(place.programs().join("tour"));
        command.env("TMPDIR", &temporary).args(["trace", "1", "--no-build", "--ascii"]).args(arguments);
        output(command.arg("--lessons").arg(place.lessons()))
    };
    let table = trace(&[]);
    assert_status(&table, 0);
    assert_eq!(stdout(&table), " 01 A title.\n\n  | out\n\nrows of txt\n");
    for option in ["--jsonl", "--json"] {
        let lines = trace(&[option]);
        assert_status(&lines, 0);
        assert_eq!(stdout(&lines), "rows of jsonl\n");
        assert!(stderr(&lines).ends_with("out\n"), "{}", stderr(&lines));
    }
    assert_eq!(fs::read_dir(&temporary).expect("the folder is there").count(), 0);
}

#[test]
fn xray_leaves_a_page_of_the_lesson_and_its_twin_with_their_source() {
    let place = Place::new();
    let line = r#"{"s":4,"t":7,"e":"loop","ev":"new"}"#;
    place.lesson(
        "01_paged",
        &format!("echo out; echo '{line}' > $LOOPLAB_TRACE; test $LOOPLAB_CLOCK = virtual"),
        "out\n",
    );
    place.file("01_paged.py", "");
    let written = r#"{"s":0,"t":0,"e":"loop","ev":"closed"}"#;
    // It is called as `PYTHON xray.py --virtual -o FILE TWIN`.
    let python = place.python("3 99 0", &format!("test $2 = --virtual && echo '{written}' > $4"));
    let mut tour = Command::new(place.programs().join("tour"));
    tour.args(["xray", "1", "--no-build", "--lessons"]).arg(place.lessons()).env("LOOPLAB_PYTHON", python);
    let made = output(&mut tour);
    assert_status(&made, 0);
    let page = place.folder.path().join("xray/01_paged.html");
    assert_eq!(stdout(&made), format!("{}\n", page.display()));
    let text = fs::read_to_string(&page).expect("the page");
    let lines: Vec<&str> = text.lines().rev().take(6).collect();
    let element = |name| format!(r#"<script type="application/jsonl" class="trace" data-name="{name}">"#);
    let rust = element("Rust");
    let [end, python, begin, _, source, first] = lines[..] else { panic!("six lines") };
    assert_eq!((end, python, begin), ("</script>", written, element("Python 3.99").as_str()));
    assert_eq!(first, line);
    assert!(text.contains(&rust));
    let source: serde_json::Value = serde_json::from_str(source).expect("a line of the trace");
    assert_eq!((&source["s"], &source["t"]), (&5.into(), &7.into()), "it goes on where the trace ended");
    assert_eq!((&source["k"], &source["v"]), (&"file".into(), &"examples/01_paged.rs".into()));
    assert!(source["text"].as_str().is_some_and(|text| text.starts_with("//! A title.")), "{source}");
}

/// A lesson and its twin whose traces are these files.
fn traced(rust: &str, python: &str) -> (Place, Command) {
    let place = Place::new();
    let file = |name: &str, text: &str| {
        let path = place.folder.path().join(name);
        fs::write(&path, text).expect("a trace");
        path.display().to_string()
    };
    let (rust, written) = (file("rust.jsonl", rust), file("python.jsonl", python));
    place.lesson("01_any", &format!("cat {rust} > $LOOPLAB_TRACE"), "");
    place.file("01_any.py", "");
    let python = place.python("3 99 0", &format!("cat {written} > $4"));
    let mut tour = Command::new(place.programs().join("tour"));
    tour.args(["--no-build", "--lessons"]).arg(place.lessons()).env("LOOPLAB_PYTHON", python);
    (place, tour)
}

const ONE_CALLBACK: &str = r#"{"s":0,"t":0,"e":"meta","v":1,"rt":"looplab 0.1.0","unit":"ns","clock":"virtual"}
{"s":1,"t":0,"e":"loop","ev":"new"}
{"s":2,"t":0,"e":"push","q":1,"h":1,"via":"call_soon","kind":"cb","cb":"main::hello"}
{"s":3,"t":0,"e":"loop","ev":"run"}
{"s":4,"t":0,"e":"turn","n":1}
{"s":5,"t":0,"e":"batch","n":1}
{"s":6,"t":0,"e":"run","q":1,"h":1}
{"s":7,"t":0,"e":"out","text":"hello\n","by":1}
{"s":8,"t":0,"e":"ret","q":1}
"#;

#[test]
fn step_tells_the_whole_run_without_a_terminal() {
    let (_place, mut tour) = traced(ONE_CALLBACK, "");
    let told = output(tour.args(["step", "1", "--ascii"]));
    assert_status(&told, 0);
    let lines = [
        " 01 A title.",
        "",
        "turn 0        program An event loop is made.",
        "              queue   |",
        "              program The program queues hello. It waits for a run to begin.",
        "              queue   | hello",
        "              program Run 1 begins. 1 entry already in the queue.",
        "turn 1        loop    Turn 1. 1 entry in the queue.",
        "              loop    I freeze the batch: 1 entry runs in this turn. Whatever it queues waits for the next turn.",
        "              queue   hello |",
        "              code    hello runs: 1 of 1.",
        "              queue   >hello |",
        "              code    hello prints \"hello\".",
        "              code    hello gives control back. The batch is done. The stop flag is not set: another turn.",
        "              queue   +hello |",
    ];
    assert_eq!(stdout(&told).lines().collect::<Vec<_>>(), lines);
}

#[test]
fn diff_says_what_two_runs_have_in_common_and_refuses_what_has_no_reason() {
    let same = ONE_CALLBACK.replace("main::hello", "hello_world.hello");
    let (_place, mut tour) = traced(ONE_CALLBACK, &same);
    let shown = output(tour.args(["diff", "1"]));
    assert_status(&shown, 0);
    assert!(stdout(&shown).contains("looplab and Python 3.99: 1 callbacks the same\n"), "{}", stdout(&shown));
    let (_place, mut tour) = traced(ONE_CALLBACK, &ONE_CALLBACK.replace("main::hello", "main.other"));
    let shown = output(tour.args(["diff", "1"]));
    assert_status(&shown, 1);
    for part in [
        "0 callbacks the same, 2 on one side only",
        "Rust    turn 1   hello  hello",
        "Python  turn 1   other  hello",
        "no reason is listed: Python | code other",
    ] {
        assert!(stdout(&shown).contains(part), "{part}: {}", stdout(&shown));
    }
}

/// The reasons are those of CPython 3.15. Without one of this version on the PATH or in `LOOPLAB_PYTHON` there is
/// nothing to hold them against.
#[test]
fn every_difference_between_the_lessons_runs_has_its_reason() {
    let named = std::env::var("LOOPLAB_PYTHON").unwrap_or_default();
    let all = named.split(':').filter(|name| !name.is_empty()).chain(["python3.15"]);
    let answers = |name: &&str| {
        let asked = Command::new(name).args(["-c", "import sys; print(sys.version_info[1])"]).output();
        asked.is_ok_and(|output| output.stdout == b"15\n")
    };
    let Some(python) = all.into_iter().find(answers) else {
        return support::complain("no CPython 3.15 here: the reasons of `tour diff` are not tested");
    };
    let mut diff = Command::new(tour());
    let shown =
        output(diff.args(["diff", "--all", "--no-build"]).env("LOOPLAB_PYTHON", python).env("PATH", ""));
    assert_status(&shown, 0);
    assert!(stdout(&shown).matches("callbacks the same").count() > 30, "{}", stdout(&shown));
}

#[test]
fn xray_writes_the_file_for_any_asyncio_program() {
    let place = Place::new();
    place.lesson("01_any", "", "");
    let made = place.tour(&["xray", "--python"]);
    assert_status(&made, 0);
    let file = place.folder.path().join("xray/xray.py");
    assert_eq!(stdout(&made), format!("{}\n", file.display()));
    assert_eq!(fs::read_to_string(file).expect("the file"), looplab::xray::python());
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
