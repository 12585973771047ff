//! `tour step`: one lesson's run, told line by line.
//!
//! The lines are plain, with no movement of the cursor, so they can be read by a screen reader, over ssh and in
//! a log. The words are those of the page. In a terminal a key and Enter go forward and back. Without a
//! terminal the whole run is printed.

use std::io::{self, BufRead, IsTerminal};
use std::time::Duration;

use looplab::xray::{ReadyNames, Sentence, sentences};

use crate::Stop;
use crate::binaries::Binaries;
use crate::lessons::Lesson;
use crate::run::heading;
use crate::screen::{Screen, ask, notice};
use crate::xray::rust_run;

const KEYS: &str = "[Enter] next  b back  t turn  r run  /text find  q quit";

/// Runs `lesson` and tells its run. True if it also printed what it should.
pub(crate) fn step(
    screen: &mut Screen,
    lesson: &Lesson,
    binaries: &Binaries,
    timeout: Duration,
) -> Result<bool, Stop> {
    let (check, traced) = rust_run(screen, lesson, binaries, timeout)?;
    let Some(traced) = traced else {
        notice("no trace: this lesson makes no loop, so there are no turns to show");
        return Ok(check.ok());
    };
    let told = sentences(&traced.lines).map_err(|error| Stop::Cannot(format!("the trace: {error}")))?;
    heading(screen, lesson)?;
    screen.line("")?;
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        walk(screen, &told)?;
    } else {
        for at in 0..told.len() {
            tell(screen, &told, at)?;
        }
    }
    Ok(check.ok())
}

/// Asks after each step where to go.
fn walk(screen: &mut Screen, told: &[Sentence]) -> Result<(), Stop> {
    let mut at = 0;
    let mut answers = io::stdin().lock().lines();
    loop {
        tell(screen, told, at)?;
        ask(&format!("{KEYS} > "));
        let Some(answer) = answers.next() else { return Ok(()) };
        match next(told, at, answer?.trim()) {
            Answer::Go(to) => at = to,
            Answer::Say(words) => screen.line(&words)?,
            Answer::Quit => return Ok(()),
        }
    }
}

/// What a pressed key means.
#[derive(Debug, PartialEq)]
enum Answer {
    Go(usize),
    Say(String),
    Quit,
}

fn next(told: &[Sentence], at: usize, key: &str) -> Answer {
    let last = told.len() - 1;
    let after = |holds: &dyn Fn(&Sentence) -> bool| (at + 1..=last).find(|&to| holds(&told[to]));
    let begins = |words: &'static str| move |sentence: &Sentence| sentence.text.starts_with(words);
    let found = match key {
        "" => (at < last).then_some(at + 1),
        "b" => at.checked_sub(1),
        "t" => after(&begins("Turn ")),
        "r" => after(&begins("Run ")),
        "q" => return Answer::Quit,
        _ => match key.strip_prefix('/') {
            Some(wanted) => {
                let wanted = wanted.trim().to_lowercase();
                after(&|sentence| sentence.text.to_lowercase().contains(&wanted))
            }
            None => return Answer::Say(KEYS.to_string()),
        },
    };
    found.map_or_else(|| Answer::Say("There is none.".to_string()), Answer::Go)
}

/// Prints a moment: the sentence with the side that acts, and the queue if it has changed.
fn tell(screen: &mut Screen, told: &[Sentence], at: usize) -> Result<(), Stop> {
    let moment = &told[at];
    let before = at.checked_sub(1).map(|before| &told[before]);
    let new_turn = before.is_none_or(|old| (old.turn, old.event_loop) != (moment.turn, moment.event_loop));
    let turn = match (new_turn, moment.event_loop) {
        (false, _) => String::new(),
        (true, 1) => format!("turn {}", moment.turn),
        (true, l) => format!("loop {l} turn {}", moment.turn),
    };
    let place = moment.place.as_ref().map_or(String::new(), |place| format!("    {place}"));
    let words = moment.text.replace('`', "");
    screen.line(&screen.plain(&format!("{turn:<14}{:<8}{words}{place}", moment.who)))?;
    if before.is_none_or(|old| old.queue != moment.queue) {
        let queue = format!("{:14}{:<8}{}", "", "queue", queue(screen, &moment.queue));
        screen.line(screen.plain(&queue).trim_end())?;
    }
    Ok(())
}

/// Writes the queue on one line: what ran, what runs, what is left of the batch, the divider, and the rest.
fn queue(screen: &Screen, names: &ReadyNames) -> String {
    let [ran, runs, divider] = screen.queue_signs();
    let ran = names.ran.iter().map(|name| format!("{ran}{name}"));
    let running = names.running.iter().map(|name| format!("{runs}{name}"));
    let batch = ran.chain(running).chain(names.left.iter().cloned());
    let all: Vec<String> = batch.chain([divider.to_string()]).chain(names.behind.iter().cloned()).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = r#"{"s":0,"t":0,"e":"meta","v":1,"rt":"looplab","unit":"ns","clock":"virtual"}
{"s":1,"t":0,"e":"loop","ev":"new"}
{"s":2,"t":0,"e":"push","q":1,"h":1,"via":"call_soon","kind":"cb","cb":"main::hello"}
{"s":3,"t":0,"e":"loop","ev":"run"}
{"s":4,"t":0,"e":"turn","n":1}"#;

    #[test]
    fn keys_go_forward_back_and_to_a_text() {
        let told = sentences(TRACE).expect("a trace");
        for (at, key, answer) in [
            (0, "", Answer::Go(1)),
            (1, "b", Answer::Go(0)),
            (0, "t", Answer::Go(3)),
            (0, "r", Answer::Go(2)),
            (0, "/HELLO", Answer::Go(1)),
            (3, "", Answer::Say("There is none.".to_string())),
            (0, "b", Answer::Say("There is none.".to_string())),
            (0, "x", Answer::Say(KEYS.to_string())),
            (0, "q", Answer::Quit),
        ] {
            assert_eq!(next(&told, at, key), answer, "{key:?} at {at}");
        }
    }
}
