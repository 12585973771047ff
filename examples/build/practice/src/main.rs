//! Practice for the ten chapters: exercises to solve, and changes that break a chapter.
//!
//! `cargo run --example tour practice` is the whole of it; `help` names the rest. An exercise is a chapter with one
//! function taken out. It is made from the chapter itself, so it cannot grow old. A break is a patch of a
//! chapter, with a record of what the program then prints. `verify` and `breaks` check them all.

mod breaks;
mod chapter;
mod exercises;
mod practice;
mod program;
mod verify;

use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo run --example tour practice [COMMAND]

  (nothing)        run the next exercise, and show the first line that differs
  watch            the same on each save, until it is solved; then the next one
  list             all exercises, and which are solved
  run NAME         one exercise
  hint [NAME]      a hint for the next exercise, or for this one
  solution [NAME]  the function as the chapter has it
  reset NAME       throw away what was written
  verify           check that each exercise fails as given, and passes with its solution
  breaks [NAME]    apply, build and run the changes that break a chapter, and compare what they print

Exit status: 0 all is well, 1 something differs or is not solved, 2 it could not be done.";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        [] => practice::next(),
        ["watch"] => practice::watch(),
        ["list"] => practice::list(),
        ["run", name] => practice::run(name),
        ["hint"] => practice::hint(None),
        ["hint", name] => practice::hint(Some(name)),
        ["solution"] => practice::solution(None),
        ["solution", name] => practice::solution(Some(name)),
        ["reset", name] => practice::reset(name),
        ["verify"] => verify::all(),
        ["breaks"] => breaks::all(None),
        ["breaks", name] => breaks::all(Some(name)),
        ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(true)
        }
        _ => Err(format!("{}: no such command\n\n{HELP}", words.join(" "))),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("practice: {why}");
            ExitCode::from(2)
        }
    }
}
