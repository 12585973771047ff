//! The tour: every lesson of looplab, run and checked against what CPython prints.
//!
//! `cargo run --example tour` is the whole of it; `cargo run --example tour -- --help` names the rest.
//!
//! The tour promises: a lesson is marked ✓ only if its output equals its transcript byte for byte and its
//! exit status is 0; every lesson runs in a process of its own that cannot outlive the watchdog; the lessons
//! are built before they run, so an old binary never answers for new source unless the tour says so. To the
//! tour a lesson is a program, a text and a twin in Python. So its check cannot be fooled by a bug in the
//! library. From looplab it has only the page of X-ray and its words.
//!
//! Where to read: `lessons` finds them, `binaries` builds them, `child` runs one process. `run`, `compare`, `trace`,
//! `xray`, `parts` (`tour diff`) and `step` are what can be done with a lesson; `align` puts two traces side by side.
//! `list` and `find` name lessons; `screen` and `diff` are what the eye sees, `interrupt` is Ctrl-C.

pub mod align;
mod binaries;
mod calls;
mod child;
mod cli;
mod compare;
mod diff;
mod find;
mod interrupt;
mod lessons;
mod list;
mod parts;
mod python;
mod run;
mod screen;
mod step;
mod trace;
mod xray;

use std::io;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use binaries::Package;
use cli::{Command, Options};
use lessons::Lesson;
use screen::{Screen, notice};

/// Why a command ended before its end.
#[derive(Debug)]
enum Stop {
    /// What was asked cannot be done; exit status 2.
    Cannot(String),
    /// This signal arrived; the tour ends as the signal would have ended it.
    Interrupted(i32),
    /// Standard output does not take any more.
    Output(io::Error),
}

// Only writes to standard output are passed on with `?` as plain I/O errors; every other one gets its words
// where it happens.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Output(error)
    }
}

/// Exit status: 0 all is well, 1 something differs, 2 it could not be done.
pub fn main() -> ExitCode {
    let cli = cli::parse();
    interrupt::watch();
    match dispatch(cli.command, &cli.options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(Stop::Cannot(why)) => {
            notice(&format!("tour: {why}"));
            ExitCode::from(2)
        }
        Err(Stop::Interrupted(signal)) => interrupt::die(signal),
        // `tour | head`: the reader has seen enough. The usual Unix answer is to die of SIGPIPE, without a
        // word.
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            interrupt::die(signal_hook::consts::SIGPIPE)
        }
        Err(Stop::Output(error)) => {
            notice(&format!("tour: standard output: {error}"));
            ExitCode::from(2)
        }
    }
}

/// True if nothing differs.
fn dispatch(command: Option<Command>, options: &Options) -> Result<bool, Stop> {
    let mut screen = Screen::new(options.ascii, options.json);
    let folder = lessons::folder(options.folder.as_deref());
    let all = lessons::find(&folder)?;
    match command.unwrap_or(Command::Run { lessons: Vec::new() }) {
        Command::List => list::print(&mut screen, &all).map(|()| true),
        Command::Find { text } => find::find(&mut screen, &all, &text.join(" ")),
        Command::Run { lessons: names } if names.is_empty() => {
            let lessons: Vec<&Lesson> = all.iter().collect();
            let binaries = binaries::build(&lessons, Package::Lessons, options.no_build)?;
            let well = run::all(&mut screen, &lessons, run::LESSONS, &binaries, options)?;
            if options.folder.is_some() || options.json {
                return Ok(well);
            }
            screen.line("")?;
            Ok(chapters(&mut screen, &[], options)? && well)
        }
        Command::Run { lessons: names } => {
            let lessons = lessons::resolve_each(&all, &names)?;
            let binaries = binaries::build(&lessons, Package::Lessons, options.no_build)?;
            run::named(&mut screen, &lessons, &binaries, options.timeout)
        }
        Command::Build { chapters: names } => chapters(&mut screen, &names, options),
        // Programs of their own: only they need to watch files, and to serve them.
        Command::Practice { words } => become_program(&["--package", "looplab-practice"], &words),
        Command::Lab { words } => become_program(&["--example", "lab"], &words),
        Command::Compare { lessons: names, all: every, chapters, python } => {
            let package = if chapters { Package::Chapters } else { Package::Lessons };
            let words = if chapters { run::CHAPTERS } else { run::LESSONS };
            let all = if chapters { lessons::find(&lessons::chapters())? } else { all };
            let lessons = if every { all.iter().collect() } else { lessons::resolve_each(&all, &names)? };
            let pythons = python::find(&python)?;
            let binaries = binaries::build(&lessons, package, options.no_build)?;
            compare::compare(&mut screen, &lessons, words, &pythons, &binaries, options)
        }
        Command::Trace { lesson, jsonl } => {
            let lesson = lessons::resolve(&all, &lesson)?;
            let binaries = binaries::build(&[lesson], Package::Lessons, options.no_build)?;
            let form = if jsonl || options.json { trace::Form::JsonLines } else { trace::Form::TurnTable };
            trace::trace(&mut screen, lesson, &binaries, options.timeout, form)
        }
        Command::Diff { lessons: names, all: every } => {
            let lessons = if every { all.iter().collect() } else { lessons::resolve_each(&all, &names)? };
            let binaries = binaries::build(&lessons, Package::Lessons, options.no_build)?;
            parts::diff(&mut screen, &lessons, &binaries, options.timeout)
        }
        Command::Step { lesson } => {
            let lesson = lessons::resolve(&all, &lesson)?;
            let binaries = binaries::build(&[lesson], Package::Lessons, options.no_build)?;
            step::step(&mut screen, lesson, &binaries, options.timeout)
        }
        Command::Xray { lesson, python: _ } => {
            let Some(lesson) = lesson else { return xray::write_python(&mut screen) };
            let lesson = lessons::resolve(&all, &lesson)?;
            let binaries = binaries::build(&[lesson], Package::Lessons, options.no_build)?;
            xray::xray(&mut screen, lesson, &binaries, options.timeout)
        }
    }
}

/// Runs the named chapters, or all.
fn chapters(screen: &mut Screen, names: &[String], options: &Options) -> Result<bool, Stop> {
    let all = lessons::find(&lessons::chapters())?;
    let chapters = if names.is_empty() { all.iter().collect() } else { lessons::resolve_each(&all, names)? };
    let binaries = binaries::build(&chapters, Package::Chapters, options.no_build)?;
    if names.is_empty() {
        return run::all(screen, &chapters, run::CHAPTERS, &binaries, options);
    }
    run::named(screen, &chapters, &binaries, options.timeout)
}

/// Becomes another program of this package, which cargo builds.
fn become_program(program: &[&str], words: &[String]) -> Result<bool, Stop> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command.args(["run", "-q"]).args(program).arg("--manifest-path");
    command.arg(lessons::root().join("Cargo.toml")).arg("--").args(words);
    Err(Stop::Cannot(format!("cargo: {}", command.exec())))
}
