//! What is written, when, and in which order.

use super::super::jsonl::JsonLines;
use super::super::recorder::{Form, Recorder};
use super::fake::{FakeLoop, Paper};
use super::lines::parsed;
use crate::error::Error;
use crate::trace::*;
use crate::xray::Replay;
use serde_json::Value;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

fn json_lines() -> Form {
    Form::Lines(JsonLines::default())
}

/// A small program in virtual time.
fn program(recorder: &Arc<Recorder>, starts: Instant) {
    let mut lp = FakeLoop::at(recorder.recording(), true, starts);
    let deadline = lp.now + Duration::from_millis(5);
    lp.call_at(deadline, "later");
    lp.begin_run();
    lp.begin_turn(&[]);
    lp.run_next(|lp, _| lp.stop());
    lp.end_run();
    lp.close();
}

#[test]
fn a_trace_in_virtual_time_is_the_same_byte_for_byte() {
    let trace = |starts| {
        let paper = Paper::default();
        let recorder = paper.recorder(json_lines(), true);
        program(&recorder, starts);
        program(&recorder, starts); // a second loop, whose clock starts again where the first one's did
        paper.text()
    };
    let first = trace(Instant::now());
    assert_eq!(first, trace(Instant::now() + Duration::from_secs(1000)));
    let lines = parsed(&first);
    assert_eq!(lines[0]["clock"], "virtual");
    assert!(lines[0].get("pid").is_none() && lines[0].get("wall0").is_none(), "{}", lines[0]);
    let second: Vec<&Value> = lines.iter().filter(|line| line["l"] == 2).collect();
    assert_eq!(second[0]["t"], 5_000_000, "the second loop begins where the first ended");
    let timer = second.iter().find(|line| line["e"] == "timer").unwrap();
    assert_eq!(timer["when"], 10_000_000);
    assert_eq!(second.last().unwrap()["t"], 10_000_000, "and its time passes");
}

#[test]
fn a_page_holds_the_lines_of_the_trace_and_no_text_of_it_ends_their_element() {
    let trace = |form| {
        let paper = Paper::default();
        let recorder = paper.recorder(form, true);
        let mut lp = FakeLoop::at(recorder.recording(), true, Instant::now());
        lp.call_soon("</script>");
        drop(lp);
        paper.text()
    };
    let page = trace(Form::Page(JsonLines::default()));
    let (code, lines) =
        page.rsplit_once("</script>\n<script type=\"application/jsonl\" class=\"trace\"").unwrap();
    assert!(code.starts_with("<!doctype html>"));
    let (_, lines) = lines.split_once(">\n").unwrap();
    assert!(lines.contains(r"\u003c/script>") && !lines.contains('<'), "{lines}");
    assert_eq!(lines.replace(r"\u003c", "<"), trace(json_lines()));
}

#[test]
fn a_trace_in_real_time_says_when_and_in_which_process_it_was_made() {
    let paper = Paper::default();
    let recorder = paper.recorder(json_lines(), false);
    drop(FakeLoop::new(recorder.recording(), false));
    drop(FakeLoop::new(recorder.recording(), true));
    let lines = parsed(&paper.text());
    assert_eq!(lines[0]["clock"], "monotonic");
    assert_eq!(lines[0]["pid"], std::process::id());
    assert!(lines[0]["wall0"].as_u64().unwrap() > 1_600_000_000_000_000_000, "{}", lines[0]);
    assert_eq!(lines[1].get("clock"), None);
    assert_eq!(lines[2]["clock"], "virtual", "a loop whose clock is another one says so");
}

