//! The lessons on classic faults: what the explorer says of each is the file `examples/NAME.report`, which a person has
//! read. What they print for CPython's sake is the tour's business.
//!
//! After a change, `LOOPLAB_BLESS=1 cargo test --test explore lessons` writes the files anew.

use std::fs;
use std::process::{Command, Stdio};
use support::with_default_signals;

/// Returns the lessons that explore a program, by name.
fn lessons() -> Vec<String> {
    let folder = fs::read_dir(support::root().join("examples")).expect("examples").flatten();
    let names = folder.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?.strip_suffix(".rs")?.to_owned();
        let source = fs::read_to_string(entry.path()).ok()?;
        (name.as_bytes()[0].is_ascii_digit() && source.contains("looplab::explore")).then_some(name)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Runs a lesson, with this schedule alone if there is one. Returns what the explorer said, without the times that it took.
fn explorers_words(lesson: &str, schedule: Option<&str>) -> String {
    let mut command = Command::new(support::examples().join(lesson));
    command.current_dir(support::root()).env_remove("LOOPLAB_EXPLORE");
    command.envs(schedule.map(|schedule| ("LOOPLAB_EXPLORE", schedule)));
    let mut command = with_default_signals(&command).unwrap_or(command);
    let ended = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{lesson}: {error}"));
    assert!(ended.status.success(), "{lesson}: {ended:?}");
    let said = String::from_utf8(ended.stderr).expect("UTF-8");
    let timed = said.split(" (in ").map(|part| match part.split_once(" s)") {
        Some((time, rest)) if time.parse::<f64>().is_ok() => rest,
        _ => part,
    });
    timed.collect()
}

#[test]
fn the_explorer_finds_the_fault_of_each_lesson_and_passes_its_mended_twin() {
    let lessons = lessons();
    assert!(lessons.len() >= 8, "{lessons:?}");
    for lesson in lessons {
        let said = explorers_words(&lesson, None);
        let path = support::root().join(format!("examples/{lesson}.report"));
        if std::env::var_os("LOOPLAB_BLESS").is_some() {
            fs::write(&path, &said).expect("the report can be written");
        }
        let report = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(said == report, "{lesson}:\n{said}");

        let (faulty, mended) = said.split_once("\nmended\n").expect("two reports");
        assert!(faulty.starts_with("as written\nexplore: ") && faulty.contains("schedules fail"), "{faulty}");
        let mended = mended.strip_prefix("explore: all of ").expect("no failure");
        let (count, rest) = mended.split_once(" schedules pass").expect("a count");
        assert!(count.parse::<u32>().expect("a number") >= 9 && rest == "\n\n", "{mended}");
    }
}

#[test]
fn the_first_schedule_of_each_lessons_report_fails_by_its_name_in_the_same_way() {
    for lesson in lessons() {
        let said = explorers_words(&lesson, None);
        let (before, after) = said.split_once("    again:  LOOPLAB_EXPLORE='").expect("a schedule");
        let schedule = after.split_once('\'').expect("its end").0;
        let again = explorers_words(&lesson, Some(schedule));
        let (again, _) = again.split_once("    again:  ").expect("the schedule again");
        // The first line counts, the third says what comes next and how many fail so.
        let plain = |text: &str| -> Vec<String> {
            let lines = text.lines().enumerate().filter(|(i, _)| ![1, 3].contains(i));
            lines.map(|(_, line)| line.to_owned()).collect()
        };
        assert_eq!(plain(again), plain(before), "{lesson}");
    }
}
