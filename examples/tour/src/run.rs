//! `tour` and `tour run`: a lesson is run and its output held against its transcript.
//!
//! ✓ means: the same bytes, and exit status 0. Lessons run one after another, because some of them send
//! signals or measure time. A lesson that needs what this machine lacks says so in one line, `not shown: …`, and
//! gets a `-`: it is neither right nor wrong.

use std::fs;
use std::io;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::binaries::Binaries;
use crate::child::{self, End, Ran};
use crate::cli::{Options, TOUR};
use crate::lessons::{self, Lesson};
use crate::python::missing_module;
use crate::screen::{Ink, Mark, Screen, notice};
use crate::{Stop, diff, list};

/// What a list of programs is called, and the command that shows one of them.
pub(crate) type Words = (&'static str, &'static str);
pub(crate) const LESSONS: Words = ("lessons", "run");
pub(crate) const CHAPTERS: Words = ("chapters", "build");

const DIFFERS: &str = "prints something else";

/// How a program begins its only line when it cannot show what it has to show.
const NOT_SHOWN: &str = "not shown: ";

/// A program's run, held against what it should have printed.
#[derive(Debug)]
pub(crate) struct Check {
    /// None if it is as it should be, else what to say of it: "ended with exit status 3".
    pub(crate) problem: Option<String>,
    pub(crate) expected: Vec<u8>,
    /// None if there was nothing to run.
    pub(crate) ran: Option<Ran>,
}

impl Check {
    pub(crate) fn of(ran: Ran, expected: io::Result<Vec<u8>>) -> Check {
        let problem = ran.problem().or_else(|| match &expected {
            Ok(expected) if *expected == ran.stdout => None,
            Ok(_) => Some(DIFFERS.to_string()),
            Err(error) => Some(format!("has no transcript to hold it against: {error}")),
        });
        Check { problem, expected: expected.unwrap_or_default(), ran: Some(ran) }
    }

    pub(crate) fn ok(&self) -> bool {
        self.problem.is_none()
    }

    /// Why it could not be shown on this machine, if the program said so.
    pub(crate) fn not_shown(&self) -> Option<String> {
        let said = std::str::from_utf8(self.printed()).ok()?;
        let why = said.strip_prefix(NOT_SHOWN)?.strip_suffix('\n')?;
        (!self.ok() && self.ended_well() && !why.contains('\n')).then(|| why.to_owned())
    }

    /// What is to be put right.
    pub(crate) fn failed(&self) -> bool {
        !self.ok() && self.not_shown().is_none()
    }

    /// Whether another attempt may come out otherwise.
    fn may_change(&self) -> bool {
        self.failed() && self.ran.as_ref().is_some_and(|ran| missing_module(ran).is_none())
    }

    fn mark(&self) -> Mark {
        match self.not_shown() {
            _ if self.ok() => Mark::Good,
            Some(_) => Mark::Skipped,
            None => Mark::Bad,
        }
    }

    pub(crate) fn printed(&self) -> &[u8] {
        self.ran.as_ref().map_or(&[], |ran| &ran.stdout)
    }

    /// Ended by itself, with status 0: what it printed counts, whatever it is.
    pub(crate) fn ended_well(&self) -> bool {
        self.ran.as_ref().is_some_and(|ran| ran.problem().is_none())
    }

    /// The fields that `--help` calls RESULT.
    pub(crate) fn as_json(&self) -> Value {
        use std::os::unix::process::ExitStatusExt;
        let end = self.ran.as_ref().map(|ran| &ran.end);
        let status = if let Some(End::Exited(status)) = end { Some(status) } else { None };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        json!({
            "ok": self.ok(),
            "problem": self.problem,
            "not_shown": self.not_shown(),
            "expected": text(&self.expected),
            "printed": text(self.printed()),
            "stderr": self.ran.as_ref().map_or(String::new(), |ran| text(&ran.stderr)),
            "status": status.and_then(|status| status.code()),
            "signal": status.and_then(|status| status.signal()),
            "timed_out": matches!(end, Some(End::TimedOut(_))),
            "milliseconds": self.ran.as_ref().map(|ran| ran.took.as_micros() as f64 / 1000.0),
        })
    }

    /// What is wrong with `who`, and all that helps to see why.
    pub(crate) fn explain(&self, screen: &mut Screen, who: &str, expected_from: &str) -> io::Result<()> {
        let Some(problem) = &self.problem else { return Ok(()) };
        let Some(ran) = &self.ran else { return screen.line(&format!("    {who} {problem}")) };
        let right = ran.stdout == self.expected;
        // A mere difference speaks for itself.
        if right || problem != DIFFERS {
            let but = if right { ", but what it printed is right" } else { "" };
            screen.line(&format!("    {who} {problem}{but}"))?;
        }
        if !right {
            diff::show(screen, (expected_from, &self.expected), (who, &ran.stdout))?;
        }
        diff::stderr(screen, &ran.stderr)
    }
}

