//! `tour xray`: one lesson as a page that replays its run, forward and back.
//!
//! The lesson itself writes the page, because `LOOPLAB_TRACE` ends in `.html`. The tour says where, and
//! adds the lesson's source, so that the page can show it. The clock is virtual: a page made twice is the
//! same, and no time of the machine distracts.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::binaries::Binaries;
use crate::lessons::Lesson;
use crate::run::{Check, clean};
use crate::screen::{Mark, Screen, notice};
use crate::{Stop, child};

/// Runs `lesson`, makes its page and prints where it is. True if the lesson also printed what it should.
pub(crate) fn xray(
    screen: &mut Screen,
    lesson: &Lesson,
    binaries: &Binaries,
    timeout: Duration,
) -> Result<bool, Stop> {
    let program = binaries.of(lesson).map_err(|why| Stop::Cannot(format!("{} {why}", lesson.name)))?;
    // The lesson is target/PROFILE/examples/NAME.
    let target = program.ancestors().nth(3).unwrap_or(Path::new("target"));
    let page = target.join("xray").join(format!("{}.html", lesson.name));
    let cannot = |error: io::Error| Stop::Cannot(format!("{}: {error}", page.display()));
    fs::create_dir_all(target.join("xray")).map_err(cannot)?;
    match fs::remove_file(&page) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(error)),
        _ => {}
    }
    let mut command = clean(Command::new(&program));
    command.env("LOOPLAB_TRACE", &page).env("LOOPLAB_CLOCK", "virtual");
    let ran = child::run_traced(&mut command, timeout, &mut |_| Ok(()))?;
    let check = Check::of(ran, fs::read(lesson.transcript()));
    if page.is_file() {
        add_source(&page, lesson).map_err(cannot)?;
        screen.line(&page.display().to_string())?;
    } else {
        notice("no page: this lesson makes no loop, so there are no turns to show");
    }
    if let Some(problem) = &check.problem {
        let mark = screen.mark(Mark::Bad);
        notice(&format!("{mark} {:02} traced: the lesson {problem}", lesson.number));
    }
    Ok(check.ok())
}

/// Appends the lesson's source to the trace, which is the end of the page, unless the trace holds it.
fn add_source(page: &Path, lesson: &Lesson) -> io::Result<()> {
    let written = fs::read_to_string(page)?;
    if written.contains(r#""k":"file""#) {
        return Ok(());
    }
    let last: Value =
        written.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    let (s, t) = (last["s"].as_u64().unwrap_or_default() + 1, &last["t"]);
    let (path, text) = (format!("examples/{}.rs", lesson.name), fs::read_to_string(lesson.source())?);
    let line = json!({ "s": s, "t": t, "e": "def", "k": "file", "id": 1, "v": path, "text": text });
    let mut file = OpenOptions::new().append(true).open(page)?;
    // No text may end the element that holds the trace.
    writeln!(file, "{}", line.to_string().replace('<', r"\u003c"))
}
