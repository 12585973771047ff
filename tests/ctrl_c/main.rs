//! What Ctrl-C does to a program, once, twice and three times, on a real pseudo-terminal.
//!
//! Each test starts a program of `programs` on a terminal of its own (see `terminal`), waits for what it says, and
//! presses Ctrl-C. This file has its own `main`: Ctrl-C is for the main thread only, and the standard harness runs no test
//! there. `cargo test --test ctrl_c -- WORD` runs those with the word in their names.
//!
//! | promise | test |
//! |---|---|
//! | The first Ctrl-C cancels the main task. | `the_first_cancels_the_main_task_and_run_says_keyboard_interrupt` |
//! | The second interrupts the loop. | `the_second_interrupts_and_the_sweep_cancels_the_main_task_again` |
//! | The third ends the process. | `the_third_ends_the_process_by_the_signal` |
//! | Ctrl-\ asks an idle loop what it waits for. | `ctrl_backslash_asks_an_idle_loop_what_it_waits_for` |
//! | After the run the default is back. | `behind_the_run_the_default_is_back` |

mod programs;
mod terminal;

use nix::sys::signal::Signal::{SIGINT, SIGQUIT, SIGTERM};
use programs::*;
use std::panic::catch_unwind;
use std::process::exit;
use terminal::{Terminal, catch_sigint, take_terminal};

macro_rules! by_name {
    ($($function:ident,)+) => { [$((stringify!($function), $function as fn())),+] };
}

fn programs() -> Vec<(&'static str, fn())> {
    Vec::from(by_name![
        waiting_main,
        swallowing_main,
        main_with_a_long_cleanup,
        main_that_will_not_end,
        main_that_blocks,
        main_that_blocks_for_a_while,
        callback_that_blocks,
        main_that_others_cancelled_too,
        two_runs,
        main_that_is_swept,
        work_behind_the_run,
        stubborn_task,
        blocking_job,
        own_handler_before,
        own_handler_inside,
        ignored,
        run_on_a_thread,
        sigterm_and_ctrl_c,
        hangs_in_virtual_time,
        asked_by_ctrl_backslash,
        asked_in_debug_mode,
        not_asked,
        blocks_and_is_asked,
        own_handler_for_ctrl_backslash,
    ])
}

fn tests() -> Vec<(&'static str, fn())> {
    Vec::from(by_name![
        the_first_cancels_the_main_task_and_run_says_keyboard_interrupt,
        a_main_that_swallows_the_first_gives_its_value_and_there_is_no_interrupt,
        the_second_interrupts_and_the_sweep_cancels_the_main_task_again,
        the_third_ends_the_process_by_the_signal,
        the_third_kills_also_while_a_body_keeps_the_loop_from_turning,
        the_third_kills_also_while_a_callback_keeps_the_loop_from_turning,
        a_body_that_blocks_is_not_interrupted_and_cancelled_afterwards,
        two_during_a_body_that_blocks_interrupt_afterwards,
        a_main_that_others_cancelled_too_ends_cancelled_and_not_interrupted,
        each_run_counts_anew,
        behind_the_run_the_default_is_back,
        in_the_shutdown_the_first_interrupts_and_behind_it_the_default_is_back,
        in_the_shutdown_the_first_interrupts_also_if_it_is_main_that_does_not_end,
        the_second_interrupts_a_shutdown_that_waits_for_a_thread,
        a_handler_that_the_program_had_before_is_left_alone,
        a_handler_that_main_adds_takes_the_place_of_the_runners,
        an_inherited_ignore_is_left_alone,
        a_run_that_is_not_on_the_main_thread_leaves_ctrl_c_alone,
        sigterm_counts_with_ctrl_c,
        in_virtual_time_the_handler_of_ctrl_c_does_not_hide_a_deadlock,
        ctrl_backslash_asks_an_idle_loop_what_it_waits_for,
        in_debug_mode_it_does_so_without_being_told,
        without_either_it_ends_the_process,
        a_busy_loop_answers_afterwards_and_the_watchdog_says_so,
        a_handler_of_the_programs_own_takes_its_place,
    ])
}

fn the_first_cancels_the_main_task_and_run_says_keyboard_interrupt() {
    let mut terminal = Terminal::start("waiting_main");
    terminal.says("main waits").ctrl_c();
    terminal.ends(&["main: Cancelled", "run: KeyboardInterrupt"]);
}

