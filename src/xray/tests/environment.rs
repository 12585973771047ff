//! `LOOPLAB_TRACE`, in child processes: it is read once per process.
//!
//! A test here runs itself again in a child with the variables set; there, `CHILD` is set too.

use super::super::from_env;
use super::fake::FakeLoop;
use super::lines::parsed;
use crate::error::Error;
use crate::xray::Replay;
use std::path::PathBuf;
use std::process::{Command, Output};

const CHILD: &str = "LOOPLAB_XRAY_TEST_CHILD";

fn in_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs the test `name` of this module again, in a child.
fn child(name: &str, variables: &[(&str, &str)]) -> Output {
    command(name, variables).output().unwrap()
}

fn command(name: &str, variables: &[(&str, &str)]) -> Command {
    let module = module_path!().split_once("::").map_or("", |(_, path)| path);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("{module}::{name}"), "--nocapture", "--test-threads=1"]);
    command.env_remove("LOOPLAB_TRACE").env_remove("LOOPLAB_TRACE_SNAPSHOTS").env(CHILD, "1");
    command.envs(variables.iter().copied());
    command
}

fn succeeded(output: &Output) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

/// A file in the temporary directory, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("looplab-{}-{name}", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A loop as the builder makes it.
fn traced_loop() -> FakeLoop {
    FakeLoop::new(from_env().unwrap().expect("LOOPLAB_TRACE is set"), true)
}

#[test]
fn without_the_variable_there_is_no_recorder() {
    if in_child() {
        assert!(from_env().unwrap().is_none());
        return;
    }
    succeeded(&child("without_the_variable_there_is_no_recorder", &[]));
    succeeded(&child("without_the_variable_there_is_no_recorder", &[("LOOPLAB_TRACE", "")]));
}

#[test]
fn an_unknown_extension_is_refused_with_the_known_ones() {
    if in_child() {
        for _ in 0..2 {
            let error = from_env().err().expect("not a form of trace");
            assert!(matches!(error, Error::Value(_)));
            let given = std::env::var("LOOPLAB_TRACE").unwrap();
            assert_eq!(
                error.to_string(),
                format!(
                    "LOOPLAB_TRACE={given}: the file's extension says what to write, and must be .jsonl (every \
                     event, as JSON Lines), .html (a page that replays them) or .txt (one line per turn)"
                )
            );
        }
        return;
    }
    for file in ["out.htm", "out", ".jsonl", "out.jsonl.gz"] {
        succeeded(&child("an_unknown_extension_is_refused_with_the_known_ones", &[("LOOPLAB_TRACE", file)]));
        assert!(!PathBuf::from(file).exists(), "{file} was made");
    }
}

#[test]
fn a_file_that_cannot_be_created_is_named() {
    if in_child() {
        let error = from_env().err().expect("there is no such directory");
        assert!(
            matches!(&error, Error::Io(error) if error.kind() == std::io::ErrorKind::NotFound
                && error.raw_os_error().is_some()),
            "{error:?}"
        );
        assert!(error.to_string().starts_with("LOOPLAB_TRACE=no/such/dir/out.txt: "), "{error}");
        return;
    }
    succeeded(&child("a_file_that_cannot_be_created_is_named", &[("LOOPLAB_TRACE", "no/such/dir/out.txt")]));
}

#[test]
fn all_loops_of_the_process_write_to_the_file() {
    if in_child() {
        for _ in 0..2 {
            let mut lp = traced_loop();
            lp.call_soon("hello");
            lp.begin_run();
            lp.begin_turn(&[]);
            lp.run_next(|_, _| {});
            lp.end_run();
            lp.close();
        }
        return;
    }
    let file = Scratch::new("all.jsonl");
    for snapshots in ["", "0", "1"] {
        let variables = [("LOOPLAB_TRACE", file.path()), ("LOOPLAB_TRACE_SNAPSHOTS", snapshots)];
        succeeded(&child("all_loops_of_the_process_write_to_the_file", &variables));
        let lines = parsed(&std::fs::read_to_string(&file.0).unwrap());
        let mut replay = Replay::new();
        lines.iter().for_each(|line| replay.value(line).unwrap());
        assert_eq!(replay.loops(), 2);
        assert_eq!(lines.iter().filter(|line| line["e"] == "snap").count() > 0, snapshots == "1");
    }
}

// What `exit` runs is the C library's choice; this is glibc's.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_program_that_exits_inside_a_callback_leaves_its_last_events() {
    if in_child() {
        let mut lp = traced_loop();
        lp.call_soon("the last one");
        lp.begin_run();
        lp.begin_turn(&[]);
        lp.run_next(|_, _| std::process::exit(7));
        return;
    }
    for name in ["exit.jsonl", "exit.txt"] {
        let file = Scratch::new(name);
        let test = "a_program_that_exits_inside_a_callback_leaves_its_last_events";
        assert_eq!(child(test, &[("LOOPLAB_TRACE", file.path())]).status.code(), Some(7));
        let text = std::fs::read_to_string(&file.0).unwrap();
        assert!(text.contains("the last one"), "{name}: {text}");
        assert!(name.ends_with("txt") || parsed(&text).last().unwrap()["e"] == "run", "{text}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_once() {
    struct ToStderr;
    impl log::Log for ToStderr {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            eprintln!("logged: {} {}", record.level(), record.args());
        }
        fn flush(&self) {}
    }
    if in_child() {
        log::set_logger(&ToStderr).unwrap();
        log::set_max_level(log::LevelFilter::Info);
        for _ in 0..2 {
            let mut lp = traced_loop();
            lp.begin_run();
            lp.end_run();
        }
        return;
    }
    // A process whose files may have no bytes: each write fails, and the signal of it is ignored.
    let file = Scratch::new("full.jsonl");
    let program = command("a_full_disk_is_reported_once", &[("LOOPLAB_TRACE", file.path())]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]).arg(program.get_program());
    limited.args(program.get_args()).envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let output = limited.output().unwrap();
    succeeded(&output);
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(log.matches("logged: ").count(), 1, "{log}");
    assert!(
        log.contains(&format!("logged: ERROR the trace ends here, {} cannot be written", file.path())),
        "{log}"
    );
}
