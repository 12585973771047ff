//! `tour compare`: a lesson beside its twin on the Pythons of a machine.

use super::{Place, assert_status, json, output, start, stderr, stdout};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

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
fn a_twin_that_differs_is_run_as_often_as_is_allowed() {
    let place = Place::new();
    place.lesson("01_any", &place.right_at_last("lesson"), "a\n");
    place.file("01_any.py", "");
    let python = place.python("3 12 1", &place.right_at_last("twin"));
    let compare = |more: &[&str]| {
        let compared = place.json(&[&["compare", "1", "--python", &python], more].concat());
        compared["lessons"][0]["pythons"][0]["verdict"].clone()
    };
    assert_eq!(compare(&["--attempts", "2"]), "same");
    for been in ["lesson", "twin"] {
        std::fs::remove_file(place.folder.path().join(been)).expect("it was run");
    }
    assert_eq!(compare(&[]), "transcript_differs");
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
fn ctrl_c_ends_the_twins_of_all_pythons() {
    let place = Place::new();
    place.lesson("01_any", "echo a", "a\n");
    place.file("01_any.py", "");
    let fifo = place.fifo();
    let waits = format!("exec 3> '{}'; echo runs >&3; exec sleep 600", fifo.display());
    let pythons = ["3 11 7", "3 12 1", "3 13 0"].map(|version| place.python(version, &waits));
    let (say, told) = channel();
    thread::spawn(move || {
        // A writer of its own keeps the pipe from ending before all twins have opened it.
        let held = fs::OpenOptions::new().read(true).write(true).open(&fifo)?;
        let mut lines = BufReader::new(fs::File::open(&fifo)?).lines();
        for _ in 0..3 {
            lines.next().expect("a twin runs")?;
        }
        drop(held);
        let _ = say.send("the twins run");
        assert!(lines.next().is_none());
        let _ = say.send("the twins have ended");
        io::Result::Ok(())
    });
    let mut command = Command::new(place.programs().join("tour"));
    command.args(["compare", "1", "--no-build", "--timeout", "600", "--lessons"]).arg(place.lessons());
    for python in &pythons {
        command.arg("--python").arg(python);
    }
    let child = start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
    assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok("the twins run"));
    kill_process(Pid::from_child(&child), Signal::INT).expect("the tour runs");
    assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok("the twins have ended"));
    let ended = child.wait_with_output().expect("the tour ends");
    assert_eq!(ended.status.signal(), Some(2));
}
