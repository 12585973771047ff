//! Conformance with CPython: the same small programs on looplab and on asyncio, line for line.
//!
//! A program is JSON: named callbacks and bodies of tasks, both lists of operations, and a script that is run from
//! outside of the loop. An operation is a list, its name first: `["later", "h1", "c2", 5]` calls callback `c2` in five
//! seconds and keeps the handle as `h1`. Two interpreters print a line for everything that happens (turn, time, who,
//! what): `world` and `body` here, `conformance.py` on CPython, both in virtual time. What comes at a time that Python's
//! garbage collector chooses (errors that nobody read, tasks destroyed) is compared as a sorted list at the end.
//!
//! `corpus/` holds programs with the lines that CPython 3.13 printed: a table of the rules of stopping, restarting and
//! cancelling, and the smallest form of every difference that random programs have found. They are replayed without a
//! Python. Two tests need no Python at all: what random programs leave behind is nothing, and their traces rebuild the
//! loop's state. Those that ask a Python are ignored by default:
//!
//! ```text
//! cargo test --test conformance -- --ignored --nocapture
//! CONFORMANCE_PYTHON   the Python (3.11 to 3.13), with options: "python3 --pure" asks Python's own tasks and futures, not
//!                      those in C
//! CONFORMANCE_SEED, CONFORMANCE_PROGRAMS   the first seed (1) and how many (2000)
//! ```

mod body;
mod combine;
mod corpus;
mod errors;
mod gates;
mod generate;
mod live;
mod objects;
mod oracle;
mod sync;
mod world;

use std::process::Command;

#[test]
fn the_corpus_prints_what_it_printed_on_cpython() {
    let corpus = corpus::written();
    assert!(corpus.len() > 100, "only {} programs found", corpus.len());
    let mut failed = corpus::replay(&corpus);
    failed.extend(corpus::unknown_rows(&corpus));
    assert!(failed.is_empty(), "expected on the left, looplab on the right\n\n{}", failed.join("\n"));
}

#[test]
fn thousands_of_random_programs_print_what_they_printed_on_cpython() {
    let corpus = corpus::generated();
    assert!(corpus.len() > 2000, "only {} programs found", corpus.len());
    let failed = corpus::replay(&corpus);
    let (count, some) = (failed.len(), failed.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n"));
    assert_eq!(count, 0, "expected on the left, looplab on the right; the first of them:\n\n{some}");
}

#[test]
#[ignore = "needs a CPython 3.13"]
fn the_corpus_is_what_cpython_prints() {
    for corpus in [corpus::written(), corpus::generated()] {
        let failed = corpus::ask_again(&corpus);
        assert!(failed.is_empty(), "CPython on the left, the corpus on the right\n\n{}", failed.join("\n"));
    }
}

#[test]
#[ignore = "writes the corpus anew; needs a CPython 3.13"]
fn record() {
    corpus::record();
}

#[test]
#[ignore = "needs a CPython"]
fn live() {
    live::compare();
}

/// The recorder is asked for by the environment, so the programs run in a child process: the test below.
#[test]
fn traces_of_random_programs_rebuild_the_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.jsonl");
    let child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "--ignored", "random_programs_run"])
        .env("LOOPLAB_TRACE", &trace)
        .env("LOOPLAB_TRACE_SNAPSHOTS", "1")
        .output()
        .expect("a child");
    assert!(child.status.success(), "{child:?}");
    let text = std::fs::read_to_string(&trace).expect("a trace");
    let mut replay = looplab::xray::Replay::new();
    for line in text.lines() {
        replay.line(line).unwrap_or_else(|error| panic!("{error}\n{line}"));
    }
    assert!(replay.loops() > 300, "only {} loops traced", replay.loops());
}

#[test]
#[ignore = "the child of traces_of_random_programs_rebuild_the_state"]
fn random_programs_run() {
    for seed in 1..200 {
        let program = generate::program(seed, generate::Dialect::LATEST);
        live::watch(&program);
        let output = world::run(&program);
        assert!(!output.late.iter().any(|line| line.ends_with("are left")), "{program}\n{output:?}");
    }
}
