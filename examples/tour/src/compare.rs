//! `tour compare`: the same program on looplab and on CPython, now.
//!
//! Three texts meet: the transcript, what the lesson prints now, and what its twin prints now. When they are
//! not all equal, the verdict names the odd one out, because that is where to look: the library, that Python,
//! or an old recording.

use std::fs;
use std::io;
use std::panic::resume_unwind;
use std::thread;

use serde_json::{Value, json};

use crate::binaries::Binaries;
use crate::cli::Options;
use crate::lessons::Lesson;
use crate::python::{Python, has_twin, missing_module};
use crate::run::{self, Check, Words, until_right};
use crate::screen::{Mark, Screen};
use crate::{Stop, diff};

const NO_TWIN: &str = "no twin";

/// On how many Pythons a twin runs at a time. Most of them sleep.
const AT_A_TIME: usize = 3;

/// What one lesson and one Python come to.
#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    /// All three are equal.
    Same,
    /// CPython prints what is recorded for this version alone; the lesson prints the transcript of the
    /// others.
    ByVersion,
    /// Only the lesson is not as recorded.
    RustDiffers,
    /// Only the twin is not as recorded.
    PythonDiffers,
    /// Lesson and twin agree with each other, and not with the recording.
    TranscriptDiffers,
    AllDiffer,
    /// The twin could not be tried: why.
    Skipped(String),
}

impl Verdict {
    fn mark(&self) -> Mark {
        match self {
            Verdict::Same => Mark::Good,
            Verdict::ByVersion => Mark::Note,
            Verdict::Skipped(_) => Mark::Skipped,
            _ => Mark::Bad,
        }
    }

    /// As `--json` says it, and as the table does, with spaces.
    fn name(&self) -> &'static str {
        match self {
            Verdict::Same => "same",
            Verdict::ByVersion => "by_version",
            Verdict::RustDiffers => "rust_differs",
            Verdict::PythonDiffers => "python_differs",
            Verdict::TranscriptDiffers => "transcript_differs",
            Verdict::AllDiffer => "all_differ",
            Verdict::Skipped(_) => "skipped",
        }
    }
}

/// One twin's run.
#[derive(Debug)]
struct Cell<'a> {
    python: &'a Python,
    verdict: Verdict,
    check: Check,
    missing_module: Option<String>,
}

/// One lesson with all its twins' runs.
#[derive(Debug)]
struct Row<'a> {
    lesson: &'a Lesson,
    rust: Check,
    cells: Vec<Cell<'a>>,
}

/// Compares every lesson with its twin on every Python. True if nothing differs; what was skipped does not
/// differ.
pub(crate) fn compare(
    screen: &mut Screen,
    lessons: &[&Lesson],
    (noun, _): Words,
    pythons: &[Python],
    binaries: &Binaries,
    options: &Options,
) -> Result<bool, Stop> {
    if !screen.json {
        let versions: Vec<String> = pythons.iter().map(Python::version).collect();
        let count = lessons.len();
        let noun = if count == 1 { noun.trim_end_matches('s') } else { noun };
        screen.line(&format!(
            "looplab tour: {count} {noun} on looplab and on CPython {}\n",
            versions.join(", ")
        ))?;
    }
    let mut rows = Vec::new();
    for &lesson in lessons {
        let row = row(screen, lesson, pythons, binaries, options);
        screen.idle();
        let row = row?;
        if !screen.json {
            show_row(screen, &row)?;
        }
        rows.push(row);
    }
    if screen.json {
        show_json(screen, pythons, &rows)?;
    } else {
        show_by_version(screen, &rows)?;
        show_skipped(screen, pythons, &rows)?;
        for row in &rows {
            show_differences(screen, row)?;
        }
        show_summary(screen, &rows)?;
    }
    Ok(count(&rows, |verdict| verdict.mark() == Mark::Bad) == 0)
}

