//! What an error says, and how a program ends with it.

use looplab::{Error, ErrorGroup, Result};
use std::error::Error as _;
use std::io;
use std::process::ExitCode;
use support::{child, report};

fn group(message: &'static str, errors: Vec<Error>) -> Error {
    Error::Group(ErrorGroup::new(message, errors))
}

#[test]
fn debug_is_the_last_line_of_pythons_traceback() {
    let system = |kind: io::ErrorKind| Error::from(io::Error::new(kind, "no"));
    for (error, text) in [
        (Error::AlreadyRunning, "RuntimeError: This event loop is already running"),
        (Error::Closed, "RuntimeError: Event loop is closed"),
        (Error::NoRunningLoop, "RuntimeError: no running event loop"),
        (Error::Runtime("misuse".into()), "RuntimeError: misuse"),
        (Error::Value("bad".into()), "ValueError: bad"),
        (Error::InvalidState("Result is not set."), "InvalidStateError: Result is not set."),
        (Error::cancelled(), "CancelledError"),
        (Error::Cancelled(Some("too slow".into())), "CancelledError: too slow"),
        (Error::TimedOut, "TimeoutError"),
        (Error::KeyboardInterrupt, "KeyboardInterrupt"),
        (Error::Exit(3), "SystemExit: 3"),
        (Error::CoroutineExit, "GeneratorExit"),
        (Error::QueueEmpty, "QueueEmpty"),
        (Error::BrokenBarrier("Barrier aborted"), "BrokenBarrierError: Barrier aborted"),
        (Error::Panic("boom".into()), "Panic: boom"),
        (Error::msg("disk full"), "disk full"),
        (system(io::ErrorKind::NotFound), "FileNotFoundError: no"),
        (system(io::ErrorKind::ConnectionRefused), "ConnectionRefusedError: no"),
        (system(io::ErrorKind::Other), "OSError: no"),
    ] {
        assert_eq!(format!("{error:?}"), text);
    }
}

#[test]
fn a_group_is_a_tree_of_ten_levels_and_fifteen_errors_each() {
    let inner = group("inner", vec![Error::msg("one\ntwo"), Error::Closed]);
    let error = group("errors of the cleanup", vec![Error::Value("a".into()), inner, Error::TimedOut]);
    // As `traceback.format_exception_only(error, show_group=True)` prints it.
    let lines = [
        "ExceptionGroup: errors of the cleanup (3 sub-exceptions)",
        "   ValueError: a",
        "   ExceptionGroup: inner (2 sub-exceptions)",
        "      one",
        "      two",
        "      RuntimeError: Event loop is closed",
        "   TimeoutError",
    ];
    assert_eq!(format!("{error:?}"), lines.join("\n"));
    let Error::Group(same) = error else { unreachable!("it is a group") };
    assert_eq!(format!("{same:?}"), lines.join("\n"));

    let wide = format!("{:?}", group("wide", vec![Error::TimedOut; 17]));
    assert_eq!(wide.lines().count(), 17);
    assert!(wide.ends_with("   TimeoutError\n   and 2 more exceptions"), "{wide}");
    let deep = (0..20).fold(Error::TimedOut, |error, _| group("deep", vec![error]));
    let deep = format!("{deep:?}");
    assert_eq!(deep.lines().count(), 11);
    assert!(deep.ends_with("\n                              ... (max_group_depth is 10)"), "{deep}");
}

#[test]
fn a_group_that_holds_what_except_exception_does_not_catch_is_a_base_exception_group() {
    for error in [Error::cancelled(), Error::Exit(1), Error::KeyboardInterrupt, Error::CoroutineExit] {
        let error = group("g", vec![Error::TimedOut, group("inner", vec![error])]);
        assert!(format!("{error:?}").starts_with("BaseExceptionGroup: g (2 sub-exceptions)\n"), "{error:?}");
    }
}

#[test]
fn the_source_is_the_cause_and_that_of_a_group_its_first_error() {
    let error = group("g", vec![Error::TimedOut, Error::Closed]);
    assert_eq!(error.source().expect("the first").to_string(), "timed out");
    assert!(Error::Closed.source().is_none());
    let caused = Error::other(Caused(Error::Closed));
    assert_eq!(caused.source().expect("its cause").to_string(), "Event loop is closed");
    assert_eq!(format!("{caused:?}"), "cannot save\n   caused by: Event loop is closed");
}

#[derive(Debug)]
struct Caused(Error);

impl std::fmt::Display for Caused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cannot save")
    }
}

impl std::error::Error for Caused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn only_a_cancellation_itself_stays_one_in_the_error_of_another_crate() {
    assert!(Error::other(Caused(Error::cancelled())).is_cancelled());
    let group = group("g", vec![Error::cancelled()]);
    assert!(!Error::other(Caused(group.clone())).is_cancelled());
    assert!(!Error::other(group).is_cancelled());
}

#[test]
fn the_exit_code_is_the_exits_own_130_after_ctrl_c_and_else_1() {
    let codes = [
        (Error::Exit(3), 3),
        (Error::Exit(0), 0),
        (Error::Exit(256), 0),
        (Error::Exit(-1), 255),
        (Error::KeyboardInterrupt, 130),
        (Error::msg("x"), 1),
        (group("g", vec![Error::Exit(3)]), 1),
    ];
    for (error, status) in codes {
        assert_eq!(error.exit_status(), status, "{error:?}");
        // An `ExitCode` can be compared by its `Debug` alone.
        assert_eq!(shown(ExitCode::from(error)), shown(ExitCode::from(status)));
    }
}

fn shown(code: ExitCode) -> String {
    format!("{code:?}")
}

#[test]
fn main_prints_an_error_once_and_an_exit_not_at_all() {
    let ended = child!(|| {
        report(shown(looplab::main(|| looplab::run(async { Ok("done") }))));
        report(shown(looplab::main(|| Err::<(), _>(Error::Closed))));
        report(shown(looplab::main(|| looplab::run(async { Err::<(), _>(Error::Exit(3)) }))));
        report(shown(looplab::main(|| Result::<()>::Err(Error::KeyboardInterrupt))));
        report(shown(looplab::main(|| Err::<(), _>(Error::msg("cannot open the file")))));
    });
    assert_eq!(ended.stderr, "RuntimeError: Event loop is closed\nKeyboardInterrupt\ncannot open the file\n");
    let codes = [0, 1, 3, 130, 1].map(|code| shown(ExitCode::from(code)));
    assert_eq!(ended.fine(), codes);
}
