//! `tour diff`: where a lesson's runs on looplab and on CPython part, and why.
//!
//! Both runs are traced in virtual time, and their callbacks are aligned by `align`. A difference is good if
//! `parts.txt` says its reason. One that is not listed, or is not there as often as it is listed, is bad.

use std::num::ParseIntError;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::Stop;
use crate::align::{Pair, Row, align, rows};
use crate::binaries::Binaries;
use crate::lessons::Lesson;
use crate::python::{self, Python};
use crate::run::heading;
use crate::screen::{Mark, Screen};
use crate::xray::{python_run, rust_run};

/// The reasons: a line is `NUMBERS | SIDE | NAMES | COUNT | REASON`.
const PARTS: &str = include_str!("parts.txt");

/// The Python whose differences have reasons.
const EXPLAINED: &str = "Python 3.15";

/// More rows of a difference tell no more.
const MOST_ROWS: usize = 40;

/// Why a number of callbacks run on one side only.
#[derive(Debug, PartialEq)]
struct Reason<'a> {
    /// `Rust`, `Python` or `both`.
    side: &'a str,
    /// What they are, and their names; `*` is whatever there is.
    names: Vec<&'a str>,
    /// `None` for a number that depends on threads or on the network.
    count: Option<usize>,
    why: &'a str,
}

fn reasons(number: u32) -> Vec<Reason<'static>> {
    let lines = PARTS.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .filter_map(|line| {
            let parts: Vec<&str> = line.splitn(5, '|').map(str::trim).collect();
            let [of, side, names, count, why] = parts[..] else { panic!("parts.txt: {line}") };
            let of = numbers(of).unwrap_or_else(|error| panic!("parts.txt: {line}: {error}"));
            of.iter().any(|of| of.contains(&number)).then(|| Reason {
                side,
                names: names.split(", ").collect(),
                count: count.parse().ok(),
                why,
            })
        })
        .collect()
}

/// Reads `41-43 47`.
fn numbers(text: &str) -> Result<Vec<RangeInclusive<u32>>, ParseIntError> {
    let ranges = text.split_whitespace().map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Ok(first.parse()?..=last.parse()?)
    });
    ranges.collect()
}

/// Shows where the runs of each lesson part. True if there is a reason for each difference.
pub(crate) fn diff(
    screen: &mut Screen,
    lessons: &[&Lesson],
    binaries: &Binaries,
    timeout: Duration,
) -> Result<bool, Stop> {
    let pythons = python::find(&[])?;
    let mut good = true;
    for lesson in lessons {
        screen.busy(&format!(" {:02} {} {}", lesson.number, screen.dots(), lesson.title));
        let runs = runs(screen, lesson, &pythons, binaries, timeout);
        screen.idle();
        heading(screen, lesson)?;
        let Some((name, pairs)) = runs? else {
            screen.line(&format!("    {} no two traces: a run is missing", screen.mark(Mark::Skipped)))?;
            continue;
        };
        good &= show(screen, lesson, &name, &pairs)?;
    }
    Ok(good)
}

/// Runs a lesson and its twin. Returns the name of the Python, and the aligned callbacks.
fn runs(
    screen: &mut Screen,
    lesson: &Lesson,
    pythons: &[Python],
    binaries: &Binaries,
    timeout: Duration,
) -> Result<Option<(String, Vec<Pair>)>, Stop> {
    let (_, rust) = rust_run(screen, lesson, binaries, timeout)?;
    let Some((rust, python)) = rust.zip(python_run(lesson, pythons, timeout)?) else { return Ok(None) };
    Ok(Some((python.name, align(&rows(&rust.lines), &rows(&python.lines)))))
}

