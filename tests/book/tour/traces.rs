//! What the tour makes of a lesson's trace: a table, a page, sentences, and the differences from its twin's.

use super::{Place, assert_status, output, own_lessons, stderr, stdout, tour};
use nix::fcntl::OFlag;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use support::watchdog;

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

/// Runs the tour on a terminal of its own, into which `typed` is typed. Returns what it prints there.
fn on_a_terminal(tour: &mut Command, typed: &str) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
    grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("it is ready");
    let other = ptsname(&terminal, Vec::new()).expect("its name");
    let mut options = OpenOptions::new();
    // It does not become the terminal of this process.
    options.read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits());
    let other = options.open(other.to_str().expect("a path")).expect("its other side");
    let mut modes = tcgetattr(&other).expect("a terminal's modes");
    modes.local_modes -= LocalModes::ECHO;
    modes.output_modes -= OutputModes::OPOST;
    tcsetattr(&other, OptionalActions::Now, &modes).expect("no echo");
    let mut terminal = File::from(terminal);
    terminal.write_all(typed.as_bytes()).expect("it takes a few lines");
    let (stdin, stdout) = (other.try_clone().expect("a copy"), other.try_clone().expect("a copy"));
    let tour = tour.env("NO_COLOR", "1");
    let mut child = tour.stdin(stdin).stdout(stdout).stderr(Stdio::null()).spawn().expect("the tour starts");
    // The command holds copies until it is given others.
    tour.stdin(Stdio::null()).stdout(Stdio::null());
    drop(other);
    let (mut printed, mut some) = (Vec::new(), [0; 4096]);
    // A terminal without another side answers with an error.
    while let Ok(count) = terminal.read(&mut some) {
        printed.extend_from_slice(&some[..count]);
    }
    assert!(child.wait().expect("the tour ends").success());
    String::from_utf8(printed).expect("UTF-8")
}

/// Two callbacks: the first queues the second, which is never run.
const TWO_CALLBACKS: &str = r#"{"s":0,"t":0,"e":"meta","v":1,"rt":"looplab 0.1.0","unit":"ns","clock":"virtual"}
{"s":1,"t":0,"e":"loop","ev":"new"}
{"s":2,"t":0,"e":"push","q":1,"h":1,"via":"call_soon","kind":"cb","cb":"main::hello"}
{"s":3,"t":0,"e":"loop","ev":"run"}
{"s":4,"t":0,"e":"turn","n":1}
{"s":5,"t":0,"e":"batch","n":1}
{"s":6,"t":0,"e":"run","q":1,"h":1}
{"s":7,"t":0,"e":"push","q":2,"h":2,"via":"call_soon","kind":"cb","cb":"main::again","by":1}
{"s":8,"t":0,"e":"ret","q":1}
"#;

#[test]
fn step_goes_back_says_why_and_asks_on_a_terminal() {
    let (_watchdog, (_place, mut tour)) = (watchdog(), traced(TWO_CALLBACKS, ""));
    let printed = on_a_terminal(tour.args(["step", "1", "--ascii"]), "\nb\nt\np\n9\n2\nw\nq\n");
    let lines = [
        " 01 A title.",
        "",
        "turn 0        program An event loop is made.",
        "              queue   |",
        "              program The program queues hello. It waits for a run to begin.",
        "              queue   | hello",
        "              program An event loop is made.",
        "              queue   |",
        "turn 1        loop    Turn 1. 1 entry in the queue.",
        "              queue   | hello",
        "1 of 1        predict hello has just queued again. When does it run?",
        "                      1 Later in this turn",
        "                      2 In the next turn",
        "                      3 In the next run",
        "                      4 Never",
        "1 to 4",
        "                      Not so. Never",
        "                      The run ends, and no later run comes. What is in the queue then never runs.",
        "              code    hello gives control back. The batch is done. The stop flag is not set: another turn.",
        "              queue   +hello | again",
        "turn 1        why     hello runs in turn 1, 1 of 1",
        "before        why     because it was queued outside of the callbacks",
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), lines);
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
        "The reasons are listed for Python 3.15. LOOPLAB_PYTHON names the Python to run.",
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
    let diff = |lesson: u64| {
        let mut diff = Command::new(tour());
        diff.args(["diff", &lesson.to_string(), "--no-build", "--timeout", "120"]);
        output(diff.env("LOOPLAB_PYTHON", python).env("PATH", ""))
    };
    let mut compared = 0;
    for lesson in own_lessons() {
        // With a socket or a child time passes as on the wall, and a machine that stands still is late: three attempts.
        let attempts = (0..2).map(|_| diff(lesson)).find(|shown| shown.status.success());
        let shown = attempts.unwrap_or_else(|| diff(lesson));
        assert_status(&shown, 0);
        compared += stdout(&shown).matches("callbacks the same").count();
    }
    assert!(compared > 30, "{compared} lessons were compared");
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