fn row<'a>(
    screen: &Screen,
    lesson: &'a Lesson,
    pythons: &'a [Python],
    binaries: &Binaries,
    options: &Options,
) -> Result<Row<'a>, Stop> {
    let busy =
        |on: &str| screen.busy(&format!(" {:02} {} on {on}: {}", lesson.number, screen.dots(), lesson.title));
    busy("looplab");
    let run = || run::check(lesson, binaries, options.timeout, &mut |_| Ok(()));
    let rust = until_right(options.attempts, &lesson.name, run)?;
    let mut cells = Vec::new();
    for several in pythons.chunks(AT_A_TIME) {
        let versions: Vec<String> = several.iter().map(Python::version).collect();
        busy(&versions.join(", "));
        cells.extend(cells_of(lesson, &rust, several, options)?);
    }
    Ok(Row { lesson, rust, cells })
}

/// Runs the twin on several Pythons at a time.
fn cells_of<'a>(
    lesson: &Lesson,
    rust: &Check,
    pythons: &'a [Python],
    options: &Options,
) -> Result<Vec<Cell<'a>>, Stop> {
    thread::scope(|scope| {
        let start = |python| scope.spawn(move || cell(lesson, rust, python, options));
        let runs: Vec<_> = pythons.iter().map(start).collect();
        runs.into_iter().map(|run| run.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

fn cell<'a>(lesson: &Lesson, rust: &Check, python: &'a Python, options: &Options) -> Result<Cell<'a>, Stop> {
    if !has_twin(lesson) {
        let why = NO_TWIN.to_string();
        let check = Check { problem: Some(why.clone()), expected: Vec::new(), ran: None };
        return Ok(Cell { python, verdict: Verdict::Skipped(why), check, missing_module: None });
    }
    let own = lesson.transcript_of(python.version);
    let by_version = own.is_some();
    let transcript = own.unwrap_or_else(|| lesson.transcript());
    let run = || Ok(Check::of(python.run(lesson, options.timeout)?, fs::read(&transcript)));
    let who = format!("{} on CPython {}", lesson.name, python.version());
    let check = until_right(options.attempts, &who, run)?;
    let missing_module = check.ran.as_ref().and_then(missing_module);
    let verdict = match (&missing_module, rust.not_shown().or_else(|| check.not_shown())) {
        (Some(module), _) => Verdict::Skipped(format!("no {module}")),
        (None, Some(why)) => Verdict::Skipped(why),
        (None, None) => verdict(rust, &check, by_version),
    };
    Ok(Cell { python, verdict, check, missing_module })
}

fn verdict(rust: &Check, python: &Check, by_version: bool) -> Verdict {
    match (rust.ok(), python.ok()) {
        // A recording of its own that says the same as the general one makes no difference.
        (true, true) if by_version && python.expected != rust.expected => Verdict::ByVersion,
        (true, true) => Verdict::Same,
        (false, true) => Verdict::RustDiffers,
        (true, false) => Verdict::PythonDiffers,
        (false, false) if rust.ended_well() && python.ended_well() && rust.printed() == python.printed() => {
            Verdict::TranscriptDiffers
        }
        (false, false) => Verdict::AllDiffer,
    }
}

/// The title, then one mark per Python; a word is added where the mark alone does not say it all.
fn show_row(screen: &mut Screen, row: &Row<'_>) -> io::Result<()> {
    let title = screen.cut(&row.lesson.title, screen.width - 4);
    screen.line(&format!(" {:02} {title}", row.lesson.number))?;
    let mut line = String::new();
    let mut used = 0;
    for cell in &row.cells {
        let version = cell.python.version();
        let words = match &cell.verdict {
            Verdict::Same => version,
            Verdict::Skipped(why) if cell.missing_module.is_none() && why != NO_TWIN => {
                format!("{version}: not shown")
            }
            Verdict::Skipped(why) => format!("{version}: {why}"),
            other => format!("{version}: {}", other.name().replace('_', " ").replace("rust", "looplab")),
        };
        let columns = 4 + screen.mark_width() + words.chars().count();
        if used > 0 && used + columns > screen.width {
            screen.line(&line)?;
            (line, used) = (String::new(), 0);
        }
        used += columns;
        line.push_str(&format!("    {} {words}", screen.mark(cell.verdict.mark()).trim_end()));
    }
    screen.line(&line)
}

/// The row's cells that `wanted` picks, those that came out alike as one, with the name of all their Pythons.
fn grouped<'r>(row: &'r Row<'_>, wanted: impl Fn(&Verdict) -> bool) -> Vec<(String, &'r Cell<'r>)> {
    let mut groups: Vec<(String, &Cell<'_>)> = Vec::new();
    for cell in row.cells.iter().filter(|cell| wanted(&cell.verdict)) {
        let alike = |other: &Cell<'_>| {
            other.verdict == cell.verdict
                && other.check.problem == cell.check.problem
                && other.check.expected == cell.check.expected
                && other.check.printed() == cell.check.printed()
        };
        match groups.iter_mut().find(|(_, first)| alike(first)) {
            Some((name, _)) => name.push_str(&format!(", {}", cell.python.version())),
            None => groups.push((format!("CPython {}", cell.python.version()), cell)),
        }
    }
    groups
}