fn show(screen: &mut Screen, lesson: &Lesson, name: &str, pairs: &[Pair]) -> Result<bool, Stop> {
    let both = pairs.iter().filter_map(|(rust, python)| Some((rust.as_ref()?, python.as_ref()?)));
    let moved = both.filter(|(rust, python)| rust.turn != python.turn).count();
    let parted: Vec<(&str, &Row)> = pairs.iter().filter_map(one_sided).collect();
    let (listed, rest) = explained(&parted, reasons(lesson.number));
    let mark = screen.mark(if rest.is_empty() { Mark::Good } else { Mark::Bad });
    let same = pairs.len() - parted.len();
    let turns = if moved > 0 { format!(", {moved} of them in another turn") } else { String::new() };
    let alone =
        if parted.is_empty() { String::new() } else { format!(", {} on one side only", parted.len()) };
    screen.line(&format!("    {mark} looplab and {name}: {same} callbacks the same{turns}{alone}"))?;
    for (side, row) in parted.iter().take(MOST_ROWS) {
        let text = row.text.trim_end().replace('\n', " / ");
        let skipped = if row.skipped { " (skipped)" } else { "" };
        screen
            .line(format!("      {side:<8}turn {:<4}{}{skipped}  {text}", row.turn, row.shown).trim_end())?;
    }
    for why in listed {
        screen.line(&format!("      why: {why}"))?;
    }
    for what in &rest {
        screen.line(&format!("      {what}"))?;
    }
    if !rest.is_empty() && name != EXPLAINED {
        screen.line(&format!(
            "      The reasons are listed for {EXPLAINED}. LOOPLAB_PYTHON names the Python to run."
        ))?;
    }
    Ok(rest.is_empty())
}

fn one_sided(pair: &Pair) -> Option<(&'static str, &Row)> {
    match pair {
        (Some(row), None) => Some(("Rust", row)),
        (None, Some(row)) => Some(("Python", row)),
        _ => None,
    }
}

/// Takes the listed differences out of those found. Returns their reasons, and what is left over.
fn explained<'a>(parted: &[(&str, &Row)], reasons: Vec<Reason<'a>>) -> (Vec<&'a str>, Vec<String>) {
    let (mut listed, mut rest) = (Vec::new(), Vec::new());
    let mut left: Vec<(&str, String)> =
        parted.iter().map(|(side, row)| (*side, format!("{} {}", row.what, row.name))).collect();
    for reason in reasons {
        let before = left.len();
        left.retain(|(side, name)| {
            let named = reason.names.iter().any(|known| *known == "*" || known == name);
            !(named && (reason.side == "both" || reason.side == *side))
        });
        let found = before - left.len();
        if let Some(count) = reason.count.filter(|count| *count != found) {
            rest.push(format!(
                "listed {count} times, found {found}: {} | {}",
                reason.side,
                reason.names.join(", ")
            ));
        }
        if !listed.contains(&reason.why) {
            listed.push(reason.why);
        }
    }
    rest.extend(left.iter().map(|(side, name)| format!("no reason is listed: {side} | {name}")));
    (listed, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> Row {
        let (name, text) = (name.to_string(), String::new());
        Row { what: "own", shown: name.clone(), name, text, skipped: false, turn: 1 }
    }

    #[test]
    fn only_what_is_listed_as_often_is_explained() {
        let (one, other) = (row("wait"), row("sleep"));
        let parted = [("Rust", &one), ("Python", &other)];
        let reason =
            |count| Reason { side: "Rust", names: vec!["own wait"], count: Some(count), why: "because" };
        let (listed, rest) = explained(&parted, vec![reason(1)]);
        assert_eq!(
            (listed, rest),
            (vec!["because"], vec!["no reason is listed: Python | own sleep".to_string()])
        );
        let (_, rest) = explained(&parted[..1], vec![reason(2)]);
        assert_eq!(rest, ["listed 2 times, found 1: Rust | own wait"]);
        let any = Reason { side: "both", names: vec!["own sleep", "own wait"], count: None, why: "threads" };
        assert_eq!(explained(&parted, vec![any]), (vec!["threads"], Vec::new()));
    }

    #[test]
    fn each_line_of_the_list_can_be_read() {
        assert!((1..100).map(|number| reasons(number).len()).sum::<usize>() > 0);
        assert_eq!(numbers("41-43 47"), Ok(vec![41..=43, 47..=47]));
        assert!(numbers("41-").is_err());
    }
}
