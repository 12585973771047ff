//! Streams cut into random chunks, with random reads, cancellations and ends: every method of `StreamReader` answers as
//! CPython's, and no byte is lost.
//!
//! CPython's answers to a few hundred cases are recorded in `net_streams_corpus.json`; the ignored tests ask a live one
//! (`LOOPLAB_PYTHON`, else `python3`), or record again.

mod cases;
mod oracle;

use cases::{cases, run};
use looplab::net::StreamReader;
use looplab::{EventLoop, Result, create_task, yield_now};
use oracle::Oracle;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::fs;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/net/streams_corpus.json");

/// How many cases the corpus has, and how many a live CPython is asked.
const RECORDED: usize = 400;
const ASKED: u32 = 20_000;

#[test]
fn every_read_answers_as_cpythons_in_the_recorded_cases() {
    let _dog = support::watchdog();
    let corpus: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(CORPUS).expect("the corpus")).expect("JSON");
    assert!(corpus.len() >= RECORDED, "{} cases", corpus.len());
    for recorded in corpus {
        let answers = run(&recorded["case"]);
        assert!(
            json!(answers) == recorded["answers"],
            "{}\nCPython: {:#}\nlooplab: {answers:#?}",
            recorded["case"],
            recorded["answers"]
        );
    }
}

#[test]
#[ignore = "asks a live CPython"]
fn every_read_answers_as_a_live_cpythons() {
    let oracle = Oracle::start();
    let mut runner = TestRunner::new(Config { cases: ASKED, failure_persistence: None, ..Config::default() });
    let asked = runner.run(&cases(), |case| {
        let theirs = oracle.borrow_mut().ask(&case);
        prop_assert_eq!(theirs, json!(run(&case)), "{}", case);
        Ok(())
    });
    asked.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
#[ignore = "asks a live CPython, and writes the corpus"]
fn record_the_corpus() {
    let mut oracle = Oracle::start();
    let mut runner = TestRunner::deterministic();
    let lines: Vec<String> = (0..RECORDED)
        .map(|_| {
            let case = cases().new_tree(&mut runner).expect("a case").current();
            let answers = oracle.get_mut().ask(&case);
            json!({ "case": case, "answers": answers }).to_string()
        })
        .collect();
    fs::write(CORPUS, format!("[\n{}\n]\n", lines.join(",\n"))).expect("the corpus is written");
}

/// Feeds chunks and reads `n` bytes again and again, cancelling where `cancel` says; all that was read.
async fn read_with_cancellations(chunks: Vec<Vec<u8>>, reads: Vec<(usize, bool)>) -> Result<Vec<u8>> {
    let (reader, mut got) = (StreamReader::new()?, Vec::new());
    let mut chunks = chunks.into_iter();
    for (n, cancel) in reads {
        let (task, mut cancel) = (create_task(read(reader.clone(), n)), cancel);
        while !task.done() {
            yield_now().await?;
            match chunks.next() {
                Some(chunk) => reader.feed_data(&chunk)?,
                None => reader.feed_eof(),
            }
            // Before the read goes on, and what it waited for is there already: no other read takes that.
            if std::mem::take(&mut cancel) {
                task.cancel();
            }
        }
        got.extend(task.await.unwrap_or_default());
    }
    for chunk in chunks {
        reader.feed_data(&chunk)?;
    }
    reader.feed_eof();
    got.extend(reader.read_to_end().await?);
    Ok(got)
}

/// 0 reads to the end, an even number that many bytes at the most, an odd one exactly as many.
async fn read(reader: StreamReader, n: usize) -> Result<Vec<u8>> {
    match n {
        0 => reader.read_to_end().await,
        n if n % 2 == 0 => reader.read(n).await,
        n => match reader.readexactly(n).await {
            Err(looplab::Error::IncompleteRead { partial, .. }) => Ok(partial.to_vec()),
            other => other,
        },
    }
}

proptest! {
    #![proptest_config(Config { cases: 200, failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_byte_is_lost_or_doubled_whatever_is_cancelled(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..20),
        reads in prop::collection::vec((0..7_usize, any::<bool>()), 0..20),
    ) {
        let all = chunks.concat();
        let lp = EventLoop::new().expect("a loop");
        let got = lp.run_until_complete(read_with_cancellations(chunks, reads)).expect("it ends well");
        prop_assert_eq!(got, all);
    }
}
