//! The turn table, as a whole.

use super::super::recorder::Form;
use super::super::text::{TextTable, WIDTH};
use super::fake::{FakeLoop, Paper};
use crate::trace::*;
use std::time::Duration;

fn table(program: impl FnOnce(&dyn Fn() -> FakeLoop)) -> String {
    table_of_width(WIDTH, program)
}

fn table_of_width(width: usize, program: impl FnOnce(&dyn Fn() -> FakeLoop)) -> String {
    let paper = Paper::default();
    let recorder = paper.recorder(Form::Table(TextTable::new(width, None, None)), true);
    program(&|| FakeLoop::new(recorder.recording(), true));
    paper.text()
}

/// The table with places' line numbers taken out, so that editing this file does not change it.
fn without_lines(table: &str) -> String {
    let mut parts = table.split('@');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("@L");
        text.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    text
}

#[test]
fn one_line_per_turn_in_aligned_columns() {
    let shown = table(|new| {
        let mut lp = new();
        lp.register(5, Direction::Read);
        lp.call_soon("first");
        let cancelled = lp.call_soon("second");
        lp.cancel(cancelled);
        let when = lp.now + Duration::from_micros(4_567);
        lp.call_at(when, "tick");
        lp.begin_run();
        lp.begin_turn(&[]);
        while lp.run_next(|_, _| {}) {}
        lp.begin_turn(&[]);
        while lp.run_next(|lp, _| lp.advance(2)) {}
        lp.begin_turn(&[(5, Ready { read: true, write: false })]);
        lp.push(Via::Threadsafe, EntryKind::Callback, "late", None);
        lp.tell(Event::Signal { signal: 10, at: lp.now });
        while lp.run_next(|lp, _| lp.stop()) {}
        lp.end_run();
        lp.begin_run();
        lp.begin_turn(&[]);
        while lp.run_next(|_, _| {}) {}
        lp.end_run();
        let mut other = new();
        other.begin_run();
        other.begin_turn(&[]);
        other.end_run();
    });
    let expected = "
 turn     t(ms)  select            slept  woken by      ran, in this order                      stop
    1      0.00  0 ready            0.00                first@L | skip second@L
    2      0.00  4.57ms timer       4.57  timer         tick@L
    3      6.57  ∞ idle             0.00  fd5 R thread  on_io                                   STOP
                                          helper
                                          SIGUSR1
loop 1, run 2
    4       6.57  0 ready               0.00                    late@L
loop 2, run 1
    1       6.57  ∞ idle                0.00
";
    let shown: String = shown.lines().map(|line| format!("{}\n", without_lines(line))).collect();
    assert_eq!(squeeze(&shown), squeeze(expected));
}

