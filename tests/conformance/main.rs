//! Conformance with CPython: the same programs on looplab and on asyncio, line for line.
//!
//! The language, the corpus and the ways to run it are described in `docs/conformance.md`. Every rule of asyncio's turn
//! that the corpus shows is looplab's too: `cargo test` shows it without a Python. Random programs find no difference that
//! `docs/differences.md` does not list: the ignored test `live` shows it beside a Python.
//!
//! The rooms: `world`, `runs`, `objects`, `body`, `combine`, `sync`, `crowds`, `descriptors` and `gates` interpret a program on looplab, the Python files do
//! it on asyncio; `generate` makes programs; `oracle` asks a Python; `corpus`, `live` and `coverage` compare. `watch` ends
//! the process if a program hangs.
//!
//! | promise | test |
//! |---|---|
//! | The written programs print what CPython prints. | `the_corpus_prints_what_it_printed_on_cpython` |
//! | So do thousands of random programs. | `thousands_of_random_programs_print_what_they_printed_on_cpython` |
//! | An observer and debug mode change nothing. | `a_loop_that_is_observed_or_in_debug_mode_prints_the_same` |
//! | The random programs reach each operation and each error. | `random_programs_reach_every_operation_and_every_error_text` |
//! | A state rebuilt from a trace is the loop's own. | `traces_of_random_programs_rebuild_the_state` |

mod body;
mod combine;
mod corpus;
mod coverage;
mod crowds;
mod descriptors;
mod errors;
mod gates;
mod generate;
mod live;
mod objects;
mod oracle;
mod runs;
mod sync;
mod watch;
mod world;

use looplab::trace::Record;
use std::process::Command;

#[test]
fn the_corpus_prints_what_it_printed_on_cpython() {
    let corpus = corpus::written();
    assert!(corpus.len() > 100, "only {} programs found", corpus.len());
    let mut failed = corpus::replay(&corpus);
    failed.extend(corpus::unknown_rows(&corpus));
    let count = format!("{} of {} written programs differ", failed.len(), corpus.len());
    assert!(
        failed.is_empty(),
        "{count}: expected on the left, looplab on the right\n\n{}",
        failed.join("\n")
    );
}

#[test]
fn thousands_of_random_programs_print_what_they_printed_on_cpython() {
    let corpus = corpus::generated();
    assert!(corpus.len() > 2000, "only {} programs found", corpus.len());
    let failed = corpus::replay(&corpus);
    let count = format!("{} of {} random programs differ", failed.len(), corpus.len());
    let some = failed.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(failed.is_empty(), "{count}: expected on the left, looplab on the right; the first:\n\n{some}");
}

#[test]
fn a_loop_that_is_observed_or_in_debug_mode_prints_the_same() {
    for one in corpus::written() {
        let plain = world::run(one.program());
        let observed = world::run_on(one.program(), |builder| builder.observer(|_: &Record<'_>| ()));
        assert_eq!(observed, plain, "{}, observed", one.name);
        let debug = world::run_on(one.program(), |builder| builder.debug(true));
        assert_eq!(debug, plain, "{}, in debug mode", one.name);
    }
}

#[test]
fn the_example_of_the_page_prints_what_the_page_says() {
    let page = include_str!("../../docs/conformance.md");
    let block = |kind: &str, after: &str| {
        let text = page.split_once(after).expect("the heading").1;
        let text = text.split_once(&format!("```{kind}\n")).expect("a block").1;
        text.split_once("\n```").expect("its end").0.to_owned()
    };
    let program = serde_json::from_str(&block("json", "## A program")).expect("JSON");
    assert_eq!(world::run(&program).log.join("\n"), block("text", "\nprints\n"));
}

#[test]
fn random_programs_reach_every_operation_and_every_error_text() {
    let reached = coverage::look();
    let gaps = coverage::gaps(&reached);
    assert!(gaps.is_empty(), "of {} programs:\n{}", coverage::PROGRAMS, gaps.join("\n"));
    coverage::bless(&reached);
}

#[test]
#[ignore = "needs a CPython 3.15"]
fn the_corpus_is_what_cpython_prints() {
    for corpus in [corpus::written(), corpus::generated()] {
        let failed = corpus::ask_again(&corpus);
        assert!(failed.is_empty(), "CPython on the left, the corpus on the right\n\n{}", failed.join("\n"));
    }
}

#[test]
#[ignore = "writes the corpus anew; needs a CPython 3.15"]
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
        let output = world::run(&program);
        assert!(!output.late.iter().any(|line| line.ends_with("are left")), "{program}\n{output:?}");
    }
}
