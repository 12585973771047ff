//! Practising: the next exercise, run by hand or on each save, and the progress.
//!
//! Exercises are written to `target/practice`, and the names of the solved ones to `target/practice/solved`.

use crate::chapter::{read, root, scratch, write};
use crate::exercises::{EXERCISES, Exercise};
use crate::program::{Compiler, PATIENCE, first_difference, run as run_program};
use notify::{EventKind, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

fn solved() -> Result<BTreeSet<String>, String> {
    let file = scratch("practice")?.join("solved");
    Ok(read(&file).unwrap_or_default().lines().map(str::to_owned).collect())
}

fn mark_solved(exercise: &Exercise) -> Result<(), String> {
    let mut names = solved()?;
    names.insert(exercise.name());
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    write(&scratch("practice")?.join("solved"), &text)
}

fn find(name: &str) -> Result<&'static Exercise, String> {
    let mut found = EXERCISES.iter().filter(|exercise| exercise.name().contains(name));
    match (found.next(), found.next()) {
        (Some(exercise), None) => Ok(exercise),
        (None, _) => Err(format!("{name}: no such exercise; `list` names them all")),
        (Some(_), Some(_)) => Err(format!("{name}: part of several names; `list` names them all")),
    }
}

/// Returns the first exercise that is not solved.
fn first_unsolved() -> Result<Option<&'static Exercise>, String> {
    let solved = solved()?;
    Ok(EXERCISES.iter().find(|exercise| !solved.contains(&exercise.name())))
}

/// Returns the named exercise, or the next one.
fn chosen(name: Option<&str>) -> Result<&'static Exercise, String> {
    match name {
        Some(name) => find(name),
        None => first_unsolved()?.ok_or("all exercises are solved: name one".to_owned()),
    }
}

/// Returns the exercise's file, which is written if it is not there.
fn file_of(exercise: &Exercise) -> Result<PathBuf, String> {
    let file = scratch("practice")?.join(format!("{}.rs", exercise.name()));
    if !file.is_file() {
        write(&file, &exercise.source()?)?;
    }
    Ok(file)
}

fn introduce(exercise: &Exercise) -> Result<(), String> {
    let number = EXERCISES.iter().position(|other| std::ptr::eq(other, exercise)).unwrap_or(0) + 1;
    let file = file_of(exercise)?;
    println!("\n{number} of {}: {}", EXERCISES.len(), exercise.name());
    println!("  {}", exercise.task);
    println!(
        "  Write the body of `{}` in {}.",
        exercise.function,
        file.strip_prefix(root()).unwrap_or(&file).display()
    );
    println!("  The chapter's page: docs/build/{}.md", exercise.chapter()?.name);
    Ok(())
}

/// Builds and runs an exercise, and says what is wrong.
fn attempt(compiler: &Compiler, exercise: &Exercise) -> Result<bool, String> {
    let file = file_of(exercise)?;
    let program = file.with_extension("");
    if let Err(error) = compiler.compile(&file, &program, &[]) {
        println!("\n{error}\n  It does not compile yet.");
        return Ok(false);
    }
    let printed = run_program(&program, PATIENCE)?;
    match first_difference(&exercise.chapter()?.transcript, &printed) {
        None => {
            mark_solved(exercise)?;
            println!("\n  Solved: it prints what CPython prints.");
            Ok(true)
        }
        Some(difference) => {
            println!("\n  {difference}");
            if printed.contains("[exit status: 101]") {
                println!("  It panicked. Is there a `todo!` left?");
            }
            Ok(false)
        }
    }
}

/// Runs the next exercise.
pub(crate) fn next() -> Result<bool, String> {
    let Some(exercise) = first_unsolved()? else {
        println!("All {} exercises are solved. Next: src/event_loop/turn.rs.", EXERCISES.len());
        return Ok(true);
    };
    introduce(exercise)?;
    attempt(&Compiler::new()?, exercise)
}

/// Runs one exercise.
pub(crate) fn run(name: &str) -> Result<bool, String> {
    let exercise = find(name)?;
    introduce(exercise)?;
    attempt(&Compiler::new()?, exercise)
}

/// Runs the next exercise on each save.
pub(crate) fn watch() -> Result<bool, String> {
    let (changed, changes) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Only sources: programs and what they print are written here, too.
        let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
        if let Ok(event) = event
            && matches!(event.kind, EventKind::Modify(_) | EventKind::Create(_))
            && event.paths.iter().any(is_source)
        {
            let _ = changed.send(());
        }
    })
    .map_err(|error| error.to_string())?;
    let compiler = Compiler::new()?;
    // All are written before the watch begins: it would take them for saves.
    for exercise in EXERCISES {
        file_of(exercise)?;
    }
    watcher.watch(&scratch("practice")?, RecursiveMode::NonRecursive).map_err(|error| error.to_string())?;
    while let Some(exercise) = first_unsolved()? {
        introduce(exercise)?;
        watcher
            .watch(&scratch("practice")?, RecursiveMode::NonRecursive)
            .map_err(|error| error.to_string())?;
        while !attempt(&compiler, exercise)? {
            println!("  Waiting for a save; Ctrl-C ends.");
            changes.recv().map_err(|error| error.to_string())?;
            // An editor saves in several steps.
            while changes.recv_timeout(Duration::from_millis(100)).is_ok() {}
        }
    }
    next()
}

/// Lists the exercises.
pub(crate) fn list() -> Result<bool, String> {
    let solved = solved()?;
    for exercise in EXERCISES {
        let mark = if solved.contains(&exercise.name()) { "x" } else { " " };
        println!(" [{mark}] {:<24} {}", exercise.name(), exercise.task);
    }
    println!(
        "{} of {} solved",
        EXERCISES.iter().filter(|one| solved.contains(&one.name())).count(),
        EXERCISES.len()
    );
    Ok(true)
}

pub(crate) fn hint(name: Option<&str>) -> Result<bool, String> {
    let exercise = chosen(name)?;
    println!("{}: {}", exercise.name(), exercise.hint);
    Ok(true)
}

pub(crate) fn solution(name: Option<&str>) -> Result<bool, String> {
    print!("{}", chosen(name)?.solution()?);
    Ok(true)
}

pub(crate) fn reset(name: &str) -> Result<bool, String> {
    let exercise = find(name)?;
    let file = file_of(exercise)?;
    write(&file, &exercise.source()?)?;
    println!("{} is as it was given", file.strip_prefix(root()).unwrap_or(&file).display());
    Ok(true)
}