/// Taking line numbers out moves what stands after them, so blanks are compared as one.
fn squeeze(table: &str) -> Vec<String> {
    let rows = table.lines().filter(|line| !line.is_empty());
    rows.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn stop_keeps_its_column_however_much_ran() {
    let shown = table(|new| {
        let mut lp = new();
        for name in
            ["a callback", "another one", "another one", "the last one, with a very long name that goes on"]
        {
            for _ in 0..2 {
                lp.push_handle(1, Via::CallSoon, EntryKind::Callback, name, None, false, None);
            }
        }
        lp.push_handle(2, Via::CallSoon, EntryKind::Callback, "two\nlines", None, false, None);
        lp.stop();
        lp.begin_run();
        lp.begin_turn(&[]);
        while lp.run_next(|_, _| {}) {}
        lp.end_run();
    });
    let expected = "
 turn     t(ms)  select            slept  woken by      ran, in this order                      stop
    1      0.00  0 ready            0.00                a callback ×2 | another one ×4 |        STOP
                                                        the last one, with a very long… ×2 |
                                                        two·lines
";
    assert_eq!(shown, expected.trim_start_matches('\n'));
}

#[test]
fn a_disturbance_stands_before_the_callback_that_it_comes_before() {
    let shown = table_of_width(100, |new| {
        let mut lp = new();
        for name in ["worker", "worker", "main"] {
            lp.push_handle(1, Via::CallSoon, EntryKind::Callback, name, None, false, None);
        }
        lp.begin_run();
        lp.begin_turn(&[]);
        lp.tell(Event::Disturbed { what: "deliver SIGTERM" });
        lp.run_next(|_, _| {});
        lp.run_next(|lp, _| lp.tell(Event::Disturbed { what: "cancel worker" }));
        lp.run_next(|_, _| {});
        lp.end_run();
    });
    let ran = "✂ deliver SIGTERM | worker | ✂ cancel worker | worker | main";
    let words = squeeze(&shown).split_off(1).join(" ");
    assert!(words.ends_with(ran), "{shown}");
}

#[test]
fn no_line_is_longer_than_the_width_and_a_narrow_table_has_what_ran_below_its_turn() {
    for width in [60, 80, 97, 98, 100, 140] {
        let shown = table_of_width(width, |new| {
            let mut lp = new();
            for name in ["first", "a name that is so long that no table has room for all of it", "the third"]
            {
                lp.call_soon(name);
            }
            lp.begin_run();
            lp.begin_turn(&[]);
            lp.tell(Event::Reported { message: &"a long report ".repeat(20), by: None });
            lp.push_from("sent", "a thread with a long name");
            while lp.run_next(|_, _| {}) {}
            lp.stop();
            lp.end_run();
        });
        assert!(shown.lines().all(|line| line.chars().count() <= width), "{width}\n{shown}");
        let below = shown.lines().any(|line| line.starts_with("        first@"));
        assert_eq!(below, width < 98, "{width}\n{shown}");
        assert!(shown.lines().nth(1).unwrap().ends_with("STOP"), "{width}\n{shown}");
    }
}

#[test]
fn a_turn_with_very_many_callbacks_names_the_first_of_them() {
    let shown = table(|new| {
        let mut lp = new();
        for i in 0..250 {
            lp.push_handle(i + 1, Via::CallSoon, EntryKind::Callback, &format!("c{i}"), None, false, None);
        }
        lp.begin_run();
        lp.begin_turn(&[]);
        while lp.run_next(|_, _| {}) {}
        lp.end_run();
    });
    assert!(shown.contains("c99 |") && !shown.contains("c100"), "{shown}");
    assert!(shown.trim_end().ends_with("… 150 more"), "{shown}");
}

#[test]
fn a_turn_that_is_under_way_is_written_when_its_loop_is_dropped() {
    let shown = table(|new| {
        let mut lp = new();
        lp.call_soon("half");
        lp.begin_run();
        lp.begin_turn(&[]);
        lp.run_next(|_, _| {});
    });
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.contains("half@"), "{shown}");
}

#[test]
fn a_row_is_written_when_the_next_turn_begins() {
    let paper = Paper::default();
    let recorder = paper.recorder(Form::Table(TextTable::new(WIDTH, None, None)), false);
    let mut lp = FakeLoop::new(recorder.recording(), true);
    lp.begin_run();
    lp.begin_turn(&[]);
    lp.begin_turn(&[]);
    // The second turn's poll may sleep, so what is there is in the file.
    assert_eq!(paper.text().lines().count(), 2, "{}", paper.text());
}

/// The terminal's command for red text, as an escape sequence and as one of the controls above 0x7f, and worse.
const COMMANDS: &str = "\x1b[31mred\u{9b}31m\r\n\u{202e}der\u{7f}";

#[test]
fn no_name_of_a_task_or_thread_and_no_report_sends_the_terminal_a_command() {
    let shown = table(|new| {
        let mut lp = new();
        lp.tell(Event::Reported { message: COMMANDS, by: None });
        lp.begin_run();
        lp.begin_turn(&[]);
        lp.tell(Event::Reported { message: COMMANDS, by: None });
        lp.push_from(COMMANDS, COMMANDS);
        lp.begin_turn(&[]);
        while lp.run_next(|_, _| {}) {}
        lp.end_run();
    });
    assert_eq!(shown.lines().count(), 7, "{shown}");
    assert!(!shown.contains(|c: char| c != '\n' && (c.is_control() || c == '\u{202e}')), "{shown:?}");
    assert_eq!(shown.matches("·[31mred·31m···der·").count(), 3, "the label and two reports: {shown}");
    assert!(shown.contains("  ·[31mred·31…\n"), "{shown}");
}

#[test]
fn a_report_between_turns_stands_below_the_header_and_under_its_loops_name() {
    let shown = table(|new| {
        let (mut first, mut second) = (new(), new());
        second.tell(Event::Reported { message: "early", by: None });
        first.begin_run();
        first.begin_turn(&[]);
        first.end_run();
        second.begin_run();
        second.end_run();
        first.tell(Event::Reported { message: "between runs", by: None });
        first.begin_run();
        first.end_run();
        second.close();
        second.tell(Event::Reported { message: "pending", by: None });
        second.tell(Event::Reported { message: "pending, too", by: None });
    });
    let expected = "
turn t(ms) select slept woken by ran, in this order stop
loop 2, before its first run
! early
loop 1, run 1
1 0.00 ∞ idle 0.00
! between runs
loop 2, run 1
! pending
! pending, too
";
    assert_eq!(squeeze(&shown), squeeze(expected));
}
