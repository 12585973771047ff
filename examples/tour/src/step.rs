//! `tour step`: one lesson's run, told line by line.
//!
//! The lines are plain, with no movement of the cursor, so they can be read by a screen reader, over ssh and in
//! a log. The words are those of the page. In a terminal a key and Enter go forward and back, ask why an entry
//! runs, and let the reader predict. Without a terminal the whole run is printed.

use std::io::{self, BufRead, IsTerminal};
use std::time::Duration;

use looplab::xray::{History, Question, ReadyNames, Sentence, sentences};

use crate::Stop;
use crate::binaries::Binaries;
use crate::lessons::Lesson;
use crate::run::heading;
use crate::screen::{Screen, ask, notice};
use crate::xray::rust_run;

const KEYS: &str = "[Enter] next  b back  t turn  r run  w why  /text find  p predict  q quit";

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
    let story = Story::read(&traced.lines).map_err(|error| Stop::Cannot(format!("the trace: {error}")))?;
    heading(screen, lesson)?;
    screen.line("")?;
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        walk(screen, &story)?;
    } else {
        for at in 0..story.told.len() {
            tell(screen, &story.told, at.checked_sub(1), at)?;
        }
    }
    Ok(check.ok())
}

/// A run in words, with what can be asked about it.
struct Story {
    told: Vec<Sentence>,
    history: History,
    questions: Vec<Question>,
}

impl Story {
    fn read(trace: &str) -> looplab::Result<Story> {
        let (told, history) = (sentences(trace)?, History::read(trace)?);
        let questions = history.questions();
        Ok(Story { told, history, questions })
    }

    /// Returns the moment of a line.
    fn moment(&self, s: u64) -> usize {
        self.told.partition_point(|sentence| sentence.s < s).min(self.told.len() - 1)
    }
}

/// Asks after each step where to go.
fn walk(screen: &mut Screen, story: &Story) -> Result<(), Stop> {
    let mut at = 0;
    let mut answers = io::stdin().lock().lines();
    tell(screen, &story.told, None, at)?;
    loop {
        ask(&format!("{KEYS} > "));
        let Some(answer) = answers.next() else { return Ok(()) };
        let to = match next(story, at, answer?.trim()) {
            Answer::Go(to) => Some(to),
            Answer::Predict(n) => predict(screen, story, n, &mut answers)?,
            Answer::Say(lines) => {
                say(screen, &lines)?;
                continue;
            }
            Answer::Quit => None,
        };
        let Some(to) = to else { return Ok(()) };
        tell(screen, &story.told, Some(at), to)?;
        at = to;
    }
}

fn say(screen: &mut Screen, lines: &[String]) -> io::Result<()> {
    lines.iter().try_for_each(|line| screen.line(&screen.plain(&line.replace('`', ""))))
}

/// What a pressed key means.
#[derive(Debug, PartialEq)]
enum Answer {
    Go(usize),
    Say(Vec<String>),
    /// Ask the question of this number.
    Predict(usize),
    Quit,
}

fn next(story: &Story, at: usize, key: &str) -> Answer {
    let told = &story.told;
    let last = told.len() - 1;
    let after = |holds: &dyn Fn(&Sentence) -> bool| (at + 1..=last).find(|&to| holds(&told[to]));
    let begins = |words: &'static str| move |sentence: &Sentence| sentence.text.starts_with(words);
    let found = match key {
        "" => (at < last).then_some(at + 1),
        "b" => at.checked_sub(1),
        "t" => after(&begins("Turn ")),
        "r" => after(&begins("Run ")),
        "w" => return Answer::Say(causes(story, at)),
        // A question of a moment that was told already is no question.
        "p" => match story.questions.iter().position(|question| question.s > told[at].s) {
            Some(n) => return Answer::Predict(n),
            None => None,
        },
        "q" => return Answer::Quit,
        _ => match key.strip_prefix('/') {
            Some(wanted) => {
                let wanted = wanted.trim().to_lowercase();
                after(&|sentence| sentence.text.to_lowercase().contains(&wanted))
            }
            None => return Answer::Say(vec![KEYS.to_string()]),
        },
    };
    found.map_or_else(|| Answer::Say(vec!["There is none.".to_string()]), Answer::Go)
}

/// Returns why the entry of this moment runs: a line for each cause, with its turn.
fn causes(story: &Story, at: usize) -> Vec<String> {
    let causes = story.history.causes(story.told[at].s);
    if causes.is_empty() {
        return vec![format!("{:14}{:<8}Nothing runs at this moment.", "", "why")];
    }
    let lines = causes.iter().enumerate().map(|(i, cause)| {
        let turn = cause.turn.map_or_else(|| "before".to_string(), |turn| format!("turn {turn}"));
        let because = if i > 0 { "because " } else { "" };
        format!("{turn:<14}{:<8}{because}{}", "why", cause.text)
    });
    lines.collect()
}