/// The object that `--help` calls RUN.
pub(crate) fn as_json(lesson: &Lesson, check: &Check) -> Value {
    let mut object = check.as_json();
    object["number"] = lesson.number.into();
    object["name"] = lesson.name.as_str().into();
    object["title"] = lesson.title.as_str().into();
    object
}

/// Runs the lesson's program; `echo` hears its output as it comes.
pub(crate) fn check(
    lesson: &Lesson,
    binaries: &Binaries,
    timeout: Duration,
    echo: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<Check, Stop> {
    match binaries.of(lesson) {
        Ok(program) => {
            let ran = child::run(&mut clean(Command::new(program)), timeout, echo)?;
            Ok(Check::of(ran, fs::read(lesson.transcript())))
        }
        Err(why) => Ok(Check { problem: Some(why), expected: Vec::new(), ran: None }),
    }
}

/// Runs a program until it is right, at most `attempts` times. A line names `who` when it runs again.
pub(crate) fn until_right(
    attempts: u32,
    who: &str,
    mut run: impl FnMut() -> Result<Check, Stop>,
) -> Result<Check, Stop> {
    let mut check = run()?;
    for _ in 1..attempts {
        if !check.may_change() {
            break;
        }
        notice(&format!("{who} {}, and is run once more", check.problem.as_deref().unwrap_or(DIFFERS)));
        check = run()?;
    }
    Ok(check)
}

/// A lesson must not print differently because looplab's variables are set to trace or debug another
/// program.
pub(crate) fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LOOPLAB_")) {
        command.env_remove(name);
    }
    command
}

/// Every lesson, one mark each; what differs is shown after the list, so that the list stays a list.
pub(crate) fn all(
    screen: &mut Screen,
    lessons: &[&Lesson],
    (noun, verb): Words,
    binaries: &Binaries,
    options: &Options,
) -> Result<bool, Stop> {
    if !screen.json {
        screen.line(&format!(
            "looplab tour: {} {noun}, each checked against what CPython prints\n",
            lessons.len()
        ))?;
    }
    let mut checks = Vec::new();
    for &lesson in lessons {
        screen.busy(&format!(" {:02} {} {}", lesson.number, screen.dots(), lesson.title));
        let run = || check(lesson, binaries, options.timeout, &mut |_| Ok(()));
        let check = until_right(options.attempts, &lesson.name, run);
        screen.idle();
        let check = check?;
        if !screen.json {
            row(screen, lesson, check.mark())?;
        }
        checks.push((lesson, check));
    }
    let failed: Vec<&(&Lesson, Check)> = checks.iter().filter(|(_, check)| check.failed()).collect();
    if screen.json {
        json_summary(screen, &checks)?;
    } else {
        for (lesson, check) in &failed {
            screen.line("")?;
            heading(screen, lesson)?;
            check.explain(screen, "the lesson", "transcript")?;
        }
        summary(screen, &checks, &failed, verb)?;
    }
    Ok(failed.is_empty())
}

/// A lesson's row: number, mark, title, and one line under it.
pub(crate) fn row(screen: &mut Screen, lesson: &Lesson, mark: Mark) -> Result<(), Stop> {
    let margin = 5 + screen.mark_width();
    let title = screen.cut(&lesson.title, screen.width - margin);
    screen.line(&format!(" {:02} {} {title}", lesson.number, screen.mark(mark)))?;
    list::about(screen, lesson, margin)
}

/// The same form of a lesson's name wherever more than a row follows.
pub(crate) fn heading(screen: &mut Screen, lesson: &Lesson) -> Result<(), Stop> {
    Ok(screen.line(&format!(" {:02} {}", lesson.number, screen.ink(Ink::Strong, &lesson.title)))?)
}

