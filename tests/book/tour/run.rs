//! `tour` and `tour run`: marks, verdicts, and lessons that hang, lie or die.

use super::{Place, assert_status, json, output, own_lessons, start, stderr, stdout, tour};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

#[test]
fn a_lesson_of_the_package_is_built_and_prints_its_transcript() {
    let number = own_lessons()[0].to_string();
    let run = json(&output(Command::new(tour()).args(["run", &number, "--json"])));
    assert_eq!(run["ok"], true, "{run}");
    assert_eq!(run["lessons"][0]["printed"], run["lessons"][0]["expected"]);
    assert_ne!(run["lessons"][0]["printed"], "");
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
fn a_lesson_that_differs_is_run_as_often_as_is_allowed() {
    let place = Place::new();
    let at_last = place.right_at_last("been");
    place.lesson("01_late", &at_last, "a\n").lesson("02_wrong", "echo c", "a\n");
    let run = place.tour(&["--ascii", "--attempts", "2"]);
    assert_status(&run, 1);
    assert!(stdout(&run).contains(" 01 ok   A title.\n"), "{run:?}");
    assert!(stdout(&run).contains("1 of 2 differs: 02;"), "{run:?}");
    let again = "prints something else, and is run once more\n";
    assert_eq!(stderr(&run).matches(again).count(), 2, "{run:?}");
    assert!(stderr(&run).contains(&format!("02_wrong {again}")), "{run:?}");
    // By itself nothing is run twice.
    fs::remove_file(place.folder.path().join("been")).expect("it was run");
    assert!(stdout(&place.tour(&["--ascii"])).contains("2 of 2 differ: 01, 02;"));
    let never = place.tour(&["--attempts", "0"]);
    assert_status(&never, 2);
    assert!(stderr(&never).contains("0 is not in 1.."), "{never:?}");
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
        let whereabouts = "    examples/05_create_task.rs, explained in docs/lessons/stopping.md; next: cargo run --example tour run 06\n\n";
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
    let fifo = place.fifo();
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
    let fifo = place.fifo();
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