fn a_main_that_swallows_the_first_gives_its_value_and_there_is_no_interrupt() {
    let mut terminal = Terminal::start("swallowing_main");
    terminal.says("main waits").ctrl_c();
    terminal.ends(&["main: Cancelled", r#"run: "swallowed""#]);
}

fn the_second_interrupts_and_the_sweep_cancels_the_main_task_again() {
    let mut terminal = Terminal::start("main_with_a_long_cleanup");
    terminal.says("main waits").ctrl_c();
    terminal.says("main: Cancelled").says("cleanup waits").ctrl_c();
    terminal.ends(&["cleanup: Cancelled", "run: KeyboardInterrupt"]);
}

fn the_third_ends_the_process_by_the_signal() {
    let mut terminal = Terminal::start("main_that_will_not_end");
    terminal.says("main waits").ctrl_c();
    terminal.says("main: Cancelled").says("main waits").ctrl_c();
    // From here on it is the sweep that waits.
    terminal.says("main: Cancelled").says("main waits").ctrl_c();
    terminal.dies();
}

fn the_third_kills_also_while_a_body_keeps_the_loop_from_turning() {
    let mut terminal = Terminal::start("main_that_blocks");
    terminal.says("main blocks").ctrl_c().says("SIGINT").ctrl_c().says("SIGINT").ctrl_c();
    terminal.dies();
}

fn the_third_kills_also_while_a_callback_keeps_the_loop_from_turning() {
    let mut terminal = Terminal::start("callback_that_blocks");
    terminal.says("main waits").says("callback blocks");
    terminal.ctrl_c().says("SIGINT").ctrl_c().says("SIGINT").ctrl_c();
    terminal.dies();
}

fn a_body_that_blocks_is_not_interrupted_and_cancelled_afterwards() {
    let mut terminal = Terminal::start("main_that_blocks_for_a_while");
    terminal.says("main blocks").ctrl_c().says("SIGINT").types(b"\n");
    terminal.ends(&["main goes on", "main waits", "main: Cancelled", "run: KeyboardInterrupt"]);
}

fn two_during_a_body_that_blocks_interrupt_afterwards() {
    let mut terminal = Terminal::start("main_that_blocks_for_a_while");
    terminal.says("main blocks").ctrl_c().says("SIGINT").ctrl_c().says("SIGINT").types(b"\n");
    terminal.ends(&["main goes on", "main waits", "main: Cancelled", "run: KeyboardInterrupt"]);
}

fn a_main_that_others_cancelled_too_ends_cancelled_and_not_interrupted() {
    let mut terminal = Terminal::start("main_that_others_cancelled_too");
    terminal.says("main waits").says("main: Cancelled").says("main waits").ctrl_c();
    terminal.ends(&["main: Cancelled", "run: Cancelled"]);
}

fn each_run_counts_anew() {
    let mut terminal = Terminal::start("two_runs");
    terminal.says("first waits").ctrl_c().says("first: Cancelled").says(r#"run: "swallowed""#);
    terminal.says("second waits").ctrl_c();
    terminal.ends(&["second: Cancelled", r#"run: "swallowed""#, "close: ()"]);
}

fn behind_the_run_the_default_is_back() {
    let mut terminal = Terminal::start("work_behind_the_run");
    terminal.says("run: 1").says("behind the run").ctrl_c();
    terminal.dies();
}

fn in_the_shutdown_the_first_interrupts_and_behind_it_the_default_is_back() {
    let mut terminal = Terminal::start("stubborn_task");
    terminal.says("task waits").says("task: Cancelled").says("task waits").ctrl_c();
    terminal.says("run: KeyboardInterrupt").says("behind the run").ctrl_c();
    terminal.dies();
}

fn in_the_shutdown_the_first_interrupts_also_if_it_is_main_that_does_not_end() {
    let mut terminal = Terminal::start("main_that_is_swept");
    terminal.says("main waits").says("main: Cancelled").says("main waits").ctrl_c();
    terminal.ends(&["run: KeyboardInterrupt"]);
}

fn the_second_interrupts_a_shutdown_that_waits_for_a_thread() {
    let mut terminal = Terminal::start("blocking_job");
    terminal.says("main waits for the job").ctrl_c().says("main: Cancelled").says("sweeping").ctrl_c();
    terminal.ends(&["run: KeyboardInterrupt"]);
}

fn a_handler_that_the_program_had_before_is_left_alone() {
    let mut terminal = Terminal::start("own_handler_before");
    terminal.says("main waits");
    for _ in 0..4 {
        terminal.ctrl_c().says("own handler");
    }
    terminal.types(b"\n").says("run: ()").says("closing").says("close: ()").ctrl_c();
    terminal.dies();
}

fn a_handler_that_main_adds_takes_the_place_of_the_runners() {
    let mut terminal = Terminal::start("own_handler_inside");
    terminal.says("main waits");
    for _ in 0..4 {
        terminal.ctrl_c().says("own handler");
    }
    // The loop's close brings the default back.
    terminal.types(b"\n").says("run: ()").says("close: ()").says("closed").ctrl_c();
    terminal.dies();
}

fn an_inherited_ignore_is_left_alone() {
    let mut terminal = Terminal::start_ignoring("ignored");
    terminal.says("main waits").ctrl_c().ctrl_c().ctrl_c().types(b"\n");
    terminal.ends(&["run: ()"]);
}

fn a_run_that_is_not_on_the_main_thread_leaves_ctrl_c_alone() {
    let mut terminal = Terminal::start("run_on_a_thread");
    terminal.says("main waits").ctrl_c();
    terminal.dies();
}

fn sigterm_counts_with_ctrl_c() {
    let mut terminal = Terminal::start("sigterm_and_ctrl_c");
    terminal.says("main waits").send(SIGTERM);
    terminal.says("main: Cancelled").says("cleanup waits").ctrl_c();
    terminal.ends(&["run: KeyboardInterrupt", "cleanup: Cancelled", "close: ()"]);

    let mut terminal = Terminal::start("sigterm_and_ctrl_c");
    // A SIGINT that does not come from a terminal does the same.
    terminal.says("main waits").send(SIGINT);
    terminal.says("main: Cancelled").says("cleanup waits").send(SIGTERM);
    terminal.ends(&["run: 143", "cleanup: Cancelled", "close: ()"]);
}

fn in_virtual_time_the_handler_of_ctrl_c_does_not_hide_a_deadlock() {
    Terminal::start("hangs_in_virtual_time").ends(&["true"]);
}

fn ctrl_backslash_asks_an_idle_loop_what_it_waits_for() {
    let mut terminal = Terminal::start("asked_by_ctrl_backslash");
    terminal.says("main waits").ctrl_backslash();
    terminal.says("dumped").ctrl_backslash();
    terminal.says("dumped").ctrl_c();
    let written = terminal.ends_writing(&["main: Cancelled", "run: KeyboardInterrupt"]);
    let (_, first) = written.split_once("looplab: SIGQUIT, the loop's state\nturn ").expect(&written);
    let (first, second) = first.split_once("looplab: SIGQUIT, the loop's state\nturn ").expect(&written);
    for dump in [first, second] {
        for part in [
            "running\nready   nothing\ntimers  1\n",
            " sleep at tests/ctrl_c/programs.rs:",
            "(due in ",
            "\n  SIGQUIT dump\n",
        ] {
            assert!(dump.contains(part), "{part:?}: {written}");
        }
        let waits = dump.split_once("\nwaits\n").expect(&written).1;
        let lines: Vec<_> = waits.lines().take(2).collect();
        assert!(
            lines[0].starts_with("  Task-1 waits for task worker at tests/ctrl_c/programs.rs:"),
            "{written}"
        );
        assert!(lines[1].starts_with("    worker waits for sleep at tests/ctrl_c/programs.rs:"), "{written}");
    }
}

fn in_debug_mode_it_does_so_without_being_told() {
    let mut terminal = Terminal::start("asked_in_debug_mode");
    terminal.says("main waits").ctrl_backslash();
    terminal.says("dumped").ctrl_c();
    let written = terminal.ends_writing(&["main: Cancelled", "run: KeyboardInterrupt"]);
    assert!(written.contains("looplab: SIGQUIT, the loop's state\n"), "{written}");
}

fn without_either_it_ends_the_process() {
    let mut terminal = Terminal::start("not_asked");
    terminal.says("main waits").ctrl_backslash();
    terminal.dies_of(SIGQUIT);
}

fn a_busy_loop_answers_afterwards_and_the_watchdog_says_so() {
    let mut terminal = Terminal::start("blocks_and_is_asked");
    terminal.says("main blocks").says("warned").ctrl_backslash().types(b"\n");
    terminal.says("main goes on").says("dumped").ctrl_c();
    let written = terminal.ends_writing(&["main: Cancelled", "run: KeyboardInterrupt"]);
    let (before, after) = written.split_once("looplab: SIGQUIT").expect(&written);
    assert!(before.contains(" seconds so far; no signal is answered meanwhile"), "{written}");
    assert!(after.contains("  Task-1 waits for sleep"), "{written}");
}

fn a_handler_of_the_programs_own_takes_its_place() {
    let mut terminal = Terminal::start("own_handler_for_ctrl_backslash");
    terminal.says("no handler of the program's").says("main waits").ctrl_backslash();
    let written = terminal.ends_writing(&["own handler", "run: ()"]);
    assert!(!written.contains("the loop's state"), "{written}");
}

fn main() {
    if let Some(role) = support::role() {
        let _dog = support::watchdog();
        let program =
            programs().into_iter().find(|(name, _)| *name == role).expect("a program of that name").1;
        take_terminal();
        return program();
    }
    catch_sigint();
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let listed = std::env::args().any(|word| word == "--list");
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let mut failed = false;
    for (name, test) in tests().into_iter().filter(|(name, _)| wanted(name)) {
        if listed {
            println!("{name}: test");
            continue;
        }
        let passed = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed |= !passed;
    }
    exit(i32::from(failed) * 101);
}