fn summary(
    screen: &mut Screen,
    checks: &[(&Lesson, Check)],
    failed: &[&(&Lesson, Check)],
    verb: &str,
) -> Result<(), Stop> {
    let count = checks.len();
    for (lesson, check) in checks {
        if let Some(why) = check.not_shown() {
            screen.line(&format!("\n {:02} not shown: {why}", lesson.number))?;
        }
    }
    screen.line("")?;
    if failed.is_empty() {
        let good = checks.iter().filter(|(_, check)| check.ok()).count();
        let rest = if good == count { String::new() } else { format!("; {} not shown", count - good) };
        return Ok(screen.line(&format!("{good} of {count} print what CPython prints{rest}."))?);
    }
    let numbers: Vec<String> = failed.iter().map(|(lesson, _)| format!("{:02}", lesson.number)).collect();
    screen.line(&format!(
        "{} of {count} differ{}: {}; `{TOUR} {verb} {}` shows {} alone.",
        failed.len(),
        if failed.len() == 1 { "s" } else { "" },
        numbers.join(", "),
        numbers.join(" "),
        if failed.len() == 1 { "it" } else { "them" },
    ))?;
    Ok(())
}

fn json_summary(screen: &mut Screen, checks: &[(&Lesson, Check)]) -> Result<(), Stop> {
    let failed = checks.iter().filter(|(_, check)| check.failed()).count();
    let lessons: Vec<Value> = checks.iter().map(|(lesson, check)| as_json(lesson, check)).collect();
    let object = json!({ "ok": failed == 0, "ran": checks.len(), "failed": failed, "lessons": lessons });
    Ok(screen.line(&object.to_string())?)
}

/// The named lessons: text, live output, verdict.
pub(crate) fn named(
    screen: &mut Screen,
    lessons: &[&Lesson],
    binaries: &Binaries,
    timeout: Duration,
) -> Result<bool, Stop> {
    let mut checks = Vec::new();
    for &lesson in lessons {
        let check = if screen.json {
            check(lesson, binaries, timeout, &mut |_| Ok(()))?
        } else {
            let check = shown(screen, lesson, binaries, timeout)?;
            whereabouts(screen, lesson)?;
            check
        };
        checks.push((lesson, check));
    }
    if screen.json {
        json_summary(screen, &checks)?;
    }
    Ok(checks.iter().all(|(_, check)| !check.failed()))
}

/// Names the lesson's source, its page, and the lesson after it there.
fn whereabouts(screen: &mut Screen, lesson: &Lesson) -> Result<(), Stop> {
    let Some((page, next)) = lessons::page_and_next(lesson) else { return Ok(()) };
    let next = next.map_or(String::new(), |next| format!("; next: {TOUR} run {next}"));
    let source = format!("examples/{}.rs", lesson.name);
    Ok(screen.line(&screen.ink(Ink::Dim, &format!("    {source}, explained in {page}{next}\n")))?)
}

/// Runs one lesson before the reader's eyes.
pub(crate) fn shown(
    screen: &mut Screen,
    lesson: &Lesson,
    binaries: &Binaries,
    timeout: Duration,
) -> Result<Check, Stop> {
    heading(screen, lesson)?;
    for line in &lesson.text {
        screen.line(format!("    {line}").trim_end())?;
    }
    screen.line("")?;
    let mut margin = Margin::new(screen);
    let check = check(lesson, binaries, timeout, &mut |bytes| margin.feed(bytes))?;
    margin.finish()?;
    screen.line("")?;
    if check.ok() {
        screen.line(&format!(
            " {:02} {} prints what CPython prints",
            lesson.number,
            screen.mark(Mark::Good)
        ))?;
        diff::stderr(screen, &check.ran.as_ref().map_or(Vec::new(), |ran| ran.stderr.clone()))?;
    } else if check.not_shown().is_some() {
        screen.line(&format!(" {:02} {} not shown", lesson.number, screen.mark(Mark::Skipped)))?;
    } else {
        let verdict = if check.ran.is_some() { "differs" } else { "did not run" };
        screen.line(&format!(" {:02} {} {verdict}", lesson.number, screen.mark(Mark::Bad)))?;
        check.explain(screen, "the lesson", "transcript")?;
    }
    screen.line("")?;
    Ok(check)
}

/// Writes a program's output line by line, as it comes, after a margin that tells it from the tour's own
/// words.
#[derive(Debug)]
pub(crate) struct Margin<'a> {
    screen: &'a mut Screen,
    begun: Vec<u8>,
}

impl Margin<'_> {
    pub(crate) fn new(screen: &mut Screen) -> Margin<'_> {
        Margin { screen, begun: Vec::new() }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.begun.extend(bytes);
        while let Some(end) = self.begun.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            self.line(&line[..end])?;
        }
        Ok(())
    }

    /// A last line that was never ended.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.begun) {
            line if line.is_empty() => Ok(()),
            line => self.line(&line),
        }
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let line = format!("{}{}", self.screen.gutter(), String::from_utf8_lossy(line));
        self.screen.line(line.trim_end())
    }
}