/// Asks a question and grades its answer. Returns the moment that shows the answer; `None` at the end of the input.
///
/// The sentence of the moment is not told, because it may give the answer away.
fn predict(
    screen: &mut Screen,
    story: &Story,
    n: usize,
    answers: &mut dyn Iterator<Item = io::Result<String>>,
) -> Result<Option<usize>, Stop> {
    let question = &story.questions[n];
    say(screen, &asked(question, n, story.questions.len()))?;
    let answer = loop {
        ask(if question.kind == "order" { "their numbers in order > " } else { "number > " });
        let Some(answer) = answers.next() else { return Ok(None) };
        match chosen(question, &answer?) {
            Some(answer) => break answer,
            None => say(screen, &[format!("1 to {}", question.options.len())])?,
        }
    };
    say(screen, &graded(question, &answer))?;
    Ok(Some(story.moment(question.evidence)))
}

fn asked(question: &Question, n: usize, all: usize) -> Vec<String> {
    let number = format!("{} of {all}", n + 1);
    let mut lines = vec![format!("{number:<14}{:<8}{}", "predict", question.text)];
    let options = question.options.iter().enumerate();
    lines.extend(options.map(|(i, option)| format!("{:22}{} {option}", "", i + 1)));
    lines
}

/// Reads the numbers of options: one, or for an order each once.
fn chosen(question: &Question, answer: &str) -> Option<Vec<usize>> {
    let numbers = answer.split([' ', ',']).filter(|word| !word.is_empty()).map(str::parse);
    let chosen: Vec<usize> = numbers.collect::<Result<_, _>>().ok()?;
    let known = chosen.iter().all(|number| (1..=question.options.len()).contains(number));
    let once = chosen.iter().enumerate().all(|(i, number)| !chosen[..i].contains(number));
    (known && once && chosen.len() == question.right.len())
        .then(|| chosen.into_iter().map(|number| number - 1).collect())
}

/// Returns the verdict, what happened, and the rule behind it.
fn graded(question: &Question, answer: &[usize]) -> Vec<String> {
    let verdict = if answer == question.right { "Right." } else { "Not so." };
    let happened: Vec<&str> = question.right.iter().map(|right| question.options[*right].as_str()).collect();
    let line = |what: &str, words: &str| format!("{:14}{what:<8}{words}", "");
    vec![line("", &format!("{verdict} {}", happened.join(" → "))), line("", &question.why)]
}

/// Prints a moment: the sentence with the side that acts, and the queue if it is another than at `from`.
fn tell(screen: &mut Screen, told: &[Sentence], from: Option<usize>, at: usize) -> Result<(), Stop> {
    let moment = &told[at];
    let before = from.map(|from| &told[from]);
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
{"s":4,"t":0,"e":"turn","n":1}
{"s":5,"t":0,"e":"sel","to":0,"why":"ready"}
{"s":6,"t":0,"e":"polled","ev":[]}
{"s":7,"t":0,"e":"batch","n":1}
{"s":8,"t":0,"e":"run","q":1,"h":1}
{"s":9,"t":0,"e":"push","q":2,"h":2,"via":"call_soon","kind":"cb","cb":"main::again","by":1}
{"s":10,"t":0,"e":"ret","q":1}
{"s":11,"t":0,"e":"turn","n":2}"#;

    fn story() -> Story {
        Story::read(TRACE).expect("a trace")
    }

    fn words(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| line.to_string()).collect()
    }

    #[test]
    fn keys_go_forward_back_and_to_a_text() {
        let story = story();
        for (at, key, answer) in [
            (0, "", Answer::Go(1)),
            (1, "b", Answer::Go(0)),
            (0, "t", Answer::Go(3)),
            (0, "r", Answer::Go(2)),
            (0, "/HELLO", Answer::Go(1)),
            (0, "p", Answer::Predict(0)),
            (8, "p", Answer::Say(words(&["There is none."]))),
            (10, "", Answer::Say(words(&["There is none."]))),
            (0, "b", Answer::Say(words(&["There is none."]))),
            (0, "x", Answer::Say(words(&[KEYS]))),
            (0, "q", Answer::Quit),
        ] {
            assert_eq!(next(&story, at, key), answer, "{key:?} at {at}");
        }
    }

    #[test]
    fn w_says_why_the_entry_of_this_moment_runs() {
        let story = story();
        assert_eq!(causes(&story, 3), ["              why     Nothing runs at this moment."]);
        let because = [
            "turn 1        why     `hello` runs in turn 1, 1 of 1",
            "before        why     because it was queued outside of the callbacks",
        ];
        assert_eq!(causes(&story, 7), because);
    }

    #[test]
    fn p_asks_without_the_answer_and_grades_it() {
        let story = story();
        let question = &story.questions[0];
        let lines = [
            "1 of 1        predict `hello` has just queued `again`. When does it run?",
            "                      1 Later in this turn",
            "                      2 In the next turn",
            "                      3 In the next run",
            "                      4 Never",
        ];
        assert_eq!(asked(question, 0, 1), lines);
        for (answer, number) in [
            ("4", Some(3)),
            (" 1 ", Some(0)),
            ("5", None),
            ("0", None),
            ("", None),
            ("1 2", None),
            ("x", None),
        ] {
            assert_eq!(chosen(question, answer), number.map(|number| vec![number]), "{answer:?}");
        }
        let rule = "                      The run ends, and no later run comes. What is in the queue then never runs.";
        assert_eq!(graded(question, &[3]), ["                      Right. Never", rule]);
        assert_eq!(graded(question, &[1]), ["                      Not so. Never", rule]);
    }
}