/// What differs by version as it should.
fn show_by_version(screen: &mut Screen, rows: &[Row<'_>]) -> io::Result<()> {
    for row in rows {
        let groups = grouped(row, |verdict| *verdict == Verdict::ByVersion);
        if !groups.is_empty() {
            screen.line(&format!(
                "\n {:02} differs by version: {}",
                row.lesson.number,
                reason(row.lesson)
            ))?;
        }
        for (python, cell) in groups {
            let name = format!("{python}, as recorded");
            diff::show(screen, ("transcript", &row.rust.expected), (&name, cell.check.printed()))?;
        }
    }
    Ok(())
}

fn reason(lesson: &Lesson) -> String {
    lesson
        .why_versions_differ()
        .unwrap_or_else(|| format!("{}.py does not say why (`# differs: …`)", lesson.name))
}

/// What could not be tried: lessons without a twin, and which Python lacks what.
fn show_skipped(screen: &mut Screen, pythons: &[Python], rows: &[Row<'_>]) -> io::Result<()> {
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows {
        for cell in &row.cells {
            let Verdict::Skipped(why) = &cell.verdict else { continue };
            let what = match cell.missing_module {
                Some(_) => format!("{} (CPython {}): {why}", cell.python.command, cell.python.version()),
                None => why.clone(),
            };
            let number = format!("{:02}", row.lesson.number);
            match lines.iter_mut().find(|(known, _)| *known == what) {
                Some((_, numbers)) if numbers.contains(&number) => {}
                Some((_, numbers)) => numbers.push(number),
                None => lines.push((what, vec![number])),
            }
        }
    }
    // All that one Python lacks stands together.
    let of = |python: &Python, what: &str| what.starts_with(&format!("{} (", python.command));
    lines.sort_by_key(|(what, _)| pythons.iter().position(|python| of(python, what)));
    for (n, (what, numbers)) in lines.iter().enumerate() {
        let gap = if n == 0 { "\n" } else { "" };
        screen.line(&format!("{gap} skipped {}: {what}", numbers.join(", ")))?;
    }
    show_what_none_has(screen, rows)
}

/// A module that no Python here has, and how to get it.
fn show_what_none_has(screen: &mut Screen, rows: &[Row<'_>]) -> io::Result<()> {
    let mut modules: Vec<&str> = Vec::new();
    for row in rows {
        if row.cells.iter().all(|cell| cell.missing_module.is_some()) {
            modules.extend(row.cells.iter().filter_map(|cell| cell.missing_module.as_deref()));
        }
    }
    modules.sort_unstable();
    modules.dedup();
    if !modules.is_empty() {
        screen.line(&format!(" no Python here has {}: make one that has,", modules.join(" and ")))?;
        screen.line("   python3 -m venv DIR && DIR/bin/pip install aiohttp redis")?;
        screen.line(" and name it: --python DIR/bin/python, or LOOPLAB_PYTHON=DIR/bin/python")?;
    }
    Ok(())
}

/// Shows which outputs differ from which, then each difference once.
fn show_differences(screen: &mut Screen, row: &Row<'_>) -> Result<(), Stop> {
    let groups = grouped(row, |verdict| verdict.mark() == Mark::Bad);
    if groups.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    run::heading(screen, row.lesson)?;
    for (python, cell) in &groups {
        screen.line(&match cell.verdict {
            Verdict::RustDiffers => format!("    looplab differs; on {python} it is as recorded"),
            Verdict::PythonDiffers => format!("    {python} differs; on looplab it is as recorded"),
            Verdict::TranscriptDiffers => format!("    looplab and {python} agree; the recording differs"),
            _ => format!("    looplab, {python} and the recording all differ"),
        })?;
    }
    row.rust.explain(screen, "looplab", "transcript")?;
    for (python, cell) in &groups {
        // Where both agree, the lesson's difference has shown it, unless this Python has a transcript of its own.
        if cell.verdict != Verdict::TranscriptDiffers || cell.check.expected != row.rust.expected {
            cell.check.explain(screen, python, "transcript for this version")?;
        }
    }
    Ok(())
}

fn count(rows: &[Row<'_>], wanted: impl Fn(&Verdict) -> bool) -> usize {
    rows.iter().flat_map(|row| &row.cells).filter(|cell| wanted(&cell.verdict)).count()
}

fn show_summary(screen: &mut Screen, rows: &[Row<'_>]) -> io::Result<()> {
    let total = count(rows, |_| true);
    let mut parts = vec![format!("{} of {total} the same", count(rows, |verdict| *verdict == Verdict::Same))];
    for (mark, words) in
        [(Mark::Note, "as recorded for the version"), (Mark::Skipped, "skipped"), (Mark::Bad, "not the same")]
    {
        match count(rows, |verdict| verdict.mark() == mark) {
            0 => {}
            n => parts.push(format!("{n} {words}")),
        }
    }
    screen.line(&format!("\n{}.", parts.join("; ")))
}

fn show_json(screen: &mut Screen, pythons: &[Python], rows: &[Row<'_>]) -> io::Result<()> {
    let of_cell = |row: &Row<'_>, cell: &Cell<'_>| {
        let mut object = cell.check.as_json();
        object["version"] = cell.python.version().into();
        object["verdict"] = cell.verdict.name().into();
        object["missing_module"] = json!(cell.missing_module);
        object["reason"] = match &cell.verdict {
            Verdict::ByVersion => reason(row.lesson).into(),
            Verdict::Skipped(why) => why.as_str().into(),
            _ => Value::Null,
        };
        object
    };
    let of_row = |row: &Row<'_>| {
        json!({
            "number": row.lesson.number,
            "name": row.lesson.name,
            "title": row.lesson.title,
            "rust": row.rust.as_json(),
            "pythons": row.cells.iter().map(|cell| of_cell(row, cell)).collect::<Vec<_>>(),
        })
    };
    let differing = count(rows, |verdict| verdict.mark() == Mark::Bad);
    let of_python = |python: &Python| json!({ "command": python.command, "version": python.version() });
    let object = json!({
        "ok": differing == 0,
        "differing": differing,
        "skipped": count(rows, |verdict| verdict.mark() == Mark::Skipped),
        "pythons": pythons.iter().map(of_python).collect::<Vec<_>>(),
        "lessons": rows.iter().map(of_row).collect::<Vec<_>>(),
    });
    screen.line(&object.to_string())
}