#[test]
fn loops_of_several_threads_share_a_file_and_no_line_is_torn() {
    const THREADS: u64 = 4;
    let paper = Paper::default();
    let recorder = paper.recorder(json_lines(), true);
    let together = Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut lp = FakeLoop::new(recorder.recording(), false);
                together.wait();
                lp.begin_run();
                for i in 0..100 {
                    lp.now = Instant::now();
                    lp.call_soon(&format!("callback {i}"));
                    lp.begin_turn(&[]);
                    lp.run_next(|_, _| {});
                }
                lp.end_run();
                lp.close();
            });
        }
    });
    let text = paper.text();
    parsed(&text);
    let mut replay = Replay::new();
    text.lines().for_each(|line| replay.line(line).unwrap());
    assert_eq!(replay.loops(), THREADS as usize);
    for number in 1..=THREADS {
        assert_eq!(replay.state(number).unwrap()["turn"], 100);
    }
    assert!(!text.contains("\"l\":1,") && text.contains("\"l\":4,"), "the first loop's number is left out");
}

#[test]
fn nothing_waits_in_memory_while_the_loop_sleeps_or_after_a_run() {
    let last =
        |paper: &Paper| parsed(&paper.text()).last().map(|line| line["e"].as_str().unwrap().to_owned());
    let paper = Paper::default();
    let recorder = paper.recorder(json_lines(), false);
    let mut lp = FakeLoop::new(recorder.recording(), true);
    lp.begin_run();
    assert_eq!(last(&paper), None, "no need yet");
    lp.tell(Event::Select { timeout: Some(Duration::ZERO), why: Why::Ready, handle: None });
    assert_eq!(last(&paper), None, "a poll that does not sleep is no need either");
    lp.tell(Event::Select { timeout: Some(Duration::from_millis(1)), why: Why::Timer, handle: None });
    assert_eq!(last(&paper).unwrap(), "sel");
    lp.tell(Event::Unstop);
    lp.tell(Event::Select { timeout: None, why: Why::Idle, handle: None });
    assert_eq!(last(&paper).unwrap(), "sel");
    lp.end_run();
    assert_eq!(last(&paper).unwrap(), "loop");
    lp.stop();
    lp.close();
    assert_eq!(parsed(&paper.text()).last().unwrap()["ev"], "closed");
    lp.tell(Event::Unstop);
    drop(lp);
    assert_eq!(last(&paper).unwrap(), "unstop", "a loop that is dropped leaves nothing");
}

#[test]
fn a_long_turn_does_not_fill_the_memory() {
    let paper = Paper::default();
    let recorder = paper.recorder(json_lines(), false);
    let mut lp = FakeLoop::new(recorder.recording(), true);
    while paper.text().is_empty() {
        assert!(lp.qs < 10_000, "more than 64 KiB are waiting");
        lp.call_soon("again");
    }
    assert!(paper.text().len() >= 64 * 1024);
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_program() {
    struct Full(Arc<AtomicUsize>);
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let writes = Arc::new(AtomicUsize::new(0));
    let full = Recorder::new("full".to_owned(), Box::new(Full(writes.clone())), json_lines(), true, None);
    let recorder = Arc::new(full);
    program(&recorder, Instant::now());
    program(&recorder, Instant::now());
    assert_eq!(writes.load(Ordering::Relaxed), 1, "it is tried once and then given up");
}

#[test]
fn an_error_whose_display_uses_another_loop_does_not_deadlock() {
    // An error's text is the program's own code: here it makes a loop that is recorded too.
    struct Busy(Arc<Recorder>);
    impl std::fmt::Debug for Busy {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Busy")
        }
    }
    impl std::fmt::Display for Busy {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            drop(FakeLoop::new(self.0.recording(), true));
            f.write_str("busy")
        }
    }
    impl std::error::Error for Busy {}
    let (done, watch) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let paper = Paper::default();
        let recorder = paper.recorder(json_lines(), false);
        let mut lp = FakeLoop::new(recorder.recording(), true);
        lp.tell(Event::Returned { q: 1, error: Some(&Error::other(Busy(recorder.clone()))) });
        drop(lp);
        done.send(paper.text()).unwrap();
    });
    let text = watch.recv_timeout(Duration::from_secs(60)).expect("it hangs: the lock is held");
    assert!(text.contains("\"err\":\"busy\"") && text.contains("\"l\":2"), "{text}");
}
